//! SOCKS5 (RFC 1928): CONNECT without authentication, for both ends.
//!
//! The near end answers the choice of a method and reads the request. Where the far end dials, the request goes
//! there as the channel's first octets, and the reply comes back by the channel: no round trip is added.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use byway::client::Stream;
use byway::error::{ConfigError, PeerError, TransportError};
use byway::{Endpoint, Error, Name};
use rustix::io::Errno;
use tracing::warn;

use super::allow::{Allowed, NotAllowed};
use super::{Wants, carry};
use crate::cli::local::{DIAL, LocalSocket, dial_first};

/// How long a program, or the near end, may take to say all of its request: it has it at hand.
const PATIENCE: Duration = Duration::from_secs(10);

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// What follows a name that is to be a byway name, for browsers that treat names without a dot oddly.
const SUFFIX: &str = ".byway";

/// The replies of RFC 1928, section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reply {
    Succeeded = 0,
    Failed = 1,
    NotAllowed = 2,
    NetworkUnreachable = 3,
    HostUnreachable = 4,
    Refused = 5,
    NoSuchCommand = 7,
    NoSuchAddress = 8,
}

impl Reply {
    /// The reply's octets. The address that the connection was made from is nobody's business: it is zero.
    fn octets(self) -> [u8; 10] {
        [VERSION, self as u8, 0, IPV4, 0, 0, 0, 0, 0, 0]
    }
}

/// Where a program wants to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    Name(String),
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// A request to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    host: Host,
    port: u16,
    /// The request as it came, of 262 octets at most.
    octets: Vec<u8>,
}

/// Why a request is refused.
#[derive(Debug)]
pub enum Refused {
    /// There is nobody to answer: the program has gone, is silent, or speaks something else.
    Unanswered(io::Error),
    /// The program wants to authenticate itself.
    NoMethod,
    Reply(Reply, String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unanswered(error) => error.fmt(f),
            Self::NoMethod => {
                f.write_str("the program wants to authenticate itself; switch that off there")
            }
            Self::Reply(_, cause) => f.write_str(cause),
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Unanswered(error)
    }
}

impl Refused {
    /// Answers the program. Where that fails the program has gone.
    pub fn tell(&self, mut socket: &LocalSocket) {
        let told = match self {
            Self::Unanswered(_) => return,
            Self::NoMethod => socket.write_all(&[VERSION, NO_METHOD]),
            Self::Reply(reply, _) => socket.write_all(&reply.octets()),
        };
        let _ = told.and_then(|()| socket.end_in_order());
    }
}

/// Answers a program for whose connection there is no channel.
pub fn refuse(socket: &LocalSocket, error: Error) {
    let reply = match error {
        Error::Peer(PeerError::NoListener | PeerError::BacklogFull) => Reply::Refused,
        Error::Peer(PeerError::KeyRefused | PeerError::WrongKey | PeerError::Handshake)
        | Error::Config(ConfigError::Forbidden) => Reply::NotAllowed,
        Error::Peer(PeerError::Away) | Error::TimedOut => Reply::HostUnreachable,
        Error::Transport(TransportError::Blocked(_)) => Reply::NetworkUnreachable,
        _ => Reply::Failed,
    };
    Refused::Reply(reply, error.to_string()).tell(socket);
}

/// Tells a program that its connection is made.
pub fn grant(mut socket: &LocalSocket) -> io::Result<()> {
    socket.write_all(&Reply::Succeeded.octets())
}

/// Agrees with a program on no authentication, and reads its request.
pub fn ask(socket: &LocalSocket) -> Result<Request, Refused> {
    socket.prepare(PATIENCE)?;
    let mut octets = Octets::new(socket);
    let [version, methods] = octets.take()?;
    if version != VERSION {
        return Err(odd("no SOCKS5, but something else").into());
    }
    let methods = octets.take_some(methods.into())?;
    if !methods.contains(&NO_AUTHENTICATION) {
        return Err(Refused::NoMethod);
    }
    { socket }.write_all(&[VERSION, NO_AUTHENTICATION])?;
    let request = Request::read(&mut octets)?;
    socket.set_read_timeout(None)?;
    Ok(request)
}

