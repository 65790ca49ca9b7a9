//! How fast exchanges may follow each other where something on the way limits them (429).

use core::num::NonZeroU32;

use crate::session::terms::Lane;
use crate::trace::debug;

/// First time between the beginnings of two exchanges, in ms: doubled with each that is refused,
const FIRST_GAP_MS: u32 = 100;
/// up to so long;
const LONGEST_GAP_MS: u32 = 5_000;
/// with each that passes a share of it less,
const EASE: u32 = 32;
/// down to so long, below which there is none.
const LEAST_GAP_MS: u32 = 50;

/// All zeros is the initial state.
#[derive(Debug)]
pub struct Rate {
    /// Time between the beginnings of two exchanges, in ms.
    gap_ms: Option<NonZeroU32>,
    /// When that was raised last: what began before says nothing more.
    raised_at: u64,
    /// When an exchange began last, and on which lane.
    begun_at: u64,
    last: Lane,
    /// No exchange begins before this time, as something on the way asked.
    closed_until: u64,
}

impl Rate {
    pub const fn new() -> Self {
        Self { gap_ms: None, raised_at: 0, begun_at: 0, last: Lane::Park, closed_until: 0 }
    }

    /// When the next exchange of this lane may begin, at most so many ms behind the last. The other lane
    /// goes first.
    pub fn until(&self, lane: Lane, most_ms: u32) -> u64 {
        let Some(gap_ms) = self.gap_ms else { return self.closed_until };
        let gap = u64::from(gap_ms.get().min(most_ms));
        let behind = if lane == self.last { gap + gap / 2 } else { gap };
        self.closed_until.max(self.begun_at + behind)
    }

    pub fn begins(&mut self, now: u64, lane: Lane) {
        self.begun_at = now;
        self.last = lane;
    }

    /// An exchange passed.
    pub fn passes(&mut self) {
        let Some(gap_ms) = self.gap_ms else { return };
        let gap_ms = gap_ms.get() - (gap_ms.get() / EASE).max(1);
        self.gap_ms = NonZeroU32::new(gap_ms).filter(|_| gap_ms >= LEAST_GAP_MS);
    }

    /// An exchange that began at `begun_at` was one too many.
    pub fn refused(&mut self, now: u64, begun_at: u64) {
        if begun_at >= self.raised_at {
            let doubled = self.gap_ms.map_or(FIRST_GAP_MS, |gap_ms| 2 * gap_ms.get());
            let gap_ms = doubled.min(LONGEST_GAP_MS);
            debug!("too many exchanges: {gap_ms} ms from one to the next");
            self.gap_ms = NonZeroU32::new(gap_ms);
            self.raised_at = now;
        }
    }

    /// Nothing is to be asked for so many seconds.
    pub fn closes(&mut self, now: u64, seconds: u8) {
        debug!("no exchange begins for {seconds} s, as something on the way asks");
        self.closed_until = self.closed_until.max(now + u64::from(seconds) * 1_000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_exchanges_is_kept_but_for_one_in_fifteen() {
        for allowed_ms in [70, 200, 1_000, 3_000] {
            let mut rate = Rate::new();
            let (mut now, mut free_at) = (1_000_000, 0);
            let (mut passed, mut refused) = (0_u64, 0_u64);
            let begun = now;
            while now < begun + 600_000 {
                now = now.max(rate.until(Lane::Send, u32::MAX));
                rate.begins(now, Lane::Park);
                if now < free_at {
                    rate.refused(now + 5, now);
                    refused += 1;
                } else {
                    free_at = now + allowed_ms;
                    rate.passes();
                    passed += 1;
                }
                now += 5;
            }
            assert!(
                refused <= 6 + passed.div_ceil(15),
                "{refused} of {passed} every {allowed_ms} ms"
            );
            assert!(passed >= 600_000 / allowed_ms / 2, "{passed} every {allowed_ms} ms");
        }
    }

    #[test]
    fn no_exchange_is_early_where_none_was_refused() {
        let mut rate = Rate::new();
        rate.begins(7, Lane::Send);
        rate.passes();
        assert_eq!([Lane::Send, Lane::Park].map(|lane| rate.until(lane, u32::MAX)), [0, 0]);
    }
}
