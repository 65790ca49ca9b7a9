//! Real proxies on loopback: squid and tinyproxy as the client's own, nginx before the relay; real NATS servers between
//! relays.
//! `tests/run` installs them.

mod certificates;
mod closing;
mod cluster;
mod daemon;
mod deploy;
mod device;
mod environment;
mod explicit;
mod foreign;
mod gateways;
mod origin;
mod pace;
mod proxy_protocol;
mod roam;
mod scanner;
mod slow;
#[path = "../device/tcp.rs"]
mod tcp;
mod tls;
mod tunnel;

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use byway::client::{Client, Config, Stream};
use byway::relay::{Access, Relay, RelayConfig};
use byway::session::Pace;

/// Longer than any step takes on a slow and busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The paces that differ on the wire, at each of which the tests receive.
pub const PACES: [Pace; 2] = [Pace::Streaming, Pace::LongPoll];

/// A relay in this process, for clients behind proxies too.
pub fn relay() -> Relay {
    Relay::bind(RelayConfig { access: Access::Open, ..RelayConfig::default() }).expect("a port")
}

/// A URL of a server on loopback.
pub fn http(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Bytes that show any shift or repeat, from offset `at` on.
pub fn pattern(key: u64, at: u64, len: usize) -> Vec<u8> {
    let octet =
        |i: u64| (i.wrapping_add(key << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8;
    (at..at + len as u64).map(octet).collect()
}

/// Two clients, joined: the listener's stream, then the connector's.
pub fn join(listener: &Client, connector: &Client) -> (Stream, Stream) {
    let listening = listener.listen("there:1").expect("listens");
    let stream = connector.connect("there:1").expect("connects");
    (listening.accept_timeout(DEADLINE).expect("accepts"), stream)
}

/// Carries this many bytes each way at once, and checks every byte.
pub fn carry(one: &Stream, other: &Stream, len: usize) {
    thread::scope(|scope| {
        for (key, from, to) in [(1, one, other), (2, other, one)] {
            scope.spawn(move || {
                let mut from = from;
                from.write_all(&pattern(key, 0, len)).expect("writes");
                from.wait_acked(DEADLINE).expect("acknowledged");
            });
            scope.spawn(move || {
                let mut to = to;
                to.set_read_timeout(Some(DEADLINE)).expect("not zero");
                let mut got = vec![0; len];
                to.read_exact(&mut got).expect("reads");
                assert!(got == pattern(key, 0, len), "not the bytes that were written");
            });
        }
    });
}

/// A client at this pace, with this configuration.
pub fn client(pace: Pace, config: Config) -> Client {
    Client::open(Config { pace, ..config }).expect("the relay answers")
}
