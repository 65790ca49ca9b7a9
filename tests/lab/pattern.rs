//! Content that shows every byte that is lost, doubled or of another channel.

/// The content of one direction of one channel.
#[derive(Debug, Clone, Copy)]
pub struct Pattern(u64);

impl Pattern {
    /// Content that differs with seed, channel and direction.
    pub fn new(seed: u64, channel: u64, direction: u64) -> Self {
        Self(mix(seed ^ mix(channel << 8 | direction)))
    }

    /// Fills `out` with the content from byte `offset` on.
    pub fn fill(self, offset: u64, out: &mut [u8]) {
        let mut at = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let word = mix(self.0 ^ (at / 8)).to_le_bytes();
            let skip = (at % 8) as usize;
            let n = rest.len().min(8 - skip);
            rest[..n].copy_from_slice(&word[skip..skip + n]);
            rest = &mut rest[n..];
            at += n as u64;
        }
    }

    /// The first offset at which `bytes`, from `offset` on, differ from the content.
    pub fn first_wrong(self, offset: u64, bytes: &[u8]) -> Option<u64> {
        let mut right = vec![0; bytes.len()];
        self.fill(offset, &mut right);
        let at = bytes.iter().zip(&right).position(|(byte, right)| byte != right)?;
        Some(offset + at as u64)
    }

    /// A number that follows from this content and `n`.
    pub fn number(self, n: u64) -> u64 {
        mix(self.0 ^ mix(n))
    }
}

/// The finaliser of SplitMix64.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
