//! Busy pairs: what a message, or an octet of a stream, costs the relay, and whether all pairs have their
//! share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use byway::session::{ChannelId, Profile, Stats};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::Result;
use crate::client::Client;
use crate::crowd;
use crate::process::Usage;
use crate::relay::Relay;
use crate::report::{Figures, rank};
use crate::world::World;

/// Octets of a message.
const MESSAGE: usize = 64;

/// Octets of a write to a stream.
const WRITE: usize = 64 * 1024;

/// A session of a pair that sends messages.
const TALKER: Profile =
    Profile { channels: 1, ring: 16 << 10, pool: 0, listeners: 1, io_buffer: 4 << 10 };

/// A session of a pair that streams, with the rings that byway's client guarantees a channel.
const STREAMER: Profile = Profile { ring: Profile::PC.ring, ..TALKER };

/// What busy pairs do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    /// One writes a message, the other sends it back, and so on: each time after so long at the soonest.
    PingPong(Duration),
    /// One writes as fast as it can, the other reads.
    Stream,
}

/// One end of a channel.
type End = (Client, ChannelId);

/// What the pairs have done.
struct Meters {
    /// Messages, or octets, of each pair.
    counts: Vec<Cell<u64>>,
    /// Round trips in µs, while they are measured.
    round_trips: RefCell<Vec<u32>>,
}

/// What was used by a time.
struct Mark {
    at: Instant,
    relay: Usage,
    load: Usage,
    sends: u64,
    parks: u64,
    /// Parks whose answers were to stay open, and those among them that came late.
    streams: u64,
    late: u64,
    connections: u64,
    failures: u64,
}

impl Mark {
    fn now(world: &World, relay: &Relay, clients: &[Client]) -> Result<Self> {
        let stats: Vec<_> = clients.iter().map(Client::stats).collect();
        let sum = |count: fn(&Stats) -> u64| stats.iter().map(count).sum();
        Ok(Self {
            at: Instant::now(),
            relay: relay.usage()?,
            load: Usage::of(std::process::id())?,
            sends: sum(|stats| stats.sends),
            parks: sum(|stats| stats.parks),
            streams: sum(|stats| stats.streams),
            late: sum(|stats| stats.late),
            connections: world.connections.get(),
            failures: world.failures.counts().iter().sum(),
        })
    }
}

