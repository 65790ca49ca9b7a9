use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Instant;

use byway::client::ClientEvent;
use byway::error::{Blocked, ConfigError, ResourceError, TokenFault};

use super::*;

#[test]
fn clients_without_a_valid_token_are_told_so_at_once() {
    let (good, wrong) = (token(1), token(2));
    let relay = relay(good.policy());
    let begun = Instant::now();
    for (token, fault) in [
        (None, TokenFault::Wanted),
        (Some(Token::value(wrong.token())), TokenFault::Refused),
        (Some(Token::value("x")), TokenFault::Refused),
    ] {
        let error = Client::open(Config { open_timeout: LONG, ..config(&relay, token) });
        assert_eq!(error.unwrap_err(), Blocked::Token(fault).into());
    }
    assert!(begun.elapsed() < LONG, "a person has to change something: waiting is in vain");
    client(&relay, &good);
    assert!(relay.admission().without_token >= 2 && relay.admission().refused >= 4);
    assert_eq!(relay.stats().sessions, 1, "nothing else came as far as the router");
}

#[test]
fn token_goes_in_its_own_header_where_authorization_is_taken() {
    let good = token(1);
    let relay = relay(good.policy());
    let mut config = config(&relay, Some(Token::value(format!(" {}\n", good.token()))));
    config.headers.push(("Authorization".into(), "Basic dXNlcjp3b3Jk".into()));
    Client::open(config).unwrap();
}

#[test]
fn token_stays_on_this_machine_without_tls() {
    let secret = token(1);
    let open = |url: &str, token: Token, proxy: Option<&str>| {
        let proxy = proxy.map_or(byway::transport::Proxy::Direct, |url| {
            byway::transport::Proxy::Url(url.into())
        });
        Client::start(Config { token: Some(token), proxy, ..Config::new(url) }).map(|_| ())
    };
    let value = || Token::value(secret.token());
    for (url, proxy) in [
        ("http://192.0.2.1:1", None),
        ("http://relay.invalid:1", None),
        ("http://localhost.example:1", None),
        ("http://127.0.0.1:1", Some("http://127.0.0.1:2")),
    ] {
        let error = open(url, value(), proxy).unwrap_err();
        let named = error.to_string().contains("--token-over-http");
        assert!(matches!(error, byway::Error::Config(ConfigError::Setting(_))) && named, "{url}");
        open(url, value().over_plain_http(true), proxy).unwrap();
    }
    for url in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
        open(url, value(), None).unwrap();
    }
    for bad in ["", "a b", "a\nb", "ü"] {
        let error = open("http://localhost:1", Token::value(bad), None).unwrap_err();
        assert!(error.to_string().contains("the token is none"), "{bad:?}: {error}");
    }
}

#[test]
fn debug_shows_no_token() {
    let secret = token(1);
    let relay = relay(secret.policy());
    let mut config = config(&relay, Some(Token::value(secret.token())));
    config.headers.push(("X-Key".into(), format!("pass{}", &secret.token()[6..])));
    config.seed = Some([171; 24]);
    let client = Client::open(config.clone()).unwrap();
    let shown = format!("{config:?} {client:?} {relay:?} {:?}", config.token);
    assert!(!shown.contains(&secret.token()[6..]), "a token");
    assert!(shown.contains("X-Key") && !shown.contains("171, 171"), "the seed");
}

/// A portal's 401 goes by when somebody logs in: it says nothing of a token.
#[test]
fn foreign_401_is_not_of_the_token() {
    for challenge in ["Basic realm=\"byway\"", "Bearer realm=\"portal\"", "bearer"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = write!(
                    stream,
                    "HTTP/1.1 401 No\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n"
                );
            }
        });
        let open_timeout = Duration::from_millis(500);
        let token = Some(Token::value("x"));
        let url = format!("http://{address}");
        let error = Client::open(Config { open_timeout, token, ..Config::new(url) }).unwrap_err();
        assert_eq!(error, Blocked::Http(401).into());
        assert!(!Blocked::Http(401).is_lasting());
    }
}

#[test]
fn relay_beyond_loopback_wants_to_be_told_who_may_use_it() {
    let listen = "0.0.0.0:0".parse().unwrap();
    let error = Relay::bind(RelayConfig { listen, ..RelayConfig::default() }).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    for access in [Access::Open, Access::Policy(policy(token(1).policy()))] {
        Relay::bind(RelayConfig { listen, access, ..RelayConfig::default() }).unwrap();
    }
}

#[test]
fn sessions_beyond_the_policy_are_told_a_limit() {
    let one = token(1);
    let relay = relay(&format!("{}sessions = 1\n", one.policy()));
    let first = client(&relay, &one);
    let open_timeout = Duration::from_millis(500);
    let second = Config { open_timeout, ..config(&relay, Some(Token::value(one.token()))) };
    assert_eq!(Client::open(second.clone()).unwrap_err(), ResourceError::Relay.into());
    first.close(LONG).unwrap();
    Client::open(Config { open_timeout: LONG, ..second }).unwrap();
}

#[test]
fn octets_beyond_the_policy_are_held_back_and_none_is_lost() {
    const LEN: usize = 400_000;
    let slow = token(1);
    let relay = relay(&format!("{}octets_per_second = 100000\n", slow.policy()));
    let listener = client(&relay, &slow).listen("slow:1").unwrap();
    let mut sent = client(&relay, &slow).connect("slow:1").unwrap();
    let mut got = listener.accept_timeout(LONG).unwrap();
    let begun = Instant::now();
    let sender = thread::spawn(move || {
        sent.write_all(&pattern(LEN)).unwrap();
        sent.shutdown(std::net::Shutdown::Write).unwrap();
        sent.wait_acked(LONG).unwrap();
    });
    let mut octets = Vec::new();
    got.read_to_end(&mut octets).unwrap();
    assert!(octets == pattern(LEN));
    drop(got);
    sender.join().unwrap();
    // All but the first second's worth, and what the waits that are cut to 2 s let through.
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(relay.admission().held_back > 0);
}

/// Waits for an event, past others.
pub fn wait_event(client: &Client, mut is_it: impl FnMut(&ClientEvent) -> bool) {
    while !is_it(&client.wait_event(LONG).expect("the event comes")) {}
}
