//! A peer: it opens its channels, tells so, waits for the order, does its work, and reports.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::num::NonZeroU8;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, Config, Listener, Stream};
use byway::session::{Pace, Profile, Stats};
use serde::{Deserialize, Serialize};

use crate::floor::BUFFER;
use crate::part::{say, until_told};
use crate::posts::{Bare, ByClient, PING, Posts};
use crate::system::System;
use crate::{HEAP, Result};

/// How much longer than the measurement data is sent, so that the end is not measured.
const BEYOND: Duration = Duration::from_millis(200);

/// The orders of a peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// Whether the peer listens, and answers.
    pub listens: bool,
    pub system: System,
    /// The relay's URL, or an address.
    pub at: String,
    /// The URL of a proxy.
    pub proxy: Option<String>,
    pub profile: String,
    pub work: Work,
}

/// The work of a cell.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Work {
    /// Whether a channel plays ping-pong.
    pub pings: bool,
    /// The number of channels that are kept full.
    pub bulk: usize,
    /// Whether these channels carry both ways.
    pub both: bool,
    /// The octets of each write to these channels.
    pub write: usize,
    /// How long before the measurement the work begins, and how long the measurement takes, in ms.
    pub warm_ms: u64,
    pub run_ms: u64,
}

impl Work {
    fn warm(&self) -> Duration {
        Duration::from_millis(self.warm_ms)
    }

    fn run(&self) -> Duration {
        Duration::from_millis(self.run_ms)
    }
}

/// The measurements of a peer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Seen {
    /// The round trips in µs, sorted.
    pub round_trips: Vec<f64>,
    /// The octets that each channel received during the measurement, and in all.
    pub measured: Vec<u64>,
    pub received: u64,
    pub exchanges: u64,
    pub retransmitted: u64,
    pub allocations: u64,
}

/// Plays a peer.
pub fn run(order: &Order) -> Result<()> {
    let work = &order.work;
    let mut links = Vec::new();
    let mut posts: Option<Box<dyn Posts>> = None;
    let mut ends = None;
    match order.system {
        System::Post => posts = Some(Box::new(ByClient::new(&order.at))),
        System::Bare => posts = Some(Box::new(Bare::new(&order.at, order.proxy.as_deref())?)),
        System::Forward if order.listens => {
            let listener = TcpListener::bind(("127.0.0.1", 0))?;
            say(listener.local_addr()?);
            let mut named = Vec::new();
            for _ in 0..work.channels() {
                let (mut stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                let mut name = [0; 1];
                stream.read_exact(&mut name)?;
                named.push((name, stream));
            }
            named.sort_by_key(|(name, _)| *name);
            links.extend(named.into_iter().map(|(_, stream)| Link::Tcp(stream)));
        }
        System::Tcp | System::Forward | System::Httptunnel => {
            if order.listens {
                say("listening");
            }
            for name in 0..work.channels() {
                let mut stream = TcpStream::connect(&order.at)?;
                stream.set_nodelay(true)?;
                stream.write_all(&[name])?;
                links.push(Link::Tcp(stream));
            }
        }
        System::LongPoll | System::Streaming => {
            let (client, listener) = open(order, &mut links)?;
            ends = Some((client, listener));
        }
    }
    say("ready");
    until_told();
    let count = || ends.as_ref().map_or_else(Stats::default, |(client, _)| client.stats());
    let (heap, begun) = (HEAP.stats(), count());
    let mut seen = Seen::default();
    match posts {
        Some(mut posts) => {
            seen.round_trips = measure_pings(work, || posts.post().and_then(|()| posts.post()))?;
        }
        None => do_work(order, &links, &mut seen)?,
    }
    let (heap, stats) = (HEAP.stats() - heap, count());
    seen.allocations = (heap.allocations + heap.reallocations) as u64;
    seen.exchanges = stats.sends + stats.parks - begun.sends - begun.parks;
    seen.retransmitted = stats.retransmitted - begun.retransmitted;
    say(serde_json::to_string(&seen)?);
    // The main process looks at this one, and then ends it.
    until_told();
    Ok(())
}

impl Work {
    /// The number of channels; each is named by an octet.
    fn channels(&self) -> u8 {
        (usize::from(self.pings) + self.bulk) as u8
    }
}

fn open(order: &Order, links: &mut Vec<Link>) -> Result<(Client, Option<Listener>)> {
    let profile = match order.profile.as_str() {
        "phone" => Profile::PHONE,
        "app" => Profile::APP,
        "pc" => Profile::PC,
        "bulk" => Profile::BULK,
        other => return Err(format!("there is no profile {other}").into()),
    };
    let pace = match order.system {
        System::LongPoll => Pace::LongPoll,
        _ => Pace::Streaming,
    };
    let mut config = Config { profile, pace, ..Config::new(&order.at) };
    // All channels are opened at once.
    config.backlog = NonZeroU8::new(u8::MAX);
    if let Some(proxy) = &order.proxy {
        config.proxy = byway::transport::Proxy::Url(proxy.clone());
    }
    let client = Client::open(config)?;
    if !order.listens {
        for name in 0..order.work.channels() {
            let stream = client.connect("bench:1")?;
            (&stream).write_all(&[name])?;
            links.push(Link::Byway(stream));
        }
        return Ok((client, None));
    }
    let listener = client.listen("bench:1")?;
    say("listening");
    let mut named = Vec::new();
    for _ in 0..order.work.channels() {
        let stream = listener.accept()?;
        let mut name = [0; 1];
        (&stream).read_exact(&mut name)?;
        named.push((name, stream));
    }
    named.sort_by_key(|(name, _)| *name);
    links.extend(named.into_iter().map(|(_, stream)| Link::Byway(stream)));
    Ok((client, Some(listener)))
}

fn do_work(order: &Order, links: &[Link], seen: &mut Seen) -> Result<()> {
    let work = &order.work;
    let (pings, bulk) = links.split_at(usize::from(work.pings));
    let first = OnceLock::new();
    let receives = work.both || order.listens;
    let totals = Mutex::new((vec![0; if receives { bulk.len() } else { 0 }], 0));
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (i, link) in bulk.iter().enumerate() {
            if work.both || !order.listens {
                threads.push(scope.spawn(move || send(work, link)));
            }
            if receives {
                let (first, totals) = (&first, &totals);
                threads.push(scope.spawn(move || {
                    let (measured, all) = receive(work, link, first)?;
                    let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
                    totals.0[i] = measured;
                    totals.1 += all;
                    Ok(())
                }));
            }
        }
        if let [link] = pings {
            if order.listens {
                threads.push(scope.spawn(move || echo(link)));
            } else {
                let mut ping = [b'.'; PING];
                seen.round_trips = measure_pings(work, || {
                    (&mut &*link).write_all(&ping)?;
                    Ok((&mut &*link).read_exact(&mut ping)?)
                })?;
                link.shut()?;
            }
        }
        for thread in threads {
            thread.join().map_err(|_| "a thread of a peer panicked")??;
        }
        Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    })?;
    (seen.measured, seen.received) = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(())
}

