//! Permits to use a channel: how many are taken, and for which streams.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use byway::client::Stream;

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
    streams: Vec<Stream>,
}

/// A permit, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    permits: Arc<Permits>,
    stream: Option<Stream>,
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
        let mut taken = self.wait_until(|taken| taken.count < self.most);
        taken.count += 1;
        Permit { permits: Arc::clone(self), stream: None }
    }

    /// Takes a permit if one is free.
    pub fn try_take(self: &Arc<Self>) -> Option<Permit> {
        let mut taken = self.lock();
        if taken.count >= self.most {
            return None;
        }
        taken.count += 1;
        Some(Permit { permits: Arc::clone(self), stream: None })
    }

    /// Waits until all permits are free.
    pub fn wait_empty(&self) {
        drop(self.wait_until(|taken| taken.count == 0));
    }

    /// Aborts the streams that hold permits.
    pub fn abort_all(&self) {
        let streams = mem::take(&mut self.lock().streams);
        streams.iter().for_each(Stream::abort);
    }

    fn lock(&self) -> MutexGuard<'_, TakenPermits> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(
        &self,
        condition: impl Fn(&TakenPermits) -> bool,
    ) -> MutexGuard<'_, TakenPermits> {
        let waiting = |taken: &mut TakenPermits| !condition(taken);
        self.changed.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Notes the stream that the permit is for.
    pub fn hold(&mut self, stream: &Stream) {
        self.permits.lock().streams.push(stream.clone());
        self.stream = Some(stream.clone());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let stream = self.stream.take();
        let released = {
            let mut taken = self.permits.lock();
            taken.count -= 1;
            let held = |other: &Stream| stream.as_ref().is_some_and(|s| s.id() == other.id());
            taken.streams.iter().position(held).map(|at| taken.streams.swap_remove(at))
        };
        // The last handle of a stream frees its channel; only then may the permit be taken again.
        drop((stream, released));
        self.permits.changed.notify_all();
    }
}
