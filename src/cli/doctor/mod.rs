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
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, Config};
use byway::error::{Blocked, TokenFault};
use byway::session::Profile;
use byway::transport::ExchangeFailure;
use byway::transport::probe::{ProbeAnswer, ProbeLine, ProbeWay};
use clap::Args;
use serde_json::json;

use super::failure::{Code, CommandError};
use super::options::ClientOptions;
use super::{announce, parse, stdout};
use asking::{ECHO, Echo, PATIENCE};
pub use report::ms;
use report::{Check, Report, Step, Verdict};
use time::Together;

/// How long an answer is made to wait, in seconds: longer than the 25 s that a client lets one wait, and with the
/// rest within a minute; with --long as long as a relay lets it.
const HOLD: u64 = 30;
const LONG: u64 = 290;

/// How long all may take beside the hold, whatever the network does: what has no answer by then is said to have had
/// no time. On a line of 300 ms and 1 Mbit/s all checks take half of that.
const REST: Duration = Duration::from_secs(30);

/// What the doctor looks at.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    client: ClientOptions,
    /// How long an answer is made to wait, to see whether it still comes; the other checks take seconds beside
    /// that, and 30 s at most
    #[arg(long, value_name = "SECONDS", default_value_t = HOLD, value_parser = parse::seconds)]
    hold: u64,
    /// Make an answer wait for minutes, to see how long one may
    #[arg(long, conflicts_with = "hold")]
    long: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What the checks tell while they are made.
enum News {
    /// This is looked at.
    At(&'static str),
    Found(Check),
    /// All checks are made that can be made.
    Done,
}

/// Where the checks are told.
struct Notes(Sender<News>);

impl Notes {
    // A command whose time is over does not listen.
    fn at(&self, what: &'static str) {
        let _ = self.0.send(News::At(what));
    }

    fn add(&self, check: Check) {
        let _ = self.0.send(News::Found(check));
    }

    fn done(&self) {
        let _ = self.0.send(News::Done);
    }
}

/// Makes all checks, and prints each as it is made.
pub fn run(options: Options) -> Result<(), CommandError> {
    stdout::check()?;
    let (json, hold) = (options.json, if options.long { LONG } else { options.hold });
    let (config, way) = prepare(options.client).inspect_err(|error| {
        if json {
            announce(json!({ "error": error.to_string() }));
        }
    })?;
    let url = config.url.clone();
    let report = look(config, way, Duration::from_secs(hold), |check| {
        if !json {
            announce(check);
        }
    })?;
    let written = match json {
        true => stdout::write(report.json(&url)),
        false => stdout::write(report.summary()),
    };
    match report.verdict() {
        Verdict::Blocked => Err(CommandError::new(
            Code::Blocked,
            format_args!("the way to {url} is blocked, as the report says; mend that first"),
        )),
        Verdict::Ok | Verdict::Limited | Verdict::NotTested => written,
    }
}

fn prepare(options: ClientOptions) -> Result<(Config, ProbeWay), CommandError> {
    let config = options.complete()?.config(Profile::TINY, 1)?;
    let way = ProbeWay::new(&config.http()).map_err(byway::Error::from)?;
    Ok((config, way))
}

/// Makes the checks on a thread of their own, so that none of them can outlast the time for all; `tell` is told each.
fn look(
    config: Config,
    way: ProbeWay,
    hold: Duration,
    tell: impl Fn(&Check),
) -> Result<Report, CommandError> {
    let (give, news) = mpsc::channel();
    let until = Instant::now() + hold + REST;
    thread::Builder::new().spawn(move || {
        let notes = Notes(give);
        examine(&way, &config, hold, &notes);
        notes.done();
    })?;
    let mut report = Report::default();
    let add = |report: &mut Report, check: Check| {
        progress("");
        tell(&check);
        report.add(check);
    };
    let why = loop {
        match news.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(News::At(what)) => progress(what),
            Ok(News::Found(check)) => add(&mut report, check),
            Ok(News::Done) => break None,
            Err(RecvTimeoutError::Timeout) => {
                let seconds = (hold + REST).as_secs();
                break Some(format!("no time was left of the {seconds} s that all checks have"));
            }
            Err(RecvTimeoutError::Disconnected) => {
                break Some("a check failed by a fault of byway; report that".into());
            }
        }
    };
    for check in why.map_or_else(Vec::new, |why| report.missing(&why)) {
        add(&mut report, check);
    }
    Ok(report)
}

