//! The messages, and how each is written and read.

use core::fmt;

use super::{
    DATA_HEADER_LEN, HEADER_LEN, MAGIC, MAX_GREETING, Name, Reader, Status, WireError, Writer,
};
use crate::Kind;

/// A session's address: the first 16 octets of SHA-256 of its secret. All zeros means the relay.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Address(pub [u8; 16]);

impl Address {
    /// The relay itself, and the initial state of storage.
    pub const RELAY: Self = Self([0; 16]);
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One end of a channel within its session: the id (slot in the upper 8 bits, generation in the
/// lower 24, never reused within a session) and the random token its owner adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Channel {
    /// Slot and generation; 0 is no channel.
    pub id: u32,
    /// Random; proves that the sender was told of this channel.
    pub token: u64,
}

impl Channel {
    /// No channel: what messages to a session rather than to one of its channels are routed to.
    pub const NONE: Self = Self { id: 0, token: 0 };
}

/// HELLO, the first message of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// [`VERSION`](super::VERSION) of the sender.
    pub version: u8,
    /// See [`HelloFlags`].
    pub flags: HelloFlags,
    /// The session's secret.
    pub secret: [u8; 16],
    /// Number of the exchange, rising; compared among parks only.
    pub seq: u64,
    /// 0: a send. Else a park, to be answered after so many milliseconds at the latest.
    pub hold_ms: u32,
    /// Most octets of payload that the answer may have.
    pub max_response: u32,
}

/// WELCOME, the first message of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// [`VERSION`](super::VERSION) of the relay.
    pub version: u8,
    /// `seq` of the HELLO that is answered: a cached answer shows by it.
    pub seq: u64,
    /// The session's own address.
    pub address: Address,
    /// Most octets that a request may have.
    pub max_body: u32,
}

/// END, the last message of a response: without it the response was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// OK, LIMITED, SUPERSEDED, REPEATED, STALE, SHUTDOWN, MALFORMED or VERSION.
    pub status: Status,
    /// Highest `seq` of a park that the relay has seen of this session.
    pub highest: u64,
}

/// ROUTE (client to relay): where the messages after it go. FROM (relay to client): which session
/// sent the messages after it, and which of the receiver's channels they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Route {
    /// ROUTE: the destination. FROM: the source.
    pub peer: Address,
    /// The addressed end of the channel.
    pub channel: Channel,
}

/// LISTEN_REQ: a claim of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenReq {
    /// Slot and generation of the claim, as for channels.
    pub claim: u32,
    /// What is accepted.
    pub kind: Kind,
    /// The port.
    pub port: u16,
    /// Who claims: the same owner may take its name over.
    pub owner: [u8; 16],
    /// Start time of the claiming process; the higher one wins.
    pub epoch: u64,
    /// How many connections may wait to be accepted.
    pub backlog: u8,
    /// Status last heard in LISTEN_RSP; `None` (0xff on the wire) if none was.
    pub heard: Option<Status>,
    /// The name.
    pub name: Name,
}

/// LISTEN_RSP: what became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenRsp {
    /// The claim.
    pub claim: u32,
    /// OK, IN_USE, TAKEN, LIMITED or RETRY.
    pub status: Status,
    /// Highest epoch that holds the name.
    pub epoch: u64,
}

/// CONNECT_REQ, which reaches the listener as ACCEPT_REQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The connector's end of the channel.
    pub channel: Channel,
    /// Stream or datagram.
    pub kind: Kind,
    /// The port.
    pub port: u16,
    /// First offset that the connector would not take.
    pub limit: u64,
    /// Linger asked for, in milliseconds.
    pub linger_ms: u32,
    /// The name.
    pub name: Name,
    /// At most [`MAX_GREETING`] octets for the listener's application.
    pub greeting: &'a [u8],
}

/// ACCEPT_RSP, which reaches the connector as CONNECT_RSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accept<'a> {
    /// OK, or why not.
    pub status: Status,
    /// The listener's end of the channel.
    pub channel: Channel,
    /// First offset that the listener would not take.
    pub limit: u64,
    /// Linger agreed, in milliseconds.
    pub linger_ms: u32,
    /// At most [`MAX_GREETING`] octets for the connector's application.
    pub greeting: &'a [u8],
}

