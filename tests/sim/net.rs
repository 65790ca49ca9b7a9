//! How requests go up, and what happens to exchanges on the way.

use std::collections::VecDeque;

use bytes::Bytes;
use byway::error::Blocked;
use byway::relay::router::ExchangeId;
use byway::session::{Exchange, Lane};
use byway::wire::{Decoder, Piece};

use crate::fate::Fate;
use crate::flight::Along;
use crate::seen::Seen;
use crate::world::{Happens, TripId, World, index};

/// The relay's end of a connection: which relay, which exchange.
pub type Link = (u64, ExchangeId);

/// Octets that the kernels on the way take before a connection is made.
pub const PIPE: usize = 64 << 10;

/// How often a gateway checks whether the next exchange may pass, in ms.
const LOOK_MS: u64 = 3;

/// When a kernel gives up a connection whose other end is gone, in ms.
const KERNEL_GIVES_UP: u64 = 900_000;

/// An exchange as its client sees it.
#[derive(Debug)]
pub struct Trip {
    pub peer: usize,
    pub lane: Lane,
    len: usize,
    pub begun: u64,
    silence: u64,
    /// When the client last received or sent an octet.
    pub last: u64,
    pub fate: Fate,
    /// Octets taken from the session, arrived at the relay, and arrived at the client.
    sent: usize,
    passed: usize,
    pub got: usize,
    paused: bool,
    up: VecDeque<Vec<u8>>,
    pub down: VecDeque<Option<Bytes>>,
    pub up_at: u64,
    pub down_at: u64,
    /// Whether the client has octets of the answer; whether it wrote behind the request; whether
    /// its connection was used before.
    pub heard: bool,
    pub spoken: bool,
    reused: bool,
    /// Whether the exchange hangs: no octet passes any more, and neither side is told.
    pub hung: bool,
    pub hung_at: u64,
    pub link: Option<Link>,
    /// Whether a gateway that passes one exchange at a time has begun with this one.
    pub admitted: bool,
    /// The octets of the answer that a proxy holds.
    pub answer: Vec<u8>,
    shown: [Decoder; 2],
    /// Reads along with the client's request.
    flight: Along,
}

impl Trip {
    fn new(peer: usize, exchange: &Exchange, now: u64, fate: Fate, flight: Along) -> Self {
        Self {
            peer,
            lane: exchange.lane,
            len: exchange.len,
            begun: now,
            silence: exchange.silence_ms.into(),
            last: now,
            fate,
            sent: 0,
            passed: 0,
            got: 0,
            paused: false,
            up: VecDeque::new(),
            down: VecDeque::new(),
            up_at: 0,
            down_at: 0,
            heard: false,
            spoken: false,
            reused: false,
            hung: matches!(fate, Fate::Swallowed | Fate::Unanswered),
            hung_at: now,
            link: None,
            admitted: false,
            answer: Vec::new(),
            shown: [Decoder::new(), Decoder::new()],
            flight,
        }
    }
}

/// An exchange as the relay's server sees it.
#[derive(Debug)]
pub struct Served {
    /// The exchange whose client gets the answer.
    pub trip: Option<TripId>,
    pending: VecDeque<Bytes>,
    whole: bool,
    told: bool,
    /// Octets of the answer that are under way.
    pub out: usize,
    /// Whether the answer has begun.
    pub answers: bool,
}

/// The bit in a [`TripId`], above the number of the exchange, at which the number of the client
/// begins.
const PEER_SHIFT: u32 = 48;

impl World {
    /// The client that makes the exchange.
    pub fn peer_of(id: TripId) -> usize {
        (id >> PEER_SHIFT) as usize
    }

