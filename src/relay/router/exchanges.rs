//! All exchanges, and when each is to be looked at.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::ExchangeId;
use super::accounts::AccountId;
use super::deadlines::Deadlines;
use super::exchange::{Park, ServerExchange};
use super::response::Response;

/// All exchanges.
#[derive(Debug)]
pub(super) struct Exchanges {
    next: ExchangeId,
    table: FxHashMap<ExchangeId, ServerExchange>,
    /// Parks among them that have their place.
    parked: usize,
    timers: Deadlines<ExchangeId>,
    /// Exchanges whose drivers are to look again.
    wakes: VecDeque<ExchangeId>,
}

impl Exchanges {
    pub fn new() -> Self {
        Self {
            next: 0,
            table: FxHashMap::default(),
            parked: 0,
            timers: Deadlines::new(),
            wakes: VecDeque::new(),
        }
    }

    /// No number is used that another table used.
    pub fn number_on(&mut self, before: &Self) {
        self.next = before.next;
    }

    /// A request arrived.
    pub fn begin(&mut self, now: u64, account: AccountId) -> ExchangeId {
        let id = self.next;
        self.next += 1;
        self.table.insert(id, ServerExchange::new(now, account));
        id
    }

    pub fn get(&self, id: ExchangeId) -> Option<&ServerExchange> {
        self.table.get(&id)
    }

    pub fn get_mut(&mut self, id: ExchangeId) -> Option<&mut ServerExchange> {
        self.table.get_mut(&id)
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// How many are parks that wait or are being answered.
    pub fn parked(&self) -> usize {
        self.parked
    }

    /// A park takes its place.
    pub fn take_place(&mut self, id: ExchangeId, park: Park) {
        if let Some(exchange) = self.table.get_mut(&id) {
            debug_assert!(exchange.park().is_none(), "a park takes its place once");
            exchange.take_place(park);
            self.parked += 1;
        }
    }

    /// END is written to an exchange, or nothing at all will be.
    pub fn end(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.table.get_mut(&id) {
            self.parked -= usize::from(exchange.park().is_some());
            exchange.end();
        }
    }

    /// The hold of a park ends at `until`, if not before.
    pub fn shorten_hold(&mut self, id: ExchangeId, until: u64) {
        if let Some(exchange) = self.table.get_mut(&id)
            && exchange.end_hold_by(until)
        {
            let at = exchange.deadline_mut().map_or(until, |due| due.min(until));
            self.arm(id, Some(at));
        }
    }

    /// The numbers of all exchanges, the oldest first.
    pub fn ids(&self) -> Vec<ExchangeId> {
        let mut ids: Vec<_> = self.table.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Forgets an exchange.
    pub fn remove(&mut self, id: ExchangeId) -> Option<ServerExchange> {
        self.arm(id, None);
        let exchange = self.table.remove(&id)?;
        self.parked -= usize::from(exchange.park().is_some());
        Some(exchange)
    }

    /// Sets when an exchange is to be looked at.
    pub fn arm(&mut self, id: ExchangeId, at: Option<u64>) {
        if let Some(exchange) = self.table.get_mut(&id) {
            self.timers.set(id, exchange.deadline_mut(), at);
        }
    }

    /// When an exchange is to be looked at next.
    pub fn next_deadline(&self) -> Option<u64> {
        self.timers.next()
    }

    /// An exchange that is to be looked at now; its deadline is over.
    pub fn pop_due(&mut self, now: u64) -> Option<ExchangeId> {
        let (_, id) = self.timers.due(now)?;
        self.arm(id, None);
        Some(id)
    }

    /// The driver of the exchange is to look again.
    pub fn wake(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.table.get_mut(&id)
            && exchange.queue()
        {
            self.wakes.push_back(id);
        }
    }

    /// An exchange whose driver is to look again.
    pub fn poll_wake(&mut self) -> Option<ExchangeId> {
        while let Some(id) = self.wakes.pop_front() {
            if let Some(exchange) = self.table.get_mut(&id) {
                exchange.unqueue();
                return Some(id);
            }
        }
        None
    }

    /// Writes to a response, and wakes its driver. For whom it counts, and octets written.
    pub fn write(
        &mut self,
        now: u64,
        id: ExchangeId,
        write: impl FnOnce(&mut Response),
    ) -> (AccountId, usize) {
        let Some(exchange) = self.table.get_mut(&id) else { return Default::default() };
        let before = exchange.response.undrained();
        write(&mut exchange.response);
        exchange.note_activity(now);
        let written = (exchange.account(), exchange.response.undrained() - before);
        self.wake(id);
        written
    }
}
