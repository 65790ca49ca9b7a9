//! Bytes that look random and are the same each time.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

/// Octets written or read at once.
const BLOCK: usize = 64 * 1024;

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// A stream of bytes that follows from a seed (xorshift64).
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn fill(&mut self, out: &mut [u8]) {
        for word in out.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes()[..word.len()]);
        }
    }

    /// Writes `len` bytes, and gives their hash.
    pub fn write(&mut self, mut to: impl Write, len: usize) -> io::Result<Hash> {
        let (mut hash, mut block) = (Sha256::new(), vec![0; BLOCK]);
        let mut left = len;
        while left > 0 {
            let n = left.min(BLOCK);
            self.fill(&mut block[..n]);
            hash.update(&block[..n]);
            to.write_all(&block[..n])?;
            left -= n;
        }
        Ok(hash.finalize().into())
    }
}

/// Reads to the end; calls `at` with the number of octets so far. Gives that number and the hash.
pub fn read_all(mut from: impl Read, mut at: impl FnMut(usize)) -> io::Result<(usize, Hash)> {
    let (mut hash, mut block, mut len) = (Sha256::new(), vec![0; BLOCK], 0);
    loop {
        match from.read(&mut block)? {
            0 => return Ok((len, hash.finalize().into())),
            n => {
                hash.update(&block[..n]);
                len += n;
                at(len);
            }
        }
    }
}
