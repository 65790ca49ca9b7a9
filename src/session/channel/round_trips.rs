//! What the path to the peer takes, by the round trips of a stream's data.

use core::num::NonZeroU32;

/// A ring that holds what the path takes in so many round trips between the peers is long enough: one
/// for what is under way, one for what waits for its acknowledgement.
const ROUND_TRIPS: u64 = 2;
/// A ring may grow to so many octets however short the path is: what threads take to wake each other
/// counts, too. Longer ones would leave the processor's cache.
const ENOUGH: u64 = 1 << 20;

/// A round trip that was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundTrip {
    /// How long it took, in ms.
    pub ms: u64,
    /// Octets that the peer acknowledged meanwhile.
    pub acked: u64,
}

/// The shortest round trip and the highest rate of delivery since the path was last doubted: both
/// together are what a full path holds (draft-cardwell-iccrg-bbr-congestion-control, section 2.4). Longer
/// rings than that only wait: they make round trips longer, not the rate higher. All zeros: nothing is
/// known.
#[derive(Debug, PartialEq, Eq)]
#[repr(C)]
pub struct RoundTrips {
    /// In ms, 0 counted as 1.
    shortest_ms: Option<NonZeroU32>,
    /// In octets a ms.
    rate: u32,
}

impl RoundTrips {
    pub const fn new() -> Self {
        Self { shortest_ms: None, rate: 0 }
    }

    pub fn note(&mut self, trip: RoundTrip) {
        let ms = trip.ms.clamp(1, u32::MAX.into()) as u32;
        let acked = trip.acked.min(u32::MAX.into()) as u32;
        self.rate = self.rate.max(acked / ms);
        let ms = NonZeroU32::new(ms);
        self.shortest_ms = match self.shortest_ms {
            Some(shortest) => ms.map(|ms| ms.min(shortest)),
            None => ms,
        };
    }

    /// The path may be another: it is measured anew.
    pub fn forget(&mut self) {
        *self = Self::new();
    }

    /// Octets of a ring that keeps the path busy.
    pub fn ring_need(&self) -> u64 {
        let ms = self.shortest_ms.map_or(0, NonZeroU32::get);
        (ROUND_TRIPS * u64::from(self.rate)).saturating_mul(ms.into()).max(ENOUGH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(trips: &[(u64, u64)]) -> u64 {
        let mut known = RoundTrips::new();
        trips.iter().for_each(|&(ms, acked)| known.note(RoundTrip { ms, acked }));
        known.ring_need()
    }

    #[test]
    fn ring_needs_what_the_path_takes_in_two_of_the_shortest_round_trips() {
        assert_eq!(after(&[(100, 1_000_000)]), 2_000_000);
        assert_eq!(after(&[(100, 1_000_000), (200, 2_000_000)]), 2_000_000, "only later");
        assert_eq!(after(&[(100, 1_000_000), (100, 2_000_000)]), 4_000_000, "faster");
        assert_eq!(after(&[(100, 2_000_000), (100, 10)]), 4_000_000, "little was written");
    }

    #[test]
    fn ring_may_have_a_mebibyte_on_any_path() {
        assert_eq!(after(&[]), ENOUGH);
        assert_eq!(after(&[(0, 100_000)]), ENOUGH);
        assert_eq!(after(&[(1, u64::MAX), (u64::MAX, 0)]), 2 * u64::from(u32::MAX), "no overflow");
        let mut known = RoundTrips::new();
        known.note(RoundTrip { ms: 100, acked: 1_000_000 });
        known.forget();
        assert_eq!(known.ring_need(), ENOUGH);
    }
}
