//! The socket API end to end: real clients, a real relay, real HTTP on loopback.
#![cfg(all(feature = "client", feature = "relay"))]

mod blocking;
mod cancel;
mod datagrams;
mod ending;
mod full;
mod greetings;
mod hooks;
mod hostile;
mod idle;
mod key_names;
mod naive;
mod nonblocking;
mod origins;
mod refusals;
mod secure;
mod shown;
mod single;
mod stranger;
mod strangers;
mod streams;

use std::os::fd::AsFd;
use std::time::Duration;

use byway::client::{Client, Config, PollFd, Security};
use byway::relay::{Relay, RelayConfig};
use byway::session::Profile;
use rustix::event::{PollFlags, Timespec, poll};

/// Far beyond what any call takes here; a test that waits so long has failed.
const LONG: Duration = Duration::from_secs(20);

/// Of each client here.
const CHANNELS: usize = 8;

fn relay() -> Relay {
    Relay::bind(RelayConfig::default()).unwrap()
}

fn config(relay: &Relay) -> Config {
    let profile =
        Profile { channels: CHANNELS, ring: 16 * 1024, pool: 0, listeners: 4, io_buffer: 8 * 1024 };
    Config { profile, ..Config::new(relay.url()) }
}

fn client(relay: &Relay) -> Client {
    Client::open(config(relay)).unwrap()
}

/// A client that does not encrypt, for peers that are made by hand.
fn plain_client(relay: &Relay) -> Client {
    Client::open(Config { security: Security::Plain, ..config(relay) }).unwrap()
}

/// Whether the descriptor is or becomes readable within a time.
fn readable(fd: &PollFd, wait: Duration) -> bool {
    let fd = fd.as_fd();
    let mut fds = [rustix::event::PollFd::new(&fd, PollFlags::IN)];
    let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
    poll(&mut fds, Some(&wait)).expect("poll") > 0
}

/// Bytes that show any shift or repeat.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}
