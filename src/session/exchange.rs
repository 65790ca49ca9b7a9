//! An exchange: one HTTP request and its answer. A session has one under way on each lane.

use super::mode::{Beside, Mode, Purpose, Single};
use super::settings::Pace;
use super::state::Phase;
use super::terms::{Exchange, Lane};
use super::trip::{Course, Item, MAX_ITEMS, Sink, What};
use super::view::Session;
use crate::error::Blocked;
use crate::wire::{HEADER_LEN, HelloFlags, Route, Status};

/// Octets of the verdicts of a whole request.
const VERDICTS: u32 = (MAX_ITEMS * (HEADER_LEN + 7)) as u32;

/// Where words are held back, the shortest hold, in ms: some four requests in the first second of quiet,
/// two in the second.
const SHORT_MS: u32 = 250;

/// And for how long words wait for the end of a park, in ms: hanging up and dialling anew takes no less
/// with TLS on a small processor, and far more work.
const PATIENCE_MS: u32 = 1_000;

impl<P: Purpose> Session<'_, Single<P>> {
    /// Whether something in the way holds octets behind a request back until its answer is there, while the
    /// connection serves one request after the other. Then a park begun soon after traffic is as short as
    /// the quiet before it, 250 ms at least; and what is to be said waits for the end of one of at most a
    /// second: it does not show in [`poll_wake`](Self::poll_wake).
    pub fn set_held_back(&mut self, held_back: bool) {
        self.core.held_back = held_back;
    }
}

