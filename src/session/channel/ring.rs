//! Rings: octet `at` of a stream lies at `at` modulo the ring's length, a power of two.

/// Index of an absolute offset. Truncation is harmless: the length divides 2^32.
const fn index(ring: &[u8], at: u64) -> usize {
    at as usize & (ring.len() - 1)
}

/// Copies `bytes` (at most the ring's length) to offset `at`.
pub fn copy_in(ring: &mut [u8], at: u64, bytes: &[u8]) {
    let start = index(ring, at);
    let first = bytes.len().min(ring.len() - start);
    ring[start..start + first].copy_from_slice(&bytes[..first]);
    ring[..bytes.len() - first].copy_from_slice(&bytes[first..]);
}

/// The octets from offset `at` on, `len` of them: the second piece is what lies behind the ring's end.
#[cfg(feature = "secure")]
pub fn pieces_mut(ring: &mut [u8], at: u64, len: usize) -> [&mut [u8]; 2] {
    let start = index(ring, at);
    let (before, behind) = ring.split_at_mut(start);
    let first = len.min(behind.len());
    [&mut behind[..first], &mut before[..len - first]]
}

/// Copies from offset `at` until `out` (at most the ring's length) is full.
pub fn copy_out(ring: &[u8], at: u64, out: &mut [u8]) {
    let start = index(ring, at);
    let first = out.len().min(ring.len() - start);
    let rest = out.len() - first;
    out[..first].copy_from_slice(&ring[start..start + first]);
    out[first..].copy_from_slice(&ring[..rest]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_at_every_position() {
        for at in 0..16 {
            let mut ring = [0; 8];
            copy_in(&mut ring, at, b"abcdefgh");
            let mut out = [0; 8];
            copy_out(&ring, at, &mut out);
            assert_eq!(&out, b"abcdefgh");
            let mut tail = [0; 3];
            copy_out(&ring, at + 5, &mut tail);
            assert_eq!(&tail, b"fgh");
        }
    }
}
