//! The systems that are compared, and how one measurement is made.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cells::{Cell, Path};
use crate::daemon::{Daemon, free_port, wait_for};
use crate::part::Part;
use crate::peer::{Order, Seen, Work};
use crate::posts::PING;
use crate::process::{Usage, built};
use crate::{Result, delay};

/// The system that carries the bytes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// A plain relay of TCP connections: the floor.
    Tcp,
    /// Two POSTs there and back by ureq, to a trivial hyper server: the floor of HTTP.
    Post,
    /// Two POSTs by a bare socket that knows the answer beforehand.
    Bare,
    /// byway with long polls.
    LongPoll,
    /// byway with answers that stay open.
    Streaming,
    /// TCP connections through the command: `byway connect --from` and `byway listen --to`.
    Forward,
    /// GNU httptunnel, one for each peer, before the relay of TCP connections.
    Httptunnel,
}

impl System {
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "raw TCP",
            Self::Post => "HTTP floor, ureq",
            Self::Bare => "HTTP floor, socket",
            Self::LongPoll => "byway, long poll",
            Self::Streaming => "byway, streaming",
            Self::Forward => "byway, forward",
            Self::Httptunnel => "GNU httptunnel",
        }
    }

    pub fn is_byway(self) -> bool {
        matches!(self, Self::LongPoll | Self::Streaming)
    }

    /// Whether the system is just a pair of POSTs.
    pub fn is_posts(self) -> bool {
        matches!(self, Self::Post | Self::Bare)
    }
}

/// Figures by their names.
pub type Figures = BTreeMap<&'static str, f64>;

/// Measures a system once.
pub fn measure(cell: &Cell, system: System) -> Result<Figures> {
    let name = match system {
        System::Tcp | System::Httptunnel => "tcp-relay",
        System::Post | System::Bare => "http-server",
        System::LongPoll | System::Streaming | System::Forward => "relay",
    };
    let mut relay = Part::start(name, &())?;
    let url = relay.says()?;
    let address = url.trim_start_matches("http://").to_owned();
    let mut ats = [address.clone(), address];
    let mut squid = None;
    let mut tunnels = Vec::new();
    if system == System::Httptunnel {
        // The far ends of the tunnels stand beside the relay: the long path is before them.
        for at in &mut ats {
            let end = Tunnel::far(at)?;
            *at = format!("127.0.0.1:{}", end.port);
            tunnels.push(end);
        }
    }
    let mut _path = None;
    match cell.path {
        Path::Direct => {}
        Path::Long { hold } => {
            let order = delay::Order { to: ats.clone(), ms: 25, hold };
            let mut part = Part::start("delay", &order)?;
            for at in &mut ats {
                *at = part.says()?;
            }
            _path = Some(part);
        }
        Path::Squid => {
            if !Command::new("tests/need").args(["squid", "squid"]).status()?.success() {
                return Err("squid is missing".into());
            }
            squid = Some(Daemon::squid(443, &[]));
        }
    }
    if system == System::Httptunnel {
        for at in &mut ats {
            let end = Tunnel::near(at)?;
            *at = format!("127.0.0.1:{}", end.port);
            tunnels.push(end);
        }
    }
    let mut forwards = Vec::new();
    let order = |listens: bool, at: &str| Order {
        listens,
        system,
        at: if system.is_byway() { format!("http://{at}") } else { at.to_owned() },
        proxy: squid.as_ref().map(Daemon::url),
        profile: cell.profile.to_owned(),
        work: cell.work,
    };
    let mut peers = Vec::new();
    if !system.is_posts() {
        let mut listener = Part::start("peer", &order(true, &ats[1]))?;
        let address = listener.says()?;
        peers.push(listener);
        if system == System::Forward {
            let url = |at: &str| format!("http://{at}");
            forwards.push(Forward::start(&["listen", "bench:1", "--to", &address], &url(&ats[1]))?);
            let from = format!("127.0.0.1:{}", free_port());
            forwards.push(Forward::start(&["connect", "bench:1", "--from", &from], &url(&ats[0]))?);
            ats[0] = from;
        }
    }
    peers.push(Part::start("peer", &order(false, &ats[0]))?);
    for peer in &mut peers {
        peer.says()?;
    }
    let usage = |peers: &[Part]| -> Result<Vec<Usage>> {
        let all = peers.iter().chain([&relay]);
        let mut usages: Vec<Usage> = all.map(Part::usage).collect::<Result<_>>()?;
        // The command is a part of its peer.
        for (peer, forward) in usages.iter_mut().zip(&forwards) {
            *peer += Usage::of(forward.child.id())?;
        }
        Ok(usages)
    };
    let before = usage(&peers)?;
    for peer in &mut peers {
        peer.tell()?;
    }
    let seen: Vec<Seen> = peers.iter_mut().map(Part::reports).collect::<Result<_>>()?;
    let after = usage(&peers)?;
    Ok(figures(cell, system, &seen, &before, &after))
}

