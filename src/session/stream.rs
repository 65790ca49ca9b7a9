//! Both directions of a channel: what is sent and not acknowledged, what came and is not read.
//!
//! Offsets are absolute. FIN takes the offset behind the last byte. On a datagram channel the
//! offsets count octets of the ring, where each datagram stands behind its header.

use super::channel::{Probe, State};
use super::{ChannelId, Half, Mode, Session, ring};
use crate::Kind;
use crate::error::{ConfigError, Error};

/// The sending direction. `una ≤ next ≤ high`, and `una ≤ end` but for FIN.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Tx {
    /// FIN stands at `end`.
    pub fin: bool,
    /// Bytes from `pin` on are in the body of the send under way.
    pub flying: bool,
    /// Go back to `una` when that send is over.
    pub rewind: bool,
    pub overflow_untold: bool,
    /// ACK_NOW is wanted for everything written so far.
    pub want_ack: bool,
    /// The peer said DONE: it waits for nothing more.
    pub peer_done: bool,
    /// Highest `losses` and `overflow` that the peer told.
    pub losses: u32,
    pub overflows: u32,
    pub lost: u32,
    /// First offset not acknowledged.
    pub una: u64,
    /// First offset not sent, or to be sent again.
    pub next: u64,
    /// First offset never sent. Datagrams: first number.
    pub high: u64,
    /// First offset without a DELIVERED verdict.
    pub delivered: u64,
    /// First offset not written by the application.
    pub end: u64,
    /// First offset that the peer would not take.
    pub limit: u64,
    pub pin: u64,
    pub overflow: u64,
    /// Round trip being measured: acknowledged offset that ends it, and when it began; 0: none.
    pub timed: u64,
    pub timed_at: u64,
    /// Datagrams: number of the one at `una`, of the next to be put into the body under way, of
    /// the first one not sent with ACK_NOW, and of the first one not acknowledged.
    pub number: u64,
    pub staged_number: u64,
    pub sent_number: u64,
    pub acked_number: u64,
    pub retransmitted: u64,
}

impl Tx {
    pub const fn new() -> Self {
        Self {
            una: 0,
            next: 0,
            high: 0,
            delivered: 0,
            end: 0,
            limit: 0,
            fin: false,
            flying: false,
            pin: 0,
            rewind: false,
            losses: 0,
            overflow: 0,
            overflow_untold: false,
            want_ack: false,
            peer_done: false,
            timed: 0,
            timed_at: 0,
            number: 0,
            staged_number: 0,
            sent_number: 0,
            acked_number: 0,
            retransmitted: 0,
            overflows: 0,
            lost: 0,
        }
    }

    /// The offset to be acknowledged when everything is.
    pub const fn goal(&self) -> u64 {
        self.end + self.fin as u64
    }

    /// First offset whose octet the ring must keep.
    const fn kept(&self) -> u64 {
        if self.flying && self.pin < self.una { self.pin } else { self.una }
    }

    /// Octets that may be written.
    pub fn room(&self, ring: usize) -> usize {
        let kept = self.kept().min(self.end);
        (ring as u64).saturating_sub(self.end - kept) as usize
    }

    /// Go back: everything from `to` on is to be sent again.
    #[inline(never)]
    pub fn go_back(&mut self, to: u64) {
        self.next = self.next.min(to.max(self.una));
        self.timed = 0;
    }
}

/// The receiving direction. `read ≤ next`.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Rx {
    /// FIN was received, at `next - 1`.
    pub fin: bool,
    /// The application wants no more: what comes is acknowledged and dropped.
    pub discarding: bool,
    /// RECEIVE_REQ is to go with the next park,
    pub dirty: bool,
    /// with NOW,
    pub now: bool,
    /// or by a send, at once.
    pub urgent: bool,
    pub losses: u32,
    pub lost: u32,
    /// First offset not read by the application.
    pub read: u64,
    /// First offset not received.
    pub next: u64,
    /// The limit last told.
    pub told: u64,
    /// The acknowledgement last told.
    pub acked: u64,
    /// A gap before `next` was counted in `losses` when `next` was this, plus one.
    pub gap_at: u64,
    /// First offset that did not fit, plus one.
    pub overflow: u64,
    /// Datagrams: highest number seen plus one, and which of the 64 below it were.
    pub number: u64,
    pub seen: u64,
}

