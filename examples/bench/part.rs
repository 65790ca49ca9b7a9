//! The processes of a measurement: this program again, each with one part to play, so that the cost
//! of each can be told apart.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{LazyLock, Mutex, PoisonError};

use byway::relay::{Access, Relay, RelayConfig};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::process::{Usage, built};
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
