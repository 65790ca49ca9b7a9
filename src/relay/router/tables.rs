//! The router's tables, and what all files above do with them.

use std::collections::VecDeque;
use std::sync::Arc;

use tracing::{debug, info, trace};

use super::super::admission::Grant;
use super::accounts::{AccountId, Accounts};
use super::bearers::Bearers;
use super::budget::Budget;
use super::deadlines::Deadlines;
use super::exchanges::Exchanges;
use super::forgotten::Forgotten;
use super::key::SessionKey;
use super::names::NameTable;
use super::proofs::ProofCheck;
use super::rejection::Limit;
use super::response::Response;
use super::sessions::Sessions;
use super::stored::KEPT_ACK;
use super::targets::Targets;
use super::upload::Upload;
use super::wishes::Wishes;
use super::{ExchangeId, RouterConfig, RouterStats};
use crate::wire::{Endpoint, Status};

/// The router's tables. An upload that is being read stands beside them, so that it can be read while
/// they change; what is to be done to other uploads meanwhile is noted in `work`.
#[derive(Debug)]
pub(super) struct Tables {
    pub config: RouterConfig,
    /// When the router started: until the grace is over, unknown sessions may be on their way back.
    born: u64,
    /// Whether everything is answered END(SHUTDOWN).
    pub is_down: bool,
    /// When all holds end at the latest, once the relay drains.
    pub holds_end: Option<u64>,
    /// Whether requests without a grant are none that the policy lets in.
    pub wants_grants: bool,
    pub exchanges: Exchanges,
    pub sessions: Sessions,
    pub names: NameTable,
    pub wishes: Wishes,
    forgotten: Forgotten,
    pub targets: Targets,
    pub budget: Budget,
    pub bearers: Bearers,
    pub accounts: Accounts,
    /// Sessions for which acknowledgements are kept, by when it is looked whether they park.
    pub ack_keepers: VecDeque<(u64, SessionKey)>,
    /// Acknowledgements kept for all sessions.
    pub kept_acks: usize,
    /// Deadlines of uploads.
    pub upload_timers: Deadlines<ExchangeId>,
    pub stats: RouterStats,
    /// Proofs to be checked by the driver, each of a park whose body is whole: as many as exchanges at most.
    pub proofs: VecDeque<ProofCheck>,
    /// Sessions whose answer may be complete.
    touched: Vec<SessionKey>,
    work: VecDeque<Work>,
}

/// What is to be done to uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// The uploads that wait for this session may go on.
    Serve(SessionKey),
    /// The park of this exchange ended: its messages are given up.
    GiveUp(ExchangeId),
}

impl Tables {
    pub fn new(config: RouterConfig, now: u64) -> Self {
        Self {
            born: now,
            is_down: false,
            holds_end: None,
            wants_grants: false,
            exchanges: Exchanges::new(),
            sessions: Sessions::new(),
            names: NameTable::default(),
            wishes: Wishes::default(),
            forgotten: Forgotten::new(config.max_sessions),
            targets: Targets::default(),
            budget: Budget::new(config.max_held, config.max_held_per_origin),
            bearers: Bearers::default(),
            accounts: Accounts::new(),
            ack_keepers: VecDeque::new(),
            kept_acks: 0,
            upload_timers: Deadlines::new(),
            stats: RouterStats::default(),
            proofs: VecDeque::new(),
            touched: Vec::new(),
            work: VecDeque::new(),
            config,
        }
    }

    /// Notes what is to be done to uploads.
    pub fn later(&mut self, work: Work) {
        self.work.push_back(work);
    }

    /// What is to be done to uploads now.
    pub fn take_work(&mut self) -> Option<Work> {
        self.work.pop_front()
    }

    /// The session's answer may be complete.
    pub fn touch(&mut self, peer: SessionKey) {
        self.touched.push(peer);
    }

    /// A session whose answer may be complete.
    pub fn take_touched(&mut self) -> Option<SessionKey> {
        self.touched.pop()
    }

