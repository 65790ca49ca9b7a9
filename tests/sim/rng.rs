//! Random numbers and random content, which follow from the seed.

/// The generator SplitMix64.
#[derive(Debug, Clone)]
pub struct Rng(u64);

fn mix(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x5eed))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Draws evenly from 0 to `n - 1`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// Draws evenly from `from` to `to`, both included.
    pub fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// Draws from 0 to `most`, each power of two as likely: small numbers often, large ones
    /// sometimes.
    pub fn scale(&mut self, most: u64) -> u64 {
        let bits = self.below(u64::from(most.ilog2()) + 2);
        self.below((1 << bits) + 1).min(most)
    }

    /// Gives true in `per_mille` of 1,000 cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// Octets `at..` of the content that `key` names.
pub fn fill(key: u64, at: u64, out: &mut [u8]) {
    let word = |n: u64| mix(key ^ mix(n)).to_le_bytes();
    // Octets up to a boundary of 8, then whole words, then the rest.
    let (head, body) = out.split_at_mut(out.len().min((at.next_multiple_of(8) - at) as usize));
    head.copy_from_slice(&word(at >> 3)[(at & 7) as usize..][..head.len()]);
    for (n, to) in (at.div_ceil(8)..).zip(body.chunks_mut(8)) {
        to.copy_from_slice(&word(n)[..to.len()]);
    }
}
