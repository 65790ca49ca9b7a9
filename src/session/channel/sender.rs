//! The sending direction of a channel: what the application wrote and the peer has not acknowledged.
//!
//! Offsets are absolute. FIN takes the offset behind the last byte. On a datagram channel offsets
//! count octets of the ring, where each datagram stands behind its header.

mod datagrams;

use core::num::NonZeroU64;

use super::ring;
use super::round_trips::{RoundTrip, RoundTrips};
use crate::Kind;
use crate::wire::{DataFlags, Window};

/// What of the channel is in the body of the send under way.
///
/// ```text
///            a body takes data               a loss is told, or a datagram got no verdict
///   Nothing ──────────────────▶ From ─────────────────────────────▶ From, rewind
///      ▲                          │ that send is over                   │ that send is over:
///      └──────────────────────────┴─────────────────────────────────────┘ all goes again
/// ```
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum InFlight {
    Nothing = 0,
    /// Data from offset `first` on; with `rewind` everything unacknowledged goes again after it.
    From {
        rewind: bool,
        first: u64,
    },
}

/// A round trip that is being measured: it ends when `end` is acknowledged.
#[derive(Debug, Clone, Copy)]
struct Timed {
    end: NonZeroU64,
    since: u64,
    /// What was acknowledged when it began.
    una: u64,
}

/// Which datagrams are where, by their numbers.
#[derive(Debug)]
#[repr(C)]
struct Numbers {
    /// The one at `una`.
    front: u64,
    /// The next one to be put into the body under way.
    staged: u64,
    /// The first one that was not sent with ACK_NOW.
    asked: u64,
    /// The first one that was not acknowledged.
    acked: u64,
}

/// Bytes of a stream that go with one body.
#[derive(Debug)]
pub struct Segment {
    /// How many there are.
    pub bytes: u32,
    /// Flags of their message.
    pub flags: DataFlags,
    /// Offsets among them that were sent before.
    pub again: u64,
    /// Bytes among them that were not.
    pub fresh: u64,
    /// Nothing of it was sent before.
    pub is_new: bool,
}

/// What an acknowledgement changed.
#[derive(Debug)]
pub struct Progress {
    /// Something was acknowledged for the first time.
    pub advanced: bool,
    /// The first offset that did not fit into the peer's ring, if that is news.
    pub overflow: Option<u64>,
}

/// The sending direction. `una ≤ next ≤ high`, and `una ≤ end` but for FIN. All zeros is the
/// initial state.
#[derive(Debug)]
#[repr(C)]
pub struct Sender {
    /// FIN stands at `end`.
    fin: bool,
    /// The application was not told yet of the last overflow.
    overflow_untold: bool,
    /// ACK_NOW is wanted for everything written so far.
    want_ack: bool,
    /// The peer said DONE: it waits for nothing more.
    peer_done: bool,
    /// Highest `losses` that the peer told.
    losses: u32,
    overflows: u32,
    lost: u32,
    /// First offset not acknowledged.
    una: u64,
    /// First offset not sent, or to be sent again.
    next: u64,
    /// First offset never sent. Datagrams: first number.
    high: u64,
    /// First offset without a DELIVERED verdict.
    delivered: u64,
    /// First offset not written by the application.
    end: u64,
    /// First offset that the peer would not take.
    limit: u64,
    in_flight: InFlight,
    /// Highest `overflow` that the peer told, as the wire has it.
    overflow: u64,
    timed: Option<Timed>,
    numbers: Numbers,
    retransmitted: u64,
    round_trips: RoundTrips,
}

impl Sender {
    pub const fn new() -> Self {
        Self {
            fin: false,
            overflow_untold: false,
            want_ack: false,
            peer_done: false,
            losses: 0,
            overflows: 0,
            lost: 0,
            una: 0,
            next: 0,
            high: 0,
            delivered: 0,
            end: 0,
            limit: 0,
            in_flight: InFlight::Nothing,
            overflow: 0,
            timed: None,
            numbers: Numbers { front: 0, staged: 0, asked: 0, acked: 0 },
            retransmitted: 0,
            round_trips: RoundTrips::new(),
        }
    }

