//! The sessions that the router remembers: where their parks are, and whether they go on.

use rustc_hash::{FxHashMap, FxHashSet};
use tracing::trace;

use super::ExchangeId;
use super::accounts::AccountId;
use super::asked::Asked;
use super::deadlines::Deadlines;
use super::key::{SessionKey, SessionKeys};
use super::proofs::SessionProof;
use super::rate::Bucket;
use super::rejection::Limit;
use super::stored::Stored;
use crate::wire::Address;

/// Idle sessions looked at, the oldest first, to make room for another: few, since every new session
/// takes a look while the table is full.
const EVICTION_SEARCH: usize = 64;

/// A session's soft state: all of it comes back with the client's next requests.
#[derive(Debug, Default)]
pub(super) struct SessionRecord {
    /// For whom its last request counted.
    pub account: AccountId,
    /// Sessions with which it has channels, as far as it showed: they may wake it as often as they like.
    pub welcome: FxHashSet<Address>,
    /// Sessions whose encrypted channels it accepted, and whose CONFIRM did not come yet: clients accept by
    /// themselves, before they know whose a channel is.
    pub courted: FxHashSet<Address>,
    /// Whether it stands among those for which acknowledgements are kept.
    pub keeps_acks: bool,
    /// Claims for names that others hold.
    pub guesses: Bucket,
    presence: Presence,
    /// Highest number of a park.
    highest: Option<u64>,
    /// A WAKE that found no park: the number of its send. An older park, still on its way, is meant.
    pub wake: Option<u64>,
    /// Time between the last two parks, in milliseconds.
    gap: u64,
    /// Exchanges whose body is under way and that count as sends, the oldest first: sends, and parks with
    /// SINGLE.
    pub sends: Vec<ExchangeId>,
    /// Which sessions may answer its connections.
    pub asked: Asked,
    pub stored: Stored,
    pub proof: SessionProof,
    occupancy: Occupancy,
    /// Sessions that exchanged control with this session: they are told when this session is over.
    peers: FxHashSet<Address>,
    life: Life,
}

/// Whether a session has a park at the relay, or when it had one last.
///
/// ```text
///           a park arrives          END is written            the response is taken
///   Never ────────────────▶ Parked ───────────────▶ Draining ──────────────────────▶ Left
///     ▲                      ▲ │                       │ │                           │ │ ▲
///     │                      │ └───────── its connection is gone ────────────────────┼─┼─┘
///     │                      └───────── the next park ─┴─┼───────────────────────────┘ │
///     └────────────────── the session is over ───────────┴─────────────────────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Presence {
    #[default]
    Never,
    /// The park of this exchange waits, or is being answered.
    Parked(ExchangeId),
    /// The response to the park of this exchange is being taken.
    Draining { park: ExchangeId, ended: u64 },
    /// The last park ended then.
    Left { ended: u64 },
}

/// Whether a session goes on.
///
/// ```text
///          a newer process of its owner takes a name
///  Going ────────────────────────────────────────────▶ Doubted ── no park in time ─▶ Over
///    ▲ │                                                  │                          ▲ │
///    │ └──────────────────────── BYE ─────────────────────┼──────────────────────────┘ │
///    └───────────────────── its park arrives ─────────────┴────────────────────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Life {
    #[default]
    Going,
    /// The session is over unless it parks until then.
    Doubted(u64),
    /// The session said BYE, or did not park in time.
    Over,
}

/// How many exchanges of a session are under way.
///
/// ```text
///          the last exchange is forgotten
///  Busy(n) ──────────────────────────────▶ Idle
///     ▲ └─┘ exchanges begin and end         │
///     └───────── an exchange begins ────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occupancy {
    Busy(u32),
    /// No exchange is under way since then.
    Idle(u64),
}

impl Default for Occupancy {
    fn default() -> Self {
        Self::Busy(0)
    }
}

impl SessionRecord {
    /// The park that waits or is being answered.
    pub fn park(&self) -> Option<ExchangeId> {
        match self.presence {
            Presence::Parked(park) => Some(park),
            Presence::Never | Presence::Draining { .. } | Presence::Left { .. } => None,
        }
    }

    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    pub fn gap(&self) -> u64 {
        self.gap
    }

    /// Whether the session parks, or did within the grace.
    pub fn lives(&self, now: u64, grace: u64) -> bool {
        match self.presence {
            Presence::Never => false,
            Presence::Parked(_) | Presence::Draining { .. } => true,
            Presence::Left { ended } => now <= ended + grace,
        }
    }