    /// Has a client make a request.
    pub fn begin(&mut self, n: usize, exchange: &Exchange) {
        let id = (n as u64) << PEER_SHIFT | exchange.seq;
        let lane = exchange.lane;
        let peer = &mut self.peers[n];
        peer.begun[index(lane)] += 1;
        peer.trips[index(lane)] = Some(id);
        let mut body = Vec::new();
        let single = peer.storage.is_single();
        if peer.whole || single || self.on_request.is_some() {
            body.resize(exchange.len, 0);
            assert_eq!(peer.storage.session().poll_body(self.now, lane, &mut body), body.len());
            assert_eq!(
                peer.storage.session().poll_body(self.now, lane, &mut [0]),
                0,
                "longer than it says"
            );
        }
        let fate = match &mut self.on_request {
            Some(hook) => hook(&Seen { peer: n, lane, body: &body }),
            None => self.faults.draw(self.now, &mut self.rng, exchange.len),
        };
        let met = self.on_path(n, id, exchange);
        let reused = self.peers[n].path.reuses(lane);
        let fate = met.unwrap_or(fate);
        if let Fate::Later(..) | Fate::Status(429) = fate {
            self.refused += 1;
        }
        if let Fate::Repeat { .. } | Fate::LateUp(_) | Fate::BufferUp = fate
            && body.is_empty()
        {
            body.resize(exchange.len, 0);
            self.peers[n].session().poll_body(self.now, lane, &mut body);
        }
        if self.trace {
            println!("{} peer {n} {lane:?} {} {fate:?}", self.now, exchange.len);
        }
        let mut flight = Along::default();
        self.flight.hear(&mut flight, &body);
        let mut trip = Trip::new(n, exchange, self.now, fate, flight);
        trip.sent = body.len();
        trip.reused = single && reused;
        self.schedule(self.now + trip.silence, Happens::Silence(id));
        self.dial(id, &mut trip, body);
        self.trips.insert(id, trip);
    }

    /// The fate of an exchange takes its course: the request goes out, or fails.
    fn dial(&mut self, id: TripId, trip: &mut Trip, body: Vec<u8>) {
        let (n, fate) = (trip.peer, trip.fate);
        let rtt = self.latency(n) + self.latency(n);
        let soon = self.now + rtt;
        if let Fate::Reset(after) = fate {
            self.schedule(self.now + after, Happens::Reset(id));
        }
        let down = self.now < self.relay_down_until || fate == Fate::Refused;
        match fate {
            Fate::Unanswered => {}
            _ if down => self.schedule(soon, Happens::Fails(id, Blocked::Connect, false)),
            Fate::Lost => self.schedule(soon, Happens::Fails(id, Blocked::Cut, true)),
            Fate::Status(code) => self.schedule(soon, Happens::Fails(id, status(code), true)),
            Fate::Later(code, seconds) => {
                let cause = Blocked::Later(code, seconds);
                self.schedule(soon, Happens::Fails(id, cause, true));
            }
            Fate::Portal | Fate::Cached => {
                let page = match fate {
                    Fate::Portal => b"<!DOCTYPE html><title>Log in</title>".to_vec(),
                    _ => self.peers[n].last_answer.clone(),
                };
                trip.down.extend([Some(page.into()), None]);
                self.schedule(soon, Happens::Down(id));
                self.schedule(soon, Happens::Down(id));
            }
            _ if trip.sent > 0 => {
                trip.up_at = self.peers[n].path.passes(self.now, trip.sent) + rtt;
                if let Fate::LateUp(by) = fate {
                    trip.up_at += by;
                }
                self.schedule(trip.up_at, Happens::Up(id));
                if let Fate::Repeat { times, after, last } = fate {
                    for n in 1..=times {
                        let again = Happens::Again(id, body.clone(), last && n == times);
                        self.schedule(trip.up_at + n * after, again);
                    }
                }
                trip.up.push_back(body);
            }
            _ => self.schedule(self.now + rtt / 2, Happens::Pull(id)),
        }
    }

