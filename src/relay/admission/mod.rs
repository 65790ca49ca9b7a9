//! Who may use the relay, and for what: a bearer token of a request against the relay's policy.
//!
//! ```text
//!  a request's header ──▶ mod.rs: Admission ──▶ grant.rs: Grant ──▶ the router: names, sessions, connections
//!                          │  policy.rs: the file; pattern.rs     └▶ pace.rs: octets a second
//!                          │  tokens.rs: tokens by their SHA-256
//!                          │  jwt.rs: tokens that an issuer signed; cache.rs: those found good
//!                          └─ guesses.rs: addresses whose tokens were wrong too often
//! ```

mod cache;
mod grant;
mod guesses;
mod jwt;
mod pace;
mod pattern;
mod policy;
#[cfg(test)]
pub(super) mod tests;
mod tokens;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::header::{AUTHORIZATION, HeaderMap};
use tracing::{debug, info, warn};

pub use grant::Grant;
pub(super) use pace::BodyHold;
pub use policy::{Policy, PolicyError};
pub use tokens::NewToken;

use super::router::Origin;
use super::server::Access as RelayAccess;
use cache::VerifiedTokens;
use grant::Standing;
use guesses::Guesses;
use jwt::Issuer;
use pace::Paces;
use policy::Rules;
use tokens::Digest;

/// The header field for a token where `Authorization` is a proxy's or gateway's.
pub(super) const TOKEN_FIELD: &str = "byway-token";

/// Longest token that is looked at, in octets: as long as a client's may be. JWTs have some hundreds.
const MAX_TOKEN: usize = 2 * 1024;

/// A refusal so long after the last refusal begins a new episode, of which the log tells.
const EPISODE: Duration = Duration::from_secs(60);

/// Counters of a relay's admission, from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AdmissionStats {
    /// Requests without a token, answered 401.
    pub without_token: u64,
    /// Requests with a token that is not valid, answered 401.
    pub refused: u64,
    /// Requests answered 503 without a look at their signature, since too many tokens from their address were
    /// wrong.
    pub slowed: u64,
    /// Requests of others than this machine to a relay that is for this machine alone, answered 403.
    pub from_beyond: u64,
    /// Signatures that were verified.
    pub verified: u64,
    /// Times that a body was held back because of `octets_per_second`.
    pub held_back: u64,
}

/// Why a request is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denial {
    /// It has no token.
    NoToken,
    /// Its token is not valid.
    BadToken,
    /// It is somebody else's, passed on by a front, and the relay is for its own machine alone.
    FromBeyond,
    /// Its address has had too many wrong tokens lately: it is to come back later.
    TooMany,
}

/// Decides about requests. All connections share it.
#[derive(Debug)]
pub(super) struct Admission {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    access: Access,
    verified: VerifiedTokens,
    guesses: Guesses,
    paces: Paces,
    stats: AdmissionStats,
    denied_last: Option<Instant>,
}

/// Who may use the relay at all.
#[derive(Debug)]
enum Access {
    /// This machine alone.
    Loopback,
    /// Everybody.
    Open,
    /// Bearers of the tokens of a policy.
    Policy(Arc<Entries>),
}

/// A policy, and what was given by its entries, in their order.
#[derive(Debug)]
struct Entries {
    policy: Arc<Policy>,
    /// Those of static tokens.
    grants: Vec<Arc<Grant>>,
    issuers: Vec<Arc<Standing>>,
}

