//! The life of a connection, and what its parts tell each other.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tracing::debug;

use super::body::{Answered, BrokenPipe};
use super::places::{ConnectionId, ConnectionPlaces};
use super::proxies::Source;
use super::proxy_header;
use super::refusal::{full, refusal, turn_away};
use super::reuse::Reuse;
use super::router::{Meter, Router};
use super::service::Service;
use super::stall::{HeadWatch, StallWatch};
#[cfg(feature = "relay-tls")]
use super::tls;
use super::traffic::Traffic;
use super::worker::{Order, stopping};

/// Of hyper's buffers, each way: 32 KiB, so that with the router's queue
/// ([`UNDRAINED`](super::server)) at most 128 KiB of a stream are neither with the sender nor with
/// the receiver's kernel. Half of that costs a quarter of the speed, twice as much gains little. They
/// begin with 8 KiB each, of the read buffer and of the one for heads of responses, and stay so while
/// a connection is parked: hyper allocates both by itself and has no setting for less. examples/load/README.md
/// has what a parked session takes in all.
const BUFFER: usize = 32 * 1024;

/// Octets of a stream that the kernel takes and has not sent yet. What was sent and not acknowledged counts
/// extra, so that a long path is filled.
#[cfg(any(target_os = "android", target_os = "linux"))]
const UNSENT: u32 = 128 * 1024;

/// How long a connection may be idle between two requests: longer than the 60 s for which nginx
/// keeps its connections to an origin, so that nginx closes first and not the relay.
const IDLE_TIMEOUT: Duration = Duration::from_secs(65);

/// How far the request under way is, in an atomic.
///
/// ```text
///            its head is read           its HELLO is of a session
///  AWAITED ──────────────────▶ BEGUN ────────────────────────────▶ SERVED
///     ▲                          │                                   │
///     └──────────────────────────┴───── it is answered ──────────────┘
/// ```
const AWAITED: u8 = 0;
const BEGUN: u8 = 1;
const SERVED: u8 = 2;

/// What the parts of a connection tell each other: its stream, its service, and the table of places,
/// in which it has its own.
pub(super) struct Connection {
    places: Arc<ConnectionPlaces>,
    id: ConnectionId,
    peer: IpAddr,
    /// The address that a proxy told in its place.
    told: OnceLock<IpAddr>,
    leave: Arc<Notify>,
    /// Requests whose head was read.
    requests: AtomicU32,
    /// The number of the request that says its length in two ways.
    contradiction: OnceLock<u32>,
    /// See [`AWAITED`].
    progress: AtomicU8,
    /// Whether hyper has octets that it did not use yet. hyper reads again whenever it used up its octets,
    /// also while a response is awaited, to see the end of the connection; so some are left if its last
    /// read gave any.
    behind: AtomicBool,
    /// Whether the client takes its response more slowly than the relay could write it.
    stalled: AtomicBool,
    /// Whether a request was answered before its end, behind which the connection is closed.
    early: AtomicBool,
    /// The number of the request behind whose answer the connection is closed.
    last: OnceLock<u32>,
    /// Whether a proxy passed on a request.
    proxied: AtomicBool,
}

impl Connection {
    pub fn new(
        places: Arc<ConnectionPlaces>,
        id: ConnectionId,
        peer: IpAddr,
        leave: Arc<Notify>,
    ) -> Self {
        Self {
            places,
            id,
            peer,
            told: OnceLock::new(),
            leave,
            requests: AtomicU32::new(0),
            contradiction: OnceLock::new(),
            progress: AtomicU8::new(AWAITED),
            behind: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            early: AtomicBool::new(false),
            last: OnceLock::new(),
            proxied: AtomicBool::new(false),
        }
    }

    /// Where it comes from.
    pub fn source(&self) -> Source {
        self.told.get().map_or(Source::Peer(self.peer), |told| Source::Told(*told))
    }

    /// Whether the relay wants to be rid of its connections.
    pub fn is_unwanted(&self) -> bool {
        self.places.is_closing()
    }

    /// The counters of all connections.
    pub fn traffic(&self) -> &Traffic {
        &self.places.traffic
    }

    /// A proxy tells where it comes from; false if there are too many connections from there.
    fn tell(&self, address: IpAddr) -> bool {
        self.places.recount(self.id, self.told.get_or_init(|| address))
    }

    /// A request's head was read.
    pub fn begin(self: &Arc<Self>) -> Answering {
        self.requests.fetch_add(1, Relaxed);
        self.progress.store(BEGUN, Relaxed);
        Answering(Arc::clone(self))
    }

