//! Errors, grouped by who has to change something. Each is one line: the cause, then the remedy.

use crate::wire::{EndpointError, MAX_GREETING, Status};

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This program's configuration or use of byway.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The other peer.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// Something fixed in size is used up.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The path to the relay, or the relay.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The time given for the operation is over. It may or may not take effect later.
    #[error("timed out: allow more time, or look at the client's events for the cause")]
    TimedOut,
    /// This end closed the client, listener or channel, perhaps in another thread.
    #[error("closed by this program: open a new one to go on")]
    Closed,
    /// Another thread of this program cancelled the wait. What was waited for may still happen.
    #[error("cancelled by this program: call again to go on")]
    Cancelled,
}

/// Faults of the configuration or of the use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No endpoint.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The relay's URL cannot be used.
    #[error("relay URL: {0}; write http://host:port or https://host/path")]
    RelayUrl(&'static str),
    /// A proxy, header or other transport setting cannot be used.
    #[error("transport setting: {0}")]
    Setting(&'static str),
    /// Somebody else holds the endpoint.
    #[error(
        "endpoint in use: another owner listens there; choose another name or port, or stop it"
    )]
    InUse,
    /// A newer process of the same owner holds the endpoint.
    #[error("endpoint taken over: a newer process of the same owner listens there; run only one")]
    Taken,
    /// This session listens there already.
    #[error("endpoint in use: this client listens there already; close that listener first")]
    Duplicate,
    /// Stream asked for where datagrams are served, or the reverse.
    #[error(
        "wrong kind: the endpoint serves the other of stream and datagram; use its counterpart"
    )]
    WrongKind,
    /// The operation does not fit the channel's kind or direction.
    #[error("not possible on this channel: {0}")]
    Unsupported(&'static str),
    /// The relay speaks another version.
    #[error(
        "version mismatch: the relay speaks protocol version {relay}, this client 1; update the older"
    )]
    Version {
        /// Version that the relay named.
        relay: u8,
    },
    /// The relay could not read what this client sent.
    #[error("the relay calls the request malformed: update the older of client and relay")]
    Malformed,
    /// Too long a greeting.
    #[error("greeting too long: at most {MAX_GREETING} octets")]
    Greeting,
    /// Too long a datagram.
    #[error("datagram too long: this channel takes at most {max} octets; send less at once")]
    DatagramTooLong {
        /// Most octets.
        max: usize,
    },
    /// Too small a buffer for the next datagram, which stays.
    #[error("buffer too small: the next datagram has {len} octets and stays; give a larger buffer")]
    BufferTooSmall {
        /// Octets of the datagram.
        len: usize,
    },
}

/// Faults of the other peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// Nobody listens.
    #[error(
        "connection refused: nobody listens at that endpoint; check the name, or start the listener"
    )]
    NoListener,
    /// The listener is full; the client asked again and again for the time given, a device once.
    #[error(
        "connection refused: the listener's backlog or channels were used up whenever it was asked; try again later"
    )]
    BacklogFull,
    /// The listener is known, but has not been seen lately.
    #[error("peer away: it has not asked the relay for data lately; check its network, try again")]
    Away,
    /// The peer closed the channel.
    #[error("channel closed by the peer; connect anew if there is more to say")]
    Closed,
    /// The peer gave the channel up.
    #[error(
        "channel aborted by the peer; it had received up to offset {received}; ask it why, connect anew"
    )]
    Aborted {
        /// First offset that the peer had not received.
        received: u64,
    },
    /// The peer knows no such channel: its program ended, was restarted, or gave the channel up before.
    #[error(
        "channel unknown to the peer, which ended or was restarted; acknowledged up to offset {acked}; connect anew"
    )]
    Unknown {
        /// First offset not acknowledged.
        acked: u64,
    },
    /// The peer gave up after silence.
    #[error(
        "channel given up by the peer after silence; it had received up to offset {received}; connect anew"
    )]
    GaveUp {
        /// First offset that the peer had not received.
        received: u64,
    },
    /// The peer broke the protocol.
    #[error("peer broke the protocol; acknowledged up to offset {acked}; update the older side")]
    Protocol {
        /// First offset not acknowledged.
        acked: u64,
    },
}

