//! The pace that a client finds behind real proxies, which pass answers on at once, late, or when
//! whole.

use std::io::{Read, Write};
use std::thread;
use std::time::Instant;

use byway::client::{Client, Config, Stream};
use byway::session::Pace;

use crate::daemon::Daemon;
use crate::{DEADLINE, client, http, join, relay};

/// Round trips by which a client that streams shows it: without streaming each would take a park.
const ROUNDS: u64 = 200;

/// Sends a message there and back.
fn round(mut one: &Stream, mut other: &Stream, n: u64) {
    let message = n.to_be_bytes();
    let mut got = [0; 8];
    one.write_all(&message).expect("writes");
    other.read_exact(&mut got).expect("reads");
    other.write_all(&got).expect("writes");
    one.read_exact(&mut got).expect("reads");
    assert_eq!(got, message);
}

fn pair(url: &str) -> (Client, Client, Stream, Stream) {
    let [one, other] = [(); 2].map(|()| client(Pace::Streaming, Config::new(url)));
    let (a, b) = join(&one, &other);
    for stream in [&a, &b] {
        stream.set_read_timeout(Some(DEADLINE)).expect("not zero");
    }
    (one, other, a, b)
}

/// Whether answers stay open, by the number of parks that round trips take.
fn streams(clients: [&Client; 2], a: &Stream, b: &Stream) -> bool {
    let parks = || clients.map(|client| client.stats().parks).iter().sum::<u64>();
    let before = parks();
    (0..ROUNDS).for_each(|n| round(a, b, n));
    parks() - before < ROUNDS
}

#[test]
fn answers_stream_through_squid_and_a_stock_nginx() {
    let relay = relay();
    let port = relay.local_addr().port();
    let nginx = Daemon::nginx(|_, at| {
        let pass = format!("proxy_pass http://127.0.0.1:{port};");
        format!("server {{ listen 127.0.0.1:{at}; location / {{ {pass} }} }}")
    });
    let squid = Daemon::squid(443, &[]);
    let by_squid = |url: String| Config {
        proxy: byway::transport::Proxy::Url(squid.url()),
        ..Config::new(url)
    };
    let (one, other, a, b) = pair(&nginx.url());
    assert!(streams([&one, &other], &a, &b), "nginx: {:?} {:?}", one.stats(), other.stats());
    let far = client(Pace::Streaming, by_squid(http(port)));
    let near = client(Pace::Streaming, Config::new(http(port)));
    let listening = near.listen("near:1").expect("listens");
    let a = far.connect("near:1").expect("connects");
    let b = listening.accept_timeout(DEADLINE).expect("accepts");
    assert!(streams([&far, &near], &a, &b), "squid: {:?} {:?}", far.stats(), near.stats());
}

/// Exchanges messages until both clients have gone over to long polls.
fn falls_back(proxy: &Daemon) {
    let (one, other, a, b) = pair(&proxy.url());
    let content = |client: &Client| {
        let before = client.stats();
        round(&a, &b, 0);
        let after = client.stats();
        after.late >= 2 && after.parks > before.parks && after.streams == before.streams
    };
    let until = Instant::now() + DEADLINE;
    while !(content(&one) && content(&other)) {
        let both = format!("{:?} {:?}", one.stats(), other.stats());
        assert!(Instant::now() < until, "they go on streaming: {both}");
        thread::yield_now();
    }
    assert!(!streams([&one, &other], &a, &b));
}

#[test]
fn client_long_polls_where_answers_pass_only_whole() {
    let relay = relay();
    falls_back(&Daemon::varnish_that_holds(relay.local_addr()));
}

#[test]
fn client_long_polls_where_answers_are_held_back() {
    let relay = relay();
    falls_back(&Daemon::haproxy(relay.local_addr()));
}
