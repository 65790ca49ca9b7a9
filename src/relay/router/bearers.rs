//! What the bearers of tokens have of what their policy limits: sessions, and connections begun.

use std::num::NonZeroU32;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::super::admission::Grant;
use super::key::SessionKey;

/// A refusal so long after the last, in ms, begins a new episode, of which the log tells.
const EPISODE_MS: u64 = 60_000;

/// All bearers, and whose each session is.
#[derive(Debug, Default)]
pub(super) struct Bearers {
    table: FxHashMap<Arc<str>, Bearer>,
    holders: FxHashMap<SessionKey, Arc<str>>,
    /// At so many bearers those that say nothing are forgotten.
    most: usize,
}

#[derive(Debug, Default)]
struct Bearer {
    sessions: FxHashSet<SessionKey>,
    connects: Allowance,
    refused_at: Option<u64>,
}

/// Connections that may be begun: a second's worth at first, and at most.
#[derive(Debug, Default)]
struct Allowance {
    /// Thousandths of a connection that were used and have not come back.
    used: u64,
    /// When that was so.
    at: u64,
}

impl Allowance {
    fn recover(&mut self, now: u64, rate: NonZeroU32) {
        let back = now.saturating_sub(self.at).saturating_mul(rate.get().into());
        self.used = self.used.saturating_sub(back);
        self.at = self.at.max(now);
    }

    fn take(&mut self, now: u64, rate: NonZeroU32) -> bool {
        self.recover(now, rate);
        let fits = self.used + 1_000 <= u64::from(rate.get()) * 1_000;
        if fits {
            self.used += 1_000;
        }
        fits
    }

    /// Whether all of it is there again: it is, a second after the last use.
    fn is_whole(&self, now: u64) -> bool {
        self.used == 0 || now >= self.at + 1_000
    }
}

impl Bearers {
    /// The session counts as the holder's; false if that has as many as it may. `is_idle` tells of a session
    /// whether it may be left out of the count for another.
    pub fn enter(
        &mut self,
        now: u64,
        session: SessionKey,
        grant: &Grant,
        is_idle: impl Fn(&SessionKey) -> bool,
    ) -> bool {
        if self.holders.get(&session) == Some(grant.holder()) {
            return true;
        }
        self.leave(session);
        let account = self.account(now, grant);
        if let Some(most) = grant.sessions()
            && account.sessions.len() >= most.get() as usize
        {
            let Some(idle) = account.sessions.iter().copied().find(|other| is_idle(other)) else {
                return false;
            };
            self.leave(idle);
        }
        self.account(now, grant).sessions.insert(session);
        self.holders.insert(session, Arc::clone(grant.holder()));
        true
    }

    /// The session is over, or forgotten.
    pub fn leave(&mut self, session: SessionKey) {
        if let Some(holder) = self.holders.remove(&session)
            && let Some(account) = self.table.get_mut(&holder)
        {
            account.sessions.remove(&session);
        }
    }

    /// A connection is begun; false if the holder begins too many.
    pub fn connect(&mut self, now: u64, grant: &Grant) -> bool {
        let Some(rate) = grant.connects_per_second() else { return true };
        self.account(now, grant).connects.take(now, rate)
    }

    /// Something is refused to the holder: whether the log is to tell.
    pub fn refuse(&mut self, now: u64, grant: &Grant) -> bool {
        let last = self.account(now, grant).refused_at.replace(now);
        last.is_none_or(|last| last + EPISODE_MS < now)
    }

    fn account(&mut self, now: u64, grant: &Grant) -> &mut Bearer {
        if self.table.len() >= self.most && !self.table.contains_key(grant.holder()) {
            self.table.retain(|_, account| account.says_something(now));
            self.most = 2 * self.table.len() + 64;
        }
        self.table.entry(Arc::clone(grant.holder())).or_default()
    }
}

impl Bearer {
    fn says_something(&self, now: u64) -> bool {
        let was_refused = self.refused_at.is_some_and(|at| now <= at + EPISODE_MS);
        !self.sessions.is_empty() || !self.connects.is_whole(now) || was_refused
    }
}
