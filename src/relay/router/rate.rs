//! Rates: how often something may happen.

use std::num::NonZeroU32;

/// How often something may happen: `per_second` in the long run, and `burst` at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Times a second.
    pub per_second: NonZeroU32,
    /// Times at once.
    pub burst: NonZeroU32,
}

impl Rate {
    /// `per_second` times a second and `burst` at once, each at least once.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: at_least_1(per_second), burst: at_least_1(burst) }
    }

    /// Microseconds that `times` take.
    fn us(self, times: u32) -> u64 {
        u64::from(times) * 1_000_000 / u64::from(self.per_second.get())
    }
}

const fn at_least_1(n: u32) -> NonZeroU32 {
    match NonZeroU32::new(n) {
        Some(n) => n,
        None => NonZeroU32::MIN,
    }
}

/// How much of a rate is used, by the generic cell rate algorithm (ITU-T I.371): the time, in
/// microseconds, at which all that was taken would have been taken at the long rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::relay) struct Bucket(u64);

impl Bucket {
    /// Takes `times`, with at most `ahead` milliseconds on credit: how many milliseconds are to pass
    /// before the last is due, or, if that would be more than `ahead`, after how many to ask again.
    pub fn take(&mut self, now: u64, rate: Rate, times: u32, ahead: u64) -> Result<u64, u64> {
        let now_us = now * 1000;
        let until = self.0.max(now_us) + rate.us(times);
        let wait = (until - now_us).saturating_sub(rate.us(rate.burst.get())).div_ceil(1000);
        if wait > ahead {
            return Err(wait);
        }
        self.0 = until;
        Ok(wait)
    }

    /// Whether nothing of it is used.
    pub fn is_full(&self, now: u64) -> bool {
        self.0 <= now * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::{Bucket, Rate};

    const RATE: Rate = Rate::new(10, 5);

    #[test]
    fn burst_then_the_long_rate() {
        let mut bucket = Bucket::default();
        for _ in 0..5 {
            assert_eq!(bucket.take(1_000, RATE, 1, 0), Ok(0));
        }
        assert_eq!(bucket.take(1_000, RATE, 1, 0), Err(100));
        assert_eq!(bucket.take(1_100, RATE, 1, 0), Ok(0));
        assert_eq!(bucket.take(1_100, RATE, 1, 0), Err(100));
    }

    #[test]
    fn credit_is_told_and_bounded() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(0, RATE, 5, 1_000), Ok(0));
        assert_eq!(bucket.take(0, RATE, 10, 1_000), Ok(1_000));
        assert_eq!(bucket.take(0, RATE, 1, 1_000), Err(1_100));
    }

    #[test]
    fn pause_fills_the_bucket_and_no_more() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(0, RATE, 5, 0), Ok(0));
        assert!(!bucket.is_full(499));
        assert!(bucket.is_full(500));
        assert_eq!(bucket.take(1_000_000, RATE, 5, 0), Ok(0));
        assert!(bucket.take(1_000_000, RATE, 1, 0).is_err());
    }
}
