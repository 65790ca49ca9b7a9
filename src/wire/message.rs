//! The messages as types. The order of their fields on the wire stands in `layout.rs`.

use core::fmt;

use super::{Name, Status};
use crate::Kind;

/// A session's address: the first 16 octets of SHA-256 of its secret. All zeros is the relay's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Address(pub [u8; 16]);

impl Address {
    /// The address of the relay itself, and the initial state of storage.
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

/// The kind of channel that a listener accepts and a connector asks for: what it carries, and whether its
/// ends encrypt that. One octet on the wire, so that ends which disagree are told WRONG_KIND.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelKind {
    /// The data that the channel carries.
    pub kind: Kind,
    /// Whether the two ends encrypt what the channel carries.
    pub encrypted: bool,
}

impl ChannelKind {
    /// The bit of the octet that says encrypted.
    const ENCRYPTED: u8 = 2;

    /// A channel whose data the relay can read.
    pub const fn plain(kind: Kind) -> Self {
        Self { kind, encrypted: false }
    }

    /// The octet on the wire.
    pub const fn code(self) -> u8 {
        self.kind as u8 | if self.encrypted { Self::ENCRYPTED } else { 0 }
    }

    /// Gives the kind of an octet on the wire; `None` if no kind has it.
    pub const fn from_code(code: u8) -> Option<Self> {
        match Kind::from_code(code & !Self::ENCRYPTED) {
            Some(kind) => Some(Self { kind, encrypted: code & Self::ENCRYPTED != 0 }),
            None => None,
        }
    }
}

/// One end of a channel within its session: the id (slot in the upper 8 bits, generation in the
/// lower 24, never reused within a session) and a random token, which the end's session chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ChannelRef {
    /// The slot and its generation; 0 is no channel.
    pub id: u32,
    /// A random number, which proves that the sender of a message was told of this channel.
    pub token: u64,
}

impl ChannelRef {
    /// No channel: the address of messages to a session rather than to one of its channels.
    pub const NONE: Self = Self { id: 0, token: 0 };
}

/// HELLO, the first message of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The sender's [`VERSION`](super::VERSION).
    pub version: u8,
    /// The flags of the request, see [`HelloFlags`].
    pub flags: HelloFlags,
    /// The session's secret.
    pub secret: [u8; 16],
    /// The exchange's number, which rises with every exchange; the relay compares those of parks only.
    pub seq: u64,
    /// 0 marks a send. Any other number marks a park, and says after how many milliseconds the relay
    /// answers it at the latest.
    pub hold_ms: u32,
    /// The most octets that the answer's body may have.
    pub max_response: u32,
}

/// Without the session's secret.
impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("version", &self.version)
            .field("flags", &self.flags)
            .field("seq", &self.seq)
            .field("hold_ms", &self.hold_ms)
            .field("max_response", &self.max_response)
            .finish_non_exhaustive()
    }
}

/// WELCOME, the first message of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// The relay's [`VERSION`](super::VERSION).
    pub version: u8,
    /// The `seq` of the HELLO that is answered, which gives a cached answer away.
    pub seq: u64,
    /// The session's own address.
    pub address: Address,
    /// The most octets that a request's body may have.
    pub max_body: u32,
}

/// END, the last message of a response: without it the response was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Why the response ends: OK, LIMITED, SUPERSEDED, REPEATED, STALE, SHUTDOWN, MALFORMED or VERSION.
    pub status: Status,
    /// The highest `seq` of a park of this session that the relay has seen.
    pub highest: u64,
}

/// ROUTE (client to relay): the destination of the messages after it. FROM (relay to client): the
/// session that sent the messages after it, and the receiver's channel that they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Route {
    /// The destination (ROUTE) or the source (FROM).
    pub peer: Address,
    /// The end of the channel that is addressed.
    pub channel: ChannelRef,
}

/// PROOF: that the session holds the secret of a key, for claims of its key name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof<'a> {
    /// The public key: that of Ed25519, with the sign bit 0.
    pub key: &'a [u8; 32],
    /// SHA-256 of the relay's host, as the client knows it.
    pub host: &'a [u8; 32],
    /// The signature by Ed25519 over a label, the session's address and `host`.
    pub signature: &'a [u8; 64],
}

