//! The blocking client: sockets between peers, over two threads that make exchanges with the relay.
//!
//! ```no_run
//! use std::io::{Read, Write};
//! use byway::client::{Client, Config};
//!
//! // On one device:
//! let client = Client::open(Config::new("http://relay.example:8080"))?;
//! let listener = client.listen("camera:1")?;
//! let mut stream = listener.accept()?;
//! stream.write_all(b"a picture")?;
//!
//! // On another:
//! let client = Client::open(Config::new("http://relay.example:8080"))?;
//! let mut stream = client.connect("camera:1")?;
//! let mut picture = Vec::new();
//! stream.read_to_end(&mut picture)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod channel;
mod clock;
mod close;
mod config;
mod connect;
mod error;
mod event;
mod identity;
mod known_peers;
mod lanes;
mod listen;
mod listener;
mod monitor;
mod private_file;
mod readiness;
mod shared_secret;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub use channel::{
    ByteStream, Channel, ChannelKind, DatagramChannel, Datagrams, ReadHalf, Stream, WriteHalf,
};
pub use close::CloseError;
pub use config::{Config, Security};
pub use event::ClientEvent;
pub use identity::IdentityFile;
pub use lanes::LANE_STACK;
pub use listener::Listener;
pub use private_file::{Kept, PrivateFileError, at_home};
pub use readiness::{PollFd, Readiness};
pub use shared_secret::SharedSecretFile;

use crate::error::{Blocked, Error};
use crate::secure::{Identity, PublicKey};
use crate::session::{HeapStorage, Lane, Profile, Stats, StorageBytes};
use crate::transport::{HttpTransport, Proxy, RelayPath, Transport};
use channel::deadline;
use known_peers::KnownPeers;
use monitor::{ClientLife, Monitor};
use readiness::Waitable;

/// A session with a relay. Clones share it; any thread may use it.
///
/// A client lives until it is closed or until the last handle of it is dropped, be it a client, a
/// listener, a stream or a datagram channel. Dropping the last handle without closing aborts what is
/// still under way, and does not block.
#[derive(Debug, Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// The client itself, which every client, listener and channel keeps alive.
pub(crate) struct Handle {
    monitor: Arc<Monitor>,
    profile: Profile,
    backlog: u8,
    connect_timeout: Duration,
    /// The key of the identity that the client was given.
    key: Option<PublicKey>,
    known_peers: Option<KnownPeers>,
    /// The way to the relay as the client was opened.
    way: Arc<RelayPath>,
    lanes: Mutex<Vec<JoinHandle<()>>>,
}

