//! How far sessions were that the router forgot.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::key::SessionKey;

/// The highest number of a park of sessions that were forgotten. A park that somebody recorded stays
/// late, as long as this relay lives and not too many others were forgotten since.
#[derive(Debug)]
pub(super) struct Forgotten {
    most: usize,
    highest: FxHashMap<SessionKey, u64>,
    /// The same sessions, the longest forgotten first.
    order: VecDeque<SessionKey>,
}

impl Forgotten {
    /// Remembers of `most` sessions.
    pub fn new(most: usize) -> Self {
        Self { most, highest: FxHashMap::default(), order: VecDeque::new() }
    }

    /// The session is forgotten; its parks up to this number are late for ever.
    pub fn note(&mut self, peer: SessionKey, highest: u64) {
        if self.highest.insert(peer, highest).is_none() {
            self.order.push_back(peer);
        }
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.highest.remove(&oldest);
        }
    }

    /// The highest number of a park of the session, if it was forgotten.
    pub fn highest(&self, peer: &SessionKey) -> Option<u64> {
        self.highest.get(peer).copied()
    }
}