/// LISTEN_REQ: a claim of a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ListenReq {
    /// The claim's slot and generation, as for channels.
    pub claim: u32,
    /// The kind of channels that the listener accepts.
    pub kind: ChannelKind,
    /// The port.
    pub port: u16,
    /// The owner of the name: a later session of the same owner may take the name over.
    pub owner: [u8; 16],
    /// The start time of the claiming process; the higher epoch wins.
    pub epoch: u64,
    /// The most connections that may wait to be accepted.
    pub backlog: u8,
    /// The status that LISTEN_RSP gave last; `None` (0xff on the wire) if none has come.
    pub heard: Option<Status>,
    /// The name.
    pub name: Name,
}

/// Without the owner, by which a later session would take the name over.
impl fmt::Debug for ListenReq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenReq")
            .field("claim", &self.claim)
            .field("kind", &self.kind)
            .field("name", &self.name)
            .field("port", &self.port)
            .field("epoch", &self.epoch)
            .field("backlog", &self.backlog)
            .field("heard", &self.heard)
            .finish_non_exhaustive()
    }
}

/// LISTEN_RSP: what became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenRsp {
    /// The claim that is answered.
    pub claim: u32,
    /// What became of the claim: OK, IN_USE, TAKEN, PROVE, UNPROVED, LIMITED or RETRY.
    pub status: Status,
    /// The highest epoch that holds the name.
    pub epoch: u64,
}

/// CONNECT_REQ, which reaches the listener as ACCEPT_REQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The connector's end of the channel.
    pub channel: ChannelRef,
    /// The kind of channel that is asked for.
    pub kind: ChannelKind,
    /// The port.
    pub port: u16,
    /// The first offset that does not fit the connector's receive ring.
    pub limit: u64,
    /// The linger time that the connector asks for, in milliseconds.
    pub linger_ms: u32,
    /// The name.
    pub name: Name,
    /// The connector's greeting to the listener's application, at most
    /// [`MAX_GREETING`](super::MAX_GREETING) octets; of an encrypted channel the handshake's first message.
    pub greeting: &'a [u8],
}

/// ACCEPT_RSP, which reaches the connector as CONNECT_RSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accept<'a> {
    /// OK, or why the connection is refused.
    pub status: Status,
    /// The listener's end of the channel.
    pub channel: ChannelRef,
    /// The first offset that does not fit the listener's receive ring.
    pub limit: u64,
    /// The linger time agreed, in milliseconds.
    pub linger_ms: u32,
    /// The listener's greeting to the connector's application, at most
    /// [`MAX_GREETING`](super::MAX_GREETING) octets; of an encrypted channel the handshake's second message,
    /// at most [`MAX_HANDSHAKE`](super::MAX_HANDSHAKE) octets.
    pub greeting: &'a [u8],
}

/// CONFIRM, which reaches the listener as CONFIRM: the handshake's last message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirm<'a> {
    /// The handshake's third message, at most [`MAX_HANDSHAKE`](super::MAX_HANDSHAKE) octets.
    pub handshake: &'a [u8],
}

/// The part of SEND_REQ before its bytes. SEND_REQ reaches the receiver as RECEIVE_RSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data {
    /// The offset of the first byte (streams), or the number of the datagram.
    pub offset: u64,
    /// The flags of the message, see [`DataFlags`].
    pub flags: DataFlags,
    /// The number of bytes that follow.
    pub len: u32,
}

/// RECEIVE_REQ, which reaches the sender as SEND_RSP: how far the receiver is. Every number is
/// absolute and never falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// The first offset, or datagram number, that was not yet received.
    pub ack: u64,
    /// The first offset that does not fit the receive ring.
    pub limit: u64,
    /// The number of losses that the receiver has noticed.
    pub losses: u32,
    /// The first offset that did not fit, plus one; 0 if every byte did.
    pub overflow: u64,
    /// Whether the relay passes the message on at once rather than within 100 ms.
    pub now: bool,
    /// DONE: the stream is over for this end, which has the whole stream of the other end, and was
    /// told that the other end has the whole of its own.
    pub done: bool,
    /// ASK: this end's session closes, and wants to be told DONE.
    pub ask: bool,
}

/// CLOSE_REQ: the channel ends at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// Why the channel ends: CLOSED, ABORTED, LINGER or PROTOCOL.
    pub status: Status,
    /// The first offset, or datagram number, that the sender of the message has not received.
    pub offset: u64,
}

