//! Deadlines: an exhaustive scan, since there are few.

use super::channel::{EndCause, State};
use super::deadline::Deadline;
use super::mode::Mode;
use super::state::Phase;
use super::terms::Lane;
use super::view::Session;
use crate::Kind;
use crate::trace::debug;
use crate::wire::Status;

/// Traffic so long ago, in ms, is likely to go on: time for two looks.
const TRAFFIC_MS: u64 = 200;

/// A peer that hears datagrams without a pause says nothing by itself: it is asked once this share of the
/// linger time was quiet.
const QUIET_SHARE: u32 = 4;

/// The soonest of several times.
struct Soonest(u64);

impl Soonest {
    #[inline(never)]
    fn at(&mut self, time: u64) {
        self.0 = self.0.min(time);
    }

    #[inline(never)]
    fn by(&mut self, deadline: Deadline) {
        self.at(deadline.or_never());
    }

    fn perhaps(&mut self, time: Option<u64>) {
        self.at(time.unwrap_or(u64::MAX));
    }
}

impl<M: Mode> Session<'_, M> {
    /// The soonest deadline that is met on `lane`.
    pub(super) fn next_timeout(&self, lane: Lane) -> Option<u64> {
        let core = &*self.core;
        if core.phase == Phase::Closed || core.fatal().is_err() {
            return None;
        }
        let mut next = Soonest(u64::MAX);
        let parks = lane == Lane::Park || M::SINGLE;
        if parks && !core.park.is_active() && core.waits(core.clock, Lane::Park) {
            next.at(core.waits_until(Lane::Park));
        }
        if M::keeps_time(lane) {
            (0..self.channels.len()).for_each(|slot| self.channel_timeout(slot, &mut next));
        }
        if let Some(full) = core.full()
            && lane == Lane::Send
        {
            if full.send_waits {
                next.at(core.waits_until(lane));
            }
            if let Some(until) = full.little_data.until().filter(|_| !core.send().is_active()) {
                next.at(until);
            }
            if let Some(acks_at) = core.acks_at.get().filter(|_| !core.send().is_active()) {
                next.at(acks_at.max(core.waits_until(lane)));
            } else if core.park.is_streaming() && core.clock < core.traffic_at + TRAFFIC_MS {
                // As soon as an acknowledgement of what may come would be due: to be woken for each
                // that is begun costs more than to look now and then.
                next.at(core.clock + u64::from(core.timers().ack_delay_ms));
            }
            if self.is_finished() && (core.is_single() || !core.send().is_active()) {
                // Then BYE is no longer held back.
                let owed = self.tombstones.iter().filter(|t| t.is_owed(core.clock));
                let owed = owed.filter_map(|t| t.owed_until().get());
                owed.for_each(|until| next.at(until.max(core.waits_until(lane))));
            }
            next.perhaps(full.stream_watch.late_at());
            next.perhaps(full.park_doubt.due());
        }
        (next.0 != u64::MAX).then_some(next.0)
    }

    fn channel_timeout(&self, slot: usize, next: &mut Soonest) {
        let channel = &self.channels[slot];
        if channel.is_over() {
            return;
        }
        let core = &*self.core;
        if let Some(due) = channel.repeats_at().get() {
            // What is due by a send waits for the lane.
            let waits = if core.is_single() { due > core.clock } else { !core.send().is_active() };
            if waits {
                next.at(due.max(core.waits_until(Lane::Send)));
            }
        }
        next.by(channel.give_up_at());
        next.by(channel.prober.at());
        next.by(channel.lingers_until());
        if channel.kind::<M>() == Kind::Datagram {
            next.by(self.datagram_expiry(slot));
        }
        if M::KEEPALIVE {
            next.by(self.keepalive_at(slot));
        }
    }

    /// When the oldest datagram expires.
    fn datagram_expiry(&self, slot: usize) -> Deadline {
        let Some(queued) = self.channels[slot].tx.queued_at(self.rings.transmit(slot)) else {
            return Deadline::NONE;
        };
        let life = self.core.timers().datagram_life_ms;
        // The time queued lies at most `life` before the clock seen last.
        let age = (self.core.clock as u32).wrapping_sub(queued);
        Deadline::at((self.core.clock + u64::from(life)).saturating_sub(age.into()))
    }

    /// When the peer of an idle channel is to be asked.
    fn keepalive_at(&self, slot: usize) -> Deadline {
        let channel = &self.channels[slot];
        let every = self.core.settings.keepalive_ms;
        if every == 0 || !channel.is_established() || !channel.is_idle() {
            return Deadline::NONE;
        }
        Deadline::at(channel.heard_at() + u64::from(every))
    }

    /// Does what has come due.
    pub(super) fn meet_deadlines(&mut self, now: u64) {
        if self.core.fatal().is_err() {
            return;
        }
        for slot in 0..self.channels.len() {
            if !self.channels[slot].is_over() {
                self.handle_channel_timeout(now, slot);
            }
        }
        if M::SINGLE {
            return;
        }
        self.core.watch_stream(now);
        self.core.watch_park(now);
        let data_is_due = self.core.full_mut().is_some_and(|full| full.little_data.is_due(now));
        let send_waits = self.core.full().is_some_and(|full| full.send_waits);
        self.core.wakes.send |= self.core.acks_at.is_due(now)
            || data_is_due
            || send_waits && !self.core.waits(now, Lane::Send);
        self.go_single(now);
    }

    fn handle_channel_timeout(&mut self, now: u64, slot: usize) {
        let kind = self.channels[slot].kind::<M>();
        if kind == Kind::Datagram {
            self.expire_datagrams(now, slot);
        }
        if M::KEEPALIVE && self.keepalive_at(slot).is_due(now) {
            // Silence now counts for linger.
            self.channels[slot].prober.ask();
            self.watch(now, slot);
            self.core.wakes.send = true;
        }
        let rto = self.core.rto();
        let most = u64::from(self.core.timers().rto_max_ms);
        let channel = &mut self.channels[slot];
        if channel.prober.at().is_due(now) {
            let waits = kind == Kind::Datagram && channel.tx.has_unacked_bytes(0);
            let is_quiet = channel.is_quiet_for(now, channel.linger_ms() / QUIET_SHARE);
            let asks = channel.prober.is_blocked() || !waits || is_quiet;
            channel.prober.fire(now, rto, most, asks);
            self.core.wakes.send |= asks;
        }
        self.core.wakes.send |= channel.repeats_at().is_due(now);
        if channel.lingers_until().is_due(now) {
            debug!(
                "channel {:#x}: the peer was silent for the linger time of {} ms",
                channel.local(slot).id,
                channel.linger_ms()
            );
            return self.end(now, slot, EndCause::Here(Status::Linger), true);
        }
        if !channel.give_up_at().is_due(now) {
            return;
        }
        debug!(
            "channel {:#x}: given up, for {:?} lasted too long",
            channel.local(slot).id,
            channel.state()
        );
        match channel.state() {
            State::Aborting(_) => self.settle(now, slot),
            State::Accepting => self.end(now, slot, EndCause::Here(Status::Aborted), true),
            State::Free | State::Connecting { .. } | State::Established | State::Ended(_) => {
                self.end(now, slot, EndCause::Here(Status::Linger), true);
            }
        }
    }
}
