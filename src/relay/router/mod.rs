//! The router: what the relay does with requests, without I/O, threads or a clock.
//!
//! Every request is an *exchange*. Its driver gives the router what arrives (`handle_*`), takes what
//! is to be sent ([`Router::poll_response`]), and looks again when [`Router::poll_wake`] names the
//! exchange: there is something to send, or room for the part of the body that was not taken.
//! Time is an argument, in milliseconds; [`Router::poll_timeout`] says when
//! [`Router::handle_timeout`] is due. After any call, ask `poll_wake` until it gives `None`, and
//! `poll_timeout`; run what [`Router::poll_proof`] gives, and tell the result by
//! [`Router::handle_proof`].
//!
//! What is held is soft: a router that starts empty in the place of another loses nothing, as every
//! request says all that its handling needs. And it is bounded, by [`RouterConfig`].
//!
//! A request goes through these files from the top to the bottom; none calls another above it:
//!
//! ```text
//!  mod.rs      the calls of drivers
//!  due.rs      deadlines of uploads and exchanges
//!  drive.rs    uploads are read, greeted, completed, rejected (rejection.rs: why)
//!  deliver.rs  a message is brought to its peer's answer, or waits for one
//!  welcome.rs  whether the message may wake its peer
//!  arrive.rs   a park takes its place
//!  claims.rs   which session listens where (proofs.rs: by which key); life.rs: sessions that are over without BYE
//!  park.rs     what is written into an answer, and what ends it (park_end.rs: for which reasons; drain.rs:
//!              all holds end soon; hosted.rs: for relays that have the connections)
//!  tables.rs   Tables: all state but the uploads; what is noted for later
//! ```
//!
//! The state, each part with its own transitions:
//!
//! ```text
//!  exchanges.rs  all exchanges, and when each is to be looked at
//!  exchange.rs   a connection's request and its answer; response.rs: the octets of that answer
//!  upload.rs     a body being read; body_input.rs: its octets; demand.rs: which messages it may have;
//!                message.rs: the message in hand; patience.rs: how long that waits; control.rs: a control
//!                message as the relay writes it
//!  sessions.rs   where the parks of sessions are, and whether the sessions go on; key.rs: a session's
//!                address with its hash, by which all tables find the session
//!  stored.rs     what is kept for a session's next answer
//!  forgotten.rs  how far sessions were that are forgotten
//!  asked.rs, names.rs, wishes.rs, targets.rs   how sessions stand to each other
//!  budget.rs     octets held, of all sessions; deadlines.rs: when something is due
//!  bearers.rs    what bearers of tokens have: sessions, and connections begun
//!  origin.rs, accounts.rs, rate.rs   for whom a request counts, what is held for it, and how often it
//!                may do what is limited
//!  config.rs     RouterConfig: limits and timers; RouterStats: counters, among them limit_stats.rs, waits.rs
//! ```
//!
//! The octets of a message go from [`Router::handle_body`] by `Upload::next` to `Tables::bring_on`, which
//! writes them into the response of the receiver's park; [`Router::poll_response`] gives them out.

mod accounts;
mod arrive;
mod asked;
mod bearers;
mod body_input;
mod budget;
mod claims;
mod config;
mod control;
mod deadlines;
mod deliver;
mod demand;
mod drain;
mod drive;
mod due;
mod exchange;
mod exchanges;
mod forgotten;
mod hosted;
mod key;
mod life;
mod limit_stats;
mod message;
mod names;
mod origin;
mod park;
mod park_end;
mod patience;
mod proofs;
mod rate;
mod rejection;
mod response;
mod sessions;
mod stored;
mod tables;
mod targets;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
mod upload;
mod waits;
mod welcome;
mod wishes;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tracing::debug;

use super::admission::Grant;
use crate::wire::Status;
use park_end::ParkEnd;
use rejection::Rejection;
use stored::KEPT_ACK;
use tables::{Tables, Work};
use upload::Upload;

