//! Times at which something is due.

use std::collections::BTreeSet;

/// The times at which something is due, in milliseconds, each with the key of what it is due for.
/// The time of a key is kept by the key's owner as well, so that no search is needed to change it.
#[derive(Debug)]
pub(super) struct Deadlines<K>(BTreeSet<(u64, K)>);

impl<K: Copy + Ord> Deadlines<K> {
    pub fn new() -> Self {
        Self(BTreeSet::new())
    }

    /// Sets the time of `key`, of which `kept` is its owner's copy. `None`: nothing is due.
    pub fn set(&mut self, key: K, kept: &mut Option<u64>, at: Option<u64>) {
        if *kept == at {
            return;
        }
        if let Some(before) = kept.take() {
            self.remove(key, before);
        }
        if let Some(at) = at {
            self.insert(key, at);
        }
        *kept = at;
    }

    pub fn insert(&mut self, key: K, at: u64) {
        let is_new = self.0.insert((at, key));
        debug_assert!(is_new, "a key has one time");
    }

    pub fn remove(&mut self, key: K, at: u64) {
        let was_there = self.0.remove(&(at, key));
        debug_assert!(was_there, "an owner's copy is the time itself");
    }

    /// The earliest time.
    pub fn next(&self) -> Option<u64> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The earliest time and its key, if that time has come. The caller changes it.
    pub fn due(&self, now: u64) -> Option<(u64, K)> {
        self.0.first().filter(|(at, _)| *at <= now).copied()
    }

    /// All keys with their times, the earliest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, K)> {
        self.0.iter().copied()
    }
}
