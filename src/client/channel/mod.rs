//! Channels: streams and datagram channels, and the methods that both have.

mod datagram;
mod end;
mod stream;

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

pub use datagram::{DatagramChannel, Datagrams};
use end::ChannelEnd;
pub(super) use end::deadline;
pub use stream::{ByteStream, ReadHalf, Stream, WriteHalf};

use super::Handle;
use super::readiness::{PollFd, Readiness};
use crate::error::Error;
use crate::secure::PublicKey;
use crate::session::{ChannelId, ChannelStats};
use crate::{Address, Endpoint, Kind};

/// A channel to another peer. `K` says what it carries: a [`Stream`] is a `Channel<ByteStream>`, a
/// [`DatagramChannel`] a `Channel<Datagrams>`. The methods below are those that both have.
///
/// All methods take `&self`: several threads may use one channel, or clones of it. The channel is
/// released when the last clone is dropped; what was written is still delivered then, for as long as
/// the client lives and at most linger.
pub struct Channel<K: ChannelKind> {
    end: Arc<ChannelEnd>,
    kind: PhantomData<fn() -> K>,
}

/// What a [`Channel`] carries: [`ByteStream`] or [`Datagrams`]. No other type can implement it.
pub trait ChannelKind: sealed::Sealed {
    /// The kind as the protocol names it.
    const KIND: Kind;
}

mod sealed {
    pub trait Sealed {}
}

impl<K: ChannelKind> Clone for Channel<K> {
    fn clone(&self) -> Self {
        Self { end: Arc::clone(&self.end), kind: PhantomData }
    }
}

impl<K: ChannelKind> fmt::Debug for Channel<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("kind", &K::KIND).field("end", &self.end).finish()
    }
}

impl<K: ChannelKind> Channel<K> {
    pub(super) fn new(handle: Arc<Handle>, id: ChannelId) -> Self {
        Self { end: Arc::new(ChannelEnd::new(handle, id)), kind: PhantomData }
    }

    /// The number that names the channel in events. A client never uses a number again.
    pub fn id(&self) -> ChannelId {
        self.end.id
    }

    pub(super) fn end(&self) -> &ChannelEnd {
        &self.end
    }

    /// Waits until the peer has answered, at most for `timeout`: `None` waits for ever, zero only
    /// looks. Returns at once unless the channel was made by
    /// [`start_connect`](super::Client::start_connect). Once it has returned `Ok` it always does, also
    /// when the channel has ended.
    ///
    /// # Errors
    /// Why the connection was refused. When the time is over, what stood in the way last, or
    /// [`Error::TimedOut`]; the client asks for the connection nevertheless.
    /// [`Error::Cancelled`], [`Error::Closed`].
    pub fn wait_open(&self, timeout: impl Into<Option<Duration>>) -> Result<(), Error> {
        self.end.wait_open(timeout.into())
    }

    /// The address of the peer at the other end, for which the relay vouches.
    ///
    /// # Errors
    /// [`Error::Closed`] if the channel is closed, [`Error::TimedOut`] while it connects.
    pub fn peer(&self) -> Result<Address, Error> {
        self.end.ask_open(|session| session.peer(self.end.id))
    }

    /// The key that the peer has proved to have; `None` if the channel is not encrypted. At a key name it is
    /// the name's. A peer that was given no identity has another key each time that it is started.
    ///
    /// # Errors
    /// [`Error::Closed`] if the channel is closed, [`Error::TimedOut`] while it connects.
    pub fn peer_key(&self) -> Result<Option<PublicKey>, Error> {
        self.end.ask_open(|session| session.peer_key(self.end.id))
    }

    /// The endpoint that was connected to, by this client or by the peer.
    ///
    /// # Errors
    /// [`Error::Closed`] if the channel is closed.
    pub fn endpoint(&self) -> Result<Endpoint, Error> {
        self.end.call(|session, _, id| session.endpoint(id))
    }

    /// What the program at the other end said with the connection, at most
    /// [`MAX_GREETING`](crate::wire::MAX_GREETING) octets. On a channel that was accepted it is the
    /// greeting that the connecting program gave to
    /// [`connect_greeting`](super::Client::connect_greeting); on a channel that this client connected
    /// it is what the listening program gave to [`listen_greeting`](super::Client::listen_greeting).
    ///
    /// # Errors
    /// [`Error::Closed`] if the channel is closed, [`Error::TimedOut`] while it connects.
    pub fn greeting(&self) -> Result<Vec<u8>, Error> {
        self.end.ask_open(|session| session.greeting(self.end.id).map(<[u8]>::to_vec))
    }

    /// Offsets and counts of this channel.
    ///
    /// # Errors
    /// [`Error::Closed`] if the channel is closed.
    pub fn stats(&self) -> Result<ChannelStats, Error> {
        self.end.call(|session, _, id| session.channel_stats(id))
    }

    /// Sets how long a read may block, for all clones. `None`, the default, is for ever.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if `timeout` is zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.end.read_timeout.set(timeout)
    }

    /// Sets how long a write or flush may block, for all clones. `None`, the default, is for ever.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if `timeout` is zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.end.write_timeout.set(timeout)
    }

    /// How long a read may block; `None` is for ever.
    pub fn read_timeout(&self) -> Option<Duration> {
        self.end.read_timeout.get()
    }

    /// How long a write or flush may block; `None` is for ever.
    pub fn write_timeout(&self) -> Option<Duration> {
        self.end.write_timeout.get()
    }

    /// Sets whether a read, write or flush that would wait fails with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) instead. This counts for all clones, and for calls
    /// that begin after this one.
    pub fn set_nonblocking(&self, nonblocking: bool) {
        self.end.set_nonblocking(nonblocking);
    }

    /// What can be done now without waiting.
    pub fn readiness(&self) -> Readiness {
        self.end.readiness()
    }

    /// A file descriptor that is readable while the channel is ready for any of `interest`, and when
    /// it has ended.
    ///
    /// # Errors
    /// The system gives no file descriptor.
    pub fn poll_fd(&self, interest: Readiness) -> io::Result<PollFd> {
        self.end.poll_fd(interest)
    }

    /// Ends every wait on this channel that is in progress, of all clones, with
    /// [`Error::Cancelled`]. No byte is lost by that, and calls that begin later wait as ever. Does
    /// not block.
    pub fn cancel(&self) {
        self.end.cancel();
    }

    /// Closes the channel for all clones: calls in progress and later ones fail with
    /// [`Error::Closed`]. Waits until the peer's client has acknowledged everything written, or of
    /// datagrams until each was delivered or has expired, at most for `timeout`: `None` waits for
    /// ever, zero only looks. What is left then is still delivered, for as long as the client lives
    /// and at most linger. A connection that is still being made is given up.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Cancelled`], or what ended the channel before, with the first
    /// offset that is not acknowledged.
    pub fn close_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.end.close_for(timeout)
    }

    /// Gives the channel up at once: what is not acknowledged may be lost, and the peer is told. Wakes
    /// every thread that waits on the channel. Does not block.
    pub fn abort(&self) {
        self.end.call(|session, now, id| session.abort(now, id));
    }

    /// Does not let the peer in: gives the channel up as [`abort`](Self::abort) does, and the peer is told that
    /// its key is not admitted, [`PeerError::KeyRefused`], which its program does not take for a reason to try
    /// again; on a channel that is not encrypted, that it was aborted. Does not block.
    ///
    /// [`PeerError::KeyRefused`]: crate::error::PeerError::KeyRefused
    pub fn refuse(&self) {
        self.end.call(|session, now, id| session.refuse(now, id));
    }
}
