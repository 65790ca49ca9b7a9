//! Rings that grow, and lend their regions back when others want the pool.

use super::ChannelRecord;
use crate::session::mode::Mode;
use crate::session::rings::Direction;
use crate::session::view::Session;
use crate::trace::trace;

/// A lent receive ring of a peer that said nothing for so long, in ms, may go back: longer than a stream
/// pauses that is only slow.
const IDLE_MS: u64 = 2_000;

impl<M: Mode> Session<'_, M> {
    /// Doubles a ring of a stream, if the pool has room for that, perhaps as idle rings go back. Whether
    /// it did.
    pub(in crate::session) fn lengthen(&mut self, slot: usize, direction: Direction) -> bool {
        let channel = &self.channels[slot];
        let kept = match direction {
            Direction::Transmit => channel.tx.kept()..channel.tx.written(),
            Direction::Receive => channel.rx.kept(),
        };
        let is_longer = self.rings.double(slot, direction, kept.clone())
            || self.reclaim(slot) && self.rings.double(slot, direction, kept);
        if is_longer {
            if direction == Direction::Receive {
                self.channels[slot].rx.outgrow();
            }
            trace!(
                "channel {:#x}: a ring has {} octets now",
                self.channel_id(slot).0,
                self.rings.len(slot, direction)
            );
            self.wake_channel(slot);
        }
        is_longer
    }

    /// The path may be another one: what was measured between the peers is forgotten.
    pub(in crate::session) fn forget_round_trips(&mut self) {
        self.channels.iter_mut().for_each(|channel| channel.tx.forget_round_trips());
    }

    /// Takes the rings of other channels back that they do not use; whether any was.
    fn reclaim(&mut self, but: usize) -> bool {
        let clock = self.core.clock;
        let mut is_any = false;
        for (slot, channel) in self.channels.iter().enumerate().filter(|(slot, _)| *slot != but) {
            for (direction, is_idle) in [
                (Direction::Transmit, channel.is_transmit_idle()),
                (Direction::Receive, channel.is_receive_idle(clock)),
            ] {
                if is_idle && self.rings.is_lent(slot, direction) {
                    self.rings.give_back(slot, direction);
                    is_any = true;
                }
            }
        }
        is_any
    }
}

impl ChannelRecord {
    /// Whether the transmit ring keeps nothing.
    fn is_transmit_idle(&self) -> bool {
        self.tx.kept() >= self.tx.written()
    }

    /// Whether the receive ring keeps nothing, and nothing is about to come. The peer may have been
    /// promised more than the guaranteed ring has: what comes too much is lost, and sent again.
    fn is_receive_idle(&self, now: u64) -> bool {
        self.rx.kept().is_empty() && self.heard_at + IDLE_MS <= now
    }
}
