//! What follows from an exchange that passed or failed.

use super::MAX_ITEMS;
use crate::error::Blocked;
use crate::session::mode::Mode;
use crate::session::path::ParkDoubt;
use crate::session::state::{Core, Fatal, Phase};
use crate::session::terms::{Event, Lane};
use crate::session::view::Session;
use crate::trace::{debug, trace};
use crate::wire::{HelloFlags, Status, Verdict};

/// Octets of the verdicts of a whole request.
pub(in crate::session) const VERDICTS: u32 = (MAX_ITEMS * Verdict::LEN) as u32;

impl<M: Mode> Session<'_, M> {
    /// The exchange is over, as its answer has come to its end. An answer without END counts as lost.
    pub(in crate::session) fn finish(&mut self, now: u64, lane: Lane) -> Result<(), Blocked> {
        let flight = self.core.flight(lane);
        if !flight.is_active() {
            return Ok(());
        }
        let Some(status) = flight.end_status() else {
            let cause = if flight.is_welcomed() { Blocked::Cut } else { Blocked::Foreign };
            self.failed(now, lane, cause, true);
            return Err(cause);
        };
        match status {
            Status::Ok => trace!("{lane:?} {}: ended with OK", flight.seq()),
            status => debug!("{lane:?} {}: ended with {}", flight.seq(), status.name()),
        }
        match status {
            Status::Ok | Status::Stale => {}
            // The answer goes or went to a proxy's repeat of this park, with whatever is in it: no
            // other park of this session is under way.
            Status::Superseded | Status::Repeated => self.note_losses(now),
            Status::Malformed | Status::Version if self.core.health.is_hopeless(status) => {
                self.core.end_hope(match status {
                    Status::Version => Fatal::Version,
                    _ => Fatal::Malformed,
                });
                debug!("the session ends: the relay answers {} for good", status.name());
                for slot in 0..self.channels.len() {
                    self.wake_channel(slot);
                }
                self.failed(now, lane, Blocked::Relay(status), true);
                return Ok(());
            }
            status => {
                self.failed(now, lane, Blocked::Relay(status), true);
                return Ok(());
            }
        }
        self.core.passed(now, lane, status);
        self.land(now, lane, true);
        Ok(())
    }

    /// The exchange failed, for `cause`; `sent` tells whether octets of the request may have reached
    /// the relay.
    pub(in crate::session) fn fail(&mut self, now: u64, lane: Lane, cause: Blocked, sent: bool) {
        let flight = self.core.flight(lane);
        if flight.end_status().is_some() {
            // Behind END nothing can be lost; though nobody knows for how long it was there.
            if !M::SINGLE {
                flight.break_off();
            }
            let _ = self.finish(now, lane);
        } else if flight.is_active() {
            self.failed(now, lane, cause, sent);
        }
    }

    fn failed(&mut self, now: u64, lane: Lane, cause: Blocked, sent: bool) {
        trace!(
            "{lane:?} {}: failed: {cause}; on purpose: {}, octets may have reached the relay: {sent}",
            self.core.flight(lane).seq(),
            self.core.flight(lane).is_broken()
        );
        self.core.failed(now, lane, cause, sent);
        if !M::SINGLE {
            self.forget_round_trips();
        }
        if lane == Lane::Park && sent {
            self.note_losses(now);
        }
        self.land(now, lane, false);
    }

    /// An exchange is over: its messages are let go of, and those that did not get through are due again.
    fn land(&mut self, now: u64, lane: Lane, passed: bool) {
        for i in 0..self.core.flight(lane).plan().len() {
            let item = self.core.flight(lane).plan()[i];
            self.land_item(now, &item, passed);
        }
        self.core.flight(lane).forget();
        match lane {
            Lane::Park => {
                if !passed {
                    self.core.debts.park_failed();
                }
                if let Some(full) = self.core.full_mut() {
                    if full.park_doubt != ParkDoubt::None {
                        trace!("the park has ended, and the doubt about it");
                    }
                    full.park_doubt = ParkDoubt::None;
                }
                self.core.wakes.park = true;
            }
            Lane::Send => self.core.wakes.send = true,
        }
    }
}

impl<M: Mode> Core<M> {
    /// An exchange passed: its answer ended with this status.
    fn passed(&mut self, now: u64, lane: Lane, status: Status) {
        let flight = self.flight(lane);
        let (hello, hold_ms, age) = (flight.hello(), flight.hold_ms(), flight.age(now));
        let payload = flight.payload();
        if !M::SINGLE && lane == Lane::Park && hello.has(HelloFlags::STREAM) {
            self.stream_ended(now, false);
        }
        self.flight(lane).land();
        let most = self.max_body();
        if let Some(full) = self.full_mut() {
            match lane {
                Lane::Park if hold_ms > 1 && age >= hold_ms => full.hold.lasted(),
                Lane::Park => {}
                Lane::Send => full.body_size.passed(payload, age, most),
            }
        }
        if !M::SINGLE {
            self.gateway_passes(now, lane);
        }
        self.praise_path(now, lane, status);
        if self.health.reaches() {
            self.wakes.session = true;
            if !M::SINGLE {
                self.event(Event::Opened);
            }
        }
        if hello.has(HelloFlags::BYE) {
            debug!("the session is closed: the relay has its BYE");
            self.phase = Phase::Closed;
            self.wakes.session = true;
            self.wake_lanes();
        }
    }

    /// An exchange failed.
    fn failed(&mut self, now: u64, lane: Lane, cause: Blocked, sent: bool) {
        let welcomed = self.flight(lane).land();
        self.count(|stats| stats.failed += 1);
        if !self.flight(lane).is_broken() {
            self.blame_path(now, lane, cause, sent, welcomed);
            if !M::SINGLE {
                self.gateway_fails(now, lane, cause);
            }
            if !M::SINGLE && lane == Lane::Park && self.park.streams() {
                self.stream_ended(now, matches!(cause, Blocked::Cut) && sent);
            }
        }
        // A park would not tell before its hold is over that the path is there again. Where it
        // fails alone, a send does not tell.
        let is_told =
            self.health.is_told() && (self.carries(lane) || !self.park_backoff.is_blocked_alone());
        // The application that opened the session waits for an answer.
        let is_awaited = self.carries(lane) && !self.health.is_reached();
        if is_told || is_awaited {
            self.debts.owe_hello();
        }
        if self.carries(lane) {
            self.bye_tries += u8::from(self.send().hello().has(HelloFlags::BYE));
        }
        if !M::SINGLE && lane == Lane::Send {
            if self.send().hello().has(HelloFlags::WAKE) {
                self.debts.owe_wake();
            }
            self.doubt_park(cause);
        }
    }
}
