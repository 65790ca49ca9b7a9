//! Two sessions with a router between them, on a path without latency, on which exchanges are cut,
//! lost and repeated at any time: streams lose and double nothing, and go on when all is calm.

use std::collections::BTreeSet;

use bytes::Bytes;
use byway::error::Blocked;
use byway::relay::router::{Answer, Router, RouterConfig};
use byway::session::{ChannelId, HeapStorage, Lane, ListenerId, Pace, Profile, Session, Settings};
use byway::wire::{DataFlags, Decoder, Message, Piece, Route};
use byway::{Endpoint, Kind};
use libfuzzer_sys::arbitrary::{self, Arbitrary};

use crate::keys::{check_proofs, key_name, proof, secret};
use crate::trip::{Orphan, Trip};
use crate::{RING, half, kind, octets, take_wakes};

/// The most turns of all lanes at one time, or deadlines in a row, before the lanes must rest.
const BUSY: u32 = 20_000;

/// The time in ms within which all data arrive once the path is calm: less than the shortest
/// linger, 60 s.
const CALM: u64 = 50_000;

/// Octets before a datagram's filler: its number.
const NUMBER: usize = 8;

/// The most requests repeated by a proxy that are carried on at once.
const MOST_REPEATS: usize = 4;

/// The options of a session.
#[derive(Debug, Arbitrary)]
pub struct Side {
    /// The kinds for which the session listens.
    datagrams: bool,
    long_poll: bool,
}

#[derive(Debug, Arbitrary)]
pub enum Op {
    Connect(bool),
    Accept(bool),
    Write(u8, bool, u16),
    Read(u8, bool, u16),
    Shutdown(u8, bool, u8),
    Ask(u8, bool),
    Release(u8, bool),
    Abort(u8, bool),
    /// A piece of one exchange moves on.
    Turn(bool, bool, u16),
    /// All exchanges move on until nothing happens.
    Pump,
    Pass(u16),
    Cut(bool, bool),
    LoseAnswer(bool, bool),
    Repeat(bool, bool),
    NetworkChanged(bool),
    Restart,
}

/// A channel with its ends in the order of the sessions.
struct Chan {
    kind: Kind,
    key: u64,
    ends: [End; 2],
}

#[derive(Default)]
struct End {
    id: Option<ChannelId>,
    /// Octets of a stream, or the number of datagrams.
    written: u64,
    read: u64,
    deaf: bool,
    numbers: BTreeSet<u64>,
}

struct World {
    now: u64,
    router: Router,
    sessions: [HeapStorage; 2],
    /// The kinds for which each session listens.
    kinds: [Kind; 2],
    listeners: [ListenerId; 2],
    trips: [[Option<Trip>; 2]; 2],
    orphans: Vec<Orphan>,
    chans: Vec<Chan>,
}

const LANES: [Lane; 2] = [Lane::Park, Lane::Send];

/// The first listens at a name that is its own to choose, the second at its key name.
fn endpoint(side: usize) -> Endpoint {
    match side {
        0 => "zero:1".parse().expect("an endpoint"),
        _ => Endpoint { name: key_name(1), port: 1 },
    }
}

/// The length of a datagram in octets.
fn datagram(key: u64, number: u64) -> Vec<u8> {
    let filler = octets(key, number, number % 300);
    [&number.to_be_bytes(), &filler[..]].concat()
}

impl World {
    fn new(sides: &[Side; 2]) -> Self {
        let kinds = [0, 1].map(|side: usize| kind(sides[side].datagrams));
        let now = 1_000_000;
        let sessions = [0, 1].map(|side: usize| {
            let mut storage = HeapStorage::new(&Profile::TINY).expect("a valid profile");
            let mut settings = Settings::new(secret(side), side as u64);
            settings.key_proof = (side == 1).then_some(*proof(1, 1));
            settings.linger_ms = 60_000;
            if sides[side].long_poll {
                settings.pace = Pace::LongPoll;
            }
            storage.session().open(now, &settings);
            storage
        });
        let mut world = Self {
            now,
            router: Router::new(RouterConfig::default(), now),
            sessions,
            kinds,
            listeners: [ListenerId(0); 2],
            trips: Default::default(),
            orphans: Vec::new(),
            chans: Vec::new(),
        };
        for (side, kind) in kinds.into_iter().enumerate() {
            let listener = world.session(side).listen(now, endpoint(side), kind, 2);
            world.listeners[side] = listener.expect("the first listener");
        }
        world
    }

