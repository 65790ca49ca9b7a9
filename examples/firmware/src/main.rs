//! A Cortex-M4 program that talks through byway, on the smallest of terms: no allocator, one serial
//! line that is wired to the relay's TCP port, 24 octets of randomness from its board.
//!
//! It connects to `peer:1`, or with the feature `listen` listens at `device:1` and accepts; then
//! 64 KiB go each way at once, checked octet by octet, and both directions are closed. What it has to
//! say it says by semihosting, its exit code too. With the feature `secure` all of it is encrypted, and
//! the peer is to have the key that is burned in.
#![no_std]
#![no_main]

mod board;
mod memory;
mod octets;
mod stack;
mod uart;

use byway::device::{Device, RelayAddress};
#[cfg(all(feature = "secure", not(feature = "listen")))]
use byway::error::ConfigError;
use byway::error::Error;
#[cfg(all(feature = "secure", not(feature = "listen")))]
use byway::secure::PublicKey;
#[cfg(feature = "secure")]
use byway::secure::{Identity, Secret};
#[cfg(feature = "secure")]
use byway::session::Security;
use byway::session::{ChannelId, Half, Purpose, Settings, Single, Storage};
use byway::wire::Name;
use byway::{Endpoint, Kind};
use cortex_m_rt::entry;

use octets::Pattern;
use uart::Uart;

/// What this program does with its session.
#[derive(Debug)]
struct Talk;

impl Purpose for Talk {
    const LISTENS: bool = cfg!(feature = "listen");
    const CONNECTS: bool = !Self::LISTENS;
    const DATAGRAMS: bool = false;
    const GREETS: bool = false;
    const KEEPALIVE: bool = false;
}

/// Listeners that the session has room for.
const LISTENERS: usize = Talk::LISTENS as usize;
/// Octets that go each way.
const TOTAL: u32 = 64 << 10;
/// Octets of the buffer for heads of answers: the relay's have about 200.
const HEAD: usize = 256;
/// Octets that go between the application and its rings at once.
const PIECE: usize = 64;

/// A session of the profile TINY.
type Memory = Storage<2, 1024, LISTENERS, Single<Talk>>;

#[entry]
fn main() -> ! {
    // Each is given once: `main` runs once, and cortex-m-rt makes statics in it `&'static mut`.
    static mut STORAGE: Memory = Storage::new();
    static mut HEAD_BUFFER: [u8; HEAD] = [0; HEAD];

    stack::paint();
    board::start_clock();
    let session = STORAGE.session();
    let mut device = Device::new(session, Uart::new(), RelayAddress::new("relay"), HEAD_BUFFER);
    let result = talk(&mut device);
    board::say("stack: ");
    board::say_number(stack::used());
    board::say(match result {
        Ok(()) => "\ndone\n",
        Err(Fault::Pattern) => "\nFAILED: wrong octets\n",
        #[cfg(feature = "secure")]
        Err(Fault::Key) => "\nFAILED: the peer has another key\n",
        Err(Fault::Byway(_)) => "\nFAILED: session ended\n",
    });
    board::exit(result.is_ok())
}

enum Fault {
    Byway(Error),
    /// What came is not what was to come.
    Pattern,
    /// The peer has another key.
    #[cfg(feature = "secure")]
    Key,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Byway(error)
    }
}

type Talker = Device<'static, Uart, Talk>;

fn talk(device: &mut Talker) -> Result<(), Fault> {
    open(device);
    let id = meet(device)?;
    #[cfg(feature = "secure")]
    if !knows(device, id)? {
        return Err(Fault::Key);
    }
    let (mut sent, mut received) = (Pattern::new(0), Pattern::new(1));
    let mut piece = [0; PIECE];
    let mut is_over = false;
    while !(is_over && device.session().acked(id)?) {
        let now = board::now();
        device.poll(now);
        let session = device.session();
        session.is_open()?;
        if sent.count < TOTAL {
            // What does not fit is made again.
            let mut next = sent;
            let octets = next.fill(&mut piece);
            let n = session.write(now, id, octets)?;
            sent.skip(n);
            if sent.count == TOTAL {
                session.shutdown(now, id, Half::Write)?;
            }
        }
        match session.read(now, id, &mut piece)? {
            Some(0) => is_over = true,
            Some(n) if received.matches(&piece[..n]) => {}
            Some(_) => return Err(Fault::Pattern),
            None => {}
        }
    }
    if received.count != TOTAL {
        return Err(Fault::Pattern);
    }
    close(device, id);
    Ok(())
}

/// Opens the session, of a new secret.
#[inline(never)] // its settings need not stay on the stack
fn open(device: &mut Talker) {
    let (secret, seed) = board::randomness();
    device.session().open(board::now(), &Settings::new(secret, seed));
    #[cfg(feature = "secure")]
    encrypt(device);
}

/// Encrypts all channels.
#[cfg(feature = "secure")]
#[inline(never)] // nor its keys
fn encrypt(device: &mut Talker) {
    let board::Provision { entropy, seed, .. } = board::provision();
    let security = Security::new(&Identity::from_seed(seed), Secret::new(entropy));
    device.session().encrypt(security);
}

/// Whether the peer of the channel has the key that is burned in.
#[cfg(feature = "secure")]
#[inline(never)] // nor this
fn knows(device: &mut Talker, id: ChannelId) -> Result<bool, Error> {
    let key = device.session().peer_key(id)?;
    Ok(key.is_some_and(|key| *key.as_bytes() == board::provision().peer))
}

/// The channel, once both ends know each other.
#[cfg(not(feature = "listen"))]
fn meet(device: &mut Talker) -> Result<ChannelId, Error> {
    let id = dial(device)?;
    while !device.session().connected(id)? {
        device.poll(board::now());
    }
    Ok(id)
}

#[cfg(not(feature = "listen"))]
const PEER: Endpoint = Endpoint { name: Name::constant("peer"), port: 1 };

#[cfg(all(not(feature = "listen"), not(feature = "secure")))]
fn dial(device: &mut Talker) -> Result<ChannelId, Error> {
    device.session().connect(board::now(), PEER, Kind::Stream, &[])
}

#[cfg(all(not(feature = "listen"), feature = "secure"))]
#[inline(never)] // nor the handshake's beginning
fn dial(device: &mut Talker) -> Result<ChannelId, Error> {
    let key = PublicKey::from_bytes(board::provision().peer)
        .map_err(|_| ConfigError::Unsupported("the peer's key that is burned in is none"))?;
    device.session().connect_to_key(board::now(), PEER, Kind::Stream, &[], &key)
}

/// The channel, once a peer has connected.
#[cfg(feature = "listen")]
fn meet(device: &mut Talker) -> Result<ChannelId, Error> {
    const HERE: Endpoint = Endpoint { name: Name::constant("device"), port: 1 };
    let listener = device.session().listen(board::now(), HERE, Kind::Stream, 1)?;
    loop {
        let now = board::now();
        device.poll(now);
        device.session().is_open()?;
        if let Some(id) = device.session().accept(now, listener)? {
            return Ok(id);
        }
    }
}

/// Tells the relay and waits until the last word is out.
fn close(device: &mut Talker, id: ChannelId) {
    let now = board::now();
    device.session().release(now, id);
    device.session().close(now);
    while !device.session().is_closed() {
        device.poll(board::now());
    }
}