/// Limits reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResourceError {
    /// All channels are in use.
    #[error("no free channel: close one, or open the client with a larger profile")]
    Channels,
    /// All listeners are in use.
    #[error("no free listener: close one, or open the client with a larger profile")]
    Listeners,
    /// The relay's limits.
    #[error(
        "refused by the relay: one of its limits is reached; ask its operator, try again later"
    )]
    Relay,
    /// The relay has no place for another client.
    #[error("the relay is full; it asks to come back in {seconds} s; ask its operator for room")]
    Full {
        /// After how many seconds it is asked again.
        seconds: u8,
    },
    /// No entropy.
    #[error("no random numbers from the system: give the configuration a seed")]
    Entropy,
    /// No thread or memory.
    #[error("the system gives no thread or memory: free some")]
    System,
}

/// Faults of the path or the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The path is blocked.
    #[error("path to the relay blocked: {0}")]
    Blocked(Blocked),
    /// Nothing was heard for the linger time.
    #[error(
        "channel given up after silence; the peer acknowledged up to offset {acked}; connect anew"
    )]
    Linger {
        /// First offset not acknowledged.
        acked: u64,
    },
    /// Nothing was heard for the linger time, and nothing but the end of the stream is missing: the
    /// peer acknowledged every byte, and ended its own stream.
    #[error(
        "the peer acknowledged all {acked} bytes, but never that the stream ends there; if that matters, ask it anew"
    )]
    EndUnconfirmed {
        /// First offset not acknowledged: that of the end.
        acked: u64,
    },
    /// Somebody else uses this session's secret.
    #[error("another client uses this session's secret: seed each process differently")]
    SecretShared,
}

/// What stands in the way of exchanges with the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Blocked {
    /// The name of the relay or proxy does not resolve.
    #[error(
        "the host name of the relay, or of the proxy if one is set, does not resolve; check both and the network"
    )]
    Dns,
    /// No connection.
    #[error(
        "no connection; check that the relay runs, and the proxy if one is set, and that the network reaches it"
    )]
    Connect,
    /// The program's own hook for sockets refused each, see `Hooks::on_socket`.
    #[error("the program's hook for sockets failed; look at what the event has seen, and mend it")]
    Hook,
    /// TLS failed.
    #[error(transparent)]
    Tls(TlsFault),
    /// Nothing came within the deadline.
    #[error("silence within the deadline; check the network, or wait until it is back")]
    Silence,
    /// The connection ended before the answer did.
    #[error(
        "the answer was cut short on the way; look at the proxies before the relay, and at the relay"
    )]
    Cut,
    /// An HTTP status other than 200.
    #[error("HTTP status {0} instead of an answer; {remedy}", remedy = status_remedy(*.0))]
    Http(u16),
    /// An HTTP status that asks to be let alone for so many seconds: 429 or 503.
    #[error(
        "HTTP status {0} instead of an answer, which asks to come back in {1} s; a gateway's limit: ask for less, or its operator for more"
    )]
    Later(u16, u8),
    /// The configured proxy wants a password, or another one.
    #[error("the proxy wants authentication; give the right user and password")]
    ProxyAuth,
    /// The configured proxy takes no password in the way that byway gives it.
    #[error(
        "the proxy wants {0}, byway speaks Basic; allow Basic there, or go through a local proxy that speaks {0}, such as cntlm or px"
    )]
    ProxyScheme(AuthScheme),
    /// The relay's answer in another encoding.
    #[error(
        "the answer was compressed on the way; have the proxy or front that does so leave application/octet-stream and no-transform alone"
    )]
    Compressed,
    /// An answer whose head cannot be read.
    #[error(transparent)]
    Head(HeadFault),
    /// A page that is no relay's.
    #[error(
        "a foreign page instead of the relay's answer; log in to the network's portal, check the URL"
    )]
    Foreign,
    /// The relay has no place for another client, and is asked again after so many seconds.
    #[error("the relay is full; it asks to come back in {0} s; ask its operator for room")]
    Full(u8),
    /// The relay refused the exchange.
    #[error("the relay answers {}; try again later", .0.name())]
    Relay(Status),
}

