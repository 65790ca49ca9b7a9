//! What a transport shares with the threads that may break its exchanges.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;
use ureq::{Error, Timeout};

use super::http::RelayPath;
use super::resolve::Names;

/// Octets from the network that an answer may have beside twice its body: head, framing, TLS.
const FRAMING: u64 = 64 * 1024;
/// What HTTP may have behind an answer that is whole, in octets: the last chunk, trailers, and TLS
/// records around them.
const BEHIND: u64 = 16 * 1024;
/// Longest time in which the octets behind a whole answer are read.
const BEHIND_TIMEOUT: Duration = Duration::from_secs(1);

/// What a transport shares with the threads that may break its exchanges.
#[derive(Debug, Default)]
pub(super) struct Control {
    state: Mutex<ControlState>,
    /// Signalled when a question for a name has ended, and when the exchange is cancelled.
    pub changed: Condvar,
    /// Deadline on silence of the exchange, in milliseconds.
    silence_ms: AtomicU32,
    /// Octets that may still come in this exchange.
    left: AtomicU64,
    /// Whether octets of this exchange's request may have reached the network.
    sent: AtomicBool,
    /// Whether a TCP connection was made for this exchange.
    dialled: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct ControlState {
    pub cancelled: bool,
    /// When the rest of the response is to be there, once the answer is whole.
    over_by: Option<Instant>,
    socket: Weak<TcpStream>,
    /// Dropping this ends the making of a connection.
    connecting: Option<UnixStream>,
    pub names: Names,
    /// The way of the next exchange and of all after it, if the way has changed.
    redirect: Option<Arc<RelayPath>>,
}

impl Control {
    pub fn lock(&self) -> MutexGuard<'_, ControlState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn begin(&self, silence_ms: u32, max_response: u32) {
        self.left.store(2 * u64::from(max_response) + FRAMING, Relaxed);
        self.lock().over_by = None;
        self.silence_ms.store(silence_ms.max(1), Relaxed);
        self.sent.store(false, Relaxed);
        self.dialled.store(false, Relaxed);
    }

    pub fn mark_sent(&self) {
        self.sent.store(true, Relaxed);
    }

    pub fn sent(&self) -> bool {
        self.sent.load(Relaxed)
    }

    pub fn dialled(&self) -> bool {
        self.dialled.load(Relaxed)
    }

    pub fn cancelled(&self) -> bool {
        self.lock().cancelled
    }

    /// Notes that all that is wanted of the answer is there.
    pub fn answered(&self) {
        self.lock().over_by.get_or_insert_with(|| {
            self.left.fetch_min(BEHIND, Relaxed);
            Instant::now() + BEHIND_TIMEOUT
        });
    }

    /// Whether more octets came than may.
    pub fn is_used_up(&self) -> bool {
        self.left.load(Relaxed) == 0
    }

    /// How long to wait for input, in milliseconds: until the deadline on silence, or for what is left
    /// of the time behind a whole answer.
    ///
    /// # Errors
    /// The answer has no end, or the time behind a whole answer is over.
    pub fn patience_ms(&self, silence_ms: u32) -> Result<u32, Error> {
        if self.is_used_up() {
            return Err(Error::Io(io::Error::new(io::ErrorKind::InvalidData, "an endless answer")));
        }
        let Some(by) = self.lock().over_by else { return Ok(silence_ms) };
        let left = by.saturating_duration_since(Instant::now()).as_millis() as u32;
        if left == 0 { Err(Error::Timeout(Timeout::PerRead)) } else { Ok(left.min(silence_ms)) }
    }

    /// Shortens the deadline on silence while a foreign page is read.
    pub fn hurry(&self, silence_ms: u32) {
        self.silence_ms.fetch_min(silence_ms, Relaxed);
    }

