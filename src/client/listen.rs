//! How a client listens.

use std::sync::Arc;
use std::time::Duration;

use super::channel::{Channel, ChannelKind};
use super::readiness::Waitable;
use super::{Client, DatagramChannel, Listener, Stream};
use crate::Endpoint;
use crate::error::Error;

impl Client {
    /// Claims an endpoint, `name:port`, for streams, and waits until the relay has granted it, at
    /// most for [`Config::connect_timeout`](super::Config::connect_timeout).
    ///
    /// # Errors
    /// No valid endpoint; another owner, a newer process or this client listens there; no free
    /// listener; or what blocks the path.
    pub fn listen<E>(&self, endpoint: E) -> Result<Listener<Stream>, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.listen_timeout(endpoint, self.handle.connect_timeout)
    }

    /// Claims an endpoint for streams, and waits until the relay has granted it, at most for
    /// `timeout`; `None` waits for ever. Zero is always too short:
    /// [`start_listen`](Self::start_listen) does not wait.
    ///
    /// # Errors
    /// The errors of [`listen`](Self::listen), and [`Error::Cancelled`].
    pub fn listen_timeout<E>(
        &self,
        endpoint: E,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Listener<Stream>, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.listen_greeting(endpoint, &[], timeout)
    }

    /// Claims an endpoint for datagram channels; else as [`listen`](Self::listen).
    ///
    /// # Errors
    /// The errors of [`listen`](Self::listen).
    pub fn listen_datagram<E>(&self, endpoint: E) -> Result<Listener<DatagramChannel>, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.listen_datagram_timeout(endpoint, self.handle.connect_timeout)
    }

    /// Claims an endpoint for datagram channels; else as [`listen_timeout`](Self::listen_timeout).
    ///
    /// # Errors
    /// The errors of [`listen_timeout`](Self::listen_timeout).
    pub fn listen_datagram_timeout<E>(
        &self,
        endpoint: E,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Listener<DatagramChannel>, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.listen_greeting(endpoint, &[], timeout)
    }

    /// Asks for an endpoint, `name:port`, for streams, and does not wait for the answer.
    /// [`Listener::wait_open`] tells whether the relay has granted it;
    /// [`Readiness::OPEN`](super::Readiness::OPEN) tells when to look. The client asks until then;
    /// dropping the listener ends that. Does not block.
    ///
    /// # Errors
    /// No valid endpoint, this client listens there already, no free listener, [`Error::Closed`], or
    /// why the session cannot go on.
    pub fn start_listen<E>(&self, endpoint: E) -> Result<Listener<Stream>, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.start_listen_greeting(endpoint, &[])
    }

    /// Asks for an endpoint for datagram channels; else as [`start_listen`](Self::start_listen).
    ///
    /// # Errors
    /// The errors of [`start_listen`](Self::start_listen).
    pub fn start_listen_datagram<E>(&self, endpoint: E) -> Result<Listener<DatagramChannel>, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.start_listen_greeting(endpoint, &[])
    }

    /// Claims an endpoint as [`listen_timeout`](Self::listen_timeout) does, for the kind of channel that
    /// the result is to be, and answers each peer that connects with `greeting`, at most
    /// [`MAX_GREETING`](crate::wire::MAX_GREETING) octets. The connecting program reads it by
    /// [`Channel::greeting`] as soon as its channel is open. The client answers before
    /// [`Listener::accept`] gives the channel, so that all peers of a listener get the same greeting.
    ///
    /// ```no_run
    /// # let client = byway::client::Client::open("http://relay.example:8080")?;
    /// use std::time::Duration;
    /// use byway::client::{Listener, Stream};
    ///
    /// let listener: Listener<Stream> =
    ///     client.listen_greeting("camera:1", b"jpeg 640x480", Duration::from_secs(20))?;
    /// # Ok::<(), byway::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`listen_timeout`](Self::listen_timeout), and a greeting that is too long.
    pub fn listen_greeting<E, K: ChannelKind>(
        &self,
        endpoint: E,
        greeting: &[u8],
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Listener<Channel<K>>, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.listen_until_granted(endpoint.try_into()?, greeting, timeout.into())
    }

    /// Asks for an endpoint for the kind of channel that the result is to be, and answers with a
    /// greeting as [`listen_greeting`](Self::listen_greeting) does; else as
    /// [`start_listen`](Self::start_listen).
    ///
    /// # Errors
    /// The errors of [`start_listen`](Self::start_listen), and a greeting that is too long.
    pub fn start_listen_greeting<E, K: ChannelKind>(
        &self,
        endpoint: E,
        greeting: &[u8],
    ) -> Result<Listener<Channel<K>>, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.request_listen(endpoint.try_into()?, greeting)
    }

    fn listen_until_granted<K: ChannelKind>(
        &self,
        endpoint: Endpoint,
        greeting: &[u8],
        timeout: Option<Duration>,
    ) -> Result<Listener<Channel<K>>, Error> {
        let monitor = &self.handle.monitor;
        let listener = self.request_listen(endpoint, greeting)?;
        monitor
            .wait_open(Waitable::Listener(listener.id()), monitor.on_session(), timeout)
            .inspect_err(|error| log::debug!("{endpoint}: not listening: {error}"))?;
        Ok(listener)
    }

    fn request_listen<K: ChannelKind>(
        &self,
        endpoint: Endpoint,
        greeting: &[u8],
    ) -> Result<Listener<Channel<K>>, Error> {
        let backlog = self.handle.backlog;
        let id = self.checked(|session, now| {
            session.listen_greeting(now, endpoint, K::KIND, backlog, greeting)
        })?;
        Ok(Listener::new(Arc::clone(&self.handle), id, endpoint))
    }
}
