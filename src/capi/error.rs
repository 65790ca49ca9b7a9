//! The codes, their lines, and which code each error has.

use std::ffi::CStr;

use super::last::CallError;
use crate::error::{
    Blocked, ConfigError, Error, PeerError, ResourceError, TlsFault, TokenFault, TransportError,
};

/// Success.
pub const BYWAY_OK: i32 = 0;

/// Why a call failed, grouped by where something has to change: this program's use of the interface
/// (-1 to -99), its configuration (-100 to -199), the other peer (-200 to -299), something used up
/// (-300 to -399), the path to the relay (-400 to -499). Later versions may add codes.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum byway_error {
    /// A pointer is NULL or not aligned, a length or number is out of range, or a text is no UTF-8.
    Argument = -1,
    /// The handle is 0, was closed before, or was never given.
    Handle = -2,
    /// The handle is of another kind than the call takes: a listener for a stream, say.
    Kind = -3,
    /// A struct's size or version is none that this library knows.
    Struct = -4,
    /// Called from within a callback of the program, where only the functions without int32_t result may be.
    Callback = -5,
    /// A fault of byway itself. What the call was for may or may not have happened.
    Panic = -6,
    /// The time given is over, or with timeout_ms 0 there was nothing. It may still happen later.
    TimedOut = -7,
    /// byway_cancel ended the wait.
    Cancelled = -8,
    /// This program closed the client, listener or channel, perhaps in another thread.
    Closed = -9,
    /// A client was closed before its peers had acknowledged everything; detail: on how many channels. 0:
    /// they had, but may not know yet that this client has everything, too.
    Unacked = -10,
    /// Not possible on this channel: sending behind a shutdown of that direction.
    Unsupported = -11,
    /// The buffer is too small, and what was to be put there stays; detail: octets needed.
    BufferTooSmall = -12,
    /// The datagram is too long for this channel; detail: the most octets.
    DatagramTooLong = -13,

    /// No valid endpoint: it is written name:port, as in camera:1.
    Endpoint = -100,
    /// The relay's URL cannot be used.
    RelayUrl = -101,
    /// A setting of the configuration cannot be used.
    Setting = -102,
    /// Another owner listens at the endpoint.
    InUse = -103,
    /// A newer process of the same owner listens at the endpoint.
    Taken = -104,
    /// This client listens at the endpoint already.
    Duplicate = -105,
    /// The endpoint serves datagrams where a stream was asked for, or the reverse.
    EndpointKind = -106,
    /// The relay speaks another version of the protocol; detail: which.
    Version = -107,
    /// The relay calls what this client sends malformed.
    Malformed = -108,
    /// The listener does not encrypt, and this client does.
    PeerPlain = -120,
    /// The listener encrypts, and this client does not.
    PeerEncrypts = -121,
    /// The key name is damaged or another identity's, or the relay does not take the proof of its key.
    KeyName = -109,
    /// The relay's policy does not give this client's token the endpoint.
    Forbidden = -110,

    /// Nobody listens at the endpoint.
    NoListener = -200,
    /// The listener's backlog or channels are used up.
    BacklogFull = -201,
    /// The peer has not asked the relay for data lately.
    PeerAway = -202,
    /// The peer closed the channel.
    PeerClosed = -203,
    /// The peer aborted the channel; detail: the first offset that it had not received.
    PeerAborted = -204,
    /// The peer knows no such channel: its program ended or was restarted; detail: the first offset not acknowledged.
    PeerUnknown = -205,
    /// The peer gave up after silence; detail: the first offset that it had not received.
    PeerGaveUp = -206,
    /// The peer broke the protocol; detail: the first offset not acknowledged.
    PeerProtocol = -207,
    /// The two ends could not agree on keys: their shared secrets differ, or the handshake was changed.
    Handshake = -220,
    /// The listener has another key than expected.
    WrongKey = -221,
    /// The listener does not admit this client's key.
    KeyRefused = -222,

    /// All channels of the client are in use.
    Channels = -300,
    /// All listeners of the client are in use.
    Listeners = -301,
    /// A limit of the relay is reached; detail: if the relay is full, the seconds until it is asked again.
    RelayLimit = -302,
    /// The system has no random numbers.
    Entropy = -303,
    /// The system gives no thread, memory or file descriptor.
    System = -304,
    /// No handle is free: 2^24 are open.
    Handles = -305,

    /// The host name of the relay or proxy does not resolve.
    Dns = -400,
    /// No connection to the relay or proxy can be made.
    Connect = -401,
    /// The connection ended within the TLS handshake. The codes from -411 to -418 are other faults of TLS.
    Tls = -402,
    /// Nothing came within the protocol's deadlines.
    Silence = -403,
    /// The answer was cut short on the way.
    Cut = -404,
    /// An HTTP status other than 200 came; detail: which.
    Http = -405,
    /// The proxy wants authentication.
    ProxyAuth = -406,
    /// Something else than the relay answered, such as a login portal.
    Foreign = -407,
    /// The relay refused the exchange.
    Relay = -408,
    /// The channel was given up after silence; detail: the first offset not acknowledged, which is
    /// that of the end if the peer only never said that it saw that.
    Linger = -409,
    /// Another process uses this session's secret.
    SecretShared = -410,
    /// The server's certificate has expired, or this device's clock is ahead.
    TlsExpired = -411,
    /// The server's certificate is not valid yet, or this device's clock is behind.
    TlsNotYetValid = -412,
    /// The server's certificate names other hosts.
    TlsWrongName = -413,
    /// Nobody that is trusted issued the server's certificate.
    TlsUnknownIssuer = -414,
    /// The server's certificate cannot be used for another reason.
    TlsCertificate = -415,
    /// What answers there speaks no TLS.
    TlsNone = -416,
    /// The server knows no version or cipher of TLS that byway knows.
    TlsRefused = -417,
    /// The server wants to know the client by a certificate.
    TlsClientCertificate = -418,
    /// The proxy takes no password by Basic; the event's seen names what it offers.
    ProxyScheme = -419,
    /// The answer was compressed on the way.
    Compressed = -420,
    /// The head of the answer cannot be read: it is no HTTP, too long, folded or malformed.
    Head = -421,
    /// The program's own on_socket of byway_config refused each socket.
    Hook = -422,
    /// What came was changed on the way; detail: the first octet not acknowledged.
    Tampered = -440,
    /// What was sent was changed on the way; detail: the first octet that the peer had not received.
    TamperedThere = -441,
    /// The stream ended, and its peer did not say so.
    Truncated = -442,
    /// The server's key is none of those that are pinned.
    TlsOtherKey = -423,
    /// The relay wants a token, and the client has none.
    TokenWanted = -424,
    /// The relay refuses the client's token.
    TokenRefused = -425,
}

