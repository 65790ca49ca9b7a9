//! Who may use the relay, end to end: real clients, a real relay with a policy, real HTTP on loopback.
#![cfg(all(feature = "client", feature = "relay"))]

mod device;
mod names;
mod rotation;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use byway::client::{Client, Config};
use byway::relay::{Access, NewToken, Policy, Relay, RelayConfig};
use byway::session::Profile;
use byway::transport::Token;

/// Far beyond what any call takes here; a test that waits so long has failed.
const LONG: Duration = Duration::from_secs(60);

/// A token made of this octet.
fn token(n: u8) -> NewToken {
    NewToken::new(&format!("token-{n}"), &[n; 32])
}

fn policy(text: &str) -> Arc<Policy> {
    Arc::new(Policy::parse(text).unwrap())
}

/// A relay that lets the bearers of these policy lines in.
fn relay(text: &str) -> Relay {
    let access = Access::Policy(policy(text));
    Relay::bind(RelayConfig { access, ..RelayConfig::default() }).unwrap()
}

fn config(relay: &Relay, token: Option<Token>) -> Config {
    let profile =
        Profile { channels: 4, ring: 64 * 1024, pool: 0, listeners: 4, io_buffer: 16 * 1024 };
    Config { profile, token, ..Config::new(relay.url()) }
}

fn client(relay: &Relay, token: &NewToken) -> Client {
    Client::open(config(relay, Some(Token::value(token.token())))).unwrap()
}

/// Bytes that show any shift or repeat.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}
