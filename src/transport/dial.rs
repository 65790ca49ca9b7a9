//! Dialling, and the TCP connection below ureq.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;
use rustix::net::{RecvFlags, recv};
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, ShutdownHandle, Transport,
};
use ureq::{Error, Timeout};

use super::buffer::FixedBuffers;

/// Longest wait for DNS: one repeat of a lost question.
const DNS_TIMEOUT: Duration = Duration::from_secs(6);
/// Age at which a host's addresses are asked for again before dialling.
const DNS_AGE: Duration = Duration::from_secs(60);
/// Stack of the thread that asks: the C library's resolver wants more than a lane's own work.
const DNS_STACK: usize = 256 * 1024;
/// Addresses of a host that are tried.
const MAX_ADDRS: usize = 4;

/// Octets from the network that an answer may have beside twice its body: head, framing, TLS.
const FRAMING: u64 = 64 * 1024;
/// What HTTP may have behind an answer that is whole, in octets: the last chunk, trailers, and TLS
/// records around them.
const BEHIND: u64 = 16 * 1024;
/// How long that may take.
const BEHIND_TIMEOUT: Duration = Duration::from_secs(1);

/// What a lane's transport shares with whoever may break its exchanges.
#[derive(Debug, Default)]
pub(super) struct Line {
    state: Mutex<LineState>,
    /// A name was resolved, or the exchange is cancelled.
    changed: Condvar,
    /// Deadline on silence of the exchange, in milliseconds.
    silence_ms: AtomicU32,
    /// Octets that may still come in this exchange.
    left: AtomicU64,
    /// Octets of this exchange's request may have reached the network.
    sent: AtomicBool,
    /// A TCP connection was made for this exchange.
    dialled: AtomicBool,
}

