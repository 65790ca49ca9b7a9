//! What the doctor found, as a table for people or as a document for programs.

use std::fmt::Write;
use std::time::Duration;

use byway::transport::ExchangeFailure;
use serde_json::{Value, json};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Ok,
    /// byway works, but slower or with less.
    Limited,
    /// byway does not work.
    Blocked,
    /// The check was not made, or told nothing.
    NotTested,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::Blocked => "blocked",
            Self::NotTested => "not tested",
        }
    }
}

/// A check and its outcome.
#[derive(Debug)]
pub struct Check {
    name: &'static str,
    verdict: Verdict,
    /// What was seen, or why the check was not made.
    seen: String,
    /// What byway does by itself about it.
    byway: &'static str,
    /// What people can do about it.
    remedy: String,
}

impl Check {
    pub fn new(name: &'static str, verdict: Verdict, seen: impl Into<String>) -> Self {
        Self { name, verdict, seen: seen.into(), byway: "", remedy: String::new() }
    }

    pub fn ok(name: &'static str, seen: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, seen)
    }

    pub fn limited(name: &'static str, seen: impl Into<String>) -> Self {
        Self::new(name, Verdict::Limited, seen)
    }

    pub fn not_tested(name: &'static str, why: impl Into<String>) -> Self {
        Self::new(name, Verdict::NotTested, why)
    }

    /// A failure of the way, which keeps byway from working; its words have the remedy.
    pub fn blocked(name: &'static str, failure: &ExchangeFailure) -> Self {
        let told = failure.cause.to_string();
        let (cause, remedy) = told.split_once("; ").unwrap_or((&told, ""));
        Self::new(name, Verdict::Blocked, format!("{cause} ({})", failure.seen)).remedy(remedy)
    }

    /// What byway does about it by itself.
    pub fn byway(self, byway: &'static str) -> Self {
        Self { byway, ..self }
    }

    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }
}

/// All checks that were made.
#[derive(Debug, Default)]
pub struct Report {
    checks: Vec<Check>,
}

impl Report {
    pub fn add(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// The worst outcome.
    pub fn verdict(&self) -> Verdict {
        let has = |verdict| self.checks.iter().any(|check| check.verdict == verdict);
        match (has(Verdict::Blocked), has(Verdict::Limited)) {
            (true, _) => Verdict::Blocked,
            (false, true) => Verdict::Limited,
            (false, false) => Verdict::Ok,
        }
    }

    /// The table, below which stands what it comes to.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for check in &self.checks {
            // A string takes whatever is written.
            let _ = writeln!(
                text,
                "{:<11} {:<10} {}",
                check.name,
                check.verdict.name(),
                check.seen.trim_end()
            );
            for (before, line) in [("byway", check.byway), ("remedy", check.remedy.as_str())] {
                if !line.is_empty() {
                    let _ = writeln!(text, "{:<22} {before}: {line}", "");
                }
            }
        }
        text + match self.verdict() {
            Verdict::Blocked => "byway does not work here until what is blocked is mended",
            Verdict::Limited => "byway works here, slower where it says limited",
            Verdict::Ok | Verdict::NotTested => "byway works here",
        }
    }

    /// The document.
    pub fn json(&self, relay: &str) -> Value {
        let checks = self.checks.iter().map(|check| {
            json!({
                "check": check.name,
                "verdict": check.verdict.name(),
                "seen": check.seen,
                "byway": check.byway,
                "remedy": check.remedy,
            })
        });
        json!({
            "relay": relay,
            "verdict": self.verdict().name(),
            "checks": checks.collect::<Vec<_>>(),
        })
    }
}

/// A time for people, in milliseconds.
pub fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worst_check_decides_and_those_not_made_do_not_count() {
        let mut report = Report::default();
        report.add(Check::not_tested("hold", "no time"));
        assert_eq!(report.verdict(), Verdict::Ok);
        report.add(Check::limited("down", "held back"));
        assert_eq!(report.verdict(), Verdict::Limited);
        report.add(Check::new("tcp", Verdict::Blocked, "refused"));
        assert_eq!(report.verdict(), Verdict::Blocked);
        assert_eq!(report.json("http://x")["checks"][1]["verdict"], "limited");
        assert!(report.table().ends_with("until what is blocked is mended"));
    }
}
