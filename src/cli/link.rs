//! A TCP connection and a channel, joined.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use byway::client::Stream;

/// Octets read and written at once.
const BUFFER: usize = 32 * 1024;

/// Of a thread, in octets: the buffers are elsewhere and nothing recurses.
pub const STACK: usize = 128 * 1024;

/// How soon a TCP connection that takes nothing is found to have lost its channel.
const LOOK: Duration = Duration::from_secs(1);

/// How long a TCP connection is idle before it is asked whether the other end is still there: a
/// machine that lost its power says nothing, and would hold its place for ever.
const KEEP_IDLE: Duration = Duration::from_secs(120);

/// How often it is asked then, and how many times without an answer until it is given up.
const KEEP_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_PROBES: u32 = 4;

/// Carries bytes both ways until both directions have ended and the peer has acknowledged
/// everything. The end of a direction is carried on by itself; what breaks off one side, a reset
/// or an abort, breaks off the other; so `tcp` must be one that ends by [`reset_at_end`].
pub fn join(tcp: &TcpStream, stream: &Stream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    tcp.set_write_timeout(Some(LOOK))?;
    keep_alive(tcp)?;
    let link = Link { tcp, stream, broken: OnceLock::new() };
    thread::scope(|scope| {
        let up = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || link.up());
        if let Err(error) = up {
            return link.break_off(error);
        }
        link.down();
    });
    if let Some(error) = link.broken.into_inner() {
        return Err(error);
    }
    stream.clone().close()?;
    Ok(rustix::net::sockopt::set_socket_linger(tcp, None)?)
}

/// Has the end of this connection come as a reset, which no peer takes for the end of the data,
/// unless a join ends well.
pub fn reset_at_end(tcp: &TcpStream) {
    // If that fails the connection is gone already.
    let _ = rustix::net::sockopt::set_socket_linger(tcp, Some(Duration::ZERO));
}

/// Has the kernel look after the other end while nothing is said.
fn keep_alive(tcp: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(tcp, true)?;
    sockopt::set_tcp_keepidle(tcp, KEEP_IDLE)?;
    sockopt::set_tcp_keepintvl(tcp, KEEP_INTERVAL)?;
    Ok(sockopt::set_tcp_keepcnt(tcp, KEEP_PROBES)?)
}

struct Link<'l> {
    tcp: &'l TcpStream,
    stream: &'l Stream,
    broken: OnceLock<io::Error>,
}

impl Link<'_> {
    fn up(&self) {
        if let Err(error) = self.send() {
            self.break_off(error);
        }
    }

    fn down(&self) {
        if let Err(error) = self.receive() {
            self.break_off(error);
        }
    }

    fn send(&self) -> io::Result<()> {
        let (mut tcp, mut stream) = (self.tcp, self.stream);
        let mut buffer = vec![0; BUFFER];
        loop {
            match tcp.read(&mut buffer) {
                // Ours, from `break_off`.
                Ok(0) if self.broken.get().is_some() => return Ok(()),
                Ok(0) => return Ok(stream.shutdown(Shutdown::Write)?),
                Ok(n) => stream.write_all(&buffer[..n])?,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn receive(&self) -> io::Result<()> {
        let mut stream = self.stream;
        let mut buffer = vec![0; BUFFER];
        loop {
            match stream.read(&mut buffer)? {
                0 => return self.tcp.shutdown(Shutdown::Write),
                n => self.write_all(&buffer[..n])?,
            }
        }
    }

    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        let mut tcp = self.tcp;
        while !bytes.is_empty() {
            match tcp.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(e) => match e.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut if self.broken.get().is_none() => {}
                    _ => return Err(e),
                },
            }
        }
        Ok(())
    }

    /// Ends both sides and both threads. The first error is the cause, later ones follow from it.
    fn break_off(&self, error: io::Error) {
        let _ = self.broken.set(error);
        self.stream.abort();
        // Only reading, to wake who waits for it: the other way would send a FIN.
        let _ = self.tcp.shutdown(Shutdown::Read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_connection_is_asked_after_two_idle_minutes() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        keep_alive(&tcp).unwrap();
        assert!(rustix::net::sockopt::socket_keepalive(&tcp).unwrap());
        let idle = rustix::net::sockopt::tcp_keepidle(&tcp).unwrap();
        assert_eq!(idle, Duration::from_secs(120));
    }
}
