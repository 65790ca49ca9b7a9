//! Two clients that talk through a misbehaving proxy, and what they check.

use std::collections::HashSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, Config, DatagramChannel, Stream};
use byway::error::PeerError;
use byway::relay::{Access, Relay, RelayConfig};
use byway::session::{Pace, Profile};
use byway::{Error, Kind};

use crate::fate::{Fault, Faults};
use crate::proxy::Proxy;
use crate::rng::fill;
use crate::scaled;

/// Far beyond what anything takes here, also beside other tests on a slow machine; what waits so
/// long has failed.
const LONG: Duration = Duration::from_secs(180);

/// Between looks at two things either of which may come.
const SOON: Duration = Duration::from_millis(100);

/// Bytes each way.
const BYTES: u64 = 384 << 10;

/// Datagrams each way at least, most octets of one, and the pause between two.
const DATAGRAMS: u64 = 400;
const DATAGRAM: u64 = 1200;
const PAUSE: Duration = Duration::from_millis(2);

/// When no datagram came for so long and all were sent, none is to come: several times their life.
const QUIET: Duration = Duration::from_secs(1);

/// Small rings, so that there are many exchanges.
const PROFILE: Profile =
    Profile { channels: 4, ring: 16 << 10, pool: 0, listeners: 2, io_buffer: 8 << 10 };

/// How likely a fault is alone, and beside the others, in per mille.
const ALONE: u64 = 200;
const TOGETHER: u64 = 30;

/// What is late is so by so many ms at most: no less than a send's deadline.
const LATE: u64 = 5000 / scaled::DOWN;

#[derive(Debug, Clone, Copy)]
pub struct Cell {
    pub seed: u64,
    pub kind: Kind,
    pub pace: Pace,
    /// `None`: all of them.
    pub fault: Option<Fault>,
    /// The proxy is asked in absolute form; else it stands before the relay.
    pub forward: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    /// The longest time that a receiver stood.
    pub stall: Duration,
    pub took: Duration,
    pub exchanges: u64,
    /// Exchanges to which something was done.
    pub struck: u64,
    /// Datagrams.
    pub lost: u64,
}

/// What a receiver saw.
struct Received {
    stall: Duration,
    /// Datagrams.
    lost: u64,
}

/// Datagrams of one direction.
#[derive(Default)]
struct Flow {
    sent: AtomicU64,
    received: AtomicU64,
    all_sent: AtomicBool,
}

impl Outcome {
    pub fn worse(self, other: Self) -> Self {
        Self {
            stall: self.stall.max(other.stall),
            took: self.took.max(other.took),
            exchanges: self.exchanges.max(other.exchanges),
            struck: self.struck.max(other.struck),
            lost: self.lost.max(other.lost),
        }
    }
}

impl Cell {
    pub fn run(&self) -> Outcome {
        let begun = Instant::now();
        let router = scaled::router(RelayConfig::default().router);
        let relay =
            Relay::bind(RelayConfig { router, access: Access::Open, ..RelayConfig::default() })
                .expect("binds");
        let faults = match self.fault {
            Some(fault) => Faults::each(&[fault], ALONE, LATE),
            None => Faults::each(Fault::OF_A_PROXY, TOGETHER, LATE),
        };
        let proxy = Proxy::start(relay.local_addr(), faults, self.seed).expect("a port");
        let clients = [0; 2].map(|_| Client::open(self.config(&relay, &proxy)).expect("opens"));
        let mut received = Vec::new();
        let (mut exchanges, mut struck) = (0, 0);
        // While nothing was done to any exchange, nothing was shown.
        while struck == 0 {
            assert!(begun.elapsed() < LONG, "the proxy behaved in {exchanges} exchanges");
            received.extend(match self.kind {
                Kind::Stream => self.streams(&clients),
                Kind::Datagram => self.datagrams(&clients),
            });
            (exchanges, struck) = proxy.counts();
        }
        for client in &clients {
            client.close(LONG).expect("everything was acknowledged");
        }
        (exchanges, struck) = proxy.counts();
        let lost = received.iter().map(|at| at.lost).sum();
        let stall = received.iter().map(|at| at.stall).max().unwrap_or_default();
        Outcome { stall, took: begun.elapsed(), exchanges, struck, lost }
    }

    fn config(&self, relay: &Relay, proxy: &Proxy) -> Config {
        let at = format!("http://{}", proxy.address);
        let mut config = match self.forward {
            true => Config { proxy: byway::transport::Proxy::Url(at), ..Config::new(relay.url()) },
            false => Config::new(at),
        };
        config.profile = PROFILE;
        config.pace = self.pace;
        config.timers = scaled::timers();
        config.open_timeout = LONG;
        config.connect_timeout = LONG;
        config
    }

    /// Names the content that a side sends.
    fn key(&self, side: usize) -> u64 {
        self.seed << 1 | side as u64
    }

    fn streams(&self, [near, far]: &[Client; 2]) -> [Received; 2] {
        let listener = near.listen("rogue:1").expect("listens");
        let accept = |wait| listener.accept_timeout(wait);
        let ends = pair(
            accept,
            || far.connect("rogue:1"),
            |mut end: &Stream| {
                end.set_read_timeout(Some(SOON))?;
                end.read(&mut [0])
            },
        );
        for end in &ends {
            end.set_read_timeout(Some(LONG)).expect("valid");
            end.set_write_timeout(Some(LONG)).expect("valid");
        }
        let received = thread::scope(|scope| {
            for (side, end) in ends.iter().enumerate() {
                scope.spawn(move || write(end, self.key(side)));
            }
            let [zero, one] = [0, 1].map(|side| {
                let end = &ends[side];
                scope.spawn(move || read(end, self.key(1 - side)))
            });
            [zero, one].map(|reader| reader.join().expect("read everything"))
        });
        for end in ends {
            end.close().expect("everything was acknowledged");
        }
        received
    }

