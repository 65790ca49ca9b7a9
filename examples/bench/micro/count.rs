//! Operations by number: for callgrind, and for their allocations.

use std::alloc::System;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use super::case::{Case, Work};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Whether allocations within calls of a session are counted; they are not while instructions are.
static WATCH: AtomicBool = AtomicBool::new(false);
static IN_SESSION: AtomicUsize = AtomicUsize::new(0);

/// Runs `n` operations.
pub fn repeat(case: &Case, n: usize) {
    let mut work = case.start();
    for _ in 0..n {
        work.prepare();
        counted(&mut *work);
    }
}

/// The one function in which callgrind counts; `instructions` names it.
#[inline(never)]
fn counted(work: &mut dyn Work) {
    work.run();
}

/// Prints the allocations of `n` operations, and how many of them sessions made.
pub fn allocations(case: &Case, n: usize) {
    let mut work = case.start();
    let mut count = 0;
    let mut in_session = 0;
    for _ in 0..n {
        work.prepare();
        let before = (allocated(), IN_SESSION.load(Relaxed));
        WATCH.store(true, Relaxed);
        work.run();
        WATCH.store(false, Relaxed);
        count += allocated() - before.0;
        in_session += IN_SESSION.load(Relaxed) - before.1;
    }
    println!("{count} {in_session}");
}

/// Runs a call of a session, and counts its allocations.
pub fn guarded<T>(call: impl FnOnce() -> T) -> T {
    if !WATCH.load(Relaxed) {
        return call();
    }
    let before = allocated();
    let result = call();
    IN_SESSION.fetch_add(allocated() - before, Relaxed);
    result
}

fn allocated() -> usize {
    let stats = HEAP.stats();
    stats.allocations + stats.reallocations
}
