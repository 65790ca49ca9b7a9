//! The listening socket, the connections, and the threads they run on.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::{debug, info, warn};

use super::router::{RouterConfig, RouterStats};
use super::service::Service;
use super::shared::Shared;
use super::stall::Patient;

/// Of hyper's buffers, each way: 32 KiB, so that with the router's queue ([`UNDRAINED`]) at most
/// 128 KiB of a stream are neither with the sender nor with the receiver's kernel. Half of that costs
/// a quarter of the speed, twice as much gains little. A parked connection has only the read buffer,
/// at its smallest 8 KiB.
const BUFFER: usize = 32 * 1024;

/// Octets of a response that wait in the router; see [`BUFFER`].
const UNDRAINED: usize = 64 * 1024;

/// How long a connection may be idle or take for a request's head: longer than the 60 s for which
/// nginx keeps its connections to an origin, so that it is not the relay that closes first.
const HEAD_TIMEOUT: Duration = Duration::from_secs(65);

/// How long a new connection may take for its first octet: who says nothing keeps no place.
const FIRST_OCTET_TIMEOUT: Duration = Duration::from_secs(10);

/// More connections than any system has file descriptors for.
const MAX_CONNECTIONS: usize = 1 << 24;

/// Connections that the kernel may queue until they are accepted: the usual limit.
const BACKLOG: u32 = 4096;

/// How long to leave the listener alone when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Stack of a worker thread, in octets: the router does not recurse.
const STACK: usize = 512 * 1024;

/// How a [`Relay`] is to run.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What stands before `/v1` in the URL's path: empty, or like `/byway`.
    pub base: String,
    /// Worker threads. Default: one for two cores, since the kernel's part of a byte's way through a
    /// relay costs as much as its own, and threads that have too little to do wake each other up.
    pub workers: usize,
    /// Most connections at once; more wait to be accepted.
    pub max_connections: usize,
    /// How long a client may take nothing of its response before its connection is closed. Longer
    /// than the client's own silence, so that only who is gone is meant.
    pub stall: Duration,
    /// The router's limits and times.
    pub router: RouterConfig,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            base: String::new(),
            workers: std::thread::available_parallelism()
                .map_or(1, |cores| cores.get().div_ceil(2)),
            max_connections: 10_000,
            stall: Duration::from_secs(30),
            router: RouterConfig { undrained: UNDRAINED, ..RouterConfig::default() },
        }
    }
}

/// What the threads are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Serve,
    /// Answer what is under way, then stop; at the latest after this time.
    Drain(Duration),
    /// Stop at once.
    Abort,
}

/// A running relay. Dropped, it stops as if killed; the clients do not mind.
pub struct Relay {
    address: SocketAddr,
    url: String,
    shared: Arc<Shared>,
    order: watch::Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Listens and serves, on threads of its own.
    pub fn bind(config: RelayConfig) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.workers.max(1))
            .thread_name("byway-relay")
            .thread_stack_size(STACK)
            .enable_all()
            .build()?;
        let base = config.base.trim_matches('/');
        let base = if base.is_empty() { String::new() } else { format!("/{base}") };
        let listener = {
            let _context = runtime.enter();
            listen(config.listen)?
        };
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(config.router.clone()));
        let service = Arc::new(Service {
            shared: Arc::clone(&shared),
            path: format!("{base}/v1"),
            stall: config.stall,
            max_body: config.router.max_body.into(),
        });
        let (order, orders) = watch::channel(Order::Serve);
        let connections = config.max_connections.clamp(1, MAX_CONNECTIONS);
        let serving = serve(listener, service, connections, orders);
        let thread = std::thread::Builder::new()
            .name("byway-relay".into())
            .spawn(move || runtime.block_on(serving))?;
        let url = format!("http://{address}{base}");
        info!(%url, "listening");
        Ok(Self { address, url, shared, order, thread: Some(thread) })
    }

    /// The URL that clients are given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What the router counted.
    pub fn stats(&self) -> RouterStats {
        self.shared.with(|router, _| router.stats())
    }

    /// Answers all that is under way and stops; after `timeout`, stops anyway.
    pub fn shutdown(mut self, timeout: Duration) {
        self.order.send_replace(Order::Drain(timeout));
        self.shared.with(|router, now| router.shutdown(now));
        self.join();
    }

    /// Stops as if killed: all sockets are closed when this returns, nothing is answered.
    pub fn abort(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.order.send_replace(Order::Abort);
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // It ends by a panic only if the relay is at fault; the sockets are closed either way.
            let _ = thread.join();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop();
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Binds at once even if connections of a relay before this one linger.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    connections: usize,
    mut orders: watch::Receiver<Order>,
) {
    let shared = Arc::clone(&service.shared);
    let places = Arc::new(Semaphore::new(connections));
    tokio::select! {
        () = shared.run_timer() => {}
        () = accept(listener, service, Arc::clone(&places), orders.clone()) => {}
        () = stopping(&mut orders) => {}
    }
    // The listener is closed. Every connection has a place until it ends.
    let Order::Drain(timeout) = *orders.borrow() else { return };
    let all = u32::try_from(connections).unwrap_or(u32::MAX);
    tokio::select! {
        () = shared.run_timer() => {}
        _ = places.acquire_many(all) => {}
        () = tokio::time::sleep(timeout) => {}
    }
}

/// Until the relay is to serve no longer.
async fn stopping(orders: &mut watch::Receiver<Order>) {
    // An error means that the relay is gone, which ends it as well.
    let _ = orders.wait_for(|order| *order != Order::Serve).await;
}

async fn accept(
    listener: TcpListener,
    service: Arc<Service>,
    places: Arc<Semaphore>,
    orders: watch::Receiver<Order>,
) {
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                debug!(%peer, "connected");
                let connection = connection(stream, Arc::clone(&service), orders.clone(), place);
                tokio::spawn(connection);
            }
            Err(error) => {
                warn!(%error, "cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    service: Arc<Service>,
    mut orders: watch::Receiver<Order>,
    _place: OwnedSemaphorePermit,
) {
    // A socket that is gone already shows in the first read.
    let _ = stream.set_nodelay(true);
    let begun = tokio::select! {
        begun = tokio::time::timeout(FIRST_OCTET_TIMEOUT, stream.readable()) => begun,
        () = stopping(&mut orders) => return,
    };
    if !matches!(begun, Ok(Ok(()))) {
        return;
    }
    let stream = Patient::new(stream, service.stall);
    let behind = stream.behind();
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER)
        .pipeline_flush(false)
        // RFC 9110, 6.6.1 demands Date of whoever has a clock, for the sake of caches, which may not
        // store this; it also has proxies add it. It would be a tenth of what an idle client costs.
        .auto_date_header(false)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(|request| service.handle(request, &behind)),
        );
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => Some(ended),
        () = stopping(&mut orders) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "connection ended");
    }
}
