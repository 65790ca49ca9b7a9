//! Datagrams in a ring: each stands behind a header of its length and the time it was queued, or, where it
//! came, its number.

use super::ring;

/// Octets before each datagram in a ring: length (2), low half of the time queued in ms, or of the number (4).
pub const HEADER: usize = 6;

/// The header of a datagram of `len` octets.
pub fn header(len: usize, mark: u64) -> [u8; HEADER] {
    let [a, b] = (len as u16).to_be_bytes();
    let [c, d, e, f] = (mark as u32).to_be_bytes();
    [a, b, c, d, e, f]
}

/// Length of the datagram at `at`, and low half of its time or number.
#[inline(never)]
pub fn read_header(ring: &[u8], at: u64) -> (usize, u32) {
    let mut h = [0; HEADER];
    ring::copy_out(ring, at, &mut h);
    (u16::from_be_bytes([h[0], h[1]]).into(), u32::from_be_bytes([h[2], h[3], h[4], h[5]]))
}
