//! How long a park may wait: what the path and whoever stands in it allow.

use super::settings::{Pace, Settings};
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
pub(super) struct Downlink {
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

    /// How long the next park waits, and how long beyond that until it has failed, in ms; with
    /// traffic lately or not.
    pub fn hold(&self, now: u64, settings: &Settings, active: bool) -> (u32, u32) {
        let timers = &settings.timers;
        let (hold, grace) = match (active, settings.pace) {
            (true, _) => (timers.hold_active_ms, timers.park_grace_active_ms),
            (false, Pace::Battery) => (timers.hold_battery_ms, timers.park_grace_idle_ms),
            (false, _) => (timers.hold_idle_ms, timers.park_grace_idle_ms),
        };
        (hold.min(self.ceiling(now)), grace)
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
    pub fn failed(&mut self, now: u64, settings: &Settings, cause: Blocked, hold: u32, age: u32) {
        // Some translators forget within five seconds.
        let least = settings.timers.hold_active_ms / 2;
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

    #[test]
    fn a_cut_hold_is_shortened_for_ten_minutes() {
        let settings = Settings { pace: Pace::Battery, ..Settings::new([1; 16], 1) };
        let mut downlink = Downlink::new();
        assert_eq!(downlink.hold(0, &settings, false), (120_000, 5_000));
        downlink.failed(50_000, &settings, Blocked::Http(504), 120_000, 50_000);
        assert_eq!(downlink.hold(50_000, &settings, false), (37_500, 5_000));
        assert_eq!(downlink.hold(50_000, &settings, true), (5_000, 2_000));
        // It may have been something else: another is tried.
        downlink.lasted();
        assert_eq!(downlink.hold(50_000, &settings, false), (120_000, 5_000));
        downlink.failed(50_000, &settings, Blocked::Http(504), 120_000, 50_000);
        downlink.lasted();
        assert_eq!(downlink.hold(50_000, &settings, false), (37_500, 5_000));
        assert_eq!(downlink.hold(50_000 + CEILING_MS, &settings, false), (120_000, 5_000));
    }

    #[test]
    fn silence_leaves_a_third_and_early_ends_do_not_count() {
        let settings = Settings::new([1; 16], 1);
        let mut downlink = Downlink::new();
        downlink.failed(0, &settings, Blocked::Cut, 25_000, 1_000);
        downlink.failed(0, &settings, Blocked::Foreign, 25_000, 20_000);
        assert_eq!(downlink.hold(0, &settings, false).0, 25_000);
        for hold in [25_000, 8_333, 2_777, 2_500] {
            assert_eq!(downlink.hold(0, &settings, false).0, hold);
            downlink.failed(0, &settings, Blocked::Silence, hold, hold + 5_000);
        }
        assert_eq!(downlink.hold(0, &settings, false).0, 2_500);
    }
}
