//! What goes in and out of the relay, counted by all workers at once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The statuses of HTTP with which the relay answers, in their order.
const STATUSES: [u16; 9] = [200, 400, 401, 403, 404, 405, 413, 415, 503];

/// Counters of a relay's traffic, from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TrafficStats {
    /// Octets that came by connections: heads of requests, bodies, and what TLS adds.
    pub octets_in: u64,
    /// Octets that went out by connections.
    pub octets_out: u64,
    /// Connections for which there was a place.
    pub connections: u64,
    responses: [u64; STATUSES.len()],
}

impl TrafficStats {
    /// Responses by their status of HTTP. A connection for which there is no place is answered 503 beside them:
    /// [`ConnectionStats::refused`](super::ConnectionStats::refused).
    pub fn responses(&self) -> impl Iterator<Item = (u16, u64)> {
        STATUSES.into_iter().zip(self.responses)
    }
}

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    octets_in: AtomicU64,
    octets_out: AtomicU64,
    connections: AtomicU64,
    responses: [AtomicU64; STATUSES.len()],
}

impl Traffic {
    pub fn came(&self, octets: usize) {
        self.octets_in.fetch_add(octets as u64, Relaxed);
    }

    pub fn went(&self, octets: usize) {
        self.octets_out.fetch_add(octets as u64, Relaxed);
    }

    pub fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    /// A request is answered with this status.
    pub fn answered(&self, status: u16) {
        match STATUSES.binary_search(&status) {
            Ok(at) => _ = self.responses[at].fetch_add(1, Relaxed),
            Err(_) => debug_assert!(false, "{status} is among the statuses"),
        }
    }

    pub fn stats(&self) -> TrafficStats {
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        TrafficStats {
            octets_in: count(&self.octets_in),
            octets_out: count(&self.octets_out),
            connections: count(&self.connections),
            responses: self.responses.each_ref().map(count),
        }
    }
}
