//! Steps of the way to the relay, one by one, and HTTP requests as they are on the wire: to find out what is
//! on the way, as `byway doctor` does. The settings are those of a client, and so are the ways: proxy,
//! addresses, tunnel, TLS, header fields, token.

mod line;
#[cfg(feature = "tls")]
mod seen;
mod socket;

use std::fmt::{self, Write as _};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use ureq::Error;

pub use line::{HeaderFields, Piece, ProbeAnswer, ProbeLine};
#[cfg(feature = "tls")]
use seen::Observer;
pub use socket::ProbeSocket;

use super::address::RelayTarget;
use super::control::Control;
use super::race::{self, Lost};
use super::token::Token;
use super::tunnel::Tunnel;
use super::{ExchangeFailure, HttpConfig, Obstacle};
#[cfg(feature = "tls")]
use super::{roots::Verifier, tls::TlsSettings};
use crate::error::{Blocked, ConfigError};
use crate::http::detail;

/// Longest head of an answer to CONNECT, in octets.
const TUNNEL_HEAD: usize = 16 * 1024;

/// How a request says where its body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By Content-Length.
    Counted(usize),
    /// By chunks.
    Chunked,
}

/// What a server showed of itself in a TLS handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// The certificates in DER: the server's own, then those of its issuers as it sent them.
    pub chain: Vec<Vec<u8>>,
    /// Whether an authority of the public web issued the server's certificate.
    pub is_public: bool,
}

/// The way to a relay, in steps.
pub struct ProbeWay {
    config: HttpConfig,
    target: RelayTarget,
    /// The token that is shown, or why a client does not send the one of its settings.
    token: Result<Option<Token>, ConfigError>,
    control: Arc<Control>,
    #[cfg(feature = "tls")]
    tls: Option<(TlsSettings, Arc<Observer>)>,
}

impl ProbeWay {
    /// Checks the settings as a client does. A token that a client does not send is not shown, see
    /// [`shows_token`](Self::shows_token).
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(config: &HttpConfig) -> Result<Self, ConfigError> {
        let target = RelayTarget::without_token(config)?;
        let token = target.check_token(config.token.as_ref()).map(|()| config.token.clone());
        #[cfg(feature = "tls")]
        let tls = match target.is_tls() {
            true => {
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                let trusted = Verifier::new(&config.roots, &provider)?;
                let public = Verifier::new(&super::Roots::Web, &provider)?;
                let observer = Arc::new(Observer::new(trusted, public));
                Some((TlsSettings::new(&target.url.host, Arc::clone(&observer) as _)?, observer))
            }
            false => None,
        };
        Ok(Self {
            config: config.clone(),
            target,
            token,
            control: Arc::default(),
            #[cfg(feature = "tls")]
            tls,
        })
    }

    /// Whether the relay is asked by `https://`.
    pub fn is_tls(&self) -> bool {
        self.target.is_tls()
    }

    /// Host and port of the relay.
    pub fn relay(&self) -> (&str, u16) {
        (self.target.url.host.bare(), self.target.url.port.number())
    }

    /// Host and port of the proxy, if there is one.
    pub fn proxy(&self) -> Option<(&str, u16)> {
        self.target.proxy.as_ref().map(|proxy| (proxy.host.bare(), proxy.port))
    }

    /// Whether the proxy is asked to pass requests on, and not for a tunnel.
    pub fn is_forwarded(&self) -> bool {
        self.target.forward_proxy().is_some()
    }

    /// Asks for the addresses of the relay, or of the proxy.
    ///
    /// # Errors
    /// There is none.
    pub fn resolve(&self) -> Result<Vec<SocketAddr>, ExchangeFailure> {
        let (host, port) = self.target.next_hop();
        let found = self.control.resolve(&self.config.hooks, &host, port);
        found.map_err(|error| failure(error, Blocked::Dns))
    }

    /// Connects to the address that answers first.
    ///
    /// # Errors
    /// None answers.
    pub fn connect(
        &self,
        addresses: &[SocketAddr],
    ) -> Result<(SocketAddr, ProbeSocket), ExchangeFailure> {
        let fault = |error| failure(error, Blocked::Connect);
        let interrupt = self.control.begin_connect().map_err(fault)?;
        let timeout = self.config.connect_timeout;
        let (tried, made) =
            race::connect(addresses, timeout, &self.config.hooks, interrupt.as_fd());
        let worked = made.as_ref().ok().map(|(address, _)| *address);
        self.control.end_connect(worked, &addresses[..tried]);
        let (address, stream) = made.map_err(|lost| match lost {
            Lost::Cancelled => ExchangeFailure::new(Blocked::Cut, false, "interrupted"),
            Lost::Hook(failed) => ExchangeFailure::new(Blocked::Hook, false, failed),
            Lost::Io(error) => ExchangeFailure::new(Blocked::Connect, false, error),
        })?;
        // A socket that is gone already fails at its first use.
        let _ = stream.set_nodelay(true);
        Ok((address, ProbeSocket::new(stream, Instant::now() + timeout)))
    }

