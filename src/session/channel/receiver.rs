//! The receiving direction of a channel: what came and the application has not read, and when the
//! peer is told of it.

use core::num::NonZeroU64;
use core::ops::Range;

use super::datagram::{self, HEADER};
use super::ring;
use crate::Kind;
use crate::wire::Window;

/// When the next RECEIVE_REQ goes, and whether it says NOW, so that it does not wait at the relay.
///
/// ```text
///            data, a loss, NOW wanted                  the peer may be waiting for it
///   Nothing ──────────────────────────▶ WithPark ─────────────────────────────────────▶ BySend
///      ▲                                   │ a request has it                             │
///      └───────────────────────────────────┴──────────────────────────────────────────────┘
/// ```
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum AckDue {
    Nothing = 0,
    /// The next park has it.
    WithPark {
        now: bool,
    },
    /// A send has it, at once.
    BySend {
        now: bool,
    },
}

/// Which of the datagrams that came last were seen.
#[derive(Debug)]
struct SeenNumbers {
    /// Highest number seen plus one.
    next: u64,
    /// A bit for each of the 64 below it.
    bits: u64,
}

/// What became of bytes that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenBytes {
    /// So many were new, and found room.
    pub new: usize,
    /// Nothing of them was lost.
    pub is_whole: bool,
}

/// The receiving direction. `read ≤ next`. All zeros is the initial state, but for the limit told.
#[derive(Debug)]
#[repr(C)]
pub struct Receiver {
    /// FIN was received, at `next - 1`.
    fin: bool,
    /// The application wants no more: what comes is acknowledged and dropped.
    discarding: bool,
    /// The sender said HUNGRY, behind the limit of the ring as it was.
    hungry: bool,
    due: AckDue,
    losses: u32,
    lost: u32,
    /// First offset not read by the application.
    read: u64,
    /// First offset not received.
    next: u64,
    /// The limit last told.
    told: u64,
    /// The highest limit told before the ring was made shorter: the peer may still keep to it.
    promised: u64,
    /// The acknowledgement last told.
    acked: u64,
    /// Where the ring was to be full, as it was made so long: data that end before say nothing of it.
    outgrown: u64,
    /// First offset behind the one before which a gap was counted in `losses` last.
    gap: Option<NonZeroU64>,
    /// First offset that did not fit, plus one, as the wire has it.
    overflow: u64,
    seen: SeenNumbers,
}

impl Receiver {
    pub const fn new() -> Self {
        Self {
            fin: false,
            discarding: false,
            hungry: false,
            due: AckDue::Nothing,
            losses: 0,
            lost: 0,
            read: 0,
            next: 0,
            told: 0,
            promised: 0,
            acked: 0,
            outgrown: 0,
            gap: None,
            overflow: 0,
            seen: SeenNumbers { next: 0, bits: 0 },
        }
    }

    /// The peer is about to be told of a ring of `ring` octets.
    pub fn open(&mut self, ring: u64) {
        self.told = ring;
        self.outgrown = ring;
    }

    /// Octets that can be read.
    pub const fn readable(&self) -> usize {
        (self.next - self.fin as u64 - self.read) as usize
    }

    /// Whether the end of the stream came.
    pub const fn has_fin(&self) -> bool {
        self.fin
    }

    /// Whether the application wants nothing more.
    pub const fn is_discarding(&self) -> bool {
        self.discarding
    }

    /// First offset not received; FIN counts.
    pub const fn received(&self) -> u64 {
        self.next
    }

    /// First offset that the application has not read.
    pub const fn read_to(&self) -> u64 {
        self.read
    }

    /// Highest number of a datagram that came, plus one.
    pub const fn highest(&self) -> u64 {
        self.seen.next
    }

    /// Losses that the peer is told of.
    pub const fn losses(&self) -> u32 {
        self.losses
    }

    /// Datagrams that found no room.
    pub const fn lost(&self) -> u32 {
        self.lost
    }

    /// Whether the peer is to be told something.
    pub const fn owes_ack(&self) -> bool {
        !matches!(self.due, AckDue::Nothing)
    }

    /// Whether the peer is to be told by a send.
    pub const fn owes_send(&self) -> bool {
        matches!(self.due, AckDue::BySend { .. })
    }

    /// Whether the peer is to be told, but a park may do it.
    pub const fn owes_park(&self) -> bool {
        matches!(self.due, AckDue::WithPark { .. })
    }

    /// The peer is to be told with the next park at the latest.
    fn owe(&mut self) {
        if !self.owes_ack() {
            self.due = AckDue::WithPark { now: false };
        }
    }

    /// The same, with NOW.
    #[inline(never)]
    pub fn owe_now(&mut self) {
        self.due = match self.due {
            AckDue::Nothing | AckDue::WithPark { .. } => AckDue::WithPark { now: true },
            AckDue::BySend { .. } => AckDue::BySend { now: true },
        };
    }