use byway_error as Code;

/// Each code with its line: cause, then remedy.
pub(super) const LINES: &[(Code, &CStr)] = &[
    (Code::Argument, c"an argument is not valid: check pointers, lengths and numbers; byway_last_error says which"),
    (Code::Handle, c"the handle is not open: it is 0, was closed before, or was never given; check who closes it"),
    (Code::Kind, c"the handle is of another kind: check which of client, listener, stream and datagram channel the call takes"),
    (Code::Struct, c"a struct has a size or version that this library does not know: fill it by its function and sizeof, zero the rest, or update the library"),
    (Code::Callback, c"called from within a callback: note what it told and call from elsewhere"),
    (Code::Panic, c"a fault of byway itself: please report it with what byway_last_error says; close what was in use"),
    (Code::TimedOut, c"timed out: allow more time, or look at the client's events for the cause"),
    (Code::Cancelled, c"cancelled by this program: call again to go on"),
    (Code::Closed, c"closed by this program: open a new one to go on"),
    (Code::Unacked, c"closed with bytes unacknowledged: allow more time, or wait for acknowledgement before"),
    (Code::Unsupported, c"not possible on this channel: its sending direction was shut down; connect anew to send more"),
    (Code::BufferTooSmall, c"buffer too small: what was to be put there stays; give a buffer of the octets that byway_last_detail says"),
    (Code::DatagramTooLong, c"datagram too long: send at most the octets that byway_last_detail says at once"),
    (Code::Endpoint, c"no valid endpoint: write name:port, as in camera:1; 1 to 48 letters, digits, '.', '_' and '-', and 0 to 65535"),
    (Code::RelayUrl, c"relay URL: it cannot be used; write http://host:port or https://host/path"),
    (Code::Setting, c"a setting cannot be used: byway_last_error says which and what it may be"),
    (Code::InUse, c"endpoint in use: another owner listens there; choose another name or port, or stop it"),
    (Code::Taken, c"endpoint taken over: a newer process of the same owner listens there; run only one"),
    (Code::Duplicate, c"endpoint in use: this client listens there already; close that listener first"),
    (Code::EndpointKind, c"wrong kind: the endpoint serves the other of stream and datagram; use its counterpart"),
    (Code::Version, c"version mismatch: the relay speaks another protocol version; update the older of client and relay"),
    (Code::Malformed, c"the relay calls the request malformed: update the older of client and relay"),
    (Code::PeerPlain, c"the listener does not encrypt: let it do so, or switch encryption off here, for all on the way to read"),
    (Code::PeerEncrypts, c"the listener encrypts: do so here, too (config.plain)"),
    (Code::KeyName, c"the key name cannot be used: copy it whole, listen by its own identity, dial the relay by a host that it was given"),
    (Code::Forbidden, c"endpoint forbidden: the relay's policy does not give this client's token that name and port; ask its operator to add it to listen or connect, or use another token"),
    (Code::NoListener, c"connection refused: nobody listens at that endpoint; check the name, or start the listener"),
    (Code::BacklogFull, c"connection refused: the listener's backlog or channels were used up whenever it was asked; try again later"),
    (Code::PeerAway, c"peer away: it has not asked the relay for data lately; check its network, try again"),
    (Code::PeerClosed, c"channel closed by the peer; connect anew if there is more to say"),
    (Code::PeerAborted, c"channel aborted by the peer; ask it why, connect anew"),
    (Code::PeerUnknown, c"channel unknown to the peer, which ended or was restarted; connect anew"),
    (Code::PeerGaveUp, c"channel given up by the peer after silence; connect anew"),
    (Code::PeerProtocol, c"peer broke the protocol; update the older side"),
    (Code::Handshake, c"no keys agreed on with the peer: give both ends the same shared secret, or none; else something on the way changed the handshake"),
    (Code::WrongKey, c"the listener has another key than expected: it was set up anew, or is somebody else; ask its owner for the key"),
    (Code::KeyRefused, c"the listener does not admit this client's key: ask its owner to, or why not"),
    (Code::Channels, c"no free channel: close one, or open the client with a larger profile"),
    (Code::Listeners, c"no free listener: close one, or open the client with a larger profile"),
    (Code::RelayLimit, c"refused by the relay: one of its limits is reached; ask its operator, try again later"),
    (Code::Entropy, c"no random numbers from the system: give the configuration a seed"),
    (Code::System, c"the system gives no thread, memory or file descriptor: free some"),
    (Code::Handles, c"no handle is free: close what is not used"),
    (Code::Dns, c"path to the relay blocked: a host name does not resolve; check the URL and the network"),
    (Code::Connect, c"path to the relay blocked: no connection; check that the relay runs, the proxy if one is set, and the network"),
    (Code::Tls, c"path to the relay blocked: the connection ended within the TLS handshake; check that the port speaks TLS, and what cuts it on the way"),
    (Code::Silence, c"path to the relay blocked: silence within the deadline; check the network, or wait until it is back"),
    (Code::Cut, c"path to the relay blocked: the answer was cut short; look at the proxies before the relay, and at the relay"),
    (Code::Http, c"path to the relay blocked: an HTTP status instead of an answer; a proxy, gateway or wrong URL"),
    (Code::ProxyAuth, c"path to the relay blocked: the proxy wants authentication; give the right user and password"),
    (Code::Foreign, c"path to the relay blocked: a foreign page instead of an answer; log in to the network's portal, check the URL"),
    (Code::Relay, c"path to the relay blocked: the relay refuses; try again later"),
    (Code::Linger, c"channel given up after silence; connect anew and go on at the offset that byway_last_detail says"),
    (Code::Hook, c"path to the relay blocked: the program's hook for sockets failed; look at what the event has seen, and mend it"),
    (Code::SecretShared, c"another client uses this session's secret: seed each process differently"),
    (Code::TlsExpired, c"path to the relay blocked: the server's certificate has expired; renew it there, or set this device's clock"),
    (Code::TlsNotYetValid, c"path to the relay blocked: the server's certificate is not valid yet; set this device's clock"),
    (Code::TlsWrongName, c"path to the relay blocked: the server's certificate is for another name; check the host in the URL, and whether a login portal answers there"),
    (Code::TlsUnknownIssuer, c"path to the relay blocked: the server's certificate is of no trusted issuer; give the issuer's, or a self-signed one itself, in roots_pem"),
    (Code::TlsCertificate, c"path to the relay blocked: the server's certificate cannot be used; the event says why; make one of X.509 version 3 for servers"),
    (Code::TlsNone, c"path to the relay blocked: no TLS at that port; write http://, or give the port that speaks TLS"),
    (Code::TlsRefused, c"path to the relay blocked: the server refuses the TLS handshake, made with TLS 1.2 and 1.3; update the server, check its ciphers"),
    (Code::TlsClientCertificate, c"path to the relay blocked: the server wants a client certificate, and byway has none; let the relay's path be asked for without one"),
    (Code::ProxyScheme, c"path to the relay blocked: the proxy wants another scheme than Basic, which byway speaks; allow Basic there, or go through a local proxy such as cntlm or px"),
    (Code::Compressed, c"path to the relay blocked: the answer was compressed on the way; have the proxy or front leave application/octet-stream alone"),
    (Code::Tampered, c"what came is not what the peer sent: the relay or a proxy changed it; use another way"),
    (Code::TamperedThere, c"what was sent was changed on the way: the relay or a proxy did it; use another way"),
    (Code::Truncated, c"the stream was cut short on the way: its end does not come from the peer; connect anew"),
    (Code::Head, c"path to the relay blocked: the head of the answer cannot be read: no HTTP, too long, folded or malformed; look at the port, and at the fronts before the relay"),
    (Code::TlsOtherKey, c"path to the relay blocked: its key is not the pinned one: another server answers, or its key was changed; get the new pin from its operator, for roots_pem"),
    (Code::TokenWanted, c"path to the relay blocked: the relay wants a token, and this client has none; give it one of its operator in token or token_file"),
    (Code::TokenRefused, c"path to the relay blocked: the relay refuses this client's token; ask its operator for a valid one, or if the token has dates set this device's clock"),
];

