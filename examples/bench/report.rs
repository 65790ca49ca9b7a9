//! The table, and the limits for its figures.

use std::collections::BTreeMap;
use std::fmt;

use byway::session::Profile;
use serde::Serialize;

use crate::cells::Cell;
use crate::idle::Idle;
use crate::process::Usage;
use crate::system::{Figures, System};

/// All measurements of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub spinners: usize,
    pub seconds: f64,
    pub rows: Vec<Row>,
    pub idle: Vec<Idle>,
    pub phone: Option<Usage>,
    /// The measurements that could not be made, each with the reason.
    pub failures: Vec<String>,
}

/// A cell and a system, with the figures of every turn.
#[derive(Debug, Serialize)]
pub struct Row {
    pub cell: &'static str,
    pub profile: &'static str,
    pub system: System,
    pub figures: BTreeMap<&'static str, Vec<f64>>,
}

impl Row {
    pub fn new(cell: &Cell, system: System) -> Self {
        Self { cell: cell.name, profile: cell.profile, system, figures: BTreeMap::new() }
    }

    pub fn add(&mut self, figures: Figures) {
        for (name, figure) in figures {
            self.figures.entry(name).or_default().push(figure);
        }
    }

    pub fn median(&self, figure: &str) -> Option<f64> {
        let mut turns = self.figures.get(figure)?.clone();
        turns.sort_by(f64::total_cmp);
        let middle = turns.len() / 2;
        match turns.len() % 2 {
            0 => Some((turns.get(middle.checked_sub(1)?)? + turns[middle]) / 2.0),
            _ => Some(turns[middle]),
        }
    }

    /// Median and range.
    fn spread(&self, figure: &str) -> Option<String> {
        let turns = self.figures.get(figure)?;
        let (least, most) =
            turns.iter().fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(*x), b.max(*x)));
        let median = short(self.median(figure)?);
        match turns.len() {
            1 => Some(median),
            _ => Some(format!("{median} ({} to {})", short(least), short(most))),
        }
    }
}

/// Rounds to three significant digits.
pub fn short(x: f64) -> String {
    match x.abs() {
        x if x >= 1e6 => format!("{:.2} M", x / 1e6),
        y if y >= 100.0 => format!("{x:.0}"),
        y if y >= 10.0 => format!("{x:.1}"),
        y if y >= 1.0 => format!("{x:.2}"),
        _ => format!("{x:.3}"),
    }
}

/// A shorter time shows nothing of idle clients, each of which makes a request every two minutes.
const LEAST_MINUTES: f64 = 4.0;

/// A limit for a figure.
struct Target {
    what: String,
    is: f64,
    limit: f64,
    at_most: bool,
}

impl Report {
    pub fn new(rows: impl Iterator<Item = Row>) -> Self {
        Self {
            spinners: 0,
            seconds: 0.0,
            rows: rows.collect(),
            idle: Vec::new(),
            phone: None,
            failures: Vec::new(),
        }
    }

