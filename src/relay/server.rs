//! The relay as programs use it: its configuration, its start and its end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipnet::IpNet;
#[cfg(feature = "cluster")]
use ring::rand::{SecureRandom, SystemRandom};
use rustix::process::{Resource, getrlimit};
use tokio::sync::watch;
use tracing::{info, warn};

use super::admission::{Admission, AdmissionStats, Policy};
use super::cluster::RelayId;
#[cfg(feature = "cluster")]
use super::cluster::{Cluster, ClusterConfig};
use super::monitor::{Parts, RelayBounds, RelayMonitor};
use super::places::{ConnectionPlaces, ConnectionStats, LEAVING, Limits, REFUSING};
use super::probe::Probes;
use super::proxies::TrustedProxies;
use super::reuse::Reuse;
use super::router::{RouterConfig, RouterStats};
use super::service::Service;
use super::shared::SharedRouter;
#[cfg(feature = "relay-tls")]
use super::tls::{Certificate, TlsServer};
use super::traffic::TrafficStats;
use super::worker::{self, Order, Worker};

/// Octets of a response that wait in the router; see `BUFFER` of a connection.
const UNDRAINED: usize = 64 * 1024;

/// File descriptors for all but the connections that have a place: for refusals under way, connections that gave way,
/// the listener, the program's own files.
const DESCRIPTORS: usize = REFUSING + LEAVING + 64;

/// File descriptors of a worker's runtime on Linux: what it waits with, twice, what wakes it, what tells it of signals.
const OF_A_WORKER: usize = 4;

/// Who may use a [`Relay`].
#[derive(Debug, Clone, Default)]
pub enum Access {
    /// This machine alone. The relay listens on loopback addresses alone: another is an error. A request that counts
    /// for another address, or that has a field of a front (`X-Forwarded-For`, `Forwarded`, `Via`), is answered 403. A
    /// front that neither adds such a field nor is a [trusted proxy](RelayConfig::trusted_proxies) is not found out. The
    /// default.
    #[default]
    Loopback,
    /// Everybody that reaches the relay, whatever it listens on.
    Open,
    /// The bearers of the policy's tokens.
    Policy(Arc<Policy>),
}

/// How a [`Relay`] is to run.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// The address to listen at; port 0 takes a free port.
    pub listen: SocketAddr,
    /// The part of the URL's path before `/v1`: empty, or like `/byway`.
    pub base: String,
    /// Number of worker threads. By default a thread for two cores, since the kernel's part of a byte's way through a
    /// relay costs as much as its own, and threads that have too little to do wake each other up.
    pub workers: usize,
    /// Most connections at once, of which an eighth is kept for sessions that the relay knows.
    /// Beyond, idle connections are closed, the longest idle first, and newcomers are answered 503.
    /// Less where the process may not have so many file descriptors; see its limit RLIMIT_NOFILE.
    pub max_connections: usize,
    /// Most connections of one IPv4 address or IPv6 network of 64 bits, this machine's own excepted:
    /// beyond, as above, and beyond twice as many none is taken. `None`: half of `max_connections`,
    /// which leaves room to others beside the customers of a carrier that share an address. A proxy on
    /// another machine may need all.
    pub max_connections_per_address: Option<NonZeroUsize>,
    /// How long a new connection may take for its first octet, and the head of a request from its
    /// first octet on. Heads come in one piece as a rule, and a repeat on a slow line takes seconds.
    /// A connection may be idle between two requests for 65 s.
    pub head_timeout: Duration,
    /// How long a client may take nothing of its response before its connection is closed. Longer
    /// than the client's own silence, so that only clients that are gone are meant.
    pub stall: Duration,
    /// Who may use the relay.
    pub access: Access,
    /// Least octets a second that a client takes of a response while the relay has more for it than the
    /// kernel holds; a client may be behind by `stall`.
    pub drain_rate: u32,
    /// Proxies before the relay whose `X-Forwarded-For` is believed: limits by address are then for
    /// the rightmost address there that is no such proxy. The proxies themselves may have any number of
    /// connections.
    pub trusted_proxies: Vec<IpNet>,
    /// Each connection of a trusted proxy begins with a header of the PROXY protocol, of version 1 or 2, with the
    /// address for which it counts; without one it is answered 400 and closed. Connections of others begin
    /// without: their header would be no HTTP.
    pub proxy_protocol: bool,
    /// The certificate with which the relay speaks TLS, and nothing else; `None`: it speaks plain
    /// HTTP. A handshake may take [`head_timeout`](Self::head_timeout).
    #[cfg(feature = "relay-tls")]
    pub tls: Option<Certificate>,
    /// The cluster in which the relay is one of many; `None`: it is the only one.
    #[cfg(feature = "cluster")]
    pub cluster: Option<ClusterConfig>,
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
            max_connections_per_address: None,
            head_timeout: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            access: Access::Loopback,
            drain_rate: 256,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            #[cfg(feature = "relay-tls")]
            tls: None,
            #[cfg(feature = "cluster")]
            cluster: None,
            router: RouterConfig { undrained: UNDRAINED, ..RouterConfig::default() },
        }
    }
}