/// What stands before the bytes of SEND_REQ, which reaches the receiver as RECEIVE_RSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data {
    /// Streams: offset of the first byte. Datagrams: number of the datagram.
    pub offset: u64,
    /// See [`DataFlags`].
    pub flags: DataFlags,
    /// How many bytes follow.
    pub len: u32,
}

/// RECEIVE_REQ, which reaches the sender as SEND_RSP: how far the receiver is. Every number is
/// absolute and only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// First offset (number) not yet received.
    pub ack: u64,
    /// First offset that would not fit.
    pub limit: u64,
    /// Rises with every loss that the receiver noticed.
    pub losses: u32,
    /// First offset that did not fit, plus one; 0 if everything did.
    pub overflow: u64,
    /// Whether the sender is to hear of it at once rather than within 100 ms.
    pub now: bool,
}

/// CLOSE_REQ: the channel ends here and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// CLOSED, ABORTED, LINGER or PROTOCOL.
    pub status: Status,
    /// First offset (number) that the sender of this has not received.
    pub offset: u64,
}

/// CLOSE_RSP: the channel is closed (CLOSED), or was never there (UNKNOWN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// CLOSED or UNKNOWN.
    pub status: Status,
    /// The channel's end that was addressed.
    pub channel: Channel,
}

/// VERDICT: what became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Its place in the request; HELLO has 0.
    pub index: u16,
    /// DELIVERED, BUSY, AWAY, LIMITED or RETRY; of CONNECT_REQ also NO_LISTENER or WRONG_KIND.
    pub status: Status,
    /// How many of its bytes were delivered.
    pub bytes: u32,
}

