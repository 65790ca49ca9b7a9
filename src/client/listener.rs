//! Listeners.

use std::collections::HashSet;
use std::io;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::channel::{Channel, ChannelKind, deadline};
use super::readiness::{PollFd, Readiness, Waitable};
use super::{Handle, Stream};
use crate::Endpoint;
use crate::error::Error;
use crate::secure::PublicKey;
use crate::session::{ListenerId, Session};

/// An endpoint at which other peers can connect: to a [`Stream`], or to a
/// [`DatagramChannel`](super::DatagramChannel).
///
/// The client answers connecting peers by itself while the backlog and the profile's channels
/// last. Dropping the listener gives the endpoint back; channels already accepted stay.
#[derive(Debug)]
pub struct Listener<C = Stream> {
    handle: Arc<Handle>,
    id: ListenerId,
    endpoint: Endpoint,
    admitted: Mutex<Admitted>,
    channels: PhantomData<fn() -> C>,
}

/// The peers that a listener admits, by their keys.
#[derive(Debug)]
enum Admitted {
    Only(HashSet<PublicKey>),
    AllBut(HashSet<PublicKey>),
}

impl Admitted {
    fn refuse(&mut self, key: &PublicKey) {
        match self {
            Self::Only(keys) => keys.remove(key),
            Self::AllBut(keys) => keys.insert(*key),
        };
    }

    /// Whether a peer with this key, or without one, is admitted.
    fn has(&self, key: Option<&PublicKey>) -> bool {
        match self {
            Self::Only(keys) => key.is_some_and(|key| keys.contains(key)),
            Self::AllBut(keys) => key.is_none_or(|key| !keys.contains(key)),
        }
    }
}

impl<K: ChannelKind> Listener<Channel<K>> {
    pub(super) fn new(handle: Arc<Handle>, id: ListenerId, endpoint: Endpoint) -> Self {
        let admitted = Mutex::new(Admitted::AllBut(HashSet::new()));
        Self { handle, id, endpoint, admitted, channels: PhantomData }
    }

    /// The endpoint at which the client listens.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The number that names the listener in events. A client never uses a number again.
    pub fn id(&self) -> ListenerId {
        self.id
    }

    /// Admits peers that have one of these keys, and no others from now on: their channels are refused, with
    /// [`PeerError::KeyRefused`](crate::error::PeerError::KeyRefused) for them, before `accept` gives any.
    /// A channel that is not encrypted proves no key.
    pub fn admit(&self, keys: impl IntoIterator<Item = PublicKey>) {
        *self.admitted() = Admitted::Only(keys.into_iter().collect());
    }

    /// Admits peers that have one of these keys no longer, whether all were admitted before or some. Channels
    /// that were accepted stay: [`Channel::refuse`] ends one. A peer that was given no identity comes back with
    /// another key once it is started anew.
    ///
    /// ```no_run
    /// # let client = byway::client::Client::open("http://relay.example:8080")?;
    /// # fn is_welcome(greeting: &[u8]) -> bool { !greeting.is_empty() }
    /// let listener = client.listen("camera:1")?;
    /// let stream = listener.accept()?;
    /// if !is_welcome(&stream.greeting()?) {
    ///     listener.refuse(stream.peer_key()?);
    ///     stream.refuse();
    /// }
    /// # Ok::<(), byway::Error>(())
    /// ```
    pub fn refuse(&self, keys: impl IntoIterator<Item = PublicKey>) {
        let mut admitted = self.admitted();
        keys.into_iter().for_each(|key| admitted.refuse(&key));
    }

    fn admitted(&self) -> MutexGuard<'_, Admitted> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the relay has granted the endpoint, at most for `timeout`: `None` waits for ever,
    /// zero only looks. Returns at once unless the listener was made by
    /// [`start_listen`](super::Client::start_listen).
    ///
    /// # Errors
    /// The endpoint is in use by another owner, or was lost to a newer process; when the time is over,
    /// what blocks the path, or [`Error::TimedOut`]; [`Error::Cancelled`], [`Error::Closed`].
    pub fn wait_open(&self, timeout: impl Into<Option<Duration>>) -> Result<(), Error> {
        let monitor = &self.handle.monitor;
        monitor.wait_open(Waitable::Listener(self.id), monitor.on_listener(self.id), timeout.into())
    }

    /// Waits for a peer to connect. Several threads may wait at once. The peer may have ended the
    /// channel already: then the bytes that came before are read first, as with TCP.
    ///
    /// # Errors
    /// [`Error::Closed`] once the listener or the client is closed, or why the endpoint was lost.
    pub fn accept(&self) -> Result<Channel<K>, Error> {
        self.accept_for(None)
    }

    /// Waits for a peer to connect, at most for `timeout`: `None` waits for ever, zero only takes a
    /// peer that waits already.
    ///
    /// # Errors
    /// The errors of [`accept`](Self::accept), [`Error::TimedOut`] and [`Error::Cancelled`].
    pub fn accept_timeout(
        &self,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Channel<K>, Error> {
        self.accept_for(timeout.into())
    }

    /// The channels of the peers that connect, one after the other, for ever. The iterator ends at the
    /// first error, which is its last item.
    pub fn incoming(&self) -> impl Iterator<Item = io::Result<Channel<K>>> {
        let mut ended = false;
        std::iter::from_fn(move || {
            let next = (!ended).then(|| self.accept())?;
            ended = next.is_err();
            Some(next.map_err(Into::into))
        })
    }

    fn accept_for(&self, timeout: Option<Duration>) -> Result<Channel<K>, Error> {
        let monitor = &self.handle.monitor;
        let signal = monitor.on_listener(self.id);
        let accept = |session: &mut Session<'_>, now| {
            while let Some(id) = session.accept(now, self.id)? {
                let key = session.peer_key(id)?;
                if self.admitted().has(key.as_ref()) {
                    return Ok(Some(id));
                }
                match key {
                    Some(key) => {
                        log::debug!("{}: a peer with the key {key} is not admitted", self.endpoint);
                    }
                    None => log::debug!("{}: a peer without a key is not admitted", self.endpoint),
                }
                session.refuse(now, id);
            }
            Ok(None)
        };
        let id = monitor.wait(signal, signal, deadline(timeout), accept)?.ok_or(Error::TimedOut)?;
        Ok(Channel::new(Arc::clone(&self.handle), id))
    }
}

impl<C> Listener<C> {
    /// Ends every wait on this listener that is in progress with [`Error::Cancelled`]. Calls that begin
    /// later wait as ever. Does not block.
    pub fn cancel(&self) {
        let monitor = &self.handle.monitor;
        let owned = |session: &Session<'_>| session.listener_endpoint(self.id).is_ok();
        monitor.cancel(monitor.on_listener(self.id), owned);
    }

    /// What can be done now without waiting.
    pub fn readiness(&self) -> Readiness {
        self.handle.monitor.with(|state| state.readiness(Waitable::Listener(self.id)))
    }

    /// A file descriptor that is readable while the listener is ready for any of `interest`, and when
    /// it has ended.
    ///
    /// # Errors
    /// The system gives no file descriptor.
    pub fn poll_fd(&self, interest: Readiness) -> io::Result<PollFd> {
        PollFd::new(&self.handle, Waitable::Listener(self.id), interest)
    }

    /// Gives the endpoint back and wakes every thread that waits in `accept`. Does not block.
    pub fn close(&self) {
        self.handle.monitor.call(|session, now| session.unlisten(now, self.id));
        self.handle.monitor.on_listener(self.id).notify_all();
    }
}

impl<C> Drop for Listener<C> {
    fn drop(&mut self) {
        self.close();
    }
}
