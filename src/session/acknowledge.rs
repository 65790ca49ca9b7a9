//! When an acknowledgement is sent: with the next park; while an answer stays open, so that there is
//! none, by a send.

use super::deadline::Deadline;
use super::mode::Mode;
use super::rings::Direction;
use super::view::Session;

/// What the application reads opens the window, a quarter of the ring at a time, and acknowledges as
/// well: by itself what came does so only for an application that is slower, every half of the ring.
const ACK_SHARE: u64 = 2;
/// Where an exchange takes so long, in ms, few fit into a round trip between peers: large rings are
/// acknowledged with each, or they would be full before the next,
pub(super) const LONG_PATH_MS: u32 = 10;
/// that is, for this share of the ring,
const LONG_ACK_SHARE: u64 = 16;
/// but not for less than so many octets, what a read from the network brings.
const LEAST_ACK: u64 = 64 << 10;

impl<M: Mode> Session<'_, M> {
    /// While an answer stays open acknowledgements go by sends: at once when the sender may be
    /// waiting for one, else soon.
    pub(super) fn owe_acks(&mut self, now: u64) {
        let core = &mut *self.core;
        if !core.park.is_streaming() {
            return;
        }
        let round_trip = core.full().map_or(0, |full| full.body_size.round_trip_ms());
        for (slot, channel) in self.channels.iter_mut().enumerate() {
            let rx = &mut channel.rx;
            if !rx.owes_park() {
                continue;
            }
            let len = self.rings.len(slot, Direction::Receive) as u64;
            let most = len / ACK_SHARE;
            let most = match round_trip >= LONG_PATH_MS {
                true => (len / LONG_ACK_SHARE).max(LEAST_ACK).min(most),
                false => most,
            };
            if rx.is_pressing(most) {
                rx.hasten();
                core.wake_send();
            } else if !core.acks_at.is_set() {
                core.acks_at = Deadline::at(now + u64::from(core.timers().ack_delay_ms));
                core.wakes.send_later = true;
            }
        }
    }
}