    pub fn median(&self, cell: &str, system: System, figure: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.cell == cell && row.system == system)?.median(figure)
    }

    /// What users get without choosing anything, by raw TCP in this run.
    fn default_targets(&self) -> Vec<Target> {
        use System::{Forward, Streaming, Tcp};
        let mut targets = Vec::new();
        let mut ask = |what: String, is: Option<f64>, limit: f64| {
            targets.extend(is.map(|is| Target { what, is, limit, at_most: false }));
        };
        for (cell, limits) in [
            ("default", [0.5, 0.6]),
            ("default, both ways", [0.5, 0.6]),
            ("default, 8 at once", [0.5, 0.6]),
            ("default, 50 ms, 40 MB/s", [0.6, 0.6]),
            ("default, 50 ms, 40 MB/s, both ways", [0.6, 0.6]),
        ] {
            for (system, limit) in [Forward, Streaming].into_iter().zip(limits) {
                let rate = |system| self.median(cell, system, "MB/s");
                let ratio = rate(system).zip(rate(Tcp)).map(|(is, raw)| is / raw);
                ask(format!("{cell}: {} / raw TCP", system.name()), ratio, limit);
                let share = self.median(cell, system, "slowest/mean");
                ask(format!("{cell}: slowest / mean, {}", system.name()), share, 0.7);
            }
        }
        // The largest ring in two legs of 50 ms.
        for (name, ring) in [("app", Profile::APP.pool / 4), ("phone", Profile::PHONE.ring)] {
            for pace in [System::LongPoll, Streaming] {
                let most = ring as f64 / 0.1 / 1e6;
                let rate = self.median(&format!("{name}, 50 ms"), pace, "MB/s");
                let what = format!("{name} at 50 ms / (ring / round trip), {}", pace.name());
                ask(what, rate.map(|rate| rate / most), 0.9);
            }
        }
        targets
    }

    /// The ratios within this run, and the limits that the project sets itself.
    fn targets(&self) -> Vec<Target> {
        use System::{Bare, LongPoll, Post, Streaming, Tcp};
        let mut targets = self.default_targets();
        let mut ask = |what: String, is: Option<f64>, at_most: bool, limit: f64| {
            targets.extend(is.map(|is| Target { what, is, limit, at_most }));
        };
        let ratio = |a: Option<f64>, b: Option<f64>| Some(a? / b?);
        let get = |cell, system, figure| self.median(cell, system, figure);
        let paces = [LongPoll, Streaming];

        let p50 = |cell, system| get(cell, system, "p50 µs");
        let trip = "round trip";
        ask(
            "round trip p50, streaming / raw TCP".into(),
            ratio(p50(trip, Streaming), p50(trip, Tcp)),
            true,
            2.5,
        );
        for floor in [Post, Bare] {
            ask(
                format!("round trip p50, long poll / {}", floor.name()),
                ratio(p50(trip, LongPoll), p50(trip, floor)),
                true,
                2.0,
            );
        }
        for pace in paces {
            let name = pace.name();
            ask(
                format!("round trip p50 at 50 ms, ms, {name}"),
                p50("round trip, 50 ms", pace).map(|us| us / 1e3),
                true,
                105.0,
            );
            ask(
                format!("round trip p99 / p50, {name}"),
                ratio(get(trip, pace, "p99 µs"), p50(trip, pace)),
                true,
                5.0,
            );
        }
        for (cell, limits) in [
            ("bulk", [0.5, 0.75]),
            ("bulk, cores left alone", [0.5, 0.75]),
            ("bulk, 50 ms", [0.35, 0.65]),
            ("bulk, 50 ms, 40 MB/s", [0.35, 0.65]),
            ("bulk, 50 ms, 40 MB/s, writes of 8 KiB", [0.35, 0.65]),
        ] {
            for (pace, limit) in paces.into_iter().zip(limits) {
                ask(
                    format!("{cell}: {} / raw TCP", pace.name()),
                    ratio(get(cell, pace, "MB/s"), get(cell, Tcp, "MB/s")),
                    false,
                    limit,
                );
            }
        }
        for pace in paces {
            let name = pace.name();
            ask(
                format!("bulk: both ways, summed / one way, {name}"),
                ratio(get("bulk, both ways", pace, "MB/s"), get("bulk", pace, "MB/s")),
                false,
                1.0,
            );
            for cell in ["pc, 8 channels", "pc, 32 channels"] {
                ask(
                    format!("{cell}: slowest / mean, {name}"),
                    get(cell, pace, "slowest/mean"),
                    false,
                    0.7,
                );
            }
            let alone = p50(trip, pace);
            ask(
                format!("round trip beside bulk, µs, {name} (3 x alone, or 5 ms more)"),
                p50("pc, beside a round trip", pace),
                true,
                alone.map_or(0.0, |alone| (3.0 * alone).max(alone + 5_000.0)),
            );
            ask(
                format!("64 B messages a second, {name}"),
                get("pc, 64 B messages", pace, "messages/s"),
                false,
                1e6,
            );
            ask(
                format!("bulk: relay resident at most, MB, {name}"),
                get("bulk", pace, "relay peak MB"),
                true,
                10.0,
            );
        }
        if let Some(phone) = &self.phone {
            let mb = |octets: u64| Some(octets as f64 / 1e6);
            ask("small client, phone: resident at most, MB".into(), mb(phone.peak), true, 3.6);
            ask("small client, phone: anonymous, MB".into(), mb(phone.anonymous), true, 0.8);
        }
        for idle in &self.idle {
            let minutes = idle.seconds / 60.0;
            let (requests, octets) = (idle.requests as f64, idle.octets as f64);
            let most = if idle.pace == "battery" { 0.5 } else { 2.4 };
            if minutes < LEAST_MINUTES {
                continue;
            }
            // One more hold may end in this time than fits into it.
            ask(
                format!("idle, {}: requests in {minutes:.1} minutes", idle.pace),
                Some(requests),
                true,
                minutes * most + 1.0,
            );
            if requests > 0.0 {
                ask(
                    format!("idle, {}: octets of HTTP a minute at that pace", idle.pace),
                    Some(octets / requests * most),
                    true,
                    1_000.0,
                );
            }
        }
        targets
    }
}

