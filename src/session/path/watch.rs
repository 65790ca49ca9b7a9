//! What follows from what comes, or does not, of the park under way.

use super::stream_watch::LITTLE;
use crate::error::Blocked;
use crate::session::mode::Mode;
use crate::session::state::Core;
use crate::session::terms::Lane;
use crate::trace::trace;

impl<M: Mode> Core<M> {
    /// Breaks the park off on purpose.
    pub fn break_park(&mut self) {
        trace!("Park {}: is broken off", self.park.seq());
        self.park.break_off();
        self.wakes.break_park = true;
    }

    /// The park failed without a word: its hold may have been too long.
    pub fn park_failed(&mut self, now: u64, cause: Blocked) {
        let (hold_ms, age) = (self.park.hold_ms(), self.park.age(now));
        let least = self.timers().hold_active_ms / 2;
        if let Some(full) = self.full_mut() {
            full.hold.failed(now, least, cause, hold_ms, age);
        }
    }

    /// The request for an answer that stays open has gone up.
    pub fn stream_begins(&mut self, now: u64) {
        let spread_ms = self.below(self.timers().stream_late_ms);
        let spread_ms = u16::try_from(spread_ms).unwrap_or(u16::MAX);
        if let Some(full) = self.full_mut() {
            full.stream_watch.begins(now, spread_ms);
            // Without a round trip nobody can tell what comes late: a send measures it.
            if full.body_size.known_round_trip_ms().is_none() {
                self.debts.owe_hello();
            }
        }
        self.stream_lives(now);
        // It is the sending lane that watches.
        self.wakes.send = true;
    }

    /// Something of the answer came.
    pub fn stream_lives(&mut self, now: u64) {
        let late_ms = self.timers().stream_late_ms;
        if let Some(full) = self.full_mut() {
            let round_trip_ms = full.body_size.recent_round_trip_ms().unwrap_or(0);
            full.stream_watch.lives(now, round_trip_ms, late_ms);
        }
    }

    /// A TICK came.
    pub fn on_tick(&mut self, now: u64, age_ms: u32, next_ms: u32) {
        let late_ms = self.timers().stream_late_ms;
        // No relay announces more.
        let next_ms = next_ms.min(self.timers().hold_active_ms);
        let little = self.park.came() <= LITTLE;
        let Some(full) = self.full_mut() else { return };
        let little = little && (!full.send.is_active() || full.send.payload() <= LITTLE);
        let round_trip_ms = full.body_size.recent_round_trip_ms();
        let tick = (age_ms, next_ms);
        if full.stream_watch.ticks(now, tick, round_trip_ms, late_ms, little) {
            full.stats.late += 1;
            // Nothing of it is lost by WAKE.
            full.park_doubt.doubt();
            self.debts.owe_hello();
            self.wakes.send = true;
        }
    }

    /// Breaks an answer that comes too late.
    pub fn watch_stream(&mut self, now: u64) {
        let park = &self.park;
        let is_open = park.is_unanswered() && park.streams() && !park.is_broken();
        let Some(full) = self.full_mut() else { return };
        if full.stream_watch.is_late(now, is_open) {
            full.stats.late += 1;
            self.break_park();
        }
    }

    /// An answer that was to stay open is over; `cut` if before its end.
    pub fn stream_ended(&mut self, now: u64, cut: bool) {
        let late_ms = self.timers().stream_late_ms;
        if let Some(full) = self.full_mut() {
            full.stats.late += u64::from(full.stream_watch.ended(now, cut, late_ms));
        }
    }

    /// Breaks a park that did not end when it was to: its path is gone.
    pub fn watch_park(&mut self, now: u64) {
        let Some(full) = self.full_mut() else { return };
        if !full.park_doubt.is_due(now) {
            return;
        }
        if self.park.is_unanswered() && !self.park.is_broken() {
            let long = self.park.hold_ms() > self.timers().hold_active_ms;
            if (long || !self.health.is_failing()) && !self.park.is_welcomed() {
                self.park_failed(now, Blocked::Silence);
            }
            self.break_park();
        }
    }

    /// A send failed: the relay was perhaps not told to end the park, and the path on which the send
    /// went dark may have been the park's, too.
    pub fn doubt_park(&mut self, cause: Blocked) {
        let is_parked = self.park.is_active() && !self.park.is_broken();
        let Some(full) = self.full_mut() else { return };
        if cause != Blocked::Silence {
            full.park_doubt.was_not_told();
        } else if is_parked {
            full.park_doubt.doubt();
            self.debts.owe_hello();
        }
    }

    /// A request has gone up as a whole.
    pub fn request_sent(&mut self, now: u64, lane: Lane) {
        let due_at = now + u64::from(self.timers().send_silence_ms / 2);
        if self.is_single() {
            // What it did not take along may be said now.
            self.wakes.send = true;
        } else if lane == Lane::Park {
            if self.park.streams() {
                self.stream_begins(now);
            }
        } else if let Some(full) = self.full_mut() {
            // Only now has the relay been told.
            full.park_doubt.told(due_at);
        }
    }
}