/// Reads the request with which a channel begins, dials its target if that is allowed, and joins both.
pub fn answer(stream: &Stream, allowed: &Allowed, wants: &Wants) -> io::Result<()> {
    let dialled = Request::read(&mut Octets::new(stream)).and_then(|request| {
        let Request { host, port, .. } = &request;
        let addresses = allowed.resolve(host, *port).map_err(|why| {
            let reply = match why {
                NotAllowed::Policy => Reply::NotAllowed,
                NotAllowed::Unresolved(_) => Reply::HostUnreachable,
            };
            warn!("{host}:{port} is not dialled: {why}");
            Refused::Reply(reply, why.to_string())
        })?;
        let deadline = Instant::now() + DIAL;
        wants.with_descriptors(Some(deadline), || dial_first(addresses.iter().copied())).map_err(
            |error| {
                warn!("cannot connect to {host}:{port}: {error}");
                Refused::Reply(reply_to(&error), error.to_string())
            },
        )
    });
    match dialled {
        Ok(socket) => {
            socket.reset_at_end();
            { stream }.write_all(&Reply::Succeeded.octets()).inspect_err(|_| stream.abort())?;
            carry(&socket, stream)
        }
        Err(Refused::Reply(reply, cause)) => {
            { stream }.write_all(&reply.octets())?;
            stream.clone().close()?;
            Err(io::Error::other(cause))
        }
        Err(refused @ (Refused::Unanswered(_) | Refused::NoMethod)) => {
            warn!("a channel that begins with no SOCKS request: {refused}; connect with --socks");
            stream.abort();
            Err(io::Error::other(refused.to_string()))
        }
    }
}

/// The reply for a target that cannot be reached.
fn reply_to(error: &io::Error) -> Reply {
    match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED) => Reply::Refused,
        Some(Errno::NETUNREACH) => Reply::NetworkUnreachable,
        Some(Errno::HOSTUNREACH | Errno::TIMEDOUT) => Reply::HostUnreachable,
        _ if error.kind() == ErrorKind::TimedOut => Reply::HostUnreachable,
        _ => Reply::Failed,
    }
}

impl Request {
    fn read(octets: &mut Octets<'_>) -> Result<Self, Refused> {
        octets.seen.clear();
        let [version, command, _, kind] = octets.take()?;
        if version != VERSION {
            return Err(odd("no SOCKS5 request, but something else").into());
        }
        let host = match kind {
            IPV4 => Host::Address(Ipv4Addr::from(octets.take::<4>()?).into()),
            IPV6 => Host::Address(Ipv6Addr::from(octets.take::<16>()?).into()),
            NAME => {
                let [len] = octets.take()?;
                let name = octets.take_some(len.into())?;
                Host::of(&name)?
            }
            _ => {
                let cause = format!("there is no kind of address {kind}");
                return Err(Refused::Reply(Reply::NoSuchAddress, cause));
            }
        };
        let port = u16::from_be_bytes(octets.take()?);
        if command != CONNECT {
            let cause = format!("command {command}: only CONNECT is understood");
            return Err(Refused::Reply(Reply::NoSuchCommand, cause));
        }
        Ok(Self { host, port, octets: std::mem::take(&mut octets.seen) })
    }

    /// Passes the request on.
    pub fn send(&self, mut stream: &Stream) -> io::Result<()> {
        stream.write_all(&self.octets)
    }