    /// The park of this number takes its place, in the exchange `id`.
    pub fn parks(&mut self, now: u64, id: ExchangeId, seq: u64) {
        self.gap = match self.presence {
            Presence::Draining { ended, .. } | Presence::Left { ended } => {
                now.saturating_sub(ended)
            }
            Presence::Never | Presence::Parked(_) => 0,
        };
        self.presence = Presence::Parked(id);
        self.highest = Some(seq);
    }

    /// END was written to the park of the exchange `id`.
    pub fn park_ended(&mut self, now: u64, id: ExchangeId) {
        if self.presence == Presence::Parked(id) {
            self.presence = Presence::Draining { park: id, ended: now };
        }
    }

    /// The exchange `id` is forgotten: its response was taken, or its connection is gone.
    pub fn exchange_gone(&mut self, now: u64, id: ExchangeId) {
        match self.presence {
            Presence::Parked(park) | Presence::Draining { park, .. } if park == id => {
                self.presence = Presence::Left { ended: now };
            }
            _ => {}
        }
    }

    /// The session is over.
    pub fn leaves(&mut self) {
        self.presence = Presence::Never;
    }

    /// Parks whose number is lower are late from now on.
    pub fn raise_highest(&mut self, seq: u64) {
        self.highest = self.highest.max(Some(seq));
    }

    /// Whether no exchange is under way, for longer than the grace.
    pub fn is_idle(&self, now: u64, grace: u64) -> bool {
        matches!(self.occupancy, Occupancy::Idle(since) if since + grace < now)
    }

    fn is_known(&self) -> bool {
        self.presence != Presence::Never || matches!(self.occupancy, Occupancy::Busy(1..))
    }
}

/// All sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    keys: SessionKeys,
    table: FxHashMap<SessionKey, SessionRecord>,
    /// Sessions without exchanges, by the time since which they have none.
    idle: Deadlines<SessionKey>,
    /// Sessions in doubt, by the time at which they are over.
    doubts: Deadlines<SessionKey>,
}

impl Sessions {
    pub fn new() -> Self {
        Self {
            keys: SessionKeys::default(),
            table: FxHashMap::default(),
            idle: Deadlines::new(),
            doubts: Deadlines::new(),
        }
    }

    /// The key of the session with this address.
    pub fn key(&self, address: Address) -> SessionKey {
        self.keys.key(address)
    }

    pub fn get(&self, peer: &SessionKey) -> Option<&SessionRecord> {
        self.table.get(peer)
    }