impl Entries {
    /// The entries of a policy. What an entry of the policy `before` gave goes on if the entry is the same, and
    /// ends if not.
    fn new(policy: Arc<Policy>, before: Option<&Self>, paces: &mut Paces) -> Self {
        let same_token = |digest: &Digest, holder: &str, rules: &Rules| {
            let before = before?;
            let grant = &before.grants[before.policy.tokens.find(digest)?];
            grant.is_by(holder, rules).then(|| Arc::clone(grant))
        };
        let grants: Vec<_> = policy
            .tokens
            .entries()
            .map(|(digest, holder, rules)| {
                same_token(digest, holder, rules).unwrap_or_else(|| {
                    let (rules, pace) = (Arc::clone(rules), paces.of(holder));
                    Arc::new(Grant::new(holder.into(), rules, "", pace, Arc::default()))
                })
            })
            .collect();
        let same_issuer = |issuer: &Issuer| {
            let before = before?;
            let at = before.policy.issuers().iter().position(|other| other.is_same(issuer))?;
            Some(Arc::clone(&before.issuers[at]))
        };
        let issuers: Vec<_> =
            policy.issuers().iter().map(|i| same_issuer(i).unwrap_or_default()).collect();
        if let Some(before) = before {
            let kept: HashSet<_> = grants.iter().map(Arc::as_ptr).collect();
            let gone = before.grants.iter().filter(|grant| !kept.contains(&Arc::as_ptr(grant)));
            gone.for_each(|grant| grant.standing().end());
            let is_kept = |old: &Arc<Standing>| issuers.iter().any(|new| Arc::ptr_eq(old, new));
            before.issuers.iter().filter(|old| !is_kept(old)).for_each(|old| old.end());
        }
        Self { policy, grants, issuers }
    }
}

