//! What each origin holds, and how often it did what is limited.

use std::collections::HashMap;
use std::num::NonZeroU64;

use rustc_hash::FxHashMap;
use tracing::warn;

use super::config::RouterConfig;
use super::key::SessionKey;
use super::origin::Origin;
use super::rate::{Bucket, Rate};

/// Accounts are looked through for those that are not used any longer when there are so many, or
/// twice as many as stayed the last time.
const SWEEP_FROM: usize = 1024;

/// Sessions whose goodwill towards an origin is remembered; more are not burdened until there is room.
const GOODWILL: usize = 1024;

/// A refusal so long after the last one begins a new episode, of which the log tells, in milliseconds.
const EPISODE: u64 = 60_000;

/// Names an account, and never another one. None: of [`Origin::Exempt`], which has no account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct AccountId(Option<NonZeroU64>);

impl AccountId {
    /// Whether there is an account.
    pub fn is_some(self) -> bool {
        self.0.is_some()
    }
}

/// What an origin does that is limited by a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meter {
    /// It connects.
    Connections,
    /// It makes requests.
    Requests,
    /// It makes sessions that the relay does not know.
    Sessions,
    /// It claims names that others hold.
    Guesses,
    /// It asks for channels at endpoints where nobody listens, or not for such channels.
    Misses,
    /// It has proofs of keys checked.
    Proofs,
    /// It brings messages to sessions that do not answer them.
    Junk,
}

impl Meter {
    const ALL: usize = 7;

    /// The name of the setting.
    fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::Sessions => "new_sessions",
            Self::Guesses => "guesses",
            Self::Misses => "misses",
            Self::Proofs => "proof_checks",
            Self::Junk => "wakes or acks_unasked",
        }
    }

    /// Its rate, where the account has one of its own for requests or none.
    fn rate(self, config: &RouterConfig, requests: Option<Rate>) -> Option<Rate> {
        match self {
            Self::Connections => config.connections,
            Self::Requests => requests.or(config.requests),
            Self::Sessions => config.new_sessions,
            Self::Guesses => config.guesses,
            Self::Misses => config.misses,
            Self::Proofs => config.proof_checks,
            Self::Junk => None,
        }
    }
}

/// What a message costs a session that did not ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Burden {
    /// Its park is answered, and it has to park again.
    Wake,
    /// An acknowledgement is written into an answer that is open.
    Acknowledgement,
}

/// All accounts.
#[derive(Debug)]
pub(super) struct Accounts {
    ids: HashMap<Origin, AccountId>,
    table: FxHashMap<AccountId, Account>,
    last: u64,
    sweep_at: usize,
    refused: [u64; Meter::ALL],
    refused_last: [Option<u64>; Meter::ALL],
}

#[derive(Debug)]
struct Account {
    origin: Origin,
    /// Exchanges, uploads and acknowledgements that count for it.
    users: usize,
    /// Octets held for it.
    held: usize,
    /// Uploads that stand since too much is held for it.
    starved: usize,
    meters: [Bucket; Meter::ALL],
    /// The rate of requests that the policy gives it.
    requests: Option<Rate>,
    goodwill: FxHashMap<SessionKey, Goodwill>,
    /// When that was looked through last for what need not be remembered.
    goodwill_swept: u64,
}

/// How often an origin burdened a session that did not ask for it.
#[derive(Debug, Clone, Copy, Default)]
struct Goodwill {
    wakes: Bucket,
    acks: Bucket,
}

