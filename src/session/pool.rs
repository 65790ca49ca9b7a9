//! The pool: memory that is lent to rings that are too short, and how it is divided.
//!
//! It is a buddy system (Knuth, The Art of Computer Programming, volume 1, section 2.5) over blocks of
//! twice a guaranteed ring. Its state is a binary tree of octets: node 1 is the root, the children of
//! node `n` are `2n` and `2n + 1`, and the leaves are the blocks. A node says how many doublings the
//! longest free region below it lacks to the node's own length, and one more if none is free: all
//! zeros is a pool of which nothing is lent.

/// Most blocks of a pool: their numbers fit 16 bits.
pub const MAX_BLOCKS: usize = 1 << 16;

/// Where a ring lies. All zeros is its guaranteed place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first of its blocks in the pool, if it lies there.
    block: u16,
    /// How often the guaranteed length was doubled.
    doublings: u8,
}

impl Extent {
    /// The guaranteed place of a ring.
    pub const GUARANTEED: Self = Self { block: 0, doublings: 0 };

    /// Whether it is lent.
    pub const fn is_lent(self) -> bool {
        self.doublings > 0
    }

    /// How often the guaranteed length was doubled.
    pub const fn doublings(self) -> u8 {
        self.doublings
    }

    /// The first of its blocks, if it is lent.
    pub const fn block(self) -> usize {
        self.block as usize
    }

    /// Blocks of the pool that it takes.
    pub const fn blocks(self) -> usize {
        if self.doublings > 0 { 1 << (self.doublings - 1) } else { 0 }
    }

    /// The doublings of a region above a block.
    const fn order(self) -> u32 {
        self.doublings as u32 - 1
    }
}

/// A view of the pool's tree: two octets for each block, none without a pool.
#[derive(Debug)]
pub struct Pool<'p>(&'p mut [u8]);

impl<'p> Pool<'p> {
    /// The pool whose state this is; its length is twice a power of two, or 0.
    pub fn new(tree: &'p mut [u8]) -> Self {
        Self(tree)
    }

    /// The same pool, for a shorter time.
    pub fn reborrow(&mut self) -> Pool<'_> {
        Pool(self.0)
    }

    /// Octets of the state of a pool of so many blocks.
    pub const fn state_len(blocks: usize) -> usize {
        2 * blocks
    }

    /// Blocks of the pool.
    pub const fn blocks(&self) -> usize {
        self.0.len() / 2
    }

    /// Takes a region for a ring that was doubled so often, at the lowest place that is free; `None`
    /// if no place is.
    pub fn take(&mut self, doublings: u8) -> Option<Extent> {
        let order = u32::from(doublings.checked_sub(1)?);
        let mut height = self.blocks().checked_ilog2()?;
        if !self.has(1, height, order) {
            return None;
        }
        let mut node = 1;
        while height > order {
            height -= 1;
            node *= 2;
            if !self.has(node, height, order) {
                node += 1;
            }
        }
        self.note(node, height as u8 + 1);
        let block = (node << height) - self.blocks();
        Some(Extent { block: u16::try_from(block).ok()?, doublings })
    }

    /// Gives a region back that was taken.
    pub fn give(&mut self, extent: Extent) {
        if extent.is_lent() {
            let height = extent.order();
            let node = (self.blocks() + extent.block()) >> height;
            debug_assert_eq!(self.0.get(node), Some(&(height as u8 + 1)), "{extent:?} is not lent");
            self.note(node, 0);
        }
    }

    /// Whether a region of `order` is free below a node.
    fn has(&self, node: usize, height: u32, order: u32) -> bool {
        self.0.get(node).is_some_and(|lacks| order + u32::from(*lacks) <= height)
    }

    /// Writes a node, and those above it.
    fn note(&mut self, mut node: usize, lacks: u8) {
        let Some(place) = self.0.get_mut(node) else { return };
        *place = lacks;
        while node > 1 {
            node /= 2;
            let (left, right) = (self.0[2 * node], self.0[2 * node + 1]);
            // A half that is free as a whole lacks one doubling to the node.
            self.0[node] = if left == 0 && right == 0 { 0 } else { left.min(right) + 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lowest_free_region_is_taken_first() {
        let mut tree = [0; Pool::state_len(8)];
        let mut pool = Pool::new(&mut tree);
        let [a, b, c] = [1, 2, 1].map(|doublings| pool.take(doublings).unwrap());
        assert_eq!([a, b, c].map(Extent::block), [0, 2, 1]);
        pool.give(a);
        assert_eq!(pool.take(1).unwrap().block(), 0);
    }

    #[test]
    fn pool_with_everything_given_back_is_all_zeros() {
        let mut tree = [0; Pool::state_len(4)];
        let mut pool = Pool::new(&mut tree);
        assert_eq!(pool.take(4), None);
        let whole = pool.take(3).unwrap();
        assert_eq!(pool.take(1), None);
        pool.give(whole);
        assert_eq!(tree, [0; 8]);
    }

    #[test]
    fn pool_of_no_blocks_lends_nothing() {
        assert_eq!(Pool::new(&mut []).take(1), None);
    }

    proptest! {
        #[test]
        fn regions_never_overlap_and_merge_again(
            height in 0_u32..7,
            calls in proptest::collection::vec((any::<bool>(), 1_u8..8, any::<usize>()), 0..200),
        ) {
            let blocks = 1_usize << height;
            let mut tree = vec![0; Pool::state_len(blocks)];
            let mut pool = Pool::new(&mut tree);
            let mut lent: Vec<Extent> = Vec::new();
            for (takes, doublings, which) in calls {
                let is_taken = |block: usize, n: usize| {
                    lent.iter().any(|e| e.block() < block + n && block < e.block() + e.blocks())
                };
                if takes {
                    let n = 1 << (doublings - 1);
                    let free = (0..blocks).step_by(n).find(|at| at + n <= blocks && !is_taken(*at, n));
                    let extent = pool.take(doublings);
                    prop_assert_eq!(extent.map(Extent::block), free);
                    lent.extend(extent);
                } else if !lent.is_empty() {
                    let at = which % lent.len();
                    pool.give(lent.swap_remove(at));
                }
            }
            for extent in lent {
                pool.give(extent);
            }
            prop_assert!(tree.iter().all(|octet| *octet == 0));
        }
    }
}
