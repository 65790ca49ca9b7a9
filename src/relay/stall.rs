//! The streams of a connection, one on top of the other. [`StallWatch`] gives up a client that takes nothing
//! for too long; with TLS what counts are octets of the socket below it. [`HeadWatch`], which sees what the
//! client says, gives up a client that begins a request and does not get on with it, and notes requests
//! that say their length in two ways.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::connection::Connection;
use super::framing::Framing;

/// How long the rest of a request may be on its way behind an answer that closes the connection. If the
/// socket were closed at once, the kernel would answer the rest by a reset, which destroys the answer.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// A socket whose writes fail once its client is too far behind: without that, the octets queued for a
/// receiver that is gone would be held until the kernel gives up, a quarter of an hour later.
pub(super) struct StallWatch {
    socket: TcpStream,
    drain: Drain,
    connection: Arc<Connection>,
}

/// How far a client is behind with its response.
struct Drain {
    /// How far it may be behind.
    most: Duration,
    /// Least octets a second.
    rate: u32,
    /// How far it is behind, without the wait under way: how long writes waited, less the time that what
    /// was written may take.
    behind: Duration,
    /// A write waits.
    wait: Option<DrainWait>,
}

struct DrainWait {
    since: Instant,
    late: Pin<Box<Sleep>>,
}

impl Drain {
    fn new(most: Duration, rate: u32) -> Self {
        Self { most, rate: rate.max(1), behind: Duration::ZERO, wait: None }
    }

    fn wrote(&mut self, octets: usize) {
        if let Some(wait) = self.wait.take() {
            self.behind += wait.since.elapsed();
        }
        if !self.behind.is_zero() {
            let may_take = Duration::from_secs_f64(octets as f64 / f64::from(self.rate));
            self.behind = self.behind.saturating_sub(may_take);
        }
    }

    /// A write waits: whether the client is too far behind.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let left = self.most.saturating_sub(self.behind);
        let wait = self.wait.get_or_insert_with(|| {
            let since = Instant::now();
            DrainWait { since, late: Box::pin(tokio::time::sleep_until(since + left)) }
        });
        wait.late.as_mut().poll(cx)
    }
}

impl StallWatch {
    /// A watch over a client that may be behind by `stall` with at least `rate` octets a second.
    pub fn new(socket: TcpStream, stall: Duration, rate: u32, connection: Arc<Connection>) -> Self {
        Self { socket, drain: Drain::new(stall, rate), connection }
    }

    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.connection.note_stall(poll.is_pending());
        match poll {
            Poll::Ready(Ok(octets)) => {
                self.drain.wrote(octets);
                self.connection.traffic().went(octets);
                poll
            }
            Poll::Ready(Err(_)) => poll,
            Poll::Pending => self.drain.poll_late(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl AsyncRead for StallWatch {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let poll = Pin::new(&mut this.socket).poll_read(cx, buffer);
        if poll.is_ready() {
            this.connection.traffic().came(buffer.filled().len() - before);
        }
        poll
    }
}

impl AsyncWrite for StallWatch {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.socket).poll_write(cx, bytes);
        this.watch(cx, poll)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.socket).poll_write_vectored(cx, slices);
        this.watch(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

/// The stream of HTTP.
pub(super) struct HeadWatch<S> {
    stream: S,
    head_timeout: Duration,
    head: Option<PendingHead>,
    framing: Framing,
    lingers: Option<Pin<Box<Sleep>>>,
    connection: Arc<Connection>,
}

/// The head of a request that has begun.
struct PendingHead {
    /// The request's number.
    request: u32,
    until: Instant,
    /// Only for a head that does not come in one piece.
    late: Option<Pin<Box<Sleep>>>,
}

impl<S> HeadWatch<S> {
    pub fn new(stream: S, head_timeout: Duration, connection: Arc<Connection>) -> Self {
        Self {
            stream,
            head_timeout,
            head: None,
            framing: Framing::default(),
            lingers: None,
            connection,
        }
    }

    /// The first request's head has begun by now.
    #[cfg(feature = "relay-tls")]
    pub fn begun(mut self) -> Self {
        let until = Instant::now() + self.head_timeout;
        self.head = Some(PendingHead { request: 0, until, late: None });
        self
    }

    /// Whether a request's head has been on its way for too long.
    fn poll_head(&mut self, cx: &mut Context<'_>, wait: bool) -> Poll<()> {
        let Some(request) = self.connection.awaited() else {
            self.head = None;
            return Poll::Pending;
        };
        self.head.take_if(|head| head.request != request);
        if self.head.is_none() && self.framing.is_in_head() {
            let until = Instant::now() + self.head_timeout;
            self.head = Some(PendingHead { request, until, late: None });
        }
        match &mut self.head {
            Some(PendingHead { until, late, .. }) if wait => {
                let late = late.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(*until)));
                late.as_mut().poll(cx)
            }
            _ => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadWatch<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let poll = Pin::new(&mut this.stream).poll_read(cx, buffer);
        this.connection.note_read(buffer.filled().len() > before);
        if let Some(request) = this.framing.see(&buffer.filled()[before..]) {
            this.connection.note_contradiction(request);
        }
        if let Some(request) = this.framing.lost() {
            this.connection.note_last(request);
        }
        if this.poll_head(cx, poll.is_pending()).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        poll
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for HeadWatch<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    /// Behind an early answer, reads on for a while.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingers.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.connection.is_early() {
                return Poll::Ready(Ok(()));
            }
        }
        let lingers = this.lingers.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        while lingers.as_mut().poll(cx).is_pending() {
            let mut octets = [0; 1024];
            let mut buffer = ReadBuf::new(&mut octets);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
