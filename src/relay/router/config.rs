//! The router's settings and counters.

use super::limit_stats::LimitStats;
use super::rate::Rate;
use super::waits::WaitStats;
use crate::secure::HostDigest;
use crate::wire::{MAX_CLAIMS, MAX_DATAGRAM, Status};

/// Limits and times of a [`Router`](super::Router): sizes in octets, times in milliseconds.
#[derive(Debug, Clone)]
pub struct RouterConfig {
    /// How long after its last park a session still counts as there, its names included. Not less
    /// than a client's longest retransmission time-out (5 s), or a peer between two redials is AWAY.
    pub grace_ms: u64,
    /// How long a session may take for its next park when a newer process of the same owner took a
    /// name from it; then the session is over. Longer than a round trip, and short enough for its peers,
    /// which wait to be told.
    pub doubt_ms: u64,
    /// Largest request body.
    pub max_body: u32,
    /// Most messages in a request: bounds the verdicts that are kept until the request is answered.
    pub max_messages: u16,
    /// Most sessions remembered.
    pub max_sessions: usize,
    /// Most names a session may claim.
    pub claims: usize,
    /// Most proofs of a session that are checked. A client needs one.
    pub proofs: u8,
    /// The hosts by which clients dial this relay: it takes proofs of keys for these alone. None: it takes
    /// those for any host, so that another relay that a client was led to could claim the client's key name
    /// here while that client is there.
    pub hosts: Vec<HostDigest>,
    /// Most peers for whose return a session waits; the oldest wish is forgotten first.
    pub wishes: usize,
    /// Most peers of a session that are told GONE, and most GONE that are kept for a session.
    pub peers: usize,
    /// Most connections of a session for which the router remembers which session was asked; the oldest is
    /// forgotten first.
    pub asked: usize,
    /// Most acknowledgements kept for a session; the oldest is dropped first.
    pub acks: usize,
    /// Most sends of a session at once, among them parks that are sends as well until they are whole.
    pub sends: u32,
    /// Shortest wait for a peer between two parks: time for a new connection through a proxy.
    pub busy_wait_min_ms: u64,
    /// Longest wait for a peer. Well below the client's send deadline (4 s).
    pub busy_wait_max_ms: u64,
    /// Longest sum of waits within a send, whether the peers come or not; below the send deadline.
    pub patience_ms: u64,
    /// Most octets of a response that the receiver's connection has not taken.
    pub undrained: usize,
    /// Most octets held for all sessions. With less than MAX_SINGLE_BODY (32 KiB) to spare, clients of
    /// one socket are told LIMITED.
    pub max_held: usize,
    /// Most octets held for an origin: an address, or a token's subject. An origin may hold as much as is
    /// free besides, too, so that others find room whatever the number of those who hold much.
    pub max_held_per_origin: usize,
    /// Requests of an origin. Those beyond wait for up to [`request_wait_ms`](Self::request_wait_ms),
    /// then are refused. `None`, here and below: any number.
    pub requests: Option<Rate>,
    /// How long a request waits at most for its turn.
    pub request_wait_ms: u64,
    /// Connections of an origin.
    pub connections: Option<Rate>,
    /// Sessions of an origin that the router does not know. Carriers have thousands of phones behind an
    /// address, which come back all at once after a restart.
    pub new_sessions: Option<Rate>,
    /// Claims of an origin for names that others hold; more are answered RETRY, right owner or not.
    pub guesses: Option<Rate>,
    /// The same of a session.
    pub guesses_per_session: Option<Rate>,
    /// Connections that an origin asks for where nobody listens, or not for such channels, or where the policy
    /// does not let it; more are answered RETRY.
    pub misses: Option<Rate>,
    /// Proofs of keys of an origin that are checked, each a twentieth of a millisecond and more; claims by others are
    /// answered RETRY.
    pub proof_checks: Option<Rate>,
    /// Parks of a session that messages of an origin end, from sessions that it has no channel with, as far as
    /// it showed by a message to them; more messages wait for its next park, or are BUSY. An idle phone makes
    /// two requests for each.
    pub wakes: Option<Rate>,
    /// Acknowledgements from such sessions of an origin that are written at once into the open answer of a
    /// session; more are BUSY.
    pub acks_unasked: Option<Rate>,
    /// Least octets a second of a request's body, whose first [`upload_idle_ms`](Self::upload_idle_ms)
    /// do not count.
    pub body_rate: u32,
    /// Longest time for a request's body, without the time for which its messages wait for peers.
    pub body_ms: u64,
    /// Longest hold, whatever a park asks for.
    pub max_hold_ms: u64,
    /// How long an acknowledgement waits for other messages before it ends a park.
    pub ack_delay_ms: u64,
    /// How long after its beginning a streamed response has its second TICK, which shows the client
    /// whether a proxy holds back octets behind the first.
    pub first_tick_ms: u32,
    /// Time between the TICKs of a streamed response from the second on.
    pub tick_ms: u32,
    /// How long a response stays open while its upload brings nothing.
    pub silence_ms: u64,
    /// How long an upload may bring nothing before the router gives it up.
    pub upload_idle_ms: u64,
    /// How long acknowledgements are kept for a session that does not park: their sources repeat them to a
    /// session that is back.
    pub ack_keep_ms: u64,
    /// How long an idle session is remembered: longer than a proxy delays a repeated park.
    pub forget_ms: u64,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            grace_ms: 5_000,
            doubt_ms: 1_500,
            max_body: 4 << 20,
            max_messages: 1_024,
            max_sessions: 65_536,
            claims: MAX_CLAIMS,
            proofs: 8,
            hosts: Vec::new(),
            wishes: 16,
            peers: 256,
            asked: 256,
            acks: 256,
            sends: 4,
            busy_wait_min_ms: 200,
            busy_wait_max_ms: 1_000,
            patience_ms: 2_000,
            undrained: MAX_DATAGRAM + 1,
            max_held: 256 << 20,
            max_held_per_origin: 64 << 20,
            requests: Some(Rate::new(10_000, 20_000)),
            request_wait_ms: 1_000,
            connections: Some(Rate::new(1_000, 10_000)),
            new_sessions: Some(Rate::new(500, 5_000)),
            guesses: Some(Rate::new(10, 200)),
            guesses_per_session: Some(Rate::new(1, 32)),
            misses: Some(Rate::new(50, 1_000)),
            // Phones behind a carrier's address come back all at once after a restart.
            proof_checks: Some(Rate::new(100, 2_000)),
            wakes: Some(Rate::new(2, 30)),
            acks_unasked: Some(Rate::new(100, 1_000)),
            body_rate: 64,
            body_ms: 300_000,
            max_hold_ms: 300_000,
            ack_delay_ms: 100,
            first_tick_ms: 100,
            tick_ms: 1_000,
            silence_ms: 100,
            upload_idle_ms: 30_000,
            ack_keep_ms: 15_000,
            forget_ms: 300_000,
        }
    }
}

