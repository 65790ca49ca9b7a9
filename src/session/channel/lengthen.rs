//! Rings that grow, and lend their regions back when others want the pool.

use super::ChannelRecord;
use crate::session::mode::Mode;
use crate::session::rings::Direction;
use crate::session::view::Session;
use crate::trace::trace;

/// A lent ring through which less than its guaranteed length moved in so long, in ms, may go back: so
/// slow a stream needs no longer one, and a fast one does not pause for so long.
const IDLE_MS: u32 = 2_000;

impl<M: Mode> Session<'_, M> {
    /// Doubles a ring of a stream, if the pool has room for that, perhaps as idle rings go back. Whether
    /// it did.
    pub(in crate::session) fn lengthen(&mut self, slot: usize, direction: Direction) -> bool {
        let channel = &self.channels[slot];
        let kept = match direction {
            Direction::Transmit => channel.tx.kept()..channel.tx.written(),
            Direction::Receive => channel.rx.kept(),
        };
        let now = self.core.clock;
        let is_longer = self.rings.double(now, slot, direction, kept.clone())
            || self.reclaim(slot, direction) && self.rings.double(now, slot, direction, kept);
        if is_longer {
            if direction == Direction::Receive {
                self.channels[slot].rx.outgrow(self.rings.len(slot, direction));
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

    /// Takes rings back that others do not use, as many as this one needs to be doubled: none if all
    /// would not do. Whether it may be doubled now.
    fn reclaim(&mut self, slot: usize, direction: Direction) -> bool {
        let count = self.channels.len();
        let all = || (0..count).flat_map(|at| Direction::BOTH.map(|way| (at, way)));
        let blocks = all().map(|(at, way)| self.idle_blocks(at, way)).sum();
        if !self.rings.may_double(slot, direction, blocks) {
            return false;
        }
        for (at, way) in all() {
            if self.rings.may_double(slot, direction, 0) {
                break;
            }
            if self.idle_blocks(at, way) > 0 {
                self.rings.give_back(at, way);
            }
        }
        true
    }

    /// Blocks of the pool that a ring has and does not use.
    fn idle_blocks(&self, slot: usize, direction: Direction) -> usize {
        match self.channels[slot].is_idle_ring(direction) {
            true => self.rings.idle_blocks(self.core.clock, slot, direction, IDLE_MS),
            false => 0,
        }
    }
}

impl ChannelRecord {
    /// Whether a transmit ring of `ring` octets is full, and less than so many `times` what keeps the path
    /// busy.
    pub fn is_ring_short(&self, ring: usize, times: u64) -> bool {
        self.room(ring) == 0 && self.tx.is_ring_short(ring, times)
    }

    /// Whether a ring keeps nothing that is needed. The peer may have been promised more than the
    /// guaranteed ring has: what is too much then is lost, and sent again.
    fn is_idle_ring(&self, direction: Direction) -> bool {
        match direction {
            Direction::Transmit if self.is_over() => !self.is_flying(),
            Direction::Transmit => self.tx.kept() >= self.tx.written(),
            Direction::Receive => self.rx.kept().is_empty(),
        }
    }
}
