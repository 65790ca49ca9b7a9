//! What a relay tells.

use std::fmt;

use byway::relay::{
    AdmissionStats, ClusterStats, ConnectionStats, Phase, RelayMonitor, RelayStats, RouterStats,
};
use prometheus_client::registry::Unit::{Bytes, Seconds};

use super::{Readiness, Watched, Writer};

impl Watched for RelayMonitor {
    fn write(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let stats = self.stats();
        state(writer, &stats)?;
        sessions(writer, &stats)?;
        connections(writer, &stats)?;
        messages(writer, &stats.router)?;
        if let Some(cluster) = &stats.cluster {
            self::cluster(writer, cluster)?;
        }
        refusals(writer, &stats)
    }

    fn readiness(&self) -> Readiness {
        // The counters are behind the lock of all work: a relay that hangs does not answer.
        let stats = self.stats();
        match stats.phase {
            Phase::Serving if stats.cluster.is_some_and(|cluster| !cluster.is_placed) => {
                Readiness::NotReady("no relay of the cluster is in charge; is its bus there?")
            }
            Phase::Serving => Readiness::Ready,
            Phase::Draining => Readiness::NotReady("draining"),
            Phase::Ended => Readiness::NotReady("ended"),
        }
    }
}

fn state(writer: &mut Writer<'_>, stats: &RelayStats) -> fmt::Result {
    let is_ready = u64::from(stats.phase == Phase::Serving);
    writer.gauge("byway_relay_ready", "1 while the relay takes connections.", None, is_ready)?;
    let age = stats.age.as_secs_f64();
    writer.gauge("byway_relay_age", "Time since the start of the relay.", Some(Seconds), age)
}

fn sessions(writer: &mut Writer<'_>, stats: &RelayStats) -> fmt::Result {
    let (router, bounds) = (&stats.router, &stats.bounds);
    for (name, help, value) in [
        (
            "sessions",
            "Sessions remembered: of clients that are here, and of those that left lately.",
            router.sessions,
        ),
        ("sessions_limit", "Most sessions remembered.", bounds.sessions),
        (
            "parked",
            "Sessions with a request that waits, or is being answered: clients that are here.",
            router.parked,
        ),
        ("exchanges", "Requests under way.", router.exchanges),
        ("names", "Names at which sessions listen.", router.names),
        ("origins", "Addresses and bearers of tokens that did something lately.", router.origins),
        (
            "acks_kept",
            "Acknowledgements that wait for their session's next request.",
            router.acks_kept,
        ),
    ] {
        writer.gauge(&format!("byway_relay_{name}"), help, None, value)?;
    }
    let help = "Octets held for receivers.";
    writer.gauge("byway_relay_held", help, Some(Bytes), router.held)?;
    writer.gauge("byway_relay_held_limit", "Most octets held.", Some(Bytes), bounds.held)?;
    let lost = "Sessions found to be over although they did not say so.";
    writer.counter("byway_relay_sessions_lost", lost, None, router.lost)
}

fn cluster(writer: &mut Writer<'_>, cluster: &ClusterStats) -> fmt::Result {
    let help =
        "This relay's number in its cluster, and that of the relay known to have the router.";
    let relay = cluster.relay.to_string();
    let router = cluster.holder.map(|(relay, _)| relay.to_string()).unwrap_or_default();
    writer.info("byway_relay_cluster", help, &[("relay", &relay), ("router", &router)])?;
    for (name, help, value) in [
        ("router", "1 while this relay has the router of the cluster.", u64::from(cluster.holds())),
        (
            "term",
            "Counts the moves of the router; 0: no relay is known to have it.",
            cluster.holder.map_or(0, |(_, term)| term),
        ),
        (
            "placed",
            "1 while a relay is known to have the router, or had it no longer ago than a move takes.",
            u64::from(cluster.is_placed),
        ),
        (
            "pipes",
            "Requests here that the router of another relay deals with.",
            cluster.pipes as u64,
        ),
        ("hosted", "Requests at other relays that this router deals with.", cluster.hosted as u64),
    ] {
        writer.gauge(&format!("byway_relay_cluster_{name}"), help, None, value)?;
    }
    for (name, help, value) in [
        ("taken", "Times that this relay took the router.", cluster.took),
        ("lost", "Times that this relay lost the router.", cluster.lost),
        ("broken", "Requests here whose way to the router broke.", cluster.broken),
        (
            "tokens_unknown",
            "Requests here whose token the relay with the router does not know.",
            cluster.tokens_unknown,
        ),
        (
            "unread",
            "Messages of the bus that are of another version, or another program.",
            cluster.unread,
        ),
        ("messages_sent", "Messages given to the bus.", cluster.messages_out),
        ("messages_received", "Messages that the bus brought.", cluster.messages_in),
    ] {
        writer.counter(&format!("byway_relay_cluster_{name}"), help, None, value)?;
    }
    let help = "Octets given to the bus.";
    writer.counter("byway_relay_cluster_sent", help, Some(Bytes), cluster.octets_out)?;
    let help = "Octets that the bus brought.";
    writer.counter("byway_relay_cluster_received", help, Some(Bytes), cluster.octets_in)
}