    fn session(&mut self, side: usize) -> Session<'_> {
        self.sessions[side].session()
    }

    /// One of the last channels, and its id at a session.
    fn end(&self, n: u8, side: usize) -> Option<(usize, ChannelId)> {
        let n = self.chans.len().checked_sub(1 + usize::from(n) % 4)?;
        Some((n, self.chans[n].ends[side].id?))
    }

    fn connect(&mut self, side: usize) {
        let (now, n) = (self.now, self.chans.len());
        let (kind, to) = (self.kinds[1 - side], endpoint(1 - side));
        let greeting = (n as u32).to_be_bytes();
        if let Ok(id) = self.session(side).connect(now, to, kind, &greeting) {
            let mut ends = [End::default(), End::default()];
            ends[side].id = Some(id);
            self.chans.push(Chan { kind, key: n as u64 * 2, ends });
        }
    }

    fn accept(&mut self, side: usize) {
        let (now, listener) = (self.now, self.listeners[side]);
        while let Ok(Some(id)) = self.session(side).accept(now, listener) {
            let session = self.session(side);
            let greeting = session.greeting(id).expect("accepted");
            let n = u32::from_be_bytes(greeting.try_into().expect("a number"));
            let end = &mut self.chans[n as usize].ends[side];
            assert_eq!(end.id, None, "a second channel for one connection");
            end.id = Some(id);
        }
    }

    fn write(&mut self, n: u8, side: usize, len: u64) {
        let Some((n, id)) = self.end(n, side) else { return };
        let (now, chan) = (self.now, &self.chans[n]);
        let (key, at) = (chan.key + side as u64, chan.ends[side].written);
        let written = match chan.kind {
            Kind::Stream => self.session(side).write(now, id, &octets(key, at, len)),
            Kind::Datagram => {
                self.session(side).send_datagram(now, id, &datagram(key, at)).map(usize::from)
            }
        };
        self.chans[n].ends[side].written += written.unwrap_or(0) as u64;
    }

    /// True if there was data to read.
    fn read(&mut self, n: usize, side: usize, len: usize) -> bool {
        let now = self.now;
        let Some(id) = self.chans[n].ends[side].id else { return false };
        let key = self.chans[n].key + 1 - side as u64;
        let mut out = vec![0; len];
        if self.chans[n].kind == Kind::Stream {
            let Ok(Some(len)) = self.session(side).read(now, id, &mut out) else { return false };
            let [zero, one] = &mut self.chans[n].ends;
            let (from, to) = if side == 0 { (one, zero) } else { (zero, one) };
            assert_eq!(out[..len], octets(key, to.read, len as u64), "at {}", to.read);
            to.read += len as u64;
            assert!(to.read <= from.written, "more than was written");
            return len > 0;
        }
        let Ok(Some(len)) = self.session(side).recv_datagram(now, id, &mut out) else {
            return false;
        };
        let number = out[..NUMBER].try_into().map(u64::from_be_bytes).expect("a number");
        assert_eq!(out[..len], datagram(key, number));
        let end = &mut self.chans[n].ends[side];
        assert!(end.numbers.insert(number), "datagram {number} again");
        true
    }

    /// Checks that octets on their way up keep to the window that the sender was told, and to the
    /// receiver's room.
    fn check_body(&mut self, side: usize, octets: &[u8], trip: &mut Trip) {
        let mut input = octets;
        while let Some(piece) = trip.seen.next(&mut input).expect("a body of messages") {
            let data = match piece {
                Piece::Message(Message::SendReq(data)) => data,
                Piece::Message(Message::Route(route)) => {
                    trip.route = route;
                    continue;
                }
                _ => continue,
            };
            if data.flags.has(DataFlags::DATAGRAM) || data.len == 0 {
                continue;
            }
            let remote = ChannelId(trip.route.channel.id);
            let end = data.offset + u64::from(data.len);
            if let Ok(stats) = self.session(1 - side).channel_stats(remote) {
                assert!(end <= stats.read + RING, "{data:?} does not fit {stats:?}");
            }
            let chan = self.chans.iter().find(|chan| chan.ends[1 - side].id == Some(remote));
            if let Some(id) = chan.and_then(|chan| chan.ends[side].id)
                && let Ok(stats) = self.session(side).channel_stats(id)
            {
                assert!(end <= stats.window, "{data:?} beyond the window {stats:?}");
            }
        }
    }

    /// Has a lane do what it can do at once, with pieces of this many octets; false if that is
    /// nothing.
    fn turn(&mut self, side: usize, n: usize, most: usize) -> bool {
        let (now, lane) = (self.now, LANES[n]);
        let Some(mut trip) = self.trips[side][n].take() else {
            if lane == Lane::Send {
                self.session(side).handle_timeout(now);
            }
            let Some(exchange) = self.session(side).poll_exchange(now, lane) else { return false };
            self.trips[side][n] = Some(Trip {
                id: self.router.handle_open(now),
                len: exchange.len,
                silence: exchange.silence_ms.into(),
                last: now,
                body: Vec::new(),
                offered: Bytes::new(),
                told: false,
                answered: false,
                seen: Decoder::new(),
                route: Route::default(),
            });
            return true;
        };
        let mut moved = false;
        if !trip.answered && trip.offered.is_empty() && trip.body.len() < trip.len {
            let mut piece = vec![0; most.clamp(1, trip.len - trip.body.len())];
            let taken = self.session(side).poll_body(now, lane, &mut piece);
            assert_eq!(taken, piece.len(), "the body is shorter than it says");
            self.check_body(side, &piece, &mut trip);
            trip.body.extend_from_slice(&piece);
            trip.offered = piece.into();
            moved = true;
        }
        let before = trip.offered.len();
        self.router.handle_body(now, trip.id, &mut trip.offered);
        moved |= trip.offered.len() < before;
        if trip.body.len() == trip.len && trip.offered.is_empty() && !trip.told {
            self.router.handle_body_end(now, trip.id);
            trip.told = true;
            moved = true;
        }
        check_proofs(&mut self.router, now);
        match self.router.poll_response(now, trip.id) {
            Answer::Pending => {}
            Answer::Bytes(bytes) => {
                trip.answered = true;
                moved = true;
                for piece in bytes.chunks(most.max(1)) {
                    let taken = self.session(side).handle_response(now, lane, piece);
                    taken.expect("what a relay answers to its own request");
                }
            }
            Answer::End => {
                // A relay that restarted answers nothing, but then the exchange is gone as well.
                let _ = self.session(side).handle_finished(now, lane);
                return true;
            }
        }
        if moved {
            trip.last = now;
        }
        let silence = now - trip.last;
        assert!(silence <= trip.silence, "the relay left {lane:?} without an answer");
        self.trips[side][n] = Some(trip);
        moved
    }

    /// Carries on the requests that a proxy repeated.
    fn drive_orphans(&mut self) {
        let (now, router) = (self.now, &mut self.router);
        self.orphans.retain_mut(|orphan| {
            router.handle_body(now, orphan.id, &mut orphan.offered);
            if orphan.offered.is_empty() && orphan.whole {
                router.handle_body_end(now, orphan.id);
            } else if orphan.offered.is_empty() {
                router.handle_gone(now, orphan.id);
                return false;
            }
            check_proofs(router, now);
            loop {
                match router.poll_response(now, orphan.id) {
                    Answer::Bytes(_) => {}
                    Answer::Pending => return true,
                    Answer::End => return false,
                }
            }
        });
    }

    fn pump(&mut self) {
        for _ in 0..BUSY {
            let mut moved = false;
            for (side, lane) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                moved |= self.turn(side, lane, usize::MAX);
            }
            self.drive_orphans();
            if !moved {
                return;
            }
        }
        panic!("exchanges follow each other for ever: {:?}", self.router.stats());
    }

    /// Lets time pass, from deadline to deadline.
    fn pass(&mut self, ms: u64, reads: bool) {
        let until = self.now + ms;
        for _ in 0..BUSY {
            self.pump();
            if reads && self.read_all() {
                continue;
            }
            let mut at = self.router.poll_timeout();
            for (side, n) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                if self.trips[side][n].is_none() {
                    let due = self.session(side).poll_timeout(LANES[n]);
                    at = at.into_iter().chain(due).min();
                }
            }
            let Some(at) = at.filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(at);
            self.router.handle_timeout(self.now);
        }
        panic!("deadlines follow each other for ever: {:?}", self.router.stats());
    }

    fn read_all(&mut self) -> bool {
        self.accept(0);
        self.accept(1);
        let mut some = false;
        for n in 0..self.chans.len() {
            for side in 0..2 {
                while self.read(n, side, RING as usize) {
                    some = true;
                }
            }
        }
        some
    }

    /// Has an exchange fail at its client; the relay is told, or goes on with what it has.
    fn cut(&mut self, side: usize, n: usize, is_seen: bool) {
        let Some(trip) = self.trips[side][n].take() else { return };
        let sent = !trip.body.is_empty();
        let now = self.now;
        self.session(side).handle_failure(now, LANES[n], Blocked::Cut, sent);
        let whole = trip.body.len() == trip.len;
        if is_seen || !whole || self.orphans.len() >= MOST_REPEATS {
            return self.router.handle_gone(now, trip.id);
        }
        self.orphans.push(Orphan { id: trip.id, offered: trip.offered, whole });
    }

    fn act(&mut self, op: &Op) {
        let now = self.now;
        match *op {
            Op::Connect(side) => self.connect(side.into()),
            Op::Accept(side) => self.accept(side.into()),
            Op::Write(n, side, len) => self.write(n, side.into(), u64::from(len) % (2 * RING)),
            Op::Read(n, side, len) => {
                if let Some((n, _)) = self.end(n, side.into()) {
                    self.read(n, side.into(), usize::from(len) % 2048);
                }
            }
            Op::Shutdown(n, side, which) => {
                if let Some((n, id)) = self.end(n, side.into()) {
                    let done = self.session(side.into()).shutdown(now, id, half(which));
                    self.chans[n].ends[usize::from(side)].deaf |= done.is_ok() && which % 3 != 1;
                }
            }
            Op::Ask(n, side) => {
                if let Some((_, id)) = self.end(n, side.into()) {
                    let _ = self.session(side.into()).request_ack(now, id);
                }
            }
            Op::Release(n, side) => {
                if let Some((_, id)) = self.end(n, side.into()) {
                    self.session(side.into()).release(now, id);
                }
            }
            Op::Abort(n, side) => {
                if let Some((_, id)) = self.end(n, side.into()) {
                    self.session(side.into()).abort(now, id);
                }
            }
            Op::Turn(side, park, most) => {
                self.turn(side.into(), usize::from(!park), most.into());
            }
            Op::Pump => self.pump(),
            Op::Pass(ms) => self.pass(ms.into(), false),
            Op::Cut(side, park) => self.cut(side.into(), usize::from(!park), true),
            Op::LoseAnswer(side, park) => self.cut(side.into(), usize::from(!park), false),
            Op::Repeat(side, park) => {
                if let Some(trip) = &self.trips[usize::from(side)][usize::from(!park)]
                    && self.orphans.len() < MOST_REPEATS
                {
                    let id = self.router.handle_open(now);
                    let offered = Bytes::copy_from_slice(&trip.body);
                    let whole = trip.body.len() == trip.len;
                    self.orphans.push(Orphan { id, offered, whole });
                }
            }
            Op::NetworkChanged(side) => {
                let side = usize::from(side);
                self.session(side).network_changed(now);
                self.cut(side, 0, true);
                self.cut(side, 1, true);
            }
            Op::Restart => {
                self.router = Router::new(RouterConfig::default(), now);
                self.orphans.clear();
                for (side, n) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    self.cut(side, n, true);
                }
            }
        }
    }

    fn check(&mut self) {
        let mut woken = 0;
        while self.router.poll_wake().is_some() {
            woken += 1;
            assert!(woken < BUSY, "the router wakes for ever");
        }
        for side in 0..2 {
            let mut session = self.session(side);
            take_wakes(&mut session);
            assert_eq!(session.stats().overflows, 0, "a window was not kept to");
        }
    }

    /// Calms the path, and checks that all data written arrive.
    fn finish(&mut self) {
        self.pass(CALM, true);
        self.check();
        for n in 0..self.chans.len() {
            for side in 0..2 {
                let chan = &self.chans[n];
                let ids = [chan.ends[side].id, chan.ends[1 - side].id];
                let [Some(from), Some(to)] = ids else { continue };
                let (written, read) = (chan.ends[side].written, chan.ends[1 - side].read);
                let is_stream = chan.kind == Kind::Stream && !chan.ends[1 - side].deaf;
                let open = self.session(side).connected(from) == Ok(true)
                    && self.session(1 - side).connected(to) == Ok(true);
                if is_stream && open {
                    assert_eq!(read, written, "channel {n} from {side} stands");
                }
            }
        }
    }
}

pub fn run(sides: &[Side; 2], ops: &[Op]) {
    let mut world = World::new(sides);
    for op in ops {
        world.act(op);
        world.check();
    }
    world.finish();
}