    /// Writes to a response, and keeps the count of what is held.
    pub fn write(&mut self, now: u64, id: ExchangeId, write: impl FnOnce(&mut Response)) {
        let (account, written) = self.exchanges.write(now, id, write);
        self.budget.take(&mut self.accounts, account, written);
    }

    /// The session that counts the exchange.
    pub fn session_of(&self, id: ExchangeId) -> Option<SessionKey> {
        self.exchanges.get(id).and_then(|exchange| exchange.session())
    }

    /// Whether names and sessions that are not known may be on their way back.
    pub fn is_young(&self, now: u64) -> bool {
        now < self.born + self.config.grace_ms
    }

    /// The verdict of messages for a session that does not live; `None` if the session lives.
    pub fn absent(&self, now: u64, peer: &SessionKey) -> Option<Status> {
        let grace = self.config.grace_ms;
        if self.sessions.get(peer).is_some_and(|session| session.lives(now, grace)) {
            return None;
        }
        Some(if self.is_young(now) { Status::Retry } else { Status::Away })
    }

    /// The session counts one more exchange, and is made if need be; false if there are too many.
    pub fn enter(&mut self, now: u64, peer: SessionKey, account: AccountId) -> bool {
        let is_new = self.sessions.get(&peer).is_none();
        if is_new && self.sessions.len() >= self.config.max_sessions {
            let Some(oldest) = self.sessions.evictable(now, self.config.grace_ms) else {
                return false;
            };
            self.stats.limits.note(Limit::MaxSessions);
            trace!(session = %oldest, limit = %Limit::MaxSessions, "forgotten for another");
            self.forget(oldest);
        }
        let highest = if is_new { self.forgotten.highest(&peer) } else { None };
        let session = self.sessions.enter(peer);
        session.account = account;
        if let Some(highest) = highest {
            // What is repeated now was recorded.
            session.raise_highest(highest);
        }
        true
    }

    /// The session of an exchange counts as its bearer's; false if that has as many sessions as it may.
    pub fn charge(&mut self, now: u64, id: ExchangeId, peer: SessionKey) -> bool {
        let Some(grant) = self.grant_of(id) else { return true };
        let (sessions, grace) = (&self.sessions, self.config.grace_ms);
        let is_idle = |other: &SessionKey| {
            sessions.get(other).is_none_or(|session| session.is_idle(now, grace))
        };
        let counts = self.bearers.enter(now, peer, &grant, is_idle);
        if !counts && self.bearers.refuse(now, &grant) {
            let holder = grant.holder();
            info!(%holder, session = %peer, "LIMITED: all `sessions` of the policy are in use");
        }
        counts
    }

    /// What the bearer of the exchange's token may do; `None`: everything.
    pub fn grant_of(&self, id: ExchangeId) -> Option<Arc<Grant>> {
        self.exchanges.get(id).and_then(|exchange| exchange.grant().cloned())
    }

    /// Whether the policy that the relay has now did not admit the exchange.
    pub fn is_revoked(&self, id: ExchangeId) -> bool {
        let Some(exchange) = self.exchanges.get(id) else { return false };
        exchange.grant().map_or(self.wants_grants, |grant| grant.is_revoked())
    }

    /// The policy does not give the bearer of the exchange's token this endpoint: what the client is told.
    pub fn forbid(&mut self, now: u64, grant: &Grant, endpoint: &Endpoint, what: &str) -> Status {
        if self.bearers.refuse(now, grant) {
            let holder = grant.holder();
            info!(%holder, %endpoint, "FORBIDDEN: the policy does not have the endpoint in `{what}`");
        }
        Status::Forbidden
    }

    /// Forgets a session.
    pub fn forget(&mut self, peer: SessionKey) {
        self.disown(peer);
        self.drop_stored(peer);
        if let Some(highest) = self.sessions.get(&peer).and_then(|session| session.highest()) {
            self.forgotten.note(peer, highest);
        }
        self.sessions.forget(peer);
    }

