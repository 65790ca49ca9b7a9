//! A relay on real sockets that changes what it passes on, between real clients with their defaults: nothing
//! but errors, and no wrong octet at any application. `BYWAY_TAMPER_RUNS` sets how many runs of each attack,
//! `BYWAY_TAMPER_SEED` replays one of them.

use std::collections::HashSet;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use byway::client::{Channel, ChannelKind, Client, Config, DatagramChannel, Listener, Stream};
use byway::error::Error;
use byway::relay::{Access, Relay, RelayConfig};
use byway::{Endpoint, Kind};

use crate::attacks::{Attack, Hostile, is_clear, take_whole};
use crate::proxy::Proxy;
use crate::rng::{Rng, fill};
use crate::scaled;
use crate::seeds::{number, spread};

/// Runs of each attack on each kind of channel, one of each strength.
const RUNS: u64 = 3;

/// How often a relay strikes, by the thousand.
const OFTEN: [u64; 3] = [20, 200, 1000];

/// Cells at once: most of the time they wait.
const AT_ONCE: usize = 16;

/// Far beyond what anything takes here; what waits so long hangs.
const LONG: Duration = Duration::from_secs(90);

/// How long a connection may take that the relay tampers with: the answer may never come.
const CONNECT: Duration = Duration::from_secs(3);

/// A datagram channel is given up behind this time if the relay tampers with it: nothing may ever come.
const DATAGRAMS_FOR: Duration = Duration::from_secs(2);

/// How long octets may take of which the relay may have told the sender that they have arrived: if it lost
/// them, nobody says them again, as if it kept them back.
const HELD: Duration = Duration::from_secs(5);

/// Between looks at two things either of which may come.
const SOON: Duration = Duration::from_millis(50);

/// Between two writes, so that they go in several messages.
const PAUSE: Duration = Duration::from_millis(2);

/// Connections at once, and such rounds: later ones are made when the relay has seen others.
const CONNECTIONS: u64 = 3;
const ROUNDS: u64 = 2;

/// Most octets of a stream, each way, and of a write.
const OCTETS: u64 = 30_000;
const WRITE: u64 = 700;

/// Datagrams that are to arrive each way, and most octets of one behind its number.
const DATAGRAMS: u64 = 20;
const DATAGRAM: u64 = 400;

/// Octets of a datagram's number.
const NUMBER: usize = 8;

/// The hostile relay, as far as one of its two clients sees it.
pub struct Tampering {
    pub relay: Arc<Mutex<Hostile>>,
    pub peer: usize,
    pub gather: Option<Duration>,
}

impl Tampering {
    /// Changes the whole messages of an answer so far, and takes them out of `octets`.
    pub fn change(&self, octets: &mut Vec<u8>) -> Vec<u8> {
        let mut messages = take_whole(octets);
        lock(&self.relay).change(self.peer, &mut messages);
        messages
    }

