//! What follows from an exchange that passed or failed.

use super::{Item, ItemKind, MAX_ITEMS};
use crate::error::Blocked;
use crate::session::channel::{Probe, State};
use crate::session::path::ParkDoubt;
use crate::session::state::{Core, Fatal, Phase, ReplyKind};
use crate::session::{Event, Lane, Mode, Session};
use crate::wire::{HEADER_LEN, HelloFlags, Status};

/// Octets of the verdicts of a whole request.
const VERDICTS: u32 = (MAX_ITEMS * (HEADER_LEN + 7)) as u32;

impl<M: Mode> Session<'_, M> {
    /// Whether the answer's END has come: what is behind it is ignored, and need not be read.
    pub fn is_answered(&self, lane: Lane) -> bool {
        match M::lane(lane) {
            Lane::Park => self.core.park.end_status().is_some(),
            Lane::Send => self.core.send().end_status().is_some(),
        }
    }

    /// Most octets that an answer's body has: the relay takes less than 512 for so many, and puts
    /// the verdicts of the request on top.
    pub fn max_response(&self) -> u32 {
        self.core.settings.max_response.max(512).saturating_add(VERDICTS)
    }

    /// The answer's HTTP body has ended.
    ///
    /// # Errors
    /// It had no END, so it counts as lost, which is dealt with already; the connection is to be dropped.
    pub fn handle_finished(&mut self, now: u64, lane: Lane) -> Result<(), Blocked> {
        self.core.clock = self.core.clock.max(now);
        let lane = M::lane(lane);
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
            Status::Ok | Status::Stale => {}
            // The answer goes or went to a proxy's repeat of this park, with whatever is in it: no
            // other park of this session is under way.
            Status::Superseded | Status::Repeated => self.note_losses(now),
            Status::Malformed | Status::Version if self.core.health.is_hopeless(status) => {
                self.core.fatal = match status {
                    Status::Version => Fatal::Version,
                    _ => Fatal::Malformed,
                };
                self.core.wakes.session = true;
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
    /// the relay. Everything in it is said again; it is tried anew after a pause.
    pub fn handle_failure(&mut self, now: u64, lane: Lane, cause: Blocked, sent: bool) {
        self.core.clock = self.core.clock.max(now);
        let lane = M::lane(lane);
        let flight = self.core.flight(lane);
        if flight.end_status().is_some() {
            // Behind END nothing can be lost; though nobody knows for how long it was there.
            if !M::SINGLE {
                flight.break_off();
            }
            let _ = self.handle_finished(now, lane);
        } else if flight.is_active() {
            self.failed(now, lane, cause, sent);
        }
    }

    /// Breaks the exchange under way off, on purpose: its failure says nothing of the path, and what
    /// it carried is said again. The owner of the transport drops its connection.
    pub fn break_exchange(&mut self, now: u64, lane: Lane) {
        self.core.flight(M::lane(lane)).break_off();
        self.handle_failure(now, lane, Blocked::Cut, true);
    }

    fn failed(&mut self, now: u64, lane: Lane, cause: Blocked, sent: bool) {
        self.core.failed(now, lane, cause, sent);
        if lane == Lane::Park && sent {
            self.note_losses(now);
        }
        self.land(now, lane, false);
    }

    /// An answer to a park is lost, and perhaps data with it, or acknowledgements and windows: a channel
    /// that waits for those asks at once, since its own timer may have backed off while the path was dark.
    fn note_losses(&mut self, now: u64) {
        self.ask_finals();
        let rto = self.core.rto();
        // Where one answer after the other is lost, what waits goes by its own timer.
        let single = self.core.is_single();
        let in_vain = !M::SINGLE && self.core.park_backoff.is_in_vain();
        for channel in self.channels.iter_mut() {
            if channel.state != State::Established || M::kind(channel.kind) != crate::Kind::Stream {
                continue;
            }
            if !channel.rx.fin {
                channel.rx.note_loss();
                channel.rx.now = true;
            }
            if channel.is_outstanding::<M>() && !in_vain {
                if channel.probe == Probe::None {
                    channel.probe = if channel.blocked { Probe::AtOnce } else { Probe::Patient };
                }
                // What hangs up to say so is no reason to say it more often.
                if !single || !self.core.park.is_broken() {
                    channel.backoff = 0;
                    channel.probe_at = now + rto;
                }
                self.core.wakes.send = true;
            }
        }
    }

    /// An exchange is over: its messages are let go of, and those that did not get through are due again.
    fn land(&mut self, now: u64, lane: Lane, passed: bool) {
        for i in 0..self.core.flight(lane).plan().len() {
            let item = self.core.flight(lane).plan()[i];
            self.land_item(now, &item, passed);
        }
        self.core.flight(lane).forget();
        self.core.claims_owed |= lane == Lane::Park && !passed;
        match lane {
            Lane::Park => {
                if let Some(full) = self.core.full_mut() {
                    full.park_doubt = ParkDoubt::None;
                }
                self.core.wakes.park = true;
            }
            Lane::Send => self.core.wakes.send = true,
        }
    }

    fn land_item(&mut self, now: u64, item: &Item, passed: bool) {
        let slot = usize::from(item.slot);
        match item.kind {
            ItemKind::Listen => self.core.claims_changed |= !passed,
            ItemKind::Reply => {
                let reply = &mut self.core.replies[slot];
                reply.flying = false;
                if passed {
                    reply.kind = ReplyKind::Free;
                }
            }
            ItemKind::Final => self.tombstones[slot].answer |= !passed,
            ItemKind::Window => {
                let channel = &mut self.channels[slot];
                if !passed && channel.state == State::Established {
                    channel.rx.dirty = true;
                    channel.rx.now = true;
                }
            }
            ItemKind::Connect | ItemKind::Accept | ItemKind::Close => {
                let channel = &mut self.channels[slot];
                if !passed && channel.due != 0 {
                    channel.due = now;
                }
            }
            ItemKind::Probe => {
                let probe = &mut self.channels[slot].probe;
                if !passed && *probe == Probe::None {
                    *probe = Probe::AtOnce;
                }
            }
            ItemKind::Data | ItemKind::Datagram => self.land_data(now, item),
        }
        if matches!(
            item.kind,
            ItemKind::Connect
                | ItemKind::Accept
                | ItemKind::Probe
                | ItemKind::Data
                | ItemKind::Datagram
                | ItemKind::Close
        ) {
            self.channels[slot].flying = false;
            self.finish_if_done(now, slot);
            self.reap(now, slot);
        }
    }

    /// The data of an exchange that is over: what has no verdict goes again.
    fn land_data(&mut self, now: u64, item: &Item) {
        let slot = usize::from(item.slot);
        let tx = &mut self.channels[slot].tx;
        if item.kind == ItemKind::Data {
            tx.flying = false;
            if !item.is_judged() {
                tx.go_back(tx.pin);
            }
            if core::mem::take(&mut tx.rewind) {
                tx.go_back(tx.una);
            }
        } else if M::DATAGRAMS {
            tx.flying = false;
            tx.rewind = false;
            tx.next = tx.una;
        } else {
            return;
        }
        self.watch(now, slot);
        self.wake_channel(slot);
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
        self.hello_due |=
            self.health.is_told() && (self.carries(lane) || !self.park_backoff.is_blocked_alone());
        if self.carries(lane) {
            // The application that opened the session waits for an answer.
            self.hello_due |= !self.health.is_reached();
            self.bye_tries += u8::from(self.send().hello().has(HelloFlags::BYE));
        }
        if !M::SINGLE && lane == Lane::Send {
            self.claims_changed |= self.send().hello().has(HelloFlags::WAKE);
            self.doubt_park(cause);
        }
    }
}
