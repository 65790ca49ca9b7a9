//! A TCP connection and a channel, joined.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use byway::Error;
use byway::client::{Readiness, Stream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Octets read and written at once.
const BUFFER: usize = 32 * 1024;

/// Of a thread, in octets: the buffers are elsewhere and nothing recurses.
pub const STACK: usize = 128 * 1024;

/// How soon a side that takes nothing is found to be alone.
const LOOK: Duration = Duration::from_secs(1);

/// How long a side that takes nothing keeps the last octets of the other, which is gone. Linux
/// keeps those of a closed socket for about three minutes.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long a TCP connection is idle before it is asked whether the other end is still there: a
/// machine that lost its power says nothing, and would hold its place for ever.
const KEEP_IDLE: Duration = Duration::from_secs(120);

/// How often it is asked then, and how many times without an answer until it is given up.
const KEEP_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_PROBES: u32 = 4;

/// What `poll` always looks for: the connection was reset, or both directions have ended.
const GONE: PollFlags = PollFlags::HUP.union(PollFlags::ERR);

/// The peer has ended its direction, where the system tells.
#[cfg(any(target_os = "linux", target_os = "android"))]
const ENDED: PollFlags = PollFlags::RDHUP;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const ENDED: PollFlags = PollFlags::empty();

/// Carries bytes both ways until both directions have ended and the peer has acknowledged
/// everything. The end of a direction is carried on by itself, and what breaks off one side, a
/// reset or an abort, breaks off the other, behind all that came before; so `tcp` must be one that
/// ends by [`reset_at_end`].
pub fn join(tcp: &TcpStream, stream: &Stream) -> io::Result<()> {
    join_for(tcp, stream, PATIENCE)
}

fn join_for(tcp: &TcpStream, stream: &Stream, patience: Duration) -> io::Result<()> {
    prepare(tcp).inspect_err(|_| stream.abort())?;
    let link = Link {
        tcp,
        stream,
        patience,
        fin_passed: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
        refused: Mutex::new(None),
    };
    let (up, down) = thread::scope(|scope| {
        let up = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || link.up());
        match up {
            Ok(up) => {
                let down = link.down();
                let panicked = |_| Err(io::Error::other("a thread has ended"));
                (up.join().unwrap_or_else(panicked), down)
            }
            Err(error) => {
                stream.abort();
                (Err(error), Ok(()))
            }
        }
    });
    up.and(down)?;
    // Both ends were passed on: what is left is the system's to deliver.
    rustix::net::sockopt::set_socket_linger(tcp, None)?;
    link.wait_acked()
}

/// Has the end of this connection come as a reset, which no peer takes for the end of the data,
/// unless a join ends well.
pub fn reset_at_end(tcp: &TcpStream) {
    // If that fails the connection is gone already.
    let _ = rustix::net::sockopt::set_socket_linger(tcp, Some(Duration::ZERO));
}

/// Waits for `most`, or until `tcp` was reset; whether it was. A mere end is none: the other side may
/// have sent its request, and read the reply still.
pub fn wait_gone(tcp: &TcpStream, most: Duration) -> bool {
    let mut fds = [PollFd::new(tcp, PollFlags::empty())];
    let until = Instant::now() + most;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match poll(&mut fds, Some(&time(left))) {
            Ok(_) => return fds[0].revents().intersects(GONE),
            Err(Errno::INTR) => {}
            Err(_) => {
                thread::sleep(left);
                return false;
            }
        }
    }
}

fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    tcp.set_write_timeout(Some(LOOK))?;
    keep_alive(tcp)
}

/// Has the kernel look after the other end while nothing is said.
fn keep_alive(tcp: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(tcp, true)?;
    sockopt::set_tcp_keepidle(tcp, KEEP_IDLE)?;
    sockopt::set_tcp_keepintvl(tcp, KEEP_INTERVAL)?;
    Ok(sockopt::set_tcp_keepcnt(tcp, KEEP_PROBES)?)
}

