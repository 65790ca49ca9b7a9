//! Data and acknowledgements that come in an answer.

use super::channel::{End, State};
use super::exchange::{Destination, Incoming};
use super::{Event, Lane, Mode, Session, datagram, ring};
use crate::Kind;
use crate::wire::{Data, DataFlags, Route, Status, Window};

impl<M: Mode> Session<'_, M> {
    pub(super) fn on_data(&mut self, now: u64, lane: Lane, from: &Route, data: &Data) {
        self.core.flight(lane).drop_incoming();
        let is_window_only = data.flags.has(DataFlags::PROBE);
        let Some(slot) = self.addressed(now, from, true) else { return };
        if !is_window_only {
            self.core.traffic(now);
        }
        let len = self.ring_len();
        let channel = &mut self.channels[slot];
        let rx = &mut channel.rx;
        let datagram = data.flags.has(DataFlags::DATAGRAM);
        if is_window_only {
            rx.dirty = true;
            rx.now = true;
            // Nothing before a PROBE is still on its way: what was sent again was lost again.
            if M::kind(channel.kind) == Kind::Stream && data.offset > rx.next {
                rx.note_loss();
            }
            return;
        }
        if datagram != (M::kind(channel.kind) == Kind::Datagram) {
            return self.end(now, slot, End::Here, Status::Protocol, true);
        }
        if data.flags.has(DataFlags::ACK_NOW) {
            rx.dirty = true;
            rx.now = true;
        }
        if M::DATAGRAMS && datagram {
            if !datagram::is_new(channel, data.offset) {
                return;
            }
            let rx = &mut channel.rx;
            let size = datagram::HEADER + data.len as usize;
            if rx.readable() + size > len || rx.discarding {
                rx.lost = rx.lost.saturating_add(1);
                self.core.count(|stats| stats.datagrams_lost += 1);
                datagram::note(channel, data.offset);
                return;
            }
            let start = rx.next;
            // The ring has one place for the next: an answer on the other lane gives its up.
            self.drop_incoming(slot);
            let (_, rx_ring) = self.rings_of(slot);
            let header = datagram::header(data.len as usize, now);
            ring::copy_in(&mut self.rings[rx_ring], start, &header);
            self.core.flight(lane).takes_in(Incoming {
                destination: Destination::Datagram,
                slot: slot as u16,
                fin: false,
                at: start + datagram::HEADER as u64,
                number: data.offset,
                len: data.len,
            });
            if data.len == 0 {
                self.on_bytes(now, lane, &[], 0);
            }
            return;
        }
        let fin = data.flags.has(DataFlags::FIN);
        if data.offset > rx.next {
            let probes = data.len == 0 && !fin;
            return if probes { rx.note_loss() } else { rx.note_gap() };
        }
        if data.offset + u64::from(data.len) + u64::from(fin) <= rx.next {
            // Nothing new: the acknowledgement was lost.
            rx.dirty = true;
            return;
        }
        self.core.flight(lane).takes_in(Incoming {
            destination: Destination::Stream,
            slot: slot as u16,
            fin,
            at: data.offset,
            number: 0,
            len: data.len,
        });
        if data.len == 0 {
            self.on_bytes(now, lane, &[], 0);
        }
    }

    /// What is still to come of data messages begun for this slot is for nobody.
    pub(super) fn drop_incoming(&mut self, slot: usize) {
        for lane in [Lane::Park, Lane::Send] {
            let flight = self.core.flight(lane);
            if usize::from(flight.incoming().slot) == slot {
                flight.drop_incoming();
            }
        }
    }

    /// Bytes of the data message begun; `left` are still to come.
    pub(super) fn on_bytes(&mut self, now: u64, lane: Lane, bytes: &[u8], left: u32) {
        let incoming = self.core.flight(lane).incoming();
        let slot = usize::from(incoming.slot);
        self.core.flight(lane).took_in(bytes.len());
        match incoming.destination {
            Destination::Drop => {}
            Destination::Stream => {
                if !self.take_stream(slot, incoming.at, bytes) {
                    self.core.flight(lane).drop_incoming();
                    return;
                }
                let rx = &mut self.channels[slot].rx;
                let end = incoming.at + bytes.len() as u64;
                if left == 0 && incoming.fin && rx.next == end && !rx.fin {
                    rx.fin = true;
                    rx.next += 1;
                    rx.dirty = true;
                }
                if left == 0 {
                    self.finish_if_done(now, slot);
                }
                self.wake_channel(slot);
            }
            Destination::Datagram if !M::DATAGRAMS => {}
            Destination::Datagram => {
                let (_, rx_ring) = self.rings_of(slot);
                ring::copy_in(&mut self.rings[rx_ring], incoming.at, bytes);
                if left == 0 {
                    let channel = &mut self.channels[slot];
                    datagram::note(channel, incoming.number);
                    channel.rx.next += (datagram::HEADER as u32 + incoming.len) as u64;
                    self.core.count(|stats| stats.received += u64::from(incoming.len));
                    self.core.flight(lane).drop_incoming();
                    self.wake_channel(slot);
                }
            }
        }
    }

    /// Puts bytes at `at` into the receive ring, without those it has already; false if some did
    /// not fit, which overflows, or if the channel has ended meanwhile.
    fn take_stream(&mut self, slot: usize, at: u64, bytes: &[u8]) -> bool {
        let len = self.ring_len();
        let (_, rx_ring) = self.rings_of(slot);
        let channel = &mut self.channels[slot];
        if channel.state != State::Established {
            return false;
        }
        let rx = &mut channel.rx;
        if rx.fin {
            return true;
        }
        let known = rx.next.saturating_sub(at).min(bytes.len() as u64) as usize;
        let new = &bytes[known..];
        let room = if rx.discarding { new.len() } else { len - rx.readable() };
        let fits = new.len().min(room);
        if fits > 0 {
            if rx.discarding {
                rx.read += fits as u64;
            } else {
                ring::copy_in(&mut self.rings[rx_ring], rx.next, &new[..fits]);
            }
            rx.next += fits as u64;
            rx.dirty = true;
            self.core.count(|stats| stats.received += fits as u64);
        }
        if fits < new.len() {
            rx.overflow = rx.next + 1;
            rx.dirty = true;
            rx.now = true;
        }
        fits == new.len()
    }

    /// The peer told how far it is.
    pub(super) fn on_window(&mut self, now: u64, slot: usize, window: &Window) {
        let channel = &mut self.channels[slot];
        let tx = &mut channel.tx;
        if window.ack > tx.high || window.overflow > tx.high {
            return self.end(now, slot, End::Here, Status::Protocol, true);
        }
        if M::kind(channel.kind) == Kind::Datagram {
            tx.acked_number = tx.acked_number.max(window.ack.min(tx.sent_number));
            self.watch(now, slot);
            self.go_on(slot);
            return;
        }
        tx.peer_done |= window.done;
        channel.rx.dirty |= window.ask;
        channel.rx.now |= window.ask;
        channel.rx.urgent |= window.ask;
        let probe_at = channel.probe_at;
        let mut sample = None;
        let mut advanced = false;
        if window.ack > tx.una {
            tx.una = window.ack;
            tx.next = tx.next.max(tx.una);
            tx.delivered = tx.delivered.max(tx.una.min(tx.end));
            if !M::SINGLE && tx.timed != 0 && tx.una >= tx.timed {
                sample = Some(now.saturating_sub(tx.timed_at));
                tx.timed = 0;
            }
            channel.backoff = 0;
            channel.probe_at = 0;
            advanced = true;
        }
        tx.limit = tx.limit.max(window.limit);
        let mut back = window.losses > tx.losses;
        tx.losses = tx.losses.max(window.losses);
        let mut overflow = None;
        if window.overflow > tx.overflow {
            tx.overflow = window.overflow;
            tx.overflow_untold = true;
            if !M::SINGLE {
                tx.overflows = tx.overflows.saturating_add(1);
            }
            overflow = Some(window.overflow - 1);
            back = true;
        }
        if back && tx.flying {
            tx.rewind = true;
        } else if back {
            tx.go_back(tx.una);
        }
        if advanced && channel.blocked {
            // Something got through to it meanwhile.
            self.unblock(now, slot);
        }
        self.watch(now, slot);
        if let Some(ms) = sample {
            self.core.round_trip(ms);
        }
        if let Some(offset) = overflow {
            let channel = self.channel_id(slot);
            self.core.count(|stats| stats.overflows += 1);
            self.core.event(Event::Overflow { channel, offset });
        }
        self.wake_channel(slot);
        if (1..probe_at).contains(&self.channels[slot].probe_at) {
            self.core.wake_send();
        }
        self.go_on(slot);
        self.finish_if_done(now, slot);
    }

    /// Wakes the sending lane if something may wait for the word that came from this channel's peer:
    /// other channels' next body does, too.
    fn go_on(&mut self, slot: usize) {
        let peer = self.channels[slot].peer;
        if M::SINGLE || self.channels.iter().any(|c| c.peer == peer && c.has_unsent()) {
            self.core.wake_send();
        }
    }
}
