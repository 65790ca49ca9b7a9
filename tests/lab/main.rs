//! The lab: real proxies, NATs and faults between two clients and a relay, in network namespaces.
//!
//! `cargo test --release --test lab -- [--full] [--write] [FILTER]`, as root.

mod cells;
mod datagrams;
mod doctor;
mod faults;
mod line;
mod net;
mod page;
mod parts;
mod pattern;
mod peers;
mod report;
#[path = "../proxies/scanner.rs"]
mod scanner;
mod streams;
mod thin;
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use clap::Parser;

use cells::Cell;
use net::Net;
use report::{Carried, Figures};

/// A result of the lab: an error is a text for people.
type Result<T> = std::result::Result<T, Error>;
type Error = Box<dyn std::error::Error + Send + Sync>;

/// The programs that the lab itself needs, each with Debian's package.
const TOOLS: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("ss", "iproute2"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("sysctl", "procps"),
];

/// Carries streams and datagrams past real proxies, NATs and faults. Needs root.
#[derive(Debug, Parser)]
struct Args {
    /// Run all cells, not only one of each kind
    #[arg(long)]
    full: bool,
    /// Put the tables into tests/README.md; with a FILTER that of the doctor alone
    #[arg(long)]
    write: bool,
    /// The seed of an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// Run the cells whose name contains this
    filter: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = args.seed.unwrap_or_else(|| now.map_or(1, |time| time.as_nanos() as u64));
    let filter = args.filter.as_deref().unwrap_or_default();
    let mut cells = if args.full { cells::full() } else { cells::some() };
    cells.retain(|cell| cell.name().contains(filter));
    let began = Instant::now();

    let obstacle = obstacle();
    println!("seed {seed}\n{}", report::line(&report::HEAD));
    let (mut passed, mut failed, mut left_out) = (0, 0, Vec::new());
    let (mut rows, mut obstacles) = (Vec::new(), Vec::new());
    for cell in &cells {
        if let Some(reason) = obstacle.clone().or_else(|| missing(cell)) {
            left_out.push(format!("{}: {reason}", cell.name()));
            continue;
        }
        let (figures, outcome) = run(cell, seed);
        let row = report::row(&cell.name(), &figures, outcome.is_ok());
        println!("{}", report::line(&row));
        rows.push(row);
        if let Carried::Verdicts(found) = figures.carried {
            obstacles.push((cell.name(), found));
        }
        match outcome {
            Ok(()) => passed += 1,
            Err(error) => {
                failed += 1;
                println!("    {error}\n    again: --full --seed {seed} {}", cell.name());
            }
        }
    }
    for cell in &left_out {
        println!("not run: {cell}");
    }
    if args.write {
        let what = if args.full { "all cells" } else { "one cell of each kind" };
        let rows = filter.is_empty().then_some(&rows[..]);
        if let Err(error) = page::write(what, rows, &obstacles) {
            failed += 1;
            println!("tests/README.md: {error}");
        }
    }
    println!(
        "\ntest result: {}. {passed} passed; {failed} failed; {} ignored; 0 measured; \
         0 filtered out; finished in {:.2}s",
        if failed == 0 { "ok" } else { "FAILED" },
        left_out.len(),
        began.elapsed().as_secs_f64(),
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(cell: &Cell, seed: u64) -> (Figures, Result<()>) {
    let mut figures = Figures::default();
    let outcome = catch_unwind(AssertUnwindSafe(|| cell.run(seed, &mut figures)))
        .unwrap_or_else(|_| Err("panicked, as said above".into()));
    (figures, outcome)
}

/// The reason why no cell can run, if there is one.
fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("the lab needs root".into());
    }
    let tool = TOOLS.iter().find(|(tool, _)| !parts::is_there(tool));
    if let Some((tool, package)) = tool {
        return Some(format!("{tool} is not there; Debian's package is {package}"));
    }
    let tried = Net::remove_leftovers().and_then(|()| Net::build());
    tried.err().map(|error| format!("no network namespaces here: {error}"))
}

/// The reason why this cell cannot run.
fn missing(cell: &Cell) -> Option<String> {
    let program = cell.program()?;
    (!parts::is_there(program)).then(|| format!("{program} is not there"))
}
