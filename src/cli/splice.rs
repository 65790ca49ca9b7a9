//! The splice: a program's socket and a channel, joined.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use byway::Error;
use byway::client::{Readiness, Stream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::local::LocalSocket;

/// Octets read and written at once, where there are so many: each read or write of a channel takes a lock
/// and wakes a thread. Pages of a buffer that no read has filled take no memory.
const BUFFER: usize = 256 * 1024;

/// Stack of a thread in octets: its buffers are on the heap and nothing recurses.
pub const STACK: usize = 128 * 1024;

/// How often a side that takes nothing is looked at, to see whether the other side is gone.
const LOOK: Duration = Duration::from_secs(1);

/// How long the last octets of a side that is gone are kept for a side that takes nothing. Linux keeps
/// those of a closed socket for about three minutes.
const PATIENCE: Duration = Duration::from_secs(180);

/// The flags that `poll` always gives: the connection was reset, or both directions have ended.
const GONE: PollFlags = PollFlags::HUP.union(PollFlags::ERR);

/// The flag for a peer that has ended its direction, where the system has one.
#[cfg(any(target_os = "linux", target_os = "android"))]
const ENDED: PollFlags = PollFlags::RDHUP;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const ENDED: PollFlags = PollFlags::empty();

/// Carries bytes both ways until both directions have ended and the peer has acknowledged
/// everything. The end of each direction is passed on. A reset or an abort of one side is passed on to
/// the other, behind all bytes before it: `socket` must be prepared by [`LocalSocket::reset_at_end`].
///
/// A program that closes a Unix socket, or exits, ends both directions in order: what the peer sends after
/// that has no reader.
pub fn join(socket: &LocalSocket, stream: &Stream) -> io::Result<()> {
    join_for(socket, stream, PATIENCE)
}

fn join_for(socket: &LocalSocket, stream: &Stream, patience: Duration) -> io::Result<()> {
    socket.prepare(LOOK).inspect_err(|_| stream.abort())?;
    let splice = Splice {
        socket,
        stream,
        patience,
        fin_passed: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
        refused: Mutex::new(None),
    };
    let (up, down) = thread::scope(|scope| {
        let up = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || splice.up());
        match up {
            Ok(up) => {
                let down = splice.down();
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
    socket.end_in_order()?;
    splice.wait_acked()
}

/// Waits for `most`, or until `socket` was reset, and tells whether it was. The end of a direction is no
/// reset: the other side may have sent its request, and still reads the reply. Unix sockets have no resets.
pub fn wait_gone(socket: &LocalSocket, most: Duration) -> bool {
    let LocalSocket::Tcp(tcp) = socket else {
        thread::sleep(most);
        return false;
    };
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

/// A program's socket and a channel while they are joined. Only `up` ends the channel, behind the bytes
/// of the socket, and only `down` ends the socket, behind the bytes of the channel.
struct Splice<'l> {
    socket: &'l LocalSocket,
    stream: &'l Stream,
    patience: Duration,
    /// Whether `down` has passed the end of its direction on, or is about to.
    fin_passed: AtomicBool,
    /// Whether the channel has ended, and the socket has all bytes before its end.
    is_over: AtomicBool,
    /// The error of the write to the socket that failed. Every write holds the lock: the system
    /// tells of a reset once, to the call that comes first.
    refused: Mutex<Option<ErrorKind>>,
}

/// The side that has ended.
enum Side {
    Program,
    Channel,
}

/// How long a number has stood still.
struct Standstill {
    at: u64,
    since: Instant,
}

impl Standstill {
    fn new() -> Self {
        Self { at: 0, since: Instant::now() }
    }

    /// Notes the number, and gives how long it has been the same.
    fn at(&mut self, at: u64) -> Duration {
        if at != self.at {
            *self = Self { at, since: Instant::now() };
        }
        self.since.elapsed()
    }
}

impl Splice<'_> {
    /// Carries bytes from the socket to the channel. On an error the channel is aborted, too.
    fn up(&self) -> io::Result<()> {
        let end = self.read_socket().and_then(|()| {
            // A channel that has ended has nothing to shut down; `down` is told why.
            let _ = self.stream.shutdown(Shutdown::Write);
            match self.watch() {
                Side::Program if self.fin_passed.load(SeqCst) => Ok(()),
                Side::Program => match self.socket {
                    LocalSocket::Tcp(_) => Err(ErrorKind::ConnectionReset.into()),
                    LocalSocket::Unix(_) | LocalSocket::Child(_) => {
                        // `down` ends: nobody reads what still comes.
                        let _ = self.stream.shutdown(Shutdown::Read);
                        Ok(())
                    }
                },
                Side::Channel => Ok(()),
            }
        });
        if end.is_err() {
            // Fails if the channel has ended already, with the same cause.
            let _ = self.wait_acked();
            self.stream.abort();
        }
        end
    }

    /// Carries bytes until the end of the data (`Ok`) or a reset.
    fn read_socket(&self) -> io::Result<()> {
        let mut socket = self.socket;
        let mut buffer = vec![0; BUFFER];
        // Whether the channel still takes bytes. If not, reading goes on: a peer that is kept from
        // writing might not read the bytes before.
        let mut takes = true;
        loop {
            match socket.read(&mut buffer) {
                // `down` has shut the reading side.
                Ok(_) if self.is_over.load(SeqCst) => return Ok(()),
                Ok(0) if self.is_reset() => return Err(ErrorKind::ConnectionReset.into()),
                Ok(0) => return Ok(()),
                Ok(n) => takes = takes && self.send(&buffer[..n])?,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Whether a read without bytes stands for a reset, of which a write was told.
    fn is_reset(&self) -> bool {
        // Behind the end of the data a reset is a broken pipe.
        !self.fin_passed.load(SeqCst)
            && !self.poll_socket(GONE, Duration::ZERO).is_empty()
            && self.refused().is_some_and(|kind| kind != ErrorKind::BrokenPipe)
    }

    /// Sends `bytes` to the peer, and tells whether the channel takes more.
    fn send(&self, mut bytes: &[u8]) -> io::Result<bool> {
        let mut standstill = Standstill::new();
        while !bytes.is_empty() {
            match self.stream.send_timeout(bytes, Some(LOOK)) {
                Ok(n) => bytes = &bytes[n..],
                Err(Error::TimedOut) => {
                    let still = standstill.at(bytes.len() as u64);
                    let is_gone = || !self.poll_socket(GONE, Duration::ZERO).is_empty();
                    if still >= self.patience && is_gone() {
                        return Err(ErrorKind::TimedOut.into());
                    }
                }
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Waits until the peer has everything, or has taken nothing for as long as the patience.
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

    /// Carries bytes from the channel to the socket. On an error the socket is to end
    /// by a reset, or has ended.
    fn down(&self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        let cause = loop {
            match { self.stream }.read(&mut buffer) {
                Ok(0) => {
                    // A reset behind the end must drop nothing; but a peer that has ended, too, gets
                    // the end at once.
                    self.wait_sent(ENDED);
                    self.fin_passed.store(true, SeqCst);
                    // A failure means that the peer is gone, of which `up` is told.
                    let _ = self.socket.shutdown(Shutdown::Write);
                    match self.watch() {
                        Side::Program => return Ok(()),
                        Side::Channel => break ErrorKind::ConnectionAborted.into(),
                    }
                }
                Ok(n) => match self.write_all(&buffer[..n]) {
                    Ok(true) => {}
                    Ok(false) => return Err(self.reset(ErrorKind::TimedOut.into())),
                    Err(error) => {
                        // `up` brings the other direction to its end; further bytes have no reader.
                        let _ = self.stream.shutdown(Shutdown::Read);
                        return match self.socket {
                            LocalSocket::Child(_) if error.kind() == ErrorKind::BrokenPipe => {
                                Ok(())
                            }
                            _ => Err(error),
                        };
                    }
                },
                Err(error) => break error,
            }
        };
        self.wait_sent(PollFlags::empty());
        Err(self.reset(cause))
    }

    /// Has `up` end, so that the socket is closed.
    fn reset(&self, cause: io::Error) -> io::Error {
        self.is_over.store(true, SeqCst);
        // Only the reading side, to wake `up`: the writing side would send a FIN.
        let _ = self.socket.shutdown(Shutdown::Read);
        cause
    }

    /// Writes all of `bytes`; false if the channel has ended and the program takes nothing.
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
        { self.socket }.write(bytes).inspect_err(|error| match error.kind() {
            ErrorKind::Interrupted | ErrorKind::WouldBlock => {}
            kind => *refused = Some(kind),
        })
    }

    /// Waits until the system has sent all bytes, so that a reset of ours no longer drops them; or until
    /// one of the flags `unless`; or until the channel has ended and the program takes nothing.
    fn wait_sent(&self, unless: PollFlags) {
        match self.socket {
            // Here only bytes not yet sent keep the socket from being writable; elsewhere a full buffer.
            LocalSocket::Tcp(_) => self.socket.wait_for_sent(),
            // What was written is the other end's already, also behind our end.
            LocalSocket::Unix(_) | LocalSocket::Child(_) => return,
        }
        let mut ended = Standstill::new();
        while self.poll_socket(PollFlags::OUT | unless, LOOK).is_empty() {
            if ended.at(self.has_ended().into()) >= self.patience && self.has_ended() {
                return;
            }
        }
    }

    /// Waits until a side has ended as a whole.
    fn watch(&self) -> Side {
        // Without a file descriptor the loop looks at the channel now and then.
        let ended = self.stream.poll_fd(Readiness::NONE).ok();
        while !self.has_ended() {
            let mut fds = vec![PollFd::new(self.socket, GONE)];
            fds.extend(ended.as_ref().map(|ended| PollFd::new(ended, PollFlags::IN)));
            // After a failure, such as an interrupt, the loop polls again.
            if poll(&mut fds, Some(&time(LOOK))).is_ok() && !fds[0].revents().is_empty() {
                return Side::Program;
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

    /// Waits until the socket has one of `flags`, or is gone, and gives the flags that it has;
    /// empty when the time is over.
    fn poll_socket(&self, flags: PollFlags, timeout: Duration) -> PollFlags {
        let mut fds = [PollFd::new(self.socket, flags)];
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
