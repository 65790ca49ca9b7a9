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

/// A socket whose writes fail once no octet was written for `stall`: without that, the octets queued for a
/// receiver that is gone would be held until the kernel gives up, a quarter of an hour later.
pub(super) struct StallWatch {
    socket: TcpStream,
    stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    connection: Arc<Connection>,
}

impl StallWatch {
    pub fn new(socket: TcpStream, stall: Duration, connection: Arc<Connection>) -> Self {
        Self { socket, stall, stalled: None, connection }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.connection.note_stall(poll.is_pending());
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let stall = self.stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for StallWatch {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(cx, buffer)
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

    /// Whether a request's head has been on its way for too long; `begun` if octets of the head came.
    fn poll_head(&mut self, cx: &mut Context<'_>, begun: bool, wait: bool) -> Poll<()> {
        let Some(request) = self.connection.awaited() else {
            self.head = None;
            return Poll::Pending;
        };
        self.head.take_if(|head| head.request != request);
        if begun && self.head.is_none() {
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
        let something = buffer.filled().len() > before;
        let begun = something || this.connection.is_behind();
        this.connection.note_read(something);
        if let Some(request) = this.framing.see(&buffer.filled()[before..]) {
            this.connection.note_contradiction(request);
        }
        if let Some(request) = this.framing.lost() {
            this.connection.note_last(request);
        }
        if this.poll_head(cx, begun, poll.is_pending()).is_ready() {
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