macro_rules! flags {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $fdoc:literal])+ $flag:ident = $bit:literal;)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name(u8);

        impl $name {
            /// No flag.
            pub const NONE: Self = Self(0);
            $($(#[doc = $fdoc])+ pub const $flag: Self = Self($bit);)+
            const ALL: u8 = 0 $(| $bit)+;

            /// The flags of an octet; bits that this version does not know are ignored.
            pub const fn from_bits(bits: u8) -> Self {
                Self(bits & Self::ALL)
            }

            /// The octet.
            pub const fn bits(self) -> u8 {
                self.0
            }

            /// Whether every flag of `other` is set.
            pub const fn has(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// These flags and those of `other`.
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// These flags without those of `other`.
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// `self` if `condition`, else none.
            pub const fn when(self, condition: bool) -> Self {
                if condition { self } else { Self::NONE }
            }
        }
    };
}

flags! {
    /// Flags of HELLO.
    HelloFlags {
        /// The session's park is to be answered: its claims changed.
        WAKE = 0x01;
        /// The session ends: the relay forgets it, its claims and its wishes.
        BYE = 0x02;
    }
}

flags! {
    /// Flags of SEND_REQ and RECEIVE_RSP.
    DataFlags {
        /// The stream ends behind these bytes. FIN takes one offset and is acknowledged like a byte.
        FIN = 0x01;
        /// No bytes: the receiver is to say how far it is. The verdict is immediate.
        PROBE = 0x02;
        /// The receiver is to acknowledge at once.
        ACK_NOW = 0x04;
        /// A datagram: whole or not at all.
        DATAGRAM = 0x08;
    }
}

/// Type octets. From 0x80 on, a receiver skips what it does not know.
pub(crate) mod kind {
    pub const HELLO: u8 = 0x01;
    pub const WELCOME: u8 = 0x02;
    pub const END: u8 = 0x03;
    pub const ROUTE: u8 = 0x04;
    pub const FROM: u8 = 0x05;
    pub const LISTEN_REQ: u8 = 0x10;
    pub const LISTEN_RSP: u8 = 0x11;
    pub const CONNECT_REQ: u8 = 0x12;
    pub const CONNECT_RSP: u8 = 0x13;
    pub const ACCEPT_REQ: u8 = 0x14;
    pub const ACCEPT_RSP: u8 = 0x15;
    pub const SEND_REQ: u8 = 0x20;
    pub const SEND_RSP: u8 = 0x21;
    pub const RECEIVE_REQ: u8 = 0x22;
    pub const RECEIVE_RSP: u8 = 0x23;
    pub const CLOSE_REQ: u8 = 0x24;
    pub const CLOSE_RSP: u8 = 0x25;
    pub const VERDICT: u8 = 0x30;
    pub const READY: u8 = 0x31;
    pub const PAD: u8 = 0x40;
    pub const FIRST_OPTIONAL: u8 = 0x80;
}

/// A message. Of SEND_REQ and RECEIVE_RSP it is what stands before the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the variants carry the names of the types inside them
pub enum Message<'a> {
    Hello(Hello),
    Welcome(Welcome),
    End(End),
    Route(Route),
    From(Route),
    ListenReq(ListenReq),
    ListenRsp(ListenRsp),
    ConnectReq(Connect<'a>),
    ConnectRsp(Accept<'a>),
    AcceptReq(Connect<'a>),
    AcceptRsp(Accept<'a>),
    SendReq(Data),
    SendRsp(Window),
    ReceiveReq(Window),
    ReceiveRsp(Data),
    CloseReq(Close),
    CloseRsp(Closed),
    Verdict(Verdict),
    Ready(Address),
    /// Nothing; so many octets of payload follow, to be ignored.
    Pad(u32),
}

impl<'a> Message<'a> {
    /// The message's type octet.
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => kind::HELLO,
            Self::Welcome(_) => kind::WELCOME,
            Self::End(_) => kind::END,
            Self::Route(_) => kind::ROUTE,
            Self::From(_) => kind::FROM,
            Self::ListenReq(_) => kind::LISTEN_REQ,
            Self::ListenRsp(_) => kind::LISTEN_RSP,
            Self::ConnectReq(_) => kind::CONNECT_REQ,
            Self::ConnectRsp(_) => kind::CONNECT_RSP,
            Self::AcceptReq(_) => kind::ACCEPT_REQ,
            Self::AcceptRsp(_) => kind::ACCEPT_RSP,
            Self::SendReq(_) => kind::SEND_REQ,
            Self::SendRsp(_) => kind::SEND_RSP,
            Self::ReceiveReq(_) => kind::RECEIVE_REQ,
            Self::ReceiveRsp(_) => kind::RECEIVE_RSP,
            Self::CloseReq(_) => kind::CLOSE_REQ,
            Self::CloseRsp(_) => kind::CLOSE_RSP,
            Self::Verdict(_) => kind::VERDICT,
            Self::Ready(_) => kind::READY,
            Self::Pad(_) => kind::PAD,
        }
    }

    /// Octets that [`encode`](Self::encode) writes: header and fields, without the bytes of a data message.
    pub const fn encoded_len(&self) -> usize {
        let fields = match self {
            Self::Hello(_) => 34,
            Self::Welcome(_) => 32,
            Self::End(_) => 9,
            Self::Route(_) | Self::From(_) => 28,
            Self::ListenReq(m) => 34 + m.name.len(),
            Self::ListenRsp(_) => 13,
            Self::ConnectReq(m) | Self::AcceptReq(m) => 29 + m.name.len() + m.greeting.len(),
            Self::ConnectRsp(m) | Self::AcceptRsp(m) => 26 + m.greeting.len(),
            Self::SendReq(_) | Self::ReceiveRsp(_) => DATA_HEADER_LEN - HEADER_LEN,
            Self::SendRsp(_) | Self::ReceiveReq(_) => 29,
            Self::CloseReq(_) => 9,
            Self::CloseRsp(_) => 13,
            Self::Verdict(_) => 7,
            Self::Ready(_) => 16,
            Self::Pad(_) => 0,
        };
        HEADER_LEN + fields
    }

    /// Writes the message to the start of `out` (for a data message or PAD, what stands before the
    /// bytes) and gives the octets written, or `None` if `out` is too short or a field too long.
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let trailing = match self {
            Self::SendReq(data) | Self::ReceiveRsp(data) => data.len,
            Self::Pad(len) => *len,
            _ => 0,
        };
        let length = u32::try_from(self.encoded_len() - HEADER_LEN).ok()?.checked_add(trailing)?;
        let greeting = match self {
            Self::ConnectReq(m) | Self::AcceptReq(m) => m.greeting,
            Self::ConnectRsp(m) | Self::AcceptRsp(m) => m.greeting,
            _ => &[],
        };
        if length as usize > super::MAX_MESSAGE || greeting.len() > MAX_GREETING {
            return None;
        }
        let mut w = Writer::new(out);
        w.u32(u32::from(self.kind()) << 24 | length);
        match self {
            Self::Hello(m) => w
                .u8(m.version)
                .u8(m.flags.bits())
                .bytes(&m.secret)
                .u64(m.seq)
                .u32(m.hold_ms)
                .u32(m.max_response),
            Self::Welcome(m) => {
                w.u8(m.version).bytes(&MAGIC).u64(m.seq).bytes(&m.address.0).u32(m.max_body)
            }
            Self::End(m) => w.u8(m.status as u8).u64(m.highest),
            Self::Route(m) | Self::From(m) => {
                w.bytes(&m.peer.0).u32(m.channel.id).u64(m.channel.token)
            }
            Self::ListenReq(m) => w
                .u32(m.claim)
                .u8(m.kind as u8)
                .u16(m.port)
                .bytes(&m.owner)
                .u64(m.epoch)
                .u8(m.backlog)
                .u8(m.heard.map_or(NOT_HEARD, |status| status as u8))
                .counted(m.name.as_bytes()),
            Self::ListenRsp(m) => w.u32(m.claim).u8(m.status as u8).u64(m.epoch),
            Self::ConnectReq(m) | Self::AcceptReq(m) => w
                .u32(m.channel.id)
                .u64(m.channel.token)
                .u8(m.kind as u8)
                .u16(m.port)
                .u64(m.limit)
                .u32(m.linger_ms)
                .counted(m.name.as_bytes())
                .counted(m.greeting),
            Self::ConnectRsp(m) | Self::AcceptRsp(m) => w
                .u8(m.status as u8)
                .u32(m.channel.id)
                .u64(m.channel.token)
                .u64(m.limit)
                .u32(m.linger_ms)
                .counted(m.greeting),
            Self::SendReq(m) | Self::ReceiveRsp(m) => w.u64(m.offset).u8(m.flags.bits()),
            Self::SendRsp(m) | Self::ReceiveReq(m) => {
                w.u64(m.ack).u64(m.limit).u32(m.losses).u64(m.overflow).u8(u8::from(m.now))
            }
            Self::CloseReq(m) => w.u8(m.status as u8).u64(m.offset),
            Self::CloseRsp(m) => w.u8(m.status as u8).u32(m.channel.id).u64(m.channel.token),
            Self::Verdict(m) => w.u16(m.index).u8(m.status as u8).u32(m.bytes),
            Self::Ready(address) => w.bytes(&address.0),
            Self::Pad(_) => &mut w,
        };
        w.finish()
    }

    /// Reads the fields of a control message: `payload` is all of it. Data messages are read with
    /// `Data::decode`, as their bytes may not all be there.
    pub fn decode(kind: u8, payload: &'a [u8]) -> Result<Self, WireError> {
        let length = payload.len() as u32;
        let mut r = Reader::new(payload);
        let message = decode_fields(kind, &mut r)?.ok_or(WireError::Length { kind, length })?;
        if !r.is_empty() {
            return Err(WireError::Length { kind, length });
        }
        Ok(message)
    }
}

/// On the wire for "no status heard yet".
const NOT_HEARD: u8 = 0xff;

/// `Ok(None)`: the payload is too short.
fn decode_fields<'a>(kind: u8, r: &mut Reader<'a>) -> Result<Option<Message<'a>>, WireError> {
    macro_rules! field {
        ($read:expr) => {
            match $read {
                Some(value) => value,
                None => return Ok(None),
            }
        };
    }
    macro_rules! valid {
        ($value:expr) => {
            $value.ok_or(WireError::Field { kind })?
        };
    }
    macro_rules! status {
        () => {
            valid!(Status::from_code(field!(r.u8())))
        };
    }
    macro_rules! channel {
        () => {
            Channel { id: field!(r.u32()), token: field!(r.u64()) }
        };
    }
    macro_rules! name {
        () => {
            valid!(Name::from_bytes(field!(r.counted())).ok())
        };
    }
    macro_rules! greeting {
        () => {{
            let greeting = field!(r.counted());
            valid!((greeting.len() <= MAX_GREETING).then_some(greeting))
        }};
    }
    Ok(Some(match kind {
        kind::HELLO => Message::Hello(Hello {
            version: field!(r.u8()),
            flags: HelloFlags::from_bits(field!(r.u8())),
            secret: field!(r.array()),
            seq: field!(r.u64()),
            hold_ms: field!(r.u32()),
            max_response: field!(r.u32()),
        }),
        kind::WELCOME => {
            let version = field!(r.u8());
            valid!((field!(r.array()) == MAGIC).then_some(()));
            Message::Welcome(Welcome {
                version,
                seq: field!(r.u64()),
                address: Address(field!(r.array())),
                max_body: field!(r.u32()),
            })
        }
        kind::END => Message::End(End { status: status!(), highest: field!(r.u64()) }),
        kind::ROUTE | kind::FROM => {
            let route = Route { peer: Address(field!(r.array())), channel: channel!() };
            if kind == kind::ROUTE { Message::Route(route) } else { Message::From(route) }
        }
        kind::LISTEN_REQ => Message::ListenReq(ListenReq {
            claim: field!(r.u32()),
            kind: valid!(Kind::from_code(field!(r.u8()))),
            port: field!(r.u16()),
            owner: field!(r.array()),
            epoch: field!(r.u64()),
            backlog: field!(r.u8()),
            heard: match field!(r.u8()) {
                NOT_HEARD => None,
                code => Some(valid!(Status::from_code(code))),
            },
            name: name!(),
        }),
        kind::LISTEN_RSP => Message::ListenRsp(ListenRsp {
            claim: field!(r.u32()),
            status: status!(),
            epoch: field!(r.u64()),
        }),
        kind::CONNECT_REQ | kind::ACCEPT_REQ => {
            let connect = Connect {
                channel: channel!(),
                kind: valid!(Kind::from_code(field!(r.u8()))),
                port: field!(r.u16()),
                limit: field!(r.u64()),
                linger_ms: field!(r.u32()),
                name: name!(),
                greeting: greeting!(),
            };
            if kind == kind::CONNECT_REQ {
                Message::ConnectReq(connect)
            } else {
                Message::AcceptReq(connect)
            }
        }
        kind::CONNECT_RSP | kind::ACCEPT_RSP => {
            let accept = Accept {
                status: status!(),
                channel: channel!(),
                limit: field!(r.u64()),
                linger_ms: field!(r.u32()),
                greeting: greeting!(),
            };
            if kind == kind::CONNECT_RSP {
                Message::ConnectRsp(accept)
            } else {
                Message::AcceptRsp(accept)
            }
        }
        kind::SEND_RSP | kind::RECEIVE_REQ => {
            let window = Window {
                ack: field!(r.u64()),
                limit: field!(r.u64()),
                losses: field!(r.u32()),
                overflow: field!(r.u64()),
                now: field!(r.u8()) & 1 != 0,
            };
            if kind == kind::SEND_RSP {
                Message::SendRsp(window)
            } else {
                Message::ReceiveReq(window)
            }
        }
        kind::CLOSE_REQ => Message::CloseReq(Close { status: status!(), offset: field!(r.u64()) }),
        kind::CLOSE_RSP => Message::CloseRsp(Closed { status: status!(), channel: channel!() }),
        kind::VERDICT => Message::Verdict(Verdict {
            index: field!(r.u16()),
            status: status!(),
            bytes: field!(r.u32()),
        }),
        kind::READY => Message::Ready(Address(field!(r.array()))),
        _ => return Err(WireError::Unknown { kind }),
    }))
}

impl Data {
    /// Reads what stands before the bytes. `length` is the whole payload's, `fields` its first nine octets.
    pub(crate) fn decode(kind: u8, length: u32, fields: &[u8]) -> Result<Self, WireError> {
        let wrong = WireError::Length { kind, length };
        let len = length.checked_sub((DATA_HEADER_LEN - HEADER_LEN) as u32).ok_or(wrong)?;
        let mut r = Reader::new(fields);
        let (Some(offset), Some(bits)) = (r.u64(), r.u8()) else { return Err(wrong) };
        let flags = DataFlags::from_bits(bits);
        let whole = flags.has(DataFlags::DATAGRAM);
        if flags.has(DataFlags::PROBE) && len != 0 || whole && len as usize > super::MAX_DATAGRAM {
            return Err(wrong);
        }
        if whole && flags.has(DataFlags::FIN) || offset.checked_add(u64::from(len) + 1).is_none() {
            return Err(WireError::Field { kind });
        }
        Ok(Self { offset, flags, len })
    }
}
