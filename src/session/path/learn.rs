//! What follows from exchanges for the path: pauses, sizes, holds, and how many are made at once.

use super::Rate;
use super::gateway::{Follow, Neighbour, Over, Turn};
use crate::error::Blocked;
use crate::session::deadline::Deadline;
use crate::session::exchange::Item;
use crate::session::mode::Mode;
use crate::session::path::ParkDoubt;
use crate::session::state::Core;
use crate::session::terms::{Event, Lane};
use crate::trace::debug;
use crate::wire::Status;

impl<M: Mode> Core<M> {
    /// An exchange passed. A relay or gateway that answers everything early, with nothing in it, is
    /// not to be asked as fast as it answers.
    pub fn praise_path(&mut self, now: u64, lane: Lane, status: Status) {
        let flight = self.flight(lane);
        let is_in_vain = !flight.has_brought()
            && match lane {
                // An answer within half of the hold is no late one.
                Lane::Park => {
                    (M::SINGLE || !flight.is_woken())
                        && now < flight.begun_at() + u64::from(flight.hold_ms() / 2)
                }
                // What has no verdict goes again, at once.
                Lane::Send => flight.plan().iter().any(Item::has_data),
            };
        let backoff = self.backoff_mut(lane);
        if !M::SINGLE {
            backoff.pass();
        }
        if !is_in_vain {
            backoff.clear();
        } else if status != Status::Superseded || backoff.is_superseded_often() {
            // A first one needs no pause.
            let times = backoff.count();
            if times > 1 {
                self.back_off(now, lane, times);
            }
        }
        if let Some(full) = self.full_mut() {
            full.rate.passes();
        }
        if !self.health.is_failing() {
            return;
        }
        // The path is there again: the other lane need not wait, unless it is alone in failing.
        if self.is_single() || self.backoff_mut(lane.other()).hasten() {
            if self.health.recovers() {
                self.event(Event::PathRestored);
            }
            self.wake_lanes();
        }
    }

    /// An exchange failed by itself: tell of it, and leave the path alone for a while. `sent` tells
    /// whether octets of it went up, `welcomed` whether its answer had begun.
    pub fn blame_path(&mut self, now: u64, lane: Lane, cause: Blocked, sent: bool, welcomed: bool) {
        let failed_before = self.health.is_failing();
        // Behind this one none is made for seconds.
        let stands_still = !M::SINGLE && matches!(cause, Blocked::Later(_, 2..));
        if self.health.fails(cause, stands_still) {
            self.event(Event::PathBlocked(cause));
        }
        self.wakes.session = true;
        self.pause_lane(now, lane, cause);
        let begun_at = self.flight(lane).begun_at();
        if let Some(full) = self.full_mut() {
            let many = matches!(cause, Blocked::Http(429) | Blocked::Later(429, _));
            if many && !full.gateway.holds(now) {
                full.rate.refused(now, begun_at);
            }
            if let Blocked::Later(_, seconds) = cause {
                full.rate.closes(now, seconds);
            }
        }
        match lane {
            Lane::Park => {
                if !self.is_single() && cause == Blocked::Silence {
                    // A send that was begun on the dead path would hang for its own time.
                    let send = self.send_mut();
                    if send.is_active() {
                        send.break_off();
                    }
                    self.wakes.break_send = true;
                }
                if sent && !welcomed && !failed_before {
                    self.park_failed(now, cause);
                }
            }
            Lane::Send => {
                let Some(full) = self.full_mut() else { return };
                let payload = full.send.payload();
                match cause {
                    Blocked::Http(413) => full.body_size.refused(now, payload),
                    _ if payload > 0 && sent => full.body_size.failed(),
                    _ => {}
                }
            }
        }
    }

    /// The lane of an exchange that failed waits.
    fn pause_lane(&mut self, now: u64, lane: Lane, cause: Blocked) {
        let single = self.is_single();
        if !single && self.backoff_mut(lane.other()).is_open() {
            self.backoff_mut(lane).block();
        } else if !single {
            self.backoff_mut(Lane::Park).block_with_other();
            self.backoff_mut(Lane::Send).block_with_other();
        }
        let times = self.backoff_mut(lane).count();
        self.back_off(now, lane, times);
        if !M::SINGLE
            && let Blocked::Full(seconds) = cause
        {
            // With the jitter of the pause: clients that were turned away at once do not come back
            // at once.
            debug!("{lane:?}: the relay is full, and asks for {seconds} s more");
            let backoff = self.backoff_mut(lane);
            backoff.wait(backoff.until() + u64::from(seconds) * 1_000);
        }
    }

    /// When the next exchange of a lane may begin.
    pub fn waits_until(&self, lane: Lane) -> u64 {
        let until = self.backoff(lane).until();
        let Some(full) = self.full() else { return until };
        until.max(full.rate.until(lane, full.gateway.gap_ms(self.clock)))
    }