/// `up` alone ends the channel, behind what the TCP connection brought, and `down` alone the TCP
/// connection, behind what the channel brought.
struct Link<'l> {
    tcp: &'l TcpStream,
    stream: &'l Stream,
    patience: Duration,
    /// `down` has passed the end of its direction on, or is about to.
    fin_passed: AtomicBool,
    /// The channel has ended, and the TCP connection has all that came before.
    is_over: AtomicBool,
    /// What a write to the TCP connection failed with. Locked during each: the system tells a reset
    /// once, to the call that comes first.
    refused: Mutex<Option<ErrorKind>>,
}

/// Which side ended.
enum Side {
    Tcp,
    Channel,
}

/// How long nothing has moved.
struct Standstill {
    at: u64,
    since: Instant,
}

impl Standstill {
    fn new() -> Self {
        Self { at: 0, since: Instant::now() }
    }

    /// How long it has been at this number.
    fn at(&mut self, at: u64) -> Duration {
        if at != self.at {
            *self = Self { at, since: Instant::now() };
        }
        self.since.elapsed()
    }
}

impl Link<'_> {
    /// From the TCP connection to the channel. An error once that was broken off, too.
    fn up(&self) -> io::Result<()> {
        let end = self.read_tcp().and_then(|()| {
            // A channel that has ended has nothing to shut down; `down` is told why.
            let _ = self.stream.shutdown(Shutdown::Write);
            match self.watch() {
                Side::Tcp if !self.fin_passed.load(SeqCst) => {
                    Err(ErrorKind::ConnectionReset.into())
                }
                Side::Tcp | Side::Channel => Ok(()),
            }
        });
        if end.is_err() {
            // An error is what has ended the channel already.
            let _ = self.wait_acked();
            self.stream.abort();
        }
        end
    }

    /// Carries bytes until the end of the data (`Ok`) or a reset.
    fn read_tcp(&self) -> io::Result<()> {
        let mut tcp = self.tcp;
        let mut buffer = vec![0; BUFFER];
        // Whether the channel still takes something. If not, reading goes on: a peer that is kept
        // from writing might not read what came before.
        let mut takes = true;
        loop {
            match tcp.read(&mut buffer) {
                // By `down`.
                Ok(_) if self.is_over.load(SeqCst) => return Ok(()),
                Ok(0) if self.is_reset() => return Err(ErrorKind::ConnectionReset.into()),
                Ok(0) => return Ok(()),
                Ok(n) => takes = takes && self.send(&buffer[..n])?,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Whether a read that gave no bytes stands for a reset that a write was told of.
    fn is_reset(&self) -> bool {
        // Behind the end of the data a reset is a broken pipe.
        !self.fin_passed.load(SeqCst)
            && !self.poll_tcp(GONE, Duration::ZERO).is_empty()
            && self.refused().is_some_and(|kind| kind != ErrorKind::BrokenPipe)
    }

    /// Sends them to the peer; whether the channel takes more.
    fn send(&self, mut bytes: &[u8]) -> io::Result<bool> {
        let mut standstill = Standstill::new();
        while !bytes.is_empty() {
            match self.stream.send_timeout(bytes, Some(LOOK)) {
                Ok(n) => bytes = &bytes[n..],
                Err(Error::TimedOut) => {
                    let still = standstill.at(bytes.len() as u64);
                    let is_gone = || !self.poll_tcp(GONE, Duration::ZERO).is_empty();
                    if still >= self.patience && is_gone() {
                        return Err(ErrorKind::TimedOut.into());
                    }
                }
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Waits until the peer has everything, or takes nothing any more.
    fn wait_acked(&self) -> io::Result<()> {
        let mut standstill = Standstill::new();
        loop {
            match self.stream.wait_acked(LOOK) {
                Err(Error::TimedOut) => {
                    let acked = self.stream.stats()?.acked;
                    if standstill.at(acked) >= self.patience {
                        return Err(ErrorKind::TimedOut.into());
                    }
                }
                result => return Ok(result?),
            }
        }
    }

    /// From the channel to the TCP connection. An error once that is to be broken off, or is.
    fn down(&self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        let cause = loop {
            match { self.stream }.read(&mut buffer) {
                Ok(0) => {
                    // So that a reset behind the end drops nothing; but the end is not held back
                    // from a peer that has ended, too.
                    self.wait_sent(ENDED);
                    self.fin_passed.store(true, SeqCst);
                    // That fails if the peer is gone, which `up` is told.
                    let _ = self.tcp.shutdown(Shutdown::Write);
                    match self.watch() {
                        Side::Tcp => return Ok(()),
                        Side::Channel => break ErrorKind::ConnectionAborted.into(),
                    }
                }
                Ok(n) => match self.write_all(&buffer[..n]) {
                    Ok(true) => {}
                    Ok(false) => return Err(self.reset(ErrorKind::TimedOut.into())),
                    Err(error) => {
                        // `up` brings the other way to its end; what comes here is for nobody.
                        let _ = self.stream.shutdown(Shutdown::Read);
                        return Err(error);
                    }
                },
                Err(error) => break error,
            }
        };
        self.wait_sent(PollFlags::empty());
        Err(self.reset(cause))
    }

    /// Leaves nothing for `up` to do, so that the TCP connection is closed.
    fn reset(&self, cause: io::Error) -> io::Error {
        self.is_over.store(true, SeqCst);
        // Only reading, to wake `up`: the other way would send a FIN.
        let _ = self.tcp.shutdown(Shutdown::Read);
        cause
    }

    /// Whether all is written; if not, the channel has ended and the peer takes nothing.
    fn write_all(&self, mut bytes: &[u8]) -> io::Result<bool> {
        let mut standstill = Standstill::new();
        while !bytes.is_empty() {
            match self.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    let still = standstill.at(bytes.len() as u64);
                    if still >= self.patience && self.has_ended() {
                        return Ok(false);
                    }
                }
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut refused = self.refused();
        { self.tcp }.write(bytes).inspect_err(|error| match error.kind() {
            ErrorKind::Interrupted | ErrorKind::WouldBlock => {}
            kind => *refused = Some(kind),
        })
    }

    /// Waits until the system has sent all that was written, which a reset then does not drop any
    /// more than one of the peer's own system would; or until `unless`; or until the channel has
    /// ended and the peer takes nothing.
    fn wait_sent(&self, unless: PollFlags) {
        // Only what was not sent yet keeps it from being writable. Elsewhere buffers do that alone.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = socket2::SockRef::from(self.tcp).set_tcp_notsent_lowat(1);
        let mut ended = Standstill::new();
        while self.poll_tcp(PollFlags::OUT | unless, LOOK).is_empty() {
            if ended.at(self.has_ended().into()) >= self.patience && self.has_ended() {
                return;
            }
        }
    }

    /// Waits until a side has ended as a whole.
    fn watch(&self) -> Side {
        // Without descriptors the channel is looked at now and then.
        let ended = self.stream.poll_fd(Readiness::NONE).ok();
        while !self.has_ended() {
            let mut fds = vec![PollFd::new(self.tcp, GONE)];
            fds.extend(ended.as_ref().map(|ended| PollFd::new(ended, PollFlags::IN)));
            // If that fails, an interrupt for one, it is done again.
            if poll(&mut fds, Some(&time(LOOK))).is_ok() && !fds[0].revents().is_empty() {
                return Side::Tcp;
            }
        }
        Side::Channel
    }

    fn has_ended(&self) -> bool {
        self.stream.readiness().intersects(Readiness::CLOSED)
    }

    fn refused(&self) -> MutexGuard<'_, Option<ErrorKind>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of `flags` the TCP connection has, or that it is gone; empty when the time is over.
    fn poll_tcp(&self, flags: PollFlags, timeout: Duration) -> PollFlags {
        let mut fds = [PollFd::new(self.tcp, flags)];
        match poll(&mut fds, Some(&time(timeout))) {
            Ok(_) => fds[0].revents(),
            Err(_) => PollFlags::empty(),
        }
    }
}

fn time(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as _, tv_nsec: duration.subsec_nanos().into() }
}

#[cfg(test)]
mod tests;
