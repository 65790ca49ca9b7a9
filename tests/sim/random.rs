//! Random faults over random workloads. `BYWAY_SIM_SEEDS` sets how many, `BYWAY_SIM_SEED` replays
//! one.

use byway::Kind;
use byway::session::{Pace, Profile};

use crate::app::{Finish, Plan};
use crate::fate::{Fault, Faults};
use crate::rng::Rng;
use crate::seeds::{number, spread};
use crate::world::World;

const SEEDS: u64 = 2000;

/// How long the applications may take once the faults have stopped, in ms.
const PATIENCE: u64 = 1_800_000;

/// The smallest rings that a session may have.
const LEAST: Profile = Profile { channels: 3, ring: 256, pool: 0, listeners: 2, io_buffer: 512 };
/// Rings of the same length that grow; with channels enough that none has to make room for another.
const GROWING: Profile = Profile { channels: 12, pool: 4 << 10, ..LEAST };

#[test]
fn nothing_is_lost_or_doubled_whatever_happens_to_exchanges() {
    if let Some(seed) = number("BYWAY_SIM_SEED") {
        let mut w = run(seed);
        println!("{}", w.dump());
        return;
    }
    let seeds = number("BYWAY_SIM_SEEDS").unwrap_or(SEEDS);
    let ran = spread((0..seeds).collect(), None, |&seed| run(seed).longest_stall);
    let slowest = ran.done.iter().max_by_key(|(_, stall)| *stall);
    if let Some((seed, stall)) = slowest {
        println!(
            "{seeds} seeds; a stream stood {stall} ms at most, after the last fault of {seed}"
        );
    }
    ran.check();
}

/// A fault of all exchanges of a peer at once, or of the relay.
#[derive(Debug, Clone, Copy)]
enum Blow {
    Restart(u64),
    Roam(usize, bool),
    Dark(usize, u64),
    /// A listener is closed, and another opened in its place.
    Close(usize),
    Start(usize),
}

fn run(seed: u64) -> World {
    let mut rng = Rng::new(seed);
    let mut w = World::new(seed);
    let peers = rng.range(2, 4) as usize;
    for n in 0..peers {
        add_peer(&mut rng, &mut w, n);
    }
    let trouble = rng.scale(60_000);
    w.faults = match rng.chance(800) {
        true => some_faults(&mut rng, w.now + trouble),
        false => Faults::default(),
    };
    let mut blows = Vec::new();
    for _ in 0..rng.scale(12) {
        let peer = rng.below(peers as u64) as usize;
        let blow = match rng.below(4) {
            0 => Blow::Restart(rng.scale(3000)),
            1 => Blow::Roam(peer, rng.chance(500)),
            2 => Blow::Close(peer),
            _ => Blow::Dark(peer, rng.scale(8000)),
        };
        blows.push((rng.below(trouble + 1), blow));
    }
    let plans: Vec<_> = (0..rng.range(1, 10)).map(|_| plan_channel(&mut rng, peers, &w)).collect();
    for n in 0..plans.len() {
        blows.push((rng.scale(4000), Blow::Start(n)));
    }
    blows.sort_by_key(|(at, _)| *at);
    let begun = w.now;
    for (at, blow) in blows {
        let pause = (begun + at).saturating_sub(w.now);
        w.run(pause);
        match blow {
            Blow::Restart(down) => w.restart_relay(down),
            Blow::Roam(peer, is_told) => w.roam(peer, is_told),
            Blow::Dark(peer, ms) => w.peers[peer].dark_until = w.now + ms,
            Blow::Close(peer) => w.listen_anew(peer),
            Blow::Start(n) => start(&mut w, plans[n]),
        }
    }
    let rest = (begun + trouble).saturating_sub(w.now);
    w.run(rest);
    finish(&mut w);
    w
}

/// Begins a channel.
pub fn start(w: &mut World, (from, to, kind, plans): Channel) {
    let port = if kind == Kind::Stream { 1 } else { 2 };
    w.connect(from, &format!("{}:{port}", name(w, to)), kind, to, plans);
}

