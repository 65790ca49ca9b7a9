//! What the router remembers of a session.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use rustc_hash::FxHashSet;

use super::ExchangeId;
use super::asked::Asked;
use crate::wire::{Address, Endpoint, ListenRsp, Route, Window};

/// A session's soft state: all of it comes back with the client's next requests.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// The park that waits or is being answered.
    pub park: Option<ExchangeId>,
    /// The park answered last, until its response was taken.
    pub draining: Option<ExchangeId>,
    /// Highest number of a park.
    pub highest: Option<u64>,
    /// When the last park ended; `None` before the first and after BYE.
    pub park_ended: Option<u64>,
    /// A WAKE that found no park: the number of its send. An older park, still on its way, is meant.
    pub wake: Option<u64>,
    /// Time between the last two parks, in milliseconds.
    pub gap: u64,
    /// How many exchanges are under way.
    pub exchanges: u32,
    /// Those of them that are sends, or parks that are sends as well, whose body is under way.
    pub sends: BTreeSet<ExchangeId>,
    /// Names held, each with its claim.
    pub claims: Vec<(Endpoint, u32)>,
    /// Who may answer its connections.
    pub asked: Asked,
    /// Names given back, oldest first.
    pub former: VecDeque<Endpoint>,
    /// Peers that it waits for, oldest first.
    pub wishes: VecDeque<Address>,
    /// Uploads that stand until this session takes more.
    pub waiters: BTreeSet<ExchangeId>,
    /// Uploads under way for this session, those that brought nothing for a while left out.
    pub feeders: BTreeSet<ExchangeId>,
    /// Since when it has no exchange.
    pub idle_since: Option<u64>,
    /// Sessions that it exchanged control with: they are told when it is over.
    pub peers: FxHashSet<Address>,
    pub life: Life,
    pub stored: Stored,
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
pub(super) enum Life {
    #[default]
    Going,
    /// It is over unless it parks until then.
    Doubted(u64),
    /// It said so, or did not park in time.
    Over,
}

impl Session {
    /// Whether the session parks, or did within the grace.
    pub fn lives(&self, now: u64, grace: u64) -> bool {
        let answered = self.park.is_some() || self.draining.is_some();
        answered || self.park_ended.is_some_and(|ended| now <= ended + grace)
    }
}

/// What is kept for a session's next response.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub listens: Vec<ListenRsp>,
    pub ready: BTreeSet<Address>,
    /// Sessions that are over; told behind the acknowledgements that came of them.
    pub gone: BTreeSet<Address>,
    pub acks: Acks,
}

impl Stored {
    /// When it is to end a park at the latest; `None` if there is nothing.
    pub fn due(&self) -> Option<u64> {
        let at_once = !self.listens.is_empty() || !self.ready.is_empty() || !self.gone.is_empty();
        if at_once { Some(0) } else { self.acks.due }
    }
}

type Key = (Address, u32, u64);

fn key(from: &Route) -> Key {
    (from.peer, from.channel.id, from.channel.token)
}

/// The newest RECEIVE_REQ of each source and route, in the order they came.
#[derive(Debug, Default)]
pub(super) struct Acks {
    order: BTreeMap<u64, (Route, Window)>,
    index: HashMap<Key, u64>,
    next: u64,
    due: Option<u64>,
}

impl Acks {
    /// Keeps `window`; true if the oldest had to go for it.
    pub fn insert(&mut self, from: Route, window: Window, due: u64, most: usize) -> bool {
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
        let kept = self.index.get(&key(&from)).and_then(|at| self.order.get_mut(at));
        if let Some((_, kept)) = kept {
            *kept = newest(kept, &window);
            return false;
        }
        let full = self.order.len() >= most;
        if full && let Some((_, (oldest, _))) = self.order.pop_first() {
            self.index.remove(&key(&oldest));
        }
        self.index.insert(key(&from), self.next);
        self.order.insert(self.next, (from, window));
        self.next += 1;
        full
    }

    /// Takes what is kept of one source and route.
    pub fn take(&mut self, from: &Route) -> Option<Window> {
        let at = self.index.remove(&key(from))?;
        let (_, window) = self.order.remove(&at)?;
        self.emptied();
        Some(window)
    }

    pub fn first(&self) -> Option<Route> {
        self.order.first_key_value().map(|(_, (from, _))| *from)
    }

    fn emptied(&mut self) {
        if self.order.is_empty() {
            self.due = None;
            self.index = HashMap::new();
        }
    }
}

/// A repeat may come late: every number only rises.
pub(super) fn newest(a: &Window, b: &Window) -> Window {
    Window {
        ack: a.ack.max(b.ack),
        limit: a.limit.max(b.limit),
        losses: a.losses.max(b.losses),
        overflow: a.overflow.max(b.overflow),
        now: a.now || b.now,
        done: a.done || b.done,
        ask: a.ask || b.ask,
    }
}
