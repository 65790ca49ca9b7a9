//! Many relays as one: any request of any session may go to any of them.
//!
//! One relay has the router, and so all of what is known of sessions; the others carry their connections' exchanges
//! to it through pipes, over a bus. What a router holds is soft, so that the router may move at any time: to its
//! clients that is what a restart of a relay is. Connections, TLS, HTTP and the policy are with the relay that has
//! the connection.
//!
//! ```text
//!  connection ─▶ service ─▶ SharedRouter ─▶ Front ═══ bus ═══▶ Host ─▶ Router
//!                               └─────────── if the router is here ────────▲
//! ```
//!
//! [`Node`] is all of a relay's part, without I/O, a thread or a clock: messages come in by `handle_*`, and
//! [`Node::poll_order`] says what the bus is to do.
//!
//! ```text
//!  lease.rs   which relay has the router, by a key of the bus
//!  front.rs   the pipes of this relay's connections
//!  host.rs    the exchanges of other relays' connections, at this relay's router
//!  lane.rs    messages between two relays, in a line: a lost one breaks what is under way
//!  frame.rs   what the messages say
//!  nats.rs    the bus: NATS; keys.rs: a stream of JetStream for the key
//! ```
//!
//! A bus may lose, delay and forget. A message that is lost, or a relay that is silent, ends what is under way
//! between two relays as the death of a connection would: nothing is repeated, and the ends of channels know how
//! far they are. Messages of the bus are believed: it is for the relays of the cluster alone.

mod frame;
mod front;
mod host;
#[cfg(feature = "cluster")]
mod keys;
mod lane;
mod lease;
#[cfg(feature = "cluster")]
mod nats;

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Deserialize;
use tracing::{info, warn};

use super::router::{Answer, ExchangeId, Origin, Router};
use frame::{Call, Envelope, Source, decode, encode};
use front::{Front, Opening};
use host::Host;
use lane::LaneId;
use lease::{Lease, Turn};

pub(super) use frame::Refusal;
pub use frame::{PipeId, RelayId, Term};
pub use host::Admit;
pub use lease::{KeyOrder, KeyQuestion, TTL as KEY_MS};
#[cfg(feature = "cluster")]
pub(super) use nats::Cluster;
#[cfg(feature = "cluster")]
pub use nats::ClusterConfig;

/// How long there may be no router until that is more than a move, in milliseconds: the lease, the time of the key,
/// and some to ask.
const MOVE: u64 = 8_000;

/// How long answers of a router that was lost may still be taken, in milliseconds.
const FAREWELL: u64 = 10_000;

/// What the bus is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Ask for the key; the answer goes to [`Node::handle_answer`].
    Key(KeyQuestion),
    /// Tell all relays of the cluster, by [`Node::handle_call`].
    Call(Bytes),
    /// Tell this relay, by [`Node::handle_message`].
    Message(RelayId, Bytes),
}

/// Where a request's exchange goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// To the router of this relay.
    Here,
    /// To the router of this relay, in this term.
    There(RelayId, Term),
    /// No relay is known to have the router: soon there will be one.
    Nowhere,
}

/// Counters of a relay's part in a cluster, from its start unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterStats {
    /// This relay's number.
    pub relay: RelayId,
    /// The relay that is known to have the router now, and its term.
    pub holder: Option<(RelayId, Term)>,
    /// Whether a relay has the router, or had it a moment ago: longer than a move takes there was none else.
    pub is_placed: bool,
    /// Exchanges of this relay's connections now, at another relay's router.
    pub pipes: usize,
    /// Exchanges of other relays' connections now, at this relay's router.
    pub hosted: usize,
    /// Times that this relay took the router.
    pub took: u64,
    /// Times that this relay lost the router because the bus was away, or another relay had taken it.
    pub lost: u64,
    /// Exchanges of this relay's connections that broke between relays.
    pub broken: u64,
    /// Exchanges of this relay's connections whose token the relay with the router did not know: its policy is another
    /// one.
    pub tokens_unknown: u64,
    /// Messages of the bus that are of another version, or of another program.
    pub unread: u64,
    /// Messages given to the bus.
    pub messages_out: u64,
    /// Messages that came by the bus.
    pub messages_in: u64,
    /// Octets of messages given to the bus.
    pub octets_out: u64,
    /// Octets of messages that came by the bus.
    pub octets_in: u64,
}

impl ClusterStats {
    fn new(relay: RelayId) -> Self {
        Self {
            relay,
            holder: None,
            is_placed: false,
            pipes: 0,
            hosted: 0,
            took: 0,
            lost: 0,
            broken: 0,
            tokens_unknown: 0,
            unread: 0,
            messages_out: 0,
            messages_in: 0,
            octets_out: 0,
            octets_in: 0,
        }
    }

    /// Whether this relay has the router now.
    pub fn holds(&self) -> bool {
        self.holder.is_some_and(|(relay, _)| relay == self.relay)
    }
}

