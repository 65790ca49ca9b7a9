//! The table of figures: a row for each, a column for each way.

use crate::stage::Way;

/// A figure of a program.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    pub what: &'static str,
    pub value: f64,
    pub unit: &'static str,
}

impl Figure {
    /// A rate of octets, in MB/s.
    pub fn rate(what: &'static str, octets: u64, seconds: f64) -> Self {
        Self { what, value: octets as f64 / 1e6 / seconds, unit: "MB/s" }
    }
}

/// The columns: program, figure, and the ways.
const COLUMNS: usize = 2 + Way::ALL.len();
/// A row, as texts.
pub type Row = [String; COLUMNS];

/// The figures of all programs so far.
#[derive(Debug, Default)]
pub struct Table(Vec<(&'static str, Way, Figure)>);

impl Table {
    pub fn add(&mut self, program: &'static str, way: Way, figures: Vec<Figure>) {
        self.0.extend(figures.into_iter().map(|figure| (program, way, figure)));
    }

    /// The head, and a row for each figure. In brackets is the ratio to the direct way.
    pub fn rows(&self) -> Vec<Row> {
        let [direct, relay, proxy, restart] = Way::ALL.map(|way| way.name().to_owned());
        let mut rows = vec![["program".into(), "figure".into(), direct, relay, proxy, restart]];
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for (program, _, Figure { what, unit, .. }) in &self.0 {
            if seen.contains(&(program, what)) {
                continue;
            }
            seen.push((program, what));
            let of = |way: Way| {
                let mut all = self.0.iter();
                all.find(|(p, w, figure)| p == program && *w == way && figure.what == *what)
                    .map(|(.., figure)| figure.value)
            };
            let direct = of(Way::Direct);
            let cells = Way::ALL.map(|way| match (of(way), direct) {
                (None, _) => String::new(),
                (Some(value), Some(direct)) if way != Way::Direct => {
                    format!("{} ({:.2})", short(value), value / direct)
                }
                (Some(value), _) => short(value),
            });
            let [direct, relay, proxy, restart] = cells;
            rows.push([
                (*program).to_owned(),
                format!("{what}, {unit}"),
                direct,
                relay,
                proxy,
                restart,
            ]);
        }
        rows
    }
}

/// A number with as many digits as mean something.
fn short(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// A row for print.
pub fn line(row: &Row) -> String {
    const WIDTHS: [usize; COLUMNS] = [11, 46, 10, 16, 16, 22];
    let mut line = String::new();
    for (cell, width) in row.iter().zip(WIDTHS) {
        line.push_str(&format!("{cell:<width$} "));
    }
    line.trim_end().to_owned()
}
