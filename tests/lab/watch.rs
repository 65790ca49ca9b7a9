//! Progress of one direction of a channel while it carries.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The counts of one direction in octets, for its sender, its receiver and the faults.
#[derive(Debug)]
pub struct Watch {
    state: Mutex<State>,
    changed: Condvar,
}

/// The counts, in octets.
#[derive(Debug, Clone, Copy)]
pub struct State {
    /// How far the sender may go.
    pub allowed: u64,
    /// Whether the sender ends there.
    last: bool,
    /// Octets handed over for sending.
    pub sent: u64,
    /// Octets received, and found right.
    pub received: u64,
    /// When octets arrived last, or when octets became due.
    progress: Instant,
    /// The longest time without progress.
    pub stall: Duration,
    failed: bool,
}

impl Watch {
    /// A direction whose sender may not send yet.
    pub fn new() -> Self {
        let state = State {
            allowed: 0,
            last: false,
            sent: 0,
            received: 0,
            progress: Instant::now(),
            stall: Duration::ZERO,
            failed: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Lets the sender go on to `allowed` octets in all, and then end if this is the `last` time.
    pub fn allow(&self, allowed: u64, last: bool) {
        let mut state = self.lock();
        if state.received == state.allowed {
            state.progress = Instant::now();
        }
        (state.allowed, state.last) = (allowed, last);
        self.changed.notify_all();
    }

    /// Lets the sender send what it has begun, and no more.
    pub fn end(&self) {
        let mut state = self.lock();
        (state.allowed, state.last) = (state.sent, true);
        self.changed.notify_all();
    }

    /// Waits until the sender may send, and gives how much, at most `most`. `None` if the direction
    /// is over.
    pub fn claim(&self, most: usize) -> Option<usize> {
        let over = |state: &mut State| state.failed || (state.last && state.sent >= state.allowed);
        let state = self.lock();
        let mut state = self
            .changed
            .wait_while(state, |state| !over(state) && state.sent >= state.allowed)
            .unwrap_or_else(PoisonError::into_inner);
        if over(&mut state) {
            return None;
        }
        let n = usize::try_from(state.allowed - state.sent).unwrap_or(most).min(most);
        state.sent += n as u64;
        Some(n)
    }

    /// Notes that the receiver has `n` octets more.
    pub fn received(&self, n: usize) {
        let mut state = self.lock();
        let now = Instant::now();
        state.stall = state.stall.max(now - state.progress);
        state.progress = now;
        state.received += n as u64;
        self.changed.notify_all();
    }

    /// Notes that the transfer failed, and ends all waits.
    pub fn fail(&self) {
        self.lock().failed = true;
        self.changed.notify_all();
    }

    /// Waits until the receiver has `octets` in all, at most until `deadline`, and tells whether it
    /// has.
    pub fn wait_received(&self, octets: u64, deadline: Instant) -> bool {
        let state = self.lock();
        let left = deadline.saturating_duration_since(Instant::now());
        let (state, _) = self
            .changed
            .wait_timeout_while(state, left, |state| !state.failed && state.received < octets)
            .unwrap_or_else(PoisonError::into_inner);
        state.received >= octets
    }

    /// The counts as they are now.
    pub fn figures(&self) -> State {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
