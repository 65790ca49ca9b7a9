//! A load of many real sessions on a relay: what a message costs as sessions become many, what a parked
//! session takes, how a storm of sessions comes back, whether the relay grows.
//!
//! `cargo run --release --example load -- pairs`; README.md beside this file tells how to read it.
//!
//! ```text
//!  main.rs  turns: a relay is started, the work done, the figures added ──▶ report.rs  the table
//!   │
//!   ├─▶ relay.rs                                the relay, a process of its own
//!   └─▶ pairs.rs parked.rs storm.rs growth.rs   the work; crowd.rs: many jobs at once
//!        └─▶ client.rs   a session and its lanes, two tasks
//!             └─▶ line.rs    a connection, with HTTP/1.1
//!   world.rs  what all sessions have in common
//! ```

mod client;
mod crowd;
mod growth;
mod line;
mod pairs;
mod parked;
#[allow(dead_code)] // the bench uses more of it
#[path = "../bench/process.rs"]
mod process;
mod relay;
mod report;
mod storm;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use byway::session::Pace;
use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::sleep;

use pairs::Talk;
use relay::RelayCommand;
use report::{Figures, Report};
use world::{Manner, World};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Busy pairs are not measured for so long after their channels are there.
const WARM: Duration = Duration::from_secs(5);

/// Busy pairs beside parked sessions: enough to keep the relay busy.
const BUSY: usize = 10;

/// What only a smoke run does: so many sessions or pairs, each time for so long.
const SMOKE: (usize, Duration) = (4, Duration::from_millis(300));

/// Puts a load of many sessions on a relay, in one process and on one thread.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    work: Option<Work>,
    /// The relay's command line, which gets --listen and, for more than its default, --max-connections
    /// [default: `byway relay` of this build]
    #[arg(long, value_name = "COMMAND", global = true)]
    relay_command: Option<String>,
    /// The command line of a second relay, measured by turns with the first
    #[arg(long, value_name = "COMMAND", global = true)]
    against: Option<String>,
    /// Turns
    #[arg(long, default_value_t = 1, global = true)]
    rounds: usize,
    /// Sessions do not encrypt their channels, which is then no part of the load's time
    #[arg(long, global = true)]
    plain: bool,
    /// Sessions wait by long polls; else by answers that stay open, where these come in time
    #[arg(long, global = true)]
    long_polls: bool,
    /// A few sessions of everything, for a second: shows that everything works, measures nothing
    #[arg(long, conflicts_with = "work")]
    smoke: bool,
}

impl Args {
    fn manner(&self) -> Manner {
        let pace = if self.long_polls { Pace::LongPoll } else { Pace::default() };
        Manner { is_plain: self.plain, pace }
    }
}

/// The work. Numbers are measured by turns.
#[derive(Debug, Clone, Subcommand)]
enum Work {
    /// So many busy pairs of sessions: messages of 64 octets there and back
    Pairs {
        #[arg(default_values_t = [1, 10, 100, 1_000])]
        numbers: Vec<usize>,
        /// One end of each pair streams, and the other reads
        #[arg(long)]
        stream: bool,
        /// Round trips a second, of all pairs together; else as many as go
        #[arg(long, conflicts_with = "stream", value_parser = rate)]
        rate: Option<f64>,
        /// Seconds that are measured
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
    },
    /// Ten busy pairs, with messages of 64 octets there and back, beside so many sessions that listen and wait
    Beside {
        #[arg(default_values_t = [0, 1_000, 8_000])]
        numbers: Vec<usize>,
        /// Seconds until connections that are no longer used are closed
        #[arg(long, default_value_t = 70.0)]
        settle: f64,
        /// Seconds that are measured
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
    },
    /// So many sessions that listen and wait
    Parked {
        #[arg(default_values_t = [1_000, 10_000])]
        numbers: Vec<usize>,
        /// Seconds until connections that are no longer used are closed
        #[arg(long, default_value_t = 70.0)]
        settle: f64,
        /// Seconds that are measured
        #[arg(long, default_value_t = 60.0)]
        seconds: f64,
    },
    /// So many parked sessions whose relay is killed, and started again a second later
    Storm {
        #[arg(default_values_t = [10_000])]
        numbers: Vec<usize>,
        /// Seconds until connections that are no longer used are closed
        #[arg(long, default_value_t = 70.0)]
        settle: f64,
    },
    /// So many sessions that come and go
    Growth {
        #[arg(default_values_t = [200_000])]
        numbers: Vec<usize>,
    },
}