    fn datagrams(&self, [near, far]: &[Client; 2]) -> [Received; 2] {
        let listener = near.listen_datagram("rogue:1").expect("listens");
        let accept = |wait| listener.accept_timeout(wait);
        let ends = pair(
            accept,
            || far.connect_datagram("rogue:1"),
            |end: &DatagramChannel| {
                end.set_read_timeout(Some(SOON))?;
                end.recv(&mut [0])
            },
        );
        for end in &ends {
            end.set_read_timeout(Some(QUIET)).expect("valid");
            end.set_write_timeout(Some(LONG)).expect("valid");
        }
        let flows = [Flow::default(), Flow::default()];
        thread::scope(|scope| {
            for (side, end) in ends.iter().enumerate() {
                let flow = &flows[side];
                scope.spawn(move || send(end, self.key(side), flow));
            }
            let [zero, one] = [0, 1].map(|side| {
                let (end, flow) = (&ends[side], &flows[1 - side]);
                scope.spawn(move || receive(end, self.key(1 - side), flow))
            });
            [zero, one].map(|receiver| receiver.join().expect("received"))
        })
    }
}

/// Connects. A listener whose every word was lost gives up; then the connector hears of it.
fn pair<C>(
    accept: impl Fn(Duration) -> Result<C, Error>,
    connect: impl Fn() -> Result<C, Error>,
    hear: impl Fn(&C) -> io::Result<usize>,
) -> [C; 2] {
    let begun = Instant::now();
    let mut connector = None;
    while begun.elapsed() < LONG {
        let Some(end) = &connector else {
            connector = match connect() {
                // Its last answer was lost, and nothing came of it for longer than the relay's grace.
                Err(Error::Peer(PeerError::NoListener)) => None,
                connected => Some(connected.expect("connects")),
            };
            continue;
        };
        match accept(SOON) {
            Ok(accepted) => return [accepted, connector.expect("was just there")],
            Err(Error::TimedOut) => {}
            Err(error) => panic!("accepting: {error}"),
        }
        match hear(end) {
            Ok(_) => panic!("nobody spoke"),
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            Err(error) => {
                println!("connects again: {error}");
                connector = None;
            }
        }
    }
    panic!("no connection, or none that was accepted or given up");
}

fn write(mut end: &Stream, key: u64) {
    let mut piece = [0; 4096];
    for at in (0..BYTES).step_by(piece.len()) {
        fill(key, at, &mut piece);
        end.write_all(&piece).expect("written");
    }
    end.shutdown(Shutdown::Write).expect("shut down");
}

fn read(mut end: &Stream, key: u64) -> Received {
    let (mut heard, mut expected) = ([0; 8192], [0; 8192]);
    let (mut count, mut stall, mut last) = (0, Duration::ZERO, Instant::now());
    loop {
        let got = end.read(&mut heard).unwrap_or_else(|error| panic!("at {count}: {error}"));
        stall = stall.max(last.elapsed());
        last = Instant::now();
        if got == 0 {
            break;
        }
        fill(key, count, &mut expected[..got]);
        assert!(heard[..got] == expected[..got], "lost or doubled at {count}");
        count += got as u64;
    }
    assert_eq!(count, BYTES);
    Received { stall, lost: 0 }
}

/// Octets of a datagram: its number, and content.
fn datagram(key: u64, number: u64) -> Vec<u8> {
    let mut octets = vec![0; (8 + number.wrapping_mul(7919) % (DATAGRAM - 8)) as usize];
    fill(key ^ number << 32, 0, &mut octets);
    octets[..8].copy_from_slice(&number.to_be_bytes());
    octets
}

/// Sends so many, and goes on until one came.
fn send(end: &DatagramChannel, key: u64, flow: &Flow) {
    let begun = Instant::now();
    for number in 0.. {
        if number >= DATAGRAMS && flow.received.load(Relaxed) > 0 {
            break;
        }
        assert!(begun.elapsed() < LONG, "nothing came");
        end.send(&datagram(key, number)).expect("sent");
        flow.sent.fetch_add(1, Relaxed);
        thread::sleep(PAUSE);
    }
    flow.all_sent.store(true, Relaxed);
}

fn receive(end: &DatagramChannel, key: u64, flow: &Flow) -> Received {
    let mut heard = vec![0; end.max_datagram().expect("open")];
    let (mut numbers, mut stall, mut last) = (HashSet::new(), Duration::ZERO, Instant::now());
    loop {
        let was_over = flow.all_sent.load(Relaxed);
        let got = match end.recv(&mut heard) {
            Ok(got) => got,
            Err(error) if error.kind() == ErrorKind::TimedOut && was_over => break,
            Err(error) if error.kind() == ErrorKind::TimedOut && last.elapsed() < LONG => continue,
            Err(error) => panic!("behind {} datagrams: {error}", numbers.len()),
        };
        stall = stall.max(last.elapsed());
        last = Instant::now();
        let number = heard[..8].try_into().map(u64::from_be_bytes).expect("8 octets");
        assert!(heard[..got] == datagram(key, number), "datagram {number} is damaged");
        assert!(numbers.insert(number), "datagram {number} came twice");
        flow.received.fetch_add(1, Relaxed);
    }
    Received { stall, lost: flow.sent.load(Relaxed) - numbers.len() as u64 }
}
