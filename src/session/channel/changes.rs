//! What follows in the session when a channel changes its state: the only place where that happens.

use super::tombstone::{Left, Tombstone};
use super::{AfterEnd, ChannelRecord, EndCause, HeldBy, State};
use crate::Kind;
use crate::session::Event;
use crate::session::ids::{self, MAX_GENERATION};
use crate::session::mode::Mode;
use crate::session::rings::Direction;
use crate::session::state::Phase;
use crate::session::view::Session;
use crate::trace::{debug, trace};
use crate::wire::Status;

impl<M: Mode> Session<'_, M> {
    /// Takes a free slot for a channel that is made here, or `None`.
    pub(in crate::session) fn open_connecting(&mut self, now: u64, kind: Kind) -> Option<usize> {
        let slot = self.open_channel(now, kind)?;
        let channel = &mut self.channels[slot];
        channel.state = State::Connecting { heard: Status::Ok };
        channel.held_by = HeldBy::Application;
        debug!("channel {:#x}: the application connects", self.channel_id(slot).0);
        Some(slot)
    }

    /// Takes a free slot for a channel that a peer asks for, or `None`.
    pub(super) fn open_accepting(&mut self, now: u64, kind: Kind) -> Option<usize> {
        let slot = self.open_channel(now, kind)?;
        let channel = &mut self.channels[slot];
        channel.state = State::Accepting;
        channel.held_by = HeldBy::Backlog;
        debug!("channel {:#x}: a peer connects", self.channel_id(slot).0);
        Some(slot)
    }

    fn open_channel(&mut self, now: u64, kind: Kind) -> Option<usize> {
        let is_usable = |c: &ChannelRecord| c.is_free() && c.generation < MAX_GENERATION;
        let slot = self.channels.iter().position(is_usable)?;
        let ring = self.rings.len(slot, Direction::Receive) as u64;
        let token = self.core.random();
        let channel = &mut self.channels[slot];
        // The rest of a free one is as it was made.
        channel.kind = kind;
        channel.generation += 1;
        channel.linger_ms = self.core.settings.linger_ms;
        channel.token = token;
        channel.heard_at = now;
        channel.begin_repeats(now);
        channel.rx.open(ring);
        self.core.traffic(now);
        self.core.wake_lanes();
        Some(slot)
    }

    /// A channel enters the state in which both ends know each other.
    pub(super) fn establish(&mut self, now: u64, slot: usize) {
        let is_offered = self.channels[slot].establish(now);
        debug!(
            "channel {:#x}: established with {}",
            self.channel_id(slot).0,
            self.channels[slot].peer
        );
        if M::LISTENS && is_offered {
            self.wake_listener_of(slot);
        }
        self.heard(now, slot);
        self.wake_channel(slot);
        self.core.wakes.send = true;
    }

    fn wake_listener_of(&mut self, slot: usize) {
        if let Some(listener) = self.channels[slot].listener {
            let (claim, _) = ids::slot(listener.get());
            if claim < self.claims.len() {
                self.wake_claim(claim);
            }
        }
    }

    /// Something came from the channel's peer.
    pub(super) fn heard(&mut self, now: u64, slot: usize) {
        let channel = &mut self.channels[slot];
        channel.heard_at = now;
        channel.prober.answered();
        channel.break_silence();
        self.watch(now, slot);
        let soon = now + u64::from(self.core.timers().rto_min_ms);
        if self.channels[slot].prober.hurry(soon) {
            self.core.wake_send();
        }
    }

    /// The relay could not deliver to the peer: nothing but probes goes to it until it is heard of.
    pub(in crate::session) fn block(&mut self, now: u64, slot: usize, status: Status) {
        let peer = self.channels[slot].peer;
        for slot in 0..self.channels.len() {
            let channel = &mut self.channels[slot];
            if channel.is_established() && channel.peer == peer && channel.prober.block() {
                debug!(
                    "channel {:#x}: blocked, for the relay says {}",
                    self.channel_id(slot).0,
                    status.name()
                );
                self.watch(now, slot);
            }
        }
        if status == Status::Away && self.channels[slot].prober.call_away() {
            let id = self.channel_id(slot);
            debug!("channel {:#x}: the peer is away", id.0);
            self.core.event(Event::PeerAway(id));
        }
    }

    /// The peer takes data again.
    pub(in crate::session) fn unblock(&mut self, now: u64, slot: usize) {
        if self.channels[slot].prober.is_blocked() {
            debug!("channel {:#x}: the relay reaches the peer again", self.channel_id(slot).0);
        }
        if self.channels[slot].prober.unblock() {
            let id = self.channel_id(slot);
            self.core.event(Event::PeerBack(id));
        }
        self.watch(now, slot);
        self.wake_channel(slot);
    }

    /// Starts or stops the linger and probe timers, as something is outstanding or not.
    pub(in crate::session) fn watch(&mut self, now: u64, slot: usize) {
        let rto = self.core.rto();
        self.channels[slot].watch::<M>(now, rto);
    }

    /// The channel ends, for the reason in `end`: with CLOSE_REQ to the peer if `tell`, else silently.
    pub(in crate::session) fn end(&mut self, now: u64, slot: usize, end: EndCause, tell: bool) {
        let after = self.channels[slot].end::<M>(end, tell);
        if after != AfterEnd::Nothing {
            debug!(
                "channel {:#x}: ended by {} with {}",
                self.channel_id(slot).0,
                end.by(),
                end.status().name()
            );
        }
        match after {
            AfterEnd::Nothing => {}
            AfterEnd::Settle => self.settle(now, slot),
            AfterEnd::Tell => {
                let give_up_at = now + u64::from(self.core.timers().abort_for_ms);
                self.channels[slot].tell_end(now, give_up_at);
                self.core.wakes.send = true;
                self.wake_channel(slot);
            }
        }
    }

    /// The channel is over: the slot is freed as soon as nobody holds it.
    pub(in crate::session) fn settle(&mut self, now: u64, slot: usize) {
        self.channels[slot].settle();
        trace!("channel {:#x}: over", self.channel_id(slot).0);
        self.wake_channel(slot);
        self.reap(now, slot);
    }

    /// Frees the slot of a channel that is over and held by nobody.
    pub(in crate::session) fn reap(&mut self, now: u64, slot: usize) {
        let rto_max = self.core.timers().rto_max_ms;
        let channel = &mut self.channels[slot];
        if !matches!(channel.state, State::Ended(_)) || channel.is_held() || channel.flying {
            return;
        }
        if !M::SINGLE && self.core.phase == Phase::Closing && channel.is_lost() {
            // It is kept, for `unacked` to tell.
            self.core.wakes.send = true;
            return;
        }
        let generation = channel.generation;
        trace!("channel {:#x}: the slot is free", ids::id(slot, generation));
        // A peer that never was answered may still connect.
        if channel.met
            && let Some(oldest) = Tombstone::next_place(self.tombstones, now)
        {
            *oldest = Tombstone::of(channel, channel.local(slot), now, rto_max, M::SINGLE);
            if oldest.left() == Left::Whole && self.core.phase == Phase::Closing {
                oldest.answer();
            }
            self.core.wakes.send |= oldest.is_due();
        }
        *channel = const { ChannelRecord::new() };
        channel.generation = generation;
        if !M::SINGLE {
            self.rings.give_both_back(slot);
        }
        self.core.drop_incoming(slot);
        self.core.wakes.session = true;
        self.core.wakes.send = true;
    }

    /// Nobody will use the channel any more: what was written goes out, then it ends.
    pub(in crate::session) fn give_up(&mut self, now: u64, slot: usize) {
        let channel = &mut self.channels[slot];
        let is_offered = channel.held_by == HeldBy::Backlog;
        channel.held_by = HeldBy::Nobody;
        let tell = match channel.state {
            State::Aborting(_) if channel.is_dead() => return self.settle(now, slot),
            State::Free | State::Aborting(_) => return,
            State::Ended(_) => return self.reap(now, slot),
            State::Connecting { .. } => false,
            State::Accepting => true,
            State::Established if M::LISTENS && is_offered => true,
            State::Established => {
                channel.shut(self.rings.transmit_mut(slot));
                channel.rx.discard();
                channel.rx.hasten();
                // For a dropped channel linger runs from the drop.
                channel.give_up_at_linger(now);
                self.watch(now, slot);
                self.core.wakes.send = true;
                return self.finish_if_done(now, slot);
            }
        };
        self.end(now, slot, EndCause::Here(Status::Aborted), tell);
    }

    /// The application does not let the peer in: the peer is told so.
    #[cfg(feature = "secure")]
    pub(in crate::session) fn refuse_slot(&mut self, now: u64, slot: usize) {
        let channel = &mut self.channels[slot];
        if !channel.is_encrypted() {
            return self.abort_slot(now, slot);
        }
        channel.held_by = HeldBy::Nobody;
        self.end(now, slot, EndCause::Here(Status::WrongKey), true);
        self.reap(now, slot);
    }

    /// A channel that a peer asked for is none: the refusal tells the peer.
    #[cfg(feature = "secure")]
    pub(super) fn give_up_silently(&mut self, now: u64, slot: usize) {
        self.channels[slot].held_by = HeldBy::Nobody;
        self.end(now, slot, EndCause::Here(Status::Handshake), false);
    }

    /// The application gives the channel up: the peer is told at once, nothing more is sent.
    pub(in crate::session) fn abort_slot(&mut self, now: u64, slot: usize) {
        let channel = &mut self.channels[slot];
        channel.held_by = HeldBy::Nobody;
        match channel.state {
            State::Aborting(_) if channel.is_dead() => self.settle(now, slot),
            State::Ended(_) => self.reap(now, slot),
            State::Connecting { .. } => self.end(now, slot, EndCause::Here(Status::Aborted), false),
            State::Free | State::Accepting | State::Established | State::Aborting(_) => {
                self.end(now, slot, EndCause::Here(Status::Aborted), true);
            }
        }
    }

    /// Ends a channel in order if both directions are done and nobody holds it.
    pub(in crate::session) fn finish_if_done(&mut self, now: u64, slot: usize) {
        let channel = &self.channels[slot];
        if !channel.is_established() || channel.is_held() {
            return;
        }
        match channel.kind::<M>() {
            Kind::Stream if !channel.tx.is_acked() => {}
            Kind::Stream if channel.rx.has_fin() => self.settle(now, slot),
            // The peer may still write: it is not to wait for acknowledgements that nobody sends.
            Kind::Stream => self.end(now, slot, EndCause::Here(Status::Closed), true),
            Kind::Datagram if !channel.tx.has_unacked_bytes(0) => {
                self.end(now, slot, EndCause::Here(Status::Closed), true);
            }
            Kind::Datagram => {}
        }
    }

    /// Drops the datagrams that have waited too long.
    pub(in crate::session) fn expire_datagrams(&mut self, now: u64, slot: usize) {
        let life_ms = self.core.timers().datagram_life_ms;
        let count = self.channels[slot].tx.expire(now, self.rings.transmit(slot), life_ms);
        if count > 0 {
            debug!("channel {:#x}: {count} datagrams expired", self.channel_id(slot).0);
            self.core.count(|stats| stats.datagrams_lost += u64::from(count));
            self.wake_channel(slot);
            self.finish_if_done(now, slot);
        }
    }
}
