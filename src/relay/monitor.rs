//! How a relay fares, for those that watch it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::admission::{Admission, AdmissionStats};
use super::cluster::ClusterStats;
use super::places::{ConnectionPlaces, ConnectionStats};
use super::router::RouterStats;
use super::shared::SharedRouter;
use super::traffic::TrafficStats;
use super::worker::Order;

/// Tells how a [`Relay`](super::Relay) fares, from any thread, also while it drains and when it has ended. Clones tell
/// of the same relay.
#[derive(Clone)]
pub struct RelayMonitor {
    parts: Parts,
    began: Instant,
}

/// The parts of a relay that count.
#[derive(Clone)]
pub(super) struct Parts {
    pub shared: Arc<SharedRouter>,
    pub places: Arc<ConnectionPlaces>,
    pub admission: Arc<Admission>,
    pub orders: watch::Receiver<Order>,
    pub bounds: RelayBounds,
}

/// The most of what a relay may have, as it was told, or as its process may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RelayBounds {
    /// Connections.
    pub connections: usize,
    /// Sessions that are remembered.
    pub sessions: usize,
    /// Octets held.
    pub held: usize,
}

/// Everything that a relay counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayStats {
    /// Of the router: sessions, messages, limits.
    pub router: RouterStats,
    /// Of connections.
    pub connections: ConnectionStats,
    /// Of tokens.
    pub admission: AdmissionStats,
    /// Of octets and responses.
    pub traffic: TrafficStats,
    /// Of its part in a cluster; `None`: it is in none.
    pub cluster: Option<ClusterStats>,
    /// The most that there may be.
    pub bounds: RelayBounds,
    /// Whether the relay takes connections.
    pub phase: Phase,
    /// Since its start.
    pub age: Duration,
}

/// What a relay is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It takes connections and serves.
    Serving,
    /// It takes no connection, and ends those that it has.
    Draining,
    /// It has ended.
    Ended,
}

impl RelayMonitor {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts, began: Instant::now() }
    }

    /// The counters, each at its newest. Takes as long with many sessions as with none.
    pub fn stats(&self) -> RelayStats {
        let Parts { shared, places, admission, bounds, .. } = &self.parts;
        RelayStats {
            router: shared.with(|router, _| router.stats()),
            connections: places.stats(),
            admission: admission.stats(),
            traffic: places.traffic.stats(),
            cluster: shared.cluster(),
            bounds: *bounds,
            phase: self.phase(),
            age: self.began.elapsed(),
        }
    }

    /// What the relay is at.
    pub fn phase(&self) -> Phase {
        match *self.parts.orders.borrow() {
            Order::Serve => Phase::Serving,
            Order::Drain(_) => Phase::Draining,
            Order::Abort => Phase::Ended,
        }
    }
}

impl std::fmt::Debug for RelayMonitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelayMonitor").field("phase", &self.phase()).finish_non_exhaustive()
    }
}
