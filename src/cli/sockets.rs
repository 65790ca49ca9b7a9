//! Listeners for programs: TCP at the addresses of a name, or a Unix socket.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use listenfd::ListenFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::local::{LocalAddress, LocalSocket};
use super::unix_listener::UnixListener;

/// How many ports that the system chose for one address are tried at the others.
const TRIES: usize = 16;

/// Where a relay listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// At all addresses of this `host:port`.
    At(String),
    /// By the sockets that the service manager opened and passes on: connections wait in them while no relay is there,
    /// and two relays may have them at once.
    Passed,
}

impl Listen {
    /// The listeners.
    ///
    /// # Errors
    /// Those of [`bind`]; no sockets were passed on, or others than listeners of TCP.
    pub fn open(&self) -> io::Result<Vec<TcpListener>> {
        let Self::At(address) = self else { return passed() };
        bind(address)
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(address) => f.write_str(address),
            Self::Passed => f.write_str("the sockets of systemd"),
        }
    }
}

/// The listeners that the service manager passes on. They can be asked for once.
fn passed() -> io::Result<Vec<TcpListener>> {
    let mut passed = ListenFd::from_env();
    let listeners: Vec<_> = (0..passed.len())
        .filter_map(|at| passed.take_tcp_listener(at).transpose())
        .collect::<io::Result<_>>()?;
    if listeners.is_empty() {
        let none =
            "none were passed on (LISTEN_FDS); start the relay by a service with a socket unit";
        return Err(io::Error::new(ErrorKind::NotConnected, none));
    }
    Ok(listeners)
}

/// Listens at all addresses of `host:port` that are this machine's, IPv4 first. Port 0 takes a port
/// that is free at all of them.
///
/// # Errors
/// The name has no address, none of them is this machine's, or one is in use.
pub fn bind(host_port: &str) -> io::Result<Vec<TcpListener>> {
    bind_by(host_port, TcpListener::bind)
}

fn bind_by<S: Bound>(
    host_port: &str,
    bind_one: fn(SocketAddr) -> io::Result<S>,
) -> io::Result<Vec<S>> {
    let addresses = resolve(host_port)?;
    let mut last = None;
    for _ in 0..TRIES {
        match bind_all(&addresses, bind_one) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => last = Some(error),
            result => return result,
        }
        if addresses.iter().any(|address| address.port() != 0) {
            break;
        }
    }
    Err(last.unwrap_or_else(|| ErrorKind::AddrInUse.into()))
}

/// Takes datagrams at all addresses of `host:port` that are this machine's, by sockets that do not block.
///
/// # Errors
/// Those of [`bind`].
pub fn bind_udp(host_port: &str) -> io::Result<Vec<UdpSocket>> {
    let sockets = bind_by(host_port, UdpSocket::bind)?;
    sockets.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
    Ok(sockets)
}