    /// The offset to be acknowledged when everything is.
    pub const fn goal(&self) -> u64 {
        self.end + self.fin as u64
    }

    /// First offset that is not acknowledged.
    pub const fn acked(&self) -> u64 {
        self.una
    }

    /// First offset that the application has not written.
    pub const fn written(&self) -> u64 {
        self.end
    }

    /// First offset that the peer would not take; of datagrams, octets of its ring.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Offsets sent again, in all.
    pub const fn retransmitted(&self) -> u64 {
        self.retransmitted
    }

    /// Overflows that the peer told.
    pub const fn overflows(&self) -> u32 {
        self.overflows
    }

    /// Datagrams that were dropped unsent.
    pub const fn lost(&self) -> u32 {
        self.lost
    }

    /// Whether the application ended this direction.
    pub const fn is_shut(&self) -> bool {
        self.fin
    }

    /// Whether the peer is known to wait for nothing more.
    pub const fn is_peer_done(&self) -> bool {
        self.peer_done
    }

    /// Whether everything is acknowledged, FIN with the rest.
    pub const fn is_acked(&self) -> bool {
        self.una >= self.goal()
    }

    /// Whether bytes before the last `tail` are not acknowledged.
    pub const fn has_unacked_bytes(&self, tail: u64) -> bool {
        self.una + tail < self.end
    }

    /// Whether the relay passed everything on, or the peer has it.
    pub fn is_flushed(&self) -> bool {
        self.delivered.max(self.una) >= self.end
    }

    /// Whether nothing but the acknowledgement of FIN, and of the last `tail` bytes before it, is missing.
    pub const fn lacks_only_fin(&self, tail: u64) -> bool {
        self.high > self.end && self.una + tail >= self.end
    }

    /// Whether this offset was sent at some time; the offset behind the last one was, too.
    pub const fn has_sent(&self, offset: u64) -> bool {
        offset <= self.high
    }

    /// Whether something is not sent yet, or is to be sent again.
    pub const fn has_unsent(&self) -> bool {
        self.next < self.goal()
    }

    /// Octets written and not sent yet, or to be sent again.
    pub const fn unsent(&self) -> u64 {
        self.end.saturating_sub(self.next)
    }

    /// Whether what may be sent is little, while most of the window is under way, so that more will follow
    /// soon: a silly segment (RFC 1122, section 4.2.3.4).
    pub fn is_little(&self, ring: usize) -> bool {
        let window = self.limit.saturating_sub(self.una).min(ring as u64);
        let available = self.end.min(self.limit).saturating_sub(self.next);
        let under_way = self.next.saturating_sub(self.una);
        let is_urgent = self.fin || self.want_ack || self.next < self.high;
        available < window / 4 && under_way >= window / 2 && !is_urgent
    }

    /// Whether data of it is in the body of the send under way.
    const fn is_flying(&self) -> bool {
        matches!(self.in_flight, InFlight::From { .. })
    }

    /// Whether a body may take data now.
    pub fn has_data(&self, kind: Kind) -> bool {
        !self.is_flying()
            && match kind {
                Kind::Stream => {
                    self.next < self.end.min(self.limit) || self.fin && self.next == self.end
                }
                Kind::Datagram => self.una < self.end,
            }
    }

    /// Whether the peer is expected to acknowledge something.
    pub const fn awaits_ack(&self, kind: Kind) -> bool {
        match kind {
            Kind::Stream => self.una < self.next,
            Kind::Datagram => self.numbers.acked < self.numbers.asked,
        }
    }

    /// Whether the peer is expected to acknowledge something, or to open its window.
    pub const fn is_outstanding(&self, kind: Kind) -> bool {
        match kind {
            Kind::Stream => self.una < self.goal(),
            Kind::Datagram => self.una < self.end || self.awaits_ack(Kind::Datagram),
        }
    }

