//! Where threads wait.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::Duration;

use super::ClientState;

/// A place where threads wait, with the lock of the client. Notifying costs a system call only while
/// a thread waits.
#[derive(Debug, Default)]
pub(in crate::client) struct Signal {
    condvar: Condvar,
    /// Threads that wait. The count rises with the lock held, before the thread lets go of it, so
    /// that each change made later with the lock held sees it.
    waiters: AtomicU32,
    /// How often the waits here were cancelled. Rises with the lock held.
    cancelled: AtomicU32,
}

impl Signal {
    pub fn notify_all(&self) {
        if self.is_waited_for() {
            self.condvar.notify_all();
        }
    }

    /// Whether a thread waits here.
    pub fn is_waited_for(&self) -> bool {
        self.waiters.load(Ordering::Relaxed) > 0
    }

    /// How often the waits here were cancelled.
    pub fn cancels(&self) -> u32 {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Counts one more cancel; the caller holds the lock, and notifies.
    pub fn cancel(&self) {
        self.cancelled.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits, for at most `left`; `None` waits for ever.
    pub fn wait<'a>(
        &self,
        state: MutexGuard<'a, ClientState>,
        left: Option<Duration>,
    ) -> MutexGuard<'a, ClientState> {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        let state = match left {
            Some(left) => {
                let waited = self.condvar.wait_timeout(state, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.condvar.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
        self.waiters.fetch_sub(1, Ordering::Relaxed);
        state
    }
}

/// Where threads wait for a channel, by what they wait for, so that a verdict wakes no reader.
#[derive(Debug, Default)]
pub(in crate::client) struct ChannelSignals {
    read: Signal,
    write: Signal,
    other: Signal,
}

impl ChannelSignals {
    /// Where threads wait for something to read.
    pub fn read(&self) -> &Signal {
        &self.read
    }

    /// Where threads wait for room to write.
    pub fn write(&self) -> &Signal {
        &self.write
    }

    /// Where threads wait for anything else: that the channel opens, that everything was delivered
    /// or acknowledged. A cancel of this one ends the waits of all three.
    pub fn other(&self) -> &Signal {
        &self.other
    }

    pub fn notify_all(&self) {
        [&self.read, &self.write, &self.other].into_iter().for_each(Signal::notify_all);
    }
}
