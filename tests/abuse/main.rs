//! Attacks on a relay with its defaults, and what others have of it meanwhile.
//!
//! ```sh
//! cargo test --test abuse -- [--full] [--relay PROGRAM] [FILTER]
//! ```
//!
//! By default half of the attacks are made, for a short time each.
//!
//! Each attack has a relay of its own: a process of the command, or of another `PROGRAM`, to compare. A
//! pair transfers and makes round trips, newcomers open, and then the attacker begins. All of it is in
//! a network namespace of its own, where every participant has an address of its own, none of them a
//! loopback address: those are exempt from most limits.

mod attacks;
mod peers;
mod raw;
mod relay;

use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use attacks::{ATTACKS, Attack, Field, OPENS, When};
use peers::{Had, OFFERED, Pair, newcomer};
use relay::Relay;

/// Set in the process within the namespace.
const INSIDE: &str = "BYWAY_ABUSE_INSIDE";

/// What the namespace is made of: every address 10.66.x.y is this machine's.
const SCRIPT: &str = "ip link set lo up && ip route add local 10.66.0.0/16 dev lo && exec \"$@\"";

/// The least share of what was offered that the pair has.
const LEAST_RATE: f64 = 0.5;

/// What resident memory and the kernel's may grow by while the short attacks last, in KiB.
const GROWTH: u64 = 320 << 10;

/// Memory is to be back within this time, as far as it is waited for: with `--full`.
const SETTLE: Duration = Duration::from_secs(45);

/// What resident memory may be above what it was then, in KiB: what an allocator keeps, and the records of
/// sessions, which are remembered for minutes.
const KEPT: u64 = 64 << 10;

struct Options {
    full: bool,
    relay: String,
    filter: String,
}

