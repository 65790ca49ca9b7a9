//! What is kept for a session's next response.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::accounts::AccountId;
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

/// Octets that a kept acknowledgement takes in the tables of [`Acks`].
pub(super) const KEPT_ACK: usize = 256;

/// The newest RECEIVE_REQ of each source and route, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Acks {
    order: BTreeMap<u64, (Route, Window, AccountId)>,
    index: HashMap<Key, u64>,
    next: u64,
    due: Option<u64>,
}

impl Acks {
    /// Whether one of this source and route is kept.
    pub fn holds(&self, from: &Route) -> bool {
        self.index.contains_key(&key(from))
    }

    /// For whom each counts.
    pub fn accounts(self) -> impl Iterator<Item = AccountId> {
        self.order.into_values().map(|(_, _, account)| account)
    }

    /// Keeps `window`, which counts for `account` unless one of its route was kept before. For whom the
    /// oldest counted, if that was dropped.
    pub fn insert(
        &mut self,
        from: Route,
        window: Window,
        account: AccountId,
        due: u64,
        most: usize,
    ) -> Option<AccountId> {
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
        let kept = self.index.get(&key(&from)).and_then(|at| self.order.get_mut(at));
        if let Some((_, kept, _)) = kept {
            *kept = newest(kept, &window);
            return None;
        }
        let mut dropped = None;
        if self.order.len() >= most
            && let Some((_, (oldest, _, account))) = self.order.pop_first()
        {
            self.index.remove(&key(&oldest));
            dropped = Some(account);
        }
        self.index.insert(key(&from), self.next);
        self.order.insert(self.next, (from, window, account));
        self.next += 1;
        dropped
    }

    /// Takes what is kept of a source and route, and for whom it counted.
    pub fn take(&mut self, from: &Route) -> Option<(Window, AccountId)> {
        let at = self.index.remove(&key(from))?;
        let (_, window, account) = self.order.remove(&at)?;
        if self.order.is_empty() {
            self.due = None;
            self.index = HashMap::new();
        }
        Some((window, account))
    }

    /// The source and route of the oldest.
    pub fn first(&self) -> Option<Route> {
        self.order.first_key_value().map(|(_, (from, ..))| *from)
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