/// A relay's part in a cluster. See the [module](self).
#[derive(Debug)]
pub struct Node {
    id: RelayId,
    lease: Lease,
    front: Front,
    host: Host,
    /// Messages that time brought.
    beats: VecDeque<Order>,
    /// When a relay was known to have the router.
    placed: Option<u64>,
    /// When what this router knew is forgotten, since it was lost.
    forget_at: Option<u64>,
    /// Whether the router began anew, and the tasks of its exchanges are to look.
    is_anew: bool,
    stats: ClusterStats,
}

impl Node {
    /// The part of the relay with this number, which begins at `now`: it asks for the router at once.
    pub fn new(id: RelayId, now: u64) -> Self {
        Self {
            id,
            lease: Lease::new(id, now),
            front: Front::default(),
            host: Host::default(),
            beats: VecDeque::new(),
            placed: None,
            forget_at: None,
            is_anew: false,
            stats: ClusterStats::new(id),
        }
    }

    /// The relay's number.
    pub fn id(&self) -> RelayId {
        self.id
    }

    /// Where exchanges go that begin.
    pub fn place(&self, now: u64) -> Place {
        match self.lease.holder(now) {
            Some((relay, _)) if relay == self.id => Place::Here,
            Some((relay, term)) => Place::There(relay, term),
            None => Place::Nowhere,
        }
    }

    /// Whether a relay has the router, or had it no longer ago than a move takes.
    pub fn is_placed(&self, now: u64) -> bool {
        self.lease.holder(now).is_some() || self.placed.is_some_and(|at| now < at + MOVE)
    }

    /// The counters, and how many of each there are now.
    pub fn stats(&self, now: u64) -> ClusterStats {
        ClusterStats {
            holder: self.lease.holder(now),
            is_placed: self.is_placed(now),
            pipes: self.front.len(),
            hosted: self.host.len(),
            broken: self.front.broken,
            tokens_unknown: self.front.tokens_unknown,
            ..self.stats
        }
    }

    /// Opens a pipe to the router of `relay` for a request that counts for nobody and has no token.
    pub fn open(&mut self, now: u64, (relay, term): (RelayId, Term)) -> PipeId {
        self.open_for(now, (relay, term), &Origin::Exempt, None, false)
    }

    /// Opens a pipe to the router of `relay`, for a request.
    pub(super) fn open_for(
        &mut self,
        now: u64,
        (relay, term): (RelayId, Term),
        origin: &Origin,
        token: Option<Bytes>,
        is_full: bool,
    ) -> PipeId {
        let opening = Opening { source: Source::of(origin), token, is_full };
        self.front.open(now, LaneId { peer: relay, term }, opening)
    }

    /// As [`Router::handle_body`], for a pipe.
    pub fn handle_body(&mut self, id: PipeId, chunk: &mut Bytes) {
        self.front.handle_body(id, chunk);
    }

    /// As [`Router::handle_body_end`], for a pipe.
    pub fn handle_body_end(&mut self, now: u64, id: PipeId) {
        self.front.handle_body_end(now, id);
    }

    /// As [`Router::handle_behind`], for a pipe.
    pub fn handle_behind(&mut self, id: PipeId) {
        self.front.handle_behind(id);
    }

    /// As [`Router::handle_gone`], for a pipe.
    pub fn handle_gone(&mut self, now: u64, id: PipeId) {
        self.front.handle_gone(now, id);
    }

    /// As [`Router::poll_response`], for a pipe. A pipe that [is broken](Self::is_broken) ends without being
    /// complete.
    pub fn poll_response(&mut self, now: u64, id: PipeId) -> Answer {
        self.front.poll_response(now, id)
    }

    /// As [`Router::complete_len`], for a pipe.
    pub fn complete_len(&self, id: PipeId) -> Option<usize> {
        self.front.complete_len(id)
    }

    /// As [`Router::is_admitted`], for a pipe.
    pub fn is_admitted(&self, id: PipeId) -> bool {
        self.front.is_admitted(id)
    }

    /// Whether the response of a pipe broke off: its connection is to end without one, or in the middle of it.
    pub fn is_broken(&self, id: PipeId) -> bool {
        self.front.refusal(id) == Some(Refusal::Broken)
    }

    /// Why there is no response in a pipe, or no more of it.
    pub(super) fn refusal(&self, id: PipeId) -> Option<Refusal> {
        self.front.refusal(id)
    }

    /// A pipe whose driver must look again.
    pub fn poll_wake(&mut self) -> Option<PipeId> {
        self.front.poll_wake()
    }

    /// An exchange that the router named; false if it is none of another relay's.
    pub fn serve(&mut self, now: u64, router: &mut Router, id: ExchangeId) -> bool {
        self.host.serve(now, router, id)
    }

    /// The bus brought a message from another relay.
    pub fn handle_message(
        &mut self,
        now: u64,
        router: &mut Router,
        octets: &[u8],
        admit: Admit<'_>,
    ) {
        let Some(envelope) = self.read::<Envelope>(octets) else { return };
        match envelope.frames {
            frame::Frames::Up(_) => {
                let own = (self.id, self.lease.term(now));
                self.host.handle(now, router, own, envelope, admit);
            }
            frame::Frames::Down(_) | frame::Frames::Gap => self.front.handle(now, envelope),
        }
    }