/// Shows neither the session's secret nor what its rings hold.
impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Handle {
    fn lanes(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn abort(&self) {
        self.monitor.with(|state| {
            state.end(ClientLife::Closing);
            let (mut session, now) = state.session();
            if session.is_open() == Ok(true) {
                session.abort_all(now);
            } else {
                // No relay ever answered, so none waits for a goodbye.
                state.end(ClientLife::Stopping);
                state.cancel();
            }
        });
        self.monitor.wake_all();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Client {
    /// Opens a session and waits until the relay has answered, at most for
    /// [`Config::open_timeout`]. What blocks the path is tried again until then.
    ///
    /// # Errors
    /// A setting that cannot be used, [`Blocked`] with what stood in the way
    /// last, another protocol version, or no memory, threads or entropy.
    pub fn open(config: impl Into<Config>) -> Result<Self, Error> {
        let config = config.into();
        let timeout = config.open_timeout;
        let client = Self::start(config)?;
        client.wait_open(timeout)?;
        Ok(client)
    }

    /// Opens a session without waiting for the relay: it is dialled in the background for as long
    /// as the client lives. Does not block.
    ///
    /// # Errors
    /// A setting that cannot be used, or no memory, threads or entropy.
    pub fn start(config: impl Into<Config>) -> Result<Self, Error> {
        let config = config.into();
        let settings = config.settings()?;
        let keys = config.keys()?;
        let park = HttpTransport::new(&config.http())?;
        let send = park.twin();
        let way = Arc::clone(park.way());
        config::check_memory(&config.profile)?;
        let storage = HeapStorage::new(&config.profile)?;
        let known = config.known_peers.clone();
        let known = known.map(|path| KnownPeers::new(path, &config.url)).transpose()?;
        let cancellers = [park.canceller(), send.canceller()];
        let monitor = Arc::new(Monitor::new(storage, &config.profile, cancellers));
        let handle = Arc::new(Handle {
            monitor: Arc::clone(&monitor),
            profile: config.profile,
            backlog: config.backlog(),
            connect_timeout: config.connect_timeout,
            key: config.identity.as_ref().map(Identity::public_key),
            known_peers: known,
            way,
            lanes: Mutex::default(),
        });
        monitor.call(|session, now| {
            session.open(now, &settings);
            if let Some(keys) = &keys {
                session.encrypt(keys.clone());
            }
        });
        // If the second thread fails to start, dropping the handle ends the first.
        let send = lanes::start(&monitor, Lane::Send, Box::new(send), &config.hooks)?;
        let park = lanes::start(&monitor, Lane::Park, Box::new(park), &config.hooks)?;
        handle.lanes().extend([send, park]);
        Ok(Self { handle })
    }

    /// The public key of [`Config::identity`], if there is one. Its [name](PublicKey::name) is the key name
    /// at which this client can listen, and at which its peers know whom they reach:
    ///
    /// ```no_run
    /// # let client = byway::client::Client::open("http://relay.example:8080")?;
    /// let key = client.public_key().expect("the configuration has an identity");
    /// let listener = client.listen(byway::Endpoint { name: key.name(), port: 1 })?;
    /// # Ok::<(), byway::Error>(())
    /// ```
    pub fn public_key(&self) -> Option<PublicKey> {
        self.handle.key
    }

    /// Waits until the relay has answered, at most for `timeout`: `None` waits for ever, zero only
    /// looks. Once the relay has answered, the call returns at once. It fails at once where something
    /// stands in the way that stays there
    /// ([`Blocked::is_lasting`]), though the client tries on.
    ///
    /// # Errors
    /// [`Blocked`] with what stood in the way last, or [`Error::TimedOut`] if
    /// `timeout` is zero; another protocol version; [`Error::Cancelled`], [`Error::Closed`].
    pub fn wait_open(&self, timeout: impl Into<Option<Duration>>) -> Result<(), Error> {
        let monitor = &self.handle.monitor;
        monitor.wait_open(Waitable::Client, monitor.on_session(), timeout.into())
    }

    /// Says that the device has another address or network now: both connections to the relay are
    /// dropped and dialled anew at once, by the proxy that is set, if one is. Channels survive. Does
    /// not block. On Linux and Android a device that slept for over 5 s finds out by itself.
    pub fn network_changed(&self) {
        self.handle.monitor.with(|state| state.change_network(None));
    }

    /// Says the same as [`network_changed`](Self::network_changed), where the way to the relay is by
    /// another proxy from now on: [`Proxy::Direct`] by none, [`Proxy::Url`] by this one, [`Proxy::Environment`] by
    /// the one that the environment names now, which is read once, by this call.
    ///
    /// # Errors
    /// A proxy that cannot be used: then nothing has changed, and connections stay.
    pub fn network_changed_with(&self, proxy: Proxy) -> Result<(), Error> {
        let way = Arc::new(self.handle.way.by(proxy)?);
        self.handle.monitor.with(|state| state.change_network(Some(&way)));
        Ok(())
    }

    /// Waits for the next event, at most for `timeout`; zero only looks. `None` when the time is over,
    /// the client is closed or its session cannot go on. The newest 16 events are kept until the
    /// program takes them.
    pub fn next_event(&self, timeout: Duration) -> Option<ClientEvent> {
        self.wait_event(timeout).ok()
    }

    /// Waits for the next event as [`next_event`](Self::next_event) does, for ever if `timeout` is
    /// `None`, and says why there is no event.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Closed`], [`Error::Cancelled`], or, after the last event, why
    /// the session cannot go on, such as another protocol version.
    pub fn wait_event(&self, timeout: impl Into<Option<Duration>>) -> Result<ClientEvent, Error> {
        let monitor = &self.handle.monitor;
        let next = monitor.wait_with(
            monitor.on_events(),
            monitor.on_session(),
            deadline(timeout.into()),
            |state| {
                let event = state.next_event();
                if event.is_none() {
                    state.is_open()?;
                    if state.is_closed() {
                        return Err(Error::Closed);
                    }
                }
                Ok(event)
            },
        );
        next?.ok_or(Error::TimedOut)
    }

    /// Ends every wait in a call on this client, of all clones, with [`Error::Cancelled`]: waiting
    /// for the relay, for an event, to listen, to connect. A [`close`](Self::close) aborts what is
    /// left. Waits on its listeners and channels go on, and calls that begin later wait as ever.
    /// Does not block.
    pub fn cancel(&self) {
        let monitor = &self.handle.monitor;
        monitor.cancel(monitor.on_session(), |_| true);
    }

    /// What keeps this client from its relay now; `None` once an exchange has succeeded, and before the first has
    /// ended.
    pub fn blocked(&self) -> Option<Blocked> {
        self.handle.monitor.with(|state| state.session().0.blocked())
    }

    /// What can be done now without waiting.
    pub fn readiness(&self) -> Readiness {
        self.handle.monitor.with(|state| state.readiness(Waitable::Client))
    }

    /// A file descriptor that is readable while the client is ready for any of `interest`, and when it
    /// has ended.
    ///
    /// # Errors
    /// The system gives no file descriptor.
    pub fn poll_fd(&self, interest: Readiness) -> io::Result<PollFd> {
        PollFd::new(&self.handle, Waitable::Client, interest)
    }

    /// Counts and measurements of the session since it was opened. `Display` shows them as a table.
    pub fn stats(&self) -> Stats {
        self.handle.monitor.with(|state| {
            let lost = state.events_lost();
            let mut stats = state.session().0.stats();
            stats.events_lost += lost;
            stats
        })
    }

    /// Octets of memory of the session's state and rings, which never change.
    pub fn memory(&self) -> StorageBytes {
        self.handle.profile.storage_bytes()
    }

    /// Ends at once: every thread that waits in a call is woken with [`Error::Closed`], and what is
    /// not acknowledged may be lost. Peers are told in the background. Does not block.
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Calls the session unless the client is closed.
    fn checked<T>(
        &self,
        mut f: impl FnMut(&mut crate::session::Session<'_>, u64) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let monitor = &self.handle.monitor;
        monitor
            .wait(monitor.on_session(), monitor.on_session(), None, |session, now| {
                f(session, now).map(Some)
            })?
            .ok_or(Error::Closed)
    }
}
