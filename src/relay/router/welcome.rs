//! Which sessions want to hear of which, as far as it shows: others burden them seldom.

use super::accounts::{AccountId, Burden};
use super::key::SessionKey;
use super::tables::Tables;
use crate::wire::Address;

impl Tables {
    /// What the session brings to `peer` shows that it wants to hear of `peer`.
    pub(super) fn welcome(&mut self, session: SessionKey, peer: SessionKey) {
        if self.accounts.len() > 0
            && self.sessions.get(&peer).is_some_and(|record| record.account.is_some())
            && let Some(record) = self.sessions.get_mut(&session)
            && !record.welcome.contains(&peer.address())
        {
            if record.welcome.len() >= self.config.peers {
                record.welcome.clear();
            }
            record.welcome.insert(peer.address());
        }
    }

    /// The session accepts an encrypted channel of `peer`: it will show by the handshake whether it wants to hear
    /// of `peer`.
    pub(super) fn court(&mut self, session: SessionKey, peer: SessionKey) {
        let most = self.config.peers;
        let counts = self.sessions.get(&peer).is_some_and(|record| record.account.is_some());
        if counts && let Some(record) = self.sessions.get_mut(&session) {
            if record.courted.len() >= most {
                record.courted.clear();
            }
            record.courted.insert(peer.address());
        }
    }

    /// Whether a message of the session `source`, which counts for `account`, may burden `peer`.
    pub(super) fn may_burden(
        &mut self,
        now: u64,
        (source, account): (Address, AccountId),
        peer: SessionKey,
        burden: Burden,
    ) -> bool {
        if !account.is_some() {
            return true;
        }
        self.sessions.get(&peer).is_some_and(|record| record.welcome.contains(&source))
            || self.accounts.burden(now, &self.config, account, peer, burden)
    }

    /// CONFIRM of `peer` reached the session: it has the channel that it accepted. If the handshake fails it ends the
    /// channel, by which `peer` is unwelcome.
    pub(super) fn confirm(&mut self, session: SessionKey, peer: SessionKey) {
        if let Some(record) = self.sessions.get_mut(&session)
            && record.courted.remove(&peer.address())
        {
            self.welcome(session, peer);
        }
    }

    /// The session wants nothing of what comes from `peer`.
    pub(super) fn unwelcome(&mut self, session: SessionKey, peer: SessionKey) {
        if let Some(record) = self.sessions.get_mut(&session) {
            record.welcome.remove(&peer.address());
            record.courted.remove(&peer.address());
        }
    }
}
