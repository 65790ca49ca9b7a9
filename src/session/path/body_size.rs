//! How large the bodies of requests may be: what the path took, and what something on it refused (413).

use core::num::NonZeroU32;

use crate::session::acknowledge::LONG_PATH_MS;
use crate::trace::debug;

/// Bodies begin with so many octets: fast paths double it at once, slow ones pass it within seconds.
const FIRST_BODY: u32 = 64 << 10;
/// Smallest body, in octets: below, headers outweigh the payload.
const LEAST_BODY: u32 = 4 << 10;
/// A body takes at most so long, in ms, at the rate measured, while another channel has traffic, or much
/// comes in: those may have to wait for the body and its answer.
const BODY_MS: u32 = 250;
/// While nothing else has traffic a body takes as long as so many of the shortest exchanges, if that is
/// more: between bodies the path stands idle for one of these.
const ALONE_ROUND_TRIPS: u32 = 4;
/// While other channels wait a body takes as long as one of the shortest exchanges, but so long at least,
/// in ms.
const SHARED_BODY_MS: u32 = 10;
/// On a short path a body beside other traffic has at most so many octets for each channel, and for two
/// at least: more cost no less each, and the others wait for them.
const SHARE: u32 = 256 << 10;
/// A longer exchange, in ms, may have met a pause of the path, and tells no more of the next than this.
const MOST_BUSY_MS: u32 = 1_000;
/// How long a size that was refused (413) is a ceiling, in ms.
const CEILING_MS: u64 = 600_000;

/// What a body keeps waiting beside its own channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// No other channel has traffic.
    Alone,
    /// Another channel has traffic, but nothing to send now.
    Quiet,
    /// So many channels have data to send.
    Waiting(u32),
}

/// A size that was refused.
#[derive(Debug, Clone, Copy)]
struct Ceiling {
    /// Octets that are tried instead.
    octets: NonZeroU32,
    /// When the refusal is forgotten.
    until: u64,
}

/// How large bodies may be. All zeros is the initial state.
#[derive(Debug)]
pub struct BodySize {
    /// Largest body now, in octets; none: [`FIRST_BODY`].
    body: Option<NonZeroU32>,
    /// Octets per ms, smoothed, once they are measured.
    rate: Option<NonZeroU32>,
    /// Shortest exchange seen, in ms.
    shortest_ms: Option<u32>,
    /// The last exchange of a small body, in ms, up to [`MOST_BUSY_MS`].
    latest_ms: u32,
    /// Uploads failed in a row.
    failed: u8,
    ceiling: Option<Ceiling>,
}

impl BodySize {
    pub const fn new() -> Self {
        Self { body: None, rate: None, shortest_ms: None, latest_ms: 0, failed: 0, ceiling: None }
    }

    /// Largest body now, in octets.
    fn body(&self) -> u32 {
        self.body.map_or(FIRST_BODY, NonZeroU32::get)
    }

    /// Octets of payload that the next body may have.
    pub fn budget(&self, now: u64, most: u32, company: Company) -> u32 {
        let shared_ms = || self.round_trip_ms().clamp(SHARED_BODY_MS, BODY_MS);
        let (ms, channels) = match company {
            Company::Alone => (self.alone_ms(), None),
            Company::Quiet => (BODY_MS, Some(2)),
            Company::Waiting(channels) => (shared_ms(), Some(channels.max(2))),
        };
        let mut budget = self.within(ms);
        if let Some(channels) = channels.filter(|_| self.round_trip_ms() < LONG_PATH_MS) {
            budget = budget.min(SHARE.saturating_mul(channels));
        }
        if let Some(ceiling) = self.ceiling
            && now < ceiling.until
        {
            budget = budget.min(ceiling.octets.get());
        }
        budget.max(LEAST_BODY).min(most)
    }

    /// How long a body that keeps nothing waiting may take, in ms.
    fn alone_ms(&self) -> u32 {
        self.round_trip_ms().saturating_mul(ALONE_ROUND_TRIPS).max(BODY_MS)
    }

    /// Octets of a body that takes at most `ms`.
    fn within(&self, ms: u32) -> u32 {
        self.rate.map_or(FIRST_BODY, |rate| rate.get().saturating_mul(ms)).min(self.body())
    }

