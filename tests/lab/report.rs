//! The figures of a cell, as a row of a table.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::peers::Spent;

/// The measurements of a cell.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    pub carried: Carried,
    pub seconds: f64,
    pub spent: Spent,
    /// The longest time in which a receiver got nothing although data were due.
    pub stall: Duration,
    /// The number of faults, and the longest time from the end of a fault until both directions
    /// went on.
    pub faults: u32,
    pub recovery: Option<Duration>,
}

/// The data that arrived at the PC and at the phone, or what the doctor found.
#[derive(Debug, Clone)]
pub enum Carried {
    Octets(u64, u64),
    Datagrams { there: u64, back: u64, lost: u64 },
    Verdicts(Vec<Verdict>),
}

/// A check of the doctor's whose verdict is not `ok`, in its words.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub check: String,
    pub verdict: String,
    pub seen: String,
    pub byway: String,
    pub remedy: String,
}

impl Verdict {
    /// Reads a check of the doctor's document.
    pub fn read(check: &Value) -> Self {
        let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
        Self {
            check: text("check"),
            verdict: text("verdict"),
            seen: text("seen"),
            byway: text("byway"),
            remedy: text("remedy"),
        }
    }
}

impl Default for Carried {
    fn default() -> Self {
        Self::Octets(0, 0)
    }
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Octets(there, back) => {
                let mebi = |octets: u64| octets as f64 / f64::from(1 << 20);
                write!(f, "{:.1} + {:.1} MiB", mebi(*there), mebi(*back))
            }
            Self::Verdicts(found) if found.is_empty() => f.write_str("all ok"),
            Self::Verdicts(found) => {
                let told = found.iter().map(|check| format!("{} {}", check.check, check.verdict));
                f.write_str(&told.collect::<Vec<_>>().join(", "))
            }
            Self::Datagrams { there, back, lost } => {
                write!(f, "{there} + {back} datagrams, {lost} lost")
            }
        }
    }
}

/// The table's head, for the page and for print.
pub const HEAD: [&str; 9] = [
    "cell",
    "carried, there + back",
    "seconds",
    "exchanges",
    "sent again, octets",
    "longest stall",
    "faults",
    "slowest recovery",
    "result",
];

/// A row below [`HEAD`].
pub fn row(name: &str, figures: &Figures, passed: bool) -> [String; 9] {
    let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    [
        name.to_owned(),
        figures.carried.to_string(),
        format!("{:.1}", figures.seconds),
        figures.spent.exchanges.to_string(),
        figures.spent.retransmitted.to_string(),
        seconds(figures.stall),
        if figures.faults > 0 { figures.faults.to_string() } else { String::new() },
        figures.recovery.map(seconds).unwrap_or_default(),
        if passed { "ok" } else { "FAILED" }.to_owned(),
    ]
}

/// A row for print.
pub fn line<S: AsRef<str>>(row: &[S; 9]) -> String {
    const WIDTHS: [usize; 9] = [34, 36, 8, 10, 19, 14, 7, 17, 6];
    let mut line = String::new();
    for (cell, width) in row.iter().zip(WIDTHS) {
        line.push_str(&format!("{:<width$} ", cell.as_ref()));
    }
    line.trim_end().to_owned()
}
