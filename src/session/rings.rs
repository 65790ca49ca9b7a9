//! The rings of all channels: where each lies, and how long it is.
//!
//! Each direction of each channel has a ring at a guaranteed place. One that is too short is lent a
//! region of the pool of twice its length, again and again, and goes back when it is empty and others
//! want the pool, or when its channel ends.

use core::ops::Range;

use super::mode::Mode;
use super::pool::{Extent, Pool};

/// A direction of a channel, as seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Transmit = 0,
    Receive,
}

/// All rings, and the pool behind them. All zeros is the initial state.
#[derive(Debug)]
pub(super) struct Rings<'s, M: Mode> {
    octets: &'s mut [u8],
    /// Of each channel: of its transmit ring, then of its receive ring.
    extents: &'s mut [M::Extent],
    pool: Pool<'s>,
}

impl<'s, M: Mode> Rings<'s, M> {
    /// The rings in this memory: the guaranteed ones, then the pool's blocks, each as long as two of
    /// these.
    pub fn new(octets: &'s mut [u8], extents: &'s mut [M::Extent], tree: &'s mut [u8]) -> Self {
        Self { octets, extents, pool: Pool::new(tree) }
    }

    /// The same memory, for a shorter time.
    pub fn reborrow(&mut self) -> Rings<'_, M> {
        Rings { octets: self.octets, extents: self.extents, pool: self.pool.reborrow() }
    }

    /// Octets of each guaranteed ring.
    pub fn guaranteed(&self) -> usize {
        self.octets.len() / (self.extents.len() + 2 * self.pool.blocks())
    }

    /// Octets of a ring.
    pub fn len(&self, slot: usize, direction: Direction) -> usize {
        self.guaranteed() << self.extent(slot, direction).doublings()
    }

    /// Octets of a ring that has what a channel of this slot has written.
    pub fn transmit(&self, slot: usize) -> &[u8] {
        &self.octets[self.range(slot, Direction::Transmit)]
    }

    pub fn transmit_mut(&mut self, slot: usize) -> &mut [u8] {
        let range = self.range(slot, Direction::Transmit);
        &mut self.octets[range]
    }

    /// A ring of what has come.
    pub fn receive(&self, slot: usize) -> &[u8] {
        &self.octets[self.range(slot, Direction::Receive)]
    }

    pub fn receive_mut(&mut self, slot: usize) -> &mut [u8] {
        let range = self.range(slot, Direction::Receive);
        &mut self.octets[range]
    }

    /// Whether a ring lies in the pool.
    pub fn is_lent(&self, slot: usize, direction: Direction) -> bool {
        self.extent(slot, direction).is_lent()
    }

    /// Doubles a ring, which keeps the octets at `kept`; false if the pool has no room for that. A
    /// ring may take only as much as stays free behind it (dynamic thresholds, Choudhury and Hahne,
    /// 1998), so that the first ones leave something to those that come later.
    pub fn double(&mut self, slot: usize, direction: Direction, kept: Range<u64>) -> bool {
        let before = self.extent(slot, direction);
        let lent: usize = self.extents.iter().map(|e| M::extent(e).blocks()).sum();
        let wanted = (2 * before.blocks()).max(1);
        if self.pool.blocks().saturating_sub(lent) < 2 * wanted {
            return false;
        }
        let Some(after) = self.pool.take(before.doublings() + 1) else { return false };
        let old = self.range(slot, direction);
        M::set_extent(&mut self.extents[2 * slot + direction as usize], after);
        let new = self.range(slot, direction);
        let mut at = kept.start;
        while at < kept.end {
            // Where the old ring wraps the new one may, too.
            let (from, to) = (at as usize & (old.len() - 1), at as usize & (new.len() - 1));
            let n = ((kept.end - at) as usize).min(old.len() - from);
            self.octets.copy_within(old.start + from..old.start + from + n, new.start + to);
            at += n as u64;
        }
        self.pool.give(before);
        true
    }

    /// A ring that keeps nothing goes back to its guaranteed place.
    pub fn give_back(&mut self, slot: usize, direction: Direction) {
        self.pool.give(self.extent(slot, direction));
        M::set_extent(&mut self.extents[2 * slot + direction as usize], Extent::GUARANTEED);
    }

    /// Octets of the pool that are lent.
    #[cfg(test)]
    pub fn lent(&self) -> usize {
        let blocks: usize = self.extents.iter().map(|e| M::extent(e).blocks()).sum();
        blocks * 2 * self.guaranteed()
    }

    fn extent(&self, slot: usize, direction: Direction) -> Extent {
        M::extent(&self.extents[2 * slot + direction as usize])
    }

    fn range(&self, slot: usize, direction: Direction) -> Range<usize> {
        let guaranteed = self.guaranteed();
        let extent = self.extent(slot, direction);
        let start = match extent.is_lent() {
            true => self.extents.len() + 2 * extent.block(),
            false => 2 * slot + direction as usize,
        };
        let start = start * guaranteed;
        start..start + (guaranteed << extent.doublings())
    }
}