    /// The peer may wait for it: what is owed goes by a send.
    pub fn hasten(&mut self) {
        if let AckDue::WithPark { now } = self.due {
            self.due = AckDue::BySend { now };
        }
    }

    /// The peer is to be told by a send, with NOW.
    #[inline(never)]
    pub fn owe_at_once(&mut self) {
        self.due = AckDue::BySend { now: true };
    }

    /// The channel has ended: no send is made for the sake of this.
    pub fn relax(&mut self) {
        if let AckDue::BySend { now } = self.due {
            self.due = AckDue::WithPark { now };
        }
    }

    /// Whether the peer is to be told with NOW, by a park so far.
    pub const fn is_wanted_now(&self) -> bool {
        matches!(self.due, AckDue::WithPark { now: true })
    }

    /// Octets that came and are not acknowledged.
    pub const fn unacked(&self) -> u64 {
        self.next.saturating_sub(self.acked)
    }

    /// The offsets whose octets the ring keeps.
    pub const fn kept(&self) -> Range<u64> {
        self.read..self.next - self.fin as u64
    }

    /// The sender of `len` octets at `offset` would send more if the ring were longer. That counts if they
    /// fill it: a doubling costs the sender a ring of data.
    pub fn starve(&mut self, offset: u64, len: u32) {
        let end = offset.saturating_add(len.into());
        self.hungry |= offset <= self.next && end >= self.outgrown;
    }

    /// The ring has `ring` octets now, of which the sender will be told.
    pub fn outgrow(&mut self, ring: usize) {
        self.outgrown = self.read + ring as u64;
    }

    /// Whether the ring is to be longer: the sender was hungry, and the application, which has read all if it
    /// `is_drained`, keeps up with it. That is noticed once.
    pub fn is_ring_short(&mut self, is_drained: bool) -> bool {
        is_drained && self.next >= self.outgrown && core::mem::take(&mut self.hungry)
    }

    /// Copies what came to `out`, and gives how much.
    #[inline]
    pub fn read(&mut self, ring: &[u8], out: &mut [u8]) -> usize {
        let n = self.readable().min(out.len());
        if n > 0 {
            ring::copy_out(ring, self.read, &mut out[..n]);
            self.read += n as u64;
        }
        n
    }

    /// Length of the datagram that is read next.
    pub fn datagram_len(&self, ring: &[u8]) -> Option<usize> {
        (self.readable() > 0).then(|| datagram::read_header(ring, self.read).0)
    }

    /// Takes the next datagram, which has as many octets as `out` and `more`; gives its number.
    pub fn read_datagram(&mut self, ring: &[u8], out: &mut [u8], more: &mut [u8]) -> u64 {
        let (_, low) = datagram::read_header(ring, self.read);
        let at = self.read + HEADER as u64;
        ring::copy_out(ring, at, out);
        ring::copy_out(ring, at + out.len() as u64, more);
        self.read = at + (out.len() + more.len()) as u64;
        // It is the highest number that came, or not far below.
        let highest = self.seen.next.wrapping_sub(1);
        highest.wrapping_sub((highest as u32).wrapping_sub(low).into())
    }

    /// What was taken for a datagram is none of the peer's; with `whole` it was not taken yet.
    pub fn lose_datagram(&mut self, ring: &[u8], whole: bool) {
        self.lost = self.lost.saturating_add(1);
        if whole && let Some(len) = self.datagram_len(ring) {
            self.read += (HEADER + len) as u64;
        }
    }

    /// Goes on by octets that are not the application's.
    #[cfg(feature = "secure")]
    pub fn skip(&mut self, octets: usize) {
        self.read += octets as u64;
    }

    /// The application made room in a ring of `ring` octets: whether the peer, which may stand
    /// waiting, is told by a send. `eager` if no park tells it before.
    #[inline]
    pub fn opens(&mut self, ring: usize, eager: bool) -> bool {
        let used_up = eager || self.told.saturating_sub(self.next) < ring as u64 / 4;
        let tells = used_up && self.limit(ring) > self.told && !self.owes_send();
        if tells {
            self.owe_at_once();
        }
        tells
    }

    /// The application made room: whether the peer is to be told soon; with NOW if it stands waiting.
    pub fn opens_later(&mut self, ring: usize) -> bool {
        let tells = self.limit(ring) > self.told;
        if tells && self.next >= self.told {
            self.owe_now();
        } else if tells {
            self.owe();
        }
        tells
    }

    /// The application wants nothing more.
    pub fn discard(&mut self) {
        self.discarding = true;
        self.read = self.next - u64::from(self.fin);
        self.owe();
    }

    /// A message said that data before it is missing: a loss, counted once for each offset, as much
    /// of it may be on its way.
    pub fn note_gap(&mut self) {
        if self.gap != NonZeroU64::new(self.next + 1) {
            self.note_loss();
        }
        self.owe();
    }

