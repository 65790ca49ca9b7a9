//! What can be done without waiting, and file descriptors that tell of it.

use std::io::{self, Read};
use std::ops::BitOr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{SendFlags, send};

use super::Handle;
use crate::Kind;
use crate::error::{Blocked, Error};
use crate::session::{ChannelId, ListenerId, Session};

/// A set of things that can be done without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Readiness(u8);

impl Readiness {
    /// The empty set.
    pub const NONE: Self = Self(0);
    /// A read gives something: bytes, a datagram, the end of the stream or an error.
    pub const READABLE: Self = Self(1);
    /// A write takes something or fails. On a datagram channel: nothing waits to be sent, so that
    /// a datagram of any length fits.
    pub const WRITABLE: Self = Self(2);
    /// `accept` gives a channel or an error.
    pub const ACCEPTABLE: Self = Self(4);
    /// The client has an event.
    pub const EVENT: Self = Self(8);
    /// The client, listener or channel has ended: every call that could wait gives the cause, once
    /// the bytes that came before were read.
    pub const CLOSED: Self = Self(16);
    /// The client has reached its relay, the listener has its endpoint, the channel its peer, or never
    /// will: `wait_open` tells which. Once ready for this, it stays so.
    pub const OPEN: Self = Self(32);
    /// The peer's client has everything written, and the end if that was written, so that
    /// `close_timeout` need not wait; or it never will. `wait_acked` asks for the acknowledgement at
    /// once.
    pub const ACKED: Self = Self(64);

    /// The set as bits: the values of the constants.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set with these bits; `None` if one of them has no meaning.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits < 128 { Some(Self(bits)) } else { None }
    }

    /// Whether the sets have something in common.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn when(self, condition: bool) -> Self {
        if condition { self } else { Self::NONE }
    }
}

impl BitOr for Readiness {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// An object that a thread can wait for, and ask for its readiness.
#[derive(Debug, Clone, Copy)]
pub(super) enum Waitable {
    Client,
    Listener(ListenerId),
    Channel(ChannelId),
}

impl Waitable {
    /// Whether the object is open, see [`Readiness::OPEN`].
    ///
    /// # Errors
    /// Why it never will be.
    pub fn is_open(self, session: &Session<'_>) -> Result<bool, Error> {
        match self {
            Self::Client => match session.stays_blocked() {
                _ if session.is_open()? => Ok(true),
                Some(cause) => Err(cause.into()),
                None => Ok(false),
            },
            Self::Listener(id) => session.listening(id),
            Self::Channel(id) => session.was_connected(id),
        }
    }

    /// What has kept the object from being open for as long as `timeout`. With no time given there is
    /// no cause to blame.
    pub fn late(self, session: &Session<'_>, timeout: Option<Duration>) -> Error {
        match self {
            _ if timeout == Some(Duration::ZERO) => Error::TimedOut,
            Self::Client => session.blocked().unwrap_or(Blocked::Silence).into(),
            Self::Listener(_) => session.blocked().map_or(Error::TimedOut, Error::from),
            Self::Channel(id) => session.connect_cause(id),
        }
    }

