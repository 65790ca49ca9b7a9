//! The processes of a measurement: this program again, each with one part to play, so that the cost
//! of each can be told apart.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::ops::AddAssign;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use byway::relay::{Access, Relay, RelayConfig};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{DEADLINE, Result, delay, floor, idle, peer};

/// The argument before the name of a part.
pub const PART: &str = "part";

/// Plays the part of that name, with its order.
pub fn play(name: &str, order: &str) -> Result<()> {
    LazyLock::force(&TOLD);
    match name {
        "relay" => relay(),
        "tcp-relay" => floor::tcp_relay(),
        "http-server" => floor::http_server(),
        "delay" => delay::run(&serde_json::from_str(order)?),
        "idle" => idle::run(&serde_json::from_str::<Vec<String>>(order)?),
        "peer" => peer::run(&serde_json::from_str(order)?),
        "spin" => spin(order.parse()?),
        _ => Err(format!("there is no part {name}").into()),
    }
}

fn relay() -> Result<()> {
    // Some of the systems stand behind proxies.
    let relay = Relay::bind(RelayConfig { access: Access::Open, ..RelayConfig::default() })?;
    say(relay.url());
    until_told();
    Ok(())
}

/// Sends a line to the main process.
pub fn say(what: impl std::fmt::Display) {
    println!("{what}");
}

/// The lines of the main process. At their end the main process is gone, and so is this one.
static TOLD: LazyLock<Mutex<Receiver<()>>> = LazyLock::new(|| {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for _ in io::stdin().lock().lines().map_while(|line| line.ok()) {
            // A process that ends has no reader of the line.
            let _ = tell.send(());
        }
        std::process::exit(1);
    });
    Mutex::new(told)
});

/// Waits for a line of the main process.
pub fn until_told() {
    let told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    // The reading thread ends the process instead.
    let _ = told.recv();
}

/// Keeps a core from being halted while all processes wait for a packet: waking a core takes longer
/// than everything that is measured. Gives way to all other work.
fn spin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores)?;
    say("spins");
    loop {
        std::hint::spin_loop();
    }
}

/// A program of this package, of cargo's `profile` or that of the bench; cargo, if it runs this, builds
/// what `what` names.
pub fn built(program: &str, what: &[&str], profile: Option<&str>) -> Result<PathBuf> {
    // This program is target/release/examples/bench.
    let here = std::env::current_exe()?;
    let built = here.ancestors().nth(2).ok_or("not below cargo's target folder")?;
    let folder = match profile {
        Some(profile) => built.with_file_name(profile),
        None => built.to_owned(),
    };
    let profile = match folder.file_name().and_then(OsStr::to_str) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut cargo = Command::new(cargo);
        // What cargo says of the bench makes build scripts run again, ring's for one.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(&*name);
            }
        }
        cargo.args(["build", "--quiet", "--profile", profile]).args(what);
        if !cargo.status()?.success() {
            return Err(format!("{program} cannot be built").into());
        }
    }
    Ok(folder.join(program))
}

/// A part that plays, ended when dropped.
pub struct Part {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<io::Result<String>>,
}

impl Part {
    pub fn start(name: &str, order: &impl Serialize) -> Result<Self> {
        Self::spawn(Command::new(std::env::current_exe()?), name, &serde_json::to_string(order)?)
    }

    fn spawn(mut program: Command, name: &str, order: &str) -> Result<Self> {
        let child = program
            .args([PART, name, order])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{}: {e}", program.get_program().display()))?;
        Self::of(child)
    }

    fn of(mut child: Child) -> Result<Self> {
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or("a part without output")?;
        let (said, lines) = channel();
        // The thread ends with the child, or when the receiver is gone.
        std::thread::spawn(move || {
            let _ = BufReader::new(stdout).lines().try_for_each(|line| said.send(line));
        });
        Ok(Self { child, stdin, lines })
    }

    /// Starts a spinner on each core, of the kernel's class for idle times. They spin when this
    /// returns.
    pub fn spinners() -> Result<Vec<Self>> {
        let cores = sched_getaffinity(None)?;
        let mut spinners = Vec::new();
        for core in (0..CpuSet::MAX_CPU).filter(|core| cores.is_set(*core)) {
            let mut idle = Command::new("chrt");
            idle.args(["--idle", "0"]).arg(std::env::current_exe()?);
            let mut spinner = Self::spawn(idle, "spin", &core.to_string())?;
            spinner.says()?;
            spinners.push(spinner);
        }
        Ok(spinners)
    }

    /// Starts the small program on a phone, with the profile `small`, or with that of the bench, which
    /// takes a fraction of the time; cargo, if it runs this, builds the program.
    pub fn phone(url: &str, small: bool) -> Result<Self> {
        let profile = small.then_some("small");
        let program = built("examples/bench-client", &["--example", "bench-client"], profile)?;
        let mut child = Command::new(&program);
        let child = child.arg(url).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::of(child.spawn().map_err(|e| format!("{}: {e}", program.display()))?)
    }

    /// The part's next line.
    pub fn says(&mut self) -> Result<String> {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => Ok(line?),
            Err(RecvTimeoutError::Timeout) => Err("a part said nothing for a minute".into()),
            Err(RecvTimeoutError::Disconnected) => {
                Err("a part ended without a word; what it said of it is above".into())
            }
        }
    }

    /// The part's next line, as a value.
    pub fn reports<T: DeserializeOwned>(&mut self) -> Result<T> {
        Ok(serde_json::from_str(&self.says()?)?)
    }

    /// Tells the part to go on.
    pub fn tell(&mut self) -> Result<()> {
        Ok(self.stdin.as_mut().ok_or("a part without input")?.write_all(b"\n")?)
    }

    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // The part ends by itself, or has ended.
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The resources that a process has used so far.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Usage {
    pub cpu: Duration,
    /// Octets resident now, those among them that belong to no file, and the most there ever were.
    pub resident: u64,
    pub anonymous: u64,
    pub peak: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.resident += other.resident;
        self.anonymous += other.anonymous;
        self.peak += other.peak;
    }
}

impl Usage {
    pub fn of(process: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        // Behind the name, which may have spaces, the 12th and 13th fields are ticks of 10 ms,
        // those of ended threads included.
        let fields =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
            kib.map_or(0, |kib| kib << 10)
        };
        Ok(Self {
            cpu: Duration::from_millis(10 * ticks),
            resident: field("VmRSS:"),
            anonymous: field("RssAnon:"),
            peak: field("VmHWM:"),
        })
    }
}