#[derive(Debug, Default)]
struct LineState {
    cancelled: bool,
    /// The answer is whole; when the rest of the response is to be there.
    over_by: Option<Instant>,
    socket: Weak<TcpStream>,
    /// Whether a thread is out asking.
    resolving: bool,
    /// Addresses last heard, and when; `None` as time: asked for anew before the next use.
    addrs: Vec<SocketAddr>,
    asked: Option<Instant>,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, LineState> {
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

    /// All that is wanted of the answer is there.
    pub fn answered(&self) {
        self.lock().over_by.get_or_insert_with(|| {
            self.left.fetch_min(BEHIND, Relaxed);
            Instant::now() + BEHIND_TIMEOUT
        });
    }

    /// Whether more came than may.
    pub fn is_used_up(&self) -> bool {
        self.left.load(Relaxed) == 0
    }

    /// How long input is waited for: the deadline on silence, or what is left of the time behind an
    /// answer.
    fn patience_ms(&self, silence_ms: u32) -> Result<u32, Error> {
        if self.is_used_up() {
            return Err(Error::Io(io::Error::new(io::ErrorKind::InvalidData, "an endless answer")));
        }
        let Some(by) = self.lock().over_by else { return Ok(silence_ms) };
        let left = by.saturating_duration_since(Instant::now()).as_millis() as u32;
        if left == 0 { Err(Error::Timeout(Timeout::PerRead)) } else { Ok(left.min(silence_ms)) }
    }

    /// Shortens the deadline, for reading what a foreign page says.
    pub fn hurry(&self, silence_ms: u32) {
        self.silence_ms.fetch_min(silence_ms, Relaxed);
    }

    /// Breaks the connection, in use or idle, by a reset: to a half-open one that ends in order a proxy
    /// may go on answering, and count it.
    fn reset(&self) {
        if let Some(socket) = self.lock().socket.upgrade() {
            // When the lane closes it. An error means that it is broken already.
            let _ = set_socket_linger(&*socket, Some(Duration::ZERO));
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Breaks the connection, in use or idle.
    pub fn disconnect(&self) {
        if let Some(socket) = self.lock().socket.upgrade() {
            // An error means that it is broken already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.cancelled() { Err(interrupted()) } else { Ok(()) }
    }

    /// The addresses of `host`, from memory if they are fresh, else from DNS within its time-out,
    /// else from memory however old.
    fn resolve(self: &Arc<Self>, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let mut state = self.lock();
        if state.asked.is_some_and(|asked| asked.elapsed() < DNS_AGE) {
            return Ok(state.addrs.clone());
        }
        // One that is still out from before will do: there is one host.
        if !state.resolving {
            let (line, host) = (Arc::clone(self), host.to_owned());
            thread::Builder::new()
                .name("byway-dns".into())
                .stack_size(DNS_STACK)
                .spawn(move || line.ask(&host, port))?;
            state.resolving = true;
        }
        let deadline = Instant::now() + DNS_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if state.cancelled {
                return Err(interrupted());
            }
            if !state.resolving || left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        match state.addrs.is_empty() {
            true if state.resolving => Err(Error::Timeout(Timeout::Resolve)),
            true => Err(Error::HostNotFound),
            false => Ok(state.addrs.clone()),
        }
    }

    fn ask(&self, host: &str, port: u16) {
        let found: Vec<_> = (host, port)
            .to_socket_addrs()
            .map(|addrs| addrs.take(MAX_ADDRS).collect())
            .unwrap_or_default();
        let mut state = self.lock();
        state.resolving = false;
        if !found.is_empty() {
            state.addrs = found;
            state.asked = Some(Instant::now());
        }
        drop(state);
        self.changed.notify_all();
    }
}

fn interrupted() -> Error {
    Error::Io(io::Error::new(io::ErrorKind::ConnectionAborted, "interrupted by this program"))
}

/// Breaks the exchanges of one lane from any thread, in about a millisecond, as often as wanted:
/// the next exchange dials anew. Only a TCP connection under way is not cut short; it ends by its
/// own time-out.
#[derive(Debug, Clone)]
pub struct Canceller(pub(super) Arc<Line>);

impl Canceller {
    /// Breaks the exchange under way, and every one begun until [`Canceller::reset`]. The
    /// connection is gone, also an idle one.
    pub fn cancel(&self) {
        self.0.lock().cancelled = true;
        self.0.changed.notify_all();
        self.0.reset();
    }

    /// Allows exchanges again. Whoever decides on the next exchange calls it then, under the lock
    /// under which `cancel` is called, so that none is lost between the two.
    pub fn reset(&self) {
        self.0.lock().cancelled = false;
    }

    /// Whether exchanges are broken.
    #[cfg(test)]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled()
    }

    /// Drops the connection, so that the next exchange dials; allows exchanges all along.
    pub fn disconnect(&self) {
        self.0.disconnect();
    }

    /// Forgets the host's addresses, so that the next exchange that dials asks for them.
    pub fn forget_addresses(&self) {
        self.0.lock().asked = None;
    }
}

/// Opens TCP connections to the host of the URI, or to the proxy.
#[derive(Debug)]
pub(super) struct Dialler {
    pub line: Arc<Line>,
    /// Host and port to dial whatever the URI says: a proxy asked in absolute form.
    pub instead: Option<(String, u16)>,
    pub timeout: Duration,
    pub buffer: usize,
}

impl Dialler {
    fn dial(&self, uri: &Uri) -> Result<TcpStream, Error> {
        self.line.check()?;
        let (host, port) = match &self.instead {
            Some((host, port)) => (host.as_str(), *port),
            None => {
                let host = uri.host().ok_or(Error::HostNotFound)?;
                let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
                (host, uri.port_u16().unwrap_or(default))
            }
        };
        let addrs = self.line.resolve(host, port)?;
        let deadline = Instant::now() + self.timeout;
        let mut failed = Error::HostNotFound;
        for (i, addr) in addrs.iter().enumerate() {
            self.line.check()?;
            let left = deadline.saturating_duration_since(Instant::now());
            // Half of what is left for each but the last, so that one dead address is no end.
            let share = if i + 1 < addrs.len() { left / 2 } else { left };
            match TcpStream::connect_timeout(addr, share.max(Duration::from_millis(1))) {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = Error::Io(error),
            }
        }
        // Perhaps it moved.
        self.line.lock().asked = None;
        Err(failed)
    }
}

impl<In: Transport> Connector<In> for Dialler {
    type Out = Either<In, Tcp>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if chained.is_some() {
            return Ok(chained.map(Either::A));
        }
        let stream = Arc::new(self.dial(details.uri)?);
        stream.set_nodelay(true)?;
        let mut state = self.line.lock();
        if state.cancelled {
            return Err(interrupted());
        }
        state.socket = Arc::downgrade(&stream);
        drop(state);
        let weak: Weak<TcpStream> = Arc::downgrade(&stream);
        (details.register_shutdown)(weak as Weak<dyn ShutdownHandle>)?;
        self.line.dialled.store(true, Relaxed);
        Ok(Some(Either::B(Tcp {
            stream,
            line: Arc::clone(&self.line),
            setup_ms: self.timeout.as_millis() as u32,
            buffers: FixedBuffers::new(self.buffer),
            read_ms: 0,
            write_ms: 0,
            refused: false,
            fresh: true,
        })))
    }
}

/// Says that there is no address yet: [`Dialler`] resolves, and only when it dials.
#[derive(Debug)]
pub(super) struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

/// A TCP connection with deadlines on silence and buffers that do not grow.
#[derive(Debug)]
pub(super) struct Tcp {
    stream: Arc<TcpStream>,
    line: Arc<Line>,
    /// Longest silence before the request goes out: TLS, tunnel.
    setup_ms: u32,
    buffers: FixedBuffers,
    /// Time-outs that the socket has, in milliseconds; 0: none yet.
    read_ms: u32,
    write_ms: u32,
    /// The other side takes no more. What is left of the request is dropped, and its answer read,
    /// which may say why.
    refused: bool,
    /// Not used since the last input.
    fresh: bool,
}

impl Tcp {
    fn silence_ms(&self) -> u32 {
        let silence = self.line.silence_ms.load(Relaxed);
        if self.line.sent() { silence } else { silence.min(self.setup_ms).max(1) }
    }

    /// Whether there is nothing to read: no octet, no end, no error.
    fn quiet(&self) -> bool {
        let mut octet = [0_u8; 1];
        let seen = recv(&*self.stream, &mut octet, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(seen, Err(rustix::io::Errno::AGAIN))
    }
}

/// What a time-out of the socket looks like: WouldBlock on Unix, TimedOut elsewhere.
fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

impl Transport for Tcp {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        if self.refused {
            return Ok(());
        }
        let silence = self.silence_ms();
        if silence != self.write_ms {
            self.stream.set_write_timeout(Some(Duration::from_millis(silence.into())))?;
            self.write_ms = silence;
        }
        let output = &self.buffers.output()[..amount];
        match (&*self.stream).write_all(output) {
            Ok(()) => Ok(()),
            // An answer may be there already, from a server that reads no further.
            Err(error) if timed_out(&error) && self.quiet() => {
                Err(Error::Timeout(Timeout::PerWrite))
            }
            Err(error) if self.line.sent() && !self.line.cancelled() => {
                log::debug!("request refused half way: {error}");
                self.refused = true;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        let silence = self.line.patience_ms(self.silence_ms())?;
        if silence != self.read_ms {
            self.stream.set_read_timeout(Some(Duration::from_millis(silence.into())))?;
            self.read_ms = silence;
        }
        self.fresh = true;
        let input = self.buffers.input_append_buf();
        loop {
            match (&*self.stream).read(input) {
                Ok(amount) => {
                    let left = self.line.left.load(Relaxed);
                    self.line.left.store(left.saturating_sub(amount as u64), Relaxed);
                    self.buffers.input_appended(amount);
                    return Ok(amount > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if timed_out(&error) => return Err(Error::Timeout(Timeout::PerRead)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Asked by ureq when it puts the connection away, right after input, and when it takes it out
    /// again; only then is it worth a system call.
    fn is_open(&mut self) -> bool {
        if self.refused || std::mem::take(&mut self.fresh) {
            return !self.refused;
        }
        self.quiet()
    }
}
