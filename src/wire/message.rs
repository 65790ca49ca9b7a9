//! The messages.

use core::fmt;

use super::{Name, Status};
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
    /// At most [`MAX_GREETING`](super::MAX_GREETING) octets for the listener's application.
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
    /// At most [`MAX_GREETING`](super::MAX_GREETING) octets for the connector's application.
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
    /// Whether the stream is over for the end that says so: that end has the whole stream of the
    /// other, and was told that the other has the whole of its own.
    pub done: bool,
    /// Whether the end that says so wants to hear DONE: its session closes.
    pub ask: bool,
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
    /// DELIVERED, BUSY, AWAY, LIMITED or RETRY; of CONNECT_REQ also NO_LISTENER or
    /// WRONG_KIND, of ACCEPT_RSP also NO_LISTENER.
    pub status: Status,
    /// How many of its bytes were delivered.
    pub bytes: u32,
}

/// TICK: an answer that stays open is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// How long ago it began, in milliseconds.
    pub age_ms: u32,
    /// Something more is written within so many milliseconds.
    pub next_ms: u32,
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
        /// The park's answer begins at once and stays open until its hold is over.
        STREAM = 0x04;
        /// This park is also the session's send: the client has one socket.
        SINGLE = 0x08;
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
    Tick(Tick),
    /// The session of this address is over.
    Gone(Address),
    /// Nothing; so many octets of payload follow, to be ignored.
    Pad(u32),
}
