//! Gateways with limits: one connection a client, one request at a time, or a rate of requests. One
//! peer of each pair is behind the gateway, the other is not.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, Config, Stream};
use byway::relay::Relay;

use crate::daemon::Daemon;
use crate::{DEADLINE, carry, http, join, relay};

/// The pause between two keys.
const TYPING: Duration = Duration::from_millis(300);
/// Keys, where they are counted.
const KEYS: usize = 40;
/// The last value behind the keys.
const LAST: u64 = u64::MAX;
/// The longest time until the first echo. The aim is 15 s; a hang takes this long.
const FIRST: Duration = Duration::from_secs(40);
/// Half of the echoes take less than this once the client has found out what it is behind.
const ECHO: Duration = Duration::from_secs(1);
/// So many echoes in a row show that it has.
const SETTLED: usize = 12;
/// Keys until then at most: of some seconds each, on a machine so busy that it finds out late.
const MOST_KEYS: usize = 80;

/// The times of a run.
#[derive(Debug)]
struct Took {
    /// From the opening of the client to the first echo.
    first: Duration,
    /// The times of the echoes after the first.
    echoes: Vec<Duration>,
}

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// Keys and their echoes, until these are enough.
fn type_keys(
    begun: Instant,
    mut near: &Stream,
    far: &Stream,
    enough: impl Fn(&[Duration]) -> bool,
) -> Took {
    near.set_read_timeout(Some(DEADLINE)).expect("not zero");
    far.set_read_timeout(Some(DEADLINE)).expect("not zero");
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut from, mut to, mut key) = (far, far, [0; 8]);
            while key != LAST.to_be_bytes() {
                from.read_exact(&mut key).expect("reads");
                to.write_all(&key).expect("writes");
            }
        });
        let mut echo = |n: u64| {
            let mut key = [0; 8];
            near.write_all(&n.to_be_bytes()).expect("writes");
            near.read_exact(&mut key).expect("reads");
            assert_eq!(key, n.to_be_bytes());
        };
        echo(0);
        let first = begun.elapsed();
        let mut echoes = Vec::new();
        while !enough(&echoes) {
            thread::sleep(TYPING);
            let begun = Instant::now();
            echo(echoes.len() as u64 + 1);
            echoes.push(begun.elapsed());
        }
        echo(LAST);
        Took { first, echoes }
    })
}

/// Whether the client has found out what it is behind.
fn is_settled(echoes: &[Duration]) -> bool {
    let Some(at) = echoes.len().checked_sub(SETTLED) else { return false };
    echoes[at..].iter().filter(|echo| **echo < ECHO).count() > SETTLED / 2
}

/// A client behind the front, one that is not, and the stream that they make; either may listen.
fn pair(front: &str, relay: &Relay, listens_behind: bool) -> ([Client; 2], [Stream; 2]) {
    let open = |url: &str| {
        let config = Config { connect_timeout: DEADLINE, ..Config::new(url) };
        Client::open(config).expect("the relay answers")
    };
    let (near, far) = (open(front), open(&http(relay.local_addr().port())));
    let (listening, connecting) = if listens_behind { (&near, &far) } else { (&far, &near) };
    let (came, out) = join(listening, connecting);
    let streams = if listens_behind { [came, out] } else { [out, came] };
    ([near, far], streams)
}

/// Checks that keys are echoed, soon once the client knows its gateway, and that bulk data cross.
fn serves(front: impl Fn(u16) -> Daemon + Sync) {
    both([false, true], |listens_behind| {
        let relay = relay();
        let front = front(relay.local_addr().port());
        let begun = Instant::now();
        let ([near, _far], [here, there]) = pair(&front.url(), &relay, listens_behind);
        let took = type_keys(begun, &here, &there, |echoes| {
            is_settled(echoes) || echoes.len() == MOST_KEYS
        });
        println!("listens behind it: {listens_behind}: {took:?}, {:?}", near.stats());
        assert!(took.first < FIRST, "{took:?}");
        assert!(is_settled(&took.echoes), "{took:?}");
        carry(&here, &there, 300_000);
    });
}

/// Runs tests that mostly wait, both at once.
fn both<T: Copy + Send>(cases: [T; 2], test: impl Fn(T) + Sync) {
    thread::scope(|scope| {
        for case in cases {
            let test = &test;
            scope.spawn(move || test(case));
        }
    });
}

#[test]
fn haproxy_that_allows_one_connection_is_passed() {
    let front = "stick-table type ip size 100 expire 1h store conn_cur\n\
                 tcp-request connection track-sc0 src\n\
                 tcp-request connection reject if { sc0_conn_cur gt 1 }\n";
    serves(|relay| Daemon::haproxy_with(front, loopback(relay), ""));
}

#[test]
fn nginx_that_allows_one_request_is_passed() {
    serves(|relay| {
        Daemon::nginx(|_, at| {
            format!(
                "limit_conn_zone $binary_remote_addr zone=one:1m;\n\
                 server {{ listen 127.0.0.1:{at}; location / {{ limit_conn one 1; \
                 proxy_pass http://127.0.0.1:{relay}; }} }}"
            )
        })
    });
}

#[test]
fn haproxy_that_queues_all_but_one_request_is_passed() {
    serves(|relay| Daemon::haproxy_with("", loopback(relay), "maxconn 1"));
}

#[test]
fn nginx_that_limits_requests_is_asked_less() {
    both(["", "add_header Retry-After 1 always;"], |header| {
        let relay = relay();
        let port = relay.local_addr().port();
        let nginx = Daemon::nginx(|_, at| {
            format!(
                "limit_req_zone $binary_remote_addr zone=few:1m rate=5r/s;\n\
                 limit_req_status 429;\n\
                 server {{ listen 127.0.0.1:{at}; location / {{ limit_req zone=few burst=3 nodelay; \
                 {header} proxy_pass http://127.0.0.1:{port}; }} }}"
            )
        });
        let begun = Instant::now();
        let ([near, _far], [here, there]) = pair(&nginx.url(), &relay, false);
        let took = type_keys(begun, &here, &there, |echoes| echoes.len() == KEYS);
        let access = nginx.access();
        let refused = access.lines().filter(|line| line.contains("\" 429 ")).count();
        let all = access.lines().count();
        println!("{header:?}: {refused} of {all} refused, {took:?}, {:?}", near.stats());
        assert!(refused * 5 < all, "{refused} of {all} refused");
    });
}
