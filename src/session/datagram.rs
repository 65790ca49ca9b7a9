//! Datagrams: each stands in a ring behind a header of its length and the time it was queued.

use super::channel::Channel;
use super::{ChannelId, Mode, Session, ring};
use crate::Kind;
use crate::error::{ConfigError, Error};
use crate::wire::MAX_DATAGRAM;

/// Octets before each datagram in a ring: length (2), low half of the time queued in ms (4).
pub(super) const HEADER: usize = 6;

pub(super) fn header(len: usize, now: u64) -> [u8; HEADER] {
    let [a, b] = (len as u16).to_be_bytes();
    let [c, d, e, f] = (now as u32).to_be_bytes();
    [a, b, c, d, e, f]
}

/// Length and time queued of the datagram at `at`.
pub(super) fn read_header(ring: &[u8], at: u64) -> (usize, u32) {
    let mut h = [0; HEADER];
    ring::copy_out(ring, at, &mut h);
    (u16::from_be_bytes([h[0], h[1]]).into(), u32::from_be_bytes([h[2], h[3], h[4], h[5]]))
}

/// Whether `number` was not seen before; at most once each.
pub(super) fn is_new(channel: &Channel, number: u64) -> bool {
    let rx = &channel.rx;
    match rx.number.checked_sub(number + 1) {
        None => true,
        Some(age) => age < 64 && rx.seen >> age & 1 == 0,
    }
}

/// Notes that `number` was seen.
pub(super) fn note(channel: &mut Channel, number: u64) {
    let rx = &mut channel.rx;
    match rx.number.checked_sub(number + 1) {
        None => {
            let by = number + 1 - rx.number;
            rx.seen = if by < 64 { rx.seen << by | 1 } else { 1 };
            rx.number = number + 1;
        }
        Some(age) if age < 64 => rx.seen |= 1 << age,
        Some(_) => {}
    }
}

impl<M: Mode> Session<'_, M> {
    /// Queues a datagram; false while there is no room.
    ///
    /// # Errors
    /// `DatagramTooLong`, `Unsupported` on a stream, or what ended the channel.
    pub fn send_datagram(&mut self, now: u64, id: ChannelId, bytes: &[u8]) -> Result<bool, Error> {
        let slot = self.writable(id, Kind::Datagram)?;
        let max = self.max_datagram(id)?;
        if bytes.len() > max {
            return Err(ConfigError::DatagramTooLong { max }.into());
        }
        let len = self.ring_len();
        let (tx_ring, _) = self.rings_of(slot);
        let channel = &mut self.channels[slot];
        let size = HEADER + bytes.len();
        if channel.tx.room(len) < size {
            return Ok(false);
        }
        let at = &mut self.rings[tx_ring];
        ring::copy_in(at, channel.tx.end, &header(bytes.len(), now));
        ring::copy_in(at, channel.tx.end + HEADER as u64, bytes);
        channel.tx.end += size as u64;
        self.watch(now, slot);
        self.core.wake_send();
        Ok(true)
    }

    /// Takes the next datagram; `None` while there is none.
    ///
    /// # Errors
    /// `BufferTooSmall` (the datagram stays), `Unsupported` on a stream, or what ended the channel
    /// once everything received was taken.
    pub fn recv_datagram(
        &mut self,
        _now: u64,
        id: ChannelId,
        out: &mut [u8],
    ) -> Result<Option<usize>, Error> {
        let slot = self.held(id)?;
        self.expect_kind(slot, Kind::Datagram)?;
        let (_, rx_ring) = self.rings_of(slot);
        let channel = &mut self.channels[slot];
        if channel.rx.readable() == 0 {
            return channel.error().map_or(Ok(None), Err);
        }
        let ring = &self.rings[rx_ring];
        let (len, _) = read_header(ring, channel.rx.read);
        let Some(out) = out.get_mut(..len) else {
            return Err(ConfigError::BufferTooSmall { len }.into());
        };
        ring::copy_out(ring, channel.rx.read + HEADER as u64, out);
        channel.rx.read += (HEADER + len) as u64;
        Ok(Some(len))
    }

    /// Most octets of a datagram on this channel: what fits the smaller of both ends' rings.
    ///
    /// # Errors
    /// `Unsupported` on a stream, `Closed` if the channel is closed.
    pub fn max_datagram(&self, id: ChannelId) -> Result<usize, Error> {
        let slot = self.held(id)?;
        self.expect_kind(slot, Kind::Datagram)?;
        let theirs = usize::try_from(self.channels[slot].tx.limit).unwrap_or(usize::MAX);
        let ring = match theirs {
            0 => self.ring_len(),
            theirs => theirs.min(self.ring_len()),
        };
        let most = if M::SINGLE { super::plan::MAX_SINGLE_DATA } else { MAX_DATAGRAM };
        Ok(ring.saturating_sub(HEADER).min(most))
    }

    /// Whether a datagram is the next of its channel that fits no request which is park and send at
    /// once.
    pub(super) fn is_bulky(&self) -> bool {
        let several = self.several_peers(self.core.clock);
        (0..self.channels.len()).any(|slot| {
            if self.channels[slot].kind != Kind::Datagram || !self.has_data(slot, several) {
                return false;
            }
            let (tx_ring, _) = self.rings_of(slot);
            let (len, _) = read_header(&self.rings[tx_ring], self.channels[slot].tx.una);
            len > super::plan::MAX_SINGLE_DATA
        })
    }

    /// Drops the datagrams that have waited too long, unless one is being sent.
    pub(super) fn expire_datagrams(&mut self, now: u64, slot: usize) {
        let life = self.core.timers().datagram_life_ms;
        let (tx_ring, _) = self.rings_of(slot);
        let tx = &mut self.channels[slot].tx;
        if tx.flying {
            return;
        }
        let before = tx.una;
        while tx.una < tx.end {
            let (len, queued) = read_header(&self.rings[tx_ring.clone()], tx.una);
            if (now as u32).wrapping_sub(queued) < life {
                break;
            }
            tx.una += (HEADER + len) as u64;
            tx.number += 1;
            tx.lost = tx.lost.saturating_add(1);
            self.core.count(|stats| stats.datagrams_lost += 1);
        }
        if tx.una != before {
            tx.next = tx.una;
            self.wake_channel(slot);
            self.finish_if_done(now, slot);
        }
    }

    /// When the oldest datagram expires; 0: none waits.
    pub(super) fn datagram_expiry(&self, slot: usize) -> u64 {
        let tx = &self.channels[slot].tx;
        if tx.una >= tx.end || tx.flying {
            return 0;
        }
        let (tx_ring, _) = self.rings_of(slot);
        let (_, queued) = read_header(&self.rings[tx_ring], tx.una);
        let life = self.core.timers().datagram_life_ms;
        // The time queued lies at most `life` before the clock seen last.
        let age = (self.core.clock as u32).wrapping_sub(queued);
        (self.core.clock + u64::from(life)).saturating_sub(age.into())
    }
}
