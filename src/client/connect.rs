//! How a client connects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::channel::{Channel, ChannelKind, deadline};
use super::known_peers::Change;
use super::readiness::Waitable;
use super::{Client, DatagramChannel, Stream};
use crate::Endpoint;
use crate::error::{ConfigError, Error, PeerError};
use crate::secure::PublicKey;

/// Pause before a listener without room is asked for the second time, as CONNECT_REQ is repeated.
/// Each later pause is twice as long as the one before.
const FULL_PAUSE: Duration = Duration::from_millis(500);

/// Longest pause before a listener without room is asked again, as that of CONNECT_REQ.
const LONGEST_FULL_PAUSE: Duration = Duration::from_secs(5);

/// Whom a client connects to.
struct Target {
    endpoint: Endpoint,
    /// The key that the listener is to have, if the name does not say it.
    key: Option<PublicKey>,
}

impl Target {
    fn at(endpoint: Endpoint) -> Self {
        Self { endpoint, key: None }
    }
}

impl Client {
    /// Connects to the listener at an endpoint, `name:port`, at most for [`Config::connect_timeout`].
    /// A listener whose backlog is full is asked again until then, after 0.5, 1, 2, 4, then every
    /// 5 s.
    ///
    /// # Errors
    /// No valid endpoint; no listener there; a listener for datagrams; no free channel; or, when the
    /// time is over, what stood in the way last, such as a full backlog.
    ///
    /// [`Config::connect_timeout`]: super::Config::connect_timeout
    pub fn connect<E>(&self, endpoint: E) -> Result<Stream, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.connect_timeout(endpoint, self.handle.connect_timeout)
    }

    /// Connects to the listener at an endpoint, at most for `timeout`; `None` waits for ever. Zero is
    /// always too short: [`start_connect`](Self::start_connect) does not wait.
    ///
    /// # Errors
    /// The errors of [`connect`](Self::connect), and [`Error::Cancelled`].
    pub fn connect_timeout<E>(
        &self,
        endpoint: E,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Stream, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.connect_greeting(endpoint, &[], timeout)
    }

    /// Connects to the listener for datagrams at an endpoint; else as [`connect`](Self::connect).
    ///
    /// # Errors
    /// The errors of [`connect`](Self::connect).
    pub fn connect_datagram<E>(&self, endpoint: E) -> Result<DatagramChannel, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.connect_datagram_timeout(endpoint, self.handle.connect_timeout)
    }

    /// Connects to the listener for datagrams at an endpoint; else as
    /// [`connect_timeout`](Self::connect_timeout).
    ///
    /// # Errors
    /// The errors of [`connect_timeout`](Self::connect_timeout).
    pub fn connect_datagram_timeout<E>(
        &self,
        endpoint: E,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<DatagramChannel, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.connect_greeting(endpoint, &[], timeout)
    }

    /// Connects as [`connect_timeout`](Self::connect_timeout) does, for the kind of channel that the
    /// result is to be, and gives the listener's program `greeting`, at most
    /// [`MAX_GREETING`](crate::wire::MAX_GREETING) octets. That program reads it by
    /// [`Channel::greeting`] as soon as it has accepted.
    ///
    /// ```no_run
    /// # let client = byway::client::Client::open("http://relay.example:8080")?;
    /// use std::time::Duration;
    /// use byway::client::Stream;
    ///
    /// let stream: Stream =
    ///     client.connect_greeting("camera:1", b"picture 17", Duration::from_secs(20))?;
    /// # Ok::<(), byway::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`connect_timeout`](Self::connect_timeout), and a greeting that is too long.
    pub fn connect_greeting<E, K: ChannelKind>(
        &self,
        endpoint: E,
        greeting: &[u8],
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Channel<K>, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.connect_until_room(&Target::at(endpoint.try_into()?), greeting, timeout.into())
    }

    /// Connects as [`connect_greeting`](Self::connect_greeting) does, to a listener that has `key` and no
    /// other. At a [key name](crate::secure) the name says the key, and [`connect`](Self::connect) does the
    /// same.
    ///
    /// # Errors
    /// The errors of `connect_greeting`; [`PeerError::WrongKey`] if the listener has another key;
    /// [`Unsupported`](crate::error::ConfigError::Unsupported) if the client does not
    /// [encrypt](super::Config::security).
    pub fn connect_to_key<E, K: ChannelKind>(
        &self,
        endpoint: E,
        key: &PublicKey,
        greeting: &[u8],
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Channel<K>, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        let target = Target { endpoint: endpoint.try_into()?, key: Some(*key) };
        self.connect_until_room(&target, greeting, timeout.into())
    }

    /// Asks for a stream to the listener at an endpoint, and does not wait for the answer.
    /// [`Channel::wait_open`] tells whether the stream is open; [`Readiness::OPEN`] and
    /// [`Readiness::WRITABLE`] tell when to look. Until then reads and writes wait. The client asks
    /// until the listener refuses; closing or dropping the stream ends that. Does not block.
    ///
    /// # Errors
    /// No valid endpoint, no free channel, [`Error::Closed`], or why the session cannot go on.
    ///
    /// [`Readiness::OPEN`]: super::Readiness::OPEN
    /// [`Readiness::WRITABLE`]: super::Readiness::WRITABLE
    pub fn start_connect<E>(&self, endpoint: E) -> Result<Stream, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.start_connect_greeting(endpoint, &[])
    }

    /// Asks for a datagram channel; else as [`start_connect`](Self::start_connect).
    ///
    /// # Errors
    /// The errors of [`start_connect`](Self::start_connect).
    pub fn start_connect_datagram<E>(&self, endpoint: E) -> Result<DatagramChannel, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.start_connect_greeting(endpoint, &[])
    }

    /// Asks for a channel of the kind that the result is to be, with a greeting as
    /// [`connect_greeting`](Self::connect_greeting) gives; else as
    /// [`start_connect`](Self::start_connect).
    ///
    /// # Errors
    /// The errors of [`start_connect`](Self::start_connect), and a greeting that is too long.
    pub fn start_connect_greeting<E, K: ChannelKind>(
        &self,
        endpoint: E,
        greeting: &[u8],
    ) -> Result<Channel<K>, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.request_connect(&Target::at(endpoint.try_into()?), greeting)
    }

    /// Asks for a channel to a listener that has `key` and no other; else as
    /// [`start_connect_greeting`](Self::start_connect_greeting).
    ///
    /// # Errors
    /// The errors of `start_connect_greeting`; [`Unsupported`](crate::error::ConfigError::Unsupported) if the
    /// client does not [encrypt](super::Config::security).
    pub fn start_connect_to_key<E, K: ChannelKind>(
        &self,
        endpoint: E,
        key: &PublicKey,
        greeting: &[u8],
    ) -> Result<Channel<K>, Error>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        self.request_connect(&Target { endpoint: endpoint.try_into()?, key: Some(*key) }, greeting)
    }

    /// Connects, and again while the listener has no room.
    fn connect_until_room<K: ChannelKind>(
        &self,
        target: &Target,
        greeting: &[u8],
        timeout: Option<Duration>,
    ) -> Result<Channel<K>, Error> {
        const FULL: Error = Error::Peer(PeerError::BacklogFull);
        let until = deadline(timeout);
        let mut pause = FULL_PAUSE;
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match self.connect_once(target, greeting, left) {
                Err(FULL) => {}
                // The listener said so before.
                Err(Error::TimedOut) if pause > FULL_PAUSE => return Err(FULL),
                result => return result,
            }
            let endpoint = target.endpoint;
            log::debug!("{endpoint}: the listener has no room and is asked again in {pause:?}");
            let next = Instant::now() + pause;
            let next = until.map_or(next, |until| until.min(next));
            pause = (pause * 2).min(LONGEST_FULL_PAUSE);
            let monitor = &self.handle.monitor;
            monitor.wait(monitor.on_session(), monitor.on_session(), Some(next), |_, _| {
                Ok(None::<()>)
            })?;
            if until.is_some_and(|until| until <= Instant::now()) {
                return Err(FULL);
            }
        }
    }

    fn connect_once<K: ChannelKind>(
        &self,
        target: &Target,
        greeting: &[u8],
        timeout: Option<Duration>,
    ) -> Result<Channel<K>, Error> {
        let monitor = &self.handle.monitor;
        let channel = self.request_connect(target, greeting)?;
        let opened =
            monitor.wait_open(Waitable::Channel(channel.id()), monitor.on_session(), timeout);
        channel.end().compare(opened).inspect_err(|error| {
            log::debug!("{}: not connected: {error}", target.endpoint);
            channel.abort();
        })?;
        Ok(channel)
    }

    fn request_connect<K: ChannelKind>(
        &self,
        target: &Target,
        greeting: &[u8],
    ) -> Result<Channel<K>, Error> {
        let Target { endpoint, key: given } = *target;
        let known = match &self.handle.known_peers {
            Some(known) if given.is_none() && !endpoint.name.is_key_name() => {
                known.key(endpoint)?
            }
            Some(_) | None => None,
        };
        let made = self.checked(|session, now| match given.as_ref().or(known.as_ref()) {
            Some(key) => session.connect_to_key(now, endpoint, K::KIND, greeting, key),
            None => session.connect(now, endpoint, K::KIND, greeting),
        });
        let id = match (made, &self.handle.known_peers) {
            // Whom it encrypted with before it does not call in plain.
            (Err(Error::Config(ConfigError::Unsupported(_))), Some(peers)) if known.is_some() => {
                peers.tell_changed(endpoint, Change::Plain);
                return Err(PeerError::WrongKey.into());
            }
            (made, _) => made?,
        };
        let channel = Channel::new(Arc::clone(&self.handle), id);
        if given.is_some() {
            channel.end().trust();
        }
        Ok(channel)
    }
}
