//! How many octets the router holds, of all sessions and of each origin.

use std::collections::BTreeMap;

use super::ExchangeId;
use super::accounts::{AccountId, Accounts};

/// The octets held, against their limits, and the uploads that stand because of the limits.
///
/// An origin may hold as much as is free besides, and at most its share: so one takes half of all, two a
/// third each, and with any number some is free for those who hold little. Switches share their
/// buffers in this way (Choudhury and Hahne, "Dynamic queue length thresholds", 1998).
#[derive(Debug)]
pub(super) struct Budget {
    most: usize,
    share: usize,
    held: usize,
    starved: BTreeMap<ExchangeId, AccountId>,
    /// Whether uploads that stand may go on since they were looked at last.
    is_eased: bool,
}

impl Budget {
    /// Nothing is held, of `most` octets in all and `share` for an origin.
    pub fn new(most: usize, share: usize) -> Self {
        Self { most, share, held: 0, starved: BTreeMap::new(), is_eased: false }
    }

    /// Octets held now.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Octets that may be held for the account, if `octets` of those held now do not count.
    pub fn free_beside(&self, accounts: &Accounts, account: AccountId, octets: usize) -> usize {
        debug_assert!(octets <= self.held);
        let free = self.most.saturating_sub(self.held - octets);
        match accounts.held(account) {
            None => free,
            Some(held) => self.share.min(free).saturating_sub(held.saturating_sub(octets)),
        }
    }

    /// `octets` more are held.
    pub fn take(&mut self, accounts: &mut Accounts, account: AccountId, octets: usize) {
        self.held += octets;
        accounts.take(account, octets);
    }

    /// `octets` are held no longer.
    pub fn give(&mut self, accounts: &mut Accounts, account: AccountId, octets: usize) {
        debug_assert!(octets <= self.held, "{octets} octets of {} are given back", self.held);
        let low = self.most / 4 * 3;
        let falls = self.held > low && self.held.saturating_sub(octets) <= low;
        self.held = self.held.saturating_sub(octets);
        self.is_eased |= accounts.give(account, octets) || falls || account == AccountId::default();
    }

    /// The upload of this exchange stands because too much is held, for the account or in all.
    pub fn starve(&mut self, accounts: &mut Accounts, id: ExchangeId, account: AccountId) {
        if self.starved.insert(id, account).is_none() {
            accounts.count_starved(account, true);
        }
    }

    /// The upload of this exchange does not stand because of the budget any longer.
    pub fn unstarve(&mut self, accounts: &mut Accounts, id: ExchangeId) {
        if let Some(account) = self.starved.remove(&id) {
            accounts.count_starved(account, false);
        }
    }

    /// The uploads that may go on: those that stand, once a quarter of what may be held is free.
    pub fn fed(&mut self, accounts: &mut Accounts) -> Vec<ExchangeId> {
        if self.starved.is_empty() || !std::mem::take(&mut self.is_eased) {
            return Vec::new();
        }
        if self.held > self.most / 4 * 3 {
            return Vec::new();
        }
        let most = self.share.min(self.most - self.held) / 4 * 3;
        let may_go = |account: AccountId| accounts.held(account).is_none_or(|held| held <= most);
        let fed: Vec<_> =
            self.starved.iter().filter(|(_, a)| may_go(**a)).map(|(id, _)| *id).collect();
        for id in &fed {
            self.unstarve(accounts, *id);
        }
        fed
    }
}
