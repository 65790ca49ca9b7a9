//! Random faults over random workloads, with a cluster in the place of a relay: its relays end, the bus loses and
//! forgets, relays are parted from it. `BYWAY_SIM_SEEDS` sets how many, `BYWAY_SIM_SEED` replays one.

use byway::session::{Pace, Profile};

use crate::fate::Faults;
use crate::random::{Channel, add_peer, finish, plan_channel, some_faults, start};
use crate::rng::Rng;
use crate::seeds::{number, spread};
use crate::world::World;

/// A tenth of those of a single relay: each takes as long, for all the messages between relays.
const SEEDS: u64 = 300;

/// How long a cluster may take from the death of the relay with the router until a session goes on, in ms: the
/// lease, the key's time, and the clients' longest pause between two tries.
const MOVE_MS: u64 = 15_000;

/// A fault of the cluster, or of a client.
#[derive(Debug, Clone, Copy)]
enum Blow {
    Kill(usize),
    Stop(usize, u64),
    Part(usize, u64),
    Forget,
    Loses(u64),
    RestartAll,
    Roam(usize),
    Start(usize),
}

#[test]
fn nothing_is_lost_or_doubled_whatever_happens_to_a_cluster() {
    if let Some(seed) = number("BYWAY_SIM_SEED") {
        let mut w = run(seed);
        println!("{}", w.dump());
        return;
    }
    let seeds = number("BYWAY_SIM_SEEDS").unwrap_or(SEEDS);
    let ran = spread((0..seeds).collect(), None, |&seed| {
        let mut w = run(seed);
        let cluster = w.router.cluster();
        (cluster.moves, cluster.most_holders)
    });
    let moves: u64 = ran.done.iter().map(|(_, (moves, _))| moves).sum();
    let holders = ran.done.iter().map(|(_, (_, holders))| *holders).max();
    println!("{seeds} seeds; the router moved {moves} times; {holders:?} had one at once at most");
    ran.check();
    assert!(moves > seeds, "the router moves");
}

fn run(seed: u64) -> World {
    let mut rng = Rng::new(seed ^ 0xc1);
    let relays = rng.range(1, 4) as usize;
    let mut w = World::with_cluster(seed, relays);
    let peers = rng.range(2, 4) as usize;
    for n in 0..peers {
        add_peer(&mut rng, &mut w, n);
    }
    let trouble = 1 + rng.scale(60_000);
    w.faults = match rng.chance(300) {
        true => some_faults(&mut rng, w.now + trouble),
        false => Faults::default(),
    };
    let mut blows = Vec::new();
    for _ in 0..1 + rng.scale(12) {
        let relay = rng.below(relays as u64) as usize;
        let blow = match rng.below(8) {
            0 | 1 => Blow::Kill(relay),
            2 | 3 => Blow::Stop(relay, rng.scale(3000)),
            4 => Blow::Part(relay, rng.scale(10_000)),
            5 => Blow::Forget,
            6 => Blow::Loses(rng.scale(200)),
            _ if rng.chance(300) => Blow::RestartAll,
            _ => Blow::Roam(rng.below(peers as u64) as usize),
        };
        blows.push((rng.below(trouble), blow));
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
        strike(&mut w, blow, &plans);
    }
    let rest = (begun + trouble).saturating_sub(w.now);
    w.run(rest);
    w.router.cluster().loses = 0;
    finish(&mut w);
    w
}

fn strike(w: &mut World, blow: Blow, plans: &[Channel]) {
    let now = w.now;
    let cluster = w.router.cluster();
    match blow {
        Blow::Kill(relay) => cluster.kill(now, relay),
        Blow::Stop(relay, spread) => cluster.stop(now, relay, spread),
        Blow::Part(relay, ms) => cluster.part(relay, now + ms),
        Blow::Forget => cluster.forget_key(),
        Blow::Loses(per_mille) => cluster.loses = per_mille,
        Blow::RestartAll => return w.restart_relay(0),
        Blow::Roam(peer) => return w.roam(peer, true),
        Blow::Start(n) => start(w, plans[n]),
    }
    w.settle();
}

/// Two peers with a channel over three relays, neither of whose connections are at the relay with the router.
fn pair(seed: u64) -> (World, usize) {
    let mut w = World::with_cluster(seed, 3);
    w.pace = Pace::Streaming;
    let (_, _, n) = w.connected(Profile::PHONE);
    (w, n)
}

#[test]
fn channel_goes_on_when_the_router_moves_and_when_its_relay_dies() {
    for seed in 0..30 {
        let (mut w, n) = pair(seed);
        for turn in 0..6 {
            let now = w.now;
            let holder = w.router.cluster().holder(now).expect("a relay has the router");
            match turn % 2 {
                0 => w.router.cluster().stop(now, holder, 500),
                _ => w.router.cluster().kill(now, holder),
            }
            w.settle();
            for side in 0..2 {
                w.say(n, side, 5_000);
                w.arrives(n, side, MOVE_MS);
            }
        }
    }
}

#[test]
fn octets_on_their_way_between_relays_are_held_until_they_are_drained() {
    for (seed, pace) in (0..12).zip([Pace::Streaming, Pace::LongPoll].into_iter().cycle()) {
        let mut w = World::with_cluster(seed, 3);
        w.pace = pace;
        let (_, _, n) = w.connected(Profile::APP);
        let mut most = 0;
        for side in 0..2 {
            w.say(n, side, 400_000);
            w.run_until(60_000, "all of it", |w| {
                most = most.max(w.router.stats().held);
                w.chans[n].ends[1 - side].read >= 400_000
            });
        }
        assert!(most > 0, "something is held on the way");
        w.run(60_000);
        assert_eq!(w.router.stats().held, 0, "seed {seed}");
    }
}

#[test]
fn router_that_is_let_go_has_another_relay_at_once() {
    let (mut w, n) = pair(1);
    let now = w.now;
    let holder = w.router.cluster().holder(now).expect("a relay has the router");
    w.router.cluster().stop(now, holder, 100);
    w.settle();
    w.say(n, 0, 5_000);
    assert!(w.arrives(n, 1, MOVE_MS) < 3_000);
}

#[test]
fn relay_without_its_bus_gives_the_router_up_before_another_takes_it() {
    for seed in 0..30 {
        let (mut w, n) = pair(seed);
        let now = w.now;
        let cluster = w.router.cluster();
        cluster.most_holders = 1;
        let holder = cluster.holder(now).expect("a relay has the router");
        cluster.part(holder, now + 20_000);
        w.run(10_000);
        let now = w.now;
        let cluster = w.router.cluster();
        let other = cluster.holder(now).expect("another relay has the router");
        assert_ne!(other, holder);
        assert_eq!(cluster.most_holders, 1, "two had the router at once");
        w.run(15_000);
        for side in 0..2 {
            w.say(n, side, 5_000);
            w.arrives(n, side, MOVE_MS);
        }
    }
}

#[test]
fn key_that_the_bus_forgets_moves_no_router() {
    let (mut w, _) = pair(2);
    let now = w.now;
    let cluster = w.router.cluster();
    let (holder, moves) = (cluster.holder(now), cluster.moves);
    for _ in 0..5 {
        w.router.cluster().forget_key();
        w.run(3_000);
    }
    let now = w.now;
    let cluster = w.router.cluster();
    assert_eq!((cluster.holder(now), cluster.moves), (holder, moves));
}
