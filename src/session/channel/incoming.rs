//! Data and acknowledgements that come in an answer.

use super::tombstone::Left;
use super::{EndCause, State};
use crate::Kind;
use crate::session::exchange::{Destination, Incoming};
use crate::session::mode::Mode;
use crate::session::replies::ReplyKind;
use crate::session::rings::Direction;
use crate::session::view::Session;
use crate::session::{Event, Lane, ids};
use crate::wire::{Data, DataFlags, Route, Status, Window};

impl<M: Mode> Session<'_, M> {
    /// The slot of a channel with both ends known, if the message was addressed to one. What is
    /// addressed to a channel that is not there is answered.
    pub(in crate::session) fn addressed(
        &mut self,
        now: u64,
        from: &Route,
        is_data: bool,
    ) -> Option<usize> {
        let (slot, _) = ids::slot(from.channel.id);
        if slot >= self.channels.len() || self.local(slot) != from.channel {
            self.addressed_to_tombstone(from, is_data);
            return None;
        }
        let channel = &self.channels[slot];
        let is_peer = channel.peer == from.peer;
        match channel.state {
            // Of an encrypted one only CONFIRM shows that the connector is there.
            State::Accepting if is_peer && channel.is_encrypted() => return None,
            State::Accepting if is_peer => self.establish(now, slot),
            State::Established if is_peer => self.heard(now, slot),
            // CONNECT_RSP was lost, and will be repeated.
            State::Connecting { .. } => return None,
            State::Aborting(_) if is_peer => return None,
            // Done, but for the exchange under way: the tombstone will answer the repeat.
            State::Ended(EndCause::InOrder) => return None,
            State::Free
            | State::Accepting
            | State::Established
            | State::Aborting(_)
            | State::Ended(_) => {
                self.core.unknown(from);
                return None;
            }
        }
        Some(slot)
    }

    fn addressed_to_tombstone(&mut self, from: &Route, is_data: bool) {
        let tombstone = self.tombstones.iter_mut().find(|t| t.is_of(&from.peer, from.channel));
        match tombstone.map(|t| (t.left(), t)) {
            // Only data asks for an answer: two tombstones would answer each other for ever.
            Some((Left::Whole, t)) => {
                if is_data {
                    t.answer();
                    self.core.wakes.send = true;
                }
            }
            Some((Left::Dead, t)) if !M::SINGLE => {
                t.answer();
                self.core.wakes.send = true;
            }
            Some((Left::Closed, _)) => {
                self.core.reply(ReplyKind::Close, Status::Closed, from.peer, from.channel);
            }
            Some((Left::Nothing | Left::Dead, _)) | None => self.core.unknown(from),
        }
    }

    /// A data message begins.
    pub(in crate::session) fn on_data(&mut self, now: u64, lane: Lane, from: &Route, data: &Data) {
        self.core.flight(lane).drop_incoming();
        let is_probe = data.flags.has(DataFlags::PROBE);
        let Some(slot) = self.addressed(now, from, true) else { return };
        if !is_probe {
            self.core.traffic(now);
        }
        let channel = &mut self.channels[slot];
        let kind = channel.kind::<M>();
        let rx = &mut channel.rx;
        if is_probe {
            rx.owe_now();
            // Nothing before a PROBE is still on its way: what was sent again was lost again.
            if kind == Kind::Stream && data.offset > rx.received() {
                rx.note_loss();
            }
            return;
        }
        if data.flags.has(DataFlags::DATAGRAM) != (kind == Kind::Datagram) {
            return self.end(now, slot, EndCause::Here(Status::Protocol), true);
        }
        if !M::SINGLE && data.flags.has(DataFlags::HUNGRY) {
            rx.starve(data.offset, data.len);
        }
        let begins = match kind {
            Kind::Datagram => M::DATAGRAMS && self.begin_datagram(lane, slot, data),
            Kind::Stream => self.begin_stream(lane, slot, data),
        };
        // For octets of a stream it counts when they are there.
        let is_behind = !M::SINGLE && begins && kind == Kind::Stream && data.len > 0;
        if data.flags.has(DataFlags::ACK_NOW) && !is_behind {
            self.channels[slot].rx.owe_now();
        }
        if begins && data.len == 0 {
            self.on_bytes(now, lane, &[], 0);
        }
    }

    /// Bytes of a stream begin; false if they are not taken.
    fn begin_stream(&mut self, lane: Lane, slot: usize, data: &Data) -> bool {
        let rx = &mut self.channels[slot].rx;
        let fin = data.flags.has(DataFlags::FIN);
        if data.offset > rx.received() {
            let asks = data.len == 0 && !fin;
            if asks {
                rx.note_loss();
            } else {
                rx.note_gap();
            }
            return false;
        }
        if rx.knows(data.offset + u64::from(data.len) + u64::from(fin)) {
            return false;
        }
        self.core.flight(lane).takes_in(Incoming {
            destination: Destination::Stream,
            slot: slot as u16,
            fin,
            ack_now: !M::SINGLE && data.flags.has(DataFlags::ACK_NOW),
            at: data.offset,
            number: 0,
            len: data.len,
        });
        true
    }

    /// A datagram begins; false if it is not taken.
    fn begin_datagram(&mut self, lane: Lane, slot: usize, data: &Data) -> bool {
        if !self.channels[slot].rx.is_new(data.offset) {
            return false;
        }
        let ring = self.rings.receive_mut(slot);
        let rx = &mut self.channels[slot].rx;
        let Some(at) = rx.begin_datagram(ring, data.offset, data.len as usize) else {
            self.core.count(|stats| stats.datagrams_lost += 1);
            return false;
        };
        // The ring has one place for the next: an answer on the other lane gives its up.
        self.core.drop_incoming(slot);
        self.core.flight(lane).takes_in(Incoming {
            destination: Destination::Datagram,
            slot: slot as u16,
            fin: false,
            ack_now: false,
            at,
            number: data.offset,
            len: data.len,
        });
        true
    }

    /// Bytes of the data message begun; `left` are still to come.
    pub(in crate::session) fn on_bytes(&mut self, now: u64, lane: Lane, bytes: &[u8], left: u32) {
        let incoming = self.core.flight(lane).incoming();
        let slot = usize::from(incoming.slot);
        self.core.flight(lane).took_in(bytes.len());
        match incoming.destination {
            Destination::Drop => {}
            Destination::Stream => {
                let is_whole = self.take_stream(now, slot, incoming.at, bytes);
                self.wake_channel(slot);
                if !is_whole {
                    self.core.flight(lane).drop_incoming();
                    return;
                }
                if left > 0 {
                    return;
                }
                let rx = &mut self.channels[slot].rx;
                if incoming.fin {
                    rx.take_fin(incoming.at + bytes.len() as u64);
                }
                if incoming.ack_now {
                    rx.owe_now();
                }
                self.finish_if_done(now, slot);
            }
            Destination::Datagram if !M::DATAGRAMS => {}
            Destination::Datagram => {
                super::ring::copy_in(self.rings.receive_mut(slot), incoming.at, bytes);
                if left == 0 {
                    self.channels[slot].rx.end_datagram(incoming.number, incoming.len);
                    self.core.count(|stats| stats.received += u64::from(incoming.len));
                    self.core.flight(lane).drop_incoming();
                    self.wake_channel(slot);
                }
            }
        }
    }

    /// Puts bytes at `at` into the receive ring; false if some did not fit, which overflows, or if
    /// the channel has ended meanwhile.
    fn take_stream(&mut self, now: u64, slot: usize, at: u64, bytes: &[u8]) -> bool {
        let channel = &mut self.channels[slot];
        if !channel.is_established() {
            return false;
        }
        let taken = channel.rx.take(self.rings.receive_mut(slot), at, bytes, !M::SINGLE);
        if !M::SINGLE {
            let received = channel.rx.received();
            self.rings.note_use(now, slot, Direction::Receive, received, taken.new);
        }
        self.core.count(|stats| stats.received += taken.new as u64);
        taken.is_whole
    }

    /// The peer told how far it is.
    pub(in crate::session) fn on_window(&mut self, now: u64, slot: usize, window: &Window) {
        let channel = &mut self.channels[slot];
        if !channel.tx.is_sound(window) {
            return self.end(now, slot, EndCause::Here(Status::Protocol), true);
        }
        if channel.kind::<M>() == Kind::Datagram {
            channel.tx.on_datagram_window(window);
            self.watch(now, slot);
            self.go_on(slot);
            return;
        }
        if window.ask {
            channel.rx.owe_at_once();
        }
        channel.acknowledge(self.rings.transmit(slot), window.ack);
        let probe_at = channel.prober.at();
        let round_trip_ms = if M::SINGLE { None } else { channel.tx.measured(now, window.ack) };
        let progress = channel.tx.on_window(window);
        if progress.advanced {
            channel.prober.stop();
            if channel.prober.is_blocked() {
                // Something got through to it meanwhile.
                self.unblock(now, slot);
            }
        }
        self.watch(now, slot);
        if let Some(ms) = round_trip_ms {
            self.core.round_trip(ms);
        }
        if let Some(offset) = progress.overflow {
            let offset = self.channels[slot].octets_before(self.rings.transmit(slot), offset);
            let channel = self.channel_id(slot);
            self.core.count(|stats| stats.overflows += 1);
            self.core.event(Event::Overflow { channel, offset });
        }
        self.wake_channel(slot);
        let fires_at = self.channels[slot].prober.at().or_never();
        if probe_at.is_set() && fires_at < probe_at.or_never() {
            self.core.wake_send();
        }
        self.go_on(slot);
        self.finish_if_done(now, slot);
    }

    /// Wakes the sending lane if something may wait for the word that came from this channel's peer:
    /// other channels' next body does, too.
    fn go_on(&mut self, slot: usize) {
        let peer = self.channels[slot].peer;
        if M::SINGLE || self.channels.iter().any(|c| c.peer == peer && c.tx.has_unsent()) {
            self.core.wake_send();
        }
    }

    /// The relay can reach `peer` again.
    pub(in crate::session) fn on_ready(&mut self, now: u64, peer: &crate::wire::Address) {
        for slot in 0..self.channels.len() {
            let channel = &mut self.channels[slot];
            match channel.state {
                State::Connecting { .. } => channel.repeat_now(now),
                State::Accepting | State::Aborting(_) if channel.peer == *peer => {
                    channel.repeat_now(now);
                }
                State::Established if channel.peer == *peer => {
                    // It lives; and what it has of what was sent is not known, nor whether it was
                    // told how far this end is.
                    channel.heard_at = now;
                    channel.tx.forget_round_trips();
                    channel.rx.hasten();
                    channel.await_ack::<M>();
                    self.unblock(now, slot);
                }
                State::Free
                | State::Accepting
                | State::Established
                | State::Aborting(_)
                | State::Ended(_) => {}
            }
        }
        if !M::SINGLE {
            let is_dead = |t: &&mut super::Tombstone| t.is_dead_with(peer, now);
            self.tombstones.iter_mut().filter(is_dead).for_each(|t| t.answer());
        }
        self.core.wakes.send = true;
    }
}
