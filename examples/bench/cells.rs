//! The measurements: by which path, with which work, for which systems.

use crate::floor::BUFFER;
use crate::peer::Work;
use crate::posts::PING;
use crate::system::System::{self, Bare, Forward, Httptunnel, LongPoll, Post, Streaming, Tcp};

/// The path between a peer and the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    Direct,
    /// 50 ms there and back on each leg, with at most this many octets under way each way: all of
    /// them arrive within 25 ms, so that this bounds the rate, too.
    Long {
        hold: usize,
    },
    /// Squid with Debian's rules, as the peers' HTTP proxy.
    Squid,
}

/// One line of the table for each of its systems.
#[derive(Debug, Clone)]
pub struct Cell {
    pub name: &'static str,
    pub path: Path,
    pub profile: &'static str,
    pub work: Work,
    pub systems: &'static [System],
    /// Whether spinners keep the cores from being halted, if there are any at all.
    pub spins: bool,
}

/// A rate of 80 MB/s.
const WIDE: Path = Path::Long { hold: 2_000_000 };
/// A rate of 40 MB/s.
const NARROW: Path = Path::Long { hold: 1_000_000 };

const DIRECT: (u64, u64) = (300, 800);
/// This cell takes longer, as bodies grow over round trips.
const LONG: (u64, u64) = (2_000, 1_500);

const fn pings(name: &'static str, path: Path, systems: &'static [System]) -> Cell {
    let (warm_ms, run_ms) = match path {
        Path::Long { .. } => (500, 2_000),
        _ => (200, 600),
    };
    let work = Work { pings: true, bulk: 0, both: false, write: BUFFER, warm_ms, run_ms };
    Cell { name, path, profile: "pc", work, systems, spins: true }
}

const fn bulk(
    name: &'static str,
    path: Path,
    profile: &'static str,
    channels: usize,
    systems: &'static [System],
) -> Cell {
    let (warm_ms, run_ms) = match path {
        Path::Long { .. } => LONG,
        _ => DIRECT,
    };
    let work = Work { pings: false, bulk: channels, both: false, write: BUFFER, warm_ms, run_ms };
    Cell { name, path, profile, work, systems, spins: true }
}

impl Cell {
    const fn both(mut self) -> Self {
        self.work.both = true;
        self
    }

    const fn writes(mut self, octets: usize) -> Self {
        self.work.write = octets;
        self
    }

    const fn without_spinners(mut self) -> Self {
        self.spins = false;
        self
    }

    const fn beside_pings(mut self) -> Self {
        self.work.pings = true;
        self
    }
}

const BYWAY: &[System] = &[LongPoll, Streaming];
const FLOOR: &[System] = &[Tcp, LongPoll, Streaming];
const TUNNELS: &[System] = &[Tcp, LongPoll, Streaming, Httptunnel];

const DEFAULT: &[System] = &[Tcp, Streaming, Forward, Httptunnel];

/// All cells: first those of library and command with their defaults.
pub const ALL: &[Cell] = &[
    bulk("default", Path::Direct, "pc", 1, DEFAULT),
    bulk("default, both ways", Path::Direct, "pc", 1, &[Tcp, Streaming, Forward]).both(),
    bulk("default, 8 at once", Path::Direct, "pc", 8, &[Tcp, Streaming, Forward]),
    bulk("default, 50 ms, 40 MB/s", NARROW, "pc", 1, DEFAULT),
    bulk("default, 50 ms, 40 MB/s, both ways", NARROW, "pc", 1, &[Tcp, Streaming, Forward]).both(),
    pings("round trip", Path::Direct, &[Tcp, Post, Bare, LongPoll, Streaming, Httptunnel]),
    pings("round trip, 50 ms", WIDE, &[Tcp, Post, Bare, LongPoll, Streaming, Httptunnel]),
    pings("round trip, squid", Path::Squid, &[Bare, LongPoll, Streaming]),
    bulk("bulk", Path::Direct, "bulk", 1, TUNNELS),
    bulk("bulk, both ways", Path::Direct, "bulk", 1, FLOOR).both(),
    bulk("bulk, cores left alone", Path::Direct, "bulk", 1, FLOOR).without_spinners(),
    bulk("bulk, 50 ms", WIDE, "bulk", 1, TUNNELS),
    bulk("bulk, 50 ms, 40 MB/s", NARROW, "bulk", 1, FLOOR),
    bulk("bulk, 50 ms, 40 MB/s, writes of 8 KiB", NARROW, "bulk", 1, FLOOR).writes(8 << 10),
    bulk("bulk, squid", Path::Squid, "bulk", 1, BYWAY),
    bulk("pc", Path::Direct, "pc", 1, BYWAY),
    bulk("pc, 8 channels", Path::Direct, "pc", 8, BYWAY),
    bulk("pc, 32 channels", Path::Direct, "pc", 32, BYWAY),
    bulk("pc, beside a round trip", Path::Direct, "pc", 1, BYWAY).beside_pings(),
    bulk("pc, 64 B messages", Path::Direct, "pc", 1, FLOOR).writes(PING),
    bulk("phone", Path::Direct, "phone", 1, BYWAY),
    bulk("app, 50 ms", WIDE, "app", 1, BYWAY),
    bulk("phone, 50 ms", WIDE, "phone", 1, BYWAY),
];

/// The cells that are measured only if asked for.
pub fn on_request(system: System) -> bool {
    system == Httptunnel
}
