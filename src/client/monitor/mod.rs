//! The client's monitor: one lock over the session, and the signals at which threads wait.
//!
//! The program's threads and the two lanes share it. The lock is never held across I/O. Each thread
//! that waits does so until a predicate holds, which it asks again whenever its signal is notified.

mod notices;
mod signal;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(super) use signal::{ChannelSignals, Signal};
pub(super) use state::{ClientLife, ClientState};

use super::channel::deadline;
use super::clock::Times;
use super::readiness::Waitable;
use crate::error::Error;
use crate::session::{ChannelId, HeapStorage, Lane, ListenerId, Profile, Session};
use crate::transport::Canceller;

/// Threads that carry exchanges: one for parks, one for sends.
pub(super) const LANES: usize = 2;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Monitor {
    state: Mutex<ClientState>,
    lanes: [Signal; LANES],
    channels: Box<[ChannelSignals]>,
    listeners: Box<[Signal]>,
    session: Signal,
    events: Signal,
    cancellers: [Canceller; LANES],
}

pub(super) const fn index(lane: Lane) -> usize {
    match lane {
        Lane::Park => 0,
        Lane::Send => 1,
    }
}

impl Monitor {
    pub fn new(storage: HeapStorage, profile: &Profile, cancellers: [Canceller; LANES]) -> Self {
        Self::with_clock(storage, profile, cancellers, Times::read)
    }

    /// A monitor with another clock than the system's.
    pub fn with_clock(
        storage: HeapStorage,
        profile: &Profile,
        cancellers: [Canceller; LANES],
        read: fn() -> Times,
    ) -> Self {
        Self {
            state: Mutex::new(ClientState::new(storage, cancellers.clone(), read)),
            lanes: Default::default(),
            channels: (0..profile.channels).map(|_| ChannelSignals::default()).collect(),
            listeners: (0..profile.listeners).map(|_| Signal::default()).collect(),
            session: Signal::default(),
            events: Signal::default(),
            cancellers,
        }
    }

    /// Takes the lock. A panic elsewhere leaves the session as it was between two calls, so a poisoned
    /// lock stays good.
    pub fn lock(&self) -> MutexGuard<'_, ClientState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn canceller(&self, lane: Lane) -> &Canceller {
        &self.cancellers[index(lane)]
    }

    pub fn on_lane(&self, lane: Lane) -> &Signal {
        &self.lanes[index(lane)]
    }

    pub fn on_channel(&self, id: ChannelId) -> &ChannelSignals {
        &self.channels[id.slot()]
    }

    pub fn on_listener(&self, id: ListenerId) -> &Signal {
        &self.listeners[id.slot()]
    }

    pub fn on_session(&self) -> &Signal {
        &self.session
    }

    pub fn on_events(&self) -> &Signal {
        &self.events
    }

    /// Calls the session, then notifies the signals that it names.
    pub fn call<T>(&self, f: impl FnOnce(&mut Session<'_>, u64) -> T) -> T {
        self.with(|state| {
            let (mut session, now) = state.session();
            f(&mut session, now)
        })
    }

    /// Calls with all that the lock guards, then notifies the signals that the session names.
    pub fn with<T>(&self, f: impl FnOnce(&mut ClientState) -> T) -> T {
        let mut state = self.lock();
        let result = f(&mut state);
        let notices = self.drain(&mut state);
        drop(state);
        self.notify(&notices);
        result
    }

    /// Calls the session until the call gives something, waiting for `signal` in between; `None` when
    /// `deadline` is over before. Fails once the program has closed the client, or cancels the waits
    /// in `scope`.
    pub fn wait<T>(
        &self,
        signal: &Signal,
        scope: &Signal,
        deadline: Option<Instant>,
        mut f: impl FnMut(&mut Session<'_>, u64) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        self.wait_with(signal, scope, deadline, |state| {
            let closed = state.is_closed();
            let (mut session, now) = state.session();
            if closed {
                return Err(session.is_open().err().unwrap_or(Error::Closed));
            }
            match f(&mut session, now)? {
                // A session that cannot go on gives nothing any more.
                None => session.is_open().map(|_| None),
                some => Ok(some),
            }
        })
    }

    /// Waits as [`Monitor::wait`] does, with all that the lock guards, also when the client is closed.
    pub fn wait_with<T>(
        &self,
        signal: &Signal,
        scope: &Signal,
        deadline: Option<Instant>,
        mut f: impl FnMut(&mut ClientState) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let mut state = self.lock();
        let cancelled = scope.cancels();
        loop {
            let result = f(&mut state);
            let notices = self.drain(&mut state);
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            let result = match result {
                Ok(None) if scope.cancels() != cancelled => Err(Error::Cancelled),
                result => result,
            };
            if !matches!(result, Ok(None)) || left.is_some_and(|left| left.is_zero()) {
                drop(state);
                self.notify(&notices);
                return result;
            }
            self.notify(&notices);
            state = signal.wait(state, left);
        }
    }

    /// Waits until a client, listener or channel is open, at most for `timeout`. A cancel of `scope`
    /// ends the wait.
    ///
    /// # Errors
    /// Why it will never be open, or, when the time is over, what stood in the way. With a `timeout` of
    /// zero that is [`Error::TimedOut`].
    pub fn wait_open(
        &self,
        waitable: Waitable,
        scope: &Signal,
        timeout: Option<Duration>,
    ) -> Result<(), Error> {
        let signal = match waitable {
            Waitable::Client => self.on_session(),
            Waitable::Listener(id) => self.on_listener(id),
            Waitable::Channel(id) => self.on_channel(id).other(),
        };
        let open = self.wait(signal, scope, deadline(timeout), |session, _| {
            Ok(waitable.is_open(session)?.then_some(()))
        })?;
        open.ok_or_else(|| self.call(|session, _| waitable.late(session, timeout)))
    }

    /// Ends the waits in `scope` that are in progress, if the caller still owns it: a slot may have got
    /// another channel or listener.
    pub fn cancel(&self, scope: &Signal, owned: impl FnOnce(&Session<'_>) -> bool) {
        let mut state = self.lock();
        if !owned(&state.storage.session()) {
            return;
        }
        scope.cancel();
        drop(state);
        // Threads that wait for other signals may do so in this scope.
        self.wake_all();
    }

    /// Wakes all threads that wait, after something was changed that all of them look at.
    pub fn wake_all(&self) {
        self.channels.iter().for_each(ChannelSignals::notify_all);
        let all = self.lanes.iter().chain(&self.listeners);
        all.chain([&self.session, &self.events]).for_each(Signal::notify_all);
    }
}
