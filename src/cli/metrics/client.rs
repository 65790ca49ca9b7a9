//! What a client of a relay tells: a forward, or a pipe.

use std::fmt;
use std::time::Instant;

use byway::client::Client;
use prometheus_client::registry::Unit::{Bytes, Seconds};

use super::{Readiness, Watched, Writer};

/// A client that is watched.
#[derive(Debug)]
pub struct WatchedClient {
    client: Client,
    opened: Instant,
}

impl WatchedClient {
    /// A client that was just opened.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone(), opened: Instant::now() }
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
        // The counters are behind the client's lock.
        let _ = self.client.stats();
        Readiness::Ready
    }
}
