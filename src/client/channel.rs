//! What streams and datagram channels have in common.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Handle;
use super::readiness::{PollFd, Readiness, Target};
use super::shared::{OnChannel, Signal};
use crate::Kind;
use crate::error::{Error, PeerError};
use crate::session::{ChannelId, Half, Session};

/// One end of a channel, shared by all clones of its handle.
#[derive(Debug)]
pub struct Channel {
    pub(super) handle: Arc<Handle>,
    pub(super) id: ChannelId,
    pub(super) read_timeout: Timeout,
    pub(super) write_timeout: Timeout,
    nonblocking: AtomicBool,
    /// One clone of the handle was told to close; changed with the lock held.
    closed: AtomicBool,
}

impl Channel {
    pub(super) fn new(handle: Arc<Handle>, id: ChannelId) -> Self {
        Self {
            handle,
            id,
            read_timeout: Timeout::default(),
            write_timeout: Timeout::default(),
            nonblocking: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// Until when `timeout` and the non-blocking mode let a call wait; `None`: for ever.
    pub(super) fn until(&self, timeout: &Timeout) -> Option<Instant> {
        deadline(if self.nonblocking() { Some(Duration::ZERO) } else { timeout.get() })
    }

    /// Waits until the peer has answered.
    pub(super) fn wait_open(&self, timeout: Option<Duration>) -> Result<(), Error> {
        let shared = &self.handle.shared;
        shared.wait_open(Target::Channel(self.id), shared.on_channel(self.id).other(), timeout)
    }

    /// As [`Channel::wait_until`], until there is room, of which there is none while it connects.
    pub(super) fn wait_room<T>(
        &self,
        deadline: Option<Instant>,
        mut f: impl FnMut(&mut Session<'_>, u64) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        self.wait_until(OnChannel::write, deadline, |session, now| {
            match session.was_connected(self.id)? {
                true => f(session, now),
                false => Ok(None),
            }
        })
    }

    /// Asks the session for what is not known while it connects.
    pub(super) fn ask_open<T>(
        &self,
        f: impl FnOnce(&Session<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.call(|session, _, id| match session.was_connected(id) {
            Ok(false) => Err(Error::TimedOut),
            Ok(true) | Err(_) => f(session),
        })
    }

    /// Gives a connection up that is still being made: whether it is.
    pub(super) fn abandon(&self) -> bool {
        self.call(|session, now, id| {
            let connecting = session.was_connected(id) == Ok(false);
            if connecting {
                session.release(now, id);
            }
            connecting
        })
    }

    /// Waits until `f` gives something, which `what` is told of; `None` when `deadline` is over.
    pub(super) fn wait_until<T>(
        &self,
        what: fn(&OnChannel) -> &Signal,
        deadline: Option<Instant>,
        mut f: impl FnMut(&mut Session<'_>, u64) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        self.wait_closing(what, deadline, |session, now| {
            if self.closed.load(Relaxed) {
                return Err(Error::Closed);
            }
            f(session, now)
        })
    }

    /// As [`Channel::wait_until`], also while the channel is being closed.
    fn wait_closing<T>(
        &self,
        what: fn(&OnChannel) -> &Signal,
        deadline: Option<Instant>,
        f: impl FnMut(&mut Session<'_>, u64) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let shared = &self.handle.shared;
        let on_channel = shared.on_channel(self.id);
        shared.wait(what(on_channel), on_channel.other(), deadline, f)
    }

    pub(super) fn call<T>(&self, f: impl FnOnce(&mut Session<'_>, u64, ChannelId) -> T) -> T {
        self.handle.shared.call(|session, now| f(session, now, self.id))
    }

    /// Waits until the other peer's client has everything, however long that takes; the session
    /// gives up after linger.
    pub(super) fn drain(&self) -> Result<(), Error> {
        self.call(|session, now, id| session.request_ack(now, id))?;
        self.wait_until(OnChannel::other, None, |session, _| self.is_drained(session))?;
        Ok(())
    }

    /// Closes the channel for all clones and waits until the peer has everything.
    pub(super) fn close_for(&self, timeout: Option<Duration>) -> Result<(), Error> {
        if self.abandon() {
            self.handle.shared.on_channel(self.id).notify_all();
            return Ok(());
        }
        self.call(|session, now, id| {
            self.closed.store(true, Relaxed);
            if session.kind(id) == Ok(Kind::Stream) {
                // One that has ended has nothing to shut down; what is missing is told below.
                let _ = session.shutdown(now, id, Half::Both);
            }
            session.request_ack(now, id)
        })?;
        self.handle.shared.on_channel(self.id).notify_all();
        let drained = self.wait_closing(OnChannel::other, deadline(timeout), |session, _| {
            self.is_drained(session)
        });
        self.call(|session, now, id| session.release(now, id));
        drained?.ok_or(Error::TimedOut)
    }

    /// Whether the peer has everything; of one that closed, too, the end need not be acknowledged.
    fn is_drained(&self, session: &Session<'_>) -> Result<Option<()>, Error> {
        let has_all = || session.channel_stats(self.id).is_ok_and(|s| s.acked >= s.written);
        match session.acked(self.id) {
            Err(Error::Peer(PeerError::Closed)) if has_all() => Ok(Some(())),
            acked => Ok(acked?.then_some(())),
        }
    }

    /// Ends the waits in progress with [`Error::Cancelled`].
    pub(super) fn cancel(&self) {
        let shared = &self.handle.shared;
        shared.cancel(shared.on_channel(self.id).other(), |session| session.kind(self.id).is_ok());
    }

    pub(super) fn readiness(&self) -> Readiness {
        self.handle.shared.with(|core| core.readiness(Target::Channel(self.id)))
    }

    pub(super) fn poll_fd(&self, interest: Readiness) -> io::Result<PollFd> {
        PollFd::new(&self.handle, Target::Channel(self.id), interest)
    }

    pub(super) fn nonblocking(&self) -> bool {
        self.nonblocking.load(Relaxed)
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Relaxed);
    }

    /// The error for a wait that gave nothing in its time.
    pub(super) fn late(&self) -> io::Error {
        match self.nonblocking() {
            true => io::ErrorKind::WouldBlock.into(),
            false => Error::TimedOut.into(),
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.call(|session, now, id| session.release(now, id));
    }
}

/// A time-out that threads may change and read, in nanoseconds; 0 is none.
#[derive(Debug, Default)]
pub(super) struct Timeout(AtomicU64);

impl Timeout {
    pub fn get(&self) -> Option<Duration> {
        Some(self.0.load(Relaxed)).filter(|ns| *ns > 0).map(Duration::from_nanos)
    }

    pub fn set(&self, timeout: Option<Duration>) -> io::Result<()> {
        let ns = match timeout {
            None => 0,
            Some(Duration::ZERO) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a time-out of zero: set None to wait for ever, or the non-blocking mode",
                ));
            }
            Some(time) => u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
        };
        self.0.store(ns, Relaxed);
        Ok(())
    }
}

