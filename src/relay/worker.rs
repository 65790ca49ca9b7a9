//! The threads. Each thread has a runtime of its own, so that every task waits its turn in one queue: with
//! queues that overflow into a common one, as a pool's do, some clients waited ten times as long as
//! others. The first worker accepts, and deals the connections out in turn; listeners of their own,
//! by SO_REUSEPORT, would let a second relay take the address of a running one.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use super::connection::{self, Connection};
use super::places::{ConnectionPlaces, EPISODE};
use super::refusal;
use super::router::{Meter, Origin};
use super::service::Service;

/// Connections that the kernel may queue until they are accepted: the usual limit.
const BACKLOG: i32 = 4096;

/// How long to leave the listener alone when the system has no more file descriptors, or might soon have none.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections accepted in a row, until others get their turn.
const IN_A_ROW: usize = 16;

/// Stack of a worker thread, in octets: the router does not recurse.
const STACK: usize = 512 * 1024;

/// What the threads are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Serve,
    /// Answer what is under way, then stop; at the latest after this time.
    Drain(Duration),
    /// Stop at once.
    Abort,
}

/// A connection on its way to its worker.
type Dealt = (std::net::TcpStream, Connection);

/// What every worker needs to serve connections.
#[derive(Clone)]
pub(super) struct Worker {
    pub service: Arc<Service>,
    pub places: Arc<ConnectionPlaces>,
    pub orders: watch::Receiver<Order>,
}

/// Starts `workers` threads that serve at `listeners`; gives the address of the first.
pub(super) fn start(
    listeners: Vec<std::net::TcpListener>,
    workers: usize,
    worker: &Worker,
) -> io::Result<(SocketAddr, Vec<JoinHandle<()>>)> {
    let runtime = runtime()?;
    let listeners = {
        let _context = runtime.enter();
        listeners.into_iter().map(queueing).collect::<io::Result<Vec<_>>>()?
    };
    let first = listeners.first().ok_or(io::ErrorKind::InvalidInput)?;
    let address = first.local_addr()?;
    let (mut threads, mut others) = (Vec::new(), Vec::new());
    for _ in 1..workers {
        let (deal, dealt) = mpsc::unbounded_channel();
        others.push(deal);
        threads.push(spawn(self::runtime()?, worker.clone().serve(dealt))?);
    }
    threads.push(spawn(runtime, worker.clone().accept(listeners, others))?);
    Ok((address, threads))
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn spawn(
    runtime: Runtime,
    work: impl Future<Output = ()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let name = "byway-relay".into();
    thread::Builder::new().name(name).stack_size(STACK).spawn(move || runtime.block_on(work))
}

/// Has more connections queue at a listener than the standard library lets.
fn queueing(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    rustix::net::listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Waits until a listener gives a connection. Each `turn` another listener is asked first.
async fn accept(listeners: &[TcpListener], turn: usize) -> io::Result<(TcpStream, SocketAddr)> {
    let (last, first) = listeners.split_at(turn % listeners.len());
    poll_fn(|context| {
        let mut accepted = first.iter().chain(last).map(|listener| listener.poll_accept(context));
        accepted.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}

/// Waits until the relay is to serve no longer.
pub(super) async fn stopping(orders: &mut watch::Receiver<Order>) {
    // An error means that the relay is gone, which ends its connections as well.
    let _ = orders.wait_for(|order| *order != Order::Serve).await;
}

impl Worker {
    /// The first worker: it accepts, keeps the router's time, and has its share of connections.
    async fn accept(self, listeners: Vec<TcpListener>, others: Vec<mpsc::UnboundedSender<Dealt>>) {
        let shared = Arc::clone(&self.service.shared);
        let mut orders = self.orders.clone();
        tokio::select! {
            () = shared.keep_time() => {}
            () = self.deal(listeners, others) => {}
            () = stopping(&mut orders) => {}
        }
        // The listeners are closed.
        tokio::select! {
            () = shared.keep_time() => {}
            () = self.drain() => {}
        }
    }

    /// Another worker: it serves the connections that it is dealt.
    async fn serve(self, mut dealt: mpsc::UnboundedReceiver<Dealt>) {
        let mut orders = self.orders.clone();
        loop {
            tokio::select! {
                dealt = dealt.recv() => match dealt {
                    Some((stream, connection)) => self.take(TcpStream::from_std(stream), connection),
                    None => break,
                },
                () = stopping(&mut orders) => break,
            }
        }
        drop(dealt);
        self.drain().await;
    }

    /// Waits for the end of all connections, for as long as the order allows.
    async fn drain(&self) {
        let mut orders = self.orders.clone();
        stopping(&mut orders).await;
        let Order::Drain(timeout) = *orders.borrow() else { return };
        let _ = tokio::time::timeout(timeout, self.places.wait_empty()).await;
    }

    async fn deal(&self, listeners: Vec<TcpListener>, others: Vec<mpsc::UnboundedSender<Dealt>>) {
        let mut failed: Option<Instant> = None;
        for accepted in 0_usize.. {
            if accepted % IN_A_ROW == 0 {
                tokio::task::yield_now().await;
            }
            // What gives way ends at once but for an answer under way, which is not waited for.
            let _ = tokio::time::timeout(ACCEPT_PAUSE, self.places.wait_left()).await;
            let (stream, peer) = match accept(&listeners, accepted).await {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => {
                    // Once an episode, not ten times a second.
                    if failed.replace(Instant::now()).is_none_or(|last| last.elapsed() > EPISODE) {
                        warn!(%error, "cannot accept connections; allow more file descriptors");
                    }
                    self.places.make_room();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let origin = Origin::of(peer.ip());
            let is_exempt = origin == Origin::Exempt || self.service.proxies.contains(peer.ip());
            let admitted = is_exempt
                || self
                    .service
                    .shared
                    .with(|router, now| router.admit(now, &origin, Meter::Connections, 0).is_ok());
            let Some(connection) = admitted.then(|| self.places.take(peer)).flatten() else {
                // The client is gone already, if that fails.
                let _ = refusal::refuse(stream, &self.service, &self.places);
                continue;
            };
            debug!(%peer, "connected");
            // In turn; the turn behind the others is this worker's.
            match others.get(accepted % (others.len() + 1)) {
                None => self.take(Ok(stream), connection),
                Some(other) => {
                    if let Ok(stream) = stream.into_std() {
                        // The other worker is stopping, if that fails.
                        let _ = other.send((stream, connection));
                    }
                }
            }
        }
    }

    fn take(&self, stream: io::Result<TcpStream>, connection: Connection) {
        match stream {
            Ok(stream) => {
                let (service, orders) = (Arc::clone(&self.service), self.orders.clone());
                tokio::spawn(connection::serve(stream, Arc::new(connection), service, orders));
            }
            Err(error) => warn!(%error, "cannot watch a connection; allow more file descriptors"),
        }
    }
}
