//! Real programs over byway: each through squid and nothing else, with the relay killed and restarted in the
//! middle, and no error that the program sees.
//!
//! `cargo test --release --test programs -- [--full] [--write] [FILTER]`, as root.

mod browser;
mod dns;
mod files;
mod git;
mod iperf;
// The lab's network and parts, of which the programs need some.
#[allow(dead_code)]
#[path = "../lab/line.rs"]
mod line;
#[allow(dead_code)]
#[path = "../lab/net.rs"]
mod net;
mod page;
#[allow(dead_code)]
#[path = "../lab/parts.rs"]
mod parts;
#[allow(dead_code)]
#[path = "../lab/pattern.rs"]
mod pattern;
mod postgres;
mod redis;
mod rsync;
#[path = "../proxies/scanner.rs"]
mod scanner;
mod ssh;
mod stage;
mod table;
mod web;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use net::Net;
use stage::{Stage, Way};
use table::{Figure, Table};

/// A result of these tests: an error is a text for people.
type Result<T> = std::result::Result<T, Error>;
type Error = Box<dyn std::error::Error + Send + Sync>;

/// The programs that the network itself needs, each with Debian's package.
const TOOLS: [(&str, &str); 5] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("sysctl", "procps"),
    ("setpriv", "util-linux"),
    ("squid", "squid"),
];

/// Runs real programs over byway. Needs root.
#[derive(Debug, Parser)]
struct Args {
    /// Run all ways of a connection in full size, and measure them
    #[arg(long)]
    full: bool,
    /// Put the table into tests/README.md
    #[arg(long, requires = "full", conflicts_with = "filter")]
    write: bool,
    /// Run the programs whose name contains this
    filter: Option<String>,
}

/// How much a program carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// As much as shows that the program works.
    Short,
    /// As much as its figures need.
    Full,
}

impl Size {
    /// The number of the two that belongs to this size.
    pub fn pick<T>(self, short: T, full: T) -> T {
        match self {
            Self::Short => short,
            Self::Full => full,
        }
    }
}

/// A program that is run on a stage.
struct Program {
    name: &'static str,
    /// What it needs, each with Debian's package.
    tools: &'static [(&'static str, &'static str)],
    run: fn(&mut Stage, Size) -> Result<Vec<Figure>>,
}

const PROGRAMS: [Program; 9] = [
    Program {
        name: "ssh",
        tools: &[("ssh", "openssh-client"), ("sshd", "openssh-server")],
        run: ssh::run,
    },
    Program { name: "rsync", tools: &[("rsync", "rsync")], run: rsync::run },
    Program { name: "iperf3", tools: &[("iperf3", "iperf3")], run: iperf::run },
    Program {
        name: "redis",
        tools: &[("redis-server", "redis-server"), ("redis-benchmark", "redis-tools")],
        run: redis::run,
    },
    Program {
        name: "nginx",
        tools: &[("nginx", "nginx-light"), ("wrk", "wrk"), ("curl", "curl")],
        run: web::run,
    },
    Program {
        name: "postgresql",
        tools: &[("initdb", "postgresql"), ("pgbench", "postgresql")],
        run: postgres::run,
    },
    Program { name: "git", tools: &[("git", "git")], run: git::run },
    Program {
        name: "dns",
        tools: &[("dnsmasq", "dnsmasq-base"), ("dig", "bind9-dnsutils")],
        run: dns::run,
    },
    Program {
        name: "chromium",
        tools: &[("chromium", "chromium"), ("nginx", "nginx-light")],
        run: browser::run,
    },
];

fn main() -> ExitCode {
    let args = Args::parse();
    let filter = args.filter.as_deref().unwrap_or_default();
    let size = if args.full { Size::Full } else { Size::Short };
    let ways: &[Way] = if args.full { &Way::ALL } else { &[Way::Restart] };
    let began = Instant::now();

    let obstacle = obstacle();
    let (mut passed, mut failed, mut left_out) = (0, 0, Vec::new());
    let mut table = Table::default();
    for program in PROGRAMS.iter().filter(|program| program.name.contains(filter)) {
        if let Some(reason) = obstacle.clone().or_else(|| missing(program.tools)) {
            left_out.push(format!("{} over byway: {reason}", program.name));
            continue;
        }
        for &way in ways {
            let began = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| run(program, way, size)))
                .unwrap_or_else(|_| Err("panicked, as said above".into()));
            let how = if outcome.is_ok() { "ok" } else { "FAILED" };
            let seconds = began.elapsed().as_secs_f64();
            println!("{:<11} {:<24} {seconds:>6.1} s  {how}", program.name, way.name());
            match outcome {
                Ok(figures) => {
                    passed += 1;
                    table.add(program.name, way, figures);
                }
                Err(error) => {
                    failed += 1;
                    println!("    {error}");
                }
            }
        }
    }
    println!();
    for row in table.rows() {
        println!("{}", table::line(&row));
    }
    for what in &left_out {
        println!("not run: {what}");
    }
    if args.write
        && let Err(error) = page::write(&table)
    {
        failed += 1;
        println!("tests/README.md: {error}");
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

/// Runs a program on a stage of its own. An error comes with what byway said.
fn run(program: &Program, way: Way, size: Size) -> Result<Vec<Figure>> {
    let mut stage = Stage::set(way)?;
    let outcome = (program.run)(&mut stage, size);
    outcome.map_err(|error| format!("{error}{}", stage.said()).into())
}

/// The reason why no program can run, if there is one.
fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root".into());
    }
    let tried = || Net::remove_leftovers().and_then(|()| Net::build());
    missing(&TOOLS)
        .or_else(|| tried().err().map(|error| format!("no network namespaces here: {error}")))
}

/// The reason why a program cannot run that needs these tools, if there is one.
fn missing(tools: &[(&str, &str)]) -> Option<String> {
    let is_there = |tool| parts::is_there(tool) || postgres::is_there(tool);
    let (tool, package) = tools.iter().find(|(tool, _)| !is_there(tool))?;
    Some(format!("{tool} is not there; Debian's package is {package}"))
}
