//! Data on channels, as the application writes and reads it.

use crate::Kind;
use crate::error::{ConfigError, Error, TransportError};
use crate::session::Half;
use crate::session::channel::probe::Probe;
use crate::session::channel::{EndCause, datagram};
use crate::session::exchange::plan::MAX_SINGLE_DATA;
use crate::session::ids::ChannelId;
use crate::session::mode::Mode;
use crate::session::rings::Direction;
use crate::session::view::Session;
use crate::wire::{MAX_DATAGRAM, Status};

impl<M: Mode> Session<'_, M> {
    /// Copies as much of `bytes` as fits into the transmit ring and gives how much; 0 while the ring is full.
    ///
    /// # Errors
    /// What ended the channel; `Unsupported` behind a shutdown of this half or on datagrams.
    pub fn write(&mut self, now: u64, id: ChannelId, bytes: &[u8]) -> Result<usize, Error> {
        let slot = self.writable(id, Kind::Stream)?;
        let n = self.channels[slot].write(self.rings.transmit_mut(slot), bytes);
        if n > 0 {
            if !M::SINGLE {
                let written = self.channels[slot].tx.written();
                self.rings.note_use(now, slot, Direction::Transmit, written, n);
            }
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
        let channel = &mut self.channels[slot];
        let Ok(n) = channel.read(self.rings.receive_mut(slot), out) else {
            // A reader that comes again gets the channel's error.
            let error = channel.error();
            self.end(now, slot, EndCause::Here(Status::Tampered), true);
            let acked = self.channels[slot].acked();
            return Err(error.unwrap_or(TransportError::Tampered { acked }.into()));
        };
        if n > 0 {
            let is_longer = !M::SINGLE
                && channel.rx.is_ring_short(channel.is_drained(self.rings.receive(slot)))
                && self.lengthen(slot, Direction::Receive);
            self.room_was_made(now, slot, is_longer);
            return Ok(Some(n));
        }
        if out.is_empty() || channel.rx.is_discarding() {
            return Ok(Some(0));
        }
        match channel.has_ended() {
            Some(true) => Ok(Some(0)),
            Some(false) => channel.error().map_or(Ok(None), Err),
            None => Err(TransportError::Truncated.into()),
        }
    }

    /// Whether [`read`](Self::read) or [`recv_datagram`](Self::recv_datagram) would not give `None`.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    pub fn can_read(&self, id: ChannelId) -> Result<bool, Error> {
        Ok(self.is_readable(self.held(id)?))
    }

    /// Whether a reader of the channel in this slot need not wait.
    pub fn is_readable(&self, slot: usize) -> bool {
        let channel = &self.channels[slot];
        let is_ready = match channel.kind::<M>() {
            Kind::Stream => channel.is_ready(self.rings.receive(slot)),
            Kind::Datagram => channel.rx.readable() > 0,
        };
        is_ready || channel.rx.is_discarding() || !channel.is_held() || channel.error().is_some()
    }

    /// Whether [`write`](Self::write) would take something, or fail.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    pub fn can_write(&self, id: ChannelId) -> Result<bool, Error> {
        Ok(self.is_writable(self.held(id)?))
    }

    /// Whether a writer to the channel in this slot need not wait.
    pub fn is_writable(&self, slot: usize) -> bool {
        let channel = &self.channels[slot];
        let room = channel.room(self.rings.len(slot, Direction::Transmit));
        room > 0 || channel.tx.is_shut() || !channel.is_held() || channel.error().is_some()
    }

    /// Ends a direction of a stream. Write: FIN behind what was written; what is still under way
    /// to here arrives. Read: what comes from now on is dropped.
    ///
    /// # Errors
    /// What ended the channel; `Unsupported` on datagrams.
    pub fn shutdown(&mut self, now: u64, id: ChannelId, half: Half) -> Result<(), Error> {
        let slot = self.held(id)?;
        self.expect_kind(slot, Kind::Stream)?;
        let channel = &mut self.channels[slot];
        if let Some(error) = channel.error() {
            return Err(error);
        }
        if half != Half::Write {
            channel.rx.discard();
            if channel.is_established() {
                channel.rx.hasten();
            }
        }
        if half != Half::Read && channel.shut(self.rings.transmit_mut(slot)) {
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
        let slot = self.held(id)?;
        self.reached(slot, self.channels[slot].tx.is_flushed())
    }

    /// Whether the other peer's client has everything written. Datagrams are never acknowledged:
    /// there it is whether all were delivered or have expired.
    ///
    /// # Errors
    /// What ended the channel before.
    pub fn acked(&self, id: ChannelId) -> Result<bool, Error> {
        let slot = self.held(id)?;
        self.reached(slot, self.channels[slot].tx.is_acked())
    }

    /// Asks for an acknowledgement of everything written so far, at once.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    pub fn request_ack(&mut self, _now: u64, id: ChannelId) -> Result<(), Error> {
        let slot = self.held(id)?;
        let channel = &mut self.channels[slot];
        if let Some(is_sent) = channel.tx.want_ack() {
            // What is out already was sent without ACK_NOW.
            if is_sent && channel.kind::<M>() == Kind::Stream {
                channel.prober.want(Probe::AtOnce);
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
        let channel = &mut self.channels[slot];
        let offset = channel.tx.take_overflow();
        Ok(offset.map(|at| channel.octets_before(self.rings.transmit(slot), at)))
    }

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
        let ring = self.rings.transmit_mut(slot);
        let is_queued = self.channels[slot].write_datagram(now, ring, bytes);
        if is_queued {
            self.watch(now, slot);
            self.core.wake_send();
        }
        Ok(is_queued)
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
        let ring = self.rings.receive(slot);
        let channel = &mut self.channels[slot];
        loop {
            let Some(len) = channel.rx.datagram_len(ring) else {
                return channel.error().map_or(Ok(None), Err);
            };
            let len = channel.datagram_len(len);
            let is_read = match len {
                Some(len) => {
                    let out = out.get_mut(..len).ok_or(ConfigError::BufferTooSmall { len })?;
                    channel.read_datagram(ring, out)
                }
                None => false,
            };
            if is_read {
                return Ok(len);
            }
            channel.rx.lose_datagram(ring, len.is_none());
        }
    }

    /// Most octets of a datagram on this channel: what fits the smaller of both ends' rings.
    ///
    /// # Errors
    /// `Unsupported` on a stream, `Closed` if the channel is closed.
    pub fn max_datagram(&self, id: ChannelId) -> Result<usize, Error> {
        let slot = self.held(id)?;
        self.expect_kind(slot, Kind::Datagram)?;
        let theirs = usize::try_from(self.channels[slot].tx.limit()).unwrap_or(usize::MAX);
        let ours = self.rings.len(slot, Direction::Transmit);
        let ring = match theirs {
            0 => ours,
            theirs => theirs.min(ours),
        };
        let most = if M::SINGLE { MAX_SINGLE_DATA } else { MAX_DATAGRAM };
        let ring = ring.saturating_sub(datagram::HEADER).min(most);
        Ok(ring.saturating_sub(self.channels[slot].datagram_tag()))
    }

    /// The slot of a channel that takes what is written to it.
    fn writable(&self, id: ChannelId, kind: Kind) -> Result<usize, Error> {
        let slot = self.held(id)?;
        self.expect_kind(slot, kind)?;
        let channel = &self.channels[slot];
        match channel.error() {
            Some(error) => Err(error),
            None if channel.tx.is_shut() => {
                Err(ConfigError::Unsupported("its sending half was shut down").into())
            }
            None => Ok(slot),
        }
    }

    fn expect_kind(&self, slot: usize, kind: Kind) -> Result<(), Error> {
        if self.channels[slot].kind::<M>() == kind {
            return Ok(());
        }
        Err(ConfigError::Unsupported(match kind {
            Kind::Stream => "it carries datagrams",
            Kind::Datagram => "it is a stream",
        })
        .into())
    }

    /// Whether everything has got that far, if nothing ended the channel before.
    fn reached(&self, slot: usize, is_done: bool) -> Result<bool, Error> {
        match self.channels[slot].error() {
            _ if is_done => Ok(true),
            Some(error) => Err(error),
            None => Ok(false),
        }
    }
}
