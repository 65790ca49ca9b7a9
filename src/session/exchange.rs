//! An exchange: one HTTP request and its answer. A session has one under way on each lane.

use heapless::Vec;

use super::channel::State;
use super::plan::DATA_HEAD;
use super::{Exchange, Lane, Session};
use crate::error::Blocked;
use crate::wire::{DataFlags, Decoder, HelloFlags, MAX_CONTROL, Route, Status};

/// Most messages (not counting HELLO and ROUTEs) in a request; what does not fit goes with the next.
pub(super) const MAX_ITEMS: usize = 32;

/// What a request says of a slot. Its octets are made when they are sent, from what is true then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Listen,
    Connect,
    Accept,
    Window,
    Final,
    Probe,
    Data,
    Datagram,
    Close,
    Reply,
}

/// Eight octets, since a session has [`MAX_ITEMS`] of them for each lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub what: What,
    /// Flags of a data message, and [`JUDGED`].
    flags: u8,
    /// Slot of the channel, claim, reply or tombstone.
    pub slot: u16,
    /// Of data its bytes; else octets of the message, its ROUTE with it.
    octets: u32,
}

/// Its verdict came: no flag of the wire's.
const JUDGED: u8 = 0x80;

/// What the data message being read is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sink {
    Drop = 0,
    Stream,
    Datagram,
}

/// The data message being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incoming {
    pub sink: Sink,
    pub slot: u16,
    pub fin: bool,
    /// Stream: offset of the next byte. Datagram: where in the ring the next octet goes.
    pub at: u64,
    pub number: u64,
    pub len: u32,
}

/// Which way an exchange goes: its request up, then its answer down. Both want room for one control
/// message, and a request is over when its answer begins: it is the same room. All zeros: the
/// beginning.
#[derive(Debug)]
pub(super) enum Course {
    Up(Stage),
    Down(Decoder),
}

/// What stands before the data bytes of an item, while it goes up.
#[derive(Debug)]
pub(super) struct Stage {
    pub octets: [u8; MAX_CONTROL],
    pub len: u8,
    /// So many have gone.
    pub at: u8,
}

impl Stage {
    pub const fn new() -> Self {
        Self { octets: [0; MAX_CONTROL], len: 0, at: 0 }
    }
}

/// An exchange under way, or the traces of the last one. All zeros is its initial state.
#[derive(Debug)]
pub(super) struct Trip {
    pub active: bool,
    /// It is being broken off on purpose: its failure says nothing of the path.
    pub broken: bool,
    pub seq: u64,
    pub hello: HelloFlags,
    pub hold_ms: u32,
    pub begun_at: u64,
    /// Data bytes in the request.
    pub payload: u32,
    pub plan: Vec<Item, MAX_ITEMS, u8>,
    /// Items whose octets were begun; one more than that once HELLO was.
    pub written: u8,
    pub course: Course,
    /// Data bytes of the item begun that are still to be written, and where they stand.
    pub bytes_left: u32,
    pub bytes_at: u64,
    pub welcomed: bool,
    pub ended: bool,
    pub end_status: u8,
    pub from: Route,
    pub incoming: Incoming,
}

impl Trip {
    pub const fn new() -> Self {
        Self {
            active: false,
            broken: false,
            seq: 0,
            hello: HelloFlags::NONE,
            hold_ms: 0,
            begun_at: 0,
            payload: 0,
            plan: Vec::new(),
            written: 0,
            course: Course::Up(Stage::new()),
            bytes_left: 0,
            bytes_at: 0,
            welcomed: false,
            ended: false,
            end_status: 0,
            from: Route { peer: crate::wire::Address::RELAY, channel: crate::wire::Channel::NONE },
            incoming: Incoming { sink: Sink::Drop, slot: 0, fin: false, at: 0, number: 0, len: 0 },
        }
    }

