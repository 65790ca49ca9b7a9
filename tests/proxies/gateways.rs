//! Gateways with limits: one connection a client, one request at a time, so many requests a second.
//! One peer of each pair is behind the gateway, the other is not.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, Config, Stream};
use byway::relay::Relay;

use crate::daemon::Daemon;
use crate::{DEADLINE, carry, http, join, relay};

/// Between two keys.
const TYPING: Duration = Duration::from_millis(300);
/// Keys: half of them while the client finds out what it is behind, in some ten seconds.
const KEYS: u64 = 60;
/// Until the first echo. What it is aimed at is 15 s; this is what a hang takes.
const FIRST: Duration = Duration::from_secs(40);
/// Half of the echoes that follow when it has found out take less.
const ECHO: Duration = Duration::from_secs(1);

/// How long things took.
#[derive(Debug)]
struct Took {
    /// Until the first echo, from the opening of the client on.
    first: Duration,
    /// Echoes after that.
    echoes: Vec<Duration>,
}

/// Keys and their echoes.
fn type_keys(begun: Instant, mut near: &Stream, far: &Stream) -> Took {
    near.set_read_timeout(Some(DEADLINE)).expect("not zero");
    far.set_read_timeout(Some(DEADLINE)).expect("not zero");
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut from, mut to, mut key) = (far, far, [0; 8]);
            for _ in 0..=KEYS {
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
        let echoes = (1..=KEYS)
            .map(|n| {
                thread::sleep(TYPING);
                let begun = Instant::now();
                echo(n);
                begun.elapsed()
            })
            .collect();
        Took { first, echoes }
    })
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

/// Keys are echoed, soon once the client has found out what it is behind; and much crosses.
fn serves(front: &Daemon, relay: &Relay) {
    for listens_behind in [false, true] {
        let begun = Instant::now();
        let ([near, _far], [here, there]) = pair(&front.url(), relay, listens_behind);
        let mut took = type_keys(begun, &here, &there);
        println!("listens behind it: {listens_behind}: {took:?}, {:?}", near.stats());
        assert!(took.first < FIRST, "{took:?}");
        let settled = &mut took.echoes[KEYS as usize / 2..];
        settled.sort();
        assert!(settled[settled.len() / 2] < ECHO, "{settled:?}");
        carry(&here, &there, 300_000);
    }
}

#[test]
fn haproxy_that_allows_one_connection_is_passed() {
    let relay = relay();
    let front = "stick-table type ip size 100 expire 1h store conn_cur\n\
                 tcp-request connection track-sc0 src\n\
                 tcp-request connection reject if { sc0_conn_cur gt 1 }\n";
    serves(&Daemon::haproxy_with(front, relay.local_addr(), ""), &relay);
}

#[test]
fn nginx_that_allows_one_request_is_passed() {
    let relay = relay();
    let port = relay.local_addr().port();
    let nginx = Daemon::nginx(|_, at| {
        format!(
            "limit_conn_zone $binary_remote_addr zone=one:1m;\n\
             server {{ listen 127.0.0.1:{at}; location / {{ limit_conn one 1; \
             proxy_pass http://127.0.0.1:{port}; }} }}"
        )
    });
    serves(&nginx, &relay);
}

#[test]
fn haproxy_that_queues_all_but_one_request_is_passed() {
    let relay = relay();
    serves(&Daemon::haproxy_with("", relay.local_addr(), "maxconn 1"), &relay);
}

#[test]
fn nginx_that_limits_requests_is_asked_less() {
    let relay = relay();
    let port = relay.local_addr().port();
    for header in ["", "add_header Retry-After 1 always;"] {
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
        let took = type_keys(begun, &here, &there);
        let access = nginx.access();
        let refused = access.lines().filter(|line| line.contains("\" 429 ")).count();
        let all = access.lines().count();
        println!("{header:?}: {refused} of {all} refused, {took:?}, {:?}", near.stats());
        assert!(refused * 5 < all, "{refused} of {all} refused");
    }
}
