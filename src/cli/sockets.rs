//! TCP listeners at the addresses of a name.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// How many ports that the system chose for one address are tried at the others.
const TRIES: usize = 16;

/// Listens at all addresses of `host:port` that are this machine's, IPv4 first. Port 0 takes a port
/// that is free at all of them.
///
/// # Errors
/// The name has no address, none of them is this machine's, or one is in use.
pub fn bind(host_port: &str) -> io::Result<Vec<TcpListener>> {
    let addresses = resolve(host_port)?;
    let mut last = None;
    for _ in 0..TRIES {
        match bind_all(&addresses) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => last = Some(error),
            result => return result,
        }
        if addresses.iter().any(|address| address.port() != 0) {
            break;
        }
    }
    Err(last.unwrap_or_else(|| ErrorKind::AddrInUse.into()))
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

fn bind_all(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let (mut listeners, mut refused) = (Vec::<TcpListener>::new(), None);
    for address in addresses {
        let mut address = *address;
        if let (Some(first), 0) = (listeners.first(), address.port()) {
            address.set_port(first.local_addr()?.port());
        }
        match TcpListener::bind(address) {
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

/// Accepts connections from several listeners.
#[derive(Debug)]
pub struct Acceptor {
    listeners: Vec<TcpListener>,
    /// The listener that was asked last.
    turn: usize,
}

impl Acceptor {
    pub fn new(listeners: Vec<TcpListener>) -> io::Result<Self> {
        // A listener that was ready may not be any more.
        listeners.iter().try_for_each(|listener| listener.set_nonblocking(true))?;
        Ok(Self { listeners, turn: 0 })
    }

    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        addresses(&self.listeners)
    }

    /// Waits for a connection, and tells whether it was there already.
    ///
    /// # Errors
    /// The system does not give the connection, which still waits then.
    pub fn accept(&mut self) -> io::Result<(TcpStream, bool)> {
        let mut was_there = true;
        loop {
            for _ in 0..self.listeners.len() {
                self.turn = (self.turn + 1) % self.listeners.len();
                match self.listeners[self.turn].accept() {
                    Ok((tcp, _)) => {
                        tcp.set_nonblocking(false)?;
                        return Ok((tcp, was_there));
                    }
                    Err(error) => match error.kind() {
                        // No connection waits, or the one that waited went away.
                        ErrorKind::WouldBlock
                        | ErrorKind::ConnectionAborted
                        | ErrorKind::Interrupted => {}
                        _ => return Err(error),
                    },
                }
            }
            let watch = |listener| PollFd::new(listener, PollFlags::IN);
            let mut fds: Vec<_> = self.listeners.iter().map(watch).collect();
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            was_there = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(name: &str) -> Vec<(bool, u16)> {
        let acceptor = Acceptor::new(bind(name).expect("bound")).expect("accepts");
        let addresses = acceptor.addresses().expect("addresses");
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
        assert_eq!(bind_all(&[ours, other]).expect("bound").len(), 1);
        assert_eq!(bind_all(&[other, ours]).expect("bound").len(), 1);
        let error = bind_all(&[other]).expect_err("not ours");
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn address_in_use_is_not_left_out() {
        let holder = TcpListener::bind("127.0.0.2:0").expect("a free port");
        let taken = holder.local_addr().expect("an address");
        let free = SocketAddr::from(([127, 0, 0, 3], taken.port()));
        let error = bind_all(&[free, taken]).expect_err("in use");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
}
