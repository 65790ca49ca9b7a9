//! The table at the end.

use std::fmt;
use std::time::Duration;

use byway::session::{Stats, StorageBytes};

use crate::peers::Quiet;

/// The measurements of the demo.
pub struct Report {
    pub len: u64,
    pub sent: [u8; 32],
    pub there: [u8; 32],
    pub back: [u8; 32],
    pub there_in: Duration,
    pub back_in: Duration,
    pub quiet: Quiet,
    pub loaded: Vec<Duration>,
    pub pings_lost: u64,
    pub clients: [Stats; 2],
    pub memory: StorageBytes,
    pub heap_peak: usize,
    pub relay_here: bool,
}

impl Report {
    /// Whether every byte was right, there and back.
    pub fn is_equal(&self) -> bool {
        self.sent == self.there && self.sent == self.back
    }

    fn row(f: &mut fmt::Formatter<'_>, name: &str, value: fmt::Arguments<'_>) -> fmt::Result {
        writeln!(f, "  {name:<34} {value}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = |equal| if equal { "equal" } else { "DIFFERENT" };
        let speed = |time: Duration| self.len as f64 / time.as_secs_f64().max(1e-9) / 1e6;
        let sum = |count: fn(&Stats) -> u64| self.clients.iter().map(count).sum::<u64>();
        let [a, b] = &self.clients;
        Self::row(f, "SHA-256 sent", format_args!("{}", hex(&self.sent)))?;
        Self::row(f, "  there", format_args!("{}", verdict(self.there == self.sent)))?;
        Self::row(f, "  and back", format_args!("{}", verdict(self.back == self.sent)))?;
        Self::row(f, "bytes each way", format_args!("{}", self.len))?;
        Self::row(f, "speed there", format_args!("{:.1} MB/s", speed(self.there_in)))?;
        Self::row(f, "speed back", format_args!("{:.1} MB/s", speed(self.back_in)))?;
        let Quiet { stream, posts, bare } = &self.quiet;
        Self::row(f, "round trip 64 B, idle stream", format_args!("{}", Spread(stream)))?;
        Self::row(f, "  two plain POSTs (ureq)", format_args!("{}", Spread(posts)))?;
        Self::row(f, "  two plain POSTs (bare socket)", format_args!("{}", Spread(bare)))?;
        let ratio = |floor| median(stream).as_secs_f64() / median(floor).as_secs_f64().max(1e-9);
        let (plain, bare) = (ratio(posts), ratio(bare));
        Self::row(f, "  ratios of the medians", format_args!("{plain:.2}, {bare:.2}"))?;
        Self::row(f, "  datagrams beside the file", format_args!("{}", Spread(&self.loaded)))?;
        for (name, stats) in [("exchanges, camera", a), ("exchanges, viewer", b)] {
            let Stats { sends, parks, streams, .. } = stats;
            let line = format_args!("{sends} sends, {parks} parks ({streams} streamed)");
            Self::row(f, name, line)?;
        }
        Self::row(f, "exchanges failed", format_args!("{}", sum(|s| s.failed)))?;
        Self::row(f, "retransmitted bytes", format_args!("{}", sum(|s| s.retransmitted)))?;
        Self::row(f, "overflows", format_args!("{}", sum(|s| s.overflows)))?;
        let lost = sum(|s| s.datagrams_lost);
        Self::row(
            f,
            "datagrams lost",
            format_args!("{lost}, pings unanswered {}", self.pings_lost),
        )?;
        Self::row(f, "client memory: state", format_args!("{} bytes", self.memory.state))?;
        Self::row(f, "client memory: rings", format_args!("{} bytes", self.memory.rings))?;
        let whose = if self.relay_here { "2 clients and relay" } else { "2 clients" };
        let rest = self.heap_peak.saturating_sub(2 * (self.memory.state + self.memory.rings));
        Self::row(
            f,
            "heap peak",
            format_args!("{} bytes ({whose}); {rest} without state and rings", self.heap_peak),
        )
    }
}

/// Gives the median and the 99th percentile.
struct Spread<'a>(&'a [Duration]);

impl fmt::Display for Spread<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return write!(f, "none measured");
        }
        let (p50, p99) = (percentile(self.0, 50), percentile(self.0, 99));
        write!(
            f,
            "p50 {} µs, p99 {} µs ({} of them)",
            p50.as_micros(),
            p99.as_micros(),
            self.0.len()
        )
    }
}

fn median(times: &[Duration]) -> Duration {
    percentile(times, 50)
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied().unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