/// When `timeout` is over; `None`: never.
pub(super) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// The methods that streams and datagram channels share, over a field `channel`.
macro_rules! channel_methods {
    () => {
        /// Names the channel in events. Never used again within this client.
        pub fn id(&self) -> crate::session::ChannelId {
            self.channel.id
        }

        /// Waits until the peer has answered, at most for `timeout` (`None`: for ever); zero: only
        /// looks. Gives at once unless the channel is of
        /// [`start_connect`](crate::client::Client::start_connect), and stays so when it ends.
        ///
        /// # Errors
        /// Why it was refused; when the time is over, what stood in the way last, after which it is
        /// still asked for, or [`Error::TimedOut`](crate::Error::TimedOut);
        /// [`Error::Cancelled`](crate::Error::Cancelled), [`Error::Closed`](crate::Error::Closed).
        pub fn wait_open(
            &self,
            timeout: impl Into<Option<std::time::Duration>>,
        ) -> Result<(), crate::Error> {
            self.channel.wait_open(timeout.into())
        }

        /// The address of the peer at the other end, as the relay vouches for it.
        ///
        /// # Errors
        /// [`Error::Closed`](crate::Error::Closed) if the channel is closed,
        /// [`Error::TimedOut`](crate::Error::TimedOut) while it connects.
        pub fn peer(&self) -> Result<crate::Address, crate::Error> {
            self.channel.ask_open(|session| session.peer(self.channel.id))
        }

        /// Offsets and counts of this channel.
        ///
        /// # Errors
        /// [`Error::Closed`](crate::Error::Closed) if the channel is closed.
        pub fn stats(&self) -> Result<crate::session::ChannelStats, crate::Error> {
            self.channel.call(|session, _, id| session.channel_stats(id))
        }

        /// How long a read may block; `None` (as at first): for ever. For all clones.
        ///
        /// # Errors
        /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) if it is zero.
        pub fn set_read_timeout(
            &self,
            timeout: Option<std::time::Duration>,
        ) -> std::io::Result<()> {
            self.channel.read_timeout.set(timeout)
        }

        /// How long a write or flush may block; `None` (as at first): for ever. For all clones.
        ///
        /// # Errors
        /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) if it is zero.
        pub fn set_write_timeout(
            &self,
            timeout: Option<std::time::Duration>,
        ) -> std::io::Result<()> {
            self.channel.write_timeout.set(timeout)
        }

        /// The time-out of reads.
        pub fn read_timeout(&self) -> Option<std::time::Duration> {
            self.channel.read_timeout.get()
        }

        /// The time-out of writes and flushes.
        pub fn write_timeout(&self) -> Option<std::time::Duration> {
            self.channel.write_timeout.get()
        }

        /// Whether reads, writes and flushes that would wait fail with
        /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) instead. For all clones, and for calls
        /// that begin after this one.
        pub fn set_nonblocking(&self, nonblocking: bool) {
            self.channel.set_nonblocking(nonblocking);
        }

        /// The endpoint that was connected to, here or by the peer.
        ///
        /// # Errors
        /// [`Error::Closed`](crate::Error::Closed) if the channel is closed.
        pub fn endpoint(&self) -> Result<crate::Endpoint, crate::Error> {
            self.channel.call(|session, _, id| session.endpoint(id))
        }

        /// What can be done now without waiting.
        pub fn readiness(&self) -> crate::client::Readiness {
            self.channel.readiness()
        }

        /// A file descriptor that is readable while there is something of `interest`, or the
        /// channel has ended.
        ///
        /// # Errors
        /// The system gives no file descriptor.
        pub fn poll_fd(
            &self,
            interest: crate::client::Readiness,
        ) -> std::io::Result<crate::client::PollFd> {
            self.channel.poll_fd(interest)
        }

        /// Ends every wait on this channel that is in progress, of all clones, with
        /// [`Error::Cancelled`](crate::Error::Cancelled); no byte is lost by that. Calls that
        /// begin after it wait as ever. Does not block.
        pub fn cancel(&self) {
            self.channel.cancel();
        }

        /// Closes the channel for all clones: calls in progress and later ones fail with
        /// [`Error::Closed`](crate::Error::Closed). Waits until the peer's client has everything
        /// written, at most for `timeout` (`None`: for ever; zero: only looks). What is not
        /// acknowledged then is still delivered, for as long as the client lives and at most
        /// linger. Of datagrams it is whether they were delivered or have expired. A connection that
        /// is still being made is given up.
        ///
        /// # Errors
        /// [`Error::TimedOut`](crate::Error::TimedOut),
        /// [`Error::Cancelled`](crate::Error::Cancelled), or what ended the channel before; it
        /// names the first offset that is not acknowledged.
        pub fn close_timeout(
            &self,
            timeout: Option<std::time::Duration>,
        ) -> Result<(), crate::Error> {
            self.channel.close_for(timeout)
        }

        /// Gives the channel up at once: what is not acknowledged may be lost, and the peer is told.
        /// Wakes every thread that waits on it. Does not block.
        pub fn abort(&self) {
            self.channel.call(|session, now, id| session.abort(now, id));
        }
    };
}
pub(super) use channel_methods;