impl RelayConfig {
    /// The number of a relay in a cluster.
    fn relay_id(&self) -> io::Result<Option<RelayId>> {
        #[cfg(feature = "cluster")]
        if self.cluster.is_some() {
            let mut octets = [0; 8];
            let drawn = SystemRandom::new().fill(&mut octets);
            drawn.map_err(|_| io::Error::other("the system gives no random numbers"))?;
            return Ok(Some(RelayId(u64::from_be_bytes(octets))));
        }
        Ok(None)
    }
}

/// A running relay. A relay that is dropped stops as if killed; the clients go on with the next one.
pub struct Relay {
    address: SocketAddr,
    url: String,
    shared: Arc<SharedRouter>,
    places: Arc<ConnectionPlaces>,
    admission: Arc<Admission>,
    #[cfg(feature = "relay-tls")]
    tls: Option<Arc<TlsServer>>,
    order: watch::Sender<Order>,
    monitor: RelayMonitor,
    #[cfg(feature = "cluster")]
    cluster: Option<Cluster>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Listens at [`RelayConfig::listen`] and serves, on threads of its own.
    ///
    /// # Errors
    /// The address cannot be had, or is beyond loopback while [`RelayConfig::access`] is [`Access::Loopback`]
    /// (`PermissionDenied`), or the system gives no threads.
    pub fn bind(config: RelayConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen)?;
        Self::serve(vec![listener], config)
    }

    /// Serves at listeners that the program has, on threads of its own: [`RelayConfig::listen`]
    /// does not count. The first listener's address is in the URL.
    ///
    /// # Errors
    /// There is no listener, a listener cannot be used, or is beyond loopback while [`RelayConfig::access`] is
    /// [`Access::Loopback`] (`PermissionDenied`), or the system gives no threads.
    pub fn serve(listeners: Vec<TcpListener>, config: RelayConfig) -> io::Result<Self> {
        match &config.access {
            Access::Loopback => check_loopback(&listeners)?,
            Access::Open | Access::Policy(_) => {}
        }
        let admission = Arc::new(Admission::new(&config.access));
        let base = config.base.trim_matches('/');
        let base = if base.is_empty() { String::new() } else { format!("/{base}") };
        let id = config.relay_id()?;
        let shared = Arc::new(SharedRouter::new(config.router.clone(), id));
        #[cfg(feature = "cluster")]
        let cluster = match (&config.cluster, id) {
            (Some(cluster), Some(id)) => Some(Cluster::start(cluster, id, &shared, &admission)?),
            _ => None,
        };
        let proxies = TrustedProxies::new(config.trusted_proxies.clone());
        let limits = limits(&config);
        let places = Arc::new(ConnectionPlaces::behind(limits, proxies.clone()));
        let bounds = RelayBounds {
            connections: limits.connections,
            sessions: config.router.max_sessions,
            held: config.router.max_held,
        };
        let service = Arc::new(Service {
            shared: Arc::clone(&shared),
            admission: Arc::clone(&admission),
            base: base.clone(),
            head_timeout: config.head_timeout,
            proxies,
            proxy_protocol: config.proxy_protocol,
            stall: config.stall,
            drain_rate: config.drain_rate,
            max_body: config.router.max_body.into(),
            probes: Probes::new(),
            reuse: Reuse::default(),
            longest_hold: Duration::from_millis(config.router.max_hold_ms),
            #[cfg(feature = "relay-tls")]
            tls: config.tls.map(|certificate| Arc::new(TlsServer::new(certificate))),
        });
        let (order, orders) = watch::channel(Order::Serve);
        #[cfg(feature = "relay-tls")]
        let tls = service.tls.clone();
        #[cfg(feature = "relay-tls")]
        let scheme = if tls.is_some() { "https" } else { "http" };
        #[cfg(not(feature = "relay-tls"))]
        let scheme = "http";
        let monitor = RelayMonitor::new(Parts {
            shared: Arc::clone(&shared),
            places: Arc::clone(&places),
            admission: Arc::clone(&admission),
            orders: orders.clone(),
            bounds,
        });
        let worker = Worker { service, places: Arc::clone(&places), orders };
        let (address, threads) = worker::start(listeners, config.workers, &worker)?;
        let url = format!("{scheme}://{address}{base}");
        info!(%url, "listening");
        Ok(Self {
            address,
            url,
            shared,
            places,
            admission,
            #[cfg(feature = "relay-tls")]
            tls,
            order,
            monitor,
            #[cfg(feature = "cluster")]
            cluster,
            threads,
        })
    }

    /// Replaces the certificate for all handshakes from now on. Connections that there are go on as they
    /// are; sessions of TLS that began with the old certificate are not resumed. Does not block.
    ///
    /// # Errors
    /// `Unsupported`: the relay was started without [`RelayConfig::tls`].
    #[cfg(feature = "relay-tls")]
    pub fn set_certificate(&self, certificate: Certificate) -> io::Result<()> {
        let tls = self.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        tls.set_certificate(certificate);
        Ok(())
    }

    /// The URL that clients are given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of the first listener.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The router's counters.
    pub fn stats(&self) -> RouterStats {
        self.shared.with(|router, _| router.stats())
    }

    /// The counters of connections.
    pub fn connections(&self) -> ConnectionStats {
        self.places.stats()
    }

    /// The counters of admission.
    pub fn admission(&self) -> AdmissionStats {
        self.admission.stats()
    }

    /// The counters of octets and responses.
    pub fn traffic(&self) -> TrafficStats {
        self.places.traffic.stats()
    }

    /// Tells how the relay fares, beyond its end.
    pub fn monitor(&self) -> RelayMonitor {
        self.monitor.clone()
    }

    /// Takes another policy, also in the place of none. It holds at once: requests under way end whose token has no
    /// entry any longer, or another one, and so do those without a token. What was delivered stays delivered.
    pub fn set_policy(&self, policy: impl Into<Arc<Policy>>) {
        self.admission.set_policy(policy.into());
        self.shared.with(|router, now| router.end_revoked(now));
    }

    /// Stops so that clients come back elsewhere, or to the next relay at this address, one after the other: takes no
    /// more connections, closes those without a request, and answers parks as at the end of a hold, evenly spread
    /// over `spread`, or a millisecond apart where they are few. Then does as [`shutdown`](Self::shutdown) with
    /// what is left. Ends sooner when there is no connection left. Blocks until then.
    ///
    /// Nothing is lost, and no answer is an error. Where an answer stayed open its head could not say that the connection
    /// is to be closed: the client's next request may meet the end of that, and is made anew at once. But sessions that
    /// have left do not meet those that are still here: channels between them stand for up to `spread`. A relay that
    /// takes their place tells nobody that a listener is not there for its [`grace_ms`](RouterConfig::grace_ms): a spread
    /// below that refuses nobody.
    pub fn drain(mut self, spread: Duration, timeout: Duration) {
        self.places.close_behind_answers();
        self.order.send_replace(Order::Drain(spread.saturating_add(timeout)));
        let spread_ms = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX / 2);
        let began = Instant::now();
        self.shared.with_node(|node, _, now| node.leave(now, spread_ms));
        self.shared.with(|router, now| router.drain(now, spread_ms));
        self.places.wait_empty_for(spread);
        self.shared.wait_idle(spread.saturating_sub(began.elapsed()));
        self.shared.with(|router, now| router.shutdown(now));
        self.end(timeout);
    }

    /// Answers every request under way, with END(SHUTDOWN) if need be, and stops; after `timeout` the relay
    /// stops anyway. Blocks until then.
    pub fn shutdown(mut self, timeout: Duration) {
        self.places.close_behind_answers();
        self.order.send_replace(Order::Drain(timeout));
        self.shared.with_node(|node, _, now| node.leave(now, 0));
        self.shared.with(|router, now| router.shutdown(now));
        self.end(timeout);
    }

    /// Waits for the ends of what is under way.
    fn end(&mut self, timeout: Duration) {
        #[cfg(feature = "cluster")]
        if let Some(cluster) = self.cluster.take() {
            self.shared.wait_idle(timeout);
            self.join();
            return cluster.stop();
        }
        let _ = timeout;
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
        for thread in self.threads.drain(..) {
            // A thread ends by a panic only if the relay is at fault; its sockets are closed either way.
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

/// Refuses listeners that others than this machine reach.
fn check_loopback(listeners: &[TcpListener]) -> io::Result<()> {
    for listener in listeners {
        let address = listener.local_addr()?;
        if !address.ip().to_canonical().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{address} is open to everybody that reaches it"),
            ));
        }
    }
    Ok(())
}

/// The limits of a configuration, as far as the process may have file descriptors.
fn limits(config: &RelayConfig) -> Limits {
    let may = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| most as usize);
    let others = OF_A_WORKER.saturating_mul(config.workers).saturating_add(DESCRIPTORS);
    let most = may.saturating_sub(others).max(may / 2).max(1);
    let connections = config.max_connections.clamp(1, most);
    if connections < config.max_connections {
        let wanted = config.max_connections;
        warn!(
            wanted,
            connections,
            "fewer connections than wanted: the process may have {may} file descriptors (ulimit -n)"
        );
    }
    let per_address = config.max_connections_per_address.map_or(connections / 2, NonZeroUsize::get);
    Limits { connections, per_address: per_address.max(1) }
}
