//! Those who use the relay as it is meant: a pair, and newcomers.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, Config, Stream};
use byway::session::{Pace, Profile};
use byway::wire::Address;

/// What the pair is to transfer, in octets a second: well below what the relay can do, so that the
/// attackers' use of this machine's processors counts little.
pub const OFFERED: u64 = 20_000_000;

/// The pair sends so often.
const BEAT: Duration = Duration::from_millis(10);

/// The time between two round trips.
const PING_EVERY: Duration = Duration::from_millis(5);

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

fn config(relay: SocketAddr, profile: Profile) -> Config {
    let timeout = Duration::from_secs(20);
    Config { profile, open_timeout: timeout, ..Config::new(format!("http://{relay}")) }
}

/// Two clients that transfer, and make round trips.
pub struct Pair {
    over: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    trips: Arc<Mutex<Vec<Duration>>>,
    /// The sender's session, whose peer acknowledges.
    sender: Address,
    threads: Vec<thread::JoinHandle<()>>,
    _clients: [Client; 2],
}

/// What the pair had of a time.
pub struct Had {
    /// Octets a second.
    pub rate: f64,
    pub p99: Duration,
    pub trips: usize,
}

impl Pair {
    /// Begins at the relay.
    pub fn start(relay: SocketAddr) -> Result<Self, Failure> {
        let server = Client::open(config(relay, Profile::SERVER))?;
        let client = Client::open(config(relay, Profile::PC))?;
        let sink = server.listen("sink:1")?;
        let echo = server.listen("echo:1")?;
        let bulk = client.connect("sink:1")?;
        let pings = client.connect("echo:1")?;
        let over = Arc::new(AtomicBool::new(false));
        let (received, trips) = (Arc::new(AtomicU64::new(0)), Arc::default());
        let mut threads = Vec::new();
        let taken = sink.accept()?;
        let sender = taken.peer()?;
        let count = Arc::clone(&received);
        threads.push(thread::spawn(move || take(&taken, &count)));
        let stop = Arc::clone(&over);
        threads.push(thread::spawn(move || give(&bulk, &stop)));
        let (stop, kept) = (Arc::clone(&over), Arc::clone(&trips));
        threads.push(thread::spawn(move || ping(&pings, &stop, &kept)));
        thread::spawn(move || {
            while let Ok(stream) = echo.accept_timeout(Duration::from_secs(3600)) {
                thread::spawn(move || answer(&stream));
            }
        });
        Ok(Self { over, received, trips, sender, threads, _clients: [server, client] })
    }

    pub fn sender(&self) -> Address {
        self.sender
    }

    /// Looks on for so long.
    pub fn watch(&self, time: Duration) -> Had {
        self.kept().clear();
        let (began, before) = (Instant::now(), self.received.load(Relaxed));
        thread::sleep(time);
        let rate = (self.received.load(Relaxed) - before) as f64 / began.elapsed().as_secs_f64();
        let mut trips = std::mem::take(&mut *self.kept());
        trips.sort_unstable();
        // A round trip that does not come back takes at least as long as it was waited for.
        let p99 = trips.get(trips.len() * 99 / 100).copied().unwrap_or(time);
        Had { rate, p99, trips: trips.len() }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Duration>> {
        self.trips.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        for client in &self._clients {
            client.abort();
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn take(stream: &Stream, count: &AtomicU64) {
    let mut octets = vec![0; 256 * 1024];
    while let Ok(n @ 1..) = (&*stream).read(&mut octets) {
        count.fetch_add(n as u64, Relaxed);
    }
}

fn give(stream: &Stream, over: &AtomicBool) {
    let octets = vec![0x3c; (OFFERED * BEAT.as_millis() as u64 / 1000) as usize];
    let began = Instant::now();
    let mut sent = 0_u64;
    while !over.load(Relaxed) && (&*stream).write_all(&octets).is_ok() {
        sent += octets.len() as u64;
        let due = began + Duration::from_secs_f64(sent as f64 / OFFERED as f64);
        let now = Instant::now();
        match due.checked_duration_since(now) {
            Some(wait) => thread::sleep(wait),
            // What was not possible is not made up for: half a second at most.
            None if now - due > Duration::from_millis(500) => {
                sent += (OFFERED as f64 * (now - due).as_secs_f64()) as u64;
            }
            None => {}
        }
    }
}

fn ping(stream: &Stream, over: &AtomicBool, kept: &Mutex<Vec<Duration>>) {
    let mut octets = [7; 64];
    while !over.load(Relaxed) {
        let began = Instant::now();
        if (&*stream).write_all(&octets).is_err() || (&*stream).read_exact(&mut octets).is_err() {
            return;
        }
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(began.elapsed());
        thread::sleep(PING_EVERY);
    }
}

fn answer(stream: &Stream) {
    let mut octets = [0; 64];
    while (&*stream).read_exact(&mut octets).is_ok() && (&*stream).write_all(&octets).is_ok() {}
}

/// How long a newcomer takes to open, connect, and have an answer.
pub fn newcomer(relay: SocketAddr) -> Result<Duration, Failure> {
    let began = Instant::now();
    let client = Client::open(config(relay, Profile::PHONE))?;
    let stream = client.connect("echo:1")?;
    let mut octets = [9; 64];
    (&stream).write_all(&octets)?;
    (&stream).read_exact(&mut octets)?;
    let took = began.elapsed();
    client.abort();
    Ok(took)
}

/// An idle phone that spares its battery, and listens at `phone:1`.
pub struct Phone {
    client: Client,
    _listener: byway::client::Listener<Stream>,
    pub address: Address,
}

impl Phone {
    /// `friend` learns the phone's address from a connection that the phone accepts.
    pub fn start(relay: SocketAddr, friend: SocketAddr) -> Result<Self, Failure> {
        let config = Config { pace: Pace::Battery, ..config(relay, Profile::PHONE) };
        let client = Client::open(config)?;
        let listener = client.listen("phone:1")?;
        let friend = Client::open(self::config(friend, Profile::PHONE))?;
        let stream = friend.connect("phone:1")?;
        let address = stream.peer()?;
        let accepted = listener.accept()?;
        stream.close()?;
        drop(accepted);
        Ok(Self { client, _listener: listener, address })
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        let stats = self.client.stats();
        stats.sends + stats.parks
    }
}

/// A client that takes channels of others.
pub struct Stranger {
    client: Client,
    taken: Mutex<Vec<Stream>>,
}

impl Stranger {
    pub fn start(relay: SocketAddr) -> Result<Self, Failure> {
        let client = Client::open(config(relay, Profile::SERVER))?;
        Ok(Self { client, taken: Mutex::default() })
    }

    /// Takes channels at `echo:1` until there are no more; how many.
    pub fn take_channels(&self) -> usize {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(stream) = self.client.connect_timeout("echo:1", Duration::from_secs(1)) {
            taken.push(stream);
        }
        taken.len()
    }

    /// Sends an octet on each channel that it still has.
    pub fn use_channels(&self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|stream| (&*stream).write_all(b"x").is_ok());
    }
}
