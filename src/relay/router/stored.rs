//! What is kept for a session's next response.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::park_end::ParkEnd;
use crate::wire::{Address, ListenRsp, Route, Window};

/// Control that waits for a response to the session.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub listens: Vec<ListenRsp>,
    pub ready: BTreeSet<Address>,
    /// Sessions that are over; told behind the acknowledgements that came of them.
    pub gone: BTreeSet<Address>,
    pub acks: Acks,
}

impl Stored {
    /// When a park is to end for what is kept, at the latest, and why; `None` if nothing is kept.
    pub fn due(&self) -> Option<(u64, ParkEnd)> {
        if !self.listens.is_empty() {
            return Some((0, ParkEnd::Claim));
        }
        if !self.ready.is_empty() || !self.gone.is_empty() {
            return Some((0, ParkEnd::Peer));
        }
        self.acks.due.map(|due| (due, ParkEnd::Acknowledgement))
    }
}

type Key = (Address, u32, u64);

fn key(from: &Route) -> Key {
    (from.peer, from.channel.id, from.channel.token)
}

/// The newest RECEIVE_REQ of each source and route, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Acks {
    order: BTreeMap<u64, (Route, Window)>,
    index: HashMap<Key, u64>,
    next: u64,
    due: Option<u64>,
}

impl Acks {
    /// Keeps `window`; true if the oldest was dropped for it.
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

    /// Takes what is kept of a source and route.
    pub fn take(&mut self, from: &Route) -> Option<Window> {
        let at = self.index.remove(&key(from))?;
        let (_, window) = self.order.remove(&at)?;
        if self.order.is_empty() {
            self.due = None;
            self.index = HashMap::new();
        }
        Some(window)
    }

    /// The source and route of the oldest.
    pub fn first(&self) -> Option<Route> {
        self.order.first_key_value().map(|(_, (from, _))| *from)
    }
}

/// The newer of each field: a repeat may come late, and every number only rises.
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
