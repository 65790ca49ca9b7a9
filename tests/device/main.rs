//! Firmware's front on real sockets: a relay in the process, and clients with std as peers.

mod hostile;
mod pair;
mod peer;
// Its lanes are for clients with two connections.
#[allow(dead_code)]
#[path = "../socket/hostile/server.rs"]
mod server;
mod streams;
mod tcp;

use std::net::SocketAddr;
use std::time::Duration;

use byway::client::{Client, Config};
use byway::device::{Device, RelayAddress, Sockets};
use byway::relay::{Relay, RelayConfig};
use byway::secure::{HostDigest, Identity, KeyProof, Secret};
use byway::session::{Anything, Profile, Security, Session, Settings, Single, Storage};

use tcp::{Tcp, Watch};

/// Far longer than any call here takes; a test that waits so long has failed.
const LONG: Duration = Duration::from_secs(20);
const LONG_MS: u32 = 20_000;

/// Octets that go each way.
const LEN: usize = 64 * 1024;

/// Octets of a device's ring: firmware's.
const RING: usize = 2_048;

type Memory = Storage<2, RING, 1, Single>;
type Front<'s> = Sockets<'s, Tcp, Watch, Anything>;

fn relay() -> Relay {
    Relay::bind(RelayConfig::default()).unwrap()
}

fn client(relay: &Relay) -> Client {
    let profile =
        Profile { channels: 4, ring: 16 * 1024, pool: 0, listeners: 2, io_buffer: 8 * 1024 };
    Client::open(Config { profile, ..Config::new(relay.url()) }).unwrap()
}

/// The identity of the device number `n`.
fn identity(n: u8) -> Identity {
    Identity::from_seed([n; 32])
}

/// A device number `n` at `place`, whose link leads to `to`.
fn device<'s>(
    n: u8,
    session: Session<'s, Single>,
    to: SocketAddr,
    place: RelayAddress<'s>,
    head: &'s mut [u8; 512],
) -> Front<'s> {
    let mut sockets = Sockets::new(Device::new(session, Tcp::new(to), place, head), Watch::new());
    sockets.set_timeout(LONG_MS);
    let mut settings = Settings::new([n; 16], n.into());
    let host = HostDigest::of(&to.ip().to_string());
    settings.key_proof = Some(KeyProof::new(&identity(n), &settings.secret, host));
    sockets.open(&settings);
    sockets.encrypt(Security::new(&identity(n), Secret::new([n ^ 0x80; 32])));
    sockets
}

/// Runs `test` with a device that asks `relay` directly.
fn with_device<T>(n: u8, relay: SocketAddr, test: impl FnOnce(&mut Front<'_>) -> T) -> T {
    let authority = relay.to_string();
    let mut memory = Memory::new();
    let mut head = [0; 512];
    test(&mut device(n, memory.session(), relay, RelayAddress::new(&authority), &mut head))
}

/// Bytes that show any shift or repeat.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}
