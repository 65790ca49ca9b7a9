//! The blocking client: sockets between peers, over two threads that exchange with the relay.
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
mod lanes;
mod listen;
mod listener;
mod readiness;
mod shared;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub use channel::{
    ByteStream, Channel, ChannelKind, DatagramChannel, Datagrams, ReadHalf, Stream, WriteHalf,
};
pub use close::CloseError;
pub use config::Config;
pub use event::ClientEvent;
pub use lanes::LANE_STACK;
pub use listener::Listener;
pub use readiness::{PollFd, Readiness};

use crate::error::Error;
use crate::session::{HeapStorage, Lane, Profile, Stats, StorageBytes};
use crate::transport::{HttpTransport, Proxy, Transport, Way};
use channel::deadline;
use readiness::Target;
use shared::Shared;

/// A session with a relay. Clones share it; any thread may use it.
///
/// It lives until it is closed or until the last handle of it is dropped, be it a client, a
/// listener, a stream or a datagram channel. Dropping the last one without closing aborts what is
/// still under way, and does not block.
#[derive(Debug, Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// What every handle keeps alive.
#[derive(Debug)]
pub(crate) struct Handle {
    shared: Arc<Shared>,
    profile: Profile,
    backlog: u8,
    connect_timeout: Duration,
    /// To the relay, as the client was opened.
    way: Arc<Way>,
    lanes: Mutex<Vec<JoinHandle<()>>>,
}

impl Handle {
    fn lanes(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn abort(&self) {
        self.shared.with(|core| {
            core.closed = true;
            let (mut session, now) = core.session();
            if session.is_open() == Ok(true) {
                session.abort_all(now);
            } else {
                // No relay ever answered: there is nobody to say goodbye to.
                core.stop = true;
                core.cancel();
            }
        });
        self.shared.wake_all();
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
    /// A setting that cannot be used, [`Blocked`](crate::error::Blocked) with what stood in the way
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
        let park = HttpTransport::new(&config.http())?;
        let send = park.twin();
        let way = Arc::clone(park.way());
        config::check_memory(&config.profile)?;
        let storage = HeapStorage::new(&config.profile)?;
        let cancellers = [park.canceller(), send.canceller()];
        let shared = Arc::new(Shared::new(storage, &config.profile, cancellers));
        let handle = Arc::new(Handle {
            shared: Arc::clone(&shared),
            profile: config.profile,
            backlog: config.backlog(),
            connect_timeout: config.connect_timeout,
            way,
            lanes: Mutex::default(),
        });
        shared.call(|session, now| session.open(now, &settings));
        // If the second thread fails to start, dropping the handle ends the first.
        let send = lanes::start(&shared, Lane::Send, Box::new(send), &config.hooks)?;
        let park = lanes::start(&shared, Lane::Park, Box::new(park), &config.hooks)?;
        handle.lanes().extend([send, park]);
        Ok(Self { handle })
    }

    /// Waits until the relay has answered, at most for `timeout` (`None`: for ever); zero: only
    /// looks. Gives at once from then on, and with an error where something stands in the way that
    /// stays there ([`Blocked::is_lasting`](crate::error::Blocked::is_lasting)), though the client tries on.
    ///
    /// # Errors
    /// [`Blocked`](crate::error::Blocked) with what stood in the way last, or [`Error::TimedOut`] if
    /// `timeout` is zero; another protocol version; [`Error::Cancelled`], [`Error::Closed`].
    pub fn wait_open(&self, timeout: impl Into<Option<Duration>>) -> Result<(), Error> {
        let shared = &self.handle.shared;
        shared.wait_open(Target::Client, shared.on_session(), timeout.into())
    }

    /// Says that the device has another address or network now: both connections to the relay are
    /// dropped and dialled anew at once, by the proxy that is set, if one is. Channels survive. Does
    /// not block. On Linux and Android a device that slept for over 5 s finds out by itself.
    pub fn network_changed(&self) {
        self.handle.shared.with(|core| core.change_network(None));
    }

    /// As [`network_changed`](Self::network_changed), where the way to the relay is by another proxy
    /// from now on: [`Proxy::Direct`] by none, [`Proxy::Url`] by this one, [`Proxy::Environment`] by
    /// the one that the environment names now, which is read once, by this call.
    ///
    /// # Errors
    /// A proxy that cannot be used: then nothing has changed, and connections stay.
    pub fn network_changed_with(&self, proxy: Proxy) -> Result<(), Error> {
        let way = Arc::new(self.handle.way.by(proxy)?);
        self.handle.shared.with(|core| core.change_network(Some(&way)));
        Ok(())
    }

    /// Waits for the next event, at most for `timeout`; zero: only looks. `None` when the time is
    /// over, the client is closed or its session can go on no longer. Of events nobody takes, the
    /// newest 16 are kept.
    pub fn next_event(&self, timeout: Duration) -> Option<ClientEvent> {
        self.wait_event(timeout).ok()
    }

    /// As [`next_event`](Self::next_event), for ever if `timeout` is `None`, and says why there is
    /// no event.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Closed`], [`Error::Cancelled`], or, after the last event, why
    /// the session can go on no longer, such as another protocol version.
    pub fn wait_event(&self, timeout: impl Into<Option<Duration>>) -> Result<ClientEvent, Error> {
        let shared = &self.handle.shared;
        let next = shared.wait_with(
            shared.on_events(),
            shared.on_session(),
            deadline(timeout.into()),
            |core| {
                let event = core.next_event();
                if event.is_none() {
                    core.is_open()?;
                    if core.closed {
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
    /// left. Waits on its listeners and channels go on, and calls that begin after it wait as ever.
    /// Does not block.
    pub fn cancel(&self) {
        let shared = &self.handle.shared;
        shared.cancel(shared.on_session(), |_| true);
    }

    /// What can be done now without waiting.
    pub fn readiness(&self) -> Readiness {
        self.handle.shared.with(|core| core.readiness(Target::Client))
    }

    /// A file descriptor that is readable while there is something of `interest`, or the client
    /// has ended.
    ///
    /// # Errors
    /// The system gives no file descriptor.
    pub fn poll_fd(&self, interest: Readiness) -> io::Result<PollFd> {
        PollFd::new(&self.handle, Target::Client, interest)
    }

    /// Numbers since the session was opened.
    pub fn stats(&self) -> Stats {
        self.handle.shared.with(|core| {
            let lost = core.events_lost();
            let mut stats = core.session().0.stats();
            stats.events_lost += lost;
            stats
        })
    }

    /// Octets of memory that the session has, whatever is going on: its state and its rings.
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
        let shared = &self.handle.shared;
        shared
            .wait(shared.on_session(), shared.on_session(), None, |session, now| {
                f(session, now).map(Some)
            })?
            .ok_or(Error::Closed)
    }
}
