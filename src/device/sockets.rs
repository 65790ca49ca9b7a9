//! Calls on a device that block, with a time-out.

use core::num::NonZeroU32;

use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};

use super::{Device, Link};
use crate::error::{Blocked, Error};
#[cfg(feature = "secure")]
use crate::session::Security;
use crate::session::{ChannelId, Half, ListenerId, Purpose, Session, Settings, Single};
use crate::{Endpoint, Kind};

/// The clock of a [`Sockets`], and how to wait for a time.
pub trait Clock {
    /// The time in ms since any beginning; it never goes back.
    fn now_ms(&mut self) -> u64;

    /// Waits until `until`, in ms, at the latest. The function may return at any time, and should when the
    /// link has something to read. By default it returns at once, and the calls ask again and again.
    fn wait(&mut self, until: u64) {
        let _ = until;
    }
}

/// Blocking calls on a [`Device`]: each polls the device until the call is done, or its time-out is over.
///
/// The device does nothing between the calls. A program that is busy elsewhere for longer calls
/// [`poll`](Self::poll) now and then, or its channels wait.
///
/// Each call ends with [`Blocked`] once the link is given up ([`Link::pause_ms`]); [`Device::fault`] of
/// [`device`](Self::device) tells the reason.
#[derive(Debug)]
pub struct Sockets<'s, L: Link, C, P: Purpose> {
    device: Device<'s, L, P>,
    clock: C,
    timeout_ms: Option<NonZeroU32>,
}