    /// How long it waits before it looks for more of an answer.
    pub fn gathers(&self) -> Option<Duration> {
        self.gather
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    kind: Kind,
    attack: Attack,
    seed: u64,
    /// Whether the relay attacks at all.
    strikes: bool,
}

/// What came of a cell.
#[derive(Debug, Clone, Copy, Default)]
struct Outcome {
    struck: u32,
    /// Ends of channels that saw everything, and that failed.
    whole: u64,
    failed: u64,
    took: Duration,
}

/// A connection. Its ends are those of the listener and of the connector.
struct Chan {
    key: u64,
    port: u16,
    ends: [End; 2],
}

#[derive(Default)]
struct End {
    is_used: AtomicBool,
    /// Octets or datagrams.
    sent: AtomicU64,
    received: AtomicU64,
    /// The application is done with it.
    is_over: AtomicBool,
}

/// What all threads of a cell share.
struct Shared {
    cell: Cell,
    chans: Vec<Chan>,
    whole: AtomicU64,
    failed: AtomicU64,
    is_over: AtomicBool,
}

impl Cell {
    fn run(&self) -> Outcome {
        let begun = Instant::now();
        let router = scaled::router(RelayConfig::default().router);
        let config = RelayConfig { router, access: Access::Open, ..RelayConfig::default() };
        let relay = Relay::bind(config).expect("binds");
        let often = if self.strikes { OFTEN[self.seed as usize % OFTEN.len()] } else { 0 };
        let hostile = Hostile::new(self.attack, often, Rng::new(self.seed ^ 0xbad));
        let hostile = Arc::new(Mutex::new(hostile));
        let gather = (self.attack == Attack::Reorder).then_some(SOON);
        let proxies = [0, 1].map(|peer| {
            let tampering = Tampering { relay: Arc::clone(&hostile), peer, gather };
            Proxy::hostile(relay.local_addr(), tampering).expect("a port")
        });
        let clients = [0, 1].map(|peer: usize| {
            let timers = scaled::timers();
            let url = format!("http://{}", proxies[peer].address);
            Client::open(Config { timers, open_timeout: LONG, ..Config::new(url) }).expect("opens")
        });
        let mut rng = Rng::new(self.seed);
        let chans = (0..CONNECTIONS * ROUNDS).map(|_| Chan {
            key: rng.next(),
            port: 1 + rng.below(2) as u16,
            ends: Default::default(),
        });
        let shared = Shared {
            cell: *self,
            chans: chans.collect(),
            whole: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        };
        let [listens, connects] = &clients;
        match self.kind {
            Kind::Stream => {
                let listen = |port| listens.listen(endpoint(port)).expect("listens");
                shared.run([1, 2].map(listen), connects, Shared::stream);
            }
            Kind::Datagram => {
                let listen = |port| listens.listen_datagram(endpoint(port)).expect("listens");
                shared.run([1, 2].map(listen), connects, Shared::datagrams);
            }
        }
        for client in &clients {
            client.abort();
        }
        let Shared { whole, failed, .. } = shared;
        let [whole, failed] = [whole, failed].map(AtomicU64::into_inner);
        if !self.strikes {
            assert_eq!((whole, failed), (2 * CONNECTIONS * ROUNDS, 0), "{self:?}");
        }
        Outcome { struck: lock(&hostile).struck, whole, failed, took: begun.elapsed() }
    }
}

/// Says that all is over when it is dropped, also by a panic: else listeners would wait for ever.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

fn endpoint(port: u16) -> Endpoint {
    ("b", port).try_into().expect("an endpoint")
}

/// What is said with a connection: its number.
fn greeting(n: usize) -> [u8; 8] {
    (n as u64).to_be_bytes()
}

impl Shared {
    /// Connects, and has `run` use both ends of all connections.
    fn run<K: ChannelKind + 'static>(
        &self,
        listeners: [Listener<Channel<K>>; 2],
        connects: &Client,
        run: fn(&Self, usize, usize, Channel<K>),
    ) {
        thread::scope(|scope| {
            let over = Over(&self.is_over);
            let listening: Vec<_> = (1..)
                .zip(listeners)
                .map(|(port, listener)| {
                    scope.spawn(move || self.accept(scope, port, &listener, run))
                })
                .collect();
            let numbers: Vec<_> = (0..self.chans.len()).collect();
            for round in numbers.chunks(CONNECTIONS as usize) {
                let connect = |n: &usize| {
                    let n = *n;
                    scope.spawn(move || self.connect(n, connects, run))
                };
                let connecting: Vec<_> = round.iter().map(connect).collect();
                for thread in connecting {
                    thread.join().expect("an end of a connector");
                }
            }
            drop(over);
            for thread in listening {
                thread.join().expect("a listener");
            }
        });
    }

    fn connect<K: ChannelKind>(
        &self,
        n: usize,
        connects: &Client,
        run: fn(&Self, usize, usize, Channel<K>),
    ) {
        let patience = if self.cell.strikes { CONNECT } else { LONG };
        let at = endpoint(self.chans[n].port);
        match connects.connect_greeting(at, &greeting(n), patience) {
            Ok(channel) => run(self, n, 1, channel),
            Err(Error::TimedOut) if self.cell.strikes => {}
            Err(error) => self.fails(n, 1, error),
        }
    }