/// What stands in the way, and the number that belongs to it.
pub(super) fn blocked(cause: Blocked) -> (Code, u64) {
    match cause {
        Blocked::Dns => (Code::Dns, 0),
        Blocked::Connect => (Code::Connect, 0),
        Blocked::Hook => (Code::Hook, 0),
        Blocked::Tls(fault) => (tls(fault), 0),
        Blocked::Silence => (Code::Silence, 0),
        Blocked::Cut => (Code::Cut, 0),
        Blocked::Http(status) | Blocked::Later(status, _) => (Code::Http, status.into()),
        Blocked::Token(TokenFault::Wanted) => (Code::TokenWanted, 0),
        Blocked::Token(TokenFault::Refused) => (Code::TokenRefused, 0),
        Blocked::FromBeyond => (Code::Http, 403),
        Blocked::WantsTls => (Code::Http, 400),
        Blocked::ProxyAuth => (Code::ProxyAuth, 0),
        Blocked::ProxyScheme(_) => (Code::ProxyScheme, 0),
        Blocked::Compressed => (Code::Compressed, 0),
        Blocked::Head(_) => (Code::Head, 0),
        Blocked::Foreign => (Code::Foreign, 0),
        Blocked::Full(seconds) => (Code::RelayLimit, seconds.into()),
        Blocked::Relay(_) => (Code::Relay, 0),
    }
}