/// Counters of a [`Router`](super::Router), from its start unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RouterStats {
    /// Sessions remembered now.
    pub sessions: usize,
    /// Exchanges under way now.
    pub exchanges: usize,
    /// Parks waiting or being answered now.
    pub parked: usize,
    /// Names claimed now.
    pub names: usize,
    /// Octets held now: queued for a receiver, of a datagram not yet whole, or kept free for the body
    /// of a client of one socket until it is whole.
    pub held: usize,
    /// Origins now that do something, or did a moment ago.
    pub origins: usize,
    /// Acknowledgements kept now.
    pub acks_kept: usize,
    /// Parks that arrived.
    pub parks: u64,
    /// Parks whose response stays open, of those that arrived.
    pub streams: u64,
    /// Sends that arrived.
    pub sends: u64,
    /// Octets of stream data and datagrams written into responses.
    pub forwarded: u64,
    /// Messages, and slices of messages, written into responses.
    pub messages: u64,
    /// Messages that arrived for other sessions.
    pub messages_in: u64,
    /// How long messages waited for their receivers.
    pub waits: WaitStats,
    /// How often each limit was reached.
    pub limits: LimitStats,
    /// Verdicts DELIVERED.
    pub delivered: u64,
    /// Verdicts BUSY.
    pub busy: u64,
    /// Verdicts AWAY.
    pub away: u64,
    /// Verdicts RETRY.
    pub retry: u64,
    /// Verdicts LIMITED.
    pub limited: u64,
    /// Connections, or answers to some, refused: NO_LISTENER or WRONG_KIND.
    pub refused: u64,
    /// Listeners and connections that the policy does not give the bearer of their token: FORBIDDEN.
    pub forbidden: u64,
    /// Exchanges ended SUPERSEDED.
    pub superseded: u64,
    /// Exchanges ended REPEATED.
    pub repeated: u64,
    /// Exchanges ended STALE.
    pub stale: u64,
    /// Exchanges ended MALFORMED or VERSION, or without a HELLO to answer.
    pub malformed: u64,
    /// Exchanges ended LIMITED.
    pub overloaded: u64,
    /// Proofs of keys that were checked.
    pub proofs: u64,
    /// Proofs of keys that do not hold, or were for another host.
    pub unproved: u64,
    /// Sessions found to be over although they did not say BYE.
    pub lost: u64,
    /// Acknowledgements dropped because too many were kept.
    pub acks_dropped: u64,
    /// Connections refused because their origin made too many a second.
    pub connections_refused: u64,
    /// Requests refused because their origin made too many a second.
    pub requests_refused: u64,
    /// New sessions refused because their origin made too many a second.
    pub sessions_refused: u64,
    /// Claims answered RETRY because there were too many for names that others hold.
    pub guesses_refused: u64,
    /// Connections answered RETRY because there were too many to where nobody listens.
    pub misses_refused: u64,
    /// Proofs of keys that were not checked because their origin had too many checked.
    pub proofs_refused: u64,
    /// Messages that waited, or were BUSY, because their receiver answers none of their origin.
    pub junk_held_back: u64,
    /// Requests given up because their body was too slow, or on its way for too long.
    pub slow_bodies: u64,
    /// Messages and requests for which their origin's share had no room.
    pub over_share: u64,
}

impl RouterStats {
    pub(super) fn verdict(&mut self, status: Status) {
        *match status {
            Status::Delivered => &mut self.delivered,
            Status::Busy => &mut self.busy,
            Status::Away => &mut self.away,
            Status::Retry => &mut self.retry,
            Status::Limited => &mut self.limited,
            Status::Forbidden => &mut self.forbidden,
            _ => &mut self.refused,
        } += 1;
    }

    pub(super) fn ended(&mut self, status: Status) {
        *match status {
            Status::Superseded => &mut self.superseded,
            Status::Repeated => &mut self.repeated,
            Status::Stale => &mut self.stale,
            Status::Malformed | Status::Version => &mut self.malformed,
            Status::Limited => &mut self.overloaded,
            _ => return,
        } += 1;
    }
}
