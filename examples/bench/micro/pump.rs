//! Two sessions with the relay's router in between, without I/O: the lanes that they wake go on, as
//! a client's lanes do. Every call of a session goes through `guarded`, a function of the crate's
//! root.

use bytes::Bytes;
use byway::relay::router::{Answer, ExchangeId, Router, RouterConfig};
use byway::session::{
    ChannelId, HeapStorage, Lane, ListenerId, Pace, Profile, Session, Settings, Wake,
};
use byway::{Endpoint, Kind};

use crate::guarded;

/// More turns than this make no progress.
const PATIENCE: usize = 200_000;
const LANES: [Lane; 2] = [Lane::Park, Lane::Send];

/// An exchange, and the octets that the router has not taken of the last piece of its body.
struct Trip {
    id: ExchangeId,
    rest: Bytes,
    is_up: bool,
}

/// A session and its exchanges under way.
pub struct Peer {
    memory: HeapStorage,
    trips: [Option<Trip>; 2],
    /// When a lane without an exchange looks again.
    due: [Option<u64>; 2],
    /// The number of answers to parks that are to be lost.
    pub to_lose: usize,
}

impl Peer {
    fn new(n: u8, now: u64, profile: &Profile, pace: Pace) -> Self {
        let memory = HeapStorage::new(profile).expect("valid sizes");
        let mut peer = Self { memory, trips: [None, None], due: [None; 2], to_lose: 0 };
        let mut settings = Settings::new([n; 16], n.into());
        settings.pace = pace;
        peer.call(|session| session.open(now, &settings));
        peer
    }

    /// Makes a call of the session.
    pub fn call<T>(&mut self, act: impl FnOnce(&mut Session<'_>) -> T) -> T {
        let mut session = self.memory.session();
        guarded(|| act(&mut session))
    }
}

/// See the [module](self).
pub struct Pump {
    pub router: Router,
    pub now: u64,
    pub peers: [Peer; 2],
    /// The buffer through which bodies go up.
    piece: Vec<u8>,
}

impl Pump {
    /// Bodies and answers come in pieces of the profile's `io_buffer`.
    pub fn new(profile: &Profile, pace: Pace) -> Self {
        let config = RouterConfig::default();
        let now = config.grace_ms;
        let peers = [1, 2].map(|n| Peer::new(n, now, profile, pace));
        Self { router: Router::new(config, 0), now, peers, piece: vec![0; profile.io_buffer] }
    }

    /// Lets a millisecond pass, and has all lanes go on.
    pub fn turn(&mut self) {
        self.now += 1;
        if self.router.poll_timeout().is_some_and(|due| due <= self.now) {
            self.router.handle_timeout(self.now);
        }
        for peer in 0..2 {
            for lane in LANES {
                if self.peers[peer].due[lane as usize].is_some_and(|due| due <= self.now) {
                    self.begin(peer, lane);
                }
            }
        }
        loop {
            self.wake_peers();
            let mut went_on = false;
            while let Some(id) = self.router.poll_wake() {
                for (peer, lane) in [(0, LANES[0]), (0, LANES[1]), (1, LANES[0]), (1, LANES[1])] {
                    let trip = &self.peers[peer].trips[lane as usize];
                    if trip.as_ref().is_some_and(|trip| trip.id == id) {
                        self.carry(peer, lane);
                        went_on = true;
                    }
                }
            }
            if !went_on {
                return;
            }
        }
    }

    fn wake_peers(&mut self) {
        for i in 0..2 {
            while let Some(wake) = self.peers[i].call(|session| session.poll_wake()) {
                match wake {
                    Wake::Park => self.begin(i, Lane::Park),
                    Wake::Send => self.begin(i, Lane::Send),
                    Wake::Event => while self.peers[i].call(|s| s.poll_event()).is_some() {},
                    _ => {}
                }
            }
        }
    }

    /// Begins the exchange that is due.
    fn begin(&mut self, peer: usize, lane: Lane) {
        let (now, at) = (self.now, peer);
        let peer = &mut self.peers[at];
        if peer.trips[lane as usize].is_some() {
            return;
        }
        if lane == Lane::Send {
            peer.call(|session| session.handle_timeout(now));
        }
        if peer.call(|session| session.poll_exchange(now, lane)).is_none() {
            peer.due[lane as usize] = peer.call(|session| session.poll_timeout(lane));
            return;
        }
        peer.due[lane as usize] = None;
        let id = self.router.handle_open(now);
        peer.trips[lane as usize] = Some(Trip { id, rest: Bytes::new(), is_up: false });
        self.carry(at, lane);
    }

    /// Carries the octets that the router takes of the body, and those that it has of the answer.
    fn carry(&mut self, peer: usize, lane: Lane) {
        let (now, peer) = (self.now, &mut self.peers[peer]);
        let Some(mut trip) = peer.trips[lane as usize].take() else { return };
        while !trip.is_up {
            if trip.rest.is_empty() {
                let n = peer.call(|session| session.poll_body(now, lane, &mut self.piece));
                if n == 0 {
                    self.router.handle_body_end(now, trip.id);
                    trip.is_up = true;
                    break;
                }
                trip.rest = Bytes::copy_from_slice(&self.piece[..n]);
            }
            self.router.handle_body(now, trip.id, &mut trip.rest);
            if !trip.rest.is_empty() {
                break;
            }
        }
        let is_lost = lane == Lane::Park && peer.to_lose > 0;
        loop {
            match self.router.poll_response(now, trip.id) {
                Answer::Pending => {
                    peer.trips[lane as usize] = Some(trip);
                    return;
                }
                Answer::Bytes(_) if is_lost => {}
                Answer::Bytes(octets) => {
                    for piece in octets.chunks(self.piece.len()) {
                        let taken = peer.call(|session| session.handle_response(now, lane, piece));
                        taken.expect("the relay's answer");
                    }
                }
                Answer::End => break,
            }
        }
        let finished = peer.call(|session| session.handle_finished(now, lane));
        if is_lost {
            peer.to_lose -= 1;
            finished.expect_err("it was lost");
        } else {
            finished.expect("the answer has its END");
        }
    }

    /// Goes on until `done`.
    pub fn until(&mut self, mut done: impl FnMut(&mut [Peer; 2], u64) -> bool) {
        for _ in 0..PATIENCE {
            if done(&mut self.peers, self.now) {
                return;
            }
            self.turn();
        }
        panic!("no progress");
    }

    /// Has the first peer listen.
    pub fn listen(&mut self, at: Endpoint, kind: Kind) -> ListenerId {
        let now = self.now;
        let id = self.peers[0].call(|session| session.listen(now, at, kind, 2)).expect("free");
        self.until(|[a, _], _| a.call(|session| session.listening(id)).expect("granted"));
        id
    }

    /// Has the second peer connect to the first.
    pub fn connect(&mut self, listener: ListenerId, at: Endpoint, kind: Kind) -> [ChannelId; 2] {
        let now = self.now;
        let one = self.peers[1].call(|s| s.connect(now, at, kind, b"hello")).expect("a channel");
        let mut zero = None;
        self.until(|[a, b], now| {
            zero = zero.or(a.call(|session| session.accept(now, listener)).expect("it listens"));
            b.call(|session| session.connected(one)).expect("not refused") && zero.is_some()
        });
        [zero.expect("accepted"), one]
    }
}
