//! The socket API end to end: real clients, a real relay, real HTTP on loopback.
#![cfg(all(feature = "client", feature = "relay"))]

mod blocking;
mod cancel;
mod datagrams;
mod ending;
mod full;
mod hooks;
mod hostile;
mod idle;
mod naive;
mod refusals;
mod single;
mod stranger;
mod streams;

use std::time::Duration;

use byway::client::{Client, Config};
use byway::relay::{Relay, RelayConfig};
use byway::session::Profile;

/// Far beyond what anything takes here; a test that waits so long has failed.
const LONG: Duration = Duration::from_secs(20);

fn relay() -> Relay {
    Relay::bind(RelayConfig::default()).unwrap()
}

fn config(relay: &Relay) -> Config {
    let profile = Profile { channels: 8, ring: 16 * 1024, listeners: 4, io_buffer: 8 * 1024 };
    Config { profile, ..Config::new(relay.url()) }
}

fn client(relay: &Relay) -> Client {
    Client::open(config(relay)).unwrap()
}

/// Bytes that show any shift or repeat.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}
