//! Which sessions are to be told that a peer is back.

use std::collections::{BTreeSet, VecDeque};

use rustc_hash::FxHashMap;

use super::key::SessionKey;

/// The wishes of all sessions: each waits for a peer's next park.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// The peers that a session waits for, the oldest wish first.
    of: FxHashMap<SessionKey, VecDeque<SessionKey>>,
    /// The sessions that wait for a peer.
    wanted: FxHashMap<SessionKey, BTreeSet<SessionKey>>,
}

impl Wishes {
    /// Notes that `session` waits for `peer`. True: of its wishes, more than `most`, the oldest is forgotten.
    pub fn add(&mut self, session: SessionKey, peer: SessionKey, most: usize) -> bool {
        if most == 0 || !self.wanted.entry(peer).or_default().insert(session) {
            return false;
        }
        let wishes = self.of.entry(session).or_default();
        wishes.push_back(peer);
        let oldest = if wishes.len() > most { wishes.pop_front() } else { None };
        if let Some(oldest) = oldest {
            self.drop_wisher(session, oldest);
        }
        oldest.is_some()
    }

    /// Takes the wishes for `peer`, if there are any: the sessions that had them.
    pub fn grant(&mut self, peer: SessionKey) -> Option<BTreeSet<SessionKey>> {
        let wishers = self.wanted.remove(&peer)?;
        for wisher in &wishers {
            if let Some(wishes) = self.of.get_mut(wisher) {
                wishes.retain(|wanted| *wanted != peer);
                if wishes.is_empty() {
                    self.of.remove(wisher);
                }
            }
        }
        Some(wishers)
    }

    /// Forgets all wishes of a session.
    pub fn forget(&mut self, session: SessionKey) {
        for wanted in self.of.remove(&session).unwrap_or_default() {
            self.drop_wisher(session, wanted);
        }
    }

    fn drop_wisher(&mut self, session: SessionKey, peer: SessionKey) {
        if let Some(wishers) = self.wanted.get_mut(&peer) {
            wishers.remove(&session);
            if wishers.is_empty() {
                self.wanted.remove(&peer);
            }
        }
    }
}