/// The faults are over: all applications come to their ends.
pub fn finish(w: &mut World) {
    w.calm_since = w.now;
    w.longest_stall = 0;
    w.finish(PATIENCE);
}

pub fn add_peer(rng: &mut Rng, w: &mut World, n: usize) {
    if rng.chance(300) {
        w.single.push(n);
    }
    w.pace = if rng.chance(700) { Pace::Streaming } else { Pace::LongPoll };
    let profile =
        *rng.pick(&[LEAST, GROWING, GROWING, Profile::TINY, Profile::PHONE, Profile::APP]);
    let n = w.peer_with(profile, |settings| {
        settings.max_response = *rng.pick(&[2048, 64 << 10, 16 << 20]);
        settings.keepalive_ms = *rng.pick(&[0, 0, 0, 10_000]);
    });
    let peer = &mut w.peers[n];
    peer.latency = *rng.pick(&[(0, 1), (5, 5), (1, 40), (50, 60), (150, 300)]);
    peer.chunk = *rng.pick(&[50, 1500, 16 << 10, 64 << 10]);
    peer.whole = rng.chance(300);
    peer.one_thread = rng.chance(300);
    peer.speech.by_proxy = rng.chance(250);
    peer.speech.kept_back = rng.chance(250);
    let name = name(w, n);
    w.listen(n, &format!("{name}:1"), Kind::Stream);
    if profile.listeners > 1 {
        w.listen(n, &format!("{name}:2"), Kind::Datagram);
    }
}

/// The name at which a client listens: with some seeds its key name.
fn name(w: &World, peer: usize) -> String {
    match w.seed % 3 {
        0 => w.key_name(peer),
        _ => format!("p{peer}"),
    }
}

/// Draws some kinds of fault, each more or less likely.
pub fn some_faults(rng: &mut Rng, until: u64) -> Faults {
    let odds = Fault::ALL.map(|_| if rng.chance(300) { rng.scale(150) } else { 0 });
    Faults { odds, until, longest: 4000 }
}

/// A channel to come: from, to, its kind, and what both ends do.
pub type Channel = (usize, usize, Kind, [Plan; 2]);

pub fn plan_channel(rng: &mut Rng, peers: usize, w: &World) -> Channel {
    let from = rng.below(peers as u64) as usize;
    let to = (from + rng.range(1, peers as u64 - 1) as usize) % peers;
    let datagrams = rng.chance(250) && w.peers[to].listens.len() > 1;
    let kind = if datagrams { Kind::Datagram } else { Kind::Stream };
    let longest = |n: usize| match w.peers[n].profile {
        Profile { ring, .. } if datagrams => ring,
        Profile { ring, pool, .. } => ring.max(pool / 4),
    };
    let ring = longest(from).min(longest(to)) as u64;
    let most = if datagrams { 60 } else { (ring * 10).min(400_000) };
    let counts = [rng.scale(most), rng.scale(most)];
    // No application takes longer than a few minutes by itself.
    let unit = if datagrams { 1 } else { 1 + counts[0].max(counts[1]) / 200 };
    let mut end = |side: usize| {
        let pause = |rng: &mut Rng| if rng.chance(700) { 0 } else { rng.scale(300) };
        let finish = match rng.below(20) {
            0 | 1 if side == 0 && counts[0] < 20_000 => Finish::Drop,
            2 if side == 0 && !datagrams => Finish::Abort(rng.scale(most)),
            _ => Finish::Both,
        };
        Plan {
            count: counts[side],
            write: rng.scale(if datagrams { ring } else { 8 * ring }).max(15 + unit) as usize,
            write_pause: pause(rng),
            read: rng.scale(2 * ring).max(unit) as usize,
            read_pause: pause(rng),
            finish,
        }
    };
    let plans = [end(0), end(1)];
    (from, to, kind, plans)
}
