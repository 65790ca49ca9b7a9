//! The counters of a session and of its channels.

use core::fmt;

/// Numbers of a session since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Send exchanges begun.
    pub sends: u64,
    /// Park exchanges begun.
    pub parks: u64,
    /// Parks among them whose answer was to stay open.
    pub streams: u64,
    /// Those of them that came late, or were cut.
    pub late: u64,
    /// Exchanges that failed.
    pub failed: u64,
    /// Octets of payload sent for the first time.
    pub sent: u64,
    /// Octets of payload received.
    pub received: u64,
    /// Octets of payload sent again.
    pub retransmitted: u64,
    /// Overflow notices received.
    pub overflows: u64,
    /// Datagrams that expired before they could be sent, or found no room here.
    pub datagrams_lost: u64,
    /// Smoothed time from sending to acknowledgement, in ms; 0: none measured.
    pub srtt_ms: u32,
    /// Events dropped because nobody took them.
    pub events_lost: u64,
}

impl Stats {
    pub(super) const fn new() -> Self {
        Self {
            sends: 0,
            parks: 0,
            streams: 0,
            late: 0,
            failed: 0,
            sent: 0,
            received: 0,
            retransmitted: 0,
            overflows: 0,
            datagrams_lost: 0,
            srtt_ms: 0,
            events_lost: 0,
        }
    }
}

/// A table for people: a number in each line, what it counts before it, and its unit behind.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("sends", self.sends, ""),
            ("parks", self.parks, ""),
            ("streams among them", self.streams, ""),
            ("late streams", self.late, ""),
            ("failed exchanges", self.failed, ""),
            ("sent", self.sent, "octets"),
            ("received", self.received, "octets"),
            ("sent again", self.retransmitted, "octets"),
            ("overflows", self.overflows, ""),
            ("datagrams lost", self.datagrams_lost, ""),
            ("round trip", self.srtt_ms.into(), "ms"),
            ("events lost", self.events_lost, ""),
        ];
        for (what, number, unit) in rows {
            let gap = if unit.is_empty() { "" } else { " " };
            writeln!(f, "{what:<18} {number:>14}{gap}{unit}")?;
        }
        Ok(())
    }
}

/// Numbers of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ChannelStats {
    /// First offset not written by the application.
    pub written: u64,
    /// First offset not acknowledged by the peer; FIN counts.
    pub acked: u64,
    /// First offset not received; FIN counts.
    pub received: u64,
    /// First offset not read by the application.
    pub read: u64,
    /// First offset that the peer would not take.
    pub window: u64,
    /// Octets sent again.
    pub retransmitted: u64,
    /// Overflow notices received.
    pub overflows: u32,
    /// Datagrams expired unsent.
    pub datagrams_expired: u32,
    /// Datagrams that came and found no room.
    pub datagrams_dropped: u32,
}

#[cfg(test)]
mod tests {
    use super::Stats;

    #[test]
    fn stats_are_a_table_with_a_number_in_each_line() {
        let stats = Stats { sent: 1_234_567, srtt_ms: 12, ..Stats::new() };
        let table = format!("{stats}");
        assert_eq!(table.lines().count(), 12);
        assert!(table.contains("\nsent                      1234567 octets\n"), "{table}");
        assert!(table.contains("\nround trip                     12 ms\n"), "{table}");
        // The numbers stand below each other.
        assert!(table.lines().all(|line| line.as_bytes()[32].is_ascii_digit()), "{table}");
    }
}
