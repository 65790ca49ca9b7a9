//! The router: what the relay does with requests, without I/O, threads or a clock.
//!
//! Every request is an *exchange*. Its driver gives the router what arrives (`handle_*`), takes what
//! is to be sent ([`Router::poll_response`]), and looks again when [`Router::poll_wake`] names the
//! exchange: there is something to send, or room for the part of the body that was not taken.
//! Time is an argument, in milliseconds; [`Router::poll_timeout`] says when
//! [`Router::handle_timeout`] is due. After any call, ask `poll_wake` until it gives `None`, and
//! `poll_timeout`.
//!
//! What is held is soft: a router that starts empty in the place of another loses nothing, as every
//! request says all that its handling needs. And it is bounded, by [`RouterConfig`].
//!
//! - `upload` reads a request, message by message;
//! - `deliver` brings a message to its peer's response, or waits for one;
//! - `park` is what becomes of the exchange itself;
//! - `single` is a park that is a send as well;
//! - `claims` says who listens where, `asked` who may answer a connector;
//! - `life` tells a session's peers that it is over;
//! - `session`, `exchange`, `response` are the state.

mod asked;
mod claims;
mod config;
mod deliver;
mod exchange;
mod life;
mod park;
mod response;
mod session;
mod single;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
mod upload;