pub use accounts::Meter;
pub use config::{RouterConfig, RouterStats};
pub(super) use exchange::Shortage;
pub use limit_stats::LimitStats;
pub use origin::Origin;
pub(super) use origin::network;
pub use proofs::{CheckedProof, ProofCheck};
#[cfg(feature = "relay-tls")]
pub(super) use rate::Bucket;
pub use rate::Rate;
pub use waits::WaitStats;

/// The number of an exchange, which is never used again.
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

/// Brings what requests carry to the sessions that it is for. See the [module](self).
pub struct Router {
    /// Bodies that are being read or dealt with, by their exchanges.
    uploads: FxHashMap<ExchangeId, Box<Upload>>,
    tables: Tables,
}

/// Its numbers alone: requests in hand have secrets of sessions, and claims have owners.
impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Router {
    /// An empty router that starts at `now`.
    pub fn new(config: RouterConfig, now: u64) -> Self {
        Self { uploads: FxHashMap::default(), tables: Tables::new(config, now) }
    }

    /// An origin is about to make what is metered; `ahead` milliseconds of its rate may be used up
    /// beforehand. After how many milliseconds it may, or if it may not: after how many to ask again.
    ///
    /// # Errors
    /// The rate is used up.
    pub fn admit(
        &mut self,
        now: u64,
        origin: &Origin,
        meter: Meter,
        ahead: u64,
    ) -> Result<u64, u64> {
        let tables = &mut self.tables;
        let account = tables.accounts.find(now, origin);
        tables.accounts.meter(now, &tables.config, account, meter, ahead)
    }

    /// As [`admit`](Self::admit) for a request, which may wait.
    ///
    /// # Errors
    /// The rate is used up.
    pub fn admit_request(&mut self, now: u64, origin: &Origin) -> Result<u64, u64> {
        self.admit(now, origin, Meter::Requests, self.tables.config.request_wait_ms)
    }

    /// The policy gives this origin a rate of requests; `None`: that of the settings.
    pub fn set_requests(&mut self, now: u64, origin: &Origin, rate: Option<Rate>) {
        let account = self.tables.accounts.find(now, origin);
        self.tables.accounts.set_requests(account, rate);
    }

    /// A request arrived that counts for nobody.
    pub fn handle_open(&mut self, now: u64) -> ExchangeId {
        self.handle_open_for(now, &Origin::Exempt)
    }

    /// A request arrived, which counts for this origin.
    pub fn handle_open_for(&mut self, now: u64, origin: &Origin) -> ExchangeId {
        let tables = &mut self.tables;
        let account = tables.accounts.find(now, origin);
        tables.accounts.enter(account);
        let id = tables.exchanges.begin(now, account);
        tables.accounts.enter(account);
        let mut upload = Upload::new(id, account, now, tables.config.patience_ms);
        let idle_until = now + tables.config.upload_idle_ms;
        tables.upload_timers.set(id, &mut upload.deadline, Some(idle_until));
        self.uploads.insert(id, Box::new(upload));
        id
    }

    /// There is no room for the exchange unless it is of a session that parks or did lately. Asked
    /// before its body arrives.
    pub fn refuse_strangers(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.tables.exchanges.get_mut(id) {
            exchange.admit_known_only(Shortage::Places);
        }
    }

    /// The exchange may do no more than this. Asked before its body arrives.
    pub fn confine(&mut self, id: ExchangeId, grant: Arc<Grant>) {
        if let Some(exchange) = self.tables.exchanges.get_mut(id) {
            exchange.confine(grant);
        }
    }

    /// Whether the exchange is of no known session, for which alone there was room.
    pub fn is_refused(&self, id: ExchangeId) -> bool {
        self.refusal(id).is_some()
    }

    /// Why the exchange is refused.
    pub(super) fn refusal(&self, id: ExchangeId) -> Option<Shortage> {
        self.tables.exchanges.get(id).and_then(|exchange| exchange.refusal())
    }

    /// Whether the HELLO of the exchange was read, and a session counts it.
    pub fn is_admitted(&self, id: ExchangeId) -> bool {
        self.tables.session_of(id).is_some()
    }

    /// More of the body arrived. Takes what can be taken from the front of `chunk`; what stays is to be
    /// offered again, before anything else of the body, once [`poll_wake`](Self::poll_wake) names
    /// the exchange.
    pub fn handle_body(&mut self, now: u64, id: ExchangeId, chunk: &mut Bytes) {
        *chunk = self.take_body(now, id, std::mem::take(chunk));
        self.settle(now);
    }

    /// The whole body was given and taken.
    pub fn handle_body_end(&mut self, now: u64, id: ExchangeId) {
        if let Some(upload) = self.uploads.get_mut(&id) {
            upload.end();
            self.drive(now, id);
        }
        self.settle(now);
    }

    /// The connection died, or the upload broke off. What was delivered stays delivered.
    pub fn handle_gone(&mut self, now: u64, id: ExchangeId) {
        self.release(now, id);
        if let Some(exchange) = self.tables.exchanges.get(id)
            && exchange.park().is_some()
        {
            let session = exchange.session().unwrap_or_default();
            debug!(%session, exchange = id, why = ?ParkEnd::HungUp, "park ended");
        }
        self.tables.remove(now, id);
        self.settle(now);
    }

    /// A proof that is to be checked; its park takes its place when that is done.
    pub fn poll_proof(&mut self) -> Option<ProofCheck> {
        self.tables.proofs.pop_front()
    }

    /// A proof was checked.
    pub fn handle_proof(&mut self, now: u64, checked: &CheckedProof) {
        self.tables.note_proof(checked);
        if let Some(upload) = self.uploads.get_mut(&checked.exchange) {
            upload.proof.checked();
            self.drive(now, checked.exchange);
        }
        self.settle(now);
    }

    /// Octets that the client has sent behind its request: it has something to say, and its park is
    /// to be answered. Does nothing to parks that are not sends as well: what comes behind those may
    /// be a proxy's next request.
    pub fn handle_behind(&mut self, now: u64, id: ExchangeId) {
        let park = self.tables.exchanges.get(id).and_then(|exchange| exchange.park());
        if park.is_some_and(|park| park.single.is_some()) {
            self.tables.end_park(now, id, ParkEnd::Behind);
            self.settle(now);
        }
    }

    /// The next piece of the response.
    pub fn poll_response(&mut self, now: u64, id: ExchangeId) -> Answer {
        let tables = &mut self.tables;
        let Some(exchange) = tables.exchanges.get_mut(id) else { return Answer::End };
        let Some(piece) = exchange.response.pop() else {
            if !exchange.is_ended() {
                return Answer::Pending;
            }
            tables.remove(now, id);
            return Answer::End;
        };
        let account = exchange.account();
        tables.budget.give(&mut tables.accounts, account, piece.len());
        // Half: so that a sender and a receiver do not take turns for every piece.
        let has_room = exchange.response.undrained() <= tables.config.undrained / 2;
        if has_room
            && exchange.is_open()
            && let Some(peer) = exchange.session()
        {
            // Room, for uploads that stand for it, is as good as a byte.
            if tables.targets.has_waiters(peer) {
                exchange.note_activity(now);
            }
            if exchange.is_streaming() {
                tables.poke(now, peer);
                tables.tell_wishers(now, peer);
            }
            tables.later(Work::Serve(peer));
        }
        self.settle(now);
        Answer::Bytes(piece)
    }

    /// Octets of the rest of the response, if all of it is queued.
    pub fn complete_len(&self, id: ExchangeId) -> Option<usize> {
        let exchange = self.tables.exchanges.get(id)?;
        exchange.is_ended().then(|| exchange.response.undrained())
    }

    /// An exchange whose driver must look again: for response bytes, or room for its body.
    pub fn poll_wake(&mut self) -> Option<ExchangeId> {
        self.tables.exchanges.poll_wake()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<u64> {
        let tables = &self.tables;
        let idle = tables.sessions.idle_since().map(|since| since + tables.config.forget_ms);
        let exchange = tables.exchanges.next_deadline();
        let upload = tables.upload_timers.next();
        let doubt = tables.sessions.next_doubt();
        let acks = tables.ack_keepers.front().map(|(due, _)| *due);
        exchange.into_iter().chain(upload).chain(idle).chain(doubt).chain(acks).min()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: u64) {
        loop {
            let upload = self.tables.upload_timers.next().filter(|at| *at <= now);
            let exchange = self.tables.exchanges.next_deadline().filter(|at| *at <= now);
            match (upload, exchange) {
                (Some(at), other) if other.is_none_or(|other| at <= other) => self.upload_due(now),
                (_, Some(_)) => self.exchange_due(now),
                (_, None) => break,
            }
        }
        if let Some(since) = now.checked_sub(self.tables.config.forget_ms) {
            while let Some(peer) = self.tables.sessions.idle_for(since) {
                self.tables.forget(peer);
            }
        }
        self.tables.give_up_lost(now);
        self.tables.drop_old_acks(now);
        self.settle(now);
    }

    /// Answers everything, and whatever comes from now on, with END(SHUTDOWN).
    pub fn shutdown(&mut self, now: u64) {
        self.tables.is_down = true;
        for id in self.tables.exchanges.ids() {
            match self.uploads.get(&id) {
                Some(upload) if upload.hello().is_none() => {}
                Some(upload) if !upload.is_carried() => {
                    self.fail(now, id, Rejection::End(Status::Shutdown));
                }
                _ => self.tables.end_park(now, id, ParkEnd::Shutdown),
            }
        }
        self.settle(now);
    }

    /// The policy changed: ends the requests of grants that are revoked, and those without a grant. From now on
    /// there are none of these.
    pub fn end_revoked(&mut self, now: u64) {
        self.tables.wants_grants = true;
        for id in self.tables.exchanges.ids() {
            if !self.tables.is_revoked(id) {
                continue;
            }
            match self.uploads.get(&id) {
                // Its HELLO is refused.
                Some(upload) if upload.hello().is_none() => {}
                Some(upload) if !upload.is_carried() => {
                    self.fail(now, id, Rejection::End(Status::Shutdown));
                }
                _ => self.tables.end_park(now, id, ParkEnd::Revoked),
            }
        }
        self.settle(now);
    }

    /// The counters, and how many of each there are now.
    pub fn stats(&self) -> RouterStats {
        let refused = |meter| self.tables.accounts.refused(meter);
        RouterStats {
            sessions: self.tables.sessions.len(),
            exchanges: self.tables.exchanges.len(),
            parked: self.tables.exchanges.parked(),
            names: self.tables.names.len(),
            held: self.tables.budget.held() - self.tables.kept_acks * KEPT_ACK,
            origins: self.tables.accounts.len(),
            acks_kept: self.tables.kept_acks,
            connections_refused: refused(Meter::Connections),
            requests_refused: refused(Meter::Requests),
            sessions_refused: refused(Meter::Sessions),
            guesses_refused: refused(Meter::Guesses),
            misses_refused: refused(Meter::Misses),
            proofs_refused: refused(Meter::Proofs),
            junk_held_back: refused(Meter::Junk),
            ..self.tables.stats
        }
    }

    /// Does what follows from a call: uploads that can go on do, then answers end for which nothing
    /// more is to come.
    fn settle(&mut self, now: u64) {
        self.work(now);
        let Tables { budget, accounts, .. } = &mut self.tables;
        for id in budget.fed(accounts) {
            self.resume(now, id);
        }
        self.work(now);
        while let Some(peer) = self.tables.take_touched() {
            self.tables.end_if_complete(now, peer);
            self.work(now);
        }
    }
}
