//! When an acknowledgement is sent: with the next park; while an answer stays open, so that there is
//! none, by a send.

use super::deadline::Deadline;
use super::mode::Mode;
use super::rings::Direction;
use super::state::Core;
use super::view::Session;

/// What the application reads opens the window, a quarter of the ring at a time, and acknowledges as
/// well: by itself what came does so only for an application that is slower, every half of the ring.
const ACK_SHARE: u64 = 2;
/// A path is long if an exchange takes so long, in ms: few fit into a round trip between the peers, so
/// that large rings are to be acknowledged with each, or they would be full before the next.
pub(super) const LONG_PATH_MS: u32 = 10;
/// On a long path this share of the ring is acknowledged.
const LONG_ACK_SHARE: u64 = 16;
/// So many octets are acknowledged on a long path at least: as many as a read from the network brings.
pub(super) const LEAST_ACK: u64 = 64 << 10;
/// On a long path acknowledgements and little data wait for more during this share of an exchange: all
/// that misses an exchange by a hair waits for the next.
const COMPANY_SHARE: u32 = 8;

impl<M: Mode> Session<'_, M> {
    /// While an answer stays open acknowledgements go by sends: at once when the sender may be
    /// waiting for one, else soon.
    pub(super) fn owe_acks(&mut self, now: u64) {
        let core = &mut *self.core;
        if !core.park.is_streaming() {
            return;
        }
        let company_ms = core.company_ms();
        for (slot, channel) in self.channels.iter_mut().enumerate() {
            if !channel.rx.owes_park() {
                continue;
            }
            let is_drained = channel.is_drained(self.rings.receive(slot));
            let rx = &mut channel.rx;
            let len = self.rings.len(slot, Direction::Receive) as u64;
            let most = len / ACK_SHARE;
            let long = (len / LONG_ACK_SHARE).max(LEAST_ACK).min(most);
            match company_ms {
                // On a long path the application's read, which opens the window, is worth a wait.
                Some(ms) if rx.unacked() >= long || rx.is_wanted_now() && !is_drained => {
                    core.acknowledge_by(now + u64::from(ms));
                    continue;
                }
                _ if rx.is_wanted_now() => {}
                None if rx.unacked() >= most => {}
                _ => {
                    core.acknowledge_by(now + u64::from(core.timers().ack_delay_ms));
                    continue;
                }
            }
            rx.hasten();
            core.wake_send();
        }
    }

    /// A request with acknowledgements has gone up: what came while they were planned went with them, and
    /// the time that was set for that is no longer due.
    pub(super) fn acks_went(&mut self) {
        let is_set = self.core.acks_at.is_set();
        if is_set && !self.channels.iter().any(|channel| channel.rx.owes_park()) {
            self.core.acks_at = Deadline::NONE;
        }
    }

    /// The application made room: the peer is told if it may stand waiting, as it does if the ring
    /// `is_longer` for that reason.
    pub(super) fn room_was_made(&mut self, now: u64, slot: usize, is_longer: bool) {
        let len = self.rings.len(slot, Direction::Receive);
        // While an answer stays open no park tells of it before.
        let streams = !M::SINGLE && self.core.park.is_streaming();
        let company_ms = self.core.company_ms().filter(|_| streams && !is_longer);
        let is_drained = self.channels[slot].is_drained(self.rings.receive(slot));
        let rx = &mut self.channels[slot].rx;
        let Some(ms) = company_ms else {
            if rx.opens(len, streams || is_longer) {
                self.core.wake_send();
            }
            return;
        };
        let opens = rx.opens_later(len);
        if rx.is_wanted_now() && is_drained {
            rx.hasten();
            self.core.wake_send();
        } else if opens {
            self.core.acknowledge_by(now + u64::from(ms));
        }
    }
}

impl<M: Mode> Core<M> {
    /// How long an acknowledgement, or little data, waits for company where the path is long, in ms.
    pub(super) fn company_ms(&self) -> Option<u32> {
        let round_trip = self.full()?.body_size.round_trip_ms();
        (round_trip >= LONG_PATH_MS).then_some(round_trip / COMPANY_SHARE)
    }

    /// Acknowledgements that wait go by a send at this time, if not before.
    fn acknowledge_by(&mut self, at: u64) {
        if at < self.acks_at.or_never() {
            self.acks_at = Deadline::at(at);
            self.wakes.send_later = true;
        }
    }
}
