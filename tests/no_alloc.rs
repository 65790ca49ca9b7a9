//! No call of a session allocates: two of them through a whole scenario, with the relay's router
//! in between. The router and this test may allocate, the sessions may not.

use assert_no_alloc::{AllocDisabler, assert_no_alloc, reset_violation_count, violation_count};
use bytes::Bytes;
use byway::relay::router::{Answer, ExchangeId, Router, RouterConfig};
use byway::session::{ChannelId, Half, Lane, ListenerId, Session, Settings, Storage};
use byway::{Endpoint, Kind};

/// Counts what a thread allocates or frees where it may not.
#[global_allocator]
static HEAP: AllocDisabler = AllocDisabler;

/// Octets each way, through rings of 1 KiB.
const BULK: usize = 200_000;
/// Octets of the pieces in which bodies and answers come.
const PIECE: usize = 700;
const LANES: [Lane; 2] = [Lane::Park, Lane::Send];
/// More turns than this are no progress.
const PATIENCE: usize = 200_000;

type Memory = Storage<2, 1024, 1>;

/// An exchange, and what the router has not taken of its body.
struct Trip {
    id: ExchangeId,
    rest: Option<Bytes>,
}

/// A session and its exchanges under way.
struct Peer {
    memory: Memory,
    trips: [Option<Trip>; 2],
    /// Answers to parks that are to be lost.
    to_lose: usize,
}

impl Peer {
    fn new(n: u8, now: u64) -> Self {
        let mut peer = Self { memory: Memory::new(), trips: [None, None], to_lose: 0 };
        peer.call(|session| session.open(now, &Settings::new([n; 16], n.into())));
        peer
    }

    /// Calls the session, which must not allocate.
    fn call<T>(&mut self, act: impl FnOnce(&mut Session<'_>) -> T) -> T {
        let mut session = self.memory.session();
        let result = assert_no_alloc(|| act(&mut session));
        assert_eq!(violation_count(), 0, "a session call allocated");
        result
    }
}

struct World {
    router: Router,
    now: u64,
    peers: [Peer; 2],
}

impl World {
    fn new() -> Self {
        let config = RouterConfig::default();
        let now = config.grace_ms;
        let router = Router::new(config, 0);
        Self { router, now, peers: [1, 2].map(|n| Peer::new(n, now)) }
    }

    /// Begins the exchanges that are due, and carries what there is of all answers.
    fn turn(&mut self) {
        for peer in 0..2 {
            for lane in LANES {
                self.begin(peer, lane);
            }
        }
        for peer in 0..2 {
            for lane in LANES {
                self.carry(peer, lane);
            }
        }
        self.now += 1;
        let now = self.now;
        if self.router.poll_timeout().is_some_and(|due| due <= now) {
            self.router.handle_timeout(now);
        }
        while self.router.poll_wake().is_some() {}
        for peer in &mut self.peers {
            let due = peer.call(|session| LANES.map(|lane| session.poll_timeout(lane)));
            if due.into_iter().flatten().any(|due| due <= now) {
                peer.call(|session| session.handle_timeout(now));
            }
            while peer.call(|session| session.poll_wake()).is_some() {}
            while peer.call(|session| session.poll_event()).is_some() {}
        }
    }

    fn begin(&mut self, peer: usize, lane: Lane) {
        let (now, peer) = (self.now, &mut self.peers[peer]);
        let Some(exchange) = peer.call(|session| session.poll_exchange(now, lane)) else { return };
        let id = self.router.handle_open(now);
        let mut body = Vec::with_capacity(exchange.len);
        let mut piece = [0; PIECE];
        loop {
            let n = peer.call(|session| session.poll_body(now, lane, &mut piece));
            if n == 0 {
                break;
            }
            body.extend_from_slice(&piece[..n]);
        }
        peer.trips[lane as usize] = Some(Trip { id, rest: Some(body.into()) });
    }

    fn carry(&mut self, peer: usize, lane: Lane) {
        let (now, peer) = (self.now, &mut self.peers[peer]);
        let Some(Trip { id, rest }) = &mut peer.trips[lane as usize] else { return };
        let id = *id;
        if let Some(body) = rest {
            self.router.handle_body(now, id, body);
            if body.is_empty() {
                self.router.handle_body_end(now, id);
                *rest = None;
            }
        }
        loop {
            match self.router.poll_response(now, id) {
                Answer::Pending => return,
                Answer::Bytes(octets) if peer.to_lose == 0 || lane == Lane::Send => {
                    for piece in octets.chunks(PIECE) {
                        let taken = peer.call(|session| session.handle_response(now, lane, piece));
                        taken.expect("the relay's answer");
                    }
                }
                Answer::Bytes(_) => {}
                Answer::End => break,
            }
        }
        peer.trips[lane as usize] = None;
        let finished = peer.call(|session| session.handle_finished(now, lane));
        if lane == Lane::Park && peer.to_lose > 0 {
            peer.to_lose -= 1;
            finished.expect_err("it was lost");
        } else {
            finished.expect("the answer has its END");
        }
    }

