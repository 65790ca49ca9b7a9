//! How long a park may wait: what the path and the gateways on it allow.

use crate::error::Blocked;
use crate::trace::debug;

/// How long a hold that was cut is too long, in ms; then the path may be another.
const CEILING_MS: u64 = 600_000;

/// What is thought of long holds.
///
/// ```text
///        failed            lasted           failed
///  Fine ────────▶ Suspected ──────▶ Tried ─────────▶ TooLong
///                     └───────────── failed ───────────▶┘
///  any that failed once the ceiling is forgotten ──▶ Suspected
/// ```
#[derive(Debug, Clone, Copy)]
#[repr(u8)] // for zeros at first
enum Belief {
    /// Nothing stands against them.
    Fine = 0,
    /// One failed: its path may be gone, or a relay was restarted, or the hold was too long. Until it
    /// is forgotten, holds have this many ms at most.
    Suspected { hold_ms: u32, until: u64 },
    /// A shorter one did not fail. The next long one will tell.
    Tried { until: u64 },
    /// That failed, too.
    TooLong { hold_ms: u32, until: u64 },
}

/// How long parks may wait. All zeros is the initial state.
#[derive(Debug)]
pub struct Hold {
    belief: Belief,
}

impl Hold {
    pub const fn new() -> Self {
        Self { belief: Belief::Fine }
    }

    /// Longest silence that the path is known to bear, in ms.
    pub fn ceiling(&self, now: u64) -> u32 {
        match self.belief {
            Belief::Suspected { hold_ms, until } | Belief::TooLong { hold_ms, until }
                if now < until =>
            {
                hold_ms
            }
            Belief::Fine
            | Belief::Suspected { .. }
            | Belief::Tried { .. }
            | Belief::TooLong { .. } => u32::MAX,
        }
    }

    /// A park waited for its whole hold, and was answered.
    pub fn lasted(&mut self) {
        if let Belief::Suspected { until, .. } = self.belief {
            self.belief = Belief::Tried { until };
        }
    }

    /// A park that was to wait for `hold` ms failed after `age` ms, without a word: a gateway that
    /// cut it told so, at an age that it will cut the next at, or an address translator had
    /// forgotten it. No hold is made shorter than `least` ms, as some translators forget within
    /// five seconds.
    pub fn failed(&mut self, now: u64, least: u32, cause: Blocked, hold: u32, age: u32) {
        let hold_ms = match cause {
            Blocked::Cut | Blocked::Http(408 | 499 | 502..=504) => age / 4 * 3,
            Blocked::Silence => hold / 3,
            _ => return,
        };
        // An early end says nothing of the hold.
        if age < least {
            return;
        }
        let (hold_ms, forgotten_at) = (hold_ms.max(least), now + CEILING_MS);
        debug!(
            "a hold of {hold} ms failed after {age} ms: they are shortened to {hold_ms} ms ({cause})"
        );
        self.belief = match self.belief {
            Belief::Suspected { until, .. }
            | Belief::Tried { until }
            | Belief::TooLong { until, .. }
                if now < until =>
            {
                Belief::TooLong { hold_ms, until: forgotten_at }
            }
            Belief::Fine
            | Belief::Suspected { .. }
            | Belief::Tried { .. }
            | Belief::TooLong { .. } => Belief::Suspected { hold_ms, until: forgotten_at },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of hold_active, in ms.
    const LEAST: u32 = 2_500;

    #[test]
    fn a_cut_hold_is_shortened_for_ten_minutes() {
        let mut hold = Hold::new();
        assert_eq!(hold.ceiling(0).min(120_000), 120_000);
        hold.failed(50_000, LEAST, Blocked::Http(504), 120_000, 50_000);
        assert_eq!(hold.ceiling(50_000).min(120_000), 37_500);
        assert_eq!(hold.ceiling(50_000).min(5_000), 5_000);
        // It may have been something else: another is tried.
        hold.lasted();
        assert_eq!(hold.ceiling(50_000).min(120_000), 120_000);
        hold.failed(50_000, LEAST, Blocked::Http(504), 120_000, 50_000);
        hold.lasted();
        assert_eq!(hold.ceiling(50_000).min(120_000), 37_500);
        assert_eq!(hold.ceiling(50_000 + CEILING_MS).min(120_000), 120_000);
    }

    #[test]
    fn silence_leaves_a_third_and_early_ends_do_not_count() {
        let mut hold = Hold::new();
        hold.failed(0, LEAST, Blocked::Cut, 25_000, 1_000);
        hold.failed(0, LEAST, Blocked::Foreign, 25_000, 20_000);
        assert_eq!(hold.ceiling(0).min(25_000), 25_000);
        for hold_ms in [25_000, 8_333, 2_777, 2_500] {
            assert_eq!(hold.ceiling(0).min(25_000), hold_ms);
            hold.failed(0, LEAST, Blocked::Silence, hold_ms, hold_ms + 5_000);
        }
        assert_eq!(hold.ceiling(0).min(25_000), 2_500);
    }
}
