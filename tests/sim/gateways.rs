//! Clients behind gateways with limits, and paths that look like such gateways but are none.

use byway::Kind;
use byway::session::{Pace, Profile};

use crate::app::Plan;
use crate::fate::{Fault, Faults};
use crate::gate::{Gate, Limit};
use crate::path::Dialling;
use crate::seeds::spread;
use crate::world::World;

const SEEDS: u64 = 40;
/// The longest time until the first byte, in ms.
const FIRST: u64 = 15_000;
/// The longest time of a key and its echo, in ms.
const ECHO: u64 = 1_000;

const LIMITS: [Limit; 5] = [
    Limit::OneConnection,
    Limit::OneConnectionInSilence,
    Limit::OneExchange(503),
    Limit::OneExchange(429),
    Limit::Queue,
];

/// Two clients and a stream between them; the first is behind this gateway, and listens or
/// connects.
fn behind(seed: u64, gate: Gate, listens: bool) -> (World, usize, [usize; 2]) {
    let mut w = World::new(seed);
    for n in 0..2 {
        w.pace = if (seed >> n) & 1 == 0 { Pace::Streaming } else { Pace::LongPoll };
        let n = w.peer(Profile::PHONE);
        let one_way = 5 + seed % 60;
        w.peers[n].latency = (one_way, one_way + seed % 7);
        w.peers[n].path.keeps = true;
    }
    w.peers[0].path.gate = Some(gate);
    let (from, to) = if listens { (1, 0) } else { (0, 1) };
    w.listen(to, "b:1", Kind::Stream);
    let n = w.connect(from, "b:1", Kind::Stream, to, [Plan::HOLD; 2]);
    (w, n, if listens { [1, 0] } else { [0, 1] })
}

/// The client behind the gateway types a key; gives the time until its echo.
#[track_caller]
fn echo(w: &mut World, n: usize, [near, far]: [usize; 2], within: u64) -> u64 {
    w.say(n, near, 8);
    let there = w.arrives(n, far, within);
    w.say(n, far, 8);
    there + w.arrives(n, near, within)
}

fn each(run: impl Fn(u64, Gate, bool) + Sync) {
    let mut cases = Vec::new();
    for limit in LIMITS {
        for overlooks in [false, true] {
            cases.extend((0..SEEDS).map(|seed| (seed, limit, overlooks)));
        }
    }
    let ran = spread(cases, None, |&(seed, limit, overlooks)| {
        run(seed, Gate { overlooks, ..Gate::new(limit) }, seed % 4 > 1);
    });
    ran.check();
}

#[test]
fn gateway_of_one_connection_or_exchange_is_enough_for_a_terminal() {
    each(|seed, gate, listens| {
        let (mut w, n, sides) = behind(seed, gate, listens);
        let sides = if listens { [1, 0] } else { sides };
        // Behind these each dialling takes its whole time-out.
        let silent = w.peers[0].path.gate.as_ref().map(|gate| gate.limit);
        let silent = silent == Some(Limit::OneConnectionInSilence);
        let within = if silent { 2 * FIRST } else { FIRST };
        let begun = w.now;
        w.run_until(within, "connection", |w| w.chans[n].ends[1].id.is_some());
        echo(&mut w, n, sides, within);
        let first = w.now - begun;
        assert!(first <= within, "{first}");
        let singles = w.flight.singles;
        // By these keys the client learns the kind of its gateway, and whether it can hang up to
        // send.
        let until = w.now + FIRST;
        while w.now < until {
            w.run(500);
            echo(&mut w, n, sides, within);
        }
        for _ in 0..40 {
            let pause = w.rng.range(10, 700);
            w.run(pause);
            let took = echo(&mut w, n, sides, ECHO);
            assert!(took <= ECHO, "{took}");
        }
        let singles = w.flight.singles - singles;
        assert!(singles > 40, "{singles}");
    });
}

#[test]
fn streams_cross_a_gateway_of_one_both_ways() {
    each(|seed, gate, listens| {
        let (mut w, n, _) = behind(seed, gate, listens);
        w.run_until(30_000, "connection", |w| w.chans[n].ends[1].id.is_some());
        w.say(n, 0, 300_000);
        w.say(n, 1, 300_000);
        w.arrives(n, 0, 120_000);
        w.arrives(n, 1, 120_000);
        w.hang_up(n);
        w.finish(300_000);
    });
}

