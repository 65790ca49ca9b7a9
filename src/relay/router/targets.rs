//! Which uploads are for which session.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

use super::ExchangeId;
use super::key::SessionKey;

/// The uploads under way for each session, by the numbers of their exchanges.
#[derive(Debug, Default)]
pub(super) struct Targets(FxHashMap<SessionKey, Uploaders>);

#[derive(Debug, Default)]
struct Uploaders {
    /// Uploads that stand until the session takes more.
    waiters: BTreeSet<ExchangeId>,
    /// Uploads whose message in hand is for the session, but those that brought nothing for a while.
    feeders: BTreeSet<ExchangeId>,
}

impl Targets {
    /// The upload stands until `peer` takes more.
    pub fn wait(&mut self, peer: SessionKey, id: ExchangeId) {
        self.0.entry(peer).or_default().waiters.insert(id);
    }

    /// The upload does not wait for `peer` any longer.
    pub fn stop_waiting(&mut self, peer: SessionKey, id: ExchangeId) {
        self.change(peer, |uploaders| uploaders.waiters.remove(&id));
    }

    /// The upload's message in hand is for `peer`.
    pub fn feed(&mut self, peer: SessionKey, id: ExchangeId) {
        self.0.entry(peer).or_default().feeders.insert(id);
    }

    /// The upload has nothing in hand for `peer` any longer.
    pub fn stop_feeding(&mut self, peer: SessionKey, id: ExchangeId) {
        self.change(peer, |uploaders| uploaders.feeders.remove(&id));
    }

    /// Forgets the uploads for `peer`, but those that wait, until they bring something again.
    pub fn silence(&mut self, peer: SessionKey) {
        self.change(peer, |uploaders| uploaders.feeders.clear());
    }

    /// The uploads that wait for `peer`.
    pub fn waiters(&self, peer: SessionKey) -> Vec<ExchangeId> {
        self.0.get(&peer).map(|u| u.waiters.iter().copied().collect()).unwrap_or_default()
    }

    pub fn has_waiters(&self, peer: SessionKey) -> bool {
        self.0.get(&peer).is_some_and(|uploaders| !uploaders.waiters.is_empty())
    }

    /// The uploads for `peer`, but those that brought nothing for a while.
    pub fn feeders(&self, peer: SessionKey) -> impl Iterator<Item = ExchangeId> {
        self.0.get(&peer).into_iter().flat_map(|uploaders| uploaders.feeders.iter().copied())
    }

    /// Whether an upload for `peer` is under way.
    pub fn is_fed(&self, peer: SessionKey) -> bool {
        self.0.contains_key(&peer)
    }

    fn change<T>(&mut self, peer: SessionKey, change: impl FnOnce(&mut Uploaders) -> T) {
        let Entry::Occupied(mut entry) = self.0.entry(peer) else { return };
        let uploaders = entry.get_mut();
        change(uploaders);
        if uploaders.waiters.is_empty() && uploaders.feeders.is_empty() {
            entry.remove();
        }
    }
}
