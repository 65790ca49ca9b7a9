//! An exchange: the request as far as it was read, and its response.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};

use super::ExchangeId;
use super::response::{Phase, Response};
use crate::wire::{
    Address, Channel, Data, DataFlags, Decoder, Hello, HelloFlags, ListenReq, MAX_CONTROL,
    MAX_SINGLE_BODY, Message, Status, Verdict,
};

#[derive(Debug)]
pub(super) struct Exchange {
    /// Whose it is, once HELLO was read.
    pub session: Option<Address>,
    pub seq: u64,
    /// Until its body has been dealt with.
    pub upload: Option<Box<Upload>>,
    /// Of a park: its verdicts, until it is answered.
    pub verdicts: BytesMut,
    /// Of a park that is also a send: the exchange that carries its messages, until all are dealt with.
    pub carrier: Option<ExchangeId>,
    pub role: Role,
    pub admission: Admission,
    pub response: Response,
    /// Of a park: when its hold is over.
    pub hold_until: u64,
    /// Of a streamed response: when it began, and when the next TICK is due.
    pub ticks: Option<(u64, u64)>,
    /// When the response was last written or taken from.
    pub active: u64,
    /// When it is to be looked at.
    pub deadline: Option<u64>,
    /// Whether it stands in the queue of wakes.
    pub woken: bool,
}

/// What an exchange is, beside a park or a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Plain,
    /// A park that is a send as well, and stands.
    Single,
    /// It carries the messages of one: there is no connection.
    Carrier,
}

/// Whose an exchange may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    All,
    /// A session's that is known already.
    Known,
    /// It was to be, and was another's.
    Refused,
}

impl Exchange {
    pub fn new(now: u64, patience: u64) -> Self {
        Self {
            session: None,
            seq: 0,
            upload: Some(Box::new(Upload::new(now, patience))),
            verdicts: BytesMut::new(),
            carrier: None,
            role: Role::Plain,
            admission: Admission::All,
            response: Response::new(),
            hold_until: 0,
            ticks: None,
            active: now,
            deadline: None,
            woken: false,
        }
    }
}

impl Exchange {
    /// Whether its response is open and stays so.
    pub fn is_streaming(&self) -> bool {
        self.ticks.is_some() && self.response.phase == Phase::Open
    }
}

/// A request body being read.
#[derive(Debug)]
pub(super) struct Upload {
    pub decoder: Decoder,
    pub state: State,
}

impl Upload {
    pub fn new(now: u64, patience: u64) -> Self {
        let state = State {
            hello: None,
            start: Start::default(),
            messages: 0,
            route: None,
            current: None,
            refused: HashMap::new(),
            target: None,
            octets: 0,
            ended: false,
            last_byte: now,
            waiting: None,
            patience,
            listens: Vec::new(),
            verdicts: BytesMut::new(),
            gathered: BytesMut::new(),
            reserved: 0,
            rest: Bytes::new(),
            park: None,
            speaks: false,
        };
        Self { decoder: Decoder::new(), state }
    }
}

/// What was read, and what is to be done with the message read last.
#[derive(Debug)]
pub(super) struct State {
    pub hello: Option<Hello>,
    pub start: Start,
    /// Messages begun.
    pub messages: u32,
    pub route: Option<(Address, Channel)>,
    pub current: Option<Current>,
    /// Peers that get no more of this upload, and why.
    pub refused: HashMap<Address, Status>,
    /// The peer whose response this upload feeds.
    pub target: Option<Address>,
    /// Octets read.
    pub octets: usize,
    /// Whether the whole body was given.
    pub ended: bool,
    pub last_byte: u64,
    /// Since when and until when the current message waits for its peer.
    pub waiting: Option<(u64, u64)>,
    /// How long it may still wait for peers, in milliseconds.
    pub patience: u64,
    pub listens: Vec<ListenReq>,
    pub verdicts: BytesMut,
    /// Of a park that is also a send: what stands behind HELLO, until it is whole.
    pub gathered: BytesMut,
    /// Octets counted as held for it meanwhile.
    pub reserved: usize,
    /// Of such a park's carrier: what it has not dealt with.
    pub rest: Bytes,
    /// And the park, in whose answer the verdicts are.
    pub park: Option<ExchangeId>,
    /// Whether a message was read whose verdict ends such a park.
    pub speaks: bool,
}

impl State {
    pub fn is_park(&self) -> bool {
        self.hello.is_some_and(|hello| hello.hold_ms > 0)
    }

    /// Whether it is a park and a send in one.
    pub fn is_single(&self) -> bool {
        self.is_park() && self.hello.is_some_and(|hello| hello.flags.has(HelloFlags::SINGLE))
    }

    /// Whether it counts among its session's sends.
    pub fn is_send(&self) -> bool {
        !self.is_park() || self.is_single()
    }

    /// Takes more of a body that is to be whole before it is dealt with, and of one that is too long
    /// enough to see that: HELLO counts as well.
    pub fn gather(&mut self, chunk: &mut Bytes) {
        let most = MAX_SINGLE_BODY.saturating_sub(self.gathered.len());
        self.gathered.extend_from_slice(&chunk.split_to(chunk.len().min(most)));
    }

    pub fn verdict(&mut self, index: u16, status: Status, bytes: u32) {
        let mut buffer = [0; MAX_CONTROL];
        let message = Message::Verdict(Verdict { index, status, bytes });
        if let Some(encoded) = message.encode(&mut buffer).and_then(|n| buffer.get(..n)) {
            self.verdicts.extend_from_slice(encoded);
        }
    }
}

/// The first octets of a body: type, length, and the version of HELLO, which stands there for ever.
#[derive(Debug, Default)]
pub(super) struct Start {
    octets: [u8; 5],
    have: usize,
}

impl Start {
    pub fn see(&mut self, chunk: &[u8]) {
        for (to, from) in self.octets.iter_mut().skip(self.have).zip(chunk) {
            *to = *from;
            self.have += 1;
        }
    }

    /// The version, if the body begins like a HELLO.
    pub fn version(&self) -> Option<u8> {
        let [kind, .., version] = self.octets;
        (self.have == self.octets.len() && kind == HELLO).then_some(version)
    }
}

/// Type octet of HELLO, the same in every version.
const HELLO: u8 = 0x01;

/// A message on its way to a peer.
#[derive(Debug)]
pub(super) struct Current {
    pub index: u16,
    pub peer: Address,
    /// The peer's end of the channel.
    pub channel: Channel,
    pub what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// A control message as it will be written.
    Control { encoded: [u8; MAX_CONTROL], len: usize },
    /// Stream data, so many bytes of which were written.
    Stream { data: Data, done: u32 },
    /// A datagram, as far as it is there.
    Datagram { data: Data, have: BytesMut },
    /// Data that the peer will not get: still to be read, and delivered before.
    Drop { status: Status, left: u32, done: u32 },
}

impl What {
    /// Bytes of the message that were not read from the body.
    pub fn unread(&self) -> u32 {
        match self {
            Self::Control { .. } => 0,
            Self::Stream { data, done } => data.len.saturating_sub(*done),
            Self::Datagram { data, have } => data.len.saturating_sub(have.len() as u32),
            Self::Drop { left, .. } => *left,
        }
    }

    /// Octets held here.
    pub fn held(&self) -> usize {
        match self {
            Self::Datagram { have, .. } => have.len(),
            _ => 0,
        }
    }

    /// Whether its verdict is immediate.
    pub fn is_probe(&self) -> bool {
        matches!(self, Self::Stream { data, .. } if data.flags.has(DataFlags::PROBE))
    }
}