#[test]
fn parallel_exchanges_are_tried_again_and_at_once_in_another_network() {
    for told in [false, true] {
        let (mut w, n, sides) = behind(7, Gate::new(Limit::OneExchange(503)), false);
        w.run_until(FIRST, "connection", |w| w.chans[n].ends[1].id.is_some());
        echo(&mut w, n, sides, FIRST);
        w.run(20_000);
        let before = w.flight.singles;
        w.run(5_000);
        assert!(w.flight.singles > before);
        w.peers[0].path.gate = None;
        if told {
            w.roam(0, true);
        } else {
            w.run(90_000);
        }
        echo(&mut w, n, sides, FIRST);
        let after = w.flight.singles;
        w.run(60_000);
        echo(&mut w, n, sides, ECHO);
        assert_eq!(w.flight.singles, after, "told: {told}");
    }
}

#[test]
fn gateway_that_stays_is_tested_rarely() {
    for limit in LIMITS {
        let (mut w, n, sides) = behind(3, Gate::new(limit), false);
        w.run_until(FIRST, "connection", |w| w.chans[n].ends[1].id.is_some());
        echo(&mut w, n, sides, FIRST);
        w.run(1_800_000);
        let sends = w.exchanges(0).1;
        w.run(3_600_000);
        let tests = w.exchanges(0).1 - sends;
        assert!((3..=40).contains(&tests), "{tests} {limit:?}");
    }
}

/// Paths that are bad in another way than these gateways.
#[derive(Debug, Clone, Copy)]
enum Bad {
    Dark(Dialling),
    Slow,
    Restarts,
    Cuts,
    Resets,
}

const BAD: [Bad; 6] = [
    Bad::Dark(Dialling::Refused),
    Bad::Dark(Dialling::Unanswered),
    Bad::Slow,
    Bad::Restarts,
    Bad::Cuts,
    Bad::Resets,
];

#[test]
fn other_troubles_are_not_taken_for_a_gateway_of_one() {
    let cases = BAD.iter().flat_map(|&bad| (0..SEEDS).map(move |seed| (seed, bad))).collect();
    let ran = spread(cases, None, |&(seed, bad)| {
        let mut w = World::new(seed);
        w.pace = if seed & 1 == 0 { Pace::Streaming } else { Pace::LongPoll };
        for _ in 0..2 {
            let n = w.peer(Profile::PHONE);
            w.peers[n].path.keeps = true;
            w.peers[n].latency = if seed & 2 == 0 { (10, 30) } else { (100, 400) };
        }
        w.listen(1, "b:1", Kind::Stream);
        let n = w.hold(0, 1);
        let singles = w.flight.singles;
        match bad {
            Bad::Slow => {
                w.peers[0].path.uplink = 8_000;
                w.peers[0].latency = (200, 800);
            }
            Bad::Cuts => w.peers[0].path.tires = Some((3_000, 504)),
            Bad::Resets => {
                w.faults = Faults::each(&[Fault::LoseRequest, Fault::Reset], 20, 4_000);
            }
            Bad::Dark(_) | Bad::Restarts => {}
        }
        for _ in 0..30 {
            match bad {
                Bad::Dark(dialling) => {
                    let ms = w.rng.range(500, 12_000);
                    w.go_dark(0, ms, dialling);
                }
                Bad::Restarts => {
                    let down = w.rng.range(0, 4_000);
                    w.restart_relay(down);
                }
                Bad::Slow | Bad::Cuts | Bad::Resets => {}
            }
            for _ in 0..w.rng.range(1, 6) {
                let (side, bytes) = (w.rng.below(2) as usize, w.rng.range(1, 4_000));
                w.say(n, side, bytes);
                let pause = w.rng.range(10, 3_000);
                w.run(pause);
            }
            w.arrives(n, 0, 200_000);
            w.arrives(n, 1, 200_000);
            w.run(5_000);
        }
        w.flight.singles - singles
    });
    ran.check();
    let fooled: Vec<_> = ran.done.iter().filter(|(_, singles)| *singles > 0).collect();
    assert!(fooled.is_empty(), "{fooled:?}");
}

#[test]
fn rate_of_exchanges_falls_to_the_limit_of_a_gateway() {
    for (retry_after, most) in [(None, 10), (Some(1), 12)] {
        for seed in 0..SEEDS {
            let limit = Limit::Rate { every: 200, burst: seed % 3 };
            let gate = Gate { retry_after, ..Gate::new(limit) };
            let (mut w, n, sides) = behind(seed, gate, seed & 1 == 0);
            w.run_until(60_000, "connection", |w| w.chans[n].ends[1].id.is_some());
            for _ in 0..100 {
                echo(&mut w, n, sides, 60_000);
            }
            let all = w.peers[0].begun.iter().sum::<u64>();
            assert!(w.refused * most <= all, "seed {seed}: {} of {all} refused", w.refused);
        }
    }
}
