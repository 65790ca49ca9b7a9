//! A request while it is under way: what it says, and how far it and its answer are.

use heapless::Vec;

use super::backoff::Backoff;
use super::plan::DATA_HEAD;
use crate::wire::{DataFlags, Decoder, HelloFlags, MAX_CONTROL, Route};

/// Most messages (not counting HELLO and ROUTEs) in a request; what does not fit goes with the next.
pub(super) const MAX_ITEMS: usize = 32;

/// What a request says of a slot. Its octets are made when they are sent, from what is true then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Listen,
    Connect,
    Accept,
    Window,
    Final,
    Probe,
    Data,
    Datagram,
    Close,
    Reply,
}

/// Eight octets, since a session has [`MAX_ITEMS`] of them for each lane.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    pub what: What,
    /// Flags of a data message, and [`JUDGED`].
    flags: u8,
    /// Slot of the channel, claim, reply or tombstone.
    pub slot: u16,
    /// Of data its bytes; else octets of the message, its ROUTE with it.
    octets: u32,
}

/// Its verdict came: no flag of the wire's.
const JUDGED: u8 = 0x80;

/// What the data message being read is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    Drop = 0,
    Stream,
    Datagram,
}

/// The data message being read.
#[derive(Debug, Clone, Copy)]
pub struct Incoming {
    pub sink: Sink,
    pub slot: u16,
    pub fin: bool,
    /// Stream: offset of the next byte. Datagram: where in the ring the next octet goes.
    pub at: u64,
    pub number: u64,
    pub len: u32,
}

/// Which way an exchange goes: its request up, then its answer down. Both want room for one control
/// message, and a request is over when its answer begins: it is the same room. All zeros: the
/// beginning.
#[derive(Debug)]
pub enum Course {
    Up(Stage),
    Down(Decoder),
}

/// What stands before the data bytes of an item, while it goes up.
#[derive(Debug)]
pub struct Stage {
    pub octets: [u8; MAX_CONTROL],
    pub len: u8,
    /// So many have gone.
    pub at: u8,
}

impl Course {
    pub const fn new() -> Self {
        Self::Up(Stage::new())
    }

    /// What takes the answer apart. The request is over.
    pub fn decoder(&mut self) -> Option<&mut Decoder> {
        if let Self::Up(_) = self {
            *self = Self::Down(const { Decoder::new() });
        }
        match self {
            Self::Down(decoder) => Some(decoder),
            Self::Up(_) => None,
        }
    }
}

impl Stage {
    pub const fn new() -> Self {
        Self { octets: [0; MAX_CONTROL], len: 0, at: 0 }
    }
}

/// An exchange under way, or the traces of the last one. All zeros is its initial state.
#[derive(Debug)]
#[repr(C)]
pub struct Trip {
    pub active: bool,
    /// It is being broken off on purpose: its failure says nothing of the path.
    pub broken: bool,
    /// READY came meanwhile: a peer may be there again that its verdicts call away.
    pub readied: bool,
    /// Its answer is to stay open.
    pub streams: bool,
    /// It says nothing that anybody waits for.
    pub waits: bool,
    /// This session had the relay end it.
    pub woken: bool,
    /// Its answer brought something that was not there before.
    pub brought: bool,
    pub hello: HelloFlags,
    /// Items whose octets were begun; one more than that once HELLO was.
    pub written: u8,
    pub welcomed: bool,
    pub ended: bool,
    pub end_status: u8,
    pub hold_ms: u32,
    /// Octets of its answer's body so far.
    pub came: u32,
    /// Data bytes in the request.
    pub payload: u32,
    /// Data bytes of the item begun that are still to be written, and where they stand.
    pub bytes_left: u32,
    pub seq: u64,
    pub begun_at: u64,
    pub bytes_at: u64,
    pub plan: Vec<Item, MAX_ITEMS, u8>,
    pub from: Route,
    pub incoming: Incoming,
    /// Of the lane, whatever its exchanges.
    pub backoff: Backoff,
}

