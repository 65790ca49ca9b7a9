//! Calls that block, with a time-out.

use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};

use super::{Device, Link};
use crate::error::{Blocked, Error};
use crate::session::{ChannelId, Half, ListenerId, Purpose, Session, Settings, Single};
use crate::{Endpoint, Kind};

/// The time, and how to let it pass.
pub trait Clock {
    /// Milliseconds since any beginning; never goes back.
    fn now_ms(&mut self) -> u64;

    /// Waits until `until` at the latest; it may return at any time, and should when the link has
    /// something to read. Unless it is given, waiting is asking again and again.
    fn wait(&mut self, until: u64) {
        let _ = until;
    }
}

/// Blocking calls on a [`Device`]: each polls it until it is done, or its time-out is over.
///
/// The device does nothing between the calls. A program that is busy elsewhere for longer calls
/// [`poll`](Self::poll) now and then, or its channels wait.
///
/// Each call ends by [`Blocked`] once the link is given up ([`Link::pause_ms`]); why says
/// [`Device::fault`] of [`device`](Self::device).
#[derive(Debug)]
pub struct Sockets<'s, L: Link, C, P: Purpose> {
    device: Device<'s, L, P>,
    clock: C,
    timeout_ms: u32,
}

/// Whether a call is done, which it asks the session.
type Done<'f, 's, P> = dyn FnMut(&mut Session<'s, Single<P>>, u64) -> Result<bool, Error> + 'f;

impl<'s, L: Link, C: Clock, P: Purpose> Sockets<'s, L, C, P> {
    /// Calls without a time-out, see [`set_timeout`](Self::set_timeout).
    pub fn new(device: Device<'s, L, P>, clock: C) -> Self {
        Self { device, clock, timeout_ms: 0 }
    }

    /// How long the calls after this one may take, in ms; 0, as at first: for ever.
    pub fn set_timeout(&mut self, ms: u32) {
        self.timeout_ms = ms;
    }

    /// The device, for what has no call here.
    pub fn device(&mut self) -> &mut Device<'s, L, P> {
        &mut self.device
    }

    /// Opens the session. Does not wait: the calls after this one do.
    pub fn open(&mut self, settings: &Settings) {
        let now = self.now();
        self.device.session.open(now, settings);
    }

    /// The clock's time, in ms, for calls on the session.
    pub fn now(&mut self) -> u64 {
        // To a session 0 is no time.
        self.clock.now_ms().max(1)
    }

    /// Does what can be done without waiting; when it is to be called again at the latest, in ms
    /// of the clock.
    pub fn poll(&mut self) -> Option<u64> {
        let now = self.now();
        self.device.poll(now)
    }

    /// When a call that begins now has to be done; for ever: never.
    fn end(&mut self) -> u64 {
        match self.timeout_ms {
            0 => u64::MAX,
            ms => self.now() + u64::from(ms),
        }
    }

    fn until(&mut self, done: &mut Done<'_, 's, P>) -> Result<(), Error> {
        let end = self.end();
        self.until_at(end, done)
    }

    /// Polls until `done` says so, and sends what it did. Ends, too, when the link is given up.
    fn until_at(&mut self, end: u64, done: &mut Done<'_, 's, P>) -> Result<(), Error> {
        // Before a request begins that would have to end first.
        let now = self.now();
        if self.is_done(now, done)? {
            return Ok(());
        }
        loop {
            let now = self.now();
            let due = self.device.poll(now).unwrap_or(u64::MAX);
            if self.is_done(now, done)? {
                return Ok(());
            }
            // What ends every hope is said on no channel.
            self.device.session.is_open()?;
            if self.device.is_given_up() {
                return Err(self.device.session.blocked().unwrap_or(Blocked::Connect).into());
            }
            if end <= now {
                return Err(Error::TimedOut);
            }
            if due > now {
                self.clock.wait(due.min(end));
            }
        }
    }

    fn is_done(&mut self, now: u64, done: &mut Done<'_, 's, P>) -> Result<bool, Error> {
        let is_done = done(&mut self.device.session, now)?;
        if is_done {
            self.device.settle(now);
        }
        Ok(is_done)
    }

    /// Connects to whoever listens at `endpoint`.
    ///
    /// # Errors
    /// As [`Session::connect`] and [`Session::connected`]; when the time is over
    /// [`Session::connect_cause`]. The channel is let go of then.
    pub fn connect(
        &mut self,
        endpoint: Endpoint,
        kind: Kind,
        greeting: &[u8],
    ) -> Result<ChannelId, Error> {
        let now = self.now();
        let id = self.device.session.connect(now, endpoint, kind, greeting)?;
        let mut result = self.until(&mut |session, _| session.connected(id));
        if result == Err(Error::TimedOut) {
            result = Err(self.device.session.connect_cause(id));
        }
        if result.is_err() {
            self.release(id);
        }
        result.map(|()| id)
    }

    /// Claims `endpoint` and waits until the relay grants it.
    ///
    /// # Errors
    /// As [`Session::listen`] and [`Session::listening`], `TimedOut`. The claim is given up then.
    pub fn listen(
        &mut self,
        endpoint: Endpoint,
        kind: Kind,
        backlog: u8,
    ) -> Result<ListenerId, Error> {
        let now = self.now();
        let id = self.device.session.listen(now, endpoint, kind, backlog)?;
        let result = self.until(&mut |session, _| session.listening(id));
        if result.is_err() {
            let now = self.now();
            self.device.session.unlisten(now, id);
        }
        result.map(|()| id)
    }

    /// Takes the next connection of a listener.
    ///
    /// # Errors
    /// As [`Session::accept`], `TimedOut`.
    pub fn accept(&mut self, id: ListenerId) -> Result<ChannelId, Error> {
        let mut accepted = None;
        self.until(&mut |session, now| {
            accepted = session.accept(now, id)?;
            Ok(accepted.is_some())
        })?;
        accepted.ok_or(Error::Closed)
    }

    /// A stream to read and write.
    pub fn stream(&mut self, id: ChannelId) -> StreamSocket<'_, 's, L, C, P> {
        StreamSocket { sockets: self, id }
    }

    /// Queues a datagram; waits while there is no room.
    ///
    /// # Errors
    /// As [`Session::send_datagram`], `TimedOut`.
    pub fn send(&mut self, id: ChannelId, datagram: &[u8]) -> Result<(), Error> {
        self.until(&mut |session, now| session.send_datagram(now, id, datagram))
    }

    /// Waits for a datagram; how many octets it has.
    ///
    /// # Errors
    /// As [`Session::recv_datagram`], `TimedOut`.
    pub fn recv(&mut self, id: ChannelId, out: &mut [u8]) -> Result<usize, Error> {
        let mut len = None;
        self.until(&mut |session, now| {
            len = session.recv_datagram(now, id, out)?;
            Ok(len.is_some())
        })?;
        len.ok_or(Error::Closed)
    }

    /// Lets go of a channel: what was written still goes out while the device is polled.
    pub fn release(&mut self, id: ChannelId) {
        let now = self.now();
        self.device.session.release(now, id);
        self.device.poll(now);
    }

    /// Ends the session in order, within `timeout_ms`, then at once. See [`Session::close`].
    ///
    /// # Errors
    /// `TimedOut` if peers did not get everything.
    pub fn close(&mut self, timeout_ms: u32) -> Result<(), Error> {
        let now = self.now();
        self.device.session.close(now);
        let end = now + u64::from(timeout_ms);
        let result = self.until_at(end, &mut |session, _| Ok(session.is_closed()));
        if result.is_err() {
            let now = self.now();
            self.device.session.abort_all(now);
            self.device.poll(now);
        }
        result
    }
}

