//! How long messages wait in the router.

use std::ops::AddAssign;
use std::time::Duration;

/// Upper bounds of the buckets, in milliseconds: from the router's own resolution to the longest time that a message
/// waits for its peer (`busy_wait_max_ms`, `patience_ms`).
const BOUNDS_MS: [u64; 10] = [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_000];

/// How long messages waited for their receiver, from when the router had their beginning until the first of their
/// octets was written into the receiver's answer: a histogram.
///
/// Messages that were never written, and acknowledgements that are kept for a later answer, are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WaitStats {
    /// Messages by bucket; behind the bounds those that waited longer.
    buckets: [u64; BOUNDS_MS.len() + 1],
    sum_ms: u64,
}

impl WaitStats {
    /// A message waited for so many milliseconds, the last of them begun.
    pub(super) fn note(&mut self, ms: u64) {
        let bucket = BOUNDS_MS.partition_point(|bound| *bound <= ms);
        self.buckets[bucket] += 1;
        self.sum_ms += ms;
    }

    /// Messages written.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The sum of their waits.
    pub fn sum(&self) -> Duration {
        Duration::from_millis(self.sum_ms)
    }

    /// The messages that waited for less than a time, and not for less than the one before; `None`: for longer than
    /// all of these.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = BOUNDS_MS.iter().map(|ms| Some(Duration::from_millis(*ms))).chain([None]);
        bounds.zip(self.buckets)
    }
}

/// The sum of what two routers counted.
impl AddAssign for WaitStats {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.sum_ms += other.sum_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, WaitStats};

    #[test]
    fn wait_is_counted_below_the_bound_above_it() {
        let mut waits = WaitStats::default();
        [0, 1, 4, 5, 1_999, 2_000, 90_000].into_iter().for_each(|ms| waits.note(ms));
        let full: Vec<_> = waits.buckets().filter(|(_, messages)| *messages > 0).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(full, [(ms(1), 1), (ms(5), 2), (ms(10), 1), (ms(2_000), 1), (None, 2)]);
        assert_eq!((waits.count(), waits.sum()), (7, Duration::from_millis(94_009)));
        let once = waits;
        waits += once;
        assert_eq!((waits.count(), waits.sum()), (14, Duration::from_millis(188_018)));
    }
}
