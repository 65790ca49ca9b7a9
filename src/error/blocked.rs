//! What stands in the way of exchanges with the relay.

use crate::wire::Status;

/// The obstacles to exchanges with the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Blocked {
    /// The name of the relay or proxy does not resolve.
    #[error(
        "the host name of the relay, or of the proxy if one is set, does not resolve; check both and the network"
    )]
    Dns,
    /// No connection is made.
    #[error(
        "no connection; check that the relay runs, and the proxy if one is set, and that the network reaches it"
    )]
    Connect,
    /// The program's own hook for sockets refused every socket, see `Hooks::on_socket`.
    #[error("the program's hook for sockets failed; look at what the event has seen, and mend it")]
    Hook,
    /// The TLS handshake fails.
    #[error(transparent)]
    Tls(TlsFault),
    /// No octet of an answer came within the deadline.
    #[error("silence within the deadline; check the network, or wait until it is back")]
    Silence,
    /// The connection ended before the answer did.
    #[error(
        "the answer was cut short on the way; look at the proxies before the relay, and at the relay"
    )]
    Cut,
    /// The answer has an HTTP status other than 200.
    #[error("HTTP status {0} instead of an answer; {remedy}", remedy = status_remedy(*.0))]
    Http(u16),
    /// The answer has an HTTP status (429 or 503) and asks the client to come back after a number of
    /// seconds.
    #[error(
        "HTTP status {0} instead of an answer, which asks to come back in {1} s; a gateway's limit: ask for less, or its operator for more"
    )]
    Later(u16, u8),
    /// The relay does not let this client in.
    #[error(transparent)]
    Token(TokenFault),
    /// The relay is for its own machine alone, and a front passed the request on to it.
    #[error(
        "the relay is for its own machine alone, and a front passed the request on; have its operator name the front (byway relay --trusted-proxy) and say who may use the relay (--policy or --open)"
    )]
    FromBeyond,
    /// The port is one of `https://`, and was asked by `http://`.
    #[error("that is a port of https://; write https:// in the URL")]
    WantsTls,
    /// The configured proxy wants a password, or another password.
    #[error("the proxy wants authentication; give the right user and password")]
    ProxyAuth,
    /// The configured proxy does not take passwords by Basic, the scheme that byway speaks.
    #[error(
        "the proxy wants {0}, byway speaks Basic; allow Basic there, or go through a local proxy that speaks {0}, such as cntlm or px"
    )]
    ProxyScheme(AuthScheme),
    /// A proxy or front compressed the relay's answer.
    #[error(
        "the answer was compressed on the way; have the proxy or front that does so leave application/octet-stream and no-transform alone"
    )]
    Compressed,
    /// The head of the answer cannot be read.
    #[error(transparent)]
    Head(HeadFault),
    /// The answer is a page that no relay wrote.
    #[error(
        "a foreign page instead of the relay's answer; log in to the network's portal, check the URL"
    )]
    Foreign,
    /// The relay has no place for another client, and asks it to come back after this number of
    /// seconds.
    #[error("the relay is full; it asks to come back in {0} s; ask its operator for room")]
    Full(u8),
    /// The relay refused the exchange.
    #[error("the relay answers {}; try again later", .0.name())]
    Relay(Status),
}

impl Blocked {
    /// Whether another try is in vain until a person has changed something. A client tries on
    /// nevertheless, but a wait for the client to open ends at once.
    pub const fn is_lasting(self) -> bool {
        match self {
            Self::Tls(fault) => !matches!(fault, TlsFault::Broken),
            Self::FromBeyond
            | Self::WantsTls
            | Self::ProxyAuth
            | Self::ProxyScheme(_)
            | Self::Token(_) => true,
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

/// The remedy for an HTTP status that no relay gives (RFC 9110, section 15).
const fn status_remedy(status: u16) -> &'static str {
    match status {
        300..=399 => "no redirect is followed: give the URL that it leads to",
        400 => "write https:// if that port speaks TLS, or look at the gateway",
        401 => {
            "the relay wants a valid token, or the site its user: give it a header Authorization"
        }
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
    /// The server's certificate has expired, or this device's clock is ahead.
    #[error("the server's certificate has expired; renew it there, or set this device's clock")]
    Expired,
    /// The server's certificate is not valid yet, or this device's clock is behind.
    #[error("the server's certificate is not valid yet; set this device's clock")]
    NotYetValid,
    /// The server's certificate names other hosts.
    #[error(
        "the server's certificate is for another name; check the host in the URL, and whether a login portal or another server answers there"
    )]
    WrongName,
    /// No trusted authority issued the server's certificate.
    #[error(
        "the server's certificate is of no trusted issuer; give the issuer's certificate, or the server's own if it is self-signed, as trusted root (--roots)"
    )]
    UnknownIssuer,
    /// The server's key is none of those that are pinned.
    #[error(
        "its key is not the pinned one, so another server answers, or its key was changed; get the new pin from its operator (byway relay prints it), then change --roots pin:…"
    )]
    OtherKey,
    /// The server's certificate cannot be used for another reason.
    #[error(
        "the server's certificate cannot be used, the event (-v) says why; make one of X.509 version 3 for servers"
    )]
    Certificate,
    /// The server at that port does not speak TLS.
    #[error("no TLS at that port; write http://, or give the port that speaks TLS")]
    NotTls,
    /// The server knows no version or cipher that byway knows.
    #[error(
        "the server refuses the TLS handshake, which byway makes with TLS 1.2 and 1.3; update the server, check its ciphers"
    )]
    Refused,
    /// The server asks for a client certificate.
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

/// Why a relay with a policy does not let a client in (RFC 6750, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFault {
    /// The client sent no token.
    #[error(
        "the relay wants a token, and this client has none; give it one of its operator (--token-file)"
    )]
    Wanted,
    /// The relay does not know the token, or the token has expired or is not valid yet.
    #[error(
        "the relay refuses this client's token; ask its operator for a valid one, or if the token has dates set this device's clock"
    )]
    Refused,
}

/// The scheme by which a proxy wants its users to authenticate (RFC 9110, section 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthScheme {
    /// The proxy wants Digest (RFC 7616).
    #[error("Digest")]
    Digest,
    /// The proxy wants NTLM, Microsoft's scheme.
    #[error("NTLM")]
    Ntlm,
    /// The proxy wants Negotiate (RFC 4559), which is Kerberos or NTLM.
    #[error("Negotiate")]
    Negotiate,
    /// The proxy wants another scheme, which the event names.
    #[error("another scheme")]
    Other,
}

/// Why the head of an answer cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadFault {
    /// The answer is not HTTP.
    #[error("what answers there is no HTTP; check the port, and whether it wants https://")]
    NotHttp,
    /// The answer has more header lines than byway takes.
    #[error(
        "the answer has more than 128 header lines; have the proxies and fronts on the way add fewer"
    )]
    TooMany,
    /// The answer's header has more octets than byway takes.
    #[error(
        "the answer's header is longer than the buffer of the profile; have the proxies and fronts on the way add less"
    )]
    TooLong,
    /// A header field goes on in the next line, which RFC 9112, section 5.2 forbids.
    #[error(
        "the answer has a header field folded over two lines; have the front that adds it write one line"
    )]
    Folded,
    /// The answer's header breaks another rule of HTTP.
    #[error(
        "the answer's header breaks the rules of HTTP, the event shows it; mend the front that writes it"
    )]
    Malformed,
}