/// A stream of a [`Sockets`]: borrows it, so that there is one at a time; made anew from the
/// [`ChannelId`] as often as one likes. Dropping it does nothing to the channel.
#[derive(Debug)]
pub struct StreamSocket<'a, 's, L: Link, C, P: Purpose> {
    sockets: &'a mut Sockets<'s, L, C, P>,
    id: ChannelId,
}

impl<L: Link, C: Clock, P: Purpose> StreamSocket<'_, '_, L, C, P> {
    /// Ends a direction; see [`Session::shutdown`].
    ///
    /// # Errors
    /// As there.
    pub fn shutdown(&mut self, half: Half) -> Result<(), Error> {
        let now = self.sockets.now();
        self.sockets.device.session.shutdown(now, self.id, half)?;
        self.sockets.device.poll(now);
        Ok(())
    }

    /// Waits until the other peer's client has everything written, its end too.
    ///
    /// # Errors
    /// What ended the channel before, `TimedOut`.
    pub fn wait_acked(&mut self) -> Result<(), Error> {
        let (id, now) = (self.id, self.sockets.now());
        self.sockets.device.session.request_ack(now, id)?;
        self.sockets.until(&mut |session, _| session.acked(id))
    }
}

impl<L: Link, C, P: Purpose> ErrorType for StreamSocket<'_, '_, L, C, P> {
    type Error = Error;
}

impl<L: Link, C: Clock, P: Purpose> Read for StreamSocket<'_, '_, L, C, P> {
    /// Waits for bytes; 0 at the end of the stream.
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        let (id, mut n) = (self.id, None);
        self.sockets.until(&mut |session, now| {
            n = session.read(now, id, out)?;
            Ok(n.is_some())
        })?;
        Ok(n.unwrap_or(0))
    }
}

impl<L: Link, C: Clock, P: Purpose> Write for StreamSocket<'_, '_, L, C, P> {
    /// Copies what fits into the transmit ring; waits while that is full.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let (id, mut n) = (self.id, 0);
        self.sockets.until(&mut |session, now| {
            n = session.write(now, id, bytes)?;
            Ok(n > 0 || bytes.is_empty())
        })?;
        Ok(n)
    }

    /// Waits until the relay has passed on everything written to the peer.
    fn flush(&mut self) -> Result<(), Error> {
        let id = self.id;
        self.sockets.until(&mut |session, _| session.flushed(id))
    }
}

impl<L: Link, C: Clock, P: Purpose> ReadReady for StreamSocket<'_, '_, L, C, P> {
    fn read_ready(&mut self) -> Result<bool, Error> {
        self.sockets.poll();
        self.sockets.device.session.can_read(self.id)
    }
}

impl<L: Link, C: Clock, P: Purpose> WriteReady for StreamSocket<'_, '_, L, C, P> {
    fn write_ready(&mut self) -> Result<bool, Error> {
        self.sockets.poll();
        self.sockets.device.session.can_write(self.id)
    }
}