    /// First offset whose octet the ring must keep.
    pub fn kept(&self) -> u64 {
        match self.in_flight {
            InFlight::From { first, .. } if first < self.una => first,
            InFlight::From { .. } | InFlight::Nothing => self.una,
        }
    }

    /// Octets that may be written into a ring of `ring` octets.
    pub fn room(&self, ring: usize) -> usize {
        let kept = self.kept().min(self.end);
        (ring as u64).saturating_sub(self.end - kept) as usize
    }

    /// Both ends know each other, and the peer takes offsets below `limit`.
    pub fn bind(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Copies what fits of `bytes` into the ring, and gives how much.
    pub fn write(&mut self, ring: &mut [u8], bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.room(ring.len()));
        if n > 0 {
            ring::copy_in(ring, self.end, &bytes[..n]);
            self.end += n as u64;
        }
        n
    }

    /// The application ends this direction; false if it had.
    pub fn shut(&mut self) -> bool {
        !core::mem::replace(&mut self.fin, true)
    }

    /// The application wants everything acknowledged at once. `None` if it is; else whether
    /// everything was sent already, without ACK_NOW.
    pub fn want_ack(&mut self) -> Option<bool> {
        if self.is_acked() {
            return None;
        }
        self.want_ack = true;
        Some(!self.has_unsent())
    }

    /// Takes the notice of the first offset that did not fit into the peer's ring.
    pub fn take_overflow(&mut self) -> Option<u64> {
        core::mem::take(&mut self.overflow_untold).then(|| self.overflow.saturating_sub(1))
    }

    /// A body takes at most `share` octets of the stream; `ring` has as many octets as the ring,
    /// and `asks` is whether an acknowledgement is wanted anyhow.
    pub fn take_segment(&mut self, ring: usize, share: u32, asks: bool) -> Segment {
        let available = self.end.min(self.limit).saturating_sub(self.next);
        let bytes = available.min(share.into());
        let after = self.next + bytes;
        let fin = self.fin && after == self.end;
        let window = self.limit.saturating_sub(self.una);
        let short = self.limit.saturating_sub(after) < window / 2
            || (self.end - self.una) as usize > ring / 2;
        let flags = DataFlags::FIN
            .when(fin)
            .with(DataFlags::ACK_NOW.when(fin || short || asks || self.want_ack));
        if after >= self.end {
            self.want_ack = false;
        }
        let first = self.next;
        self.next = after + u64::from(fin);
        self.in_flight = InFlight::From { rewind: false, first };
        let again = self.high.min(self.next) - first.min(self.high);
        self.retransmitted += again;
        let is_new = again == 0 && self.next > self.high;
        let fresh = self.end.min(self.next).saturating_sub(self.high.min(self.end));
        self.high = self.high.max(self.next);
        Segment { bytes: bytes as u32, flags, again, fresh, is_new }
    }

    /// The path may be another: round trips are measured anew.
    pub fn forget_round_trips(&mut self) {
        self.round_trips.forget();
    }

    /// The round trips to the peer.
    #[cfg(test)]
    pub const fn round_trips(&self) -> &RoundTrips {
        &self.round_trips
    }

    /// Whether the segment taken last ends at the peer's limit, and not because nothing more was
    /// written, while the peer takes less beyond what it acknowledged than keeps the path busy.
    pub fn is_at_limit(&self) -> bool {
        let is_limited = self.next == self.limit && self.limit <= self.end;
        is_limited && self.limit.saturating_sub(self.una) < self.round_trips.ring_need()
    }

    /// Whether a ring of `ring` octets is full, and less than so many `times` what keeps the path busy,
    /// while the peer would take more than is in it, and more may be written.
    pub fn is_ring_short(&self, ring: usize, times: u64) -> bool {
        (ring as u64) < self.round_trips.ring_need().saturating_mul(times)
            && self.limit > self.end
            && !self.fin
    }