impl Trip {
    pub const fn new() -> Self {
        Self {
            active: false,
            broken: false,
            readied: false,
            streams: false,
            waits: false,
            woken: false,
            brought: false,
            seq: 0,
            hello: HelloFlags::NONE,
            hold_ms: 0,
            came: 0,
            begun_at: 0,
            payload: 0,
            plan: Vec::new(),
            written: 0,
            bytes_left: 0,
            bytes_at: 0,
            welcomed: false,
            ended: false,
            end_status: 0,
            from: Route { peer: crate::wire::Address::RELAY, channel: crate::wire::Channel::NONE },
            incoming: Incoming { sink: Sink::Drop, slot: 0, fin: false, at: 0, number: 0, len: 0 },
            backoff: Backoff::new(),
        }
    }

    /// The item whose head was staged last has `bytes` data bytes, which stand at `at`.
    pub fn give(&mut self, at: u64, bytes: u32) {
        self.bytes_left = bytes;
        self.bytes_at = at;
    }

    /// Whether every item of the request is staged or given.
    pub fn is_staged(&self) -> bool {
        self.bytes_left == 0 && usize::from(self.written) > self.plan.len()
    }

    /// Whether its answer has begun and stays open.
    pub fn is_streaming(&self) -> bool {
        self.active && self.streams && self.welcomed && !self.ended
    }

    /// The item of the `index`-th message of the request, if it is not a ROUTE or HELLO.
    pub fn item_of(&mut self, index: u16) -> Option<&mut Item> {
        let mut at = 1;
        for item in &mut self.plan {
            let message = at + u32::from(item.is_routed());
            if message == u32::from(index) {
                return Some(item);
            }
            at = message + 1;
        }
        None
    }

    /// Whether a datagram of the same slot before this one, which is the `index`-th message, has
    /// no verdict yet.
    pub fn skips_datagram(&mut self, item: &Item, index: u16) -> bool {
        let (what, slot) = (item.what, item.slot);
        let mut at = 1;
        for before in &self.plan {
            at += u32::from(before.is_routed()) + 1;
            if at > u32::from(index) {
                break;
            }
            if before.what == what && before.slot == slot && !before.is_judged() {
                return true;
            }
        }
        false
    }
}

impl Item {
    /// A message without data bytes; `octets` counts its ROUTE.
    pub fn control(what: What, slot: usize, octets: u16) -> Self {
        Self { what, flags: 0, slot: slot as u16, octets: octets.into() }
    }

    /// Data bytes of a stream, or a datagram.
    pub fn data(what: What, slot: usize, flags: DataFlags, bytes: u32) -> Self {
        Self { what, flags: flags.bits(), slot: slot as u16, octets: bytes }
    }

    /// With these flags of a data message.
    pub fn flagged(self, flags: DataFlags) -> Self {
        Self { flags: flags.bits(), ..self }
    }

    /// Whether it is of a data message.
    pub fn has_data(&self) -> bool {
        matches!(self.what, What::Data | What::Datagram)
    }

    /// Data bytes.
    pub fn bytes(&self) -> u32 {
        if self.has_data() { self.octets } else { 0 }
    }

    /// Octets of everything else: ROUTE, headers, fields.
    pub fn head(&self) -> usize {
        if self.has_data() { DATA_HEAD.into() } else { self.octets as usize }
    }

    /// Flags of a data message.
    pub fn flags(&self) -> DataFlags {
        DataFlags::from_bits(self.flags)
    }

    /// Whether its verdict came.
    pub fn is_judged(&self) -> bool {
        self.flags & JUDGED != 0
    }

    pub fn judge(&mut self) {
        self.flags |= JUDGED;
    }

    /// Whether a ROUTE stands before it.
    pub fn is_routed(&self) -> bool {
        !matches!(self.what, What::Listen | What::Connect)
    }
}