    /// The number of the request whose head is awaited; `None` while a request is being answered.
    pub fn awaited(&self) -> Option<u32> {
        (self.progress.load(Relaxed) == AWAITED).then(|| self.requests.load(Relaxed))
    }

    /// The request of this number, from 1, says its length in two ways.
    pub fn note_contradiction(&self, request: u32) {
        // Behind the first such request nothing is looked at.
        self.contradiction.get_or_init(|| request);
    }

    /// Whether the request under way says its length in two ways.
    pub fn is_contradictory(&self) -> bool {
        self.contradiction.get() == Some(&self.requests.load(Relaxed))
    }

    pub fn note_read(&self, something: bool) {
        self.behind.store(something, Relaxed);
    }

    /// Whether octets came behind a request, once that was read whole. The task of the connection asks in
    /// the same poll in which hyper read, so that no task need be woken.
    pub fn is_behind(&self) -> bool {
        self.behind.load(Relaxed)
    }

    pub fn note_stall(&self, stalled: bool) {
        self.stalled.store(stalled, Relaxed);
    }

    /// Whether nothing is lost if the connection is closed: the beginning of a request does not count.
    fn is_at_rest(&self) -> bool {
        self.progress.load(Relaxed) != SERVED && !self.stalled.load(Relaxed)
    }

    /// The request is answered before its end.
    pub fn set_early(&self) {
        self.early.store(true, Relaxed);
    }

    /// A proxy passed on the request under way.
    pub fn note_proxy(&self, reuse: &Reuse) {
        self.proxied.store(true, Relaxed);
        match self.requests.load(Relaxed) {
            1 if reuse.is_in_vain(self.peer) => self.note_last(1),
            2.. => reuse.note_again(self.peer),
            _ => {}
        }
    }

    /// The connection has ended, and its answers were taken whole: where a client hangs up, a proxy's connection
    /// cannot be used again.
    fn note_end(&self, reuse: &Reuse) {
        let had_one = self.requests.load(Relaxed) == 1;
        if had_one && self.proxied.load(Relaxed) && self.last.get().is_none() {
            reuse.note_single(self.peer);
        }
    }

    /// Behind the answer to the request of this number, from 1, the connection is closed: it is not known for sure
    /// where requests begin behind it, or none is expected.
    pub fn note_last(&self, request: u32) {
        self.last.get_or_init(|| request);
    }

    /// Whether the connection is closed behind the answer to the request under way.
    pub fn is_last(&self) -> bool {
        self.last.get().is_some_and(|last| self.requests.load(Relaxed) >= *last)
    }

    pub fn is_early(&self) -> bool {
        self.early.load(Relaxed)
    }

    pub fn is_open_to_all(&self) -> bool {
        self.places.is_open_to_all(self.id)
    }

    /// The request under way is of a session.
    pub fn serve(&self) {
        self.progress.store(SERVED, Relaxed);
        self.places.serve(self.id);
    }

    /// The request under way is refused, for want of a place.
    pub fn refused(&self) {
        self.places.refused();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.places.leave(self.id);
    }
}

/// The request under way on a connection: answered when this is dropped.
pub(super) struct Answering(Arc<Connection>);

impl Answering {
    pub fn connection(&self) -> &Arc<Connection> {
        &self.0
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.progress.store(AWAITED, Relaxed);
        self.0.places.rest(self.0.id);
    }
}

/// Bounds what the kernel holds for a receiver that takes it slowly or not at all. Without that the kernel
/// takes up to 4 MB a connection, and keeps them for a quarter of an hour after the receiver is gone.
fn bound_kernel(stream: &TcpStream, stall: Duration) {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    {
        let socket = socket2::SockRef::from(stream);
        // A socket that is gone already fails at its first read.
        let _ = socket.set_tcp_notsent_lowat(UNSENT);
        let _ = socket.set_tcp_user_timeout(Some(stall));
    }
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    let _ = (stream, stall);
}

/// What a proxy is told that sends no header.
const NO_HEADER: &str = "byway relay: connections of this proxy begin with a header of the PROXY protocol: have the proxy send one, or leave --proxy-protocol out\n";

