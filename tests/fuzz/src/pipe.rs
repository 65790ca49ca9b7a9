//! Two encrypting sessions with a relay between them, on a path without latency. The relay changes what it
//! says as the input has it.

use std::sync::OnceLock;

use bytes::Bytes;
use byway::relay::router::{Answer, ExchangeId, Router, RouterConfig};
use byway::secure::{Identity, PublicKey, Secret};
use byway::session::{
    ChannelId, HeapStorage, Lane, ListenerId, Profile, Security, Session, Settings,
};
use byway::{Endpoint, Kind};

use crate::attacks::{Raw, join, parse, take_whole};

/// The most turns of all lanes at one time, or deadlines in a row, before the lanes must rest.
const BUSY: u32 = 20_000;

/// Records of rings as short as these are often in two pieces.
const PROFILE: Profile =
    Profile { channels: 4, ring: 1 << 10, pool: 0, listeners: 1, io_buffer: 1 << 10 };

/// What the listener says with every connection.
pub const ANSWER: &[u8] = b"ho";

/// Changes the messages that a session is to hear.
pub type Change<'a> = &'a mut dyn FnMut(usize, &mut Vec<Raw>);

const LANES: [Lane; 2] = [Lane::Park, Lane::Send];

/// An exchange under way.
struct Trip {
    id: ExchangeId,
    offered: Bytes,
    told: bool,
    /// Octets of a message that is not whole.
    answer: Vec<u8>,
}

/// The session that listens, then the one that connects.
pub struct Pipe {
    pub now: u64,
    router: Router,
    sessions: [HeapStorage; 2],
    listener: ListenerId,
    trips: [[Option<Trip>; 2]; 2],
}

fn identity(side: usize) -> &'static Identity {
    static IDENTITIES: OnceLock<[Identity; 2]> = OnceLock::new();
    &IDENTITIES.get_or_init(|| [1, 2].map(|octet| Identity::from_seed([octet; 32])))[side]
}

pub fn public_key(side: usize) -> PublicKey {
    static KEYS: OnceLock<[PublicKey; 2]> = OnceLock::new();
    KEYS.get_or_init(|| [0, 1].map(|side| identity(side).public_key()))[side]
}

fn endpoint() -> Endpoint {
    "name:1".parse().expect("an endpoint")
}

impl Pipe {
    /// Both sessions are open, with these shared secrets, and the first listens.
    pub fn new(kind: Kind, secrets: [u8; 2]) -> Self {
        let now = 1_000_000;
        let sessions = [0, 1].map(|side: usize| {
            let mut storage = HeapStorage::new(&PROFILE).expect("a valid profile");
            let mut session = storage.session();
            session.open(now, &Settings::new([side as u8 + 1; 16], side as u64));
            let security = Security::new(identity(side), Secret::new([side as u8 + 3; 32]));
            session.encrypt(security.with_shared_secret(Secret::new([secrets[side]; 32])));
            storage
        });
        let mut pipe = Self {
            now,
            router: Router::new(RouterConfig::default(), now),
            sessions,
            listener: ListenerId(0),
            trips: Default::default(),
        };
        let listened = pipe.session(0).listen_greeting(now, endpoint(), kind, 4, ANSWER);
        pipe.listener = listened.expect("the first listener");
        pipe.pump(&mut |_, _| {});
        pipe
    }

    pub fn session(&mut self, side: usize) -> Session<'_> {
        self.sessions[side].session()
    }

    pub fn connect(&mut self, kind: Kind, greeting: &[u8]) -> Option<ChannelId> {
        let now = self.now;
        self.session(1).connect(now, endpoint(), kind, greeting).ok()
    }

    pub fn accept(&mut self) -> Option<ChannelId> {
        let (now, listener) = (self.now, self.listener);
        self.session(0).accept(now, listener).ok().flatten()
    }

    /// Has a lane do what it can do at once; false if that is nothing.
    fn turn(&mut self, side: usize, n: usize, change: Change<'_>) -> bool {
        let (now, lane) = (self.now, LANES[n]);
        let Some(mut trip) = self.trips[side][n].take() else {
            let mut session = self.sessions[side].session();
            if lane == Lane::Send {
                session.handle_timeout(now);
            }
            let Some(exchange) = session.poll_exchange(now, lane) else { return false };
            let mut body = vec![0; exchange.len];
            assert_eq!(session.poll_body(now, lane, &mut body), exchange.len, "the whole body");
            let id = self.router.handle_open(now);
            let trip = Trip { id, offered: body.into(), told: false, answer: Vec::new() };
            self.trips[side][n] = Some(trip);
            return true;
        };
        let before = trip.offered.len();
        self.router.handle_body(now, trip.id, &mut trip.offered);
        let mut moved = trip.offered.len() < before;
        if trip.offered.is_empty() && !trip.told {
            self.router.handle_body_end(now, trip.id);
            trip.told = true;
            moved = true;
        }
        let mut session = self.sessions[side].session();
        match self.router.poll_response(now, trip.id) {
            Answer::Pending => {}
            Answer::Bytes(bytes) => {
                moved = true;
                trip.answer.extend_from_slice(&bytes);
                let mut messages = parse(&take_whole(&mut trip.answer));
                change(side, &mut messages);
                if let Err(cause) = session.handle_response(now, lane, &join(&messages)) {
                    session.handle_failure(now, lane, cause, true);
                    self.router.handle_gone(now, trip.id);
                    return true;
                }
            }
            Answer::End => {
                // What was changed may have taken its end.
                let _ = session.handle_finished(now, lane);
                return true;
            }
        }
        self.trips[side][n] = Some(trip);
        moved
    }

    pub fn pump(&mut self, change: Change<'_>) {
        for _ in 0..BUSY {
            let mut moved = false;
            for (side, lane) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                moved |= self.turn(side, lane, change);
            }
            for side in 0..2 {
                let mut session = self.session(side);
                while session.poll_wake().is_some() {}
                while session.poll_event().is_some() {}
            }
            while self.router.poll_wake().is_some() {}
            if !moved {
                return;
            }
        }
        panic!("exchanges follow each other for ever: {:?}", self.router.stats());
    }

    /// Lets time pass, from deadline to deadline, and calls `look` whenever all is quiet.
    pub fn pass(&mut self, ms: u64, change: Change<'_>, look: &mut dyn FnMut(&mut Self) -> bool) {
        let until = self.now + ms;
        for _ in 0..BUSY {
            self.pump(change);
            if look(self) {
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
}