    /// Counts a loss: the sender will go back to `next`.
    #[inline(never)]
    pub fn note_loss(&mut self) {
        self.gap = NonZeroU64::new(self.next + 1);
        self.losses = self.losses.saturating_add(1);
        self.owe();
    }

    /// Whether data up to `end` would be nothing new; then its acknowledgement was lost.
    pub fn knows(&mut self, end: u64) -> bool {
        let knows = end <= self.next;
        if knows {
            self.owe();
        }
        knows
    }

    /// Puts bytes of the stream at `at` into the ring, without those that it has already. What does
    /// not fit overflows; unless the peer was told that it would fit, when the ring was longer, if that
    /// `changes`: then it is lost as on the way, and the peer is told of the ring as it is.
    pub fn take(&mut self, ring: &mut [u8], at: u64, bytes: &[u8], changes: bool) -> TakenBytes {
        if self.fin {
            return TakenBytes { new: 0, is_whole: true };
        }
        let known = self.next.saturating_sub(at).min(bytes.len() as u64) as usize;
        let new = &bytes[known..];
        let room = if self.discarding { new.len() } else { ring.len() - self.readable() };
        let fits = new.len().min(room);
        if fits > 0 {
            if self.discarding {
                self.read += fits as u64;
            } else {
                ring::copy_in(ring, self.next, &new[..fits]);
            }
            self.next += fits as u64;
            self.owe();
        }
        if fits < new.len() && changes && at + bytes.len() as u64 <= self.told.max(self.promised) {
            self.note_gap();
            self.owe_now();
            self.shorten(ring.len());
        } else if fits < new.len() {
            self.overflow = self.next + 1;
            self.owe_now();
        }
        TakenBytes { new: fits, is_whole: fits == new.len() }
    }

    /// The ring has become shorter than the limit that was told.
    fn shorten(&mut self, ring: usize) {
        self.promised = self.promised.max(self.told);
        self.told = self.read + ring as u64;
        self.outgrown = self.outgrown.min(self.told);
        self.hungry = true;
    }

    /// FIN came, behind the offset `end`.
    pub fn take_fin(&mut self, end: u64) {
        if self.next == end && !self.fin {
            self.fin = true;
            self.next += 1;
            self.owe();
        }
    }

    /// Begins datagram `number` of `len` octets: where in the ring its octets go. `None` if it came
    /// before, or finds no room, which is counted.
    pub fn begin_datagram(&mut self, ring: &mut [u8], number: u64, len: usize) -> Option<u64> {
        let size = HEADER + len;
        if self.readable() + size > ring.len() || self.discarding {
            self.lost = self.lost.saturating_add(1);
            self.seen.note(number);
            return None;
        }
        ring::copy_in(ring, self.next, &datagram::header(len, number));
        Some(self.next + HEADER as u64)
    }

    /// Whether datagram `number` was not seen yet.
    pub fn is_new(&self, number: u64) -> bool {
        self.seen.is_new(number)
    }

    /// Datagram `number` of `len` octets came whole.
    pub fn end_datagram(&mut self, number: u64, len: u32) {
        self.seen.note(number);
        self.next += u64::from(HEADER as u32 + len);
    }

    /// The limit to tell: raised only by a quarter of the ring at least, lest windows get silly.
    fn limit(&self, ring: usize) -> u64 {
        let open = self.read + ring as u64;
        if open - self.told.min(open) >= ring as u64 / 4 { open } else { self.told }
    }

    /// The RECEIVE_REQ of a channel with rings of `ring` octets, as it is put into a request: what is
    /// told is no longer due.
    pub fn window(&mut self, ring: usize, kind: Kind, done: bool) -> Window {
        self.told = match kind {
            Kind::Stream => self.limit(ring),
            Kind::Datagram => ring as u64,
        };
        self.acked = self.next;
        let due = core::mem::replace(&mut self.due, AckDue::Nothing);
        Window {
            ack: match kind {
                Kind::Stream => self.next,
                Kind::Datagram => self.seen.next,
            },
            limit: self.told,
            losses: self.losses,
            overflow: self.overflow,
            now: matches!(due, AckDue::WithPark { now: true } | AckDue::BySend { now: true }),
            done: done && kind == Kind::Stream,
            ask: false,
        }
    }
}

impl SeenNumbers {
    /// Whether `number` was not seen before; at most once each.
    fn is_new(&self, number: u64) -> bool {
        match self.next.checked_sub(number + 1) {
            None => true,
            Some(age) => age < 64 && self.bits >> age & 1 == 0,
        }
    }

    /// Notes that `number` was seen.
    fn note(&mut self, number: u64) {
        match self.next.checked_sub(number + 1) {
            None => {
                let by = number + 1 - self.next;
                self.bits = if by < 64 { self.bits << by | 1 } else { 1 };
                self.next = number + 1;
            }
            Some(age) if age < 64 => self.bits |= 1 << age,
            Some(_) => {}
        }
    }
}