    /// Shortest exchange seen, in ms; 0 before the first.
    pub fn round_trip_ms(&self) -> u32 {
        self.shortest_ms.unwrap_or(0)
    }

    /// Shortest exchange seen, in ms, once there was one.
    pub fn known_round_trip_ms(&self) -> Option<u32> {
        self.shortest_ms
    }

    /// The last exchange of a small body, in ms, or the shortest seen if that took longer; once there was one. What is
    /// busy, or has become a longer path, delays an answer that stays open no less.
    pub fn recent_round_trip_ms(&self) -> Option<u32> {
        self.shortest_ms.map(|shortest| shortest.max(self.latest_ms))
    }

    /// A send with `bytes` of payload, perhaps none, took `ms`.
    pub fn passed(&mut self, bytes: u32, ms: u32, most: u32) {
        self.failed = 0;
        if bytes <= LEAST_BODY {
            self.latest_ms = ms.min(MOST_BUSY_MS);
        }
        // A body says how long the path is only if it takes next to nothing itself: measured by a
        // large one, a slow path would look long, and every body after it fast.
        if self.shortest_ms.map_or(bytes <= LEAST_BODY, |shortest| ms < shortest) {
            self.shortest_ms = Some(ms);
        }
        let beyond = ms.saturating_sub(self.round_trip_ms());
        let body = self.body();
        let slow = bytes >= LEAST_BODY && beyond > BODY_MS;
        // Less than a body tells how fast the path is only if it took long.
        if bytes < self.within(BODY_MS) / 2 && !slow {
            return;
        }
        let rate = bytes / beyond.max(1);
        let rate = self.rate.map_or(rate, |before| before.get() - before.get() / 4 + rate / 4);
        self.rate = NonZeroU32::new(rate);
        let target = rate.saturating_mul(self.alone_ms());
        let body = target.clamp(LEAST_BODY, body.saturating_mul(2)).min(most.max(LEAST_BODY));
        self.body = NonZeroU32::new(body);
    }

    /// A send with payload failed: the second one in a row halves the body.
    pub fn failed(&mut self) {
        self.failed = self.failed.saturating_add(1);
        if self.failed >= 2 {
            self.failed = 0;
            self.body = NonZeroU32::new((self.body() / 2).max(LEAST_BODY));
            debug!("two sends failed: bodies have at most {} octets", self.body());
        }
    }

