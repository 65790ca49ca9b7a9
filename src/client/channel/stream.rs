//! Reliable streams.

use std::io;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use super::end::deadline;
use super::{Channel, ChannelKind};
use crate::Kind;
use crate::client::monitor::ChannelSignals;
use crate::error::{ConfigError, Error};
use crate::session::Half;

/// A reliable stream of bytes to another peer, like a `TcpStream`.
///
/// A write returns once the bytes are copied into the transmit ring and blocks while that is full.
/// The bytes stay there until the peer's client has acknowledged them, and are sent again as often as
/// necessary. A read blocks while there is nothing to read. The methods that a stream has in common
/// with a [`DatagramChannel`](super::DatagramChannel), such as those for time-outs, are those of
/// [`Channel`].
pub type Stream = Channel<ByteStream>;

/// Marks a [`Channel`] as a [`Stream`].
#[derive(Debug)]
pub enum ByteStream {}

impl super::sealed::Sealed for ByteStream {}

impl ChannelKind for ByteStream {
    const KIND: Kind = Kind::Stream;
}

impl Stream {
    /// Gives another handle of the same channel, as `clone` does.
    ///
    /// # Errors
    /// None. The result is one so that a program for `TcpStream` fits.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }

    /// The two directions as values of their own, for two threads. Dropping one shuts it down.
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        (ReadHalf(self.clone()), WriteHalf(self))
    }

    /// Ends a direction and wakes every thread that waits in it. Write: the peer reads the end of
    /// the stream behind what was written, and bytes that it still sends arrive. Read: reads give
    /// `Ok(0)`, and bytes that arrive from now on are dropped. Does not block.
    ///
    /// # Errors
    /// What ended the channel before.
    pub fn shutdown(&self, how: Shutdown) -> Result<(), Error> {
        let half = match how {
            Shutdown::Read => Half::Read,
            Shutdown::Write => Half::Write,
            Shutdown::Both => Half::Both,
        };
        self.end.call(|session, now, id| session.shutdown(now, id, half))
    }

    /// Waits until the other peer's client has acknowledged everything written before, at most for
    /// `timeout` (`None`: for ever). The peer's program may not have read it yet.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Cancelled`], or what ended the channel before.
    pub fn wait_acked(&self, timeout: impl Into<Option<Duration>>) -> Result<(), Error> {
        self.end.call(|session, now, id| session.request_ack(now, id))?;
        self.end
            .wait_until(ChannelSignals::other, deadline(timeout.into()), |session, _| {
                Ok(session.acked(self.end.id)?.then_some(()))
            })?
            .ok_or(Error::TimedOut)
    }

    /// Shuts both directions down and waits until the peer's client has everything written, or the
    /// channel fails; the time-outs do not count. Other clones see the end too. A connection that is
    /// still being made is given up.
    ///
    /// # Errors
    /// What ended the channel before, with the first offset that is not acknowledged.
    pub fn close(self) -> Result<(), Error> {
        if self.end.abandon() {
            return Ok(());
        }
        // A stream that has ended cannot be shut down; the wait below tells why it ended.
        let _ = self.shutdown(Shutdown::Both);
        self.end.drain()
    }

    /// Takes the notice that bytes did not fit into the peer's buffer: the first such offset. Each
    /// notice is given once. The bytes are sent again. A peer that keeps to the protocol causes none.
    ///
    /// # Errors
    /// [`Error::Closed`] if the channel is closed.
    pub fn take_overflow(&self) -> Result<Option<u64>, Error> {
        self.end.call(|session, _, id| session.take_overflow(id))
    }

    /// Reads with a time-out of its own: `None` waits for ever, zero only looks. 0 is the end of
    /// the stream.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Cancelled`], or what ended the channel.
    pub fn recv_timeout(&self, out: &mut [u8], timeout: Option<Duration>) -> Result<usize, Error> {
        self.read_until(deadline(timeout), out)?.ok_or(Error::TimedOut)
    }

    /// Writes with a time-out of its own: `None` waits for ever, zero takes only what fits now.
    /// Gives how many bytes were taken, at least one unless there is none.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Cancelled`], or what ended the channel.
    pub fn send_timeout(&self, bytes: &[u8], timeout: Option<Duration>) -> Result<usize, Error> {
        self.write_until(deadline(timeout), bytes)?.ok_or(Error::TimedOut)
    }

    /// Flushes with a time-out of its own: `None` waits for ever, zero only looks.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Cancelled`], or what ended the channel.
    pub fn flush_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.flush_until(deadline(timeout))?.ok_or(Error::TimedOut)
    }

    fn read_some(&self, out: &mut [u8]) -> Result<Option<usize>, Error> {
        self.read_until(self.end.until(&self.end.read_timeout), out)
    }

    fn write_some(&self, bytes: &[u8]) -> Result<Option<usize>, Error> {
        self.write_until(self.end.until(&self.end.write_timeout), bytes)
    }

    fn flush_all(&self) -> Result<Option<()>, Error> {
        self.flush_until(self.end.until(&self.end.write_timeout))
    }

    fn read_until(&self, until: Option<Instant>, out: &mut [u8]) -> Result<Option<usize>, Error> {
        self.end.wait_until(ChannelSignals::read, until, |session, now| {
            session.read(now, self.end.id, out)
        })
    }

    fn write_until(&self, until: Option<Instant>, bytes: &[u8]) -> Result<Option<usize>, Error> {
        self.end.wait_room(until, |session, now| {
            let n = session.write(now, self.end.id, bytes)?;
            Ok((n > 0 || bytes.is_empty()).then_some(n))
        })
    }

    fn flush_until(&self, until: Option<Instant>) -> Result<Option<()>, Error> {
        self.end.wait_until(ChannelSignals::other, until, |session, _| {
            Ok(session.flushed(self.end.id)?.then_some(()))
        })
    }

    fn in_time<T>(&self, result: Result<Option<T>, Error>) -> io::Result<T> {
        match result {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(self.end.late()),
            // Writing behind a shutdown is the only use that a stream does not support.
            Err(error @ Error::Config(ConfigError::Unsupported(_))) => {
                Err(io::Error::new(io::ErrorKind::BrokenPipe, error))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The reading direction of a [`Stream`]. Dropping it shuts that direction down.
#[derive(Debug)]
pub struct ReadHalf(Stream);

/// The writing direction of a [`Stream`]. Dropping it shuts that direction down, so that the peer
/// reads the end of the stream behind what was written.
#[derive(Debug)]
pub struct WriteHalf(Stream);

impl AsRef<Stream> for ReadHalf {
    fn as_ref(&self) -> &Stream {
        &self.0
    }
}

impl AsRef<Stream> for WriteHalf {
    fn as_ref(&self) -> &Stream {
        &self.0
    }
}

impl AsRef<Stream> for Stream {
    fn as_ref(&self) -> &Stream {
        self
    }
}

// Where the channel has ended already there is nothing to shut down.
impl Drop for ReadHalf {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Read);
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

macro_rules! impl_read {
    ($($type:ty),+) => { $(
        impl io::Read for $type {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                let stream = AsRef::<Stream>::as_ref(self);
                stream.in_time(stream.read_some(out))
            }
        }

        impl embedded_io::Read for $type {
            fn read(&mut self, out: &mut [u8]) -> Result<usize, Error> {
                AsRef::<Stream>::as_ref(self).read_some(out)?.ok_or(Error::TimedOut)
            }
        }

        impl embedded_io::ReadReady for $type {
            fn read_ready(&mut self) -> Result<bool, Error> {
                let end = &AsRef::<Stream>::as_ref(self).end;
                end.call(|session, _, id| session.can_read(id))
            }
        }
    )+ };
}

macro_rules! impl_write {
    ($($type:ty),+) => { $(
        impl io::Write for $type {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let stream = AsRef::<Stream>::as_ref(self);
                stream.in_time(stream.write_some(bytes))
            }

            /// Waits until the relay has passed everything written on to the peer.
            fn flush(&mut self) -> io::Result<()> {
                let stream = AsRef::<Stream>::as_ref(self);
                stream.in_time(stream.flush_all())
            }
        }

        impl embedded_io::Write for $type {
            fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
                AsRef::<Stream>::as_ref(self).write_some(bytes)?.ok_or(Error::TimedOut)
            }

            /// Waits until the relay has passed everything written on to the peer.
            fn flush(&mut self) -> Result<(), Error> {
                AsRef::<Stream>::as_ref(self).flush_all()?.ok_or(Error::TimedOut)
            }
        }

        impl embedded_io::WriteReady for $type {
            fn write_ready(&mut self) -> Result<bool, Error> {
                let end = &AsRef::<Stream>::as_ref(self).end;
                end.call(|session, _, id| session.can_write(id))
            }
        }
    )+ };
}

impl_read!(Stream, &Stream, ReadHalf);
impl_write!(Stream, &Stream, WriteHalf);

impl embedded_io::ErrorType for Stream {
    type Error = Error;
}

impl embedded_io::ErrorType for &Stream {
    type Error = Error;
}

impl embedded_io::ErrorType for ReadHalf {
    type Error = Error;
}

impl embedded_io::ErrorType for WriteHalf {
    type Error = Error;
}