/// Tells a person at a terminal what is being looked at; empty: nothing any more.
fn progress(what: &str) {
    if std::io::stderr().is_terminal() {
        let dots = if what.is_empty() { "" } else { " …" };
        eprint!("\r\x1b[K{what}{dots}");
    }
}

fn examine(way: &ProbeWay, config: &Config, hold: Duration, notes: &Notes) {
    way::proxy(way, notes);
    let is_kept_back = match way.shows_token() {
        Ok(_) => false,
        Err(error) => {
            notes.add(Check::refused(Step::Token, &error.to_string()));
            true
        }
    };
    notes.at("the way to the relay");
    let began = Instant::now();
    let Some(mut line) = way::go(way, notes) else { return };
    let greeted = greet(way, &mut line);
    let usual = began.elapsed();
    drop(line);
    let (answer, echo) = match greeted {
        Ok(Greeting::Relay(answer, echo)) => (answer, echo),
        Ok(Greeting::Older(answer)) => {
            notes.add(Check::ok(Step::Relay, "a relay, of a version that does not answer probes"));
            notes.add(older(config));
            notes.add(body::clock(None, &answer));
            let why = "this relay does not answer probes; a newer one would";
            notes.add(Check::not_tested(Step::Rest, why));
            return;
        }
        Ok(Greeting::Foreign(answer, _)) if is_kept_back && wants_token(&answer) => {
            notes.add(Check::ok(Step::Relay, "a relay answers, and wants the token"));
            notes.add(body::clock(None, &answer));
            notes
                .add(Check::not_tested(Step::Rest, "the relay answers no probe without the token"));
            return;
        }
        Ok(Greeting::Foreign(answer, check)) => {
            notes.add(check);
            notes.add(body::clock(None, &answer));
            return;
        }
        Err(failure) => {
            notes.add(Check::blocked(Step::Relay, &failure));
            return;
        }
    };
    let seen = format!("answers after {}, protocol {}", ms(answer.end_at), echo.protocol);
    notes.add(Check::ok(Step::Relay, seen));
    notes.add(body::headers(way, &answer, &echo));
    notes.add(body::clock(Some(echo.time), &answer));
    notes.at("two exchanges at once");
    let (together, check) = time::together(way, usual);
    notes.add(check);
    let rest = || {
        notes.at("bodies");
        body::bodies(way, notes);
        notes.at("many requests");
        body::requests(way, notes);
        notes.at("answers in pieces");
        notes.add(time::down(way));
        notes.at("requests in pieces");
        notes.add(time::up(way));
        notes.at("an answer that waits");
    };
    match together {
        Together::Two => thread::scope(|scope| {
            scope.spawn(|| notes.add(time::holds(way, hold)));
            rest();
        }),
        // Two at once would disturb each other.
        Together::One => {
            rest();
            notes.add(time::holds(way, hold));
        }
    }
}

/// Whether a relay with a policy answered that has seen no token.
fn wants_token(answer: &ProbeAnswer) -> bool {
    answer.refusal == Some(Blocked::Token(TokenFault::Wanted))
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
        (true, _) => {
            Check::new(Step::Relay, Verdict::Blocked, format!("{}: {words}", answer.status))
        }
        (false, Some(cause)) => {
            let failure = ExchangeFailure::new(cause, true, answer.describe());
            Check::blocked(Step::Relay, &failure)
        }
        (false, None) => Check::new(Step::Relay, Verdict::Blocked, "something else answers there")
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
            Check::ok(Step::Protocol, "the relay takes this client")
        }
        Err(error) => Check::new(Step::Protocol, Verdict::Blocked, error.to_string()),
    }
}
