//! How long a park may wait: what the path and whoever stands in it allow.

use crate::error::Blocked;

/// How long a hold that was cut is too long, in ms; then the path may be another.
const CEILING_MS: u64 = 600_000;

/// What is thought of long holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    /// Nothing stands against them.
    Fine = 0,
    /// One failed: its path may be gone, or a relay was restarted, or it was too long.
    Suspected,
    /// A shorter one did not. The next long one will tell.
    Tried,
    /// That failed, too.
    TooLong,
}

/// All zeros is the initial state.
#[derive(Debug)]
pub struct Downlink {
    belief: Belief,
    /// Longest hold, in ms, if others are suspected or known to be too long.
    ceiling: u32,
    /// When all this is forgotten.
    until: u64,
}

impl Downlink {
    pub const fn new() -> Self {
        Self { belief: Belief::Fine, ceiling: 0, until: 0 }
    }

    /// Longest silence that the path is known to bear, in ms.
    pub fn ceiling(&self, now: u64) -> u32 {
        match self.belief {
            Belief::Suspected | Belief::TooLong if now < self.until => self.ceiling,
            _ => u32::MAX,
        }
    }

    /// A park waited for its whole hold, and was answered.
    pub fn lasted(&mut self) {
        if self.belief == Belief::Suspected {
            self.belief = Belief::Tried;
        }
    }

    /// A park that was to wait for `hold` ms failed after `age` ms, without a word: whoever cut it
    /// told, at an age that it will cut the next at, or an address translator had forgotten it.
    /// No hold is made shorter than `least` ms, as some translators forget within five seconds.
    pub fn failed(&mut self, now: u64, least: u32, cause: Blocked, hold: u32, age: u32) {
        let ceiling = match cause {
            Blocked::Cut | Blocked::Http(408 | 499 | 502..=504) => age / 4 * 3,
            Blocked::Silence => hold / 3,
            _ => return,
        };
        // An early end says nothing of the hold.
        if age < least {
            return;
        }
        self.belief = match self.belief {
            _ if now >= self.until => Belief::Suspected,
            Belief::Fine => Belief::Suspected,
            Belief::Suspected | Belief::Tried | Belief::TooLong => Belief::TooLong,
        };
        self.ceiling = ceiling.max(least);
        self.until = now + CEILING_MS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of hold_active, in ms.
    const LEAST: u32 = 2_500;

    #[test]
    fn a_cut_hold_is_shortened_for_ten_minutes() {
        let mut downlink = Downlink::new();
        assert_eq!(downlink.ceiling(0).min(120_000), 120_000);
        downlink.failed(50_000, LEAST, Blocked::Http(504), 120_000, 50_000);
        assert_eq!(downlink.ceiling(50_000).min(120_000), 37_500);
        assert_eq!(downlink.ceiling(50_000).min(5_000), 5_000);
        // It may have been something else: another is tried.
        downlink.lasted();
        assert_eq!(downlink.ceiling(50_000).min(120_000), 120_000);
        downlink.failed(50_000, LEAST, Blocked::Http(504), 120_000, 50_000);
        downlink.lasted();
        assert_eq!(downlink.ceiling(50_000).min(120_000), 37_500);
        assert_eq!(downlink.ceiling(50_000 + CEILING_MS).min(120_000), 120_000);
    }

    #[test]
    fn silence_leaves_a_third_and_early_ends_do_not_count() {
        let mut downlink = Downlink::new();
        downlink.failed(0, LEAST, Blocked::Cut, 25_000, 1_000);
        downlink.failed(0, LEAST, Blocked::Foreign, 25_000, 20_000);
        assert_eq!(downlink.ceiling(0).min(25_000), 25_000);
        for hold in [25_000, 8_333, 2_777, 2_500] {
            assert_eq!(downlink.ceiling(0).min(25_000), hold);
            downlink.failed(0, LEAST, Blocked::Silence, hold, hold + 5_000);
        }
        assert_eq!(downlink.ceiling(0).min(25_000), 2_500);
    }
}
