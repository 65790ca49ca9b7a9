//! Sockets of programs on this machine or its network: TCP, or of the family Unix.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::sockopt;

/// How long a TCP connection to one address may take to be made: a SYN and three repeats of it.
pub const DIAL: Duration = Duration::from_secs(8);

/// How long a TCP connection is idle before its other end is probed: a machine that lost its power says
/// nothing, and would hold its permit for ever.
const KEEP_IDLE: Duration = Duration::from_secs(120);

/// The interval between two probes, and the number of probes without an answer after which the
/// connection is given up.
const KEEP_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_PROBES: u32 = 4;

/// Where a program listens, or is to find a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalAddress {
    /// `host:port`; a name in it is resolved when it is used.
    Tcp(String),
    Unix(PathBuf),
}

impl fmt::Display for LocalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(text) => f.write_str(text),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl LocalAddress {
    /// Connects to the program that listens there.
    pub fn dial(&self) -> io::Result<LocalSocket> {
        match self {
            Self::Tcp(host_port) => dial_first(host_port.to_socket_addrs()?),
            Self::Unix(path) => UnixStream::connect(path).map(LocalSocket::Unix),
        }
    }
}

/// Connects to the first of the addresses that lets us.
pub fn dial_first(
    addresses: impl IntoIterator<Item = std::net::SocketAddr>,
) -> io::Result<LocalSocket> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, DIAL) {
            Ok(tcp) => return Ok(LocalSocket::Tcp(tcp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A stream socket whose other end a program has.
#[derive(Debug)]
pub enum LocalSocket {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// The other end is stdin and stdout of a process that this one started. Its exit is the end in
    /// order, whatever it left unread.
    Child(UnixStream),
}

impl LocalSocket {
    /// Prepares the socket for being joined to a channel; no write takes longer than `look`.
    pub fn prepare(&self, look: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => {
                tcp.set_nodelay(true)?;
                tcp.set_write_timeout(Some(look))?;
                keep_alive(tcp)
            }
            Self::Unix(unix) | Self::Child(unix) => unix.set_write_timeout(Some(look)),
        }
    }

    /// Has the system end this connection by a reset, which no peer takes for the end of the data, unless
    /// [`end_in_order`](Self::end_in_order) is called. Unix sockets have no resets.
    pub fn reset_at_end(&self) {
        if let Self::Tcp(tcp) = self {
            // A failure means that the connection is gone already.
            let _ = sockopt::set_socket_linger(tcp, Some(Duration::ZERO));
        }
    }

    /// Both ends were passed on: the system delivers the rest.
    pub fn end_in_order(&self) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => Ok(sockopt::set_socket_linger(tcp, None)?),
            Self::Unix(_) | Self::Child(_) => Ok(()),
        }
    }

    /// Has the socket count as writable only when the system has sent everything, where the system knows
    /// that.
    pub fn wait_for_sent(&self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Self::Tcp(tcp) = self {
            let _ = socket2::SockRef::from(tcp).set_tcp_notsent_lowat(1);
        }
    }

    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.shutdown(how),
            Self::Unix(unix) | Self::Child(unix) => unix.shutdown(how),
        }
    }

    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.set_read_timeout(timeout),
            Self::Unix(unix) | Self::Child(unix) => unix.set_read_timeout(timeout),
        }
    }
}

/// Has the kernel probe the other end of an idle connection.
fn keep_alive(tcp: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(tcp, true)?;
    sockopt::set_tcp_keepidle(tcp, KEEP_IDLE)?;
    sockopt::set_tcp_keepintvl(tcp, KEEP_INTERVAL)?;
    Ok(sockopt::set_tcp_keepcnt(tcp, KEEP_PROBES)?)
}

impl AsFd for LocalSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(tcp) => tcp.as_fd(),
            Self::Unix(unix) | Self::Child(unix) => unix.as_fd(),
        }
    }
}

impl Read for &LocalSocket {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            LocalSocket::Tcp(tcp) => { tcp }.read(out),
            LocalSocket::Unix(unix) => { unix }.read(out),
            // A process that left octets unread has ended, and nothing else.
            LocalSocket::Child(unix) => match { unix }.read(out) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
                result => result,
            },
        }
    }
}

impl Write for &LocalSocket {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            LocalSocket::Tcp(tcp) => { tcp }.write(octets),
            LocalSocket::Unix(unix) | LocalSocket::Child(unix) => { unix }.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn forwarded_connection_is_probed_after_two_idle_minutes() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let tcp = TcpStream::connect(listener.local_addr().expect("an address")).expect("connects");
        keep_alive(&tcp).expect("set");
        assert!(sockopt::socket_keepalive(&tcp).expect("known"));
        assert_eq!(sockopt::tcp_keepidle(&tcp).expect("known"), Duration::from_secs(120));
    }

    #[test]
    fn process_that_left_octets_unread_has_ended_in_order() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        { &theirs }.write_all(b"done").expect("written");
        { &ours }.write_all(b"unread").expect("written");
        drop(theirs);
        let ours = LocalSocket::Child(ours);
        let mut read = Vec::new();
        { &ours }.read_to_end(&mut read).expect("no reset");
        assert_eq!(read, b"done");
    }
}
