//! What the command tells on stderr: the lines of its log, and lines for people.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use clap::ValueEnum;
use serde_json::json;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::failure::CommandError;

/// The variable with the format, where no option says it.
const FORMAT: &str = "BYWAY_LOG_FORMAT";

/// Whether nothing is told but the error that ends the command.
static QUIET: AtomicBool = AtomicBool::new(false);

/// The format, once the log began.
static CHOSEN: OnceLock<LogFormat> = OnceLock::new();

/// How lines on stderr are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Text,
    /// A JSON document in each line, with timestamp, level and fields, for programs that collect logs
    Json,
}

/// Begins the log.
pub fn start(verbose: u8, quiet: bool, format: Option<LogFormat>) -> Result<(), CommandError> {
    QUIET.store(quiet, Relaxed);
    let format = match format {
        Some(format) => format,
        None => of_environment()?,
    };
    CHOSEN.get_or_init(|| format);
    let filter = match std::env::var("BYWAY_LOG") {
        Ok(spec) if !spec.is_empty() => spec.parse::<Targets>().map_err(|error| {
            CommandError::usage(format_args!("BYWAY_LOG: {error}; write it like byway=debug"))
        })?,
        _ if quiet => Targets::new(),
        _ => {
            let (ours, others) = match verbose {
                0 => (Level::WARN, Level::ERROR),
                1 => (Level::INFO, Level::ERROR),
                2 => (Level::DEBUG, Level::WARN),
                _ => (Level::TRACE, Level::DEBUG),
            };
            // What the bus's client says of itself, byway says with what to do.
            let bus = match verbose {
                0 | 1 => LevelFilter::OFF,
                _ => LevelFilter::from_level(others),
            };
            Targets::new()
                .with_target("byway", ours)
                .with_target("async_nats", bus)
                .with_default(others)
        }
    };
    let lines = tracing_subscriber::fmt::layer().log_internal_errors(false).with_writer(stderr);
    let registry = tracing_subscriber::registry();
    match format {
        LogFormat::Text => {
            let lines = lines.with_ansi(stderr().is_terminal()).with_target(false);
            registry.with(lines).with(filter).init();
        }
        LogFormat::Json => registry.with(lines.json()).with(filter).init(),
    }
    Ok(())
}

fn of_environment() -> Result<LogFormat, CommandError> {
    match std::env::var(FORMAT) {
        Ok(text) if !text.is_empty() => LogFormat::from_str(&text, false).map_err(|_| {
            CommandError::usage(format_args!("{FORMAT}: {text} is no format; write text or json"))
        }),
        _ => Ok(LogFormat::Text),
    }
}

/// Writes a line for people, unless they want none. A closed stderr is no error.
pub fn say(line: impl Display) {
    if !is_quiet() {
        write(Level::INFO, line);
    }
}

/// Whether people want to see nothing.
pub fn is_quiet() -> bool {
    QUIET.load(Relaxed)
}

/// Writes a line in any case: an error.
pub fn tell(line: impl Display) {
    write(Level::ERROR, line);
}

/// Writes a line past the filter of the log, in the format of the log.
fn write(level: Level, line: impl Display) {
    let line = line.to_string();
    let line = match CHOSEN.get() {
        None | Some(LogFormat::Text) => line,
        Some(LogFormat::Json) => document(level, &line),
    };
    let _ = writeln!(stderr(), "{line}");
}

/// A line as those of the log are.
fn document(level: Level, line: &str) -> String {
    let mut timestamp = String::new();
    // The time is formatted by arithmetic alone.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let fields = json!({ "message": line });
    json!({ "timestamp": timestamp, "level": level.as_str(), "fields": fields, "target": "byway" })
        .to_string()
}