    /// Whether the next exchange of a lane is not to begin yet.
    pub fn waits(&self, now: u64, lane: Lane) -> bool {
        now < self.waits_until(lane)
    }

    /// It was in vain to ask: the lane does so again after a pause.
    fn back_off(&mut self, now: u64, lane: Lane, times: u8) {
        let pause_ms = self.pause(times);
        debug!("{lane:?}: a pause of {pause_ms} ms, after {times} exchanges in vain");
        self.backoff_mut(lane).wait(now + pause_ms);
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

    /// Longest hold of a park because of what a gateway does, or may do; with traffic lately or not.
    pub fn gateway_hold_ms(&self, now: u64, active: bool) -> Option<u32> {
        let full = self.full()?;
        let idle_poll_ms = |most| self.settings.idle_poll_ms(most, self.timers());
        full.gateway.hold_ms(now, active, full.body_size.round_trip_ms(), idle_poll_ms)
    }

    /// Whether no exchange may begin, as those under way are to be over first.
    pub fn is_narrow(&mut self, now: u64) -> bool {
        let (traffic_at, is_parked) = (self.traffic_at, self.park.is_active());
        let Some(full) = self.full_mut() else { return false };
        let idle = !is_parked && !full.send.is_active();
        match full.gateway.turn(now, idle, traffic_at) {
            Turn::Free => return false,
            Turn::Waits => return true,
            Turn::Turned => {}
        }
        debug!("exchanges at once from now on: {}", if full.gateway.is_single() { 1 } else { 2 });
        full.send_backoff.clear();
        full.park_doubt = ParkDoubt::None;
        full.send_waits = false;
        self.park_backoff.clear();
        self.acks_at = Deadline::NONE;
        self.wake_lanes();
        false
    }

    /// The exchange of the lane beside this one, if it is under way.
    fn neighbour(&self, lane: Lane) -> Option<Neighbour> {
        let flight = match lane {
            Lane::Park => &self.full()?.send,
            Lane::Send => &self.park,
        };
        flight.is_active().then(|| Neighbour { seq: flight.seq(), welcomed: flight.is_welcomed() })
    }

    /// The exchange of this lane, which is over.
    fn over(&mut self, lane: Lane) -> Over {
        let shortest_ms = self.full().map_or(0, |full| full.body_size.round_trip_ms());
        let flight = self.flight(lane);
        Over {
            lane,
            seq: flight.seq(),
            begun_at: flight.begun_at(),
            hold_ms: flight.hold_ms(),
            shortest_ms,
            payload: flight.payload(),
        }
    }

    /// An exchange begins.
    pub fn gateway_begins(&mut self, now: u64, lane: Lane) {
        let other = self.neighbour(lane).map(|other| other.seq);
        let Some(full) = self.full_mut() else { return };
        let follow = full.gateway.begins(now, lane, other);
        self.follow(lane, follow);
    }

    /// An exchange got through.
    pub fn gateway_passes(&mut self, now: u64, lane: Lane) {
        if self.flight(lane).is_broken() {
            return;
        }
        let (over, neighbour) = (self.over(lane), self.neighbour(lane));
        let Some(full) = self.full_mut() else { return };
        let follow = full.gateway.passes(now, &over, neighbour);
        self.follow(lane, follow);
    }

    /// An exchange failed by itself.
    pub fn gateway_fails(&mut self, now: u64, lane: Lane, cause: Blocked) {
        let over = self.over(lane);
        let Some(full) = self.full_mut() else { return };
        let follow = full.gateway.fails(now, cause, &over);
        self.follow(lane, follow);
    }

    /// Whether the park under way is hung up on to say something.
    pub fn gateway_hangs_up(&mut self, now: u64) -> bool {
        let until = self.park.begun_at() + u64::from(self.park.hold_ms());
        let Some(full) = self.full_mut() else { return false };
        full.gateway.hangs_up(now, until, full.body_size.round_trip_ms())
    }

    fn follow(&mut self, lane: Lane, follow: Follow) {
        match follow {
            Follow::Nothing => {}
            Follow::Ask => {
                self.debts.owe_hello();
                self.wakes.send = true;
            }
            Follow::Narrow => self.narrow(lane),
        }
    }

    /// From now on one exchange is made at a time: ends what is under way beside this lane's.
    fn narrow(&mut self, lane: Lane) {
        let Some(full) = self.full_mut() else { return };
        if lane == Lane::Park && full.send.is_active() {
            full.send.break_off();
        }
        // It was not how many there were in a while.
        full.rate = Rate::new();
        // Its connection is one too many even while it is idle.
        self.wakes.break_send = true;
        if lane == Lane::Send && self.park.is_active() {
            self.break_park();
        }
    }
}