impl Blocked {
    /// Whether to try again soon is in vain: somebody has to change something first. A client tries
    /// on nevertheless, but a wait for it to open ends at once.
    pub const fn is_lasting(self) -> bool {
        match self {
            Self::Tls(fault) => !matches!(fault, TlsFault::Broken),
            Self::ProxyAuth | Self::ProxyScheme(_) => true,
            Self::Dns
            | Self::Connect
            | Self::Hook
            | Self::Silence
            | Self::Cut
            | Self::Http(_)
            | Self::Compressed
            | Self::Head(_)
            | Self::Foreign
            | Self::Full(_)
            | Self::Later(..)
            | Self::Relay(_) => false,
        }
    }
}

/// What to do about an HTTP status that is no relay's (RFC 9110, section 15).
const fn status_remedy(status: u16) -> &'static str {
    match status {
        300..=399 => "no redirect is followed: give the URL that it leads to",
        400 => "write https:// if that port speaks TLS, or look at the gateway",
        401 => "the site wants to know its user: give it a header Authorization",
        403 => "a proxy or gateway forbids it: ask its operator",
        404 | 405 | 501 => "no relay is there: check host, port and path of the URL",
        500 | 502..=504 => "a proxy or gateway does not reach the relay: check that it runs",
        _ => "look at the URL, and at the proxy or gateway",
    }
}

/// Why there is no TLS with the server that the URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFault {
    /// Its certificate has expired, or this device's clock is ahead.
    #[error("the server's certificate has expired; renew it there, or set this device's clock")]
    Expired,
    /// Its certificate is not valid yet, or this device's clock is behind.
    #[error("the server's certificate is not valid yet; set this device's clock")]
    NotYetValid,
    /// Its certificate names other hosts.
    #[error(
        "the server's certificate is for another name; check the host in the URL, and whether a login portal or another server answers there"
    )]
    WrongName,
    /// Nobody that is trusted issued its certificate.
    #[error(
        "the server's certificate is of no trusted issuer; give the issuer's certificate, or the server's own if it is self-signed, as trusted root (--roots)"
    )]
    UnknownIssuer,
    /// Its certificate cannot be used for another reason.
    #[error(
        "the server's certificate cannot be used, the event (-v) says why; make one of X.509 version 3 for servers"
    )]
    Certificate,
    /// What answers there speaks no TLS.
    #[error("no TLS at that port; write http://, or give the port that speaks TLS")]
    NotTls,
    /// The server knows no version or cipher that byway knows.
    #[error(
        "the server refuses the TLS handshake, which byway makes with TLS 1.2 and 1.3; update the server, check its ciphers"
    )]
    Refused,
    /// The server wants to know the client by a certificate.
    #[error(
        "the server wants a client certificate, and byway has none; let the relay's path be asked for without one"
    )]
    ClientCertificate,
    /// The connection ended within the handshake.
    #[error(
        "the connection ended within the TLS handshake; check that the port speaks TLS, and what cuts it on the way"
    )]
    Broken,
}

/// How a proxy wants to be told who asks (RFC 9110 section 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthScheme {
    /// RFC 7616.
    #[error("Digest")]
    Digest,
    /// Microsoft's.
    #[error("NTLM")]
    Ntlm,
    /// RFC 4559: Kerberos, or NTLM.
    #[error("Negotiate")]
    Negotiate,
    /// Another one; the event names it.
    #[error("another scheme")]
    Other,
}

/// Why the head of an answer cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadFault {
    /// It is none of HTTP.
    #[error("what answers there is no HTTP; check the port, and whether it wants https://")]
    NotHttp,
    /// More header lines than byway takes.
    #[error(
        "the answer has more than 128 header lines; have the proxies and fronts on the way add fewer"
    )]
    TooMany,
    /// More octets than byway takes.
    #[error(
        "the answer's header is longer than the buffer of the profile; have the proxies and fronts on the way add less"
    )]
    TooLong,
    /// A header field that goes on in the next line, which RFC 9112 section 5.2 forbids.
    #[error(
        "the answer has a header field folded over two lines; have the front that adds it write one line"
    )]
    Folded,
    /// Something else that HTTP forbids.
    #[error(
        "the answer's header breaks the rules of HTTP, the event shows it; mend the front that writes it"
    )]
    Malformed,
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

/// What is an endpoint already needs no conversion that could fail.
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
