//! The state that all clones of a channel share, and how calls on it wait.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::Kind;
use crate::client::Handle;
use crate::client::known_peers::Change;
use crate::client::monitor::{ChannelSignals, Signal};
use crate::client::readiness::{PollFd, Readiness, Waitable};
use crate::error::{ConfigError, Error, PeerError};
use crate::session::{ChannelId, Half, Session};

/// This end of a channel, shared by all clones of its [`Channel`](super::Channel). Dropping it
/// releases the channel.
#[derive(Debug)]
pub(in crate::client) struct ChannelEnd {
    pub handle: Arc<Handle>,
    pub id: ChannelId,
    pub read_timeout: Timeout,
    pub write_timeout: Timeout,
    nonblocking: AtomicBool,
    /// Whether its peer's key was compared with those that are known.
    compared: AtomicBool,
    /// Whether a clone was told to close the channel. Changed with the lock held.
    closed: AtomicBool,
}

impl ChannelEnd {
    pub fn new(handle: Arc<Handle>, id: ChannelId) -> Self {
        Self {
            handle,
            id,
            read_timeout: Timeout::default(),
            write_timeout: Timeout::default(),
            nonblocking: AtomicBool::new(false),
            compared: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// When a call has to end by `timeout` and the non-blocking mode; `None`: it may wait for ever.
    pub fn until(&self, timeout: &Timeout) -> Option<Instant> {
        deadline(if self.nonblocking() { Some(Duration::ZERO) } else { timeout.get() })
    }

    /// Waits until the peer has answered.
    pub fn wait_open(&self, timeout: Option<Duration>) -> Result<(), Error> {
        let monitor = &self.handle.monitor;
        let signal = monitor.on_channel(self.id).other();
        let opened = monitor.wait_open(Waitable::Channel(self.id), signal, timeout);
        self.compare(opened)
    }

    /// The program gave the key of the peer, which says more than those that are known.
    pub fn trust(&self) {
        self.compared.store(true, Relaxed);
    }

    /// The channel is open, or why not: its listener is known from now on, or has another key than before.
    pub fn compare(&self, opened: Result<(), Error>) -> Result<(), Error> {
        let Some(known) = &self.handle.known_peers else { return opened };
        match opened {
            Ok(()) if !self.compared.swap(true, Relaxed) => {
                let learned = self.handle.monitor.with(|state| state.session().0.kept_key(self.id));
                if let Ok(Some((endpoint, key))) = learned {
                    known.learn(endpoint, &key).inspect_err(|_| {
                        known.tell_changed(endpoint, Change::OtherKey);
                    })?;
                }
            }
            Err(error) if !self.compared.load(Relaxed) => {
                let is = match error {
                    Error::Peer(PeerError::WrongKey) => Change::OtherKey,
                    Error::Config(ConfigError::PeerPlain) => Change::Plain,
                    _ => return opened,
                };
                let endpoint =
                    self.handle.monitor.with(|state| state.session().0.endpoint(self.id));
                if endpoint.is_ok_and(|endpoint| known.tell_changed(endpoint, is)) {
                    return Err(PeerError::WrongKey.into());
                }
            }
            Ok(()) | Err(_) => {}
        }
        opened
    }

    /// Waits as [`ChannelEnd::wait_until`] does, for room. There is none while the channel connects.
    pub fn wait_room<T>(
        &self,
        deadline: Option<Instant>,
        mut f: impl FnMut(&mut Session<'_>, u64) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        self.wait_until(ChannelSignals::write, deadline, |session, now| {
            match session.was_connected(self.id)? {
                true => f(session, now),
                false => Ok(None),
            }
        })
    }

    /// Asks the session for something that is not known while the channel connects.
    pub fn ask_open<T>(
        &self,
        f: impl FnOnce(&Session<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.call(|session, _, id| match session.was_connected(id) {
            Ok(false) => Err(Error::TimedOut),
            Ok(true) | Err(_) => f(session),
        })
    }

    /// Gives the connection up if it is still being made, and says whether it is.
    pub fn abandon(&self) -> bool {
        self.call(|session, now, id| {
            let connecting = session.was_connected(id) == Ok(false);
            if connecting {
                session.release(now, id);
            }
            connecting
        })
    }

    /// Waits until `f` gives something, and asks it whenever signal `what` is notified; `None` when
    /// `deadline` is over.
    pub fn wait_until<T>(
        &self,
        what: fn(&ChannelSignals) -> &Signal,
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

    /// Waits as [`ChannelEnd::wait_until`] does, also while the channel is being closed.
    fn wait_closing<T>(
        &self,
        what: fn(&ChannelSignals) -> &Signal,
        deadline: Option<Instant>,
        f: impl FnMut(&mut Session<'_>, u64) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let monitor = &self.handle.monitor;
        let on_channel = monitor.on_channel(self.id);
        monitor.wait(what(on_channel), on_channel.other(), deadline, f)
    }

    pub fn call<T>(&self, f: impl FnOnce(&mut Session<'_>, u64, ChannelId) -> T) -> T {
        self.handle.monitor.call(|session, now| f(session, now, self.id))
    }

    /// Waits until the other peer's client has everything. The session gives up after linger.
    pub fn drain(&self) -> Result<(), Error> {
        self.call(|session, now, id| session.request_ack(now, id))?;
        self.wait_until(ChannelSignals::other, None, |session, _| self.is_drained(session))?;
        Ok(())
    }

    /// Closes the channel for all clones and waits until the peer has everything.
    pub fn close_for(&self, timeout: Option<Duration>) -> Result<(), Error> {
        if self.abandon() {
            self.handle.monitor.on_channel(self.id).notify_all();
            return Ok(());
        }
        self.call(|session, now, id| {
            self.closed.store(true, Relaxed);
            if session.kind(id) == Ok(Kind::Stream) {
                // A channel that has ended cannot be shut down; the wait below tells why it ended.
                let _ = session.shutdown(now, id, Half::Both);
            }
            session.request_ack(now, id)
        })?;
        self.handle.monitor.on_channel(self.id).notify_all();
        let drained = self.wait_closing(ChannelSignals::other, deadline(timeout), |session, _| {
            self.is_drained(session)
        });
        self.call(|session, now, id| session.release(now, id));
        drained?.ok_or(Error::TimedOut)
    }

    /// Whether the peer has everything. A peer that closed, too, need not acknowledge the end.
    fn is_drained(&self, session: &Session<'_>) -> Result<Option<()>, Error> {
        let has_all = || session.channel_stats(self.id).is_ok_and(|s| s.acked >= s.written);
        match session.acked(self.id) {
            Err(Error::Peer(PeerError::Closed)) if has_all() => Ok(Some(())),
            acked => Ok(acked?.then_some(())),
        }
    }

    /// Ends the waits in progress with [`Error::Cancelled`].
    pub fn cancel(&self) {
        let monitor = &self.handle.monitor;
        monitor
            .cancel(monitor.on_channel(self.id).other(), |session| session.kind(self.id).is_ok());
    }

    pub fn readiness(&self) -> Readiness {
        self.handle.monitor.with(|state| state.readiness(Waitable::Channel(self.id)))
    }

    pub fn poll_fd(&self, interest: Readiness) -> io::Result<PollFd> {
        PollFd::new(&self.handle, Waitable::Channel(self.id), interest)
    }

    pub fn nonblocking(&self) -> bool {
        self.nonblocking.load(Relaxed)
    }

    pub fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Relaxed);
    }

    /// The error of a call that waited in vain for as long as it might.
    pub fn late(&self) -> io::Error {
        match self.nonblocking() {
            true => io::ErrorKind::WouldBlock.into(),
            false => Error::TimedOut.into(),
        }
    }
}

impl Drop for ChannelEnd {
    fn drop(&mut self) {
        self.call(|session, now, id| session.release(now, id));
    }
}

/// A time-out that threads may change and read, in nanoseconds; 0 is none.
#[derive(Debug, Default)]
pub(in crate::client) struct Timeout(AtomicU64);

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
pub(in crate::client) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}
