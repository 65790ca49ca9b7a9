//! The errors, grouped by the party that has to change something. The text of each is one line: the
//! cause, then the remedy.

mod blocked;

pub use blocked::{AuthScheme, Blocked, HeadFault, TlsFault, TokenFault};

use crate::wire::{EndpointError, MAX_GREETING, Status, VERSION};

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This program's configuration, or its use of byway, is at fault.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The other peer is at fault, or not there.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// A limit is reached: something of a fixed size is used up.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The path to the relay, or the relay, is at fault.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The time given for the operation is over. The operation may still take effect later.
    #[error("timed out: allow more time, or look at the client's events for the cause")]
    TimedOut,
    /// This end closed the client, listener or channel, perhaps in another thread.
    #[error("closed by this program: open a new one to go on")]
    Closed,
    /// Another thread of this program cancelled the wait. The event waited for may still happen.
    #[error("cancelled by this program: call again to go on")]
    Cancelled,
}

/// The faults of this program's configuration, or of its use of byway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text or name is no valid endpoint.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The relay's URL cannot be used.
    #[error("relay URL: {0}; write http://host:port or https://host/path")]
    RelayUrl(&'static str),
    /// A proxy, header or other transport setting cannot be used.
    #[error("transport setting: {0}")]
    Setting(&'static str),
    /// Another owner's client holds the endpoint.
    #[error(
        "endpoint in use: another owner listens there; choose another name or port, or stop it"
    )]
    InUse,
    /// A newer process of the same owner holds the endpoint.
    #[error("endpoint taken over: a newer process of the same owner listens there; run only one")]
    Taken,
    /// This client listens at the endpoint already.
    #[error("endpoint in use: this client listens there already; close that listener first")]
    Duplicate,
    /// The program asked for a stream where datagrams are served, or the reverse.
    #[error(
        "wrong kind: the endpoint serves the other of stream and datagram; use its counterpart"
    )]
    WrongKind,
    /// The policy of the relay does not let the token of this client listen at, or connect to, the
    /// endpoint.
    #[error(
        "endpoint forbidden: the relay's policy does not give this client's token that name and port; ask its operator to add it to `listen` or `connect`, or use another token"
    )]
    Forbidden,
    /// The listener does not encrypt, and this client does.
    #[error(
        "the listener does not encrypt: let it do so, or switch encryption off here, for all on the way to read"
    )]
    PeerPlain,
    /// The listener encrypts, and this client does not.
    #[error("the listener encrypts: do so here, too (leave out --plain)")]
    PeerEncrypts,
    /// The key name cannot be used.
    #[error(transparent)]
    KeyName(#[from] KeyNameFault),
    /// The operation does not fit the channel's kind or direction.
    #[error("not possible on this channel: {0}")]
    Unsupported(&'static str),
    /// The relay speaks another version of the protocol.
    #[error(
        "version mismatch: the relay speaks protocol version {relay}, this client {VERSION}; update the older"
    )]
    Version {
        /// The version that the relay speaks.
        relay: u8,
    },
    /// The relay could not read what this client sent.
    #[error("the relay calls the request malformed: update the older of client and relay")]
    Malformed,
    /// The greeting is too long.
    #[error("greeting too long: at most {MAX_GREETING} octets")]
    Greeting,
    /// The datagram is too long for the channel.
    #[error("datagram too long: this channel takes at most {max} octets; send less at once")]
    DatagramTooLong {
        /// The most octets of a datagram on this channel.
        max: usize,
    },
    /// The buffer is too small for the next datagram, which stays where it is.
    #[error("buffer too small: the next datagram has {len} octets and stays; give a larger buffer")]
    BufferTooSmall {
        /// The length of the datagram in octets.
        len: usize,
    },
}

/// Why a key name cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyNameFault {
    /// The name begins as a key name, and holds no key.
    #[error("no key name: it begins with k. but holds no key; copy the whole of the key name")]
    Damaged,
    /// The program listens on a key name that is not its own identity's.
    #[error("key name of another identity: only its own identity can listen there; give that one")]
    Foreign,
    /// The relay does not take the proof of the key.
    #[error(
        "the relay does not take the proof of the key: it is dialled by a host that is not among its names; dial it by one, or give it that one (--host)"
    )]
    Unproved,
    /// The session does not encrypt, and key names are for encrypted channels alone.
    #[error("key names are always encrypted: do so here (leave out --plain)")]
    Plain,
}

impl From<KeyNameFault> for Error {
    fn from(fault: KeyNameFault) -> Self {
        ConfigError::from(fault).into()
    }
}