    /// These octets go up next, if the request is not over.
    pub fn fill_stage(&mut self, octets: &[u8]) {
        if let Course::Up(stage) = &mut self.course {
            stage.octets[..octets.len()].copy_from_slice(octets);
            stage.len = octets.len() as u8;
            stage.at = 0;
        }
    }

    /// Takes the decoder of the answer, to be put back. The request is over.
    pub fn take_decoder(&mut self) -> Decoder {
        match core::mem::replace(&mut self.course, Course::Up(Stage::new())) {
            Course::Down(decoder) => decoder,
            Course::Up(_) => Decoder::new(),
        }
    }

    /// The item of the `index`-th message of the request, if it is not a ROUTE or HELLO.
    pub fn item_of(&mut self, index: u16) -> Option<&mut Item> {
        let mut at = 1;
        for item in &mut self.plan {
            let message = at + u32::from(item.is_routed());
            if message == u32::from(index) {
                return Some(item);
            }
            at = message + 1;
        }
        None
    }
}

impl Item {
    /// A message without data bytes; `octets` counts its ROUTE.
    pub fn control(what: What, slot: usize, octets: u16) -> Self {
        Self { what, flags: 0, slot: slot as u16, octets: octets.into() }
    }

    /// Data bytes of a stream, or a datagram.
    pub fn data(what: What, slot: usize, flags: DataFlags, bytes: u32) -> Self {
        Self { what, flags: flags.bits(), slot: slot as u16, octets: bytes }
    }

    fn has_data(&self) -> bool {
        matches!(self.what, What::Data | What::Datagram)
    }

    /// Data bytes.
    pub fn bytes(&self) -> u32 {
        if self.has_data() { self.octets } else { 0 }
    }

    /// Octets of everything else: ROUTE, headers, fields.
    pub fn head(&self) -> usize {
        if self.has_data() { DATA_HEAD.into() } else { self.octets as usize }
    }

    /// Flags of a data message.
    pub fn flags(&self) -> DataFlags {
        DataFlags::from_bits(self.flags)
    }

    /// Whether its verdict came.
    pub fn is_judged(&self) -> bool {
        self.flags & JUDGED != 0
    }

    pub fn judge(&mut self) {
        self.flags |= JUDGED;
    }

    /// Whether a ROUTE stands before it.
    pub fn is_routed(&self) -> bool {
        !matches!(self.what, What::Listen | What::Connect)
    }
}