    /// The bus brought what another relay tells all.
    pub fn handle_call(&mut self, now: u64, router: &mut Router, octets: &[u8]) {
        let Some(call) = self.read::<Call>(octets) else { return };
        let before = self.lease.holder(now);
        self.lease.handle_call(now, call);
        self.turn(now, router);
        if let (Call::Holds(..), Some((_, term))) = (call, self.lease.holder(now))
            && before.is_some_and(|(_, before)| before < term)
        {
            // The holder before did not let go: it is dead.
            self.front.break_before(now, term);
        }
    }

    /// Reads a message of the bus, and counts it.
    fn read<'a, T: Deserialize<'a>>(&mut self, octets: &'a [u8]) -> Option<T> {
        self.stats.messages_in += 1;
        self.stats.octets_in += octets.len() as u64;
        let message = decode(octets);
        if message.is_none() {
            if self.stats.unread == 0 {
                warn!(
                    "a message of the cluster's bus cannot be read: a relay of another version, or another program, is there"
                );
            }
            self.stats.unread += 1;
        }
        message
    }

    /// The bus answered a question: the key's revision, if what was asked for was done.
    pub fn handle_answer(
        &mut self,
        now: u64,
        router: &mut Router,
        serial: u64,
        revision: Option<u64>,
    ) {
        self.lease.handle_answer(now, serial, revision);
        self.turn(now, router);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; behind it [`poll_order`](Self::poll_order) may have
    /// something.
    pub fn poll_timeout(&self) -> Option<u64> {
        let lease = self.lease.poll_timeout().into_iter().chain(self.forget_at);
        lease.chain(self.front.poll_timeout()).chain(self.host.poll_timeout()).min()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: u64, router: &mut Router) {
        self.lease.handle_timeout(now);
        self.turn(now, router);
        if self.forget_at.is_some_and(|at| at <= now) {
            self.begin_anew(now, router);
        }
        self.front.handle_timeout(now);
        self.host.handle_timeout(now, router);
        while let Some(order) = self.next_message(now) {
            self.beats.push_back(order);
        }
    }

    fn next_message(&mut self, now: u64) -> Option<Order> {
        let message = self.front.poll_message(now, self.id);
        let (to, envelope) = message.or_else(|| self.host.poll_message(now, self.id))?;
        Some(Order::Message(to, encode(&envelope)))
    }

    fn begin_anew(&mut self, now: u64, router: &mut Router) {
        self.host.begin_anew(now, router);
        router.begin_anew(now);
        self.forget_at = None;
        self.is_anew = true;
    }

    /// Whether the router began anew since this was asked: exchanges of its before are gone.
    pub(super) fn take_anew(&mut self) -> bool {
        std::mem::take(&mut self.is_anew)
    }

    fn turn(&mut self, now: u64, router: &mut Router) {
        if self.lease.holder(now).is_some() {
            self.placed = Some(now);
        }
        match self.lease.poll_turn() {
            None => {}
            Some(Turn::Took) => {
                self.stats.took += 1;
                info!(relay = %self.id, term = self.lease.holder(now).map(|(_, term)| term), "this relay has the router of the cluster");
                self.begin_anew(now, router);
            }
            Some(Turn::Lost) => {
                self.stats.lost += 1;
                warn!(relay = %self.id, "this relay lost the router of the cluster: its bus was away, or another took it");
                router.shutdown(now);
                self.forget_at = Some(now + FAREWELL);
            }
        }
    }

    /// What the bus is to do next.
    pub fn poll_order(&mut self, now: u64) -> Option<Order> {
        let order = if let Some(question) = self.lease.poll_question() {
            return Some(Order::Key(question));
        } else if let Some(call) = self.lease.poll_call() {
            Order::Call(encode(&call))
        } else {
            self.beats.pop_front().or_else(|| self.next_message(now))?
        };
        self.stats.messages_out += 1;
        if let Order::Call(octets) | Order::Message(_, octets) = &order {
            self.stats.octets_out += octets.len() as u64;
        }
        Some(order)
    }

    /// Whether the bus has something to do, apart from what time brings.
    pub fn has_orders(&self) -> bool {
        !self.beats.is_empty()
            || self.lease.has_orders()
            || self.front.has_messages()
            || self.host.has_messages()
    }

    /// The relay is to stop: it lets go of the router, which another may have at once, and ends the holds of its
    /// pipes within `spread` milliseconds. The caller drains its own router.
    pub fn leave(&mut self, now: u64, spread: u64) {
        self.lease.let_go();
        self.front.drain(now, spread);
    }

    /// Whether no exchange of another relay is under way, and nothing is left to say.
    pub fn is_idle(&self) -> bool {
        self.host.len() == 0 && !self.has_orders() && self.lease.is_settled()
    }
}
