//! What a relay of a cluster needs besides: exchanges whose connections other relays have, and a router that moves.

use super::tables::Tables;
use super::{ExchangeId, Router};

impl Router {
    /// The hold of a park ends within so many milliseconds, in order.
    pub(in crate::relay) fn end_hold_within(&mut self, now: u64, id: ExchangeId, within: u64) {
        self.tables.exchanges.shorten_hold(id, now + within);
    }

    /// Begins as a router does that takes the place of another: with nothing but its counters. Exchanges that are not
    /// drained yet are forgotten; their numbers are not used again.
    pub(in crate::relay) fn begin_anew(&mut self, now: u64) {
        let config = self.tables.config.clone();
        let before = std::mem::replace(&mut self.tables, Tables::new(config, now));
        self.uploads.clear();
        self.tables.follow(before);
    }

    /// Whether there is such an exchange: one that was complete, or of a router before, is none.
    pub(in crate::relay) fn has(&self, id: ExchangeId) -> bool {
        self.tables.exchanges.get(id).is_some()
    }

    /// Octets of a response went to the relay with the connection, and are held until that says it drained them.
    pub(in crate::relay) fn hold_out(&mut self, id: ExchangeId, octets: usize) {
        let Tables { exchanges, budget, accounts, .. } = &mut self.tables;
        if let Some(exchange) = exchanges.get(id) {
            budget.take(accounts, exchange.account(), octets);
        }
    }

    /// Such octets are drained, or their exchange is about to be forgotten.
    pub(in crate::relay) fn release_out(&mut self, id: ExchangeId, octets: usize) {
        let Tables { exchanges, budget, accounts, .. } = &mut self.tables;
        if let Some(exchange) = exchanges.get(id) {
            budget.give(accounts, exchange.account(), octets);
        }
    }
}

impl Tables {
    /// Takes over what outlives a router's knowledge of sessions.
    fn follow(&mut self, before: Tables) {
        self.wants_grants = before.wants_grants;
        self.exchanges.number_on(&before.exchanges);
        self.accounts.count_on(&before.accounts);
        self.stats = before.stats;
    }
}