impl Rx {
    pub const fn new() -> Self {
        Self {
            read: 0,
            next: 0,
            told: 0,
            acked: 0,
            losses: 0,
            gap_at: 0,
            overflow: 0,
            fin: false,
            discarding: false,
            dirty: false,
            now: false,
            urgent: false,
            number: 0,
            seen: 0,
            lost: 0,
        }
    }

    /// Octets that can be read.
    pub const fn readable(&self) -> usize {
        (self.next - self.fin as u64 - self.read) as usize
    }

    /// The application wants nothing more.
    pub fn discard(&mut self) {
        self.discarding = true;
        self.read = self.next - u64::from(self.fin);
        self.dirty = true;
    }

    /// Counts a loss before data that came: once for each offset, as much of it may be on its way.
    pub fn note_gap(&mut self) {
        if self.gap_at != self.next + 1 {
            self.note_loss();
        }
        self.dirty = true;
    }

    /// Counts a loss: the sender will go back to `next`.
    #[inline(never)]
    pub fn note_loss(&mut self) {
        self.gap_at = self.next + 1;
        self.losses = self.losses.saturating_add(1);
        self.dirty = true;
    }

    /// The limit to tell: raised only by a quarter of the ring at least, lest windows get silly.
    pub fn limit(&self, ring: usize) -> u64 {
        let open = self.read + ring as u64;
        if open - self.told.min(open) >= ring as u64 / 4 { open } else { self.told }
    }
}

