//! The datagrams that wait to be sent.

use core::ops::Range;

use super::{InFlight, Sender};
use crate::session::channel::datagram::{self, HEADER};
use crate::session::channel::ring;
use crate::wire::Window;

impl Sender {
    /// Puts a datagram into the ring, with room for `more` octets behind its bytes; gives where these are,
    /// or `None` if it does not fit.
    pub fn write_datagram(
        &mut self,
        now: u64,
        ring: &mut [u8],
        bytes: &[u8],
        more: usize,
    ) -> Option<Range<u64>> {
        let len = bytes.len() + more;
        if self.room(ring.len()) < HEADER + len {
            return None;
        }
        ring::copy_in(ring, self.end, &datagram::header(len, now));
        let at = self.end + HEADER as u64;
        ring::copy_in(ring, at, bytes);
        self.end = at + len as u64;
        Some(at..at + bytes.len() as u64)
    }

    /// The datagram that stands at offset `at`, or the first one: its length, and where the next
    /// one stands.
    pub fn datagram(&self, ring: &[u8], at: Option<u64>) -> Option<(usize, u64)> {
        let at = at.unwrap_or(self.una);
        (at < self.end).then(|| {
            let (len, _) = datagram::read_header(ring, at);
            (len, at + (HEADER + len) as u64)
        })
    }

    /// A body takes the first `count` datagrams; `asks` is whether they are to be acknowledged.
    pub fn take_datagrams(&mut self, count: u64, asks: bool) {
        self.in_flight = InFlight::From { rewind: false, first: self.una };
        self.next = self.una;
        self.numbers.staged = self.numbers.front;
        let after = self.numbers.front + count;
        self.high = self.high.max(after);
        if asks {
            self.numbers.asked = self.numbers.asked.max(after);
        }
    }

    /// Puts the next datagram of `bytes` octets into the body under way: its number, and where its
    /// octets stand. Datagrams go out in the order of the ring.
    pub fn stage_datagram(&mut self, bytes: u32) -> (u64, u64) {
        let number = self.numbers.staged;
        self.numbers.staged += 1;
        let at = self.next + HEADER as u64;
        self.next = at + u64::from(bytes);
        (number, at)
    }

    /// The first datagram leaves the ring; false if it must stay, as one before it got no verdict.
    pub fn leave(&mut self, bytes: u32) -> bool {
        let stays = matches!(self.in_flight, InFlight::From { rewind: true, .. });
        if !stays {
            self.drop_front(bytes as usize);
        }
        !stays
    }

    /// The first datagram is given up as none that the peer takes; false if it must stay.
    pub fn give_up(&mut self, bytes: u32) -> bool {
        let leaves = self.leave(bytes);
        self.lost = self.lost.saturating_add(leaves.into());
        leaves
    }

    fn drop_front(&mut self, len: usize) {
        self.una += (HEADER + len) as u64;
        self.numbers.front += 1;
    }

    /// The datagrams of the body under way stay in the ring from here on.
    pub fn keep_rest(&mut self) {
        if let InFlight::From { rewind, .. } = &mut self.in_flight {
            *rewind = true;
        }
    }

    /// The send with datagrams of this channel is over.
    pub fn land_datagrams(&mut self) {
        self.in_flight = InFlight::Nothing;
        self.next = self.una;
    }

    /// Drops the datagrams that were queued `life_ms` ago or earlier, unless one is being sent, and
    /// gives how many.
    pub fn expire(&mut self, now: u64, ring: &[u8], life_ms: u32) -> u32 {
        if self.is_flying() {
            return 0;
        }
        let mut count = 0;
        while self.una < self.end {
            let (len, queued) = datagram::read_header(ring, self.una);
            if (now as u32).wrapping_sub(queued) < life_ms {
                break;
            }
            self.drop_front(len);
            count += 1;
        }
        self.lost = self.lost.saturating_add(count);
        if count > 0 {
            self.next = self.una;
        }
        count
    }

    /// When the first datagram was queued, in the low half of the clock's ms, if it may expire.
    pub fn queued_at(&self, ring: &[u8]) -> Option<u32> {
        let waits = self.una < self.end && !self.is_flying();
        waits.then(|| datagram::read_header(ring, self.una).1)
    }

    /// The peer told how far it is with datagrams.
    pub fn on_datagram_window(&mut self, window: &Window) {
        let numbers = &mut self.numbers;
        numbers.acked = numbers.acked.max(window.ack.min(numbers.asked));
    }
}