impl Accounts {
    pub fn new() -> Self {
        Self {
            ids: HashMap::new(),
            table: FxHashMap::default(),
            last: 0,
            sweep_at: SWEEP_FROM,
            refused: [0; Meter::ALL],
            refused_last: [None; Meter::ALL],
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// The account of an origin, which is opened if need be.
    pub fn find(&mut self, now: u64, origin: &Origin) -> AccountId {
        if *origin == Origin::Exempt {
            return AccountId::default();
        }
        if let Some(&id) = self.ids.get(origin) {
            return id;
        }
        if self.table.len() >= self.sweep_at {
            self.sweep(now);
        }
        self.last += 1;
        let id = AccountId(NonZeroU64::new(self.last));
        let account = Account {
            origin: origin.clone(),
            users: 0,
            held: 0,
            starved: 0,
            meters: Default::default(),
            requests: None,
            goodwill: FxHashMap::default(),
            goodwill_swept: 0,
        };
        self.ids.insert(origin.clone(), id);
        self.table.insert(id, account);
        id
    }

    /// The policy gives the account this rate of requests.
    pub fn set_requests(&mut self, id: AccountId, rate: Option<Rate>) {
        if let Some(account) = self.table.get_mut(&id) {
            account.requests = rate;
        }
    }

    fn sweep(&mut self, now: u64) {
        let ids = &mut self.ids;
        self.table.retain(|_, account| {
            let is_used = account.users > 0 || account.meters.iter().any(|m| !m.is_full(now));
            if !is_used {
                ids.remove(&account.origin);
            }
            is_used
        });
        self.sweep_at = (2 * self.table.len()).max(SWEEP_FROM);
    }

    /// Something more counts for the account, of so many octets.
    pub fn enter(&mut self, id: AccountId) {
        if id.is_some()
            && let Some(account) = self.table.get_mut(&id)
        {
            account.users += 1;
        }
    }

    /// Something that counted for the account is gone.
    pub fn leave(&mut self, id: AccountId) {
        if id.is_some()
            && let Some(account) = self.table.get_mut(&id)
        {
            debug_assert!(account.users > 0, "it was entered");
            account.users -= 1;
        }
    }

    /// `octets` more are held for the account.
    pub fn take(&mut self, id: AccountId, octets: usize) {
        if id.is_some()
            && let Some(account) = self.table.get_mut(&id)
        {
            account.held += octets;
        }
    }

    /// `octets` are held for the account no longer; whether uploads stand for want of them.
    pub fn give(&mut self, id: AccountId, octets: usize) -> bool {
        if !id.is_some() {
            return false;
        }
        let Some(account) = self.table.get_mut(&id) else { return false };
        debug_assert!(octets <= account.held, "{octets} octets of {} are given back", account.held);
        account.held = account.held.saturating_sub(octets);
        account.starved > 0
    }

    /// Octets held for the account; `None` for one without a share.
    pub fn held(&self, id: AccountId) -> Option<usize> {
        if !id.is_some() {
            return None;
        }
        self.table.get(&id).map(|account| account.held)
    }

    /// One more upload stands because of the account, or one less.
    pub fn count_starved(&mut self, id: AccountId, stands: bool) {
        if let Some(account) = self.table.get_mut(&id) {
            account.starved =
                if stands { account.starved + 1 } else { account.starved.saturating_sub(1) };
        }
    }

    /// Something that is metered happens; with at most `ahead` milliseconds on credit. As
    /// [`Bucket::take`] tells.
    pub fn meter(
        &mut self,
        now: u64,
        config: &RouterConfig,
        id: AccountId,
        meter: Meter,
        ahead: u64,
    ) -> Result<u64, u64> {
        let Some(account) = self.table.get_mut(&id) else { return Ok(0) };
        let Some(rate) = meter.rate(config, account.requests) else { return Ok(0) };
        let taken = account.meters[meter as usize].take(now, rate, 1, ahead);
        if taken.is_err() {
            self.note_refusal(now, config, id, meter);
        }
        taken
    }

    /// Counts a refusal, and tells the log of the first of an episode. What is refused within a request costs
    /// as much as another request, since a request may have a thousand of them.
    fn note_refusal(&mut self, now: u64, config: &RouterConfig, id: AccountId, meter: Meter) {
        self.refused[meter as usize] += 1;
        if matches!(meter, Meter::Guesses | Meter::Misses | Meter::Junk)
            && let Some(account) = self.table.get_mut(&id)
            && let Some(rate) = Meter::Requests.rate(config, account.requests)
        {
            // So many on credit that the next request has to come back later.
            let ahead = 2 * config.request_wait_ms;
            let _ = account.meters[Meter::Requests as usize].take(now, rate, 1, ahead);
        }
        let last = self.refused_last[meter as usize].replace(now);
        if last.is_none_or(|last| now > last + EPISODE)
            && let Some(account) = self.table.get(&id)
        {
            let (origin, limit) = (&account.origin, meter.name());
            warn!(%origin, limit, "too many a second: refused or put off until there are fewer");
        }
    }

    /// Counts refusals on from those of other accounts.
    pub fn count_on(&mut self, before: &Self) {
        self.refused = before.refused;
    }

    /// Refusals for this reason since the start.
    pub fn refused(&self, meter: Meter) -> u64 {
        self.refused[meter as usize]
    }

    /// A message for `peer` is a burden that `peer` did not ask for; false if there were too many of them.
    pub fn burden(
        &mut self,
        now: u64,
        config: &RouterConfig,
        id: AccountId,
        peer: SessionKey,
        burden: Burden,
    ) -> bool {
        let rate = match burden {
            Burden::Wake => config.wakes,
            Burden::Acknowledgement => config.acks_unasked,
        };
        let (Some(rate), Some(account)) = (rate, self.table.get_mut(&id)) else { return true };
        let is_borne = account.has_goodwill_for(now, peer) && {
            let goodwill = account.goodwill.entry(peer).or_default();
            let bucket = match burden {
                Burden::Wake => &mut goodwill.wakes,
                Burden::Acknowledgement => &mut goodwill.acks,
            };
            bucket.take(now, rate, 1, 0).is_ok()
        };
        if !is_borne {
            self.note_refusal(now, config, id, Meter::Junk);
        }
        is_borne
    }
}

impl Account {
    /// Whether the goodwill of this session is remembered, or there is room for it. Nothing of the others' is
    /// forgotten for it: an origin that fills the table with sessions of its own would begin anew with everybody.
    fn has_goodwill_for(&mut self, now: u64, peer: SessionKey) -> bool {
        if self.goodwill.len() < GOODWILL || self.goodwill.contains_key(&peer) {
            return true;
        }
        // Once a millisecond, so that a flood costs little.
        if now > self.goodwill_swept {
            self.goodwill_swept = now;
            self.goodwill.retain(|_, g| !g.wakes.is_full(now) || !g.acks.is_full(now));
        }
        self.goodwill.len() < GOODWILL
    }
}
