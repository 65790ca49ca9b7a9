//! Many cases at once, each a seed or named by one.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What came of them.
pub struct Ran<C, T> {
    pub done: Vec<(C, T)>,
    failed: Vec<C>,
}

/// A number from the environment.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs each case, so many at once, else as many as there are processors; one that panics has failed, and the others go on.
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
