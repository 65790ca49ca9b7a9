//! What a request says, message by message, and the data message that is read of an answer.

use crate::wire::{Data, DataFlags, Place, Route};

/// Octets of a ROUTE and a data message's header.
pub const DATA_HEAD: usize = Route::LEN + Data::LEN;

/// What a message of a request says of its slot. The message's octets are made when they are sent,
/// from what is true then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    #[cfg(feature = "secure")]
    Proof,
    Listen,
    Connect,
    Accept,
    Confirm,
    Window,
    Final,
    Probe,
    Data,
    Datagram,
    Close,
    Reply,
}

/// Eight octets, since a session has [`MAX_ITEMS`](super::MAX_ITEMS) of them for each lane.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    pub kind: ItemKind,
    /// Flags of a data message, and [`JUDGED`].
    flags: u8,
    /// Slot of the channel, claim, reply or tombstone.
    pub slot: u16,
    /// Of data its bytes; else octets of the message, its ROUTE with it.
    octets: u32,
}

/// Its verdict came: no flag of the wire's.
const JUDGED: u8 = 0x80;

/// Where the octets of the data message that is being read go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// Nowhere.
    Drop = 0,
    Stream,
    Datagram,
}

/// The data message being read.
#[derive(Debug, Clone, Copy)]
pub struct Incoming {
    pub destination: Destination,
    /// Slot of the channel.
    pub slot: u16,
    pub fin: bool,
    /// ACK_NOW, which counts when all octets are there: a ring that comes in several pieces is to be
    /// acknowledged as a whole.
    pub ack_now: bool,
    /// Stream: offset of the next byte. Datagram: where in the ring the next octet goes.
    pub at: u64,
    pub number: u64,
    pub len: u32,
}

impl Incoming {
    pub const NONE: Self = Self {
        destination: Destination::Drop,
        slot: 0,
        fin: false,
        ack_now: false,
        at: 0,
        number: 0,
        len: 0,
    };
}

impl ItemKind {
    /// Where the protocol has the verdict on such a message.
    pub const fn place(self) -> Place {
        match self {
            Self::Connect => Place::ConnectVerdict,
            Self::Accept | Self::Reply => Place::AcceptVerdict,
            #[cfg(feature = "secure")]
            Self::Proof => Place::Verdict,
            Self::Listen
            | Self::Confirm
            | Self::Window
            | Self::Final
            | Self::Probe
            | Self::Data
            | Self::Datagram
            | Self::Close => Place::Verdict,
        }
    }
}

impl Item {
    /// A message without data bytes; `octets` counts its ROUTE.
    pub fn control(kind: ItemKind, slot: usize, octets: usize) -> Self {
        Self { kind, flags: 0, slot: slot as u16, octets: octets as u32 }
    }

    /// Data bytes of a stream, or a datagram.
    pub fn data(kind: ItemKind, slot: usize, flags: DataFlags, bytes: u32) -> Self {
        Self { kind, flags: flags.bits(), slot: slot as u16, octets: bytes }
    }

    /// With these flags of a data message.
    pub fn flagged(self, flags: DataFlags) -> Self {
        Self { flags: flags.bits(), ..self }
    }

    /// Whether it is of a data message.
    pub fn has_data(&self) -> bool {
        matches!(self.kind, ItemKind::Data | ItemKind::Datagram)
    }

    /// Data bytes.
    pub fn bytes(&self) -> u32 {
        if self.has_data() { self.octets } else { 0 }
    }

    /// Octets of everything else: ROUTE, headers, fields.
    pub fn head(&self) -> usize {
        if self.has_data() { DATA_HEAD } else { self.octets as usize }
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
        match self.kind {
            #[cfg(feature = "secure")]
            ItemKind::Proof => false,
            kind => !matches!(kind, ItemKind::Listen | ItemKind::Connect),
        }
    }
}