    /// Has the client's transport take a piece of the body from the session, and send it.
    pub fn pull(&mut self, id: TripId) {
        let Some(trip) = self.trips.get_mut(&id) else { return };
        if trip.got > 0 {
            // The answer came before the request was read: the rest is dropped.
            return;
        }
        let (n, lane) = (trip.peer, trip.lane);
        let peer = &mut self.peers[n];
        let size = 1 + self.rng.below(peer.chunk as u64) as usize;
        let mut piece = vec![0; size.min(trip.len - trip.sent)];
        let taken = peer.storage.session().poll_body(self.now, lane, &mut piece);
        assert_eq!(taken, piece.len(), "the body is shorter than it says");
        self.flight.hear(&mut trip.flight, &piece);
        trip.sent += taken;
        trip.last = self.now;
        trip.up.push_back(piece);
        let done = trip.sent == trip.len;
        if done {
            assert_eq!(
                peer.storage.session().poll_body(self.now, lane, &mut [0]),
                0,
                "longer than it says"
            );
        }
        // The client waits for the answer once the last octet was sent.
        self.woken(n);
        let latency = self.latency(n);
        let passes = self.peers[n].path.passes(self.now, taken);
        if let Some(trip) = self.trips.get_mut(&id) {
            trip.up_at = trip.up_at.max(passes + latency);
            trip.paused = !done && trip.sent - trip.passed > PIPE;
            let (at, paused) = (trip.up_at, trip.paused);
            self.schedule(at, Happens::Up(id));
            if !done && !paused {
                let gap = self.rng.below(3);
                self.schedule(self.now + gap, Happens::Pull(id));
            }
        }
    }

    /// Whether the octets of this exchange stand still now; if so, they are put off or forgotten.
    pub fn stands(&mut self, id: TripId, what: Happens) -> bool {
        let Some(trip) = self.trips.get_mut(&id) else { return true };
        let dark_until = self.peers[trip.peer].dark_until;
        self.peers[trip.peer].path.forget(self.now, trip);
        if trip.hung {
            return true;
        }
        if self.queues(id) {
            self.schedule(self.now + LOOK_MS, what);
            return true;
        }
        if self.now < dark_until {
            self.schedule(dark_until, what);
            return true;
        }
        false
    }

    /// A piece of the request arrives at the relay.
    pub fn arrive_up(&mut self, id: TripId) {
        if self.stands(id, Happens::Up(id)) {
            return;
        }
        let Some(trip) = self.trips.get_mut(&id) else { return };
        let Some(mut piece) = trip.up.pop_front() else { return };
        let mut cut = false;
        if let Fate::CutUp(most) = trip.fate {
            piece.truncate(most.saturating_sub(trip.passed));
            cut = trip.passed + piece.len() >= most;
        }
        let link = match trip.link {
            Some(link) => link,
            None => {
                let exchange = self.router.handle_open(self.now);
                let link = (self.relay_generation, exchange);
                trip.link = Some(link);
                let answered = !matches!(trip.fate, Fate::Repeat { last: true, .. });
                self.served.insert(link, Served::new(answered.then_some(id)));
                link
            }
        };
        let before = trip.passed;
        trip.passed += piece.len();
        if let Fate::Truncated(most) = trip.fate {
            piece.truncate(most.saturating_sub(before));
        }
        if self.trace {
            show(self.now, trip, 0, &piece);
        }
        let whole = trip.passed == trip.len;
        if let Some(served) = self.served.get_mut(&link) {
            served.pending.push_back(piece.into());
            served.whole = whole;
        }
        self.feed(link);
        if cut {
            self.schedule(self.now, Happens::Gone(link));
            self.schedule(self.now + 1, Happens::Fails(id, Blocked::Cut, true));
        }
    }

    /// The relay reads the octets of a request that have arrived, as far as the router takes them.
    fn feed(&mut self, link: Link) {
        let Some(served) = self.served.get_mut(&link) else { return };
        while let Some(mut chunk) = served.pending.pop_front() {
            self.router.handle_body(self.now, link.1, &mut chunk);
            if !chunk.is_empty() {
                served.pending.push_front(chunk);
                return;
            }
        }
        if served.whole && !std::mem::replace(&mut served.told, true) {
            self.router.handle_body_end(self.now, link.1);
        }
        if let Some(trip) = served.trip
            && let Some(trip) = self.trips.get_mut(&trip)
            && std::mem::take(&mut trip.paused)
        {
            let id = served.trip.unwrap_or_default();
            self.schedule(self.now, Happens::Pull(id));
        }
    }

    /// Serves every exchange that the router names.
    pub fn serve_relay(&mut self) {
        loop {
            while let Some(check) = self.router.poll_proof() {
                self.router.handle_proof(self.now, &check.run());
            }
            let Some(exchange) = self.router.poll_wake() else { break };
            let link = self.link(exchange);
            self.feed(link);
            self.drain(link);
        }
    }

