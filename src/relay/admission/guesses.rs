//! Addresses whose signed tokens were wrong too often: their signatures are not verified for a while.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::super::router::Origin;
use super::pace::Bucket;

/// Wrong tokens of an address in a row that are looked at: a carrier's address has thousands of phones.
const BURST: u32 = 1_000;

/// Wrong tokens of an address in a second that are looked at. A look takes a twentieth to a tenth of a
/// millisecond, so that an address costs a few hundredths of a core; and a forger leaves room for signed tokens of
/// others at the same address that are new to the relay.
const RATE: u32 = 500;

/// Most addresses that are remembered: some 200 KiB.
const MOST: usize = 4_096;

/// How often all of them are looked at, to forget some: each guess of a flood is to cost little.
const SWEEP: Duration = Duration::from_secs(1);

/// The addresses of wrong tokens, behind a trusted proxy those that it tells. This machine's own are not
/// counted: a front on it that nobody named as trusted speaks for all its clients.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    wrong: FxHashMap<Origin, Bucket>,
    /// When those were forgotten last that had not been wrong for long.
    swept: Option<Instant>,
}

impl Guesses {
    /// Whether a signature from there may be verified.
    pub fn may_try(&mut self, source: &Origin, now: Instant) -> bool {
        self.wrong.get_mut(source).is_none_or(|bucket| bucket.wait(RATE, BURST, now).is_zero())
    }

    pub fn note_wrong(&mut self, source: &Origin, now: Instant) {
        if *source == Origin::Exempt {
            return;
        }
        if self.wrong.len() >= MOST && !self.wrong.contains_key(source) {
            if self.swept.is_none_or(|at| now.duration_since(at) >= SWEEP) {
                self.wrong.retain(|_, bucket| !bucket.is_full(RATE, BURST, now));
                self.swept = Some(now);
            }
            if self.wrong.len() >= MOST
                && let Some(any) = self.wrong.keys().next().cloned()
            {
                self.wrong.remove(&any);
            }
        }
        let bucket = self.wrong.entry(source.clone()).or_insert_with(|| Bucket::full(BURST, now));
        bucket.take(1, RATE, BURST, now);
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.wrong.len()
    }
}