    /// Turns until `done`.
    fn until(&mut self, mut done: impl FnMut(&mut [Peer; 2], u64) -> bool) {
        for _ in 0..PATIENCE {
            if done(&mut self.peers, self.now) {
                return;
            }
            self.turn();
        }
        panic!("no progress");
    }

    fn connect(&mut self, listener: ListenerId, at: Endpoint, kind: Kind) -> [ChannelId; 2] {
        let now = self.now;
        let one = self.peers[1].call(|s| s.connect(now, at, kind, b"hello")).expect("a channel");
        let mut zero = None;
        self.until(|[a, b], now| {
            zero = zero.or(a.call(|session| session.accept(now, listener)).expect("it listens"));
            b.call(|session| session.connected(one)).expect("not refused") && zero.is_some()
        });
        [zero.expect("accepted"), one]
    }

    fn listen(&mut self, at: Endpoint, kind: Kind) -> ListenerId {
        let now = self.now;
        let id = self.peers[0].call(|session| session.listen(now, at, kind, 2)).expect("free");
        self.until(|[a, _], _| a.call(|session| session.listening(id)).expect("granted"));
        id
    }

    /// `BULK` octets each way at once, then FIN each way.
    fn bulk(&mut self, ids: [ChannelId; 2]) {
        let (mut written, mut read, mut ended) = ([0; 2], [0; 2], [false; 2]);
        let mut out = [0; PIECE];
        let octet = |peer: usize, at: usize| (at * 31 + at / 251 + peer) as u8;
        self.until(|peers, now| {
            for (i, peer) in peers.iter_mut().enumerate() {
                let n = PIECE.min(BULK - written[i]);
                let bytes: [u8; PIECE] = std::array::from_fn(|k| octet(i, written[i] + k));
                if n > 0 {
                    let write = peer.call(|session| session.write(now, ids[i], &bytes[..n]));
                    written[i] += write.expect("the channel is there");
                    if written[i] == BULK {
                        peer.call(|session| session.shutdown(now, ids[i], Half::Write)).unwrap();
                    }
                }
                if ended[i] {
                    continue;
                }
                match peer.call(|session| session.read(now, ids[i], &mut out)).unwrap() {
                    Some(0) => ended[i] = true,
                    Some(n) => {
                        let right = |k: usize| out[k] == octet(1 - i, read[i] + k);
                        assert!((0..n).all(right), "wrong bytes behind {}", read[i]);
                        if read[i] < BULK / 2 && read[i] + n >= BULK / 2 {
                            peer.to_lose = 1;
                        }
                        read[i] += n;
                    }
                    None => {}
                }
            }
            ended == [true; 2]
        });
        assert_eq!((written, read), ([BULK; 2], [BULK; 2]));
    }

    /// A datagram each way, again and again until it comes.
    fn datagrams(&mut self, ids: [ChannelId; 2]) {
        let (mut got, mut out) = ([0; 2], [0; PIECE]);
        self.until(|peers, now| {
            for (i, peer) in peers.iter_mut().enumerate() {
                peer.call(|session| session.send_datagram(now, ids[i], &[i as u8; 300])).unwrap();
                let n = peer.call(|session| session.recv_datagram(now, ids[i], &mut out)).unwrap();
                if let Some(n) = n {
                    assert_eq!(out[..n], [1 - i as u8; 300]);
                    got[i] += 1;
                }
            }
            got.iter().all(|got| *got >= 20)
        });
    }
}

#[test]
fn a_session_never_allocates() {
    // The detector works.
    assert_no_alloc(|| drop(std::hint::black_box(Box::new(1))));
    assert_ne!(violation_count(), 0);
    reset_violation_count();

    let mut world = World::new();
    let at: Endpoint = "camera:1".parse().expect("an endpoint");
    let listener = world.listen(at, Kind::Stream);
    let stream = world.connect(listener, at, Kind::Stream);
    world.bulk(stream);
    let lost = world.peers.each_mut().map(|peer| peer.call(|session| session.stats().failed));
    assert_eq!(lost, [1; 2], "an answer each");
    let now = world.now;
    for (peer, id) in world.peers.iter_mut().zip(stream) {
        peer.call(|session| session.release(now, id));
    }
    world.peers[0].call(|session| session.unlisten(now, listener));

    let at: Endpoint = "camera:2".parse().expect("an endpoint");
    let listener = world.listen(at, Kind::Datagram);
    let datagrams = world.connect(listener, at, Kind::Datagram);
    world.datagrams(datagrams);

    let now = world.now;
    for peer in &mut world.peers {
        peer.call(|session| session.network_changed(now));
        peer.call(|session| session.close(now));
    }
    world.until(|peers, _| peers.iter_mut().all(|peer| peer.call(|session| session.is_closed())));
}