    pub fn readiness(self, session: &Session<'_>, closed: bool, event: bool) -> Readiness {
        let all = match self {
            Self::Client => Readiness::NONE,
            Self::Listener(_) => Readiness::ACCEPTABLE,
            Self::Channel(_) => Readiness::READABLE | Readiness::WRITABLE | Readiness::ACKED,
        };
        let ended = all | Readiness::OPEN | Readiness::CLOSED;
        let open = Readiness::OPEN.when(closed || self.is_open(session) != Ok(false));
        match self {
            Self::Client => {
                Readiness::EVENT.when(event)
                    | open
                    | Readiness::CLOSED.when(closed || session.is_open().is_err())
            }
            _ if closed || session.is_open().is_err() => ended,
            Self::Listener(id) => match session.can_accept(id) {
                Ok(can) => {
                    Readiness::ACCEPTABLE.when(can)
                        | open
                        | Readiness::CLOSED.when(session.listening(id).is_err())
                }
                Err(_) => ended,
            },
            Self::Channel(id) => match (session.can_read(id), can_write(session, id)) {
                (Ok(read), Ok(write)) => {
                    Readiness::READABLE.when(read)
                        | open
                        | Readiness::WRITABLE.when(write)
                        | Readiness::ACKED.when(session.acked(id) != Ok(false))
                        | Readiness::CLOSED.when(session.connected(id).is_err())
                }
                _ => ended,
            },
        }
    }
}

fn can_write(session: &Session<'_>, id: ChannelId) -> Result<bool, Error> {
    let can = session.can_write(id)? && session.was_connected(id) != Ok(false);
    match session.kind(id)? {
        Kind::Stream => Ok(can),
        Kind::Datagram => Ok(can && session.acked(id).unwrap_or(true)),
    }
}

/// The file descriptors of a client. They are brought up to date whenever its lock is let go of.
#[derive(Debug, Default)]
pub(super) struct Watches {
    watches: Vec<Watch>,
    next_key: u64,
}

#[derive(Debug)]
struct Watch {
    key: u64,
    waitable: Waitable,
    interest: Readiness,
    raised: bool,
    ends: Arc<Ends>,
}

impl Watches {
    /// Makes each descriptor readable or not, as its object is ready. Only a change costs a system call.
    pub fn update(&mut self, session: &Session<'_>, closed: bool, event: bool) {
        for watch in &mut self.watches {
            let ready = watch.waitable.readiness(session, closed, event);
            let due = ready.intersects(watch.interest | Readiness::CLOSED);
            if due != watch.raised {
                watch.raised = due;
                watch.ends.set(due);
            }
        }
    }

    fn find(&mut self, key: u64) -> Option<&mut Watch> {
        self.watches.iter_mut().find(|watch| watch.key == key)
    }
}

/// Spares a program the SIGPIPE that it would get if it shut the outer end down, which it may not.
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
/// Apple has a setting of the socket for that instead.
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: SendFlags = SendFlags::empty();

/// A connected pair: the outer end is readable while one octet lies in it. Neither end ever
/// blocks, whatever others do with the outer one.
#[derive(Debug)]
struct Ends {
    outer: UnixStream,
    inner: UnixStream,
}

impl Ends {
    fn new() -> io::Result<Self> {
        let (outer, inner) = UnixStream::pair()?;
        outer.set_nonblocking(true)?;
        inner.set_nonblocking(true)?;
        #[cfg(target_vendor = "apple")]
        rustix::net::sockopt::set_socket_nosigpipe(&inner, true)?;
        Ok(Self { outer, inner })
    }

    /// Makes the outer end readable or not. Neither can fail: at most one octet is under way, and both
    /// ends are open.
    fn set(&self, readable: bool) {
        let _ = match readable {
            true => send(&self.inner, &[1], NO_SIGNAL).map_err(io::Error::from),
            false => (&self.outer).read(&mut [0]),
        };
    }
}

/// A file descriptor for `poll`, `select`, `epoll` and the like: readable exactly while its client,
/// listener or channel is ready for something of what was asked, or has ended. Level-triggered.
///
/// Wait for readability only, and never read, write or close it: the client's threads keep it up to
/// date. Dropping it closes it.
#[derive(Debug)]
pub struct PollFd {
    handle: Arc<Handle>,
    key: u64,
    ends: Arc<Ends>,
}

impl PollFd {
    pub(super) fn new(
        handle: &Arc<Handle>,
        waitable: Waitable,
        interest: Readiness,
    ) -> io::Result<Self> {
        let ends = Arc::new(Ends::new()?);
        let key = handle.monitor.with(|state| {
            let watches = &mut state.watches;
            let key = watches.next_key;
            watches.next_key += 1;
            let ends = Arc::clone(&ends);
            watches.watches.push(Watch { key, waitable, interest, raised: false, ends });
            key
        });
        Ok(Self { handle: Arc::clone(handle), key, ends })
    }

    /// Changes the set that makes the descriptor readable. When this returns, it is so.
    pub fn set_interest(&self, interest: Readiness) {
        self.handle.monitor.with(|state| {
            if let Some(watch) = state.watches.find(self.key) {
                watch.interest = interest;
            }
        });
    }
}

impl Drop for PollFd {
    fn drop(&mut self) {
        self.handle.monitor.with(|state| state.watches.watches.retain(|w| w.key != self.key));
    }
}

impl AsFd for PollFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ends.outer.as_fd()
    }
}

impl AsRawFd for PollFd {
    fn as_raw_fd(&self) -> RawFd {
        self.ends.outer.as_raw_fd()
    }
}
