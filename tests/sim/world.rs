//! The world: a clock that jumps from event to event, sessions, and the relay between them.

use std::collections::{BTreeMap, VecDeque};

use byway::error::Blocked;
use byway::relay::router::{ExchangeId, Router, RouterConfig};
use byway::secure::Secret;
use byway::session::{Lane, Pace, Profile, Security, Settings, Wake};

use crate::app::Chan;
use crate::client::{Client, Memory, Peer};
use crate::fate::Faults;
use crate::flight::Flight;
use crate::net::{Link, Served, Trip};
use crate::path::Path;
use crate::relays::Relays;
use crate::rng::Rng;
use crate::seen::{AnswerHook, RelayHook, RequestHook};
use crate::speak::Speech;

/// More events than this within one ms are a busy loop.
const MOST_AT_ONCE: u32 = 20_000;

/// Octets that the rings of a tiny client's channel and of its peer take: ten records, each of 18 octets
/// besides.
pub const TINY_RINGS: u64 = 2 * 1024 - 10 * 18;

/// Names an exchange as a client sees it.
pub type TripId = u64;

/// An event, which happens at some time.
#[derive(Debug)]
pub enum Happens {
    /// The client's transport takes more of the body from the session.
    Pull(TripId),
    /// Octets arrive at the relay, or at the client.
    Up(TripId),
    Down(TripId),
    Fails(TripId, Blocked, bool),
    /// The client, or a gateway, may have run out of patience.
    Silence(TripId),
    Reset(TripId),
    Tires(TripId),
    /// The relay learns that a connection has ended.
    Gone(Link),
    /// A proxy repeats a request, for the last time or not.
    Again(TripId, Vec<u8>, bool),
    /// Octets that a client with one connection wrote behind its request arrive, or should have
    /// been answered.
    Spoken(TripId),
    Unanswered(TripId),
    Lane(usize, Lane, u64),
    RelayTimer(u64),
    App(usize, usize),
}

/// Work that is to be done at once.
#[derive(Debug)]
enum Job {
    Lane(usize, Lane),
    Break(TripId),
    Channel(usize, usize),
    Listener(usize, usize),
    /// The application looks at all its channels.
    Look(usize),
}

pub struct World {
    pub seed: u64,
    pub now: u64,
    pub rng: Rng,
    pub faults: Faults,
    pub router: Relays,
    pub router_config: RouterConfig,
    /// The pace of the peers made from now on.
    pub pace: Pace,
    /// The numbers of the peers to come that have one connection.
    pub single: Vec<usize>,
    /// Clients added from now on do not encrypt.
    pub plain: bool,
    /// The number of relays before this one.
    pub relay_generation: u64,
    pub relay_down_until: u64,
    /// Until when the relay reads and writes nothing.
    pub relay_stands_until: u64,
    pub relay_timer: Option<u64>,
    pub served: BTreeMap<Link, Served>,
    pub peers: Vec<Peer>,
    pub trips: BTreeMap<TripId, Trip>,
    /// The exchanges that are over: octets of the request, and of the answer that arrived.
    pub carried: Vec<(TripId, [usize; 2])>,
    pub chans: Vec<Chan>,
    pub on_request: Option<RequestHook>,
    pub on_answer: Option<AnswerHook>,
    pub on_relay: Option<RelayHook>,
    queue: BTreeMap<(u64, u64), Happens>,
    serial: u64,
    todo: VecDeque<Job>,
    at_once: u32,
    /// When the last fault ended.
    pub calm_since: u64,
    /// The longest time in ms that a stream has stood since then.
    pub longest_stall: u64,
    /// The windows that every client has told.
    pub flight: Flight,
    /// For each lane the longest time in ms until a client gave up an exchange that hung.
    pub longest_hang: [u64; 2],
    /// The number of exchanges that a gateway refused as too many (429).
    pub refused: u64,
    pub trace: bool,
}

