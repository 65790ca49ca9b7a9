//! A client that roams: from an office with a proxy to a network with none, and to one with another
//! proxy, while its stream carries on both ways.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

use byway::client::{Config, Stream};
use byway::session::Pace;
use byway::transport::Proxy;
use byway::transport::Roots;

use crate::daemon::{Daemon, wait_for};
use crate::origin::Tap;
use crate::tunnel::tls_front;
use crate::{DEADLINE, PACES, carry, client, http, join, pattern, relay};

/// The least number of octets that arrive each way in each network.
const LEN: u64 = 1 << 20;

/// Octets of a write and of a read.
const PIECE: usize = 50_000;

/// Writes until `is_over`; gives the number of octets.
fn write(mut to: &Stream, key: u64, over: &AtomicBool) -> u64 {
    let mut sent = 0;
    while !over.load(SeqCst) {
        to.write_all(&pattern(key, sent, PIECE)).expect("writes");
        sent += PIECE as u64;
    }
    to.shutdown(Shutdown::Write).expect("ends");
    sent
}

/// Reads to the end, and checks every octet; gives the number of octets.
fn read(mut from: &Stream, key: u64, came: &AtomicU64) -> u64 {
    from.set_read_timeout(Some(DEADLINE)).expect("not zero");
    let mut buffer = vec![0; PIECE];
    loop {
        let at = came.load(SeqCst);
        match from.read(&mut buffer).expect("reads") {
            0 => return at,
            n => {
                assert!(buffer[..n] == pattern(key, at, n), "not what was written at {at}");
                came.store(at + n as u64, SeqCst);
            }
        }
    }
}

/// The proxies by which requests came to the relay, by their heads: how many by the proxy of this
/// name, and how many by none.
fn ways(tap: &Tap, name: &str) -> (usize, usize) {
    let seen = tap.seen();
    let requests = seen.split("post /v1?n=").skip(1);
    let head = |request: &str| request.split("\r\n\r\n").next().unwrap_or_default().to_owned();
    let heads: Vec<_> = requests.map(head).filter(|head| head.contains("content-length")).collect();
    let by = |name: &str| heads.iter().filter(|head| head.contains(name)).count();
    (by(&format!("({name}")).max(by(&format!(" {name}"))), heads.len() - by("\r\nvia:"))
}

#[test]
fn stream_goes_on_from_one_proxy_to_none_and_to_another() {
    for pace in PACES {
        let relay = relay();
        let tap = Tap::before(relay.local_addr());
        let (office, cafe) = (Daemon::squid(1, &[]), Daemon::tinyproxy(None));
        let config = Config { proxy: Proxy::Url(office.url()), ..Config::new(http(tap.port)) };
        let (phone, pc) = (client(pace, config), client(pace, Config::new(relay.url())));
        let (near, far) = join(&phone, &pc);
        let (over, came) = (AtomicBool::new(false), [AtomicU64::new(0), AtomicU64::new(0)]);
        thread::scope(|scope| {
            let writers =
                [scope.spawn(|| write(&near, 1, &over)), scope.spawn(|| write(&far, 2, &over))];
            let readers =
                [scope.spawn(|| read(&far, 1, &came[0])), scope.spawn(|| read(&near, 2, &came[1]))];
            let goes_on = || {
                let goal = [0, 1].map(|i| came[i].load(SeqCst) + LEN);
                wait_for("octets both ways", || {
                    (0..2).all(|i| came[i].load(SeqCst) >= goal[i]).then_some(())
                });
            };
            goes_on();
            let (by_office, straight) = ways(&tap, "squid");
            assert!(
                by_office > 0 && straight == 0,
                "{by_office} by the office, {straight} straight"
            );

            // A proxy that cannot be used changes nothing.
            let refused = phone.network_changed_with(Proxy::Url("socks5://proxy".into()));
            assert!(refused.is_err());
            phone.network_changed();
            goes_on();
            assert_eq!(ways(&tap, "squid").1, 0, "straight, though nobody said so");

            drop(office);
            phone.network_changed_with(Proxy::Direct).expect("no proxy is one");
            goes_on();
            assert!(ways(&tap, "squid").1 > 0, "nothing came straight");
            assert_eq!(ways(&tap, "tinyproxy").0, 0);

            phone.network_changed_with(Proxy::Url(cafe.url())).expect("a proxy");
            goes_on();
            assert!(ways(&tap, "tinyproxy").0 > 0, "nothing came by the second proxy");

            over.store(true, SeqCst);
            let sent = writers.map(|writer| writer.join().expect("no panic"));
            let got = readers.map(|reader| reader.join().expect("no panic"));
            assert_eq!(got, sent);
        });
    }
}

#[test]
fn tunnel_goes_on_from_one_proxy_to_none_and_to_another() {
    let relay = relay();
    let (nginx, pem) = tls_front(relay.local_addr().port());
    let (office, cafe) = (Daemon::squid(nginx.port, &[]), Daemon::squid(nginx.port, &[]));
    let tunnels = |squid: &Daemon| squid.access().matches("CONNECT localhost:").count();
    let config = Config {
        roots: Roots::Pem(pem.into()),
        proxy: Proxy::Url(office.url()),
        ..Config::new(format!("https://localhost:{}", nginx.port))
    };
    let (phone, pc) =
        (client(Pace::Streaming, config), client(Pace::Streaming, Config::new(relay.url())));
    let (near, far) = join(&phone, &pc);
    carry(&near, &far, LEN as usize);
    phone.network_changed_with(Proxy::Direct).expect("no proxy is one");
    // squid logs a tunnel when it ends.
    wait_for("end of both tunnels", || (tunnels(&office) >= 2).then_some(()));
    drop(office);
    carry(&near, &far, LEN as usize);
    phone.network_changed_with(Proxy::Url(cafe.url())).expect("a proxy");
    carry(&near, &far, LEN as usize);
    phone.network_changed_with(Proxy::Direct).expect("no proxy is one");
    wait_for("end of both tunnels", || (tunnels(&cafe) >= 2).then_some(()));
    carry(&near, &far, LEN as usize);
}