    /// Asks the proxy for a tunnel, if the relay is asked by `https://` through one. That takes the time for a
    /// connection at most, and so does TLS.
    ///
    /// # Errors
    /// The proxy gives none.
    pub fn tunnel(&self, socket: &mut ProbeSocket) -> Result<(), ExchangeFailure> {
        let Some(request) = Tunnel::new(&self.target, &self.config.user_agent).request else {
            return Ok(());
        };
        let broken = |error: std::io::Error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                ExchangeFailure::new(Blocked::Silence, true, "the proxy does not answer CONNECT")
            }
            _ => ExchangeFailure::new(Blocked::Cut, true, error),
        };
        socket.set_end(Instant::now() + self.config.connect_timeout);
        socket.write_all(request.as_bytes()).map_err(broken)?;
        let mut head = Vec::new();
        let mut octet = [0];
        // One by one, since what is behind the head is the tunnel's.
        while !head.ends_with(b"\r\n\r\n") && head.len() < TUNNEL_HEAD {
            if socket.read(&mut octet).map_err(broken)? == 0 {
                let seen = "the proxy hung up on CONNECT";
                return Err(ExchangeFailure::new(Blocked::Cut, true, seen));
            }
            head.extend(octet);
        }
        let Some((_, status, fields)) = line::read_head(&head) else {
            let (cause, seen) = detail::unreadable(&head);
            return Err(ExchangeFailure::new(cause, true, seen));
        };
        match status {
            200..=299 => Ok(()),
            _ => {
                let fields = line::header_map(&fields);
                let seen = detail::tunnel_line(status, &fields, "");
                Err(ExchangeFailure::new(detail::tunnel_refused(status, &fields), true, seen))
            }
        }
    }

    /// Makes the TLS handshake, if the relay is asked by `https://`. What the server showed is there also
    /// when it is refused.
    pub fn shake(&self, mut socket: ProbeSocket) -> (Shown, Result<ProbeLine, ExchangeFailure>) {
        socket.set_end(Instant::now() + self.config.connect_timeout);
        #[cfg(feature = "tls")]
        if let Some((settings, observer)) = &self.tls {
            let shaken = settings.shake(socket);
            let line = shaken.map(ProbeLine::over_tls);
            return (observer.take(), line.map_err(|error| failure(error, Blocked::Cut)));
        }
        (Shown::default(), Ok(ProbeLine::plain(socket)))
    }

    /// Takes all steps.
    ///
    /// # Errors
    /// A step fails.
    pub fn open(&self) -> Result<ProbeLine, ExchangeFailure> {
        let (_, mut socket) = self.connect(&self.resolve()?)?;
        self.tunnel(&mut socket)?;
        self.shake(socket).1
    }

    /// The head of a POST to `path` behind the relay's base path, with the header fields of a client and, if
    /// it is to be shown, the token.
    pub fn head(&self, path: &str, framing: Framing, shows_token: bool) -> Vec<u8> {
        let url = &self.target.url;
        let place = match self.is_forwarded() {
            true => format!("http://{}", url.authority),
            false => String::new(),
        };
        let mut head = format!("POST {place}{}{path} HTTP/1.1\r\n", url.base).into_bytes();
        let mut add = |name: &str, value: &[u8]| {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        };
        for (name, value) in
            self.target.headers.iter().filter(|(name, _)| *name != "content-length")
        {
            add(name.as_str(), value.as_bytes());
        }
        match framing {
            Framing::Counted(length) => add("content-length", length.to_string().as_bytes()),
            Framing::Chunked => add("transfer-encoding", b"chunked"),
        }
        let (name, scheme) = self.target.token_field();
        let token = self.token.as_ref().ok().and_then(Option::as_ref).filter(|_| shows_token);
        if let Some(value) = token.and_then(Token::shown).and_then(|shown| shown.field(scheme)) {
            add(name.as_str(), value.as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    /// Whether there is a token, which is shown.
    ///
    /// # Errors
    /// Why a client does not send the token that its settings have: it would go over `http://` to another machine,
    /// or its file cannot be read.
    pub fn shows_token(&self) -> Result<bool, ConfigError> {
        self.token.as_ref().map(Option::is_some).map_err(|error| *error)
    }
}

impl fmt::Debug for ProbeWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeWay").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Makes a body of chunks.
pub fn chunked(body: &[u8], chunk: usize) -> Vec<u8> {
    let mut framed = Vec::new();
    for piece in body.chunks(chunk.max(1)) {
        let mut size = String::new();
        // A string takes whatever is written.
        let _ = write!(size, "{:x}\r\n", piece.len());
        framed.extend_from_slice(size.as_bytes());
        framed.extend_from_slice(piece);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(b"0\r\n\r\n");
    framed
}

/// A failure of a step, whose cause is `otherwise` if the error does not say.
fn failure(error: Error, otherwise: Blocked) -> ExchangeFailure {
    match &error {
        Error::Other(other) => match other.downcast_ref::<Obstacle>() {
            Some(obstacle) => ExchangeFailure::new(obstacle.cause, false, &obstacle.seen),
            None => ExchangeFailure::new(otherwise, false, error),
        },
        Error::Timeout(ureq::Timeout::Resolve) | Error::HostNotFound => {
            ExchangeFailure::new(Blocked::Dns, false, error)
        }
        Error::Timeout(_) => ExchangeFailure::new(Blocked::Silence, false, error),
        Error::Io(io) if matches!(io.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            ExchangeFailure::new(Blocked::Silence, false, error)
        }
        _ => ExchangeFailure::new(otherwise, false, error),
    }
}
