//! What a client of a relay tells: a forward, or a pipe.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use byway::client::{self, Client};
use prometheus_client::registry::Unit::{Bytes, Seconds};

use super::{Readiness, Watched, Writer};

/// A client that is watched.
#[derive(Debug)]
pub struct WatchedClient {
    client: Client,
    claim: Claim,
    opened: Instant,
}

impl WatchedClient {
    /// A client that was just started, and listens by this claim.
    pub fn new(client: &Client, claim: &Claim) -> Self {
        Self { client: client.clone(), claim: claim.clone(), opened: Instant::now() }
    }
}

/// How a command stands with the name at which it listens. Clones are of the same.
#[derive(Debug, Clone)]
pub struct Claim(Arc<Mutex<Standing>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It connects, and has no name.
    Needless,
    /// The relay has not granted it, or another client has it.
    Wanted,
    Granted,
}

impl Claim {
    /// Of a command that connects.
    pub fn needless() -> Self {
        Self(Arc::new(Mutex::new(Standing::Needless)))
    }

    /// Of a command that will listen.
    pub fn wanted() -> Self {
        Self(Arc::new(Mutex::new(Standing::Wanted)))
    }

    pub fn note_granted(&self) {
        self.set(Standing::Granted);
    }

    pub fn note_lost(&self) {
        self.set(Standing::Wanted);
    }

    fn set(&self, standing: Standing) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    fn get(&self) -> Standing {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched for WatchedClient {
    fn write(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let stats = self.client.stats();
        let age = self.opened.elapsed().as_secs_f64();
        writer.gauge(
            "byway_client_age",
            "Time since the client was opened.",
            Some(Seconds),
            age,
        )?;
        writer.counters(
            ("byway_client_exchanges", "kind"),
            "Requests to the relay: parks wait for data, of these streams stay open; sends bring some.",
            None,
            [("park", stats.parks), ("stream", stats.streams), ("send", stats.sends)],
        )?;
        let help = "Requests that got no answer, or not the relay's.";
        writer.counter("byway_client_failed", help, None, stats.failed)?;
        let help = "Answers that were to stay open, and came late or were cut.";
        writer.counter("byway_client_late", help, None, stats.late)?;
        writer.counters(
            ("byway_client_payload", "direction"),
            "Octets of streams and datagrams, each counted once.",
            Some(Bytes),
            [("sent", stats.sent), ("received", stats.received)],
        )?;
        let help = "Octets sent again.";
        writer.counter("byway_client_retransmitted", help, Some(Bytes), stats.retransmitted)?;
        let help = "Times that a peer had no room for what was sent.";
        writer.counter("byway_client_overflows", help, None, stats.overflows)?;
        let help = "Datagrams that expired before they could be sent, or found no room here.";
        writer.counter("byway_client_datagrams_lost", help, None, stats.datagrams_lost)?;
        let help = "Time from sending to acknowledgement, smoothed; 0 before it was measured.";
        let round_trip = f64::from(stats.srtt_ms) / 1000.0;
        writer.gauge("byway_client_round_trip", help, Some(Seconds), round_trip)?;
        let memory = self.client.memory();
        let help = "Octets of memory of the session and its rings, which never change.";
        let memory = memory.state + memory.rings + memory.pool;
        writer.gauge("byway_client_memory", help, Some(Bytes), memory)
    }

    fn readiness(&self) -> Readiness {
        // Behind the client's lock: one that hangs does not answer. A client that neither listens nor has a channel asks its
        // relay nothing, and is as ready as it was when it last did.
        let was_open = self.client.readiness().intersects(client::Readiness::OPEN);
        match self.claim.get() {
            _ if !was_open || self.client.blocked().is_some() => {
                Readiness::NotReady("the relay is not reached")
            }
            Standing::Wanted => Readiness::NotReady("the relay has not granted the name"),
            Standing::Needless | Standing::Granted => Readiness::Ready,
        }
    }
}