fn options() -> Result<Options, String> {
    let relay = env!("CARGO_BIN_EXE_byway").to_owned();
    let mut options = Options { full: false, relay, filter: String::new() };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--full" => options.full = true,
            "--relay" => options.relay = args.next().ok_or("--relay takes a program")?,
            // What `cargo test` passes to every suite.
            flag if flag.starts_with("--") => {}
            filter => options.filter = filter.to_owned(),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    if std::env::var_os(INSIDE).is_none() {
        return enter();
    }
    let options = match options() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let own = options.relay == env!("CARGO_BIN_EXE_byway");
    let (mut passed, mut failed) = (0, 0);
    println!(
        "{:<22} {:>15} {:>15} {:>12} {:>22} {:>16}  attacker",
        "attack",
        "MB/s was/is",
        "p99 ms was/is",
        "newcomer ms",
        "resident MiB was/is/then",
        "kernel MiB is",
    );
    let is_made = |attack: &&Attack| {
        options.full || attack.when == When::Always || !options.filter.is_empty()
    };
    let chosen = || ATTACKS.iter().filter(|attack| attack.name.contains(&options.filter));
    for attack in chosen().filter(is_made) {
        let faults = match run(attack, &options) {
            Ok(faults) => faults,
            Err(error) => vec![error.to_string()],
        };
        // Another program is measured, not tested.
        if faults.is_empty() || !own {
            passed += 1;
        } else {
            failed += 1;
        }
        for fault in faults {
            println!("    {}: {fault}", attack.name);
        }
    }
    let left_out: Vec<_> = chosen().filter(|attack| !is_made(attack)).map(|a| a.name).collect();
    if !left_out.is_empty() {
        println!("not run: abuse of a relay by {}: --full runs these", left_out.join(", "));
    }
    let how = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {how}. {passed} passed; {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}

/// Runs this program again in a network namespace; as root or, where the system lets, as a user.
fn enter() -> ExitCode {
    let program = std::env::current_exe().expect("the path of this program");
    for flags in [&["--net"][..], &["--net", "--user", "--map-root-user"][..]] {
        let probe =
            Command::new("unshare").args(flags).args(["sh", "-c", SCRIPT, "sh", "true"]).output();
        if probe.is_ok_and(|output| output.status.success()) {
            let status = Command::new("unshare")
                .args(flags)
                .args(["sh", "-c", &format!("ulimit -n $(ulimit -Hn); {SCRIPT}"), "sh"])
                .arg(&program)
                .args(std::env::args().skip(1))
                .env(INSIDE, "1")
                .status();
            let code = status.ok().and_then(|status| status.code()).unwrap_or(1);
            return ExitCode::from(u8::try_from(code).unwrap_or(1));
        }
    }
    println!(
        "not run: abuse: needs iproute2, and root or user namespaces, for addresses of its own"
    );
    ExitCode::SUCCESS
}

/// Runs an attack: what of it is not as it is to be.
fn run(attack: &Attack, options: &Options) -> Result<Vec<String>, peers::Failure> {
    let mut relay = Relay::start(&options.relay);
    let pair = Pair::start(relay.seen_from(1, 1))?;
    thread::sleep(Duration::from_millis(500));
    let look = Duration::from_secs(if options.full { 8 } else { 2 });
    let was = pair.watch(look);
    let before = relay.resident();
    let (over, ready, count) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
    let field = Field {
        relay: &relay,
        sender: pair.sender(),
        full: options.full,
        over: &over,
        ready: &ready,
        count: &count,
    };
    let (is, opened, peak, kernel, said) = thread::scope(|scope| {
        let attacker = scope.spawn(|| {
            // An attacker elsewhere would have processors of its own: here it has what others leave.
            let _ = rustix::process::nice(19);
            let said = (attack.run)(&field);
            ready.store(true, Relaxed);
            said
        });
        let began = Instant::now();
        while !ready.load(Relaxed) && began.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(50));
        }
        let opening = scope.spawn(|| newcomer(relay.seen_from(2, 1)));
        let is = pair.watch(look);
        let (peak, kernel) = (relay.resident(), relay.kernel());
        let opened = opening.join().expect("the newcomer does not panic");
        over.store(true, Relaxed);
        let said = attacker.join().expect("the attacker does not panic");
        (is, opened, peak, kernel, said)
    });
    let ended = Instant::now();
    let mut then = relay.resident();
    let settle = if options.full { SETTLE } else { Duration::ZERO };
    while ended.elapsed() < settle && then > before + before / 4 + (16 << 10) {
        thread::sleep(Duration::from_millis(500));
        then = relay.resident();
    }
    let settled = ended.elapsed();
    let new = match &opened {
        Ok(took) => took.as_millis().to_string(),
        Err(error) => format!("{error}"),
    };
    let ms = |had: &Had| had.p99.as_secs_f64() * 1e3;
    println!(
        "{:<22} {:>7.1}/{:<7.1} {:>7.1}/{:<7.1} {:>12} {:>7.1}/{:.1}/{:.1} ({} s) {:>10.1}  {}",
        attack.name,
        was.rate / 1e6,
        is.rate / 1e6,
        ms(&was),
        ms(&is),
        new,
        before as f64 / 1024.0,
        peak as f64 / 1024.0,
        then as f64 / 1024.0,
        settled.as_secs(),
        kernel as f64 / 1024.0,
        said.text
    );
    let mut faults = said.faults;
    if is.rate < LEAST_RATE * was.rate.min(OFFERED as f64) || is.trips == 0 {
        faults.push(format!("the pair had {:.1} of {:.1} MB/s", is.rate / 1e6, was.rate / 1e6));
    }
    match opened {
        Ok(took) if took <= OPENS => {}
        Ok(took) => faults.push(format!("a newcomer took {} ms", took.as_millis())),
        Err(error) => faults.push(format!("a newcomer was kept out: {error}")),
    }
    if peak + kernel > before + GROWTH {
        faults.push(format!("memory grew by {} MiB", (peak + kernel - before) >> 10));
    }
    if options.full && then > before + KEPT {
        faults.push(format!("memory is {} MiB above what it was", (then - before) >> 10));
    }
    if !relay.is_alive() {
        faults.push("the relay is gone".into());
    }
    for line in relay.told() {
        if line.contains("WARN") {
            println!("    relay: {line}");
        }
    }
    Ok(faults)
}
