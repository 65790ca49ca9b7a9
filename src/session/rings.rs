//! The rings of all channels: where each lies, and how long it is.
//!
//! Each direction of each channel has a ring at a guaranteed place. One that is too short is lent a
//! region of the pool of twice its length, again and again, and goes back when it is empty and others
//! want the pool, or when its channel ends.

use core::fmt;
use core::ops::Range;

use super::mode::Mode;
use super::pool::{Extent, Pool};

/// A direction of a channel, as seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Transmit = 0,
    Receive,
}

impl Direction {
    /// Both directions.
    pub const BOTH: [Self; 2] = [Self::Transmit, Self::Receive];
}

/// What a ring has of the pool, and since when it might do without. All zeros: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    extent: Extent,
    /// When a guaranteed ring's octets had moved through it again, in ms, the low half.
    used_at: u32,
}

impl Lease {
    /// The ring lies at its guaranteed place.
    pub const NONE: Self = Self { extent: Extent::GUARANTEED, used_at: 0 };
}

/// All rings, and the pool behind them. All zeros is the initial state.
pub(super) struct Rings<'s, M: Mode> {
    octets: &'s mut [u8],
    /// Of each channel: of its transmit ring, then of its receive ring.
    leases: &'s mut [M::Lease],
    pool: Pool<'s>,
}

/// Without what is in them.
impl<M: Mode> fmt::Debug for Rings<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (octets, leases) = (self.octets.len(), &self.leases);
        f.debug_struct("Rings").field("octets", &octets).field("leases", leases).finish()
    }
}

impl<'s, M: Mode> Rings<'s, M> {
    /// The rings in this memory: the guaranteed ones, then the pool's blocks, each as long as two of
    /// these.
    pub fn new(octets: &'s mut [u8], leases: &'s mut [M::Lease], tree: &'s mut [u8]) -> Self {
        Self { octets, leases, pool: Pool::new(tree) }
    }

    /// The same memory, for a shorter time.
    pub fn reborrow(&mut self) -> Rings<'_, M> {
        Rings { octets: self.octets, leases: self.leases, pool: self.pool.reborrow() }
    }

    /// Octets of each guaranteed ring.
    pub fn guaranteed(&self) -> usize {
        self.octets.len() / (self.leases.len() + 2 * self.pool.blocks())
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

    /// Whether a ring may be doubled once `more` blocks are free. It may take only as much as stays free
    /// behind it (dynamic thresholds, Choudhury and Hahne, 1998), so that early streams leave something
    /// to later ones.
    pub fn may_double(&self, slot: usize, direction: Direction, more: usize) -> bool {
        let wanted = (2 * self.extent(slot, direction).blocks()).max(1);
        (self.pool.blocks() + more).saturating_sub(self.lent_blocks()) >= 2 * wanted
    }

    /// Doubles a ring, which keeps the octets at `kept`; false if the pool has no room for that.
    pub fn double(
        &mut self,
        now: u64,
        slot: usize,
        direction: Direction,
        kept: Range<u64>,
    ) -> bool {
        if !self.may_double(slot, direction, 0) {
            return false;
        }
        let before = self.extent(slot, direction);
        let Some(after) = self.pool.take(before.doublings() + 1) else { return false };
        let old = self.range(slot, direction);
        self.set_lease(slot, direction, Lease { extent: after, used_at: now as u32 });
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
        self.set_lease(slot, direction, Lease::NONE);
    }

    /// Both rings of a channel go back.
    pub fn give_both_back(&mut self, slot: usize) {
        for direction in Direction::BOTH {
            self.give_back(slot, direction);
        }
    }

    /// All rings go back.
    pub fn reset(&mut self) {
        for slot in 0..self.leases.len() / 2 {
            self.give_both_back(slot);
        }
    }

    /// Octets up to `at` moved through a ring, `n` of them now.
    pub fn note_use(&mut self, now: u64, slot: usize, direction: Direction, at: u64, n: usize) {
        let lease = self.lease(slot, direction);
        if !lease.extent.is_lent() {
            return;
        }
        let each = self.guaranteed().trailing_zeros();
        if at >> each != (at - n as u64) >> each {
            self.set_lease(slot, direction, Lease { used_at: now as u32, ..lease });
        }
    }

    /// Blocks that a ring has and could do without: in `idle_ms` less than a guaranteed ring's octets
    /// moved through it.
    pub fn idle_blocks(&self, now: u64, slot: usize, direction: Direction, idle_ms: u32) -> usize {
        let Lease { extent, used_at } = self.lease(slot, direction);
        if (now as u32).wrapping_sub(used_at) >= idle_ms { extent.blocks() } else { 0 }
    }

    /// Octets of the pool that are lent.
    #[cfg(test)]
    pub fn lent(&self) -> usize {
        self.lent_blocks() * 2 * self.guaranteed()
    }

    fn lent_blocks(&self) -> usize {
        self.leases.iter().map(|lease| M::lease(lease).extent.blocks()).sum()
    }

    fn lease(&self, slot: usize, direction: Direction) -> Lease {
        M::lease(&self.leases[2 * slot + direction as usize])
    }

    fn set_lease(&mut self, slot: usize, direction: Direction, to: Lease) {
        M::set_lease(&mut self.leases[2 * slot + direction as usize], to);
    }

    fn extent(&self, slot: usize, direction: Direction) -> Extent {
        self.lease(slot, direction).extent
    }

    fn range(&self, slot: usize, direction: Direction) -> Range<usize> {
        let guaranteed = self.guaranteed();
        let extent = self.extent(slot, direction);
        let start = match extent.is_lent() {
            true => self.leases.len() + 2 * extent.block(),
            false => 2 * slot + direction as usize,
        };
        let start = start * guaranteed;
        start..start + (guaranteed << extent.doublings())
    }
}
