//! A Cortex-M4 program that talks through byway, on the smallest of terms: no allocator, one serial
//! line that is wired to the relay's TCP port, 24 octets of randomness from its board.
//!
//! It connects to `peer:1`, or with the feature `listen` listens at `device:1` and accepts; then
//! 64 KiB go each way at once, checked octet by octet, and both directions are closed. What it has to
//! say it says by semihosting, its exit code too.
#![no_std]
#![no_main]

mod board;
mod memory;
mod octets;
mod stack;
mod uart;

use byway::device::{Device, RelayAddress};
use byway::error::Error;
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
        Err(Fault::Byway(_)) => "\nFAILED: session ended\n",
    });
    board::exit(result.is_ok())
}

enum Fault {
    Byway(Error),
    /// What came is not what was to come.
    Pattern,
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
}

/// The channel, once both ends know each other.
#[cfg(not(feature = "listen"))]
fn meet(device: &mut Talker) -> Result<ChannelId, Error> {
    const PEER: Endpoint = Endpoint { name: Name::constant("peer"), port: 1 };
    let id = device.session().connect(board::now(), PEER, Kind::Stream, &[])?;
    while !device.session().connected(id)? {
        device.poll(board::now());
    }
    Ok(id)
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
