//! What the doctor found, as a table for people or as a document for programs.

use std::fmt;
use std::time::Duration;

use byway::transport::ExchangeFailure;
use serde_json::{Value, json};

/// What is checked, in the order in which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Proxy,
    Pac,
    Token,
    Name,
    Tcp,
    Connect,
    Tls,
    Relay,
    Protocol,
    Rest,
    Headers,
    Clock,
    Two,
    Whole,
    Size,
    Chunked,
    Reuse,
    Rate,
    Down,
    Up,
    Hold,
}

impl Step {
    /// The checks that are made of every relay that answers probes.
    pub const OF_A_RELAY: [Self; 11] = [
        Self::Headers,
        Self::Clock,
        Self::Two,
        Self::Whole,
        Self::Size,
        Self::Chunked,
        Self::Reuse,
        Self::Rate,
        Self::Down,
        Self::Up,
        Self::Hold,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Pac => "pac",
            Self::Token => "token",
            Self::Name => "name",
            Self::Tcp => "tcp",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Relay => "relay",
            Self::Protocol => "protocol",
            Self::Rest => "the rest",
            Self::Headers => "headers",
            Self::Clock => "clock",
            Self::Two => "two",
            Self::Whole => "whole",
            Self::Size => "size",
            Self::Chunked => "chunked",
            Self::Reuse => "reuse",
            Self::Rate => "rate",
            Self::Down => "down",
            Self::Up => "up",
            Self::Hold => "hold",
        }
    }
}

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
    step: Step,
    verdict: Verdict,
    /// What was seen, or why the check was not made.
    seen: String,
    /// What byway does by itself about it.
    byway: &'static str,
    /// What people can do about it.
    remedy: String,
}

impl Check {
    pub fn new(step: Step, verdict: Verdict, seen: impl Into<String>) -> Self {
        Self { step, verdict, seen: seen.into(), byway: "", remedy: String::new() }
    }

    pub fn ok(step: Step, seen: impl Into<String>) -> Self {
        Self::new(step, Verdict::Ok, seen)
    }

    pub fn limited(step: Step, seen: impl Into<String>) -> Self {
        Self::new(step, Verdict::Limited, seen)
    }

    pub fn not_tested(step: Step, why: impl Into<String>) -> Self {
        Self::new(step, Verdict::NotTested, why)
    }

    /// A failure of the way, which keeps byway from working; its words have the remedy.
    pub fn blocked(step: Step, failure: &ExchangeFailure) -> Self {
        Self::told(step, Some(&failure.seen), &failure.cause.to_string())
    }

    /// What keeps byway from working, in a line of cause and remedy.
    pub fn refused(step: Step, told: &str) -> Self {
        Self::told(step, None, told)
    }

    fn told(step: Step, seen: Option<&str>, told: &str) -> Self {
        let (cause, remedy) = told.split_once("; ").unwrap_or((told, ""));
        let cause = seen.map_or_else(|| cause.to_owned(), |seen| format!("{cause} ({seen})"));
        Self::new(step, Verdict::Blocked, cause).remedy(remedy)
    }

    /// What byway does about it by itself.
    pub fn byway(self, byway: &'static str) -> Self {
        Self { byway, ..self }
    }

    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }

    fn json(&self) -> Value {
        json!({
            "check": self.step.name(),
            "verdict": self.verdict.name(),
            "seen": self.seen,
            "byway": self.byway,
            "remedy": self.remedy,
        })
    }
}

/// A row of the table, with lines below for what is done about it.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (step, verdict) = (self.step.name(), self.verdict.name());
        write!(f, "{step:<11} {verdict:<10} {}", self.seen.trim_end())?;
        for (before, line) in [("byway", self.byway), ("remedy", self.remedy.as_str())] {
            if !line.is_empty() {
                write!(f, "\n{:<22} {before}: {line}", "")?;
            }
        }
        Ok(())
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

    fn has(&self, step: Step) -> bool {
        self.checks.iter().any(|check| check.step == step)
    }

    /// The checks that are missing because of `why`.
    pub fn missing(&self, why: &str) -> Vec<Check> {
        if !self.has(Step::Relay) {
            let check =
                Check::new(Step::Relay, Verdict::Blocked, format!("no answer so far: {why}"));
            return vec![check.remedy("see what each step above took, and try in another network")];
        }
        let missing = Step::OF_A_RELAY.into_iter().filter(|step| !self.has(*step));
        missing.map(|step| Check::not_tested(step, why)).collect()
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

    /// What it comes to.
    pub fn summary(&self) -> &'static str {
        match self.verdict() {
            Verdict::Blocked => "byway does not work here until what is blocked is mended",
            Verdict::Limited => "byway works here, slower where it says limited",
            Verdict::Ok | Verdict::NotTested => "byway works here",
        }
    }

    /// The document.
    pub fn json(&self, relay: &str) -> Value {
        json!({
            "relay": relay,
            "verdict": self.verdict().name(),
            "checks": self.checks.iter().map(Check::json).collect::<Vec<_>>(),
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
        report.add(Check::not_tested(Step::Hold, "no time"));
        assert_eq!(report.verdict(), Verdict::Ok);
        report.add(Check::limited(Step::Down, "held back"));
        assert_eq!(report.verdict(), Verdict::Limited);
        report.add(Check::refused(Step::Token, "it would be seen; use https://"));
        assert_eq!(report.verdict(), Verdict::Blocked);
        let document = report.json("http://x");
        assert_eq!(document["checks"][1]["verdict"], "limited");
        assert_eq!(document["checks"][2]["seen"], "it would be seen");
        assert_eq!(document["checks"][2]["remedy"], "use https://");
        assert!(report.summary().ends_with("until what is blocked is mended"));
    }

    #[test]
    fn checks_without_time_are_told_and_a_relay_that_never_answered_is_blocked() {
        let mut report = Report::default();
        report.add(Check::ok(Step::Name, "there"));
        let missing = report.missing("no time");
        assert_eq!(missing.len(), 1);
        assert_eq!((missing[0].step, missing[0].verdict), (Step::Relay, Verdict::Blocked));
        report.add(Check::ok(Step::Relay, "answers"));
        report.add(Check::ok(Step::Hold, "an answer may wait"));
        let missing = report.missing("no time");
        assert_eq!(missing.len(), Step::OF_A_RELAY.len() - 1);
        assert!(missing.iter().all(|check| check.verdict == Verdict::NotTested));
    }
}