    fn accept<'scope, K: ChannelKind + 'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        port: u16,
        listener: &Listener<Channel<K>>,
        run: fn(&Self, usize, usize, Channel<K>),
    ) {
        while !self.is_over.load(SeqCst) {
            match listener.accept_timeout(SOON) {
                Ok(channel) => {
                    // It may have ended meanwhile, and even then says what it was greeted with, or nothing.
                    let Ok(said) = channel.greeting() else { continue };
                    let n = self.chans.iter().enumerate().position(|(n, _)| said == greeting(n));
                    let n = n.unwrap_or_else(|| panic!("{:?}: greeting {said:?}", self.cell));
                    let chan = &self.chans[n];
                    assert_eq!(chan.port, port, "{:?}: brought to the other listener", self.cell);
                    let is_used = chan.ends[0].is_used.swap(true, SeqCst);
                    assert!(!is_used, "{:?}: channel {n} a second time", self.cell);
                    scope.spawn(move || run(self, n, 0, channel));
                }
                Err(Error::TimedOut) => {}
                Err(error) => panic!("{:?}: accepting: {error}", self.cell),
            }
        }
    }

    fn fails(&self, n: usize, side: usize, error: Error) {
        assert!(is_clear(error), "{:?} channel {n} side {side}: {error:?}", self.cell);
        assert!(self.cell.strikes, "{:?} channel {n} side {side}: {error:?}", self.cell);
        self.failed.fetch_add(1, SeqCst);
    }

    fn ends(&self, n: usize, side: usize, result: Result<bool, Error>) {
        self.chans[n].ends[side].is_over.store(true, SeqCst);
        match result {
            Ok(is_whole) => {
                self.whole.fetch_add(is_whole.into(), SeqCst);
            }
            Err(error) => self.fails(n, side, error),
        }
    }

    fn stream(&self, n: usize, side: usize, stream: Stream) {
        let result = self.stream_both_ways(n, side, &stream);
        self.ends(n, side, result);
    }

    fn stream_both_ways(&self, n: usize, side: usize, stream: &Stream) -> Result<bool, Error> {
        let (chan, which) = (&self.chans[n], format!("{:?} channel {n} side {side}", self.cell));
        let (mine, other) = (&chan.ends[side], &chan.ends[1 - side]);
        let key = |side: usize| chan.key ^ side as u64;
        let all = Rng::new(key(side)).below(OCTETS);
        let mut at = 0;
        while at < all {
            let mut part = vec![0; (all - at).min(WRITE) as usize];
            fill(key(side), at, &mut part);
            at += stream.send_timeout(&part, Some(LONG))? as u64;
            mine.sent.store(at, SeqCst);
            thread::sleep(PAUSE);
        }
        stream.shutdown(Shutdown::Write)?;
        let withholds = self.cell.strikes && self.cell.attack == Attack::Acknowledge;
        let patience = if withholds { HELD } else { LONG };
        let (mut heard, mut expected) = ([0; 300], [0; 300]);
        let mut count = 0;
        loop {
            let got = match stream.recv_timeout(&mut heard, Some(patience)) {
                Err(Error::TimedOut) if patience == HELD => return Ok(false),
                Err(Error::TimedOut) => panic!("{which} hangs at {count}"),
                got => got?,
            };
            if got == 0 {
                break;
            }
            fill(key(1 - side), count, &mut expected[..got]);
            assert!(heard[..got] == expected[..got], "{which}: other octets at {count}");
            count += got as u64;
        }
        // An application that has failed drops its end, which ends its stream in order.
        assert_eq!(count, other.sent.load(SeqCst), "{which}: ended before its end");
        Ok(count == Rng::new(key(1 - side)).below(OCTETS))
    }

    fn datagrams(&self, n: usize, side: usize, channel: DatagramChannel) {
        let result = self.datagrams_both_ways(n, side, &channel);
        self.ends(n, side, result);
    }

    fn datagrams_both_ways(
        &self,
        n: usize,
        side: usize,
        channel: &DatagramChannel,
    ) -> Result<bool, Error> {
        let (begun, chan) = (Instant::now(), &self.chans[n]);
        let which = format!("{:?} channel {n} side {side}", self.cell);
        let (mine, other) = (&chan.ends[side], &chan.ends[1 - side]);
        let key = |side: usize| chan.key ^ side as u64;
        let patience = if self.cell.strikes { DATAGRAMS_FOR } else { LONG };
        let has_all = |end: &End| end.received.load(SeqCst) >= DATAGRAMS;
        let (mut numbers, mut heard) = (HashSet::new(), vec![0; channel.max_datagram()?]);
        loop {
            // While one is there, the other end may still be at work.
            let is_whole = has_all(mine) && has_all(other);
            if is_whole && (side == 1 || other.is_over.load(SeqCst)) {
                return Ok(true);
            }
            if begun.elapsed() > patience {
                assert!(self.cell.strikes, "{which} hangs");
                return Ok(is_whole);
            }
            let number = mine.sent.fetch_add(1, SeqCst);
            channel.send_timeout(&datagram(key(side), number), Some(LONG))?;
            let got = match channel.recv_timeout(&mut heard, Some(PAUSE)) {
                Err(Error::TimedOut) => continue,
                Err(_) if is_whole => return Ok(true),
                got => got?,
            };
            let number = heard[..got].first_chunk().map(|octets| u64::from_be_bytes(*octets));
            let number = number.unwrap_or_else(|| panic!("{which}: a datagram of {got} octets"));
            let is_right =
                number < other.sent.load(SeqCst) && heard[..got] == datagram(key(1 - side), number);
            assert!(is_right, "{which}: datagram {number} is not what was sent");
            assert!(numbers.insert(number), "{which}: datagram {number} a second time");
            mine.received.store(numbers.len() as u64, SeqCst);
        }
    }
}

