//! What exchanges that passed and failed say of the path, and when the next may be tried.

use super::mode::Mode;
use super::state::Core;
use super::terms::{Event, Lane};
use super::trip::Item;
use crate::error::Blocked;
use crate::wire::Status;

/// A relay that calls so many requests malformed, and none good, cannot read them; one may also have
/// been cut by something on the way.
const MALFORMED_TRIES: u8 = 3;

impl<M: Mode> Core<M> {
    /// Whether an END with this status ends every hope.
    pub fn is_hopeless(&mut self, status: Status) -> bool {
        if status == Status::Version {
            return true;
        }
        self.malformed = self.malformed.saturating_add(1);
        !self.reached && self.malformed >= MALFORMED_TRIES
    }

    /// An exchange passed. Whoever answers everything early, with nothing in it, is not to be asked
    /// as fast as it answers.
    pub fn passed(&mut self, now: u64, lane: Lane) {
        let trip = self.trip(lane);
        let is_in_vain = !trip.brought
            && match lane {
                // An answer within half of the hold is no late one.
                Lane::Park => {
                    (M::SINGLE || !trip.woken) && now < trip.begun_at + u64::from(trip.hold_ms / 2)
                }
                // What has no verdict goes again, at once.
                Lane::Send => trip.plan.iter().any(Item::has_data),
            };
        if !M::SINGLE {
            trip.backoff.pass();
        }
        if !is_in_vain {
            trip.backoff.clear();
        } else if trip.end_status != Status::Superseded as u8 || trip.backoff.is_superseded_often()
        {
            // A first one needs no pause.
            let times = trip.backoff.count();
            if times > 1 {
                self.back_off(now, lane, times);
            }
        }
        if let Some(beside) = self.beside_mut() {
            beside.rate.passes();
        }
        if !self.is_blocked {
            return;
        }
        // The path is there again: the other lane need not wait, unless it is alone in failing.
        if self.is_single() || self.trip(lane.other()).backoff.hasten() {
            self.is_blocked = false;
            if core::mem::take(&mut self.blocked_told) {
                self.event(Event::PathRestored);
            }
            self.wake_lanes();
        }
    }

    /// When the next exchange of a lane may begin.
    pub fn waits_until(&self, lane: Lane) -> u64 {
        let park = lane == Lane::Park;
        let backoff = if park { self.park.backoff } else { self.send().backoff };
        let Some(beside) = self.beside() else { return backoff.until() };
        backoff.until().max(beside.rate.until(lane, self.test_gap_ms()))
    }

    /// Whether the next exchange of a lane is not to begin yet.
    pub fn waits(&self, now: u64, lane: Lane) -> bool {
        now < self.waits_until(lane)
    }

    /// It was in vain to ask: the lane does so again after a pause.
    fn back_off(&mut self, now: u64, lane: Lane, times: u8) {
        let until = now + self.pause(times);
        self.trip(lane).backoff.wait(until);
    }

    /// An exchange failed by itself: tell of it, and leave the path alone for a while.
    pub fn blame_path(&mut self, now: u64, lane: Lane, cause: Blocked, sent: bool) {
        let failed_before = core::mem::replace(&mut self.is_blocked, true);
        let told = !M::SINGLE && self.blocked_told && self.cause == cause;
        let alike = failed_before && self.cause == cause;
        if let Some(beside) = self.beside_mut() {
            beside.fails_alike = alike;
        }
        self.cause = cause;
        // A single exchange cut short is everyday life; a second one is news, and so is a first one
        // behind which none is made for seconds.
        let stands_still = !M::SINGLE && matches!(cause, Blocked::Later(_, 2..));
        if !told && (failed_before || !self.reached || stands_still) {
            self.blocked_told = true;
            self.event(Event::PathBlocked(cause));
        }
        self.wakes.session = true;
        let single = self.is_single();
        if !single && self.trip(lane.other()).backoff.is_open() {
            self.trip(lane).backoff.block();
        } else if !single {
            self.park.backoff.block_with_other();
            self.send_mut().backoff.block_with_other();
        }
        let times = self.trip(lane).backoff.count();
        self.back_off(now, lane, times);
        if !M::SINGLE
            && let Blocked::Full(seconds) = cause
        {
            // With the jitter of the pause: who was turned away at once does not come back at once.
            let backoff = &mut self.trip(lane).backoff;
            backoff.wait(backoff.until() + u64::from(seconds) * 1_000);
        }
        let begun_at = self.trip(lane).begun_at;
        if let Some(beside) = self.beside_mut() {
            let many = matches!(cause, Blocked::Http(429) | Blocked::Later(429, _));
            if many && !beside.gateway.holds(now) {
                beside.rate.refused(now, begun_at);
            }
            if let Blocked::Later(_, seconds) = cause {
                beside.rate.closes(now, seconds);
            }
        }
        match lane {
            Lane::Park => {
                if !single && cause == Blocked::Silence {
                    // A send that was begun on the dead path would hang for its own time.
                    let send = self.send_mut();
                    send.broken = send.active;
                    self.wakes.break_send = true;
                }
                let age = u32::try_from(now.saturating_sub(self.park.begun_at)).unwrap_or(u32::MAX);
                if sent && !self.park.welcomed && !failed_before {
                    self.park_failed(now, cause, age);
                }
            }
            Lane::Send => {
                let Some(beside) = self.beside_mut() else { return };
                let payload = beside.send.payload;
                match cause {
                    Blocked::Http(413) => beside.uplink.refused(now, payload),
                    _ if payload > 0 && sent => beside.uplink.failed(),
                    _ => {}
                }
            }
        }
    }

    /// A park failed after `age` ms, without a word: its hold may have been too long.
    pub fn park_failed(&mut self, now: u64, cause: Blocked, age: u32) {
        let hold = self.park.hold_ms;
        let least = self.timers().hold_active_ms / 2;
        if let Some(beside) = self.beside_mut() {
            beside.downlink.failed(now, least, cause, hold, age);
        }
    }

    /// Pause after so many times in vain, in ms: doubling, with jitter, at most `retry_max_ms`.
    // Inlined, it would be there twice in firmware.
    #[inline(never)]
    fn pause(&mut self, times: u8) -> u64 {
        let t = *self.timers();
        let doubled = t.retry_min_ms << times.saturating_sub(1).min(10);
        let pause = doubled.min(t.retry_max_ms);
        u64::from(pause / 2 + self.below(pause / 2))
    }

    /// A hold that is up to a fifth shorter, by chance: clients whose parks ended all at once, as with
    /// a relay's restart, do not come back all at once for ever.
    pub fn spread(&mut self, hold: u32) -> u32 {
        hold - self.below(hold / 5)
    }
}
