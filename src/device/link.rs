//! What a port to other hardware provides: the connection, and the relay's address.

use core::fmt;

use embedded_io::{Read, ReadReady, Write};

use super::fault::{self, LinkFault};

/// The connection to the relay, or to a proxy.
///
/// The rules of [`embedded_io`] hold: `write` blocks only while nothing can be taken, and `read` gives 0 at
/// the end of the connection. `read_ready` keeps [`Device::poll`](super::Device::poll) from blocking: it
/// tells whether `read` would return at once, also with the end or an error. A link that cannot know
/// answers `true` and lets `read` block: then `poll` blocks as well. With TLS, records without octets for
/// `read`, such as tickets, are nothing to read. [`Device::fault`](super::Device::fault) tells the error of
/// any of these functions.
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
/// A UART that is wired to the relay's port is a link as well: `read_ready` asks for its "receive buffer
/// full" flag, `read` takes one octet, `write` waits for "transmit buffer not full" and puts one,
/// and `dial` reads away what is left of an answer until it is quiet ([`HANGS_UP`](Self::HANGS_UP) is
/// false).
pub trait Link: Read + Write + ReadReady {
    /// Closes the connection if there is one, and makes a new one. The call blocks until the connection is
    /// up, or cannot be made. A link that is always up may do nothing.
    ///
    /// # Errors
    /// There is no connection now, as when the host is away or its certificate is not trusted. The device
    /// dials again after a pause, see [`pause_ms`](Self::pause_ms).
    fn dial(&mut self) -> Result<(), Self::Error>;

    /// For how long the device does not dial after `fault`, in ms, where the session's own pauses of 2 s at
    /// most are too short; `None`: until [`network_changed`](super::Device::network_changed) is called.
    /// `times` counts the faults without a whole answer between them, from 1 on.
    ///
    /// The default adds nothing after the first fault. After further faults it adds 2 s, and twice as long
    /// each time, up to 32 s, if the error's [`kind`](embedded_io::Error::kind) says that the fault does not
    /// pass by itself: `InvalidData`, which an untrusted certificate is with rustls, `InvalidInput`,
    /// `PermissionDenied`, `Unsupported`. After all other kinds it adds nothing. `Other` is among these, since
    /// embedded-io has no kind of its own for a network that is down or unreachable, nor for a name that is
    /// not found. With a TLS library whose certificate errors are `Other`, such as embedded-tls, the link
    /// needs a `pause_ms` of its own.
    fn pause_ms(&mut self, fault: &LinkFault<Self::Error>, times: u8) -> Option<u32> {
        Some(fault::pause_ms(fault.kind(), times))
    }

    /// Whether `dial` makes a new connection. A line that is always up, and behind which no other part
    /// makes new connections, says `false`: the device then breaks nothing off to speak, and `dial`
    /// should read away what still comes of an answer that was given up, until the line is quiet.
    const HANGS_UP: bool = true;
}

/// The address of a relay, and what requests to it say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RelayAddress<'a> {
    /// The relay's host, and `:port` if that is not 80.
    pub authority: &'a str,
    /// The path before `/v1` in the relay's URL: empty, or like `/byway`.
    pub base: &'a str,
    /// Whether the link leads to an HTTP proxy: requests then name the relay in full.
    pub by_proxy: bool,
    /// More header fields of each request, each with CR LF behind it, such as
    /// `"Proxy-Authorization: Basic ZTpm\r\n"`; or the empty text. For a relay with a policy the token stands here:
    /// `"Authorization: Bearer …\r\n"`. Without TLS below the link everybody on the way can read it.
    pub fields: &'a str,
}

/// Does not show the header fields, among which passwords and tokens are.
impl fmt::Debug for RelayAddress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { authority, base, by_proxy, fields: _ } = self;
        let mut all = f.debug_struct("RelayAddress");
        all.field("authority", authority).field("base", base).field("by_proxy", by_proxy);
        all.finish_non_exhaustive()
    }
}

impl<'a> RelayAddress<'a> {
    /// The address of a relay that is reached without a proxy, at the root of its host.
    pub const fn new(authority: &'a str) -> Self {
        Self { authority, base: "", by_proxy: false, fields: "" }
    }
}