    /// The exchange fails at its client.
    pub fn fail(&mut self, id: TripId, cause: Blocked, sent: bool) {
        if cause == Blocked::Cut && self.trips.get(&id).is_some_and(|t| t.reused && !t.heard) {
            // The connection was dead before, which is no failure of the path.
            return self.hang_up_on(id);
        }
        let Some(trip) = self.trips.remove(&id) else { return };
        if self.trace {
            println!("{} peer {} {:?} fails {cause:?}", self.now, trip.peer, trip.lane);
        }
        let now = self.now;
        self.peers[trip.peer].session().handle_failure(now, trip.lane, cause, sent);
        self.over(id, trip, true);
    }

    pub fn over(&mut self, id: TripId, trip: Trip, hangs_up: bool) {
        self.carried.push((id, [trip.len, trip.got]));
        let peer = &mut self.peers[trip.peer];
        peer.trips[index(trip.lane)] = None;
        let unseen = trip.hung || self.now < peer.dark_until;
        self.path_over(&trip, hangs_up);
        if hangs_up
            && let Some(link) = trip.link
            && !self.overlooks(&trip, link)
        {
            let after = if unseen { KERNEL_GIVES_UP } else { self.latency(trip.peer) };
            self.schedule(self.now + after, Happens::Gone(link));
        }
        self.peers[trip.peer].looks = true;
        self.woken(trip.peer);
        self.wake_lane(trip.peer, trip.lane);
    }

    /// A proxy resets both connections of an exchange.
    pub fn reset(&mut self, id: TripId) {
        if self.stands(id, Happens::Reset(id)) {
            return;
        }
        if let Some(link) = self.trips.get(&id).and_then(|trip| trip.link) {
            self.gone(link);
        }
        self.fail(id, Blocked::Cut, true);
    }

    /// The client may have run out of patience with an exchange.
    pub fn silence(&mut self, id: TripId) {
        let Some(trip) = self.trips.get(&id) else { return };
        let over = trip.last + trip.silence;
        if over <= self.now {
            self.fail(id, Blocked::Silence, true);
        } else {
            self.schedule(over, Happens::Silence(id));
        }
    }

    /// The relay learns that a connection has ended.
    pub fn gone(&mut self, link: Link) {
        if link.0 == self.relay_generation && self.served.remove(&link).is_some() {
            self.router.handle_gone(self.now, link.1);
        }
    }

    /// A proxy sends a request again.
    pub fn again(&mut self, id: TripId, body: Vec<u8>, answers: bool) {
        if self.now < self.relay_down_until {
            return;
        }
        if self.trips.get(&id).is_some_and(|trip| trip.passed < trip.len) {
            if !self.trips[&id].hung {
                self.schedule(self.now + 1, Happens::Again(id, body, answers));
            }
            return;
        }
        let exchange = self.router.handle_open(self.now);
        let link = self.link(exchange);
        let mut served = Served::new(None);
        if let Some(trip) = self.trips.get_mut(&id)
            && answers
        {
            trip.link = Some(link);
            served.trip = Some(id);
        }
        served.pending.push_back(body.into());
        served.whole = true;
        self.served.insert(link, served);
        self.feed(link);
    }
}

impl Served {
    /// Whether the relay looks at octets behind the request.
    pub fn awaits_word(&self) -> bool {
        self.told && !self.answers
    }

    fn new(trip: Option<TripId>) -> Self {
        Self { trip, pending: VecDeque::new(), whole: false, told: false, out: 0, answers: false }
    }
}

/// The client's name for a status.
pub fn status(code: u16) -> Blocked {
    match code {
        407 => Blocked::ProxyAuth,
        code => Blocked::Http(code),
    }
}

/// Prints the messages of a piece as they pass.
pub fn show(now: u64, trip: &mut Trip, way: usize, piece: &[u8]) {
    let arrow = ["up", "down"][way];
    let mut input = piece;
    while let Ok(Some(found)) = trip.shown[way].next(&mut input) {
        match found {
            Piece::Message(message) => {
                println!("{now} {} {:?} {arrow} {message:?}", trip.peer, trip.lane);
            }
            Piece::Bytes(..) => {}
        }
    }
}