/// CLOSE_RSP: the channel is closed (CLOSED), or was never there (UNKNOWN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Whether the channel was closed (CLOSED) or did not exist (UNKNOWN).
    pub status: Status,
    /// The end of the channel that was addressed.
    pub channel: ChannelRef,
}

/// VERDICT: what became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The place of the message in the request; HELLO has 0.
    pub index: u16,
    /// What became of the message: DELIVERED, BUSY, AWAY, LIMITED or RETRY; for CONNECT_REQ also
    /// NO_LISTENER or WRONG_KIND, for ACCEPT_RSP also NO_LISTENER.
    pub status: Status,
    /// How many of the message's bytes were delivered.
    pub bytes: u32,
}

/// TICK: a response that stays open is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// How long ago the response began, in milliseconds.
    pub age_ms: u32,
    /// Within how many milliseconds the relay writes the next octets.
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

            /// Makes flags of an octet; bits that this version does not know are ignored.
            pub const fn from_bits(bits: u8) -> Self {
                Self(bits & Self::ALL)
            }

            /// The flags as an octet.
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

            /// These flags if `condition` holds, else none.
            pub const fn when(self, condition: bool) -> Self {
                if condition { self } else { Self::NONE }
            }
        }
    };
}

flags! {
    /// The flags of HELLO.
    HelloFlags {
        /// The relay is to answer the session's park at once: the session's claims changed.
        WAKE = 0x01;
        /// The session ends: the relay forgets the session, its claims, and the peers that it waits for.
        BYE = 0x02;
        /// The park's response begins at once and stays open until its hold is over.
        STREAM = 0x04;
        /// This park is also the session's send: the client has one socket.
        SINGLE = 0x08;
    }
}

flags! {
    /// The flags of SEND_REQ and RECEIVE_RSP.
    DataFlags {
        /// The stream ends behind these bytes. FIN takes one offset and is acknowledged like a byte.
        FIN = 0x01;
        /// The message has no bytes: the receiver is to say how far it is. The verdict comes at once.
        PROBE = 0x02;
        /// The receiver is to acknowledge at once.
        ACK_NOW = 0x04;
        /// The bytes are a datagram, which is delivered whole or not at all.
        DATAGRAM = 0x08;
        /// More bytes wait, and the receiver's limit alone keeps them back: its ring may be too short.
        HUNGRY = 0x10;
    }
}

/// A message. SEND_REQ and RECEIVE_RSP are here without their bytes, PAD without its octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// HELLO opens a request: its session, and what kind of exchange it is.
    Hello(Hello),
    /// WELCOME opens a response.
    Welcome(Welcome),
    /// END is the last message of a response.
    End(End),
    /// ROUTE gives the destination of the messages after it.
    Route(Route),
    /// FROM gives the source of the messages after it.
    From(Route),
    /// PROOF proves the session's key to the relay, before claims of its name.
    Proof(Proof<'a>),
    /// LISTEN_REQ claims a name.
    ListenReq(ListenReq),
    /// LISTEN_RSP answers a claim.
    ListenRsp(ListenRsp),
    /// CONNECT_REQ asks for a channel.
    ConnectReq(Connect<'a>),
    /// CONNECT_RSP tells the connector what the listener says.
    ConnectRsp(Accept<'a>),
    /// ACCEPT_REQ tells the listener that a peer asks for a channel.
    AcceptReq(Connect<'a>),
    /// ACCEPT_RSP takes or refuses the channel.
    AcceptRsp(Accept<'a>),
    /// SEND_REQ carries data to the relay.
    SendReq(Data),
    /// SEND_RSP tells the sender how far the receiver is.
    SendRsp(Window),
    /// RECEIVE_REQ says how far the receiver is.
    ReceiveReq(Window),
    /// RECEIVE_RSP carries data to the receiver.
    ReceiveRsp(Data),
    /// CONFIRM ends the handshake of an encrypted channel.
    Confirm(Confirm<'a>),
    /// CLOSE_REQ ends a channel.
    CloseReq(Close),
    /// CLOSE_RSP confirms that a channel has ended.
    CloseRsp(Closed),
    /// VERDICT tells what became of a message of the request.
    Verdict(Verdict),
    /// READY tells that the peer of this address, which was busy or away, has parked again.
    Ready(Address),
    /// TICK tells that a response which stays open is alive.
    Tick(Tick),
    /// GONE tells that the session of this address is over.
    Gone(Address),
    /// PAD says nothing: its receiver ignores this many octets of payload.
    Pad(u32),
}
