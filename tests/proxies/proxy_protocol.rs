//! haproxy before the relay, which tells by the PROXY protocol whose each connection is, and passes octets on.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use byway::Error;
use byway::client::{Client, Config};
use byway::error::ResourceError;
use byway::relay::{Access, Rate, Relay, RelayConfig};
use byway::transport::Hooks;

use crate::daemon::Daemon;
use crate::{DEADLINE, carry, join};

/// A relay that believes haproxy, and has few new clients of an address.
fn relay() -> Relay {
    let mut config = RelayConfig {
        trusted_proxies: vec!["127.0.0.1/32".parse().expect("a network")],
        proxy_protocol: true,
        access: Access::Open,
        ..RelayConfig::default()
    };
    config.router.new_sessions = Some(Rate::new(1, 5));
    Relay::bind(config).expect("a port")
}

fn haproxy(server: SocketAddr, option: &str) -> Daemon {
    Daemon::haproxy_by(|_, port| {
        format!(
            "defaults\nmode tcp\ntimeout connect 5000\ntimeout client 50000\ntimeout server 50000\n\
             frontend all\nbind 127.0.0.1:{port}\ndefault_backend relay\n\
             backend relay\nserver relay {server} {option} check inter 500\n"
        )
    })
}

/// A client whose connections come from this address of this machine.
fn from(address: &str, haproxy: &Daemon) -> Config {
    let own: SocketAddr = format!("{address}:0").parse().expect("an address");
    let bind = move |socket: BorrowedFd<'_>| Ok(rustix::net::bind(socket, &own)?);
    Config { hooks: Hooks::default().on_socket(bind), ..Config::new(haproxy.url()) }
}

#[test]
fn limits_count_by_the_address_that_haproxy_tells() {
    for option in ["send-proxy", "send-proxy-v2"] {
        let relay = relay();
        let haproxy = haproxy(relay.local_addr(), option);
        let open = |address: &str| {
            Client::open(Config { open_timeout: DEADLINE, ..from(address, &haproxy) })
        };
        let known = open("127.0.0.7").expect("opens");
        // The relay asks those beyond the rate to come back later, which is too late for these.
        let refused = (0..1_000).find_map(|_| {
            let open_timeout = std::time::Duration::from_secs(2);
            Client::open(Config { open_timeout, ..from("127.0.0.7", &haproxy) }).err()
        });
        let error = refused.expect("a client beyond the rate");
        assert!(matches!(error, Error::Resource(ResourceError::Full { .. })), "{option}: {error}");
        let other = open("127.0.0.8").expect("opens");
        let (one, two) = join(&known, &other);
        carry(&one, &two, 200_000);
        // haproxy's checks say that they are no client's.
        assert_eq!(relay.connections().headless, 0, "{option}");
    }
}

#[test]
fn haproxy_that_sends_no_header_is_refused() {
    let relay = relay();
    let haproxy = haproxy(relay.local_addr(), "");
    let open_timeout = std::time::Duration::from_secs(2);
    let error =
        Client::open(Config { open_timeout, ..from("127.0.0.7", &haproxy) }).expect_err("refused");
    assert!(error.to_string().contains("HTTP status 400"), "{error}");
    assert!(relay.connections().headless > 0);
}
