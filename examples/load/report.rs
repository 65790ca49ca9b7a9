//! The table.

use std::fmt;

/// What a turn has measured, each with its name. The first is the one that is compared.
pub type Figures = Vec<(&'static str, f64)>;

/// A number of sessions or pairs at a relay, with the figures of every turn.
#[derive(Debug)]
pub struct Row {
    pub number: usize,
    /// The relay, by its number.
    pub relay: usize,
    pub turns: Vec<Figures>,
}

/// All rows of a run.
#[derive(Debug)]
pub struct Report {
    pub rows: Vec<Row>,
}

impl Report {
    /// Adds the figures of a turn.
    pub fn add(&mut self, number: usize, relay: usize, figures: Figures) {
        match self.rows.iter_mut().find(|row| row.number == number && row.relay == relay) {
            Some(row) => row.turns.push(figures),
            None => self.rows.push(Row { number, relay, turns: vec![figures] }),
        }
    }

    /// The ratios of the figure that is compared, turn by turn.
    fn ratio(&self, row: &Row, to: impl Fn(&Row) -> bool) -> Option<f64> {
        let base = self.rows.iter().find(|row| to(row))?;
        let pairs = row.turns.iter().zip(&base.turns);
        let ratios: Vec<_> = pairs.map(|(figures, base)| figures[0].1 / base[0].1).collect();
        Some(median(ratios))
    }
}

/// One line for each figure, one column for each row of the report: medians, and the range behind them.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.rows.first() else { return Ok(()) };
        let against = self.rows.iter().any(|row| row.relay > 0);
        write!(f, "|")?;
        for row in &self.rows {
            let relay = if row.relay > 0 { ", against" } else { "" };
            write!(f, " | {}{relay}", row.number)?;
        }
        writeln!(f, " |\n|---|{}", "---:|".repeat(self.rows.len()))?;
        for (i, (name, _)) in first.turns[0].iter().enumerate() {
            write!(f, "| {name}")?;
            for row in &self.rows {
                let mut values: Vec<_> = row.turns.iter().map(|figures| figures[i].1).collect();
                values.sort_by(f64::total_cmp);
                write!(f, " | {}", digits(median(values.clone())))?;
                if values.len() > 1 {
                    write!(f, " ({} to {})", digits(values[0]), digits(values[values.len() - 1]))?;
                }
            }
            writeln!(f, " |")?;
        }
        let mut ratios = |name: &str, to: &dyn Fn(&Row, &Row) -> bool| {
            write!(f, "| {}, ratio to {name}", first.turns[0][0].0)?;
            for row in &self.rows {
                let ratio = self.ratio(row, |base| to(row, base)).unwrap_or(f64::NAN);
                write!(f, " | {ratio:.2}")?;
            }
            writeln!(f, " |")
        };
        ratios("the first number", &|row, base| {
            row.relay == base.relay && base.number == first.number
        })?;
        if against {
            ratios("the relay that was not named by --against", &|row, base| {
                row.number == base.number && base.relay == 0
            })?;
        }
        Ok(())
    }
}

/// A figure with three digits.
fn digits(figure: f64) -> String {
    match figure.abs() {
        0.0 => "0".into(),
        // There was nothing of which it could be a share.
        size if size.is_nan() => "–".into(),
        size if size < 1.0 => format!("{figure:.3}"),
        size if size < 10.0 => format!("{figure:.2}"),
        size if size < 100.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n => (values[(n - 1) / 2] + values[n / 2]) / 2.0,
    }
}

/// The value below which that part of the values is, which are in order. Of none: the type's zero.
pub fn rank<T: Copy + Default>(values: &[T], part: f64) -> T {
    let at = (values.len() as f64 * part) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}