    pub fn get_mut(&mut self, peer: &SessionKey) -> Option<&mut SessionRecord> {
        self.table.get_mut(peer)
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether a session is among those that go on when there is no room for others.
    pub fn is_known(&self, peer: &SessionKey) -> bool {
        self.table.get(peer).is_some_and(SessionRecord::is_known)
    }

    /// An idle session that may be forgotten to make room for another.
    pub fn evictable(&self, now: u64, grace: u64) -> Option<SessionKey> {
        // Nothing is lost with a session that never parked: a flood of them shuts nobody out.
        let may_go = |(since, peer): &(u64, SessionKey)| {
            let never = |session: &SessionRecord| session.presence == Presence::Never;
            since + grace < now || self.table.get(peer).is_none_or(never)
        };
        self.idle.iter().take(EVICTION_SEARCH).find(may_go).map(|(_, peer)| peer)
    }

    /// One more exchange of the session is under way; the session is made if need be.
    pub fn enter(&mut self, peer: SessionKey) -> &mut SessionRecord {
        let session = self.table.entry(peer).or_default();
        session.occupancy = match session.occupancy {
            Occupancy::Busy(exchanges) => Occupancy::Busy(exchanges + 1),
            Occupancy::Idle(since) => {
                self.idle.remove(peer, since);
                Occupancy::Busy(1)
            }
        };
        session
    }

    /// The exchange `id` of the session is forgotten.
    pub fn exit(&mut self, now: u64, peer: SessionKey, id: ExchangeId) {
        let Some(session) = self.table.get_mut(&peer) else { return };
        session.exchange_gone(now, id);
        debug_assert!(matches!(session.occupancy, Occupancy::Busy(1..)), "an exchange was counted");
        session.occupancy = match session.occupancy {
            Occupancy::Busy(exchanges @ 2..) => Occupancy::Busy(exchanges - 1),
            Occupancy::Busy(_) => {
                self.idle.insert(peer, now);
                Occupancy::Idle(now)
            }
            Occupancy::Idle(since) => Occupancy::Idle(since),
        };
    }

    /// When the session that is idle longest became so.
    pub fn idle_since(&self) -> Option<u64> {
        self.idle.next()
    }

    /// The session that is idle longest, if it is idle since `since` or longer.
    pub fn idle_for(&self, since: u64) -> Option<SessionKey> {
        self.idle.due(since).map(|(_, peer)| peer)
    }

    /// Forgets a session.
    pub fn forget(&mut self, peer: SessionKey) {
        self.goes_on(peer);
        let Some(session) = self.table.remove(&peer) else { return };
        if let Occupancy::Idle(since) = session.occupancy {
            self.idle.remove(peer, since);
        }
        for acquaintance in &session.peers {
            if let Some(other) = self.table.get_mut(&self.keys.key(*acquaintance)) {
                other.peers.remove(&peer.address());
            }
        }
    }

    /// The session is over unless it parks until `until`; false if it was in doubt, or over, before.
    pub fn doubt(&mut self, peer: SessionKey, until: u64) -> bool {
        let Some(session) = self.table.get_mut(&peer) else { return false };
        if session.life != Life::Going {
            return false;
        }
        session.life = Life::Doubted(until);
        self.doubts.insert(peer, until);
        true
    }

    /// A request of the session arrived: should the session be doubted, it has until `until` for its park.
    pub fn prolong_doubt(&mut self, peer: SessionKey, until: u64) {
        if let Some(session) = self.table.get_mut(&peer)
            && let Life::Doubted(before) = &mut session.life
        {
            self.doubts.remove(peer, *before);
            *before = until;
            self.doubts.insert(peer, until);
        }
    }

    /// The session parks, or is forgotten: nothing of its life is in doubt.
    pub fn goes_on(&mut self, peer: SessionKey) {
        let Some(session) = self.table.get_mut(&peer) else { return };
        if let Life::Doubted(until) = std::mem::take(&mut session.life) {
            self.doubts.remove(peer, until);
        }
    }

    /// When a session that is in doubt is over.
    pub fn next_doubt(&self) -> Option<u64> {
        self.doubts.next()
    }

    /// Takes a session that did not park in time out of doubt: the caller ends it.
    pub fn take_lost(&mut self, now: u64) -> Option<SessionKey> {
        let (_, peer) = self.doubts.due(now)?;
        self.goes_on(peer);
        Some(peer)
    }

    /// Two sessions have something to do with each other: each is told when the other is over. True: more than `most`
    /// peers were such, and another is forgotten.
    pub fn acquaint(&mut self, a: SessionKey, b: SessionKey, most: usize) -> bool {
        let mut forgets = false;
        for (one, other) in [(a, b.address()), (b, a.address())] {
            let Some(session) = self.table.get_mut(&one) else { continue };
            // The other is back: what was kept would end what they have to do with each other now.
            session.stored.gone.remove(&other);
            if session.peers.insert(other)
                && session.peers.len() > most
                && let Some(&any) = session.peers.iter().find(|peer| **peer != other)
            {
                trace!(session = %one, limit = %Limit::Peers, "a peer is forgotten");
                forgets = true;
                session.peers.remove(&any);
            }
        }
        forgets
    }

    /// The session is over. GONE is kept for its peers, at most `most` each: those for which it is new.
    pub fn end(&mut self, peer: SessionKey, most: usize) -> Vec<SessionKey> {
        self.goes_on(peer);
        let Some(session) = self.table.get_mut(&peer) else { return Vec::new() };
        session.leaves();
        session.life = Life::Over;
        let acquaintances = std::mem::take(&mut session.peers);
        let told = acquaintances.into_iter().filter_map(|address| {
            let to = self.keys.key(address);
            self.keep_gone(to, peer, most).then_some(to)
        });
        told.collect()
    }

    /// Whether the session is known to be over.
    pub fn is_over(&self, peer: &SessionKey) -> bool {
        self.table.get(peer).is_some_and(|session| session.life == Life::Over)
    }

    /// Keeps GONE for a session; false if that was kept already, or `most` of them are.
    pub fn keep_gone(&mut self, to: SessionKey, gone: SessionKey, most: usize) -> bool {
        let Some(session) = self.table.get_mut(&to) else { return false };
        session.peers.remove(&gone.address());
        session.stored.gone.len() < most && session.stored.gone.insert(gone.address())
    }
}