use std::collections::{BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

use crate::wire::{Address, Endpoint, Status};
use claims::Holder;
use exchange::{Admission, Exchange, Role};
use response::{Phase, Response};
use session::Session;
use upload::Failure;

pub use config::{RouterConfig, RouterStats};

/// Idle sessions looked at, the oldest first, to make room for another: few, since it is done for
/// every new session while the table is full.
const EVICTION_SEARCH: usize = 64;

/// Names an exchange; never used again.
pub type ExchangeId = u64;

/// What [`Router::poll_response`] has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing now: [`Router::poll_wake`] will name the exchange.
    Pending,
    /// The next piece of the response. It counts as drained.
    Bytes(Bytes),
    /// The response is complete, and the exchange forgotten. If nothing came before, the request
    /// had no HELLO, or was [refused](Router::is_refused): the answer is an HTTP error.
    End,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Router {
    config: RouterConfig,
    /// When it started: until the grace is over, what it does not know may be on its way back.
    born: u64,
    down: bool,
    next: ExchangeId,
    exchanges: FxHashMap<ExchangeId, Exchange>,
    sessions: HashMap<Address, Session>,
    names: HashMap<Endpoint, Holder>,
    /// Who had a name last, of those that nobody has.
    former: HashMap<Endpoint, Holder>,
    /// Which sessions are to be told that a peer parks.
    wanted: HashMap<Address, BTreeSet<Address>>,
    /// Deadlines of exchanges.
    timers: BTreeSet<(u64, ExchangeId)>,
    /// Sessions without exchanges, and since when.
    idle: BTreeSet<(u64, Address)>,
    /// Sessions that are over unless they park until then.
    doubts: BTreeSet<(u64, Address)>,
    wakes: VecDeque<ExchangeId>,
    /// Sessions whose response may be complete.
    touched: Vec<Address>,
    /// Octets held now.
    held: usize,
    /// Uploads that stand because too much is held.
    starved: BTreeSet<ExchangeId>,
    stats: RouterStats,
}

impl Router {
    /// An empty router that starts at `now`.
    pub fn new(config: RouterConfig, now: u64) -> Self {
        Self {
            config,
            born: now,
            down: false,
            next: 0,
            exchanges: FxHashMap::default(),
            sessions: HashMap::new(),
            names: HashMap::new(),
            former: HashMap::new(),
            wanted: HashMap::new(),
            timers: BTreeSet::new(),
            idle: BTreeSet::new(),
            doubts: BTreeSet::new(),
            wakes: VecDeque::new(),
            touched: Vec::new(),
            held: 0,
            starved: BTreeSet::new(),
            stats: RouterStats::default(),
        }
    }

    /// A request arrived.
    pub fn handle_open(&mut self, now: u64) -> ExchangeId {
        let id = self.next;
        self.next += 1;
        self.exchanges.insert(id, Exchange::new(now, self.config.patience_ms));
        self.arm(id, Some(now + self.config.upload_idle_ms));
        id
    }

    /// There is no room for the exchange unless it is of a session that parks or did lately. Asked
    /// before its body arrives.
    pub fn refuse_strangers(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.admission = Admission::Known;
        }
    }

    /// Whether the exchange is of no known session, for which alone there was room.
    pub fn is_refused(&self, id: ExchangeId) -> bool {
        self.exchanges.get(&id).is_some_and(|exchange| exchange.admission == Admission::Refused)
    }

    /// Whether its HELLO was read and is of a session.
    pub fn is_admitted(&self, id: ExchangeId) -> bool {
        self.exchanges.get(&id).is_some_and(|exchange| exchange.session.is_some())
    }

    /// More of its body arrived. Takes what it can from the front of `chunk`; what stays is to be
    /// offered again, before anything else of the body, once [`poll_wake`](Self::poll_wake) names
    /// the exchange.
    pub fn handle_body(&mut self, now: u64, id: ExchangeId, chunk: &mut Bytes) {
        self.drive(now, id, chunk);
        self.settle(now);
    }

    /// The whole body was given and taken.
    pub fn handle_body_end(&mut self, now: u64, id: ExchangeId) {
        let upload = self.exchanges.get_mut(&id).and_then(|exchange| exchange.upload.as_mut());
        if let Some(upload) = upload {
            upload.state.ended = true;
            self.drive(now, id, &mut Bytes::new());
        }
        self.settle(now);
    }

    /// The connection died, or the upload broke off. What was delivered stays delivered.
    pub fn handle_gone(&mut self, now: u64, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        if let Some(mut upload) = exchange.upload.take() {
            self.release(now, id, &mut upload.state);
        }
        self.remove(now, id);
        self.settle(now);
    }

    /// The next piece of the response.
    pub fn poll_response(&mut self, now: u64, id: ExchangeId) -> Answer {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return Answer::End };
        let Some(piece) = exchange.response.pop() else {
            if exchange.response.phase != Phase::Ended {
                return Answer::Pending;
            }
            self.remove(now, id);
            return Answer::End;
        };
        self.held -= piece.len();
        // Half: so that a sender and a receiver do not take turns for every piece.
        let room = exchange.response.undrained() <= self.config.undrained / 2;
        if exchange.response.phase == Phase::Open
            && room
            && let Some(peer) = exchange.session
        {
            // Room, for those who stand for it, is as good as a byte.
            if self.sessions.get(&peer).is_some_and(|session| !session.waiters.is_empty()) {
                exchange.active = now;
            }
            if exchange.is_streaming() {
                self.poke(now, peer);
                self.tell_wishers(now, peer);
            }
            self.serve_waiters(now, peer);
        }
        self.settle(now);
        Answer::Bytes(piece)
    }

    /// Octets of the rest of the response, if all of it is queued.
    pub fn complete_len(&self, id: ExchangeId) -> Option<usize> {
        let response = &self.exchanges.get(&id)?.response;
        (response.phase == Phase::Ended).then(|| response.undrained())
    }

    /// An exchange whose driver must look again: for response bytes, or room for its body.
    pub fn poll_wake(&mut self) -> Option<ExchangeId> {
        while let Some(id) = self.wakes.pop_front() {
            if let Some(exchange) = self.exchanges.get_mut(&id) {
                exchange.woken = false;
                return Some(id);
            }
        }
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<u64> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let idle = self.idle.first().map(|(since, _)| since + self.config.forget_ms);
        let doubt = self.doubts.first().map(|(at, _)| *at);
        timer.into_iter().chain(idle).chain(doubt).min()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: u64) {
        while let Some(&(at, id)) = self.timers.first()
            && at <= now
        {
            self.arm(id, None);
            self.due(now, id);
        }
        while let Some(&(since, peer)) = self.idle.first()
            && since + self.config.forget_ms <= now
        {
            self.forget(peer);
        }
        while let Some(&(at, peer)) = self.doubts.first()
            && at <= now
        {
            self.doubts.remove(&(at, peer));
            self.give_up(now, peer);
        }
        self.settle(now);
    }

    /// Answers everything, and whatever comes from now on, with END(SHUTDOWN).
    pub fn shutdown(&mut self, now: u64) {
        self.down = true;
        let mut ids: Vec<_> = self.exchanges.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let Some(exchange) = self.exchanges.get_mut(&id) else { continue };
            match exchange.upload.take() {
                None => self.end_park(now, id, Status::Shutdown),
                Some(upload) if upload.state.hello.is_some() => {
                    self.fail(now, id, upload, Failure::End(Status::Shutdown));
                }
                upload => exchange.upload = upload,
            }
        }
        self.settle(now);
    }

    /// What was counted.
    pub fn stats(&self) -> RouterStats {
        RouterStats {
            sessions: self.sessions.len(),
            exchanges: self.exchanges.values().filter(|e| e.role != Role::Carrier).count(),
            parked: self.sessions.values().filter(|session| session.park.is_some()).count(),
            names: self.names.len(),
            held: self.held,
            ..self.stats
        }
    }

    /// An exchange's deadline is over.
    fn due(&mut self, now: u64, id: ExchangeId) {
        let silence = self.config.silence_ms;
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        if let Some(mut upload) = exchange.upload.take() {
            let state = &mut upload.state;
            let idle_until = state.last_byte + self.config.upload_idle_ms;
            if state.waiting.is_some() {
                self.expire(now, id, state);
                self.put_back(id, upload);
                self.resume(now, id);
            } else if idle_until > now {
                self.put_back(id, upload);
                self.arm(id, Some(idle_until));
            } else {
                self.fail(now, id, upload, Failure::End(Status::Malformed));
            }
            return;
        }
        match exchange.response.phase {
            Phase::Closed => {
                let (peer, hold_until) = (exchange.session, exchange.hold_until);
                if hold_until <= now {
                    self.end_park(now, id, Status::Ok);
                } else if let Some(peer) = peer {
                    self.arm(id, Some(hold_until));
                    self.poke(now, peer);
                }
            }
            Phase::Open if exchange.ticks.is_some() => self.tick(now, id),
            Phase::Open => {
                let (peer, active) = (exchange.session, exchange.active);
                let hold_until = exchange.hold_until;
                // Other traffic does not show that the uploads live for which it is open.
                let until =
                    active.min(self.fed_at(peer).unwrap_or(active)).min(hold_until) + silence;
                if until > now {
                    return self.arm(id, Some(until));
                }
                if let Some(session) = peer.and_then(|peer| self.sessions.get_mut(&peer)) {
                    session.feeders.clear();
                }
                self.end_park(now, id, Status::Ok);
            }
            Phase::Ended => {}
        }
    }

    /// When an upload for `peer` brought something last; `None` if one waits for the peer's response.
    fn fed_at(&self, peer: Option<Address>) -> Option<u64> {
        let session = self.sessions.get(&peer?).filter(|session| session.waiters.is_empty())?;
        let uploads =
            session.feeders.iter().filter_map(|id| self.exchanges.get(id)?.upload.as_ref());
        uploads.map(|upload| upload.state.last_byte).max()
    }

    fn put_back(&mut self, id: ExchangeId, upload: Box<exchange::Upload>) {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.upload = Some(upload);
        }
    }

    /// Lets starved uploads go on once a quarter of what may be held is free.
    fn feed(&mut self, now: u64) {
        if !self.starved.is_empty() && self.held <= self.config.max_held / 4 * 3 {
            for id in std::mem::take(&mut self.starved) {
                self.resume(now, id);
            }
        }
    }

    /// Sets when an exchange is to be looked at.
    fn arm(&mut self, id: ExchangeId, at: Option<u64>) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        if exchange.deadline == at {
            return;
        }
        if let Some(before) = exchange.deadline {
            self.timers.remove(&(before, id));
        }
        exchange.deadline = at;
        if let Some(at) = at {
            self.timers.insert((at, id));
        }
    }

    fn wake(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.exchanges.get_mut(&id)
            && exchange.role != Role::Carrier
            && !std::mem::replace(&mut exchange.woken, true)
        {
            self.wakes.push_back(id);
        }
    }

    /// Writes to a response, and keeps the count of what is held.
    fn write(&mut self, now: u64, id: ExchangeId, write: impl FnOnce(&mut Response)) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let before = exchange.response.undrained();
        write(&mut exchange.response);
        self.held += exchange.response.undrained() - before;
        exchange.active = now;
        self.wake(id);
    }

    fn source_of(&self, id: ExchangeId) -> Address {
        self.exchanges.get(&id).and_then(|exchange| exchange.session).unwrap_or_default()
    }

    fn is_young(&self, now: u64) -> bool {
        now < self.born + self.config.grace_ms
    }

    /// Whether a session is one of those that go on when there is no room for others.
    fn is_known(&self, peer: &Address) -> bool {
        self.sessions
            .get(peer)
            .is_some_and(|session| session.exchanges > 0 || session.park_ended.is_some())
    }

    /// The session, made if need be; `None` if there are too many.
    fn enter(&mut self, now: u64, peer: Address) -> Option<&mut Session> {
        let known = self.sessions.contains_key(&peer);
        if !known && self.sessions.len() >= self.config.max_sessions {
            let grace = self.config.grace_ms;
            // Nothing is lost with one that never parked: a flood of them shuts nobody out.
            let can_go = |&&(since, peer): &&(u64, Address)| {
                since + grace < now
                    || self.sessions.get(&peer).is_none_or(|s| s.park_ended.is_none())
            };
            let (_, oldest) = self.idle.iter().take(EVICTION_SEARCH).find(can_go).copied()?;
            self.forget(oldest);
        }
        let session = self.sessions.entry(peer).or_default();
        if let Some(since) = session.idle_since.take() {
            self.idle.remove(&(since, peer));
        }
        Some(session)
    }

    fn forget(&mut self, peer: Address) {
        self.disown(peer);
        self.goes_on(peer);
        let Some(session) = self.sessions.remove(&peer) else { return };
        if let Some(since) = session.idle_since {
            self.idle.remove(&(since, peer));
        }
        for acquaintance in &session.peers {
            if let Some(other) = self.sessions.get_mut(acquaintance) {
                other.peers.remove(&peer);
            }
        }
    }

    /// Forgets an exchange.
    fn remove(&mut self, now: u64, id: ExchangeId) {
        self.recall(now, id);
        self.arm(id, None);
        self.starved.remove(&id);
        let Some(exchange) = self.exchanges.remove(&id) else { return };
        self.held -= exchange.response.undrained();
        let Some(peer) = exchange.session else { return };
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        if session.park == Some(id) || session.draining == Some(id) {
            session.park = None;
            session.draining = None;
            session.park_ended = Some(now);
        }
        session.exchanges = session.exchanges.saturating_sub(1);
        if session.exchanges == 0 {
            session.idle_since = Some(now);
            self.idle.insert((now, peer));
        }
    }
}

/// The address of the session with this secret.
fn address(secret: &[u8; 16]) -> Address {
    let mut address = Address::RELAY;
    for (to, from) in address.0.iter_mut().zip(Sha256::digest(secret)) {
        *to = from;
    }
    address
}