/// Measures so many pairs for a time, after another to warm up.
pub async fn run(
    world: &Rc<World>,
    relay: &Relay,
    (number, talk): (usize, Talk),
    (warm, measured): (Duration, Duration),
) -> Result<Figures> {
    let pairs = crowd::each(number, |_| pair(Rc::clone(world), talk)).await?;
    let meters =
        Rc::new(Meters { counts: vec![Cell::new(0); number], round_trips: RefCell::default() });
    let clients: Vec<_> = pairs.iter().flat_map(|(near, far)| [&near.0, &far.0]).cloned().collect();
    let mut talks = JoinSet::new();
    for (i, (near, far)) in pairs.into_iter().enumerate() {
        match talk {
            Talk::PingPong(every) => {
                talks.spawn_local(echo(far));
                // The pairs begin one after the other.
                let first = every.mul_f64(i as f64 / number as f64);
                talks.spawn_local(ask(near, Rc::clone(&meters), i, (first, every)));
            }
            Talk::Stream => {
                talks.spawn_local(pour(near));
                talks.spawn_local(drain(far, Rc::clone(&meters), i));
            }
        }
    }
    sleep(warm).await;
    let counts = || meters.counts.iter().map(Cell::get).collect::<Vec<_>>();
    meters.round_trips.borrow_mut().clear();
    let (before, counts_before) = (Mark::now(world, relay, &clients)?, counts());
    sleep(measured).await;
    let (after, counts_after) = (Mark::now(world, relay, &clients)?, counts());
    if let Some(ended) = talks.try_join_next() {
        return Err(format!("a pair ended: {:?}", ended?.err()).into());
    }
    let all = counts_after.iter().zip(&counts_before);
    let mut done: Vec<_> = all.map(|(after, before)| after - before).collect();
    done.sort_unstable();
    let sum = done.iter().sum::<u64>() as f64;
    let seconds = (after.at - before.at).as_secs_f64();
    let relay_cpu = (after.relay.cpu - before.relay.cpu).as_secs_f64();
    let load_cpu = (after.load.cpu - before.load.cpu).as_secs_f64();
    let (sends, parks) = (after.sends - before.sends, after.parks - before.parks);
    let exchanges = (sends + parks) as f64;
    let share = |part: f64| rank(&done, part) as f64;
    let mut figures = match talk {
        Talk::PingPong(_) => vec![
            ("relay, µs a message", relay_cpu / sum * 1e6),
            ("load, µs a message", load_cpu / sum * 1e6),
            ("messages a second", sum / seconds),
            ("exchanges a message", exchanges / sum),
        ],
        Talk::Stream => vec![
            ("relay, s a GB", relay_cpu / sum * 1e9),
            ("load, s a GB", load_cpu / sum * 1e9),
            ("MB a second", sum / seconds / 1e6),
        ],
    };
    let unit = if talk == Talk::Stream { 1e-6 } else { 1.0 };
    figures.extend([
        ("a pair's own, p50", share(0.5) * unit),
        ("p90", share(0.9) * unit),
        ("p99", share(0.99) * unit),
        ("p90/p50", share(0.9) / share(0.5)),
        ("p10/p50", share(0.1) / share(0.5)),
    ]);
    if talk != Talk::Stream {
        let mut all = meters.round_trips.borrow().clone();
        all.sort_unstable();
        let ms = |part: f64| f64::from(rank(&all, part)) / 1e3;
        figures.extend([
            ("round trip, ms, p50", ms(0.5)),
            ("its p90", ms(0.9)),
            ("its p99", ms(0.99)),
        ]);
    }
    figures.extend([
        ("relay, share of a core", relay_cpu / seconds),
        ("relay, µs an exchange", relay_cpu / exchanges * 1e6),
        (
            "parks whose answer stays open, %",
            100.0 * (after.streams - before.streams) as f64 / parks as f64,
        ),
        ("those that came late, a second", (after.late - before.late) as f64 / seconds),
        ("connections a second", (after.connections - before.connections) as f64 / seconds),
        ("failures a second", (after.failures - before.failures) as f64 / seconds),
        ("relay, MiB", after.relay.resident as f64 / f64::from(1 << 20)),
    ]);
    Ok(figures)
}

/// Opens two sessions, and a channel between them.
async fn pair(world: Rc<World>, talk: Talk) -> Result<(End, End)> {
    let profile = match talk {
        Talk::PingPong(_) => TALKER,
        Talk::Stream => STREAMER,
    };
    let (near, far) = (Client::open(&world, &profile)?, Client::open(&world, &profile)?);
    let listener = far.listen().await?;
    let (connected, accepted) = tokio::join!(near.connect(far.number()), far.accept(listener));
    Ok(((near, connected?), (far, accepted?)))
}

async fn ask(
    (client, channel): End,
    meters: Rc<Meters>,
    pair: usize,
    (first, every): (Duration, Duration),
) -> Result<()> {
    let mut answer = [0; MESSAGE];
    let mut next = Instant::now() + first;
    loop {
        sleep_until(next.into()).await;
        next = Instant::now().max(next + every);
        let began = Instant::now();
        client.write(channel, &[7; MESSAGE]).await?;
        let mut at = 0;
        while at < MESSAGE {
            match client.read(channel, &mut answer[at..]).await? {
                0 => return Err("the peer ended the stream".into()),
                n => at += n,
            }
        }
        let count = &meters.counts[pair];
        // There and back.
        count.set(count.get() + 2);
        meters.round_trips.borrow_mut().push(began.elapsed().as_micros() as u32);
    }
}

async fn echo((client, channel): End) -> Result<()> {
    let mut octets = [0; MESSAGE];
    loop {
        match client.read(channel, &mut octets).await? {
            0 => return Err("the peer ended the stream".into()),
            n => client.write(channel, &octets[..n]).await?,
        }
    }
}

async fn pour((client, channel): End) -> Result<()> {
    let octets = [7; WRITE];
    loop {
        client.write(channel, &octets).await?;
    }
}

async fn drain((client, channel): End, meters: Rc<Meters>, pair: usize) -> Result<()> {
    let mut octets = vec![0; WRITE];
    loop {
        match client.read(channel, &mut octets).await? {
            0 => return Err("the peer ended the stream".into()),
            n => {
                let count = &meters.counts[pair];
                count.set(count.get() + n as u64);
                // Else a reader whose ring is filled as fast would keep the thread.
                tokio::task::yield_now().await;
            }
        }
    }
}