    /// Breaks the connection, in use or idle, by a reset. A proxy may go on answering a half-open
    /// connection that ended in order, and count it.
    fn reset(&self) {
        if let Some(socket) = self.lock().socket.upgrade() {
            // The reset goes out when the transport closes the socket. An error means that it is broken already.
            let _ = set_socket_linger(&*socket, Some(Duration::ZERO));
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Breaks the connection, in use or idle, in order.
    pub fn disconnect(&self) {
        if let Some(socket) = self.lock().socket.upgrade() {
            // An error means that it is broken already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Takes the way of exchanges from now on, if the way has changed.
    pub fn take_redirect(&self) -> Option<Arc<RelayPath>> {
        self.lock().redirect.take()
    }

    /// Begins to make a connection. The socket that is returned hangs up when the connection is
    /// cancelled.
    pub fn begin_connect(&self) -> Result<UnixStream, Error> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut state = self.lock();
        if state.cancelled {
            return Err(interrupted());
        }
        state.connecting = Some(theirs);
        Ok(ours)
    }

    /// Ends the making of a connection, and remembers which address `worked`, or else which addresses
    /// were `tried` in vain.
    pub fn end_connect(&self, worked: Option<SocketAddr>, tried: &[SocketAddr]) {
        let mut state = self.lock();
        state.connecting = None;
        match worked {
            Some(addr) => state.names.note_worked(addr),
            // A cancelled dial says nothing of the addresses.
            None if state.cancelled => {}
            None => state.names.note_failed(tried),
        }
    }

    /// Notes a connection that was made for this exchange.
    pub fn connected(&self, socket: &Arc<TcpStream>) -> Result<(), Error> {
        let mut state = self.lock();
        if state.cancelled {
            return Err(interrupted());
        }
        state.socket = Arc::downgrade(socket);
        drop(state);
        self.dialled.store(true, Relaxed);
        Ok(())
    }

    /// Counts octets that came from the network.
    pub fn received(&self, octets: usize) {
        let left = self.left.load(Relaxed);
        self.left.store(left.saturating_sub(octets as u64), Relaxed);
    }

    /// The deadline on silence of the exchange, in milliseconds.
    pub fn silence_ms(&self) -> u32 {
        self.silence_ms.load(Relaxed)
    }
}

pub(super) fn interrupted() -> Error {
    Error::Io(io::Error::new(io::ErrorKind::ConnectionAborted, "interrupted by this program"))
}

/// Breaks the exchanges of one transport from any thread, in about a millisecond, as often as wanted;
/// the next exchange dials anew. The transport stops waiting for connections that are being made and for
/// names that are being resolved, but not for a hook of the program.
#[derive(Debug, Clone)]
pub struct Canceller(pub(super) Arc<Control>);

impl Canceller {
    /// Breaks the exchange under way, and every exchange that begins before [`Canceller::reset`]. The
    /// connection is closed, in use or idle.
    pub fn cancel(&self) {
        let mut state = self.0.lock();
        state.cancelled = true;
        state.connecting = None;
        drop(state);
        self.0.changed.notify_all();
        self.0.reset();
    }

    /// Allows exchanges again. The thread that decides on the next exchange calls this, under the lock
    /// under which `cancel` is called, so that no call of `cancel` is lost between the two.
    pub fn reset(&self) {
        self.0.lock().cancelled = false;
    }

    /// Whether exchanges are broken.
    #[cfg(test)]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled()
    }

    /// Whether the next exchange that dials does so without asking for addresses.
    #[cfg(test)]
    pub fn knows_addresses(&self) -> bool {
        self.0.lock().names.is_fresh()
    }

    /// Closes the connection, so that the next exchange dials. Exchanges stay allowed.
    pub fn disconnect(&self) {
        self.0.disconnect();
    }

    /// Forgets the host's addresses, so that the next exchange that dials asks for them.
    pub fn forget_addresses(&self) {
        self.0.lock().names.forget();
    }

    /// Sends exchanges another way to the relay, from the next exchange on.
    pub(crate) fn redirect(&self, way: Arc<RelayPath>) {
        self.0.lock().redirect = Some(way);
    }
}