impl Admission {
    pub fn new(access: &RelayAccess) -> Self {
        let state = State {
            access: match access {
                RelayAccess::Loopback => Access::Loopback,
                RelayAccess::Open | RelayAccess::Policy(_) => Access::Open,
            },
            verified: VerifiedTokens::default(),
            guesses: Guesses::default(),
            paces: Paces::default(),
            stats: AdmissionStats::default(),
            denied_last: None,
        };
        let admission = Self { state: Mutex::new(state) };
        if let RelayAccess::Policy(policy) = access {
            admission.set_policy(Arc::clone(policy));
        }
        admission
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes another policy. Grants by entries that it does not have as they were are revoked.
    pub fn set_policy(&self, policy: Arc<Policy>) {
        let mut state = self.lock();
        let State { paces, verified, access, .. } = &mut *state;
        let before = match access {
            Access::Loopback | Access::Open => None,
            Access::Policy(entries) => Some(&**entries),
        };
        let entries = Entries::new(policy, before, paces);
        *access = Access::Policy(Arc::new(entries));
        verified.forget_revoked();
    }

    /// What the bearer of the token in `headers` may do; `None`: everything, as the relay is open.
    pub fn admit(
        &self,
        headers: &HeaderMap,
        source: &Origin,
    ) -> Result<Option<Arc<Grant>>, Denial> {
        let result = self.judge(headers, source);
        if let Err(denial) = result {
            self.lock().note_denial(denial, source);
        }
        result
    }

    /// The same for a request that another relay of the cluster admitted: by its policy, if there is a token. What one
    /// relay's policy confines, another without a policy does not let in.
    #[cfg(any(test, feature = "cluster"))]
    pub fn admit_again(
        &self,
        token: Option<&[u8]>,
        source: &Origin,
    ) -> Result<Option<Arc<Grant>>, Denial> {
        let entries = match &self.lock().access {
            Access::Loopback | Access::Open if token.is_some() => return Err(Denial::BadToken),
            Access::Loopback | Access::Open => return Ok(None),
            Access::Policy(entries) => Arc::clone(entries),
        };
        self.judge_token(&entries, token, source)
    }

    fn judge(&self, headers: &HeaderMap, source: &Origin) -> Result<Option<Arc<Grant>>, Denial> {
        let entries = match &self.lock().access {
            Access::Loopback if *source == Origin::Exempt => return Ok(None),
            Access::Loopback => return Err(Denial::FromBeyond),
            Access::Open => return Ok(None),
            Access::Policy(entries) => Arc::clone(entries),
        };
        self.judge_token(&entries, bearer(headers), source)
    }

    fn judge_token(
        &self,
        entries: &Entries,
        token: Option<&[u8]>,
        source: &Origin,
    ) -> Result<Option<Arc<Grant>>, Denial> {
        let policy = &entries.policy;
        let token = token.ok_or(Denial::NoToken)?;
        if token.len() > MAX_TOKEN {
            return Err(Denial::BadToken);
        }
        let digest = Digest::of(token);
        if let Some(at) = policy.tokens.find(&digest) {
            return Ok(entries.grants.get(at).cloned());
        }
        if !jwt::may_be_one(token) || policy.issuers().is_empty() {
            return Err(Denial::BadToken);
        }
        let now = Instant::now();
        {
            let mut state = self.lock();
            if let Some(grant) = state.verified.get(&digest, unix_seconds()) {
                return Ok(Some(grant));
            }
            if !state.guesses.may_try(source, now) {
                return Err(Denial::TooMany);
            }
            state.stats.verified += 1;
        }
        // Without the lock: this takes as long as a request else.
        let verified = policy.verify(token);
        let mut state = self.lock();
        let bearer = match verified {
            Ok(bearer) => bearer,
            Err(why) => {
                debug!(%source, %why, "a signed token is refused");
                state.guesses.note_wrong(source, now);
                return Err(Denial::BadToken);
            }
        };
        let standing = entries.issuers.get(bearer.issuer).cloned().unwrap_or_default();
        let pace = state.paces.of(&bearer.holder);
        let holder = bearer.holder.as_str().into();
        let grant = Arc::new(Grant::new(holder, bearer.rules, &bearer.subject, pace, standing));
        // Another policy may have come meanwhile, without the issuer: the router then refuses the request.
        if !grant.is_revoked() {
            state.verified.insert(digest, Arc::clone(&grant), bearer.until, unix_seconds());
        }
        Ok(Some(grant))
    }

    /// A body of this holder is held back; `wait` for how long.
    pub fn note_hold(&self, grant: &Grant, wait: Duration) {
        let mut state = self.lock();
        state.stats.held_back += 1;
        if grant.pace().begins_episode(EPISODE) {
            info!(
                holder = %grant.holder(),
                wait = ?wait,
                "bodies are held back: octets_per_second of the policy is reached"
            );
        }
    }

    pub fn stats(&self) -> AdmissionStats {
        self.lock().stats
    }
}

impl State {
    fn note_denial(&mut self, denial: Denial, source: &Origin) {
        const TOKENS: &str = "give their clients tokens of the policy";
        const FRONT: &str = "name the front by --trusted-proxy, and say who may use the relay by --policy, or that everybody may by --open";
        let stats = &mut self.stats;
        let (counter, cause, remedy) = match denial {
            Denial::NoToken => (&mut stats.without_token, "without a token", TOKENS),
            Denial::BadToken => (&mut stats.refused, "whose token is not valid", TOKENS),
            Denial::TooMany => (&mut stats.slowed, "after too many wrong tokens", TOKENS),
            Denial::FromBeyond => (
                &mut stats.from_beyond,
                "of others than this machine, which a front passes on,",
                FRONT,
            ),
        };
        *counter += 1;
        let total = stats.without_token + stats.refused + stats.slowed + stats.from_beyond;
        let last = self.denied_last.replace(Instant::now());
        if last.is_none_or(|last| last.elapsed() > EPISODE) {
            warn!(%source, "requests {cause} are refused; {remedy}");
        } else if total.is_power_of_two() {
            info!(refused = total, "requests are still refused");
        }
    }
}

/// The token of a request. The relay's own field goes before `Authorization`, which may be a proxy's.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let own = headers.get(TOKEN_FIELD).map(|value| value.as_bytes().trim_ascii());
    let bearer = || {
        headers.get_all(AUTHORIZATION).iter().find_map(|value| {
            let (scheme, rest) = value.as_bytes().split_at_checked(b"Bearer ".len())?;
            scheme.eq_ignore_ascii_case(b"Bearer ").then(|| rest.trim_ascii())
        })
    };
    own.or_else(bearer).filter(|token| !token.is_empty())
}

/// Seconds since 1970, as JWTs count them.
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