/// The faults of the other peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// No listener is at the endpoint.
    #[error(
        "connection refused: nobody listens at that endpoint; check the name, or start the listener"
    )]
    NoListener,
    /// The listener has no room. A client has asked again and again for the time given, a device once.
    #[error(
        "connection refused: the listener's backlog or channels were used up whenever it was asked; try again later"
    )]
    BacklogFull,
    /// The relay knows the listener, but has not heard from its client lately.
    #[error("peer away: it has not asked the relay for data lately; check its network, try again")]
    Away,
    /// The peer closed the channel in order.
    #[error("channel closed by the peer; connect anew if there is more to say")]
    Closed,
    /// The peer's program gave the channel up.
    #[error(
        "channel aborted by the peer; it had received up to offset {received}; ask it why, connect anew"
    )]
    Aborted {
        /// The first offset that the peer had not received.
        received: u64,
    },
    /// The peer does not know the channel: its program ended, was restarted, or gave the channel up.
    #[error(
        "channel unknown to the peer, which ended or was restarted; acknowledged up to offset {acked}; connect anew"
    )]
    Unknown {
        /// The first offset that the peer has not acknowledged.
        acked: u64,
    },
    /// The peer gave the channel up after it had heard nothing for the linger time.
    #[error(
        "channel given up by the peer after silence; it had received up to offset {received}; connect anew"
    )]
    GaveUp {
        /// The first offset that the peer had not received.
        received: u64,
    },
    /// The two ends could not agree on keys.
    #[error(
        "no keys agreed on with the peer: give both ends the same shared secret, or none; else something on the way changed the handshake"
    )]
    Handshake,
    /// The listener has another key than the one that it was to have.
    #[error(
        "the listener has another key than expected: it was set up anew, or is somebody else; ask its owner for the key"
    )]
    WrongKey,
    /// The listener does not admit the key of this client.
    #[error(
        "the listener does not admit this client's key: ask its owner to (--admit), or why not (--refuse)"
    )]
    KeyRefused,
    /// The peer broke the protocol.
    #[error("peer broke the protocol; acknowledged up to offset {acked}; update the older side")]
    Protocol {
        /// The first offset that the peer has not acknowledged.
        acked: u64,
    },
}

/// The limits that can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResourceError {
    /// All channels of the client's profile are in use.
    #[error("no free channel: close one, or open the client with a larger profile")]
    Channels,
    /// All listeners of the client's profile are in use.
    #[error("no free listener: close one, or open the client with a larger profile")]
    Listeners,
    /// One of the relay's limits is reached.
    #[error(
        "refused by the relay: one of its limits is reached; ask its operator, try again later"
    )]
    Relay,
    /// The relay has no place for another client.
    #[error("the relay is full; it asks to come back in {seconds} s; ask its operator for room")]
    Full {
        /// The time in seconds after which the client asks the relay again.
        seconds: u8,
    },
    /// The system gives no random numbers.
    #[error("no random numbers from the system: give the configuration a seed")]
    Entropy,
    /// The system gives no thread or no memory.
    #[error("the system gives no thread or memory: free some")]
    System,
}

/// The faults of the path or the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The path to the relay is blocked.
    #[error("path to the relay blocked: {0}")]
    Blocked(Blocked),
    /// The peer was not heard for the linger time, and this end gave the channel up.
    #[error(
        "channel given up after silence; the peer acknowledged up to offset {acked}; connect anew"
    )]
    Linger {
        /// The first offset that the peer has not acknowledged.
        acked: u64,
    },
    /// The peer was not heard for the linger time, and only the end of the stream is unconfirmed: the
    /// peer acknowledged every byte, and ended its own stream.
    #[error(
        "the peer acknowledged all {acked} bytes, but never that the stream ends there; if that matters, ask it anew"
    )]
    EndUnconfirmed {
        /// The first offset that the peer has not acknowledged: that of the end.
        acked: u64,
    },
    /// What came was changed on the way, or does not come from the peer.
    #[error(
        "what came is not what the peer sent: the relay or a proxy changed it; use another way; the peer acknowledged up to offset {acked}"
    )]
    Tampered {
        /// The first octet of the application that the peer has not acknowledged.
        acked: u64,
    },
    /// What was sent was changed on the way, as the peer says.
    #[error(
        "what was sent was changed on the way: the relay or a proxy did it; use another way; the peer had received up to offset {received}"
    )]
    TamperedThere {
        /// The first octet of the application that the peer had not received.
        received: u64,
    },
    /// The stream ended without the record that ends it.
    #[error(
        "the stream was cut short on the way: its end does not come from the peer; connect anew"
    )]
    Truncated,
    /// Another client uses this session's secret.
    #[error("another client uses this session's secret: seed each process differently")]
    SecretShared,
}

impl From<EndpointError> for Error {
    fn from(error: EndpointError) -> Self {
        ConfigError::Endpoint(error).into()
    }
}

impl From<Blocked> for Error {
    fn from(cause: Blocked) -> Self {
        match cause {
            Blocked::Relay(Status::Limited) => ResourceError::Relay.into(),
            Blocked::Full(seconds) => ResourceError::Full { seconds }.into(),
            cause => TransportError::Blocked(cause).into(),
        }
    }
}

/// A function that takes text or an endpoint converts the endpoint without a possible failure.
impl From<core::convert::Infallible> for Error {
    fn from(never: core::convert::Infallible) -> Self {
        match never {}
    }
}

impl embedded_io::Error for Error {
    fn kind(&self) -> embedded_io::ErrorKind {
        use embedded_io::ErrorKind;
        match self {
            Self::Config(ConfigError::InUse | ConfigError::Taken | ConfigError::Duplicate) => {
                ErrorKind::AddrInUse
            }
            Self::Config(ConfigError::Forbidden) => ErrorKind::PermissionDenied,
            Self::Config(ConfigError::Unsupported(_)) => ErrorKind::Unsupported,
            Self::Config(_) => ErrorKind::InvalidInput,
            Self::Peer(PeerError::NoListener | PeerError::BacklogFull) => {
                ErrorKind::ConnectionRefused
            }
            Self::Peer(PeerError::Protocol { .. }) => ErrorKind::InvalidData,
            Self::Peer(_) => ErrorKind::ConnectionReset,
            Self::Resource(_) => ErrorKind::OutOfMemory,
            Self::Transport(_) => ErrorKind::ConnectionAborted,
            Self::TimedOut => ErrorKind::TimedOut,
            Self::Closed => ErrorKind::NotConnected,
            // Not Interrupted, after which loops call again by themselves.
            Self::Cancelled => ErrorKind::Other,
        }
    }
}
