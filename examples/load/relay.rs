//! The relay under load: a process of its own, so that what the relay takes and what the load takes are told
//! apart.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::Result;
use crate::process::{self, Usage};

/// Most connections of a relay that is not told a number.
const DEFAULT_CONNECTIONS: usize = 10_000;

/// The share of a relay's places that only sessions which it knows may take: this is its denominator.
const RESERVE: usize = 8;

/// Connections of a session.
const CONNECTIONS: usize = 2;

/// How a relay is started.
#[derive(Debug, Clone)]
pub struct RelayCommand {
    words: Vec<String>,
}

impl RelayCommand {
    /// The relay of this build.
    pub fn of_this_build() -> Result<Self> {
        let program = process::built("byway", &["--bin", "byway"], None)?;
        let program = program.into_os_string().into_string().map_err(|_| "no path in UTF-8")?;
        Ok(Self { words: vec![program, "relay".into()] })
    }

    /// A command line, as a shell has it.
    pub fn parse(line: &str) -> Result<Self> {
        let words = shlex::split(line).filter(|words| !words.is_empty());
        Ok(Self { words: words.ok_or_else(|| format!("no command line: {line}"))? })
    }

    /// Starts a relay for so many sessions at a port of loopback, and waits until it listens. Only if they do
    /// not fit into its default, the relay is told how many connections there may be.
    pub fn start(&self, port: u16, sessions: usize) -> Result<Relay> {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).arg("--listen").arg(format!("127.0.0.1:{port}"));
        let connections = CONNECTIONS * sessions * RESERVE / (RESERVE - 1) + RESERVE;
        if connections > DEFAULT_CONNECTIONS {
            command.arg("--max-connections").arg(connections.to_string());
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("{}: {error}", self.words.join(" ")))?;
        let stdout = child.stdout.take().ok_or("a relay without output")?;
        // From here on the process ends with the value.
        let mut relay = Relay { child, address: SocketAddr::from(([127, 0, 0, 1], port)) };
        let mut url = String::new();
        BufReader::new(stdout).read_line(&mut url)?;
        let address = url.trim().strip_prefix("http://").and_then(|place| place.parse().ok());
        let bad = || format!("{}: said no URL, but `{}`", self.words.join(" "), url.trim());
        relay.address = address.ok_or_else(bad)?;
        Ok(relay)
    }
}

/// A relay that runs, ended when dropped.
#[derive(Debug)]
pub struct Relay {
    child: Child,
    pub address: SocketAddr,
}

impl Relay {
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }

    /// How many sockets the relay has open.
    pub fn sockets(&self) -> Result<usize> {
        let all = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?;
        let targets = all.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        Ok(targets
            .filter(|target| target.as_os_str().as_encoded_bytes().starts_with(b"socket:"))
            .count())
    }
}

impl Drop for Relay {
    /// Kills the relay, as a crash would.
    fn drop(&mut self) {
        // The process may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
