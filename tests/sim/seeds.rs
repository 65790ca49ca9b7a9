//! Many cases at once, each with a seed.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The results of the cases.
pub struct Ran<C, T> {
    pub done: Vec<(C, T)>,
    failed: Vec<C>,
}

/// Reads a number from the environment.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs each case, `at_once` at a time, or as many as there are processors. A case that panics has
/// failed, and the others go on.
pub fn spread<C: Clone + Send + Sync, T: Send>(
    cases: Vec<C>,
    at_once: Option<usize>,
    run: impl Fn(&C) -> T + Sync,
) -> Ran<C, T> {
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            match catch_unwind(AssertUnwindSafe(|| run(case))) {
                Ok(result) => done.push((case.clone(), result)),
                Err(_) => failed.push(case.clone()),
            }
        }
        (done, failed)
    };
    let processors = || std::thread::available_parallelism().map_or(2, |n| n.get());
    let at_once = at_once.unwrap_or_else(processors);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        let mut ran = Ran { done: Vec::new(), failed: Vec::new() };
        for thread in threads {
            let (done, failed) = thread.join().expect("joins");
            ran.done.extend(done);
            ran.failed.extend(failed);
        }
        ran
    })
}

impl<C: Debug, T> Ran<C, T> {
    #[track_caller]
    pub fn check(&self) {
        let (failed, all) = (&self.failed, self.failed.len() + self.done.len());
        assert!(failed.is_empty(), "{} of {all} failed: {failed:?}", failed.len());
    }
}
