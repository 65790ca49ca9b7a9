//! How many octets the router holds, of all sessions.

use std::collections::BTreeSet;

use super::ExchangeId;

/// The octets held, against their limit, and the uploads that stand because of the limit.
#[derive(Debug)]
pub(super) struct Budget {
    most: usize,
    held: usize,
    starved: BTreeSet<ExchangeId>,
}

impl Budget {
    /// Nothing is held, of `most` octets.
    pub fn new(most: usize) -> Self {
        Self { most, held: 0, starved: BTreeSet::new() }
    }

    /// Octets held now.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Octets that may be held, if `octets` of those held now do not count.
    pub fn free_beside(&self, octets: usize) -> usize {
        debug_assert!(octets <= self.held);
        self.most.saturating_sub(self.held - octets)
    }

    /// `octets` more are held.
    pub fn take(&mut self, octets: usize) {
        self.held += octets;
    }

    /// `octets` are held no longer.
    pub fn give(&mut self, octets: usize) {
        debug_assert!(octets <= self.held, "{octets} octets of {} are given back", self.held);
        self.held = self.held.saturating_sub(octets);
    }

    /// The upload of this exchange stands because too much is held.
    pub fn starve(&mut self, id: ExchangeId) {
        self.starved.insert(id);
    }

    /// The upload of this exchange does not stand because of the budget any longer.
    pub fn unstarve(&mut self, id: ExchangeId) {
        self.starved.remove(&id);
    }

    /// The uploads that may go on: all that stand, once a quarter of what may be held is free.
    pub fn fed(&mut self) -> Vec<ExchangeId> {
        if self.starved.is_empty() || self.held > self.most / 4 * 3 {
            return Vec::new();
        }
        std::mem::take(&mut self.starved).into_iter().collect()
    }
}
