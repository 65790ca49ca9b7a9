//! Clients of different addresses, as a named proxy tells them, at a relay with its default limits: what they
//! do to each other as they are meant to is under none of the limits.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, Config};
use byway::relay::{Access, Relay, RelayConfig};
use byway::session::Pace;

use super::{LONG, config, pattern};

fn behind_proxy() -> Relay {
    let trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    let access = Access::Open;
    Relay::bind(RelayConfig { access, trusted_proxies, ..RelayConfig::default() }).unwrap()
}

fn client_at(relay: &Relay, address: &str, pace: Pace) -> Client {
    let headers = vec![("X-Forwarded-For".into(), address.into())];
    Client::open(Config { headers, pace, ..config(relay) }).unwrap()
}

#[test]
fn battery_phone_gets_every_datagram_of_a_peer_that_it_answers_seldom() {
    let relay = behind_proxy();
    let phone = client_at(&relay, "203.0.113.7", Pace::Battery);
    let peer = client_at(&relay, "203.0.113.8", Pace::Streaming);
    let listener = phone.listen_datagram("phone:1").unwrap();
    let channel = peer.connect_datagram("phone:1").unwrap();
    let accepted = listener.accept_timeout(LONG).unwrap();
    accepted.set_read_timeout(Some(LONG)).unwrap();
    // Far more than a stranger may wake it.
    for n in 0..200_u32 {
        channel.send(&n.to_be_bytes()).unwrap();
        thread::sleep(Duration::from_millis(25));
    }
    let mut octets = [0; 64];
    for n in 0..200_u32 {
        assert_eq!(accepted.recv(&mut octets).unwrap(), 4);
        assert_eq!(octets[..4], n.to_be_bytes());
    }
    assert_eq!(relay.stats().junk_held_back, 0, "{:?}", relay.stats());
}

#[test]
fn round_trips_by_long_polls_are_under_no_limit() {
    let relay = behind_proxy();
    let server = client_at(&relay, "203.0.113.7", Pace::LongPoll);
    let peer = client_at(&relay, "203.0.113.8", Pace::LongPoll);
    let listener = server.listen("echo:1").unwrap();
    let stream = peer.connect("echo:1").unwrap();
    let accepted = listener.accept_timeout(LONG).unwrap();
    let echo = thread::spawn(move || {
        let mut octets = [0; 64];
        while (&accepted).read_exact(&mut octets).is_ok() {
            (&accepted).write_all(&octets).unwrap();
        }
    });
    let (began, mut octets) = (Instant::now(), [5; 64]);
    for _ in 0..1_000 {
        (&stream).write_all(&octets).unwrap();
        (&stream).read_exact(&mut octets).unwrap();
    }
    assert!(began.elapsed() < 3 * LONG, "{:?}", began.elapsed());
    assert_eq!(relay.stats().junk_held_back, 0, "{:?}", relay.stats());
    stream.close().unwrap();
    echo.join().unwrap();
}

#[test]
fn bulk_one_way_is_under_no_limit() {
    let relay = behind_proxy();
    for pace in [Pace::Streaming, Pace::LongPoll] {
        let server = client_at(&relay, "203.0.113.7", pace);
        let peer = client_at(&relay, "203.0.113.8", pace);
        let listener = server.listen("sink:1").unwrap();
        let stream = peer.connect("sink:1").unwrap();
        let accepted = listener.accept_timeout(LONG).unwrap();
        let sent = pattern(8 << 20);
        let sending = thread::spawn({
            let sent = sent.clone();
            move || {
                (&stream).write_all(&sent).unwrap();
                stream.close().unwrap();
            }
        });
        let mut came = Vec::new();
        (&accepted).read_to_end(&mut came).unwrap();
        assert!(came == sent, "{pace:?}");
        sending.join().unwrap();
    }
    let stats = relay.stats();
    let held_back = (stats.junk_held_back, stats.over_share, stats.requests_refused);
    assert_eq!(held_back, (0, 0, 0), "{stats:?}");
}