/// Figures in the order of the table.
const COLUMNS: [&str; 12] = [
    "p50 µs",
    "p99 µs",
    "MB/s",
    "messages/s",
    "slowest/mean",
    "peers and relay, CPU s/GB",
    "relay CPU s/GB",
    "exchanges/MB",
    "allocations/exchange",
    "client resident MB",
    "client anonymous MB",
    "relay peak MB",
];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turns = self.rows.iter().flat_map(|row| row.figures.values()).map(Vec::len).max();
        writeln!(
            f,
            "Medians and ranges of {} turns, {} spinners, {:.0} s.\n",
            turns.unwrap_or(0),
            self.spinners,
            self.seconds
        )?;
        let mut cell = "";
        for row in &self.rows {
            if row.cell != cell {
                cell = row.cell;
                let columns: Vec<_> = self.columns(cell).collect();
                writeln!(f, "\n| {cell} ({}) | {} |", row.profile, columns.join(" | "))?;
                writeln!(f, "|---|{}", "---|".repeat(columns.len()))?;
            }
            let figures: Vec<_> =
                self.columns(cell).map(|column| row.spread(column).unwrap_or_default()).collect();
            writeln!(f, "| {} | {} |", row.system.name(), figures.join(" | "))?;
        }
        writeln!(f, "\n| target | measured | limit | |\n|---|---|---|---|")?;
        for Target { what, is, limit, at_most } in self.targets() {
            let met = if at_most { is <= limit } else { is >= limit };
            let (word, verdict) =
                (if at_most { "at most" } else { "at least" }, if met { "met" } else { "short" });
            writeln!(f, "| {what} | {} | {word} {} | {verdict} |", short(is), short(limit))?;
        }
        if self.idle.iter().any(|idle| idle.seconds / 60.0 < LEAST_MINUTES) {
            writeln!(
                f,
                "\nnot measured: what idle clients cost, in less than {LEAST_MINUTES} minutes"
            )?;
        }
        for failure in &self.failures {
            writeln!(f, "\nFAILED: {failure}")?;
        }
        writeln!(f)
    }
}

impl Report {
    /// The figures of a cell.
    fn columns(&self, cell: &str) -> impl Iterator<Item = &'static str> {
        let has = move |column: &&'static str| {
            self.rows.iter().any(|row| row.cell == cell && row.figures.contains_key(column))
        };
        COLUMNS.into_iter().filter(has)
    }
}