/// The addresses of `host:port`. `localhost` is both loopback addresses whatever the resolver says
/// (RFC 6761, section 6.3): programs try either of them first.
fn resolve(host_port: &str) -> io::Result<Vec<SocketAddr>> {
    let name = host_port.rsplit_once(':').map(|(host, port)| (host, port.parse()));
    if let Some((host, Ok(port))) = name
        && host.eq_ignore_ascii_case("localhost")
    {
        let (v4, v6) = (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
        return Ok(vec![(v4, port).into(), (v6, port).into()]);
    }
    let mut addresses: Vec<_> = host_port.to_socket_addrs()?.collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

/// The addresses at which the listeners listen, in the order of the listeners.
pub fn addresses(listeners: &[TcpListener]) -> io::Result<Vec<SocketAddr>> {
    listeners.iter().map(TcpListener::local_addr).collect()
}

/// A socket that has an address.
trait Bound {
    fn address(&self) -> io::Result<SocketAddr>;
}

impl Bound for TcpListener {
    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

impl Bound for UdpSocket {
    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

fn bind_all<S: Bound>(
    addresses: &[SocketAddr],
    bind_one: fn(SocketAddr) -> io::Result<S>,
) -> io::Result<Vec<S>> {
    let (mut listeners, mut refused) = (Vec::<S>::new(), None);
    for address in addresses {
        let mut address = *address;
        if let (Some(first), 0) = (listeners.first(), address.port()) {
            address.set_port(first.address()?.port());
        }
        match bind_one(address) {
            Ok(listener) => listeners.push(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse => return Err(error),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if listeners.is_empty() => Err(error),
        None if listeners.is_empty() => {
            Err(io::Error::new(ErrorKind::NotFound, "the name has no address"))
        }
        Some(_) | None => Ok(listeners),
    }
}

/// A time as `poll` takes it.
pub fn time(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as _, tv_nsec: duration.subsec_nanos().into() }
}

/// A socket that takes connections of programs.
#[derive(Debug)]
enum LocalListener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl LocalListener {
    fn accept(&self) -> io::Result<LocalSocket> {
        match self {
            Self::Tcp(listener) => {
                let (tcp, _) = listener.accept()?;
                tcp.set_nonblocking(false)?;
                Ok(LocalSocket::Tcp(tcp))
            }
            Self::Unix(listener) => {
                let unix = listener.accept()?;
                unix.set_nonblocking(false)?;
                Ok(LocalSocket::Unix(unix))
            }
        }
    }
}

impl AsFd for LocalListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Accepts connections of programs, at all addresses of a name or at a Unix socket.
#[derive(Debug)]
pub struct Acceptor {
    listeners: Vec<LocalListener>,
    /// The listener that was asked last.
    turn: usize,
}

/// What an [`Acceptor`] waited for.
#[derive(Debug)]
pub enum Accepted {
    Connection {
        socket: LocalSocket,
        /// Whether it was there already.
        was_there: bool,
    },
    /// The descriptor that says so became readable.
    Ended,
    /// The turn is over.
    Nothing,
}

impl Acceptor {
    pub fn bind(address: &LocalAddress) -> io::Result<Self> {
        // A listener that was ready may not be any more.
        let listeners = match address {
            LocalAddress::Tcp(host_port) => {
                let listeners = bind(host_port)?;
                listeners.iter().try_for_each(|listener| listener.set_nonblocking(true))?;
                listeners.into_iter().map(LocalListener::Tcp).collect()
            }
            LocalAddress::Unix(path) => vec![LocalListener::Unix(UnixListener::bind(path)?)],
        };
        Ok(Self { listeners, turn: 0 })
    }

    /// The addresses as they are announced, one for each listener.
    pub fn addresses(&self) -> io::Result<Vec<LocalAddress>> {
        let address = |listener: &LocalListener| match listener {
            LocalListener::Tcp(tcp) => Ok(LocalAddress::Tcp(tcp.local_addr()?.to_string())),
            LocalListener::Unix(unix) => Ok(LocalAddress::Unix(unix.path().to_owned())),
        };
        self.listeners.iter().map(address).collect()
    }

    /// Waits for a connection, or until `ended` is readable, at most for `turn`.
    ///
    /// # Errors
    /// The system does not give the connection, which still waits then.
    pub fn accept(
        &mut self,
        ended: BorrowedFd<'_>,
        turn: Option<Duration>,
    ) -> io::Result<Accepted> {
        let turn = turn.map(time);
        let mut was_there = true;
        loop {
            for _ in 0..self.listeners.len() {
                self.turn = (self.turn + 1) % self.listeners.len();
                match self.listeners[self.turn].accept() {
                    Ok(socket) => return Ok(Accepted::Connection { socket, was_there }),
                    Err(error) => match error.kind() {
                        // No connection waits, or the one that waited went away.
                        ErrorKind::WouldBlock
                        | ErrorKind::ConnectionAborted
                        | ErrorKind::Interrupted => {}
                        _ => return Err(error),
                    },
                }
            }
            let mut fds = vec![PollFd::from_borrowed_fd(ended, PollFlags::IN)];
            fds.extend(self.listeners.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
            match poll(&mut fds, turn.as_ref()) {
                Ok(0) => return Ok(Accepted::Nothing),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if !fds[0].revents().is_empty() {
                return Ok(Accepted::Ended);
            }
            was_there = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(name: &str) -> Vec<(bool, u16)> {
        let addresses = addresses(&bind(name).expect("bound")).expect("addresses");
        addresses.iter().map(|address| (address.is_ipv6(), address.port())).collect()
    }

    #[test]
    fn numeric_address_is_bound_alone() {
        assert!(matches!(ports("127.0.0.1:0")[..], [(false, 1..)]));
    }

    #[test]
    fn localhost_is_both_loopback_addresses_whatever_the_resolver_says() {
        let both: Vec<SocketAddr> =
            ["127.0.0.1:80", "[::1]:80"].iter().map(|a| a.parse().expect("an address")).collect();
        assert_eq!(resolve("localhost:80").expect("known"), both);
        assert_eq!(resolve("LocalHost:80").expect("known"), both);
    }

    #[test]
    fn addresses_that_are_not_this_machines_are_left_out() {
        let ours = SocketAddr::from(([127, 0, 0, 1], 0));
        let other = SocketAddr::from(([192, 0, 2, 1], 0));
        assert_eq!(bind_all(&[ours, other], TcpListener::bind).expect("bound").len(), 1);
        assert_eq!(bind_all(&[other, ours], TcpListener::bind).expect("bound").len(), 1);
        let error = bind_all(&[other], TcpListener::bind).expect_err("not ours");
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn address_in_use_is_not_left_out() {
        let holder = TcpListener::bind("127.0.0.2:0").expect("a free port");
        let taken = holder.local_addr().expect("an address");
        let free = SocketAddr::from(([127, 0, 0, 3], taken.port()));
        let error = bind_all(&[free, taken], TcpListener::bind).expect_err("in use");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
}
