//! What the bearer of a token may do.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::super::router::Rate;
use super::pace::Pace;
use super::policy::Rules;
use crate::wire::Endpoint;

/// Whether an entry of the relay's policy stands: grants by it are worth nothing once it is gone or changed.
#[derive(Debug, Default)]
pub(super) struct Standing {
    is_gone: AtomicBool,
}

impl Standing {
    pub fn end(&self) {
        self.is_gone.store(true, Relaxed);
    }
}

/// What the bearer of a token may do at the relay: where it may listen and connect, and how much it may use.
/// Whatever has the same [`holder`](Self::holder) shares the limits.
pub struct Grant {
    holder: Arc<str>,
    rules: Arc<Rules>,
    /// The subject of a JWT, which stands for `{sub}` in patterns.
    subject: String,
    pace: Arc<Pace>,
    standing: Arc<Standing>,
}

impl Grant {
    pub(super) fn new(
        holder: Arc<str>,
        rules: Arc<Rules>,
        subject: &str,
        pace: Arc<Pace>,
        standing: Arc<Standing>,
    ) -> Self {
        Self { holder, rules, subject: subject.to_owned(), pace, standing }
    }

    /// Whether the policy does not have the entry any longer by which it was given.
    pub fn is_revoked(&self) -> bool {
        self.standing.is_gone.load(Relaxed)
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether it is what a static token of this name with these rules gives.
    pub(super) fn is_by(&self, holder: &str, rules: &Rules) -> bool {
        *self.holder == *holder && *self.rules == *rules
    }

    /// The name of the token in the policy, or issuer and subject of a JWT.
    pub fn holder(&self) -> &Arc<str> {
        &self.holder
    }

    /// Whether the bearer may listen there.
    pub fn may_listen(&self, endpoint: &Endpoint) -> bool {
        self.rules.listen.iter().any(|pattern| pattern.fits(endpoint, &self.subject))
    }

    /// Whether the bearer may connect to there.
    pub fn may_connect(&self, endpoint: &Endpoint) -> bool {
        self.rules.connect.iter().any(|pattern| pattern.fits(endpoint, &self.subject))
    }

    /// Most sessions at once; `None`: as many as the relay has.
    pub fn sessions(&self) -> Option<NonZeroU32> {
        self.rules.sessions
    }

    /// Most connections that are begun in a second; `None`: no limit.
    pub fn connects_per_second(&self) -> Option<NonZeroU32> {
        self.rules.connects_per_second
    }

    /// How many requests are made; `None`: as many as of an address.
    pub fn requests(&self) -> Option<Rate> {
        let per_second = self.rules.requests_per_second?.get();
        Some(Rate::new(per_second, per_second.saturating_mul(2)))
    }

    /// Most octets of requests' bodies in a second; `None`: no limit.
    pub(super) fn octets_per_second(&self) -> Option<NonZeroU32> {
        self.rules.octets_per_second
    }

    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("holder", &self.holder).finish_non_exhaustive()
    }
}