/// Whether a call is done, which it asks the session.
type Done<'f, 's, P> = dyn FnMut(&mut Session<'s, Single<P>>, u64) -> Result<bool, Error> + 'f;

impl<'s, L: Link, C: Clock, P: Purpose> Sockets<'s, L, C, P> {
    /// Makes calls on `device` that have no time-out, see [`set_timeout`](Self::set_timeout).
    pub fn new(device: Device<'s, L, P>, clock: C) -> Self {
        Self { device, clock, timeout_ms: None }
    }

    /// Sets how long the calls after this one may take, in ms. With 0, as at first, they wait for ever.
    pub fn set_timeout(&mut self, ms: u32) {
        self.timeout_ms = NonZeroU32::new(ms);
    }

    /// The device, for all that has no call here.
    pub fn device(&mut self) -> &mut Device<'s, L, P> {
        &mut self.device
    }

    /// Opens the session. This call does not wait; the calls after it do.
    pub fn open(&mut self, settings: &Settings) {
        let now = self.now();
        self.device.session.open(now, settings);
    }

    /// Encrypts every channel from now on, as [`Session::encrypt`] does: called behind
    /// [`open`](Self::open). This call does not wait.
    #[cfg(feature = "secure")]
    pub fn encrypt(&mut self, security: Security) {
        self.device.session.encrypt(security);
    }

    /// The clock's time, in ms, for calls on the session.
    pub fn now(&mut self) -> u64 {
        self.clock.now_ms()
    }

    /// Does what can be done without waiting, and returns when to call it again at the latest, in ms of the
    /// clock; `None`: nothing is due. See [`Device::poll`].
    pub fn poll(&mut self) -> Option<u64> {
        let now = self.now();
        self.device.poll(now)
    }

    /// When the time-out of a call that begins now is over, in ms of the clock.
    fn end(&mut self) -> u64 {
        self.timeout_ms.map_or(u64::MAX, |ms| self.now() + u64::from(ms.get()))
    }

    fn until(&mut self, done: &mut Done<'_, 's, P>) -> Result<(), Error> {
        let end = self.end();
        self.until_at(end, done)
    }

    /// Polls until `done` says so, and sends what `done` wrote. The call also ends when the link is given
    /// up.
    fn until_at(&mut self, end: u64, done: &mut Done<'_, 's, P>) -> Result<(), Error> {
        // Looked at before a request begins, which would have to end first.
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
            // A fatal error of the session is told by no channel.
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

    /// Connects to the peer that listens at `endpoint`. `greeting` goes with the request.
    ///
    /// # Errors
    /// Those of [`Session::connect`] and [`Session::connected`]; when the time is over, that of
    /// [`Session::connect_cause`]. The channel is released then.
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
    /// Those of [`Session::listen`] and [`Session::listening`], and `TimedOut`. The claim is given up then.
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

    /// Waits for the next connection of a listener, and returns its channel.
    ///
    /// # Errors
    /// Those of [`Session::accept`], and `TimedOut`.
    pub fn accept(&mut self, id: ListenerId) -> Result<ChannelId, Error> {
        let mut accepted = None;
        self.until(&mut |session, now| {
            accepted = session.accept(now, id)?;
            Ok(accepted.is_some())
        })?;
        debug_assert!(accepted.is_some(), "an accept that is done has a channel");
        accepted.ok_or(Error::Closed)
    }

    /// The stream of a channel, to read and write.
    pub fn stream(&mut self, id: ChannelId) -> StreamSocket<'_, 's, L, C, P> {
        StreamSocket { sockets: self, id }
    }

    /// Queues a datagram, and waits while there is no room for it.
    ///
    /// # Errors
    /// Those of [`Session::send_datagram`], and `TimedOut`.
    pub fn send(&mut self, id: ChannelId, datagram: &[u8]) -> Result<(), Error> {
        self.until(&mut |session, now| session.send_datagram(now, id, datagram))
    }

    /// Waits for a datagram, copies it to `out`, and returns how many octets it has.
    ///
    /// # Errors
    /// Those of [`Session::recv_datagram`], and `TimedOut`.
    pub fn recv(&mut self, id: ChannelId, out: &mut [u8]) -> Result<usize, Error> {
        let mut len = None;
        self.until(&mut |session, now| {
            len = session.recv_datagram(now, id, out)?;
            Ok(len.is_some())
        })?;
        debug_assert!(len.is_some(), "a receive that is done has a datagram");
        len.ok_or(Error::Closed)
    }

    /// Releases a channel. Octets that were written still go out while the device is polled.
    pub fn release(&mut self, id: ChannelId) {
        let now = self.now();
        self.device.session.release(now, id);
        self.device.poll(now);
    }

    /// Closes the session in order, within `timeout_ms`, and otherwise at once. See [`Session::close`].
    ///
    /// # Errors
    /// `TimedOut` if the peers did not get everything.
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

/// A stream of a [`Sockets`], which it borrows: there is one at a time.
/// [`stream`](Sockets::stream) makes it anew from the [`ChannelId`] as often as need be; dropping it does
/// nothing to the channel.
#[derive(Debug)]
pub struct StreamSocket<'a, 's, L: Link, C, P: Purpose> {
    sockets: &'a mut Sockets<'s, L, C, P>,
    id: ChannelId,
}

impl<L: Link, C: Clock, P: Purpose> StreamSocket<'_, '_, L, C, P> {
    /// Ends one direction or both; see [`Session::shutdown`].
    ///
    /// # Errors
    /// Those of [`Session::shutdown`].
    pub fn shutdown(&mut self, half: Half) -> Result<(), Error> {
        let now = self.sockets.now();
        self.sockets.device.session.shutdown(now, self.id, half)?;
        self.sockets.device.poll(now);
        Ok(())
    }

    /// Waits until the peer's client has everything that was written, and the end of the stream if there
    /// is one.
    ///
    /// # Errors
    /// The reason if the channel ended before, and `TimedOut`.
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
    /// Waits for bytes, and returns how many were copied to `out`: 0 at the end of the stream.
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        let (id, mut n) = (self.id, None);
        self.sockets.until(&mut |session, now| {
            n = session.read(now, id, out)?;
            Ok(n.is_some())
        })?;
        debug_assert!(n.is_some(), "a read that is done has read");
        Ok(n.unwrap_or(0))
    }
}

impl<L: Link, C: Clock, P: Purpose> Write for StreamSocket<'_, '_, L, C, P> {
    /// Copies to the transmit ring what fits, waiting while it is full, and returns how much that is.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let (id, mut n) = (self.id, 0);
        self.sockets.until(&mut |session, now| {
            n = session.write(now, id, bytes)?;
            Ok(n > 0 || bytes.is_empty())
        })?;
        Ok(n)
    }

    /// Waits until the relay has passed everything that was written on to the peer.
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
