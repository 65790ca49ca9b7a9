//! What the path takes: how large bodies may be, and when to try again.

/// Bodies begin with so many octets: fast paths double it at once, slow ones pass it within seconds.
const FIRST_BODY: u32 = 64 << 10;
/// Smallest body, in octets: below, headers outweigh the payload.
const LEAST_BODY: u32 = 4 << 10;
/// A body takes at most so long, in ms, at the rate measured,
const BODY_MS: u32 = 250;
/// and at most so long while other channels wait.
const SHARED_BODY_MS: u32 = 10;
/// How long a size that was refused (413) is a ceiling, in ms.
const CEILING_MS: u64 = 600_000;

/// All zeros is the initial state.
#[derive(Debug)]
pub struct Uplink {
    /// Largest body now, in octets; 0: the first.
    body: u32,
    /// Octets per ms, smoothed; 0: not measured.
    rate: u32,
    /// Shortest exchange seen, in ms.
    shortest: u32,
    has_shortest: bool,
    /// Uploads failed in a row.
    failed: u8,
    ceiling: u32,
    ceiling_until: u64,
}

impl Uplink {
    pub const fn new() -> Self {
        Self {
            body: 0,
            rate: 0,
            shortest: 0,
            has_shortest: false,
            failed: 0,
            ceiling: 0,
            ceiling_until: 0,
        }
    }

    /// Octets of payload that the next body may have.
    pub fn budget(&self, now: u64, most: u32, shared: bool) -> u32 {
        let mut budget = if self.body == 0 { FIRST_BODY } else { self.body };
        if shared && self.rate > 0 {
            budget = budget.min(self.rate.saturating_mul(SHARED_BODY_MS));
        }
        if now < self.ceiling_until {
            budget = budget.min(self.ceiling);
        }
        budget.max(LEAST_BODY).min(most)
    }

    /// Shortest exchange seen, in ms.
    pub fn round_trip_ms(&self) -> u32 {
        self.shortest
    }

    /// The same, once it is known.
    pub fn known_round_trip_ms(&self) -> Option<u32> {
        self.has_shortest.then_some(self.shortest)
    }

    /// A send with `bytes` of payload, perhaps none, took `ms`.
    pub fn passed(&mut self, bytes: u32, ms: u32, most: u32) {
        self.failed = 0;
        // A body says how long the path is only if it takes next to nothing itself: measured by a
        // large one, a slow path would look long, and every body after it fast.
        if ms < self.shortest || !self.has_shortest && bytes <= LEAST_BODY {
            self.shortest = ms;
            self.has_shortest = true;
        }
        let body = if self.body == 0 { FIRST_BODY } else { self.body };
        let slow = bytes >= LEAST_BODY && ms.saturating_sub(self.shortest) > BODY_MS;
        // Less than a body tells how fast the path is only if it took long.
        if bytes < body / 2 && !slow {
            return;
        }
        let rate = bytes / (ms - self.shortest).max(1);
        self.rate = if self.rate == 0 { rate } else { self.rate - self.rate / 4 + rate / 4 };
        let target = self.rate.saturating_mul(BODY_MS);
        self.body = target.clamp(LEAST_BODY, body.saturating_mul(2)).min(most.max(LEAST_BODY));
    }

    /// A send with payload failed.
    pub fn failed(&mut self) {
        self.failed = self.failed.saturating_add(1);
        if self.failed >= 2 {
            self.failed = 0;
            let body = if self.body == 0 { FIRST_BODY } else { self.body };
            self.body = (body / 2).max(LEAST_BODY);
        }
    }

    /// A body of so many octets was refused as too large.
    pub fn refused(&mut self, now: u64, bytes: u32) {
        self.ceiling = (bytes / 2).max(LEAST_BODY);
        self.ceiling_until = now + CEILING_MS;
        self.body = self.ceiling;
        self.failed = 0;
    }

    /// The network changed: nothing of it is known.
    pub fn reset(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_on_a_fast_path_and_shrinks_on_failures() {
        let mut uplink = Uplink::new();
        let most = 1 << 20;
        assert_eq!(uplink.budget(0, most, false), FIRST_BODY);
        for _ in 0..10 {
            let body = uplink.budget(0, most, false);
            uplink.passed(body, 1, most);
        }
        assert_eq!(uplink.budget(0, most, false), most);
        uplink.failed();
        assert_eq!(uplink.budget(0, most, false), most);
        uplink.failed();
        assert_eq!(uplink.budget(0, most, false), most / 2);
    }

    #[test]
    fn a_slow_uplink_gets_a_quarter_of_a_second() {
        let mut uplink = Uplink::new();
        uplink.passed(100, 20, 1 << 20);
        for _ in 0..20 {
            let body = uplink.budget(0, 1 << 20, false);
            uplink.passed(body, 20 + body / 32, 1 << 20);
        }
        let body = uplink.budget(0, 1 << 20, false);
        assert!((7_000..9_000).contains(&body), "{body}");
    }

    #[test]
    fn a_slow_uplink_is_known_without_a_small_exchange() {
        let mut uplink = Uplink::new();
        let mut took = 0;
        for _ in 0..20 {
            let body = uplink.budget(0, 1 << 20, false);
            took = 20 + body / 32;
            uplink.passed(body, took, 1 << 20);
        }
        assert!((200..400).contains(&took), "{took}");
    }

    #[test]
    fn who_never_fills_a_body_learns_that_the_uplink_is_slow() {
        let mut uplink = Uplink::new();
        uplink.passed(0, 20, 1 << 20);
        for _ in 0..20 {
            let bytes = uplink.budget(0, 1 << 20, false).min(16 << 10);
            uplink.passed(bytes, 20 + bytes / 32, 1 << 20);
        }
        let body = uplink.budget(0, 1 << 20, false);
        assert!((7_000..9_000).contains(&body), "{body}");
    }

    #[test]
    fn a_long_path_is_not_slow() {
        let mut uplink = Uplink::new();
        for _ in 0..40 {
            let body = uplink.budget(0, 1 << 20, false);
            uplink.passed(body, 700 + body / 10_000, 1 << 20);
        }
        assert_eq!(uplink.budget(0, 1 << 20, false), 1 << 20);
    }

    #[test]
    fn a_refused_size_is_a_ceiling_for_ten_minutes() {
        let mut uplink = Uplink::new();
        uplink.refused(5, 1 << 20);
        for _ in 0..10 {
            let body = uplink.budget(6, 4 << 20, false);
            uplink.passed(body, 1, 4 << 20);
        }
        assert_eq!(uplink.budget(6, 4 << 20, false), 1 << 19);
        assert!(uplink.budget(6 + CEILING_MS, 4 << 20, false) > 1 << 19);
    }
}