    /// A body of so many octets was refused as too large.
    pub fn refused(&mut self, now: u64, bytes: u32) {
        self.body = NonZeroU32::new((bytes / 2).max(LEAST_BODY));
        self.ceiling = self.body.map(|octets| Ceiling { octets, until: now + CEILING_MS });
        self.failed = 0;
        debug!("a body of {bytes} octets is too large: they have at most {}", self.body());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_on_a_fast_path_and_shrinks_on_failures() {
        let mut size = BodySize::new();
        let most = 1 << 20;
        assert_eq!(size.budget(0, most, Company::Alone), FIRST_BODY);
        for _ in 0..10 {
            let body = size.budget(0, most, Company::Alone);
            size.passed(body, 1, most);
        }
        assert_eq!(size.budget(0, most, Company::Alone), most);
        size.failed();
        assert_eq!(size.budget(0, most, Company::Alone), most);
        size.failed();
        assert_eq!(size.budget(0, most, Company::Alone), most / 2);
    }

    #[test]
    fn a_slow_uplink_gets_a_quarter_of_a_second() {
        let mut size = BodySize::new();
        size.passed(100, 20, 1 << 20);
        for _ in 0..20 {
            let body = size.budget(0, 1 << 20, Company::Alone);
            size.passed(body, 20 + body / 32, 1 << 20);
        }
        let body = size.budget(0, 1 << 20, Company::Alone);
        assert!((7_000..9_000).contains(&body), "{body}");
    }

    #[test]
    fn a_slow_uplink_is_known_without_a_small_exchange() {
        let mut size = BodySize::new();
        let mut took = 0;
        for _ in 0..20 {
            let body = size.budget(0, 1 << 20, Company::Alone);
            took = 20 + body / 32;
            size.passed(body, took, 1 << 20);
        }
        assert!((200..400).contains(&took), "{took}");
    }

    #[test]
    fn a_slow_uplink_is_known_though_no_body_is_ever_full() {
        let mut size = BodySize::new();
        size.passed(0, 20, 1 << 20);
        for _ in 0..20 {
            let bytes = size.budget(0, 1 << 20, Company::Alone).min(16 << 10);
            size.passed(bytes, 20 + bytes / 32, 1 << 20);
        }
        let body = size.budget(0, 1 << 20, Company::Alone);
        assert!((7_000..9_000).contains(&body), "{body}");
    }

    #[test]
    fn a_long_path_is_not_slow() {
        let mut size = BodySize::new();
        for _ in 0..40 {
            let body = size.budget(0, 1 << 20, Company::Alone);
            size.passed(body, 700 + body / 10_000, 1 << 20);
        }
        assert_eq!(size.budget(0, 1 << 20, Company::Alone), 1 << 20);
    }

    /// Bodies that nothing waits for, over a path of 250 octets a ms whose shortest exchange takes
    /// `round_trip_ms`; octets a ms in the end.
    fn settle(size: &mut BodySize, round_trip_ms: u32) -> u32 {
        size.passed(0, round_trip_ms, 4 << 20);
        let mut rate = 0;
        for _ in 0..20 {
            let body = size.budget(0, 4 << 20, Company::Alone);
            let took = round_trip_ms + body / 250;
            size.passed(body, took, 4 << 20);
            rate = body / took;
        }
        rate
    }

    #[test]
    fn bodies_alone_fill_three_quarters_of_a_long_thin_path() {
        for round_trip_ms in [10, 60, 300, 900] {
            let rate = settle(&mut BodySize::new(), round_trip_ms);
            assert!(rate >= 250 * 3 / 4, "{rate} octets a ms over {round_trip_ms} ms");
        }
    }

    #[test]
    fn body_beside_other_traffic_takes_a_quarter_of_a_second_and_beside_data_a_round_trip() {
        for (round_trip_ms, waiting_ms) in [(1, 17), (20, 20), (100, 100), (300, 250), (900, 250)] {
            let mut size = BodySize::new();
            settle(&mut size, round_trip_ms);
            for (company, ms) in [(Company::Quiet, 250), (Company::Waiting(2), waiting_ms)] {
                let body = size.budget(0, 4 << 20, company);
                let took = body / 250;
                assert!(took.abs_diff(ms) <= 2, "{company:?}: {took} ms over {round_trip_ms} ms");
            }
        }
    }

    #[test]
    fn body_beside_other_traffic_on_a_short_path_has_a_quarter_of_a_mebibyte_a_channel() {
        for (round_trip_ms, share) in [(0, SHARE), (LONG_PATH_MS, 4 << 20)] {
            let mut size = BodySize::new();
            size.passed(0, round_trip_ms, 4 << 20);
            for _ in 0..10 {
                let body = size.budget(0, 4 << 20, Company::Alone);
                size.passed(body, round_trip_ms, 4 << 20);
            }
            assert_eq!(size.budget(0, 4 << 20, Company::Alone), 4 << 20);
            let waiting = [2, 8].map(|channels| (Company::Waiting(channels), channels));
            for (company, channels) in [(Company::Quiet, 2)].into_iter().chain(waiting) {
                let most = (share * channels).min(4 << 20);
                assert_eq!(size.budget(0, 4 << 20, company), most, "{company:?}");
            }
        }
    }

    #[test]
    fn short_bodies_beside_other_traffic_find_out_that_the_path_became_faster() {
        let mut size = BodySize::new();
        settle(&mut size, 300);
        for _ in 0..20 {
            let body = size.budget(0, 4 << 20, Company::Quiet);
            size.passed(body, 300 + body / 1_000, 4 << 20);
        }
        let took = size.budget(0, 4 << 20, Company::Quiet) / 1_000;
        assert!((240..=250).contains(&took), "{took} ms");
    }

    #[test]
    fn a_refused_size_is_a_ceiling_for_ten_minutes() {
        let mut size = BodySize::new();
        size.refused(5, 1 << 20);
        for _ in 0..10 {
            let body = size.budget(6, 4 << 20, Company::Alone);
            size.passed(body, 1, 4 << 20);
        }
        assert_eq!(size.budget(6, 4 << 20, Company::Alone), 1 << 19);
        assert!(size.budget(6 + CEILING_MS, 4 << 20, Company::Alone) > 1 << 19);
    }
}