/// Measures a client on a phone, built small or not, after some megabytes each way.
pub fn phone(small: bool) -> Result<Usage> {
    let mut relay = Part::start("relay", &())?;
    let url = relay.says()?;
    let order = Order {
        listens: true,
        system: System::Streaming,
        at: url.clone(),
        proxy: None,
        profile: "phone".into(),
        work: Work { pings: true, bulk: 0, both: false, write: PING, warm_ms: 0, run_ms: 0 },
    };
    let mut listener = Part::start("peer", &order)?;
    listener.says()?;
    let mut client = Part::phone(&url, small)?;
    listener.says()?;
    listener.tell()?;
    client.says()?;
    client.usage()
}

fn figures(
    cell: &Cell,
    system: System,
    seen: &[Seen],
    before: &[Usage],
    after: &[Usage],
) -> Figures {
    let mut figures = Figures::new();
    let work = &cell.work;
    let trips = seen.last().map(|seen| seen.round_trips.as_slice()).unwrap_or_default();
    if work.pings && !trips.is_empty() {
        figures.insert("p50 µs", trips[trips.len() / 2]);
        if trips.len() >= 100 {
            figures.insert("p99 µs", trips[trips.len() * 99 / 100]);
        }
    }
    let cpu = |i: usize| after[i].cpu.saturating_sub(before[i].cpu).as_secs_f64();
    let sum = |count: fn(&Seen) -> u64| seen.iter().map(count).sum::<u64>() as f64;
    let received = sum(|seen| seen.received);
    if work.bulk > 0 {
        let seconds = Duration::from_millis(work.run_ms).as_secs_f64();
        let channels: Vec<f64> = seen
            .iter()
            .flat_map(|seen| &seen.measured)
            .map(|n| *n as f64 / 1e6 / seconds)
            .collect();
        let all: f64 = channels.iter().sum();
        figures.insert("MB/s", all);
        if work.write < 1024 {
            figures.insert("messages/s", all * 1e6 / work.write as f64);
        }
        if work.bulk > 1 {
            let slowest = channels.iter().copied().fold(f64::MAX, f64::min);
            figures.insert("slowest/mean", slowest / (all / channels.len() as f64));
        }
        let per_gb = 1e9 / received.max(1.0);
        figures.insert("listener CPU s/GB", cpu(0) * per_gb);
        figures.insert("connector CPU s/GB", cpu(1) * per_gb);
        figures.insert("relay CPU s/GB", cpu(2) * per_gb);
        figures.insert("peers and relay, CPU s/GB", (cpu(0) + cpu(1) + cpu(2)) * per_gb);
    }
    if let [_, connector, relay] = after {
        figures.insert("client resident MB", connector.resident as f64 / 1e6);
        figures.insert("client anonymous MB", connector.anonymous as f64 / 1e6);
        figures.insert("relay peak MB", relay.peak as f64 / 1e6);
    }
    if system.is_byway() {
        let exchanges = sum(|seen| seen.exchanges);
        if received > 0.0 {
            figures.insert("exchanges/MB", exchanges / (received / 1e6));
            figures.insert("allocations/MB", sum(|seen| seen.allocations) / (received / 1e6));
            figures.insert("sent again", sum(|seen| seen.retransmitted) / received);
        }
        figures.insert("allocations/exchange", sum(|seen| seen.allocations) / exchanges.max(1.0));
    }
    figures
}

/// The command that carries TCP connections, killed when dropped.
struct Forward {
    child: Child,
}

impl Forward {
    /// Starts it, with its defaults. It waits by itself for relay and peer.
    fn start(args: &[&str], relay: &str) -> Result<Self> {
        let program = built("byway", &["--bin", "byway"], None)?;
        let mut command = Command::new(&program);
        command.args(args).args(["--relay", relay]).stdin(Stdio::null()).stdout(Stdio::null());
        // No home: the command would make an identity there.
        command.stderr(Stdio::null()).env_remove("HOME").env_remove("XDG_CONFIG_HOME");
        let child = command.spawn().map_err(|e| format!("{}: {e}", program.display()))?;
        if let Some(from) = args.iter().position(|arg| *arg == "--from") {
            let port = args[from + 1].rsplit(':').next().unwrap_or_default().parse()?;
            wait_for("byway connect", || listens(port).then_some(()));
        }
        Ok(Self { child })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An end of GNU httptunnel, killed when dropped.
struct Tunnel {
    child: Child,
    port: u16,
}

impl Tunnel {
    /// The end at the relay's side, which carries on to `to`.
    fn far(to: &str) -> Result<Self> {
        let port = free_port();
        let end = Self::start(Command::new("hts").args(["-w", "-F", to, &port.to_string()]), port)?;
        // This end serves a single tunnel: a connection to see whether it is up would take it.
        wait_for("hts", || listens(port).then_some(()));
        Ok(end)
    }

    /// The end at a peer's side.
    fn near(to: &str) -> Result<Self> {
        let port = free_port();
        let end = Self::start(Command::new("htc").args(["-w", "-F", &port.to_string(), to]), port)?;
        wait_for("htc", || listens(port).then_some(()));
        Ok(end)
    }

    fn start(command: &mut Command, port: u16) -> Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let program = command.get_program().display();
        Ok(Self { child: child.map_err(|e| format!("{program}: {e}"))?, port })
    }
}

/// Whether a program listens at a port of this machine; makes no connection.
fn listens(port: u16) -> bool {
    let tcp = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let address = format!(":{port:04X}");
    tcp.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields.get(1).is_some_and(|at| at.ends_with(&address)) && fields.get(3) == Some(&"0A")
    })
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
