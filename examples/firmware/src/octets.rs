//! What goes over the channel: octets that follow from their place and direction.

/// A place in the pattern.
#[derive(Clone, Copy)]
pub struct Pattern {
    /// Octets before this place.
    pub count: u32,
    direction: u32,
}

impl Pattern {
    /// The beginning; 0: what the device sends, 1: what it gets.
    pub const fn new(direction: u32) -> Self {
        Self { count: 0, direction }
    }

    fn octet(&self) -> u8 {
        // Fibonacci hashing: the multiplier is 2^32 over the golden ratio.
        ((self.count * 2 + self.direction).wrapping_mul(0x9e37_79b9) >> 24) as u8
    }

    /// So many octets further.
    pub fn skip(&mut self, octets: usize) {
        self.count += octets as u32;
    }

    /// Writes the next octets of [`TOTAL`](super::TOTAL) to `out`, and gives those.
    pub fn fill<'o>(&mut self, out: &'o mut [u8]) -> &'o [u8] {
        let mut len = 0;
        for octet in out.iter_mut() {
            if self.count == super::TOTAL {
                break;
            }
            *octet = self.octet();
            self.count += 1;
            len += 1;
        }
        out.get(..len).unwrap_or_default()
    }

    /// Whether `octets` come next; they are behind this place then.
    pub fn matches(&mut self, octets: &[u8]) -> bool {
        octets.iter().all(|octet| {
            let same = *octet == self.octet();
            self.count += 1;
            same
        })
    }
}