impl<M: Mode> Session<'_, M> {
    /// Begins the next exchange on `lane`, if one is due: the owner of the transport makes a request
    /// of `len` octets, which [`poll_body`](Self::poll_body) gives, hands the answer to
    /// [`handle_response`](Self::handle_response) as it comes, and ends it with
    /// [`handle_finished`](Self::handle_finished) or [`handle_failure`](Self::handle_failure).
    pub fn poll_exchange(&mut self, now: u64, lane: Lane) -> Option<Exchange> {
        self.core.clock = self.core.clock.max(now);
        if !M::SINGLE && self.core.is_narrow(now) {
            return None;
        }
        let single = self.core.is_single();
        let is_other = lane != self.core.lane(lane);
        if is_other || self.core.trip(lane).active || self.core.fatal().is_err() || self.is_closed()
        {
            return None;
        }
        let timers = *self.core.timers();
        let (hello, hold_ms, silence_ms) = match lane {
            // What fits no request that is park and send at once goes by a send.
            Lane::Park if !M::SINGLE && single && self.is_bulky() => {
                if self.core.waits(now, lane) {
                    return None;
                }
                let hello = self.plan_send(now)?;
                (hello, 0, timers.send_silence_ms)
            }
            Lane::Park => {
                let says = single && self.has_to_say();
                if self.core.waits(now, lane) || !says && !self.wants_park(now) {
                    return None;
                }
                // The last claim given up is said by a park that waits for nothing.
                let waits = self.waits_for_something(now);
                let asks = single && self.core.hello_due;
                self.plan_park();
                let flags = if single { self.plan_send(now)? } else { HelloFlags::NONE };
                let core = &mut *self.core;
                // That what is said was lost is not to be noticed an idle hold later.
                let quiet = now.saturating_sub(core.traffic_at);
                let active = says
                    || core.phase == Phase::Closing
                    || quiet < core.settings.active_for_ms(core.timers()).into();
                let (hold, grace) = core.settings.hold(core.timers(), active);
                let hold = core.beside().map_or(hold, |b| hold.min(b.downlink.ceiling(now)));
                // What says something has verdicts to wait for.
                let hold = if M::SINGLE && core.held_back && active && !says {
                    hold.min((quiet as u32).max(SHORT_MS))
                } else {
                    hold
                };
                let limit = core.gateway_hold_ms(now, active);
                let hold = hold.min(limit.unwrap_or(u32::MAX));
                let hold = if waits && !asks { core.spread(hold).max(1) } else { 1 };
                if single {
                    // The last word waits for nothing.
                    let hold = if flags.has(HelloFlags::BYE) { 0 } else { hold };
                    let grace = if asks { timers.send_silence_ms } else { grace };
                    (flags.with(HelloFlags::SINGLE), hold, hold + grace)
                } else {
                    let quiet_ms = now.saturating_sub(core.traffic_at);
                    let allowed = |b: &Beside| b.streaming.is_allowed(now, quiet_ms);
                    let streams = core.beside().is_some_and(allowed)
                        && core.settings.pace == Pace::Streaming
                        && active
                        && waits
                        && limit.is_none();
                    (HelloFlags::STREAM.when(streams), hold, hold + grace)
                }
            }
            Lane::Send => {
                self.core.send_waits = self.core.waits(now, lane);
                if self.core.send_waits {
                    return None;
                }
                let hello = self.plan_send(now)?;
                (hello, 0, timers.send_silence_ms)
            }
        };
        self.core.seq += 1;
        let seq = self.core.seq;
        let core = &mut *self.core;
        let streams = hello.has(HelloFlags::STREAM);
        core.count(|stats| match lane {
            Lane::Park => {
                stats.parks += 1;
                stats.streams += u64::from(streams);
            }
            Lane::Send => stats.sends += 1,
        });
        if !M::SINGLE {
            core.park.woken |= hello.has(HelloFlags::WAKE);
            core.gateway_begins(now, lane);
            // Deadlines may have come with it, which are met on the other lane.
            core.wakes.send |= single;
        }
        let held_back = core.held_back;
        let trip = core.trip(lane);
        // The last word does not, and need not be spoken over.
        trip.waits = hold_ms > if M::SINGLE && held_back { PATIENCE_MS } else { 0 }
            && trip
                .plan
                .iter()
                .all(|item| matches!(item.what, What::Listen | What::Window | What::Final));
        trip.active = true;
        trip.broken = false;
        trip.readied = false;
        trip.woken = false;
        trip.brought = false;
        trip.came = 0;
        trip.streams = streams;
        trip.seq = seq;
        trip.hello = hello;
        trip.hold_ms = hold_ms;
        trip.begun_at = now;
        trip.payload = trip.plan.iter().map(Item::bytes).sum();
        trip.written = 0;
        trip.bytes_left = 0;
        trip.welcomed = false;
        trip.ended = false;
        trip.from = Route::default();
        trip.incoming.sink = Sink::Drop;
        let len = super::body::HELLO_LEN
            + trip.plan.iter().map(|i| i.head() + i.bytes() as usize).sum::<usize>();
        self.courses[lane as usize] = const { Course::new() };
        let mut idle_ms = u32::MAX;
        if let Some(beside) = self.core.beside_mut() {
            if lane == Lane::Park {
                // Left by one that was broken: its last octets may have come behind that.
                beside.streaming.unwatch();
            }
            idle_ms = beside.downlink.ceiling(now);
            beside.rate.begins(now, lane);
        }
        Some(Exchange { lane, seq, len, silence_ms, idle_ms })
    }

    /// Whether there is anything to be parked for, or to be said by a park.
    fn wants_park(&self, now: u64) -> bool {
        let owes = self.core.claims_owed && self.core.phase == Phase::Open;
        owes || self.waits_for_something(now)
    }

    fn waits_for_something(&self, now: u64) -> bool {
        self.claims().iter().any(|c| c.is_claimed())
            || self.channels.iter().any(|c| !c.is_over())
            || match self.core.phase {
                Phase::Open => self.tombstones.iter().any(|t| t.expires_at() > now),
                Phase::Closing => self.owes_final(),
                Phase::New | Phase::Closed => false,
            }
    }

    /// Whether the answer's END has come: what is behind it is ignored, and need not be read.
    pub fn is_answered(&self, lane: Lane) -> bool {
        match M::lane(lane) {
            Lane::Park => self.core.park.ended,
            Lane::Send => self.core.send().ended,
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
        let trip = self.core.trip(lane);
        if !trip.active {
            return Ok(());
        }
        if !trip.ended {
            let cause = if trip.welcomed { Blocked::Cut } else { Blocked::Foreign };
            self.failed(now, lane, cause, true);
            return Err(cause);
        }
        let status = Status::from_code(trip.end_status).unwrap_or(Status::Malformed);
        match status {
            Status::Ok | Status::Stale => {}
            // The answer goes or went to a proxy's repeat of this park, with whatever is in it: no
            // other park of this session is under way.
            Status::Superseded | Status::Repeated => self.note_losses(now),
            Status::Malformed | Status::Version if self.core.is_hopeless(status) => {
                self.core.fatal = match status {
                    Status::Version => super::state::Fatal::Version,
                    _ => super::state::Fatal::Malformed,
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
        if !M::SINGLE && lane == Lane::Park && self.core.park.streams {
            self.stream_ended(now, false);
        }
        let age = now.saturating_sub(self.core.park.begun_at);
        let hold_ms = self.core.park.hold_ms;
        if let Some(beside) = self.core.beside_mut()
            && lane == Lane::Park
            && hold_ms > 1
            && age >= u64::from(hold_ms)
        {
            beside.downlink.lasted();
        }
        let core = &mut *self.core;
        let (begun, payload) = {
            let trip = core.trip(lane);
            trip.active = false;
            (trip.begun_at, trip.payload)
        };
        if !M::SINGLE && lane == Lane::Send {
            let most = core.max_body();
            let ms = u32::try_from(now.saturating_sub(begun)).unwrap_or(u32::MAX);
            if let Some(beside) = core.beside_mut() {
                beside.uplink.passed(payload, ms, most);
            }
        }
        if !M::SINGLE {
            core.gateway_passes(now, lane);
        }
        core.passed(now, lane);
        if !core.reached {
            core.reached = true;
            core.wakes.session = true;
            if !M::SINGLE {
                core.event(super::terms::Event::Opened);
            }
        }
        if core.trip(lane).hello.has(HelloFlags::BYE) {
            core.phase = Phase::Closed;
            core.wakes.session = true;
            core.wake_lanes();
        }
        self.land(now, lane, true);
        Ok(())
    }

    /// The exchange failed, for `cause`; `sent` tells whether octets of the request may have reached
    /// the relay. Everything in it is said again; it is tried anew after a pause.
    pub fn handle_failure(&mut self, now: u64, lane: Lane, cause: Blocked, sent: bool) {
        self.core.clock = self.core.clock.max(now);
        let lane = M::lane(lane);
        let trip = self.core.trip(lane);
        if trip.active && trip.ended {
            // Behind END nothing can be lost; though it was there for nobody knows how long.
            trip.broken |= !M::SINGLE;
            let _ = self.handle_finished(now, lane);
        } else if trip.active {
            self.failed(now, lane, cause, sent);
        }
    }

    /// Breaks the exchange under way off, on purpose: its failure says nothing of the path, and what
    /// it carried is said again. The owner of the transport drops its connection.
    pub fn break_exchange(&mut self, now: u64, lane: Lane) {
        self.core.trip(M::lane(lane)).broken = true;
        self.handle_failure(now, lane, Blocked::Cut, true);
    }

    fn failed(&mut self, now: u64, lane: Lane, cause: Blocked, sent: bool) {
        let core = &mut *self.core;
        core.trip(lane).active = false;
        core.count(|stats| stats.failed += 1);
        if !core.trip(lane).broken {
            core.blame_path(now, lane, cause, sent);
            if !M::SINGLE {
                core.gateway_fails(now, lane, cause);
            }
            if !M::SINGLE && lane == Lane::Park && core.park.streams {
                self.stream_ended(now, matches!(cause, Blocked::Cut) && sent);
            }
        }
        let core = &mut *self.core;
        // A park would not tell before its hold is over that the path is there again. Where it
        // fails alone, a send does not tell.
        core.hello_due |=
            core.blocked_told && (core.carries(lane) || !core.park.backoff.is_blocked_alone());
        if core.carries(lane) {
            // Whoever opened the session waits for an answer.
            core.hello_due |= !core.reached;
            core.bye_tries += u8::from(core.send().hello.has(HelloFlags::BYE));
        }
        if !M::SINGLE && lane == Lane::Send {
            core.claims_changed |= core.send().hello.has(HelloFlags::WAKE);
            if cause != Blocked::Silence && core.park_due != 0 {
                // The relay was perhaps not told: the next send does, and the wait begins then.
                core.park_due = 0;
                core.park_doubted = core.park.active;
            }
            // The path that it went dark on may have been the park's, too.
            if cause == Blocked::Silence && core.park.active && !core.park.broken {
                core.park_doubted = true;
                core.hello_due = true;
            }
        }
        if lane == Lane::Park && sent {
            self.note_losses(now);
        }
        self.land(now, lane, false);
    }

    /// An exchange is over: its messages are let go of, and those that did not get through are due again.
    fn land(&mut self, now: u64, lane: Lane, passed: bool) {
        for i in 0..self.core.trip(lane).plan.len() {
            let item = self.core.trip(lane).plan[i];
            self.land_item(now, &item, passed);
        }
        self.core.trip(lane).plan.clear();
        self.core.claims_owed |= lane == Lane::Park && !passed;
        match lane {
            Lane::Park => {
                self.core.park_due = 0;
                self.core.park_doubted = false;
                self.core.wakes.park = true;
            }
            Lane::Send => self.core.wakes.send = true,
        }
    }
}
