//! The lab: real proxies, NATs and faults between two clients and a relay, in network namespaces.
//!
//! `cargo test --release --test lab -- [--full] [FILTER]`, as root.

mod cells;
mod datagrams;
mod net;
mod parts;
mod pattern;
mod peers;
mod report;
mod streams;
mod watch;

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use byway::session::Pace;

use cells::{Cell, Task};
use parts::Proxy;
use report::Figures;

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with("--")).unwrap_or_default();
    let seed = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(1, |time| time.as_nanos() as u64);
    println!("seed {seed}");
    let _ = net::Net::remove_leftovers();
    println!("{}", report::line(&report::HEAD));
    let mut failed = 0;
    let mut passed = 0;
    let began = Instant::now();
    let ways = [
        None,
        Some(Proxy::Squid),
        Some(Proxy::Tinyproxy),
        Some(Proxy::Nginx),
        Some(Proxy::NginxUnbuffered),
        Some(Proxy::Haproxy),
        Some(Proxy::Varnish),
    ];
    for way in ways {
        for task in [Task::Stream(way), Task::Datagrams(way)] {
            for pace in [Pace::LongPoll, Pace::Streaming] {
                let cell = Cell { task, pace };
                let name = cell.name();
                if !name.contains(&filter) {
                    continue;
                }
                let mut figures = Figures::default();
                let outcome = catch_unwind(AssertUnwindSafe(|| cell.run(seed, &mut figures)))
                    .unwrap_or_else(|_| Err("panicked".into()));
                println!("{}", report::line(&report::row(&name, &figures, outcome.is_ok())));
                match outcome {
                    Ok(()) => passed += 1,
                    Err(error) => {
                        println!("    {error}");
                        failed += 1;
                    }
                }
            }
        }
    }
    println!(
        "\ntest result: {}. {passed} passed; {failed} failed; 0 ignored; finished in {:.1} s",
        if failed == 0 { "ok" } else { "FAILED" },
        began.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
