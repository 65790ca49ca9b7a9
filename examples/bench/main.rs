//! Measures byway against its floors: a plain TCP relay, and plain HTTP. The systems run by turns,
//! in processes of their own, and the figures are median and range.
//!
//! `cargo run --release --example bench`; README.md beside this file tells how to read it.

mod cells;
#[allow(dead_code)] // the tests use more of it
#[path = "../../tests/proxies/daemon.rs"]
mod daemon;
mod delay;
mod floor;
mod idle;
mod part;
mod peer;
mod plot;
mod posts;
mod process;
mod report;
mod system;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use cells::{ALL, Cell};
use part::Part;
use report::{Report, Row};
use system::System;

#[global_allocator]
static HEAP: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How long a proxy may take to start, and a part of a measurement to report.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Of each cell before it is measured, if figures do not matter: ten round trips on the longest way.
const SMOKE_WARM_MS: u64 = 500;

/// A URL of a server on loopback.
pub fn http(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Measures byway beside its floors, in turns.
#[derive(Debug, Parser)]
struct Args {
    /// Only the cell of this name, or those whose name contains it; may be given several times. The
    /// names are those of the tables.
    #[arg(long, value_name = "NAME")]
    cell: Vec<String>,
    /// Only these systems; GNU httptunnel is measured only if it is among them.
    #[arg(long, value_enum, value_delimiter = ',')]
    system: Vec<System>,
    /// Turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// One turn of a tenth of a second behind half a second at most, whatever the other options: shows
    /// that everything works, no more
    #[arg(long)]
    smoke: bool,
    /// Seconds for which each cell is measured, in the place of its own time.
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
    /// Writes bench.md, bench.json and the plots into this folder.
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
    /// Leaves the cores to be halted when everybody waits.
    #[arg(long)]
    no_spinners: bool,
    /// Leaves out what idle clients cost, which is reported by runs of five minutes or more.
    #[arg(long)]
    no_idle: bool,
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().collect();
    let outcome = match words.get(1..) {
        Some([part, name, order]) if part == part::PART => {
            part::play(name, order).map_err(|error| format!("{name}: {error}").into())
        }
        _ => run(Args::parse()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: Args) -> Result<()> {
    if args.smoke {
        args.rounds = 1;
        args.seconds = Some(0.1);
        args.no_idle = true;
    }
    let plan = plan(&args);
    if plan.is_empty() {
        return Err("no cell and system of these names".into());
    }
    let began = Instant::now();
    let mut report = Report::new(plan.iter().map(|(cell, system)| Row::new(cell, *system)));
    let mut spinners = Vec::new();
    let idle = match args.no_idle {
        true => None,
        false => Some(Part::start("idle", &["streaming", "battery"])?),
    };
    let bar = ProgressBar::new((args.rounds * plan.len()) as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")?);
    for _ in 0..args.rounds {
        for (row, (cell, system)) in report.rows.iter_mut().zip(&plan) {
            if !cell.spins || args.no_spinners {
                spinners.clear();
            } else if spinners.is_empty() {
                spinners = Part::spinners()?;
                report.spinners = spinners.len();
            }
            bar.set_message(format!("{}: {}", cell.name, system.name()));
            match system::measure(cell, *system) {
                Ok(figures) => row.add(figures),
                Err(error) => {
                    report.failures.push(format!("{}: {}: {error}", cell.name, system.name()));
                }
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    match system::phone(!args.smoke) {
        Ok(usage) => report.phone = Some(usage),
        Err(error) => report.failures.push(format!("what a small client takes: {error}")),
    }
    if let Some(mut idle) = idle {
        idle.tell()?;
        report.idle = idle.reports()?;
    }
    drop(spinners);
    report.seconds = began.elapsed().as_secs_f64();
    print!("{report}");
    std::fs::create_dir_all(&args.out)?;
    std::fs::write(args.out.join("bench.md"), report.to_string())?;
    std::fs::write(args.out.join("bench.json"), serde_json::to_string_pretty(&report)? + "\n")?;
    plot::all(&report, &args.out)?;
    println!("written: bench.md, bench.json and plots in {}", args.out.display());
    match report.failures.len() {
        0 => Ok(()),
        n => Err(format!("{n} measurements failed; see above").into()),
    }
}

/// The cells that were asked for, each with a system.
fn plan(args: &Args) -> Vec<(Cell, System)> {
    let wanted = |cell: &Cell| {
        args.cell.is_empty()
            || args.cell.iter().any(|name| match ALL.iter().any(|cell| cell.name == name) {
                true => cell.name == name,
                false => cell.name.contains(name.as_str()),
            })
    };
    let system = |system: System| match args.system.is_empty() {
        true => !cells::on_request(system),
        false => args.system.contains(&system),
    };
    let mut plan = Vec::new();
    for cell in ALL.iter().filter(|cell| wanted(cell)) {
        let mut cell = cell.clone();
        if let Some(seconds) = args.seconds {
            cell.work.run_ms = (seconds * 1e3) as u64;
        }
        if args.smoke {
            cell.work.warm_ms = cell.work.warm_ms.min(SMOKE_WARM_MS);
        }
        let systems = cell.systems.iter().copied().filter(|s| system(*s));
        plan.extend(systems.map(|system| (cell.clone(), system)));
    }
    plan
}