    /// Forgets what is kept for a session's next answer.
    pub fn drop_stored(&mut self, peer: SessionKey) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        for account in std::mem::take(&mut session.stored).acks.accounts() {
            self.give_ack(account);
        }
    }

    /// An acknowledgement is kept.
    pub fn take_ack(&mut self, account: AccountId) {
        self.budget.take(&mut self.accounts, account, KEPT_ACK);
        self.accounts.enter(account);
        self.kept_acks += 1;
    }

    /// Drops the acknowledgements kept for sessions that do not park.
    pub fn drop_old_acks(&mut self, now: u64) {
        while let Some((due, peer)) = self.ack_keepers.front().copied()
            && due <= now
        {
            self.ack_keepers.pop_front();
            let lives = self.absent(now, &peer).is_none();
            let Some(session) = self.sessions.get_mut(&peer) else { continue };
            if lives && session.stored.acks.first().is_some() {
                self.ack_keepers.push_back((now + self.config.ack_keep_ms, peer));
                continue;
            }
            session.keeps_acks = false;
            for account in std::mem::take(&mut session.stored.acks).accounts() {
                self.stats.acks_dropped += 1;
                self.give_ack(account);
            }
        }
    }

    /// An acknowledgement is kept no longer.
    pub fn give_ack(&mut self, account: AccountId) {
        self.kept_acks -= 1;
        self.budget.give(&mut self.accounts, account, KEPT_ACK);
        self.accounts.leave(account);
    }

    /// Forgets a session's names and wishes, and that a bearer has the session.
    pub fn disown(&mut self, peer: SessionKey) {
        self.names.forget(peer);
        self.wishes.forget(peer);
        self.bearers.leave(peer);
    }

    /// Forgets an exchange.
    pub fn remove(&mut self, now: u64, id: ExchangeId) {
        let Some(exchange) = self.exchanges.remove(id) else { return };
        self.budget.give(&mut self.accounts, exchange.account(), exchange.response.undrained());
        self.accounts.leave(exchange.account());
        if let Some(peer) = exchange.session() {
            self.sessions.exit(now, peer, id);
        }
    }

    /// Keeps a message's verdict for the answer to its exchange.
    pub fn verdict(&mut self, id: ExchangeId, index: u16, status: Status, bytes: u32) {
        self.stats.verdict(status);
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let status = status.known_to(exchange.version());
        exchange.keep_verdict(index, status, bytes);
        if status != Status::Delivered {
            let session = exchange.session().unwrap_or_default();
            let verdict = status.name();
            debug!(%session, exchange = id, index, bytes, verdict, "not delivered");
        }
    }

    /// Undoes what an upload under way holds of others.
    pub fn release(&mut self, now: u64, upload: &mut Upload) {
        if let Some(message) = upload.take_in_hand() {
            self.stop_waiting(now, upload, message.peer);
            self.budget.give(&mut self.accounts, upload.account, message.held());
        }
        self.budget.give(&mut self.accounts, upload.account, upload.body_held());
        self.set_target(upload, None);
        self.upload_timers.set(upload.id, &mut upload.deadline, None);
        self.budget.unstarve(&mut self.accounts, upload.id);
        if let Some(peer) = self.session_of(upload.id)
            && let Some(session) = self.sessions.get_mut(&peer)
        {
            session.sends.retain(|id| *id != upload.id);
        }
    }

    /// The upload's message in hand does not wait for `peer` any longer.
    pub fn stop_waiting(&mut self, now: u64, upload: &mut Upload, peer: SessionKey) {
        if upload.end_wait(now) {
            self.targets.stop_waiting(peer, upload.id);
            self.budget.unstarve(&mut self.accounts, upload.id);
            self.touch(peer);
            let idle_until = now + self.config.upload_idle_ms;
            self.upload_timers.set(upload.id, &mut upload.deadline, Some(idle_until));
        }
    }

    /// Says whose answer the upload feeds.
    pub fn set_target(&mut self, upload: &mut Upload, target: Option<SessionKey>) {
        if let Some(before) = upload.target()
            && target != Some(before)
        {
            self.targets.stop_feeding(before, upload.id);
            self.touch(before);
        }
        if let Some(peer) = target {
            self.targets.feed(peer, upload.id);
        }
        upload.set_target(target);
    }
}
