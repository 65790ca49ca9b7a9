//! Datagram channels.

use std::io;
use std::sync::Arc;

use super::channel::{Channel, channel_methods};
use crate::error::Error;

/// A channel of datagrams to another peer: each arrives whole and at most once, or not at all.
///
/// A datagram is kept for sending until the relay has delivered it, or for 2 s. One that does not
/// fit at the peer is dropped there, and nobody is told. All methods take `&self`; several threads
/// may use one channel, or clones of it.
#[derive(Debug, Clone)]
pub struct DatagramChannel {
    channel: Arc<Channel>,
}

impl From<Channel> for DatagramChannel {
    fn from(channel: Channel) -> Self {
        Self { channel: Arc::new(channel) }
    }
}

impl DatagramChannel {
    channel_methods!();

    /// Most octets of a datagram on this channel: what fits the smaller of both ends' rings.
    ///
    /// # Errors
    /// [`Error::Closed`] if the channel is closed.
    pub fn max_datagram(&self) -> Result<usize, Error> {
        self.channel.call(|session, _, id| session.max_datagram(id))
    }

    /// Hands a datagram over for sending. Blocks while there is no room, at most for the write
    /// time-out.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if it is longer than
    /// [`max_datagram`](Self::max_datagram), [`TimedOut`](io::ErrorKind::TimedOut) or
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there was no room in time, or what ended the
    /// channel. The source is an [`Error`].
    pub fn send(&self, datagram: &[u8]) -> io::Result<()> {
        let channel = &self.channel;
        channel
            .wait(&channel.write_timeout, |session, now| {
                Ok(session.send_datagram(now, channel.id, datagram)?.then_some(()))
            })?
            .ok_or_else(|| channel.late())
    }

    /// Receives the next datagram into `out` and gives its length. Blocks while there is none, at
    /// most for the read time-out.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if `out` is too small (the datagram stays),
    /// [`TimedOut`](io::ErrorKind::TimedOut) or [`WouldBlock`](io::ErrorKind::WouldBlock) if none
    /// came in time, or what ended the channel. The source is an [`Error`].
    pub fn recv(&self, out: &mut [u8]) -> io::Result<usize> {
        let channel = &self.channel;
        channel
            .wait(&channel.read_timeout, |session, now| {
                session.recv_datagram(now, channel.id, out)
            })?
            .ok_or_else(|| channel.late())
    }

    /// Waits until everything handed over was delivered or has expired (2 s), then ends the
    /// channel; the peer is told. Other clones can use it no longer.
    ///
    /// # Errors
    /// What ended the channel before.
    pub fn close(self) -> Result<(), Error> {
        let drained = self.channel.drain();
        self.channel.call(|session, now, id| session.release(now, id));
        drained
    }
}
