//! Channels of a build without encryption: what the application writes is what is in the rings.

use super::ChannelRecord;

/// How a channel is protected: it is not.
#[derive(Debug)]
pub struct Seal;

impl Seal {
    /// The initial state.
    #[allow(non_upper_case_globals)]
    pub const Plain: Self = Self;
}

/// A record did not verify, which there is none of here.
#[derive(Debug, PartialEq, Eq)]
pub struct Tampered;

#[allow(missing_docs)]
impl ChannelRecord {
    pub const fn is_encrypted(&self) -> bool {
        false
    }

    pub fn handshake_len(&self) -> Option<usize> {
        None
    }

    pub fn confirms(&self) -> Option<usize> {
        None
    }

    pub fn confirmation_len(&self) -> Option<usize> {
        None
    }

    pub fn confirmed(&mut self) {}

    pub fn confirm_again(&mut self) {}

    pub const fn tail(&self) -> u64 {
        0
    }

    pub fn room(&self, ring: usize) -> usize {
        self.tx.room(ring)
    }

    #[inline]
    pub fn write(&mut self, ring: &mut [u8], bytes: &[u8]) -> usize {
        self.tx.write(ring, bytes)
    }

    pub fn shut(&mut self, _ring: &mut [u8]) -> bool {
        self.tx.shut()
    }

    #[inline]
    pub fn read(&mut self, ring: &mut [u8], out: &mut [u8]) -> Result<usize, Tampered> {
        Ok(self.rx.read(ring, out))
    }

    pub fn is_ready(&self, _ring: &[u8]) -> bool {
        self.rx.readable() > 0 || self.rx.has_fin()
    }

    pub fn is_drained(&self, _ring: &[u8]) -> bool {
        self.rx.readable() == 0
    }

    pub fn has_ended(&self) -> Option<bool> {
        Some(self.rx.has_fin())
    }

    pub fn offsets(&self, _ring: &[u8]) -> [u64; 4] {
        let (tx, rx) = (&self.tx, &self.rx);
        [tx.acked(), tx.written(), rx.received(), rx.read_to()]
    }

    pub fn acknowledge(&mut self, _ring: &[u8], _ack: u64) {}

    pub fn window(&self) -> u64 {
        self.tx.limit()
    }

    pub fn acked(&self) -> u64 {
        self.tx.acked()
    }

    pub fn octets_before(&self, _ring: &[u8], offset: u64) -> u64 {
        offset
    }

    pub const fn datagram_tag(&self) -> usize {
        0
    }

    pub fn write_datagram(&mut self, now: u64, ring: &mut [u8], bytes: &[u8]) -> bool {
        self.tx.write_datagram(now, ring, bytes, 0).is_some()
    }

    pub fn datagram_len(&self, len: usize) -> Option<usize> {
        Some(len)
    }

    pub fn read_datagram(&mut self, ring: &[u8], out: &mut [u8]) -> bool {
        self.rx.read_datagram(ring, out, &mut []);
        true
    }
}