pub fn index(lane: Lane) -> usize {
    match lane {
        Lane::Park => 0,
        Lane::Send => 1,
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self::with_relay(seed, RouterConfig::default())
    }

    /// A world with a cluster of so many relays.
    pub fn with_cluster(seed: u64, relays: usize) -> Self {
        let mut w = Self::new(seed);
        w.router = Relays::many(seed, relays, &w.router_config, w.now);
        w.settle();
        w
    }

    pub fn with_relay(seed: u64, router_config: RouterConfig) -> Self {
        // Not 0, as most clocks do not start there either.
        let now = 1_000_000;
        Self {
            seed,
            now,
            rng: Rng::new(seed),
            faults: Faults::default(),
            router: Relays::One(Box::new(Router::new(router_config.clone(), now))),
            router_config,
            pace: Pace::LongPoll,
            single: Vec::new(),
            plain: false,
            relay_generation: 0,
            relay_down_until: 0,
            relay_stands_until: 0,
            relay_timer: None,
            served: BTreeMap::new(),
            peers: Vec::new(),
            trips: BTreeMap::new(),
            carried: Vec::new(),
            chans: Vec::new(),
            on_request: None,
            on_answer: None,
            on_relay: None,
            queue: BTreeMap::new(),
            serial: 0,
            todo: VecDeque::new(),
            at_once: 0,
            calm_since: now,
            longest_stall: 0,
            flight: Flight::default(),
            longest_hang: [0; 2],
            refused: 0,
            trace: std::env::var_os("BYWAY_SIM_TRACE").is_some(),
        }
    }

    /// Adds a client whose session is open, and gives its number.
    pub fn peer(&mut self, profile: Profile) -> usize {
        self.peer_with(profile, |_| {})
    }

    pub fn peer_with(&mut self, profile: Profile, set: impl FnOnce(&mut Settings)) -> usize {
        let n = self.peers.len();
        let secret = self.secret(n);
        let mut settings = Settings::new(secret, self.seed ^ n as u64);
        settings.owner = [n as u8 + 1; 16];
        settings.epoch = self.now;
        settings.pace = self.pace;
        settings.key_proof = Some(self.proof(n, &secret));
        set(&mut settings);
        let mut storage = Memory::new(&profile, self.single.contains(&n)).expect("a valid profile");
        storage.session().open(self.now, &settings);
        if !self.plain {
            let mut entropy = [2; 32];
            entropy[..8].copy_from_slice(&self.seed.to_be_bytes());
            entropy[8] = n as u8;
            storage.session().encrypt(Security::new(&self.identity(n), Secret::new(entropy)));
        }
        self.peers.push(Peer {
            storage,
            profile,
            trips: [None; 2],
            timers: [None; 2],
            begun: [0; 2],
            latency: (5, 5),
            chunk: 16 << 10,
            whole: false,
            one_thread: false,
            speech: Speech::NEW,
            polls: false,
            looks: true,
            dark_until: 0,
            path: Path::CLEAN,
            last_answer: Vec::new(),
            events: Vec::new(),
            listens: Vec::new(),
        });
        self.woken(n);
        self.settle();
        n
    }

    pub fn schedule(&mut self, at: u64, what: Happens) {
        self.serial += 1;
        self.queue.insert((at.max(self.now), self.serial), what);
    }

    /// Calls a session, and does at once what follows from the call.
    pub fn with<T>(&mut self, peer: usize, act: impl FnOnce(&mut Client<'_>, u64) -> T) -> T {
        let now = self.now;
        let result = act(&mut self.peers[peer].session(), now);
        self.woken(peer);
        self.settle();
        result
    }

    /// Notes the lanes and applications that a session wakes.
    pub fn woken(&mut self, peer: usize) {
        if self.peers[peer].storage.is_single() {
            if !std::mem::replace(&mut self.peers[peer].polls, true) {
                self.todo.push_back(Job::Lane(peer, Lane::Park));
            }
            return;
        }
        let Peer { storage, events, trips, path, .. } = &mut self.peers[peer];
        let mut session = storage.session();
        while let Some(wake) = session.poll_wake() {
            match wake {
                Wake::BreakPark | Wake::BreakSend => {
                    let lane = match wake {
                        Wake::BreakPark => Lane::Park,
                        _ => Lane::Send,
                    };
                    path.drop_kept(lane);
                    let under_way = trips[index(lane)];
                    self.todo.extend(under_way.map(Job::Break));
                }
                Wake::Send | Wake::SendBy(_) => self.todo.push_back(Job::Lane(peer, Lane::Send)),
                Wake::Park => self.todo.push_back(Job::Lane(peer, Lane::Park)),
                Wake::Channel(slot) => self.todo.push_back(Job::Channel(peer, slot)),
                Wake::Listener(slot) => self.todo.push_back(Job::Listener(peer, slot)),
                Wake::Event | Wake::Session => {}
                wake => unreachable!("{wake:?} has no job in the simulation"),
            }
        }
        while let Some(event) = session.poll_event() {
            events.push(event);
        }
    }

    /// Goes on with the lane's loop.
    pub fn wake_lane(&mut self, peer: usize, lane: Lane) {
        self.todo.push_back(Job::Lane(peer, lane));
    }

    /// Does all work that is to be done at once.
    pub fn settle(&mut self) {
        loop {
            self.serve_relay();
            self.hear_of_cuts();
            let Some(job) = self.todo.pop_front() else { break };
            self.count();
            match job {
                Job::Lane(peer, lane) => self.run_lane(peer, lane),
                Job::Break(trip) => self.fail(trip, Blocked::Cut, true),
                Job::Look(peer) => self.look(peer),
                Job::Channel(peer, slot) => self.run_channel(peer, slot),
                Job::Listener(peer, slot) => self.run_listener(peer, slot),
            }
        }
        let timer = self.router.poll_timeout();
        if timer != self.relay_timer {
            self.relay_timer = timer;
            if let Some(at) = timer {
                self.schedule(at, Happens::RelayTimer(at));
            }
        }
    }

    /// A lane without an exchange begins one, or sleeps until its deadline.
    fn run_lane(&mut self, n: usize, lane: Lane) {
        let now = self.now;
        let peer = &mut self.peers[n];
        if peer.storage.is_single() {
            return self.poll_device(n);
        }
        if peer.trips[index(lane)].is_some() {
            if peer.one_thread {
                self.set_timer(n, lane);
            }
            return;
        }
        if lane == Lane::Send {
            // The timeouts are handled before each exchange, as exchanges may leave no pause for
            // long.
            peer.session().handle_timeout(now);
        }
        let exchange = peer.session().poll_exchange(now, lane);
        if let Some(exchange) = exchange {
            peer.timers[index(lane)] = None;
            self.begin(n, &exchange);
            if self.peers[n].one_thread {
                self.set_timer(n, lane);
            }
        } else {
            self.set_timer(n, lane);
        }
        let before = self.todo.len();
        self.woken(n);
        // The lane has just looked, after all wakes of its own.
        let itself = |job: &Job| matches!(job, Job::Lane(p, l) if *p == n && *l == lane);
        let woken = self.todo.split_off(before);
        self.todo.extend(woken.into_iter().filter(|job| !itself(job)));
    }

    /// Has the application of a peer look at all its channels.
    pub fn wake_all(&mut self, peer: usize) {
        self.todo.push_back(Job::Look(peer));
    }

    pub fn set_timer(&mut self, n: usize, lane: Lane) {
        let peer = &mut self.peers[n];
        let at = peer.session().poll_timeout(lane);
        if let Some(at) = at
            && peer.timers[index(lane)] != Some(at)
        {
            self.schedule(at, Happens::Lane(n, lane, at));
        }
        self.peers[n].timers[index(lane)] = at;
    }

    fn count(&mut self) {
        self.at_once += 1;
        if self.at_once == MOST_AT_ONCE {
            panic!("busy loop\n{}", self.dump());
        }
    }

    /// Goes on to the next event, unless that is after `until`; false if there is none before.
    pub fn step(&mut self, until: u64) -> bool {
        let Some((&(at, _), _)) = self.queue.first_key_value() else { return false };
        if at > until {
            return false;
        }
        if at > self.now {
            self.now = at;
            self.at_once = 0;
        }
        self.count();
        let Some((_, what)) = self.queue.pop_first() else { return false };
        let is_relays = matches!(
            what,
            Happens::Up(_) | Happens::Gone(_) | Happens::Again(..) | Happens::RelayTimer(_)
        );
        if is_relays && self.now < self.relay_stands_until {
            self.schedule(self.relay_stands_until, what);
            return true;
        }
        match what {
            Happens::Pull(trip) => self.pull(trip),
            Happens::Up(trip) => self.arrive_up(trip),
            Happens::Down(trip) => self.arrive_down(trip),
            Happens::Fails(trip, cause, sent) => self.fail(trip, cause, sent),
            Happens::Silence(trip) => self.silence(trip),
            Happens::Reset(trip) => self.reset(trip),
            Happens::Tires(trip) => self.tires(trip),
            Happens::Gone(link) => self.gone(link),
            Happens::Again(trip, body, answers) => self.again(trip, body, answers),
            Happens::Spoken(trip) => self.spoken(trip),
            Happens::Unanswered(trip) => self.unanswered(trip),
            Happens::Lane(peer, lane, at) => {
                if self.peers[peer].timers[index(lane)] == Some(at) {
                    self.peers[peer].timers[index(lane)] = None;
                    self.peers[peer].looks = true;
                    let now = self.now;
                    self.peers[peer].session().handle_timeout(now);
                    self.woken(peer);
                    self.wake_lane(peer, lane);
                }
            }
            Happens::RelayTimer(at) => {
                if self.relay_timer == Some(at) {
                    self.relay_timer = None;
                    self.router.handle_timeout(self.now);
                }
            }
            Happens::App(chan, side) => self.run_end(chan, side),
        }
        self.settle();
        true
    }

    /// Lets `ms` pass.
    pub fn run(&mut self, ms: u64) {
        let until = self.now + ms;
        while self.step(until) {}
        self.now = until;
        self.at_once = 0;
    }

    /// Runs until `is` holds; panics if it does not within `ms`.
    #[track_caller]
    pub fn run_until(&mut self, ms: u64, what: &str, mut is: impl FnMut(&mut Self) -> bool) -> u64 {
        let begun = self.now;
        while !is(self) {
            if !self.step(begun + ms) {
                panic!("no {what} within {ms} ms\n{}", self.dump());
            }
        }
        self.now - begun
    }

    /// Describes the whole world, for the text of a failure.
    pub fn dump(&mut self) -> String {
        use std::fmt::Write;
        let mut text =
            format!("BYWAY_SIM_SEED={} now {} relay {:?}\n", self.seed, self.now, self.router);
        let trace = self.trace;
        for (n, peer) in self.peers.iter_mut().enumerate() {
            if trace {
                let _ = writeln!(text, "session {n}: {:?}", peer.session());
            }
            let _ = writeln!(
                text,
                "peer {n}: {:?} trips {:?} timers {:?} begun {:?} events {:?}",
                peer.profile, peer.trips, peer.timers, peer.begun, peer.events
            );
        }
        for (id, trip) in &self.trips {
            let (peer, lane, fate, hung) = (trip.peer, trip.lane, trip.fate, trip.hung);
            let _ = writeln!(text, "trip {id}: peer {peer} {lane:?} {fate:?} hung {hung}");
        }
        for (n, chan) in self.chans.iter().enumerate() {
            let _ = writeln!(text, "chan {n}: {chan:?}");
        }
        for (at, what) in self.queue.iter().take(20) {
            let _ = writeln!(text, "{at:?} {what:?}");
        }
        text
    }

    /// Notes that a byte of a stream, or its end, reached an application.
    pub fn moved(&mut self, n: usize) {
        let since = self.chans[n].moved_at.max(self.calm_since);
        let stall = self.now.saturating_sub(since);
        if self.trace && stall > 15_000 {
            println!("chan {n} stood {stall}");
        }
        self.longest_stall = self.longest_stall.max(stall);
        self.chans[n].moved_at = self.now;
    }

    pub fn link(&self, id: ExchangeId) -> Link {
        (self.relay_generation, id)
    }

    /// Draws the time from the client to the relay, or back, in ms.
    pub fn latency(&mut self, peer: usize) -> u64 {
        let (least, most) = self.peers[peer].latency;
        self.rng.range(least, most)
    }
}
