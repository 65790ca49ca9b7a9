//! The processes that a measurement is made of: this program again, each with one part to play, so
//! that what each costs can be told apart.

use std::io::{self, BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use byway::relay::{Relay, RelayConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Result, delay, floor, idle, peer};

/// The argument that says that a part follows.
pub const PART: &str = "part";

/// Plays the part of that name, as the order says.
pub fn play(name: &str, order: &str) -> Result<()> {
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
    let relay = Relay::bind(RelayConfig::default())?;
    say(relay.url());
    until_told();
    Ok(())
}

/// Tells the main process something, in a line.
pub fn say(what: impl std::fmt::Display) {
    println!("{what}");
}

/// Waits for a line of the main process, or its end.
pub fn until_told() {
    // Whatever is wrong with the pipe, the main process is gone.
    let _ = io::stdin().lock().read_line(&mut String::new());
}

/// Keeps a core from being halted while everybody waits for a packet: waking it takes longer than
/// all that is measured. Gives way to everything else.
fn spin(core: usize) -> Result<()> {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    rustix::thread::sched_setaffinity(None, &cores)?;
    std::thread::spawn(|| {
        until_told();
        std::process::exit(0);
    });
    loop {
        std::hint::spin_loop();
    }
}

/// A part under way; dropped, it is ended.
pub struct Part {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
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
        Ok(Self { child, stdin, lines: BufReader::new(stdout).lines() })
    }

    /// A spinner on that core, of the kernel's class for idle times.
    pub fn spinner(core: usize) -> Result<Self> {
        let mut idle = Command::new("chrt");
        idle.args(["--idle", "0"]).arg(std::env::current_exe()?);
        Self::spawn(idle, "spin", &core.to_string())
    }

    /// The small program on a phone, which stands beside this one; cargo, if it runs this, builds it.
    pub fn phone(url: &str) -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("bench-client");
        if let Some(cargo) = std::env::var_os("CARGO") {
            let build = ["build", "--quiet", "--release", "--example", "bench-client"];
            Command::new(cargo).args(build).status()?;
        }
        let mut child = Command::new(&program);
        let child = child.arg(url).stdin(Stdio::piped()).stdout(Stdio::piped());
        let why = "cargo build --release --example bench-client";
        Self::of(child.spawn().map_err(|e| format!("{}: {e}; {why}", program.display()))?)
    }

    /// The next line that it says.
    pub fn says(&mut self) -> Result<String> {
        match self.lines.next() {
            Some(line) => Ok(line?),
            None => Err("a part ended without a word; what it said of it is above".into()),
        }
    }

    /// What it says next, as a value.
    pub fn reports<T: DeserializeOwned>(&mut self) -> Result<T> {
        Ok(serde_json::from_str(&self.says()?)?)
    }

    /// Lets it go on.
    pub fn tell(&mut self) -> Result<()> {
        Ok(self.stdin.as_mut().ok_or("a part without input")?.write_all(b"\n")?)
    }

    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It ends by itself, or has ended.
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Usage {
    pub cpu: Duration,
    /// Octets resident now, those among them that belong to no file, and the most there ever were.
    pub resident: u64,
    pub anonymous: u64,
    pub peak: u64,
}

impl Usage {
    pub fn of(process: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        // Behind the name, which may have spaces: the 12th and 13th are ticks of 10 ms, ended threads'
        // too.
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