    /// The endpoint that the request names; `@` is the name `own`.
    pub fn endpoint(&self, own: Option<Name>) -> Result<Endpoint, Refused> {
        let no = |cause: String| Refused::Reply(Reply::HostUnreachable, cause);
        let Host::Name(text) = &self.host else {
            let cause = format!("{} is an address, no name of byway", self.host);
            return Err(Refused::Reply(Reply::NoSuchAddress, cause));
        };
        let text = text.strip_suffix('.').unwrap_or(text);
        let bare = text.len().checked_sub(SUFFIX.len()).and_then(|at| text.split_at_checked(at));
        let text = match bare {
            Some((name, end)) if end.eq_ignore_ascii_case(SUFFIX) => name,
            Some(_) | None => text,
        };
        if text == "@" {
            let name = own.ok_or_else(|| no("no identity, whose name @ stands for".into()))?;
            return Ok(Endpoint { name, port: self.port });
        }
        format!("{text}:{}", self.port)
            .parse()
            .map_err(|error| no(format!("{text:?} is no name of byway: {error}")))
    }
}

impl Host {
    /// The host that a program gave as a name, which may be an address in text.
    fn of(name: &[u8]) -> Result<Self, Refused> {
        let text = str::from_utf8(name)
            .ok()
            .filter(|text| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic()));
        let text = text.ok_or_else(|| {
            let cause = "a host name of other characters than those of ASCII, or none".into();
            Refused::Reply(Reply::HostUnreachable, cause)
        })?;
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Address))
    }
}

fn odd(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{what} came"))
}

/// Where a request comes from.
enum Source<'s> {
    Program(&'s LocalSocket),
    Channel(&'s Stream),
}

impl<'s> From<&'s LocalSocket> for Source<'s> {
    fn from(socket: &'s LocalSocket) -> Self {
        Self::Program(socket)
    }
}

impl<'s> From<&'s Stream> for Source<'s> {
    fn from(stream: &'s Stream) -> Self {
        Self::Channel(stream)
    }
}

/// The octets of a request: as many as are asked for and no more, until the time is over.
struct Octets<'s> {
    source: Source<'s>,
    until: Instant,
    seen: Vec<u8>,
}

impl<'s> Octets<'s> {
    fn new(source: impl Into<Source<'s>>) -> Self {
        Self { source: source.into(), until: Instant::now() + PATIENCE, seen: Vec::new() }
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut octets = [0; N];
        self.fill(&mut octets)?;
        Ok(octets)
    }

    fn take_some(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut octets = vec![0; len];
        self.fill(&mut octets)?;
        Ok(octets)
    }

    fn fill(&mut self, out: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < out.len() {
            match self.read(&mut out[filled..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => filled += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.seen.extend_from_slice(out);
        Ok(())
    }

    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        match self.source {
            Source::Program(mut socket) => {
                socket.set_read_timeout(Some(left))?;
                socket.read(out)
            }
            Source::Channel(stream) => Ok(stream.recv_timeout(out, Some(left))?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(host: Host, port: u16) -> Request {
        Request { host, port, octets: Vec::new() }
    }

    #[test]
    fn endpoint_is_a_name_with_or_without_the_suffix() {
        for (text, endpoint) in [
            ("web", "web:80"),
            ("web.byway", "web:80"),
            ("web.BYWAY.", "web:80"),
            ("a.b", "a.b:80"),
        ] {
            let name = Host::Name(text.into());
            let got = request(name, 80).endpoint(None).expect(text);
            assert_eq!(got.to_string(), endpoint);
        }
        for bad in ["a b", "@", ".byway"] {
            let refused = request(Host::Name(bad.into()), 80).endpoint(None).expect_err(bad);
            assert!(matches!(refused, Refused::Reply(Reply::HostUnreachable, _)), "{refused}");
        }
        let address = Host::Address(IpAddr::from([10, 0, 0, 1]));
        let refused = request(address, 80).endpoint(None).expect_err("an address");
        assert!(matches!(refused, Refused::Reply(Reply::NoSuchAddress, _)), "{refused}");
    }

    #[test]
    fn address_in_text_is_an_address() {
        assert_eq!(Host::of(b"::1").expect("good"), Host::Address(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(Host::of(b"web").expect("good"), Host::Name("web".into()));
        for bad in [&b""[..], b"a b", b"\xff", b"a\0b"] {
            Host::of(bad).expect_err("no name");
        }
    }
}