impl<M: Mode> Session<'_, M> {
    /// Copies what fits of `bytes` into the transmit ring and gives how much; 0 while it is full.
    ///
    /// # Errors
    /// What ended the channel; `Unsupported` behind a shutdown of this half or on datagrams.
    pub fn write(&mut self, now: u64, id: ChannelId, bytes: &[u8]) -> Result<usize, Error> {
        let slot = self.writable(id, Kind::Stream)?;
        let len = self.ring_len();
        let (tx_ring, _) = self.rings_of(slot);
        let at = {
            let start = tx_ring.start;
            &mut self.rings[start..start + len]
        };
        let channel = &mut self.channels[slot];
        let n = bytes.len().min(channel.tx.room(len));
        if n > 0 {
            ring::copy_in(at, channel.tx.end, &bytes[..n]);
            channel.tx.end += n as u64;
            self.watch(now, slot);
            self.core.wake_send();
        }
        Ok(n)
    }

    /// Copies received bytes to `out`: how many, 0 at the end of the stream, `None` while there are none.
    ///
    /// # Errors
    /// What ended the channel, once everything received was read.
    pub fn read(
        &mut self,
        now: u64,
        id: ChannelId,
        out: &mut [u8],
    ) -> Result<Option<usize>, Error> {
        let slot = self.held(id)?;
        self.expect_kind(slot, Kind::Stream)?;
        let len = self.ring_len();
        let (_, rx_ring) = self.rings_of(slot);
        let channel = &mut self.channels[slot];
        let n = channel.rx.readable().min(out.len());
        if n > 0 {
            ring::copy_out(&self.rings[rx_ring], channel.rx.read, &mut out[..n]);
            channel.rx.read += n as u64;
            self.opened(now, slot, len);
            return Ok(Some(n));
        }
        if out.is_empty() || channel.rx.discarding || channel.rx.fin {
            return Ok(Some(0));
        }
        match channel.error() {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    /// Whether [`read`](Self::read) or [`recv_datagram`](Self::recv_datagram) would not give `None`.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    pub fn can_read(&self, id: ChannelId) -> Result<bool, Error> {
        Ok(self.is_readable(self.held(id)?))
    }

    /// Whether whoever reads from the channel in this slot need not wait.
    pub fn is_readable(&self, slot: usize) -> bool {
        let channel = &self.channels[slot];
        let rx = &channel.rx;
        rx.readable() > 0 || rx.fin || rx.discarding || !channel.owned || channel.error().is_some()
    }

    /// Whether [`write`](Self::write) would take something, or fail.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    pub fn can_write(&self, id: ChannelId) -> Result<bool, Error> {
        Ok(self.is_writable(self.held(id)?))
    }

    /// Whether whoever writes to the channel in this slot need not wait.
    pub fn is_writable(&self, slot: usize) -> bool {
        let channel = &self.channels[slot];
        let room = channel.tx.room(self.ring_len());
        room > 0 || channel.tx.fin || !channel.owned || channel.error().is_some()
    }

    /// Ends a direction of a stream. Write: FIN behind what was written; what is still under way
    /// to here arrives. Read: what comes from now on is dropped.
    ///
    /// # Errors
    /// What ended the channel; `Unsupported` on datagrams.
    pub fn shutdown(&mut self, now: u64, id: ChannelId, half: Half) -> Result<(), Error> {
        let slot = self.held(id)?;
        self.expect_kind(slot, Kind::Stream)?;
        if let Some(error) = self.channels[slot].error() {
            return Err(error);
        }
        let channel = &mut self.channels[slot];
        if half != Half::Write {
            channel.rx.discard();
            channel.rx.urgent = channel.state == State::Established;
        }
        if half != Half::Read && !channel.tx.fin {
            channel.tx.fin = true;
            self.watch(now, slot);
        }
        self.wake_channel(slot);
        self.core.wake_send();
        Ok(())
    }

    /// Whether everything written had a DELIVERED verdict: the relay passed it on to the peer.
    ///
    /// # Errors
    /// What ended the channel before.
    pub fn flushed(&self, id: ChannelId) -> Result<bool, Error> {
        self.reached(id, |tx| tx.delivered.max(tx.una) >= tx.end)
    }

    /// Whether the other peer's client has everything written. Datagrams are never acknowledged:
    /// there it is whether all were delivered or have expired.
    ///
    /// # Errors
    /// What ended the channel before.
    pub fn acked(&self, id: ChannelId) -> Result<bool, Error> {
        self.reached(id, |tx| tx.una >= tx.goal())
    }

    /// Asks for an acknowledgement of everything written so far, at once.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    pub fn request_ack(&mut self, _now: u64, id: ChannelId) -> Result<(), Error> {
        let slot = self.held(id)?;
        let channel = &mut self.channels[slot];
        if channel.tx.una < channel.tx.goal() {
            channel.tx.want_ack = true;
            // What is out already was sent without ACK_NOW.
            if channel.tx.next >= channel.tx.goal() && M::kind(channel.kind) == Kind::Stream {
                channel.probe = Probe::AtOnce;
            }
            self.core.wake_send();
        }
        Ok(())
    }

    /// Takes the notice that bytes did not fit into the peer's ring: the first such offset.
    /// Each is given once. A sender that keeps to the window, as this session does, never sees one.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    pub fn take_overflow(&mut self, id: ChannelId) -> Result<Option<u64>, Error> {
        let slot = self.held(id)?;
        let tx = &mut self.channels[slot].tx;
        Ok(core::mem::take(&mut tx.overflow_untold).then(|| tx.overflow.saturating_sub(1)))
    }

    /// The slot of a channel that takes what is written to it.
    pub(super) fn writable(&self, id: ChannelId, kind: Kind) -> Result<usize, Error> {
        let slot = self.held(id)?;
        self.expect_kind(slot, kind)?;
        let channel = &self.channels[slot];
        match channel.error() {
            Some(error) => Err(error),
            None if channel.tx.fin => {
                Err(ConfigError::Unsupported("its sending half was shut down").into())
            }
            None => Ok(slot),
        }
    }

    /// The application made room: tell the peer if it may stand waiting.
    pub(super) fn opened(&mut self, _now: u64, slot: usize, len: usize) {
        let rx = &mut self.channels[slot].rx;
        // While an answer stays open no park tells of it before.
        let used_up = !M::SINGLE && self.core.park.is_streaming()
            || rx.told.saturating_sub(rx.next) < len as u64 / 4;
        if used_up && rx.limit(len) > rx.told && !rx.urgent {
            rx.dirty = true;
            rx.now = true;
            rx.urgent = true;
            self.core.wake_send();
        }
    }

    pub(super) fn expect_kind(&self, slot: usize, kind: Kind) -> Result<(), Error> {
        if M::kind(self.channels[slot].kind) == kind {
            return Ok(());
        }
        Err(ConfigError::Unsupported(match kind {
            Kind::Stream => "it carries datagrams",
            Kind::Datagram => "it is a stream",
        })
        .into())
    }

    fn reached(&self, id: ChannelId, done: impl Fn(&Tx) -> bool) -> Result<bool, Error> {
        let channel = &self.channels[self.held(id)?];
        match channel.error() {
            _ if done(&channel.tx) => Ok(true),
            Some(error) => Err(error),
            None => Ok(false),
        }
    }
}