fn connections(writer: &mut Writer<'_>, stats: &RelayStats) -> fmt::Result {
    let (connections, traffic) = (&stats.connections, &stats.traffic);
    for (name, help, value) in [
        ("connections", "Connections open.", connections.open),
        (
            "connections_served",
            "Connections with a request of a session under way.",
            connections.served,
        ),
        ("connections_limit", "Most connections.", stats.bounds.connections),
    ] {
        writer.gauge(&format!("byway_relay_{name}"), help, None, value)?;
    }
    let help = "Connections taken.";
    writer.counter("byway_relay_connections_taken", help, None, traffic.connections)?;
    let help = "Idle connections closed to make room for others.";
    writer.counter("byway_relay_connections_evicted", help, None, connections.evicted)?;
    writer.counters(
        ("byway_relay_socket", "direction"),
        "Octets of connections: heads, bodies, and what TLS adds.",
        Some(Bytes),
        [("in", traffic.octets_in), ("out", traffic.octets_out)],
    )?;
    let responses: Vec<_> =
        traffic.responses().map(|(status, count)| (status.to_string(), count)).collect();
    writer.counters(
        ("byway_relay_responses", "status"),
        "Requests answered, by the status of HTTP.",
        None,
        responses.iter().map(|(status, count)| (status.as_str(), *count)),
    )
}

fn messages(writer: &mut Writer<'_>, router: &RouterStats) -> fmt::Result {
    writer.counters(
        ("byway_relay_requests", "kind"),
        "Requests of sessions: parks wait for data, of these streams stay open; sends bring some.",
        None,
        [("park", router.parks), ("stream", router.streams), ("send", router.sends)],
    )?;
    writer.counters(
        ("byway_relay_messages", "direction"),
        "Messages from senders, and to receivers; a long message goes in several.",
        None,
        [("in", router.messages_in), ("out", router.messages)],
    )?;
    let help = "Octets of streams and datagrams handed to receivers.";
    writer.counter("byway_relay_forwarded", help, Some(Bytes), router.forwarded)?;
    writer.times(
        "byway_relay_handover",
        "Time from a message's arrival until it is written into its receiver's answer.",
        router.waits.sum(),
        router.waits.buckets(),
    )?;
    writer.counters(
        ("byway_relay_verdicts", "verdict"),
        "Messages dealt with, by what their senders were told.",
        None,
        [
            ("delivered", router.delivered),
            ("busy", router.busy),
            ("away", router.away),
            ("retry", router.retry),
            ("limited", router.limited),
            ("refused", router.refused),
            ("forbidden", router.forbidden),
        ],
    )
}

fn refusals(writer: &mut Writer<'_>, stats: &RelayStats) -> fmt::Result {
    let RouterStats { limits, .. } = &stats.router;
    writer.counters(
        ("byway_relay_limits", "limit"),
        "How often a limit of the router was reached.",
        None,
        limits.iter(),
    )?;
    writer.counters(
        ("byway_relay_refused", "reason"),
        "What was refused, put off or dropped, and why.",
        None,
        reasons(&stats.router, &stats.connections, &stats.admission),
    )?;
    let RouterStats { superseded, repeated, stale, malformed, overloaded, .. } = stats.router;
    writer.counters(
        ("byway_relay_ends", "status"),
        "Requests of sessions ended before their time.",
        None,
        [
            ("superseded", superseded),
            ("repeated", repeated),
            ("stale", stale),
            ("malformed", malformed),
            ("limited", overloaded),
        ],
    )?;
    let help = "Proofs of keys checked.";
    writer.counter("byway_relay_proofs", help, None, stats.router.proofs)?;
    let help = "Signatures of tokens verified.";
    writer.counter("byway_relay_tokens_verified", help, None, stats.admission.verified)?;
    let help = "Bodies held back by octets_per_second of the policy.";
    writer.counter("byway_relay_bodies_held_back", help, None, stats.admission.held_back)
}

/// Everything that is refused, by its reason.
fn reasons(
    router: &RouterStats,
    connections: &ConnectionStats,
    admission: &AdmissionStats,
) -> [(&'static str, u64); 17] {
    [
        ("full", connections.refused),
        ("no_proxy_header", connections.headless),
        ("connections_rate", router.connections_refused),
        ("requests_rate", router.requests_refused),
        ("sessions_rate", router.sessions_refused),
        ("guesses_rate", router.guesses_refused),
        ("misses_rate", router.misses_refused),
        ("proofs_rate", router.proofs_refused),
        ("junk_rate", router.junk_held_back),
        ("over_share", router.over_share),
        ("slow_body", router.slow_bodies),
        ("acks_dropped", router.acks_dropped),
        ("proof_wrong", router.unproved),
        ("token_missing", admission.without_token),
        ("token_wrong", admission.refused),
        ("token_guesses", admission.slowed),
        ("from_beyond", admission.from_beyond),
    ]
}
