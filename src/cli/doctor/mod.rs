//! `byway doctor`: what is on the way to the relay, and what to do about it.
//!
//! ```text
//!  way.rs: proxy, names, TCP, tunnel, TLS ──▶ greet: is the relay there ──▶ body.rs: bodies, header fields, requests
//!                                                                      └──▶ time.rs: holds and pieces
//!  asking.rs: probes of the relay     report.rs: the table, the document
//! ```

pub mod asking;
mod body;
mod report;
mod time;
pub mod way;

use std::io::IsTerminal;
use std::thread;
use std::time::Duration;

use byway::client::{Client, Config};
use byway::session::Profile;
use byway::transport::ExchangeFailure;
use byway::transport::probe::{ProbeAnswer, ProbeLine, ProbeWay};
use clap::Args;

use super::failure::{Code, CommandError};
use super::options::ClientOptions;
use super::{announce, parse, stdout};
use asking::{ECHO, Echo, PATIENCE};
pub use report::ms;
use report::{Check, Report, Verdict};
use time::Together;

/// How long an answer is made to wait, in seconds: twice a client's usual hold, and more than most proxies
/// wait; with --long as long as a relay lets it.
const HOLD: u64 = 60;
const LONG: u64 = 290;

/// What the doctor looks at.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    client: ClientOptions,
    /// How long an answer is made to wait, to see whether it still comes; the other checks take seconds
    #[arg(long, value_name = "SECONDS", default_value_t = HOLD, value_parser = parse::seconds)]
    hold: u64,
    /// Make an answer wait for minutes
    #[arg(long, conflicts_with = "hold")]
    long: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Makes all checks, and prints them.
pub fn run(options: Options) -> Result<(), CommandError> {
    stdout::check()?;
    let client = options.client.complete()?;
    let config = client.config(Profile::TINY, 1)?;
    let way = ProbeWay::new(&config.http()).map_err(byway::Error::from)?;
    let hold = Duration::from_secs(if options.long { LONG } else { options.hold });
    let report = examine(&way, &config, hold);
    progress("");
    match options.json {
        true => announce(report.json(&config.url)),
        false => announce(report.table()),
    }
    match report.verdict() {
        Verdict::Blocked => Err(CommandError::new(
            Code::Blocked,
            format_args!(
                "the way to {} is blocked, as the report says; mend that first",
                config.url
            ),
        )),
        Verdict::Ok | Verdict::Limited | Verdict::NotTested => Ok(()),
    }
}

/// Tells a person at a terminal what is being looked at; empty: nothing any more.
fn progress(what: &str) {
    if std::io::stderr().is_terminal() {
        let dots = if what.is_empty() { "" } else { " …" };
        eprint!("\r\x1b[K{what}{dots}");
    }
}

fn examine(way: &ProbeWay, config: &Config, hold: Duration) -> Report {
    let mut report = Report::default();
    way::proxy(way, &mut report);
    progress("the way to the relay");
    let Some(mut line) = way::go(way, &mut report) else { return report };
    let greeted = greet(way, &mut line);
    drop(line);
    let (answer, echo) = match greeted {
        Ok(Greeting::Relay(answer, echo)) => (answer, echo),
        Ok(Greeting::Older(answer)) => {
            report.add(Check::ok("relay", "a relay, of a version that does not answer probes"));
            report.add(older(config));
            report.add(body::clock(None, &answer));
            report.add(Check::not_tested(
                "the rest",
                "this relay does not answer probes; a newer one would",
            ));
            return report;
        }
        Ok(Greeting::Foreign(answer, check)) => {
            report.add(check);
            report.add(body::clock(None, &answer));
            return report;
        }
        Err(failure) => {
            report.add(Check::blocked("relay", &failure));
            return report;
        }
    };
    let seen = format!("answers after {}, protocol {}", ms(answer.end_at), echo.protocol);
    report.add(Check::ok("relay", seen));
    body::headers(way, &answer, &echo, &mut report);
    report.add(body::clock(Some(echo.time), &answer));
    progress("two exchanges at once");
    let (together, check) = time::together(way);
    report.add(check);
    let rest = |report: &mut Report| {
        progress("bodies");
        body::bodies(way, report);
        progress("many requests");
        body::requests(way, report);
        progress("answers in pieces");
        report.add(time::down(way));
        progress("requests in pieces");
        report.add(time::up(way));
        progress("an answer that waits");
    };
    match together {
        Together::Two => thread::scope(|scope| {
            let held = scope.spawn(|| time::holds(way, hold));
            rest(&mut report);
            report.add(held.join().unwrap_or_else(|_| {
                Check::not_tested("hold", "the thread for it was lost; report that")
            }));
        }),
        // Two at once would disturb each other.
        Together::One => {
            rest(&mut report);
            report.add(time::holds(way, hold));
        }
    }
    report
}

/// What answers where the relay should be.
pub enum Greeting {
    Relay(Box<ProbeAnswer>, Echo),
    /// A relay that does not know probes.
    Older(Box<ProbeAnswer>),
    /// Something else, or a relay that does not want this client.
    Foreign(Box<ProbeAnswer>, Check),
}

/// Asks for the first time.
///
/// # Errors
/// There is no answer.
pub fn greet(way: &ProbeWay, line: &mut ProbeLine) -> Result<Greeting, ExchangeFailure> {
    let answer = Box::new(asking::ask_on(way, line, ECHO, b"x", PATIENCE)?);
    if let Some(echo) = Echo::read(&answer) {
        return Ok(Greeting::Relay(answer, echo));
    }
    let words = answer.first_line();
    let is_relay = words.starts_with("byway relay:");
    if answer.status == 404 && is_relay {
        return Ok(Greeting::Older(answer));
    }
    // The relay's own words have the remedy.
    let check = match (is_relay, answer.refusal) {
        (true, _) => Check::new("relay", Verdict::Blocked, format!("{}: {words}", answer.status)),
        (false, Some(cause)) => {
            let failure = ExchangeFailure::new(cause, true, answer.describe());
            Check::blocked("relay", &failure)
        }
        (false, None) => Check::new("relay", Verdict::Blocked, "something else answers there")
            .remedy("check host, port and path of the URL"),
    };
    let check = match answer.status {
        401 if is_relay => {
            check.remedy("give this client a token of the relay's operator (--token-file)")
        }
        _ => check,
    };
    Ok(Greeting::Foreign(answer, check))
}

/// Makes an exchange of the protocol with a relay that does not answer probes.
fn older(config: &Config) -> Check {
    match Client::open(config.clone()) {
        Ok(client) => {
            // Nothing was sent to any peer.
            let _ = client.close(Duration::from_secs(1));
            Check::ok("protocol", "the relay takes this client")
        }
        Err(error) => Check::new("protocol", Verdict::Blocked, error.to_string()),
    }
}