impl Session<'_> {
    /// Begins the next exchange on `lane`, if one is due: the owner of the transport makes a request
    /// of `len` octets, which [`poll_body`](Self::poll_body) gives, hands the answer to
    /// [`handle_response`](Self::handle_response) as it comes, and ends it with
    /// [`handle_finished`](Self::handle_finished) or [`handle_failure`](Self::handle_failure).
    pub fn poll_exchange(&mut self, now: u64, lane: Lane) -> Option<Exchange> {
        self.core.clock = self.core.clock.max(now);
        if self.core.trip(lane).active || self.core.fatal().is_err() || self.is_closed() {
            return None;
        }
        let timers = self.core.settings.timers;
        let (hello, hold_ms, silence_ms) = match lane {
            Lane::Park => {
                if now < self.core.retry_park_at || !self.wants_park(now) {
                    return None;
                }
                self.plan_park();
                let active = now < self.core.traffic_at + u64::from(timers.active_for_ms);
                let (hold, grace) = match active {
                    true => (timers.hold_active_ms, timers.park_grace_active_ms),
                    false => (timers.hold_idle_ms, timers.park_grace_idle_ms),
                };
                (HelloFlags::NONE, hold.max(1), hold + grace)
            }
            Lane::Send => {
                self.core.send_waits = now < self.core.retry_send_at;
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
        match lane {
            Lane::Park => core.stats.parks += 1,
            Lane::Send => core.stats.sends += 1,
        }
        let trip = core.trip(lane);
        trip.active = true;
        trip.broken = false;
        trip.seq = seq;
        trip.hello = hello;
        trip.hold_ms = hold_ms;
        trip.begun_at = now;
        trip.payload = trip.plan.iter().map(Item::bytes).sum();
        trip.written = 0;
        trip.course = Course::Up(Stage::new());
        trip.bytes_left = 0;
        trip.welcomed = false;
        trip.ended = false;
        trip.from = Route::default();
        trip.incoming.sink = Sink::Drop;
        let len = super::body::HELLO_LEN
            + trip.plan.iter().map(|i| i.head() + i.bytes() as usize).sum::<usize>();
        Some(Exchange { lane, seq, len, silence_ms })
    }

    /// Whether there is anything to be parked for.
    fn wants_park(&self, now: u64) -> bool {
        self.claims.iter().any(|c| c.is_claimed())
            || self.channels.iter().any(|c| !matches!(c.state, State::Free | State::Ended))
            || self.core.phase == super::state::Phase::Open
                && self.tombstones.iter().any(|t| t.expires > now)
    }

    /// The answer's HTTP body has ended.
    ///
    /// # Errors
    /// It had no END, so it counts as lost, which is dealt with already; the connection is to be dropped.
    pub fn handle_finished(&mut self, now: u64, lane: Lane) -> Result<(), Blocked> {
        self.core.clock = self.core.clock.max(now);
        let trip = self.core.trip(lane);
        if !trip.active {
            return Ok(());
        }
        if !trip.ended {
            let cause = if trip.welcomed { Blocked::Cut } else { Blocked::Foreign };
            self.handle_failure(now, lane, cause, true);
            return Err(cause);
        }
        let status = Status::from_code(trip.end_status).unwrap_or(Status::Malformed);
        match status {
            Status::Ok | Status::Stale => {}
            // The answer goes or went to a proxy's repeat of this park, with whatever is in it: no
            // other park of this session is under way.
            Status::Superseded | Status::Repeated => self.note_losses(),
            // Once the relay has understood a request, something on the way spoils this one.
            Status::Malformed | Status::Version
                if status == Status::Version || !self.core.reached =>
            {
                self.core.fatal = match status {
                    Status::Version => super::state::Fatal::Version,
                    _ => super::state::Fatal::Malformed,
                };
                self.core.wakes.session = true;
                for slot in 0..self.channels.len() {
                    self.wake_channel(slot);
                }
                self.handle_failure(now, lane, Blocked::Relay(status), true);
                return Ok(());
            }
            status => {
                self.handle_failure(now, lane, Blocked::Relay(status), true);
                return Ok(());
            }
        }
        let core = &mut *self.core;
        let (begun, payload) = {
            let trip = core.trip(lane);
            trip.active = false;
            (trip.begun_at, trip.payload)
        };
        if lane == Lane::Send && payload > 0 {
            let most = core.max_body();
            let ms = u32::try_from(now.saturating_sub(begun)).unwrap_or(u32::MAX);
            core.pace.passed(payload, ms, most);
        }
        core.failures = 0;
        if core.blocked_told {
            core.event(super::Event::PathRestored);
        }
        if core.is_blocked {
            // The path is there again: the other lane need not wait.
            core.retry_park_at = 0;
            core.retry_send_at = 0;
            core.wake_lanes();
        }
        core.is_blocked = false;
        core.blocked_told = false;
        if !core.reached {
            core.reached = true;
            core.wakes.session = true;
        }
        if core.trip(lane).hello.has(HelloFlags::BYE) {
            core.phase = super::state::Phase::Closed;
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
        let core = &mut *self.core;
        if !core.trip(lane).active {
            return;
        }
        core.trip(lane).active = false;
        core.stats.failed += 1;
        if !core.trip(lane).broken {
            core.blame_path(now, lane, cause, sent);
        }
        if lane == Lane::Send {
            core.claims_changed |= core.send.hello.has(HelloFlags::WAKE);
            core.bye_tries += u8::from(core.send.hello.has(HelloFlags::BYE));
        }
        if lane == Lane::Park && sent {
            self.note_losses();
        }
        self.land(now, lane, false);
    }

    /// An answer to a park is lost, and data perhaps with it.
    fn note_losses(&mut self) {
        for channel in self.channels.iter_mut() {
            let streams = channel.kind == crate::Kind::Stream && !channel.rx.fin;
            if channel.state == State::Established && streams {
                channel.rx.losses = channel.rx.losses.saturating_add(1);
                channel.rx.dirty = true;
                channel.rx.now = true;
            }
        }
    }

    /// An exchange is over: its messages are let go of, and those that did not get through are due again.
    fn land(&mut self, now: u64, lane: Lane, passed: bool) {
        for i in 0..self.core.trip(lane).plan.len() {
            let item = self.core.trip(lane).plan[i];
            let slot = usize::from(item.slot);
            match item.what {
                What::Listen => self.core.claims_changed |= !passed,
                What::Reply => {
                    let reply = &mut self.core.replies[slot];
                    reply.flying = false;
                    if passed {
                        reply.kind = super::state::ReplyKind::Free;
                    }
                }
                What::Final => self.tombstones[slot].answer |= !passed,
                What::Window => {
                    let channel = &mut self.channels[slot];
                    if !passed && channel.state == State::Established {
                        channel.rx.dirty = true;
                        channel.rx.now = true;
                    }
                }
                What::Connect | What::Accept | What::Close => {
                    let channel = &mut self.channels[slot];
                    if !passed && channel.due != 0 {
                        channel.due = now;
                    }
                }
                What::Probe => self.channels[slot].probe |= !passed,
                What::Data => {
                    let tx = &mut self.channels[slot].tx;
                    tx.flying = false;
                    if !item.is_judged() {
                        tx.go_back(tx.pin);
                    }
                    if core::mem::take(&mut tx.rewind) {
                        tx.go_back(tx.una);
                    }
                    self.watch(now, slot);
                    self.wake_channel(slot);
                }
                What::Datagram => {
                    let tx = &mut self.channels[slot].tx;
                    tx.flying = false;
                    tx.rewind = false;
                    tx.next = tx.una;
                    self.watch(now, slot);
                    self.wake_channel(slot);
                }
            }
            if matches!(
                item.what,
                What::Connect
                    | What::Accept
                    | What::Probe
                    | What::Data
                    | What::Datagram
                    | What::Close
            ) {
                self.channels[slot].flying = false;
                self.finish_if_done(now, slot);
                self.reap(now, slot);
            }
        }
        self.core.trip(lane).plan.clear();
        match lane {
            Lane::Park => self.core.wakes.park = true,
            Lane::Send => self.core.wakes.send = true,
        }
    }
}

impl super::state::Core {
    /// An exchange failed by itself: tell of it, and leave the path alone for a while.
    fn blame_path(&mut self, now: u64, lane: Lane, cause: Blocked, sent: bool) {
        self.failures = self.failures.saturating_add(1);
        self.is_blocked = true;
        let told = self.blocked_told && self.cause == cause;
        self.cause = cause;
        // A single exchange cut short is everyday life; a second one is news.
        if !told && (self.failures >= 2 || !self.reached) {
            self.blocked_told = true;
            self.event(super::Event::PathBlocked(cause));
        }
        self.wakes.session = true;
        let retry_at = now + self.pause();
        match lane {
            Lane::Park => self.retry_park_at = retry_at,
            Lane::Send => {
                self.retry_send_at = retry_at;
                let payload = self.send.payload;
                match cause {
                    Blocked::Http(413) => self.pace.refused(now, payload),
                    _ if payload > 0 && sent => self.pace.failed(),
                    _ => {}
                }
            }
        }
    }

    /// Pause before the next try, in ms: doubling, with jitter, at most `retry_max_ms`.
    fn pause(&mut self) -> u64 {
        let t = self.settings.timers;
        let doubled = t.retry_min_ms << self.failures.saturating_sub(1).min(10);
        let pause = u64::from(doubled.min(t.retry_max_ms));
        pause / 2 + self.random() % (pause / 2 + 1)
    }
}