/// Measures round trips, without those that warm up.
fn measure_pings(work: &Work, mut trip: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    let begin = Instant::now();
    loop {
        let began = Instant::now();
        if began - begin > work.warm() + work.run() {
            times.sort_by(f64::total_cmp);
            return Ok(times);
        }
        trip()?;
        if began - begin > work.warm() {
            times.push(began.elapsed().as_nanos() as f64 / 1e3);
        }
    }
}

fn echo(mut link: &Link) -> Result<()> {
    let mut ping = [0; PING];
    loop {
        match link.read(&mut ping)? {
            0 => return Ok(()),
            n => link.write_all(&ping[..n])?,
        }
    }
}

fn send(work: &Work, mut link: &Link) -> Result<()> {
    let bytes = vec![b'.'; work.write];
    let until = Instant::now() + work.warm() + work.run() + BEYOND;
    // A look at the clock for every small message would cost too much.
    let batch = (BUFFER / work.write).max(1);
    while Instant::now() < until {
        for _ in 0..batch {
            link.write_all(&bytes)?;
        }
    }
    Ok(link.shut()?)
}

/// The octets received during the measurement, and in all.
fn receive(work: &Work, mut link: &Link, first: &OnceLock<Instant>) -> Result<(u64, u64)> {
    let mut buffer = vec![0; BUFFER];
    let (mut measured, mut all) = (0, 0);
    loop {
        let n = link.read(&mut buffer)?;
        if n == 0 {
            return Ok((measured, all));
        }
        let age = first.get_or_init(Instant::now).elapsed();
        if (work.warm()..work.warm() + work.run()).contains(&age) {
            measured += n as u64;
        }
        all += n as u64;
    }
}

/// A channel of any of the systems.
enum Link {
    Tcp(TcpStream),
    Byway(Stream),
}

impl Link {
    fn shut(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Byway(stream) => stream.shutdown(Shutdown::Write).map_err(io::Error::from),
        }
    }
}

impl Read for &Link {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Tcp(stream) => (&mut &*stream).read(out),
            Link::Byway(stream) => (&mut &*stream).read(out),
        }
    }
}

impl Write for &Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Link::Tcp(stream) => (&mut &*stream).write(bytes),
            Link::Byway(stream) => (&mut &*stream).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
