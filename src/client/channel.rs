//! What streams and datagram channels have in common.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Handle;
use crate::error::Error;
use crate::session::{ChannelId, Session};

/// One end of a channel, shared by all clones of its handle.
#[derive(Debug)]
pub struct Channel {
    pub(super) handle: Arc<Handle>,
    pub(super) id: ChannelId,
    pub(super) read_timeout: Timeout,
    pub(super) write_timeout: Timeout,
    nonblocking: AtomicBool,
}

impl Channel {
    pub(super) fn new(handle: Arc<Handle>, id: ChannelId) -> Self {
        Self {
            handle,
            id,
            read_timeout: Timeout::default(),
            write_timeout: Timeout::default(),
            nonblocking: AtomicBool::new(false),
        }
    }

    /// Waits as long as `timeout` and the non-blocking mode allow; `None` when that is over.
    pub(super) fn wait<T>(
        &self,
        timeout: &Timeout,
        f: impl FnMut(&mut Session<'_>, u64) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let patience = if self.nonblocking() { Some(Duration::ZERO) } else { timeout.get() };
        self.wait_until(deadline(patience), f)
    }

    pub(super) fn wait_until<T>(
        &self,
        deadline: Option<Instant>,
        f: impl FnMut(&mut Session<'_>, u64) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let shared = &self.handle.shared;
        shared.wait(shared.on_channel(self.id), deadline, f)
    }

    pub(super) fn call<T>(&self, f: impl FnOnce(&mut Session<'_>, u64, ChannelId) -> T) -> T {
        self.handle.shared.call(|session, now| f(session, now, self.id))
    }

    /// Waits until the other peer's client has everything, however long that takes; the session
    /// gives up after linger.
    pub(super) fn drain(&self) -> Result<(), Error> {
        self.call(|session, now, id| session.request_ack(now, id))?;
        self.wait_until(None, |session, _| Ok(session.acked(self.id)?.then_some(())))?;
        Ok(())
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

        /// The address of the peer at the other end, as the relay vouches for it.
        ///
        /// # Errors
        /// [`Error::Closed`](crate::Error::Closed) if the channel is closed.
        pub fn peer(&self) -> Result<crate::Address, crate::Error> {
            self.channel.call(|session, _, id| session.peer(id))
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

        /// Gives the channel up at once: what is not acknowledged may be lost, and the peer is told.
        /// Wakes every thread that waits on it. Does not block.
        pub fn abort(&self) {
            self.channel.call(|session, now, id| session.abort(now, id));
        }
    };
}
pub(super) use channel_methods;
