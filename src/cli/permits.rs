//! Permits to use a channel: how many are taken, and for which channels.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use byway::client::{DatagramChannel, Stream};
use byway::session::ChannelId;

/// The permits of a client: as many as it can have channels.
#[derive(Debug)]
pub struct Permits {
    most: usize,
    taken: Mutex<TakenPermits>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct TakenPermits {
    count: usize,
    channels: Vec<Held>,
}

/// A channel of either kind.
#[derive(Debug, Clone)]
pub enum Held {
    Stream(Stream),
    Datagrams(DatagramChannel),
}

impl Held {
    fn id(&self) -> ChannelId {
        match self {
            Self::Stream(stream) => stream.id(),
            Self::Datagrams(channel) => channel.id(),
        }
    }

    fn abort(&self) {
        match self {
            Self::Stream(stream) => stream.abort(),
            Self::Datagrams(channel) => channel.abort(),
        }
    }
}

impl From<&Stream> for Held {
    fn from(stream: &Stream) -> Self {
        Self::Stream(stream.clone())
    }
}

impl From<&DatagramChannel> for Held {
    fn from(channel: &DatagramChannel) -> Self {
        Self::Datagrams(channel.clone())
    }
}

/// A permit, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    permits: Arc<Permits>,
    channel: Option<Held>,
}

impl Permits {
    pub fn new(most: usize) -> Self {
        Self { most, taken: Mutex::default(), changed: Condvar::new() }
    }

    /// The number of permits, free or not.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Waits for a free permit and takes it.
    pub fn take(self: &Arc<Self>) -> Permit {
        loop {
            if let Some(permit) = self.take_within(None) {
                return permit;
            }
        }
    }

    /// The same, at most for `turn`.
    pub fn take_within(self: &Arc<Self>, turn: Option<Duration>) -> Option<Permit> {
        let mut taken = self.wait_until(turn, |taken| taken.count < self.most);
        if taken.count >= self.most {
            return None;
        }
        taken.count += 1;
        Some(Permit { permits: Arc::clone(self), channel: None })
    }

    /// Takes a permit if one is free.
    pub fn try_take(self: &Arc<Self>) -> Option<Permit> {
        let mut taken = self.lock();
        if taken.count >= self.most {
            return None;
        }
        taken.count += 1;
        Some(Permit { permits: Arc::clone(self), channel: None })
    }

    /// Waits until all permits are free, at most for `turn`.
    pub fn wait_empty(&self, turn: Option<Duration>) -> Option<()> {
        (self.wait_until(turn, |taken| taken.count == 0).count == 0).then_some(())
    }

    /// Aborts the channels that hold permits.
    pub fn abort_all(&self) {
        let channels = mem::take(&mut self.lock().channels);
        channels.iter().for_each(Held::abort);
    }

    fn lock(&self) -> MutexGuard<'_, TakenPermits> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(
        &self,
        turn: Option<Duration>,
        condition: impl Fn(&TakenPermits) -> bool,
    ) -> MutexGuard<'_, TakenPermits> {
        let waiting = |taken: &mut TakenPermits| !condition(taken);
        let Some(turn) = turn else {
            let waited = self.changed.wait_while(self.lock(), waiting);
            return waited.unwrap_or_else(PoisonError::into_inner);
        };
        let waited = self.changed.wait_timeout_while(self.lock(), turn, waiting);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Permit {
    /// Notes the channel that the permit is for.
    pub fn hold(&mut self, channel: impl Into<Held>) {
        let channel = channel.into();
        self.permits.lock().channels.push(channel.clone());
        self.channel = Some(channel);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let channel = self.channel.take();
        let released = {
            let mut taken = self.permits.lock();
            taken.count -= 1;
            let held = |other: &Held| channel.as_ref().is_some_and(|c| c.id() == other.id());
            taken.channels.iter().position(held).map(|at| taken.channels.swap_remove(at))
        };
        // The last handle of a channel frees its channel; only then may the permit be taken again.
        drop((channel, released));
        self.permits.changed.notify_all();
    }
}
