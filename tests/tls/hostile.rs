//! Handshakes that do not get on, and a relay that is full.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use byway::client::{Client, Config};
use byway::error::{Error, ResourceError};
use byway::relay::RelayConfig;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{DEADLINE, Pair, ask, client, https, line};

/// Handshakes that begin and do not go on.
const HALF: usize = 1_000;

/// The beginning of a record with a handshake, of 512 octets.
const BEGUN: [u8; 6] = [22, 3, 1, 2, 0, 1];

/// A new client, alone or beside such handshakes, is served within this.
const SOON: Duration = Duration::from_secs(3);

fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Waits for the end of a connection.
fn ends(mut stream: TcpStream) {
    stream.set_read_timeout(Some(DEADLINE)).expect("not zero");
    loop {
        match stream.read(&mut [0; 256]) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn half(to: SocketAddr, octets: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(to).expect("connects");
    stream.write_all(octets).expect("writes");
    stream
}

#[test]
fn half_handshakes_hold_nobody_up_and_end_at_their_deadline() {
    raise_descriptors();
    let pair = Pair::new();
    let head_timeout = Duration::from_secs(5);
    let relay = pair.relay_with(RelayConfig { head_timeout, ..RelayConfig::default() });
    let port = relay.local_addr().port();
    let began = Instant::now();
    let held: Vec<_> = (0..HALF).map(|_| half(relay.local_addr(), &BEGUN)).collect();
    while relay.connections().open < HALF && began.elapsed() < head_timeout {
        std::thread::yield_now();
    }
    for _ in 0..10 {
        let newcomer = Instant::now();
        ask(&mut line(port, &pair));
        assert!(newcomer.elapsed() < SOON, "{:?}", newcomer.elapsed());
    }
    held.into_iter().for_each(ends);
    while relay.connections().open > 0 {
        assert!(began.elapsed() < DEADLINE, "{:?}", relay.connections());
        std::thread::yield_now();
    }
}

#[test]
fn handshakes_that_trickle_do_not_prolong_their_time() {
    let pair = Pair::new();
    let head_timeout = Duration::from_secs(2);
    let relay = pair.relay_with(RelayConfig { head_timeout, ..RelayConfig::default() });
    let mut stream = half(relay.local_addr(), &BEGUN);
    let began = Instant::now();
    while stream.write_all(&[0]).is_ok() {
        assert!(began.elapsed() < DEADLINE, "the relay takes octets of a handshake for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(began.elapsed() >= head_timeout / 2);
}

/// With a place for one connection a half handshake, which has a place, gives way.
#[test]
fn half_handshake_gives_its_place_to_a_newcomer() {
    let pair = Pair::new();
    let relay = pair.relay_with(RelayConfig { max_connections: 1, ..RelayConfig::default() });
    let held = half(relay.local_addr(), &BEGUN);
    while relay.connections().open == 0 {
        std::thread::yield_now();
    }
    ask(&mut line(relay.local_addr().port(), &pair));
    ends(held);
    assert_eq!(relay.connections().evicted, 1);
}

#[test]
fn full_relay_says_so_over_tls() {
    let pair = Pair::new();
    let relay = pair.relay_with(RelayConfig { max_connections: 1, ..RelayConfig::default() });
    let url = https(relay.local_addr().port());
    let config = || Config { roots: pair.roots(), ..Config::new(url.as_str()) };
    let open = Client::open(config()).expect("opens");
    let listener = open.listen("here:1").expect("listens");
    while relay.connections().served == 0 {
        std::thread::yield_now();
    }
    let short = Config { open_timeout: Duration::from_secs(1), ..config() };
    match Client::open(short) {
        Err(Error::Resource(ResourceError::Full { .. })) => {}
        other => panic!("{other:?}"),
    }
    drop((listener, open));
}

#[test]
fn refusals_take_few_handshakes_a_second_and_the_others_none() {
    const TRIES: u64 = 400;
    let pair = Pair::new();
    let relay = pair.relay_with(RelayConfig { max_connections: 1, ..RelayConfig::default() });
    let port = relay.local_addr().port();
    let open = client(&https(port), pair.roots());
    let listener = open.listen("here:1").expect("listens");
    while relay.connections().served == 0 {
        std::thread::yield_now();
    }
    let (began, before) = (Instant::now(), relay.connections().refused);
    let mut answered = 0;
    for _ in 0..TRIES {
        let mut text = Vec::new();
        // One that gets no handshake ends in an error.
        let _ = line(port, &pair).read_to_end(&mut text);
        answered += u64::from(text.starts_with(b"HTTP/1.1 503 "));
    }
    let most = 64 + 50 * (began.elapsed().as_secs() + 1);
    assert!((1..=most).contains(&answered), "{answered} of at most {most}");
    assert!(relay.connections().refused >= before + TRIES, "all of them were refused");
    drop((listener, open));
}

/// Neither TLS nor HTTP, and TLS that is none: no panic, no answer but an end, and others are served.
#[test]
fn junk_at_a_port_of_tls_ends() {
    let pair = Pair::new();
    let relay = pair.relay();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..200 {
        let mut octets = vec![0; 1 + round * 7 % 300];
        for octet in &mut octets {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            *octet = seed as u8;
        }
        if round % 2 == 0 {
            octets.splice(0..0, [22, 3, 3, 0, 200]);
        }
        let stream = half(relay.local_addr(), &octets);
        stream.shutdown(std::net::Shutdown::Write).expect("open");
        ends(stream);
    }
    ask(&mut line(relay.local_addr().port(), &pair));
    while relay.connections().open > 0 {
        std::thread::yield_now();
    }
}
