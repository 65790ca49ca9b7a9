//! Listening and connecting without waiting: asking is one call, having another.

use std::sync::Arc;
use std::time::Duration;

use super::channel::{Channel, deadline};
use super::readiness::Target;
use super::shared::{Shared, Signal};
use super::{Client, DatagramChannel, Listener, Stream};
use crate::error::Error;
use crate::{Endpoint, Kind};

impl Client {
    /// Asks for an endpoint, `name:port`, for streams. The listener is open when
    /// [`Listener::wait_open`] says so, of which [`Readiness::OPEN`](super::Readiness::OPEN) tells; it
    /// asks until then, and dropping it ends that. Does not block.
    ///
    /// # Errors
    /// No valid endpoint, this client listens there already, no free listener, [`Error::Closed`], or
    /// why the session can go on no longer.
    pub fn start_listen<E>(&self, endpoint: E) -> Result<Listener<Stream>, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.ask_listen(endpoint.try_into()?, Kind::Stream)
    }

    /// Asks for an endpoint for datagram channels; else as [`start_listen`](Self::start_listen).
    ///
    /// # Errors
    /// As [`start_listen`](Self::start_listen).
    pub fn start_listen_datagram<E>(&self, endpoint: E) -> Result<Listener<DatagramChannel>, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.ask_listen(endpoint.try_into()?, Kind::Datagram)
    }

    /// Asks for a stream to who listens at an endpoint. It is open when [`Stream::wait_open`] says so,
    /// of which [`Readiness::OPEN`](super::Readiness::OPEN) and
    /// [`WRITABLE`](super::Readiness::WRITABLE) tell; until then reads and writes wait. It asks until
    /// it is refused; closing or dropping it ends that. Does not block.
    ///
    /// # Errors
    /// No valid endpoint, no free channel, [`Error::Closed`], or why the session can go on no longer.
    pub fn start_connect<E>(&self, endpoint: E) -> Result<Stream, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.ask_connect(endpoint.try_into()?, Kind::Stream).map(Into::into)
    }

    /// Asks for a datagram channel; else as [`start_connect`](Self::start_connect).
    ///
    /// # Errors
    /// As [`start_connect`](Self::start_connect).
    pub fn start_connect_datagram<E>(&self, endpoint: E) -> Result<DatagramChannel, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.ask_connect(endpoint.try_into()?, Kind::Datagram).map(Into::into)
    }

    pub(super) fn ask_listen<C: From<Channel>>(
        &self,
        endpoint: Endpoint,
        kind: Kind,
    ) -> Result<Listener<C>, Error> {
        let backlog = self.handle.backlog;
        let id = self.checked(|session, now| session.listen(now, endpoint, kind, backlog))?;
        Ok(Listener::new(Arc::clone(&self.handle), id, endpoint))
    }

    pub(super) fn ask_connect(&self, endpoint: Endpoint, kind: Kind) -> Result<Channel, Error> {
        let id = self.checked(|session, now| session.connect(now, endpoint, kind, &[]))?;
        Ok(Channel::new(Arc::clone(&self.handle), id))
    }
}

impl Shared {
    /// Waits until what was asked for is there, at most for `timeout`; a cancel of `scope` ends that.
    ///
    /// # Errors
    /// Why it will never be there, or, when the time is over, what stood in the way. After no time at
    /// all that is [`Error::TimedOut`].
    pub fn wait_open(
        &self,
        target: Target,
        scope: &Signal,
        timeout: Option<Duration>,
    ) -> Result<(), Error> {
        let signal = match target {
            Target::Client => self.on_session(),
            Target::Listener(id) => self.on_listener(id),
            Target::Channel(id) => self.on_channel(id).other(),
        };
        let open = self.wait(signal, scope, deadline(timeout), |session, _| {
            Ok(target.is_open(session)?.then_some(()))
        })?;
        open.ok_or_else(|| self.call(|session, _| target.late(session, timeout)))
    }
}
