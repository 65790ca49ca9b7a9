//! Which claim holds which name, and which had it before.

use std::collections::{HashMap, VecDeque};

use rustc_hash::FxHashMap;
use subtle::ConstantTimeEq;

use super::key::SessionKey;
use crate::wire::{ChannelKind, Endpoint, ListenReq};

/// The claim that holds a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holder {
    pub session: SessionKey,
    pub claim: u32,
    pub kind: ChannelKind,
    pub owner: [u8; 16],
    pub epoch: u64,
}

impl Holder {
    /// Whether the owner is that one: in constant time, since who knows an owner can take its names over.
    pub fn is_of(&self, owner: &[u8; 16]) -> bool {
        self.owner.ct_eq(owner).into()
    }
}

/// All names, and the claims of each session.
#[derive(Debug, Default)]
pub(super) struct NameTable {
    holders: HashMap<Endpoint, Holder>,
    /// The claim that held a name last, of names that were given back.
    former: HashMap<Endpoint, Holder>,
    sessions: FxHashMap<SessionKey, Claims>,
}

/// The names of a session.
#[derive(Debug, Default)]
struct Claims {
    /// Names held, each with its claim.
    held: Vec<(Endpoint, u32)>,
    /// Names given back, the oldest first.
    former: VecDeque<Endpoint>,
}

impl NameTable {
    /// How many names are held.
    pub fn len(&self) -> usize {
        self.holders.len()
    }

    pub fn holder(&self, endpoint: &Endpoint) -> Option<Holder> {
        self.holders.get(endpoint).copied()
    }

    /// The claim that held the name last, if it was given back.
    pub fn former(&self, endpoint: &Endpoint) -> Option<Holder> {
        self.former.get(endpoint).copied()
    }

    pub fn hold(&mut self, endpoint: Endpoint, holder: Holder) {
        self.holders.insert(endpoint, holder);
    }

    /// Takes back every name of a session whose claim is not among `requests`; of more than `most` such
    /// names the oldest are forgotten.
    pub fn release_but(&mut self, session: SessionKey, requests: &[ListenReq], most: usize) {
        let Some(claims) = self.sessions.get_mut(&session) else { return };
        for (endpoint, claim) in std::mem::take(&mut claims.held) {
            let is_listed = |r: &ListenReq| endpoint_of(r) == endpoint && r.claim == claim;
            if requests.iter().any(is_listed) {
                continue;
            }
            let Some(holder) = self.holders.remove(&endpoint) else { continue };
            claims.former.retain(|before| *before != endpoint);
            claims.former.push_back(endpoint);
            self.former.insert(endpoint, holder);
            if claims.former.len() > most
                && let Some(oldest) = claims.former.pop_front()
                && self.former.get(&oldest).is_some_and(|former| former.session == session)
            {
                self.former.remove(&oldest);
            }
        }
    }

    /// Sets the names that a session holds.
    pub fn set_claims(&mut self, session: SessionKey, held: Vec<(Endpoint, u32)>) {
        if !held.is_empty() || self.sessions.contains_key(&session) {
            self.sessions.entry(session).or_default().held = held;
        }
    }

    /// A session lost a name, which another is about to hold.
    pub fn lose(&mut self, session: SessionKey, endpoint: &Endpoint) {
        if let Some(claims) = self.sessions.get_mut(&session) {
            claims.held.retain(|(held, _)| held != endpoint);
        }
    }

    /// Forgets that the name was given back.
    pub fn forget_former(&mut self, endpoint: &Endpoint) {
        self.former.remove(endpoint);
    }

    /// Forgets all names of a session.
    pub fn forget(&mut self, session: SessionKey) {
        let Some(claims) = self.sessions.remove(&session) else { return };
        for (endpoint, _) in claims.held {
            self.holders.remove(&endpoint);
        }
        for endpoint in claims.former {
            if self.former.get(&endpoint).is_some_and(|former| former.session == session) {
                self.former.remove(&endpoint);
            }
        }
    }
}

pub(super) fn endpoint_of(request: &ListenReq) -> Endpoint {
    Endpoint { name: request.name, port: request.port }
}
