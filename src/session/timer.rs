//! Deadlines: an exhaustive scan, since there are few.

use super::channel::{End, Probe, State};
use super::{Lane, Mode, Session};
use crate::Kind;
use crate::wire::{Status, Window};

/// Traffic so long ago, in ms, is likely to go on: time for two looks.
const TRAFFIC_MS: u64 = 200;

/// The soonest of several times; 0 is none.
struct Soonest(u64);

impl Soonest {
    #[inline(never)]
    fn at(&mut self, time: u64) {
        if time != 0 {
            self.0 = self.0.min(time);
        }
    }

    fn by(&mut self, time: Option<u64>) {
        if let Some(time) = time {
            self.0 = self.0.min(time);
        }
    }
}

impl<M: Mode> Session<'_, M> {
    /// When [`handle_timeout`](Self::handle_timeout) and [`poll_exchange`](Self::poll_exchange) are
    /// to be called again for `lane` at the latest; `None`: not before something else happens.
    pub fn poll_timeout(&self, lane: Lane) -> Option<u64> {
        let core = &*self.core;
        if self.is_closed() || core.fatal().is_err() {
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
            if let Some(acks_at) = core.acks_at.get()
                && !core.send().is_active()
            {
                next.at(acks_at.max(core.waits_until(lane)));
            } else if core.park.is_streaming() && core.clock < core.traffic_at + TRAFFIC_MS {
                // As soon as an acknowledgement of what may come would be due: to be woken for each
                // that is begun costs more than to look now and then.
                next.at(core.clock + u64::from(core.timers().ack_delay_ms));
            }
            if self.is_finished() && (core.is_single() || !core.send().is_active()) {
                // Then BYE is no longer held back.
                let owed = self.tombstones.iter().filter(|t| t.is_owed(core.clock));
                let owed = owed.filter_map(|t| t.owed_until);
                owed.for_each(|until| next.at(until.get().max(core.waits_until(lane))));
            }
            next.by(full.stream_watch.late_at());
            next.by(full.park_doubt.due());
        }
        (next.0 != u64::MAX).then_some(next.0)
    }

    fn channel_timeout(&self, slot: usize, next: &mut Soonest) {
        let channel = &self.channels[slot];
        if matches!(channel.state, State::Free | State::Ended) {
            return;
        }
        let core = &*self.core;
        // What is due by a send waits for the lane.
        let waits =
            if core.is_single() { channel.due > core.clock } else { !core.send().is_active() };
        if channel.due != 0 && waits {
            next.at(channel.due.max(core.waits_until(Lane::Send)));
        }
        next.at(channel.give_up_at);
        next.at(channel.probe_at);
        next.at(channel.lingered_at());
        if M::kind(channel.kind) == Kind::Datagram {
            next.at(self.datagram_expiry(slot));
        }
        next.at(self.keepalive_at(slot));
    }

    /// When the peer of an idle channel is to be asked; 0: not.
    fn keepalive_at(&self, slot: usize) -> u64 {
        let channel = &self.channels[slot];
        let every = if M::KEEPALIVE { self.core.settings.keepalive_ms } else { 0 };
        let idle = channel.state == State::Established && channel.quiet_since == 0;
        if every != 0 && idle { channel.heard_at + u64::from(every) } else { 0 }
    }

    /// Does what has come due.
    pub fn handle_timeout(&mut self, now: u64) {
        self.core.clock = self.core.clock.max(now);
        if self.core.fatal().is_err() {
            return;
        }
        for slot in 0..self.channels.len() {
            if matches!(self.channels[slot].state, State::Free | State::Ended) {
                continue;
            }
            self.handle_channel_timeout(now, slot);
        }
        if M::SINGLE {
            return;
        }
        self.core.watch_stream(now);
        self.core.watch_park(now);
        let send_waits = self.core.full().is_some_and(|full| full.send_waits);
        self.core.wakes.send |=
            self.core.acks_at.is_due(now) || send_waits && !self.core.waits(now, Lane::Send);
        self.go_single(now);
    }

    fn handle_channel_timeout(&mut self, now: u64, slot: usize) {
        if M::kind(self.channels[slot].kind) == Kind::Datagram {
            self.expire_datagrams(now, slot);
        }
        let is_over = |at: u64| at != 0 && at <= now;
        if is_over(self.keepalive_at(slot)) {
            // Silence now counts for linger.
            self.channels[slot].asked = true;
            self.channels[slot].probe = Probe::AtOnce;
            self.watch(now, slot);
            self.core.wakes.send = true;
        }
        let rto = self.core.rto();
        let most = u64::from(self.core.timers().rto_max_ms);
        let channel = &mut self.channels[slot];
        if is_over(channel.probe_at) {
            let waits = M::kind(channel.kind) == Kind::Datagram && channel.tx.una < channel.tx.end;
            if channel.blocked || !waits {
                channel.probe = Probe::AtOnce;
                self.core.wakes.send = true;
            }
            channel.backoff = channel.backoff.saturating_add(1);
            channel.probe_at = now + (rto << channel.backoff.min(6)).min(most.max(rto));
        }
        if channel.due != 0 && channel.due <= now {
            self.core.wakes.send = true;
        }
        if is_over(channel.lingered_at()) {
            return self.end(now, slot, End::Here, Status::Linger, true);
        }
        if !is_over(channel.give_up_at) {
            return;
        }
        match channel.state {
            State::Aborting => self.settle(now, slot),
            State::Accepting => self.end(now, slot, End::Here, Status::Aborted, true),
            _ => self.end(now, slot, End::Here, Status::Linger, true),
        }
    }

    /// The RECEIVE_REQ of a channel, as it is put into a request: what is told is no longer due.
    pub(super) fn window(&mut self, slot: usize) -> Window {
        let len = self.ring_len();
        let channel = &mut self.channels[slot];
        let done = channel.is_done();
        let rx = &mut channel.rx;
        rx.told = match M::kind(channel.kind) {
            Kind::Stream => rx.limit(len),
            Kind::Datagram => len as u64,
        };
        rx.acked = rx.next;
        rx.dirty = false;
        rx.urgent = false;
        let done = M::kind(channel.kind) == Kind::Stream && done;
        Window {
            ack: match M::kind(channel.kind) {
                Kind::Stream => rx.next,
                Kind::Datagram => rx.number,
            },
            limit: rx.told,
            losses: rx.losses,
            overflow: rx.overflow,
            now: core::mem::take(&mut rx.now),
            done,
            ask: false,
        }
    }
}