impl Work {
    fn numbers(&self) -> &[usize] {
        match self {
            Self::Pairs { numbers, .. }
            | Self::Beside { numbers, .. }
            | Self::Parked { numbers, .. }
            | Self::Storm { numbers, .. }
            | Self::Growth { numbers } => numbers,
        }
    }

    /// How many sessions there are at once with that number.
    fn sessions(&self, number: usize) -> usize {
        match self {
            Self::Pairs { .. } => 2 * number,
            Self::Beside { .. } => number + 2 * BUSY,
            Self::Parked { .. } | Self::Storm { .. } => number,
            Self::Growth { .. } => 0,
        }
    }

    /// A little of everything.
    fn smoke() -> [Self; 6] {
        let (numbers, time) = (vec![SMOKE.0], SMOKE.1.as_secs_f64());
        let pairs =
            |stream| Self::Pairs { numbers: numbers.clone(), stream, rate: None, seconds: time };
        [
            pairs(false),
            pairs(true),
            Self::Beside { numbers: numbers.clone(), settle: time, seconds: time },
            Self::Parked { numbers: numbers.clone(), settle: time, seconds: time },
            Self::Storm { numbers: numbers.clone(), settle: time },
            Self::Growth { numbers: vec![10 * SMOKE.0] },
        ]
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    raise_limit()?;
    let mut relays = vec![match &args.relay_command {
        Some(line) => RelayCommand::parse(line)?,
        None => RelayCommand::of_this_build()?,
    }];
    relays.extend(args.against.as_deref().map(RelayCommand::parse).transpose()?);
    match &args.work {
        Some(work) => measure(args, &relays, work),
        None if args.smoke => {
            Work::smoke().iter().try_for_each(|work| measure(args, &relays, work))
        }
        None => Err("nothing to do: say pairs, parked, storm or growth, or --smoke".into()),
    }
}

/// Measures by turns, and prints the table.
fn measure(args: &Args, relays: &[RelayCommand], work: &Work) -> Result<()> {
    let mut report = Report { rows: Vec::new() };
    for round in 0..args.rounds {
        for &number in work.numbers() {
            for (i, command) in relays.iter().enumerate() {
                eprintln!("turn {}: {number}, relay {}", round + 1, i + 1);
                let busy = std::fs::read_to_string("/proc/loadavg")?;
                let busy = busy.split(' ').next().and_then(|load| load.parse().ok());
                let mut figures = turn(args.manner(), command, work, number)
                    .map_err(|error| format!("{number}: {error}"))?;
                figures.push(("load average before", busy.unwrap_or(f64::NAN)));
                report.add(number, i, figures);
            }
        }
    }
    println!("\n{work:?}\n\n{report}");
    Ok(())
}

/// Measures once.
fn turn(manner: Manner, command: &RelayCommand, work: &Work, number: usize) -> Result<Figures> {
    let relay = command.start(0, work.sessions(number))?;
    let world = World::new(relay.address, manner)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let time = |seconds: &f64| Duration::try_from_secs_f64(*seconds);
    LocalSet::new().block_on(&runtime, async {
        match work {
            Work::Pairs { stream, rate, seconds, .. } => {
                let every = rate.map_or(0.0, |rate| number as f64 / rate);
                let talk = if *stream { Talk::Stream } else { Talk::PingPong(time(&every)?) };
                let measured = time(seconds)?;
                pairs::run(&world, &relay, (number, talk), (WARM.min(measured), measured)).await
            }
            Work::Beside { settle, seconds, .. } => {
                let parked = parked::open(&world, number).await?;
                if !parked.is_empty() {
                    sleep(time(settle)?).await;
                }
                let measured = time(seconds)?;
                let talk = Talk::PingPong(Duration::ZERO);
                pairs::run(&world, &relay, (BUSY, talk), (WARM.min(measured), measured)).await
            }
            Work::Parked { settle, seconds, .. } => {
                parked::run(&world, &relay, number, (time(settle)?, time(seconds)?)).await
            }
            Work::Storm { settle, .. } => {
                storm::run(&world, relay, command, (number, time(settle)?)).await
            }
            Work::Growth { .. } => growth::run(&world, &relay, number).await,
        }
    })
}

/// Parses a number of round trips a second.
fn rate(text: &str) -> std::result::Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "no number above 0".into())
}

/// Lets this process and the relay have as many connections as the system gives.
fn raise_limit() -> Result<()> {
    let most = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?)
}
