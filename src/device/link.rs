//! What is left to write for a port: the connection; and where the relay is.

use embedded_io::{Read, ReadReady, Write};

use super::fault::{self, LinkFault};

/// The connection to the relay, or to a proxy.
///
/// What [`embedded_io`] asks of its parts holds: `write` blocks only while nothing can be taken,
/// `read` gives 0 at the end of the connection. `read_ready` is what keeps
/// [`Device::poll`](super::Device::poll) from blocking: it tells whether `read` would give something at
/// once, the end and errors included. Where there is no such thing, answer `true` and let `read` block:
/// then `poll` blocks as well. With TLS, records without octets for `read`, as tickets, are nothing to
/// read. An error of any of them is told by [`Device::fault`](super::Device::fault).
///
/// With `std`, for tests and for gateways:
///
/// ```
/// use byway::device::Link;
/// use embedded_io::{ErrorType, Read, ReadReady, Write};
/// use std::io::{self, Read as _, Write as _};
/// use std::net::{SocketAddr, TcpStream};
///
/// struct Tcp {
///     relay: SocketAddr,
///     stream: Option<TcpStream>,
/// }
///
/// impl Tcp {
///     fn stream(&self) -> io::Result<&TcpStream> {
///         self.stream.as_ref().ok_or(io::ErrorKind::NotConnected.into())
///     }
/// }
///
/// impl ErrorType for Tcp {
///     type Error = io::Error;
/// }
///
/// impl Read for Tcp {
///     fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
///         self.stream()?.read(out)
///     }
/// }
///
/// impl Write for Tcp {
///     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
///         self.stream()?.write(bytes)
///     }
///     fn flush(&mut self) -> io::Result<()> {
///         self.stream()?.flush()
///     }
/// }
///
/// impl ReadReady for Tcp {
///     fn read_ready(&mut self) -> io::Result<bool> {
///         let stream = self.stream()?;
///         stream.set_nonblocking(true)?;
///         let peeked = stream.peek(&mut [0]);
///         stream.set_nonblocking(false)?;
///         match peeked {
///             Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
///             peeked => peeked.map(|_| true), // the end, too, is there to be read
///         }
///     }
/// }
///
/// impl Link for Tcp {
///     fn dial(&mut self) -> io::Result<()> {
///         self.stream = None;
///         let stream = TcpStream::connect(self.relay)?;
///         stream.set_nodelay(true)?;
///         self.stream = Some(stream);
///         Ok(())
///     }
/// }
/// ```
///
/// And a UART that somebody wired to the relay's port: `read_ready` asks for its "receive buffer
/// full" flag, `read` takes one octet, `write` waits for "transmit buffer not full" and puts one,
/// and `dial` reads away what is left of an answer until it is quiet ([`HANGS_UP`](Self::HANGS_UP) is
/// false).
pub trait Link: Read + Write + ReadReady {
    /// Hangs up if there is a connection, and dials anew; blocks until it is up, or cannot be. A link
    /// that is always up may do nothing.
    ///
    /// # Errors
    /// There is no connection now, as when the host is away or its certificate is not trusted. It is
    /// tried again after a pause, see [`pause_ms`](Self::pause_ms).
    fn dial(&mut self) -> Result<(), Self::Error>;

    /// For how long nothing is dialled after `fault`, in ms, where the session's own pauses of 2 s at
    /// most are too short; `None`: until [`network_changed`](super::Device::network_changed) is called.
    /// It is the fault number `times` without a whole answer between them, from 1 on.
    ///
    /// Unless it is given: nothing more after a first one. After further ones, if the error's
    /// [`kind`](embedded_io::Error::kind) says that it does not pass by itself (`InvalidData`, which a certificate
    /// that is not trusted is with rustls, `InvalidInput`, `PermissionDenied`, `Unsupported`), 2 s, and twice
    /// as long each time, up to 32 s; after all other kinds nothing more. `Other` is one of these: embedded-io
    /// has no kind of its own for a network that is down or unreachable, nor for a name that is not found.
    /// A TLS library whose certificate errors are `Other`, as embedded-tls, wants a `pause_ms` of the link's.
    fn pause_ms(&mut self, fault: &LinkFault<Self::Error>, times: u8) -> Option<u32> {
        Some(fault::pause_ms(fault.kind(), times))
    }

    /// Whether `dial` makes a new connection. A line that is always up, and of which nobody behind it
    /// makes new connections either, says `false`: then nothing is broken off to speak, and `dial`
    /// should read away what still comes of an answer that was given up, until it is quiet.
    const HANGS_UP: bool = true;
}

/// Where the relay is, and how it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayAddress<'a> {
    /// Its host, and `:port` if that is not 80.
    pub authority: &'a str,
    /// What stands before `/v1` in its URL's path: nothing, or like `/byway`.
    pub base: &'a str,
    /// Whether the link leads to an HTTP proxy: the relay is then named in full.
    pub by_proxy: bool,
    /// More header fields of each request, each with CR LF behind it, as
    /// `"Proxy-Authorization: Basic ZTpm\r\n"`; or nothing.
    pub fields: &'a str,
}

impl<'a> RelayAddress<'a> {
    /// A relay that is reached without a proxy, at the root of its host.
    pub const fn new(authority: &'a str) -> Self {
        Self { authority, base: "", by_proxy: false, fields: "" }
    }
}
