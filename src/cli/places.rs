//! How many channels are in use, and which.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use byway::client::Stream;

/// As many places as there can be channels.
#[derive(Debug)]
pub struct Places {
    most: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    streams: Vec<Stream>,
}

/// One place, given back when dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    stream: Option<Stream>,
}

impl Places {
    pub fn new(most: usize) -> Self {
        Self { most, state: Mutex::default(), changed: Condvar::new() }
    }

    /// How many there are.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Waits for a free place and takes it.
    pub fn take(self: &Arc<Self>) -> Place {
        let mut state = self.wait_until(|state| state.taken < self.most);
        state.taken += 1;
        Place { places: Arc::clone(self), stream: None }
    }

    /// Takes a place if one is free.
    pub fn try_take(self: &Arc<Self>) -> Option<Place> {
        let mut state = self.lock();
        if state.taken >= self.most {
            return None;
        }
        state.taken += 1;
        Some(Place { places: Arc::clone(self), stream: None })
    }

    /// Waits until all places are free.
    pub fn wait_empty(&self) {
        drop(self.wait_until(|state| state.taken == 0));
    }

    /// Aborts the streams in all places.
    pub fn abort_all(&self) {
        let streams = mem::take(&mut self.lock().streams);
        streams.iter().for_each(Stream::abort);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(&self, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waiting = |state: &mut State| !condition(state);
        self.changed.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Says which stream it is for.
    pub fn hold(&mut self, stream: &Stream) {
        self.places.lock().streams.push(stream.clone());
        self.stream = Some(stream.clone());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let stream = self.stream.take();
        let released = {
            let mut state = self.places.lock();
            state.taken -= 1;
            let held = |other: &Stream| stream.as_ref().is_some_and(|s| s.id() == other.id());
            state.streams.iter().position(held).map(|at| state.streams.swap_remove(at))
        };
        // The last handle of a stream frees its channel, which has to be before the place is free.
        drop((stream, released));
        self.places.changed.notify_all();
    }
}