fn tls(fault: TlsFault) -> Code {
    match fault {
        TlsFault::Expired => Code::TlsExpired,
        TlsFault::NotYetValid => Code::TlsNotYetValid,
        TlsFault::WrongName => Code::TlsWrongName,
        TlsFault::UnknownIssuer => Code::TlsUnknownIssuer,
        TlsFault::OtherKey => Code::TlsOtherKey,
        TlsFault::Certificate => Code::TlsCertificate,
        TlsFault::NotTls => Code::TlsNone,
        TlsFault::Refused => Code::TlsRefused,
        TlsFault::ClientCertificate => Code::TlsClientCertificate,
        TlsFault::Broken => Code::Tls,
    }
}

fn code(error: Error) -> (Code, u64) {
    match error {
        Error::Config(error) => match error {
            ConfigError::Endpoint(_) => (Code::Endpoint, 0),
            ConfigError::RelayUrl(_) => (Code::RelayUrl, 0),
            ConfigError::Setting(_) => (Code::Setting, 0),
            ConfigError::Greeting => (Code::Argument, 0),
            ConfigError::InUse => (Code::InUse, 0),
            ConfigError::Taken => (Code::Taken, 0),
            ConfigError::Duplicate => (Code::Duplicate, 0),
            ConfigError::Forbidden => (Code::Forbidden, 0),
            ConfigError::WrongKind => (Code::EndpointKind, 0),
            ConfigError::PeerPlain => (Code::PeerPlain, 0),
            ConfigError::PeerEncrypts => (Code::PeerEncrypts, 0),
            ConfigError::Unsupported(_) => (Code::Unsupported, 0),
            ConfigError::Version { relay } => (Code::Version, relay.into()),
            ConfigError::Malformed => (Code::Malformed, 0),
            ConfigError::KeyName(_) => (Code::KeyName, 0),
            ConfigError::DatagramTooLong { max } => (Code::DatagramTooLong, max as u64),
            ConfigError::BufferTooSmall { len } => (Code::BufferTooSmall, len as u64),
        },
        Error::Peer(error) => match error {
            PeerError::NoListener => (Code::NoListener, 0),
            PeerError::BacklogFull => (Code::BacklogFull, 0),
            PeerError::Away => (Code::PeerAway, 0),
            PeerError::Closed => (Code::PeerClosed, 0),
            PeerError::Aborted { received } => (Code::PeerAborted, received),
            PeerError::Unknown { acked } => (Code::PeerUnknown, acked),
            PeerError::GaveUp { received } => (Code::PeerGaveUp, received),
            PeerError::Handshake => (Code::Handshake, 0),
            PeerError::WrongKey => (Code::WrongKey, 0),
            PeerError::KeyRefused => (Code::KeyRefused, 0),
            PeerError::Protocol { acked } => (Code::PeerProtocol, acked),
        },
        Error::Resource(error) => match error {
            ResourceError::Channels => (Code::Channels, 0),
            ResourceError::Listeners => (Code::Listeners, 0),
            ResourceError::Relay => (Code::RelayLimit, 0),
            ResourceError::Full { seconds } => (Code::RelayLimit, seconds.into()),
            ResourceError::Entropy => (Code::Entropy, 0),
            ResourceError::System => (Code::System, 0),
        },
        Error::Transport(error) => match error {
            TransportError::Blocked(cause) => blocked(cause),
            TransportError::Linger { acked } | TransportError::EndUnconfirmed { acked } => {
                (Code::Linger, acked)
            }
            TransportError::Tampered { acked } => (Code::Tampered, acked),
            TransportError::TamperedThere { received } => (Code::TamperedThere, received),
            TransportError::Truncated => (Code::Truncated, 0),
            TransportError::SecretShared => (Code::SecretShared, 0),
        },
        Error::TimedOut => (Code::TimedOut, 0),
        Error::Closed => (Code::Closed, 0),
        Error::Cancelled => (Code::Cancelled, 0),
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        let (code, detail) = code(error);
        Self::new(code, error.to_string()).with_detail(detail)
    }
}
