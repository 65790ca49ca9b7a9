//! A misbehaving proxy between two clients: each fault alone, and all faults together, without end.
//! `BYWAY_SIM_SEED` replays one seed, `BYWAY_SIM_SEEDS` scales their number.

use byway::Kind;
use byway::session::{Pace, Profile};

use crate::app::Plan;
use crate::fate::{Fault, Faults};
use crate::rng::Rng;
use crate::seeds::{number, spread};
use crate::world::World;

/// How likely a fault is alone, and beside the others, in per mille.
const ALONE: u64 = 200;
const TOGETHER: u64 = 30;

/// Octets each way.
const BYTES: u64 = 5 << 20;

/// Most octets of a datagram.
const DATAGRAM: usize = 8 << 10;

/// The longest delay of a fault, in ms: no less than a send's deadline.
const LATE: u64 = 5000;

/// Virtual time, in ms, within which all is done.
const DEADLINE: u64 = 3_600_000;

/// Seeds for each fault by default, and how many seeds of `BYWAY_SIM_SEEDS` make one of them.
const SEEDS: u64 = 6;
const SEEDS_FOR_ONE: u64 = 500;

#[derive(Debug, Clone, Copy)]
struct Case {
    seed: u64,
    kind: Kind,
    pace: Pace,
    /// The fault alone; `None` for all faults together.
    fault: Option<Fault>,
}

/// The result of a case.
struct Outcome {
    /// The longest time that a receiver stood, in ms.
    stall: u64,
    took: u64,
    /// The datagrams of a thousand that arrived.
    lost: u64,
}

fn sweep(kind: Kind) {
    let seeds = match number("BYWAY_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BYWAY_SIM_SEEDS").map_or(SEEDS, |n| n.div_ceil(SEEDS_FOR_ONE)),
    };
    let faults = || Fault::OF_A_PROXY.iter().copied().map(Some).chain([None]);
    let mut cases = Vec::new();
    for seed in seeds {
        for pace in [Pace::LongPoll, Pace::Streaming] {
            cases.extend(faults().map(|fault| Case { seed, kind, pace, fault }));
        }
    }
    let ran = spread(cases, None, run);
    println!("{kind:?}: longest stall, longest run (virtual ms), lost per mille");
    for fault in faults() {
        let name = fault.map_or("all together".into(), |fault| format!("{fault:?}"));
        print!("{name:14}");
        for pace in [Pace::LongPoll, Pace::Streaming] {
            let mut of_cell = Outcome { stall: 0, took: 0, lost: 0 };
            for (_, outcome) in
                ran.done.iter().filter(|(case, _)| (case.fault, case.pace) == (fault, pace))
            {
                of_cell.stall = of_cell.stall.max(outcome.stall);
                of_cell.took = of_cell.took.max(outcome.took);
                of_cell.lost = of_cell.lost.max(outcome.lost);
            }
            let Outcome { stall, took, lost } = of_cell;
            print!(" | {pace:?} {stall:6} {took:8} {lost:4}");
        }
        println!();
    }
    ran.check();
}

fn run(case: &Case) -> Outcome {
    let mut rng = Rng::new(case.seed ^ 0x909e);
    let mut w = World::new(case.seed);
    let begun = w.now;
    w.faults = match case.fault {
        Some(fault) => Faults::each(&[fault], ALONE, LATE),
        None => Faults::each(Fault::OF_A_PROXY, TOGETHER, LATE),
    };
    let profile = *rng.pick(&[Profile::PHONE, Profile::PC]);
    for n in 0..2 {
        w.peer_with(profile, |settings| settings.pace = case.pace);
        w.peers[n].latency = *rng.pick(&[(0, 1), (5, 10), (20, 60)]);
    }
    let plan = match case.kind {
        Kind::Stream => Plan { write: 4096, read: 20_000, ..Plan::bytes(BYTES) },
        // A datagram has half of the most octets on average.
        Kind::Datagram => {
            Plan { write: DATAGRAM, write_pause: 5, ..Plan::bytes(2 * BYTES / DATAGRAM as u64) }
        }
    };
    w.listen(1, "b:1", case.kind);
    w.connect(0, "b:1", case.kind, 1, [plan; 2]);
    w.finish(DEADLINE);
    for peer in &mut w.peers {
        assert_eq!(peer.session().stats().overflows, 0, "{case:?}");
    }
    let ends = &w.chans[0].ends;
    let came = ends.iter().map(|end| end.read).sum::<u64>();
    assert!(came > 0, "{case:?}: nothing came");
    Outcome {
        stall: ends.iter().map(|end| end.stall).max().unwrap_or(0),
        took: w.now - begun,
        lost: 1000 - came * 1000 / (2 * plan.count),
    }
}

#[test]
fn streams_survive_a_misbehaving_proxy() {
    sweep(Kind::Stream);
}

#[test]
fn datagrams_survive_a_misbehaving_proxy() {
    sweep(Kind::Datagram);
}
