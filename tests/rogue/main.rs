//! A misbehaving proxy on real sockets, between real clients and a real relay: each fault alone,
//! and all together. `BYWAY_ROGUE_RUNS` sets how many runs, `BYWAY_ROGUE_SEED` replays one, and
//! `BYWAY_ROGUE_FAULT`, such as `LoseAnswer`, leaves out the other faults. Beside it a hostile relay, which
//! changes what it passes on, see [`tamper`].

#[path = "../sim/attacks.rs"]
mod attacks;
mod carry;
mod cell;
#[path = "../sim/fate.rs"]
mod fate;
mod http;
mod proxy;
#[path = "../sim/rng.rs"]
mod rng;
mod scaled;
#[path = "../sim/seeds.rs"]
mod seeds;
mod tamper;
mod tell;

use std::time::Duration;

use byway::Kind;
use byway::session::Pace;

use crate::cell::{Cell, Outcome};
use crate::fate::Fault;
use crate::seeds::{number, spread};

/// Runs, each with all faults: three of each kind and pace.
const RUNS: u64 = 12;

/// Cells at once: most of the time they wait.
const AT_ONCE: usize = 24;

/// The kind and pace of a run.
fn of_run(seed: u64) -> (Kind, Pace) {
    let kind = if seed & 1 == 0 { Kind::Stream } else { Kind::Datagram };
    let pace = if seed & 2 == 0 { Pace::LongPoll } else { Pace::Streaming };
    (kind, pace)
}

/// All faults together, then each alone.
fn faults() -> impl Iterator<Item = Option<Fault>> {
    std::iter::once(None).chain(Fault::OF_A_PROXY.iter().copied().map(Some))
}

fn name(fault: Option<Fault>) -> String {
    fault.map_or("all together".into(), |fault| format!("{fault:?}"))
}

#[test]
fn clients_survive_a_misbehaving_proxy() {
    let seeds = match number("BYWAY_ROGUE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BYWAY_ROGUE_RUNS").unwrap_or(RUNS),
    };
    let mut cells = Vec::new();
    let only = std::env::var("BYWAY_ROGUE_FAULT").ok();
    for fault in faults().filter(|fault| only.as_ref().is_none_or(|only| name(*fault) == *only)) {
        cells.extend(seeds.clone().map(|seed| {
            let (kind, pace) = of_run(seed);
            Cell { seed, kind, pace, fault, forward: seed & 4 == 0 }
        }));
    }
    let ran = spread(cells, Some(AT_ONCE), Cell::run);
    for of in [0, 1, 2, 3].map(of_run) {
        println!("{of:?}: longest stall and run in ms, exchanges, struck, lost");
        for fault in faults() {
            let is = |cell: &Cell| (cell.kind, cell.pace) == of && cell.fault == fault;
            let outcomes =
                ran.done.iter().filter(|(cell, _)| is(cell)).map(|(_, outcome)| *outcome);
            let Some(Outcome { stall, took, exchanges, struck, lost }) =
                outcomes.reduce(Outcome::worse)
            else {
                continue;
            };
            let name = name(fault);
            let [stall, took] = [stall, took].map(|time: Duration| time.as_millis());
            println!("{name:14} {stall:6} {took:6} {exchanges:6} {struck:5} {lost:5}");
        }
    }
    ran.check();
}