/// Has the proxy from which the connection comes tell whose it is, if it is to.
///
/// # Errors
/// The connection is refused, with this answer if any.
async fn hear_proxy(
    stream: &mut TcpStream,
    service: &Service,
    connection: &Arc<Connection>,
) -> Result<(), Option<String>> {
    if !service.proxy_protocol || !service.proxies.contains(connection.peer) {
        return Ok(());
    }
    let read = tokio::time::timeout(service.head_timeout, proxy_header::read(stream));
    match read.await {
        Ok(Ok(None)) => Ok(()),
        Ok(Ok(Some(address))) => {
            let origin = Source::Told(address).origin();
            let admit =
                |router: &mut Router, now| router.admit(now, &origin, Meter::Connections, 0);
            let is_admitted = service.shared.with(admit).is_ok() && connection.tell(address);
            if is_admitted { Ok(()) } else { Err(Some(full())) }
        }
        Ok(Err(error)) if error.kind() == ErrorKind::InvalidData => {
            connection.places.note_headless(connection.peer, &error);
            Err(Some(refusal("400 Bad Request", "", NO_HEADER)))
        }
        // It ended, as a check does, or took too long.
        Ok(Err(_)) | Err(_) => Err(None),
    }
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    mut stream: TcpStream,
    connection: Arc<Connection>,
    service: Arc<Service>,
    mut orders: watch::Receiver<Order>,
) {
    let leave = Arc::clone(&connection.leave);
    // The first read fails on a socket that is gone already.
    let _ = stream.set_nodelay(true);
    bound_kernel(&stream, service.stall);
    let mut word = pin!(async {
        tokio::select! {
            () = leave.notified() => {}
            () = stopping(&mut orders) => {}
        }
        // A request that has arrived meanwhile shows once the runtime has looked at its sockets.
        tokio::task::yield_now().await;
    });
    let heard = tokio::select! {
        heard = hear_proxy(&mut stream, &service, &connection) => heard,
        () = &mut word => return,
    };
    match heard {
        Ok(()) => {}
        Err(None) => return,
        // Boxed, so that other connections do not have its size.
        Err(Some(answer)) => return Box::pin(turn_away(stream, &service, &answer)).await,
    }
    let mut octet = [0];
    let begun = tokio::select! {
        biased;
        // Not `readable`, which a new socket is until it was read from.
        begun = tokio::time::timeout(service.head_timeout, stream.peek(&mut octet)) => begun,
        () = &mut word => return,
    };
    if !matches!(begun, Ok(Ok(1..))) {
        return;
    }
    #[cfg(feature = "relay-tls")]
    if let Some(server) = &service.tls {
        if octet != tls::HANDSHAKE {
            return tls::refuse_plain(stream).await;
        }
        // Boxed, so that connections without TLS do not have its size.
        return Box::pin(async {
            let socket =
                StallWatch::new(stream, service.stall, service.drain_rate, Arc::clone(&connection));
            let shaken = tokio::select! {
                shaken = server.accept(socket, service.head_timeout) => shaken,
                () = &mut word => return,
            };
            match shaken {
                Ok(stream) => {
                    let stream =
                        HeadWatch::new(stream, service.head_timeout, Arc::clone(&connection));
                    let serving = pin!(serving(stream.begun(), &service, &connection));
                    converse(serving, &service, &connection, word).await;
                }
                Err(error) => debug!(%error, "no TLS"),
            }
        })
        .await;
    }
    let socket =
        StallWatch::new(stream, service.stall, service.drain_rate, Arc::clone(&connection));
    let stream = HeadWatch::new(socket, service.head_timeout, Arc::clone(&connection));
    let serving = pin!(serving(stream, &service, &connection));
    converse(serving, &service, &connection, word).await;
}

/// hyper's part of a connection. Made in its place, as a future keeps what its own arguments were.
fn serving<'a, S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    service: &'a Service,
    connection: &'a Arc<Connection>,
) -> http1::Connection<
    TokioIo<S>,
    impl hyper::service::Service<
        Request<Incoming>,
        Response = Response<Answered>,
        Error = BrokenPipe,
        Future: Send,
    > + use<'a, S>,
> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(BUFFER)
        .pipeline_flush(false)
        // RFC 9110, 6.6.1 demands Date of servers with a clock, for the sake of caches, which may not
        // store these answers; it also has proxies add the field. Date would be a tenth of an idle
        // client's cost.
        .auto_date_header(false)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(|request| service.handle(request, connection)),
        )
}

/// Serves requests until their connection ends or `word` says that it is to.
async fn converse<S, H>(
    mut serving: Pin<&mut http1::Connection<TokioIo<S>, H>>,
    service: &Service,
    connection: &Connection,
    word: Pin<&mut impl Future<Output = ()>>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    H: HttpService<Incoming, ResBody = Answered, Error = BrokenPipe>,
{
    let ended = tokio::select! {
        biased;
        ended = &mut serving => Some(ended),
        () = word => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None if connection.is_at_rest() => return,
        None => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    match ended {
        Ok(()) => connection.note_end(&service.reuse),
        Err(error) => debug!(%error, "connection ended"),
    }
}