    /// Measures the round trip of the segment taken last, unless another one is being measured.
    pub fn measure(&mut self, now: u64) {
        if self.timed.is_none() {
            let una = self.una;
            self.timed = NonZeroU64::new(self.next).map(|end| Timed { end, since: now, una });
        }
    }

    /// The time of the round trip that is being measured, in ms, if `ack` acknowledges its end. A window
    /// is asked this before it is applied: a loss that it tells ends the measurement.
    pub fn measured(&mut self, now: u64, ack: u64) -> Option<u64> {
        let Timed { since, una, .. } = self.timed.take_if(|timed| ack >= timed.end.get())?;
        let ms = now.saturating_sub(since);
        self.round_trips.note(RoundTrip { ms, acked: ack.saturating_sub(una) });
        Some(ms)
    }

    /// The offset of the data in the body under way.
    pub fn staged(&self) -> u64 {
        debug_assert!(self.is_flying(), "no body has data of this channel");
        match self.in_flight {
            InFlight::From { first, .. } => first,
            InFlight::Nothing => self.next,
        }
    }

    /// What a PROBE asks about: everything sent before it is there now, or was lost.
    pub fn probed(&self, kind: Kind) -> u64 {
        match (kind, self.in_flight) {
            (Kind::Datagram, _) => self.numbers.front,
            (Kind::Stream, InFlight::From { first, .. }) => first,
            (Kind::Stream, InFlight::Nothing) => self.next,
        }
    }

    /// The relay passed on so many bytes of the data in the body under way, and not all of them
    /// unless `whole`.
    // Inlined, it makes firmware larger.
    #[inline(never)]
    pub fn pass_on(&mut self, bytes: u32, whole: bool) {
        let after = self.staged() + u64::from(bytes);
        self.delivered = self.delivered.max(after);
        if !whole {
            self.go_back(after);
        }
    }

    /// The send with data of this stream is over; without a verdict all of it goes again.
    pub fn land(&mut self, is_judged: bool) {
        let InFlight::From { rewind, first } =
            core::mem::replace(&mut self.in_flight, InFlight::Nothing)
        else {
            return;
        };
        if !is_judged {
            self.go_back(first);
        }
        if rewind {
            self.go_back(self.una);
        }
    }

    /// Everything from `to` on is to be sent again.
    #[inline(never)]
    fn go_back(&mut self, to: u64) {
        self.next = self.next.min(to.max(self.una));
        self.timed = None;
    }

    /// Whether a peer can say so: it cannot have what was never sent.
    pub const fn is_sound(&self, window: &Window) -> bool {
        window.ack <= self.high && window.overflow <= self.high
    }

    /// The peer told how far it is with the stream.
    pub fn on_window(&mut self, window: &Window) -> Progress {
        self.peer_done |= window.done;
        let mut progress = Progress { advanced: false, overflow: None };
        if window.ack > self.una {
            progress.advanced = true;
            self.una = window.ack;
            self.next = self.next.max(self.una);
            self.delivered = self.delivered.max(self.una.min(self.end));
        }
        // With a loss the peer may take a promise back: its ring has become shorter.
        let mut back = window.losses > self.losses;
        if back {
            self.losses = window.losses;
            self.limit = window.limit;
        } else if window.losses == self.losses {
            self.limit = self.limit.max(window.limit);
        }
        if window.overflow > self.overflow {
            self.overflow = window.overflow;
            self.overflow_untold = true;
            self.overflows = self.overflows.saturating_add(1);
            progress.overflow = Some(window.overflow - 1);
            back = true;
        }
        if back {
            match &mut self.in_flight {
                InFlight::From { rewind, .. } => *rewind = true,
                InFlight::Nothing => self.go_back(self.una),
            }
        }
        progress
    }

    /// The peer has everything, FIN too, as it ended its own stream and knows nothing more.
    pub fn confirm(&mut self) {
        self.una = self.goal();
        self.next = self.una;
        self.timed = None;
        self.peer_done = true;
    }
}
