//! Datagram channels.

use std::io;
use std::time::{Duration, Instant};

use super::end::deadline;
use super::{Channel, ChannelKind};
use crate::Kind;
use crate::client::monitor::ChannelSignals;
use crate::error::Error;

/// A channel of datagrams to another peer: each arrives whole and at most once, or not at all.
///
/// The client keeps a datagram for sending until the relay has delivered it, or for 2 s. A datagram
/// that finds no room at the peer is dropped there without a word to the sender. The methods that it
/// has in common with a [`Stream`](super::Stream) are those of [`Channel`].
pub type DatagramChannel = Channel<Datagrams>;

/// Marks a [`Channel`] as a [`DatagramChannel`].
#[derive(Debug)]
pub enum Datagrams {}

impl super::sealed::Sealed for Datagrams {}

impl ChannelKind for Datagrams {
    const KIND: Kind = Kind::Datagram;
}

impl DatagramChannel {
    /// Most octets of a datagram on this channel: as many as fit the smaller of both ends' rings.
    ///
    /// # Errors
    /// [`Error::Closed`] if the channel is closed, [`Error::TimedOut`] while it connects.
    pub fn max_datagram(&self) -> Result<usize, Error> {
        self.end.ask_open(|session| session.max_datagram(self.end.id))
    }

    /// Copies a datagram for sending. Blocks while there is no room, at most for the write
    /// time-out.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the datagram is longer than
    /// [`max_datagram`](Self::max_datagram), [`TimedOut`](io::ErrorKind::TimedOut) or
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there was no room in time, or what ended the
    /// channel. The source is an [`Error`].
    pub fn send(&self, datagram: &[u8]) -> io::Result<()> {
        let until = self.end.until(&self.end.write_timeout);
        self.send_until(until, datagram)?.ok_or_else(|| self.end.late())
    }

    /// Sends with a time-out of its own: `None` waits for ever, zero only looks.
    ///
    /// # Errors
    /// The errors of [`send`](Self::send), with [`Error::TimedOut`] and [`Error::Cancelled`].
    pub fn send_timeout(&self, datagram: &[u8], timeout: Option<Duration>) -> Result<(), Error> {
        self.send_until(deadline(timeout), datagram)?.ok_or(Error::TimedOut)
    }

    /// Receives the next datagram into `out` and gives its length. Blocks while there is none, at
    /// most for the read time-out.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if `out` is too small (the datagram stays),
    /// [`TimedOut`](io::ErrorKind::TimedOut) or [`WouldBlock`](io::ErrorKind::WouldBlock) if none
    /// came in time, or what ended the channel. The source is an [`Error`].
    pub fn recv(&self, out: &mut [u8]) -> io::Result<usize> {
        let until = self.end.until(&self.end.read_timeout);
        self.recv_until(until, out)?.ok_or_else(|| self.end.late())
    }

    /// Receives with a time-out of its own: `None` waits for ever, zero only looks.
    ///
    /// # Errors
    /// The errors of [`recv`](Self::recv), with [`Error::TimedOut`] and [`Error::Cancelled`].
    pub fn recv_timeout(&self, out: &mut [u8], timeout: Option<Duration>) -> Result<usize, Error> {
        self.recv_until(deadline(timeout), out)?.ok_or(Error::TimedOut)
    }

    /// Waits until everything handed over was delivered or has expired (2 s), then ends the
    /// channel; the peer is told. Other clones can use it no longer.
    ///
    /// # Errors
    /// What ended the channel before.
    pub fn close(self) -> Result<(), Error> {
        if self.end.abandon() {
            return Ok(());
        }
        let drained = self.end.drain();
        self.end.call(|session, now, id| session.release(now, id));
        drained
    }

    fn send_until(&self, until: Option<Instant>, datagram: &[u8]) -> Result<Option<()>, Error> {
        self.end.wait_room(until, |session, now| {
            Ok(session.send_datagram(now, self.end.id, datagram)?.then_some(()))
        })
    }

    fn recv_until(&self, until: Option<Instant>, out: &mut [u8]) -> Result<Option<usize>, Error> {
        self.end.wait_until(ChannelSignals::read, until, |session, now| {
            session.recv_datagram(now, self.end.id, out)
        })
    }
}