/// Octets of a datagram: its number, and content.
fn datagram(key: u64, number: u64) -> Vec<u8> {
    let mut octets = vec![0; NUMBER + (number.wrapping_mul(7919) % DATAGRAM) as usize];
    fill(key ^ number << 32, 0, &mut octets);
    octets[..NUMBER].copy_from_slice(&number.to_be_bytes());
    octets
}

#[test]
fn changes_by_a_relay_on_sockets_are_errors_and_never_wrong_octets() {
    let seeds = match number("BYWAY_TAMPER_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BYWAY_TAMPER_RUNS").unwrap_or(RUNS),
    };
    let mut cells = Vec::new();
    for kind in [Kind::Stream, Kind::Datagram] {
        let cell = |attack, seed, strikes| Cell { kind, attack, seed, strikes };
        for attack in Attack::ALL {
            cells.extend(seeds.clone().map(|seed| cell(attack, seed, true)));
        }
        cells.extend(seeds.clone().map(|seed| cell(Attack::Reorder, seed, false)));
    }
    let ran = spread(cells, Some(AT_ONCE), Cell::run);
    println!("strikes, ends that saw everything, ends that failed, longest run in ms");
    for kind in [Kind::Stream, Kind::Datagram] {
        for attack in Attack::ALL {
            let is = |cell: &Cell| cell.strikes && (cell.kind, cell.attack) == (kind, attack);
            let mut sum = Outcome::default();
            for (_, outcome) in ran.done.iter().filter(|(cell, _)| is(cell)) {
                sum.struck += outcome.struck;
                sum.whole += outcome.whole;
                sum.failed += outcome.failed;
                sum.took = sum.took.max(outcome.took);
            }
            let Outcome { struck, whole, failed, took } = sum;
            let name = format!("{kind:?} {attack:?}");
            println!("{name:26} {struck:6} {whole:4} {failed:4} {:6}", took.as_millis());
            assert!(struck > 0 || kind == Kind::Datagram, "{attack:?} never struck");
        }
    }
    ran.check();
}
