//! The relay under attack: a process of the command, with its defaults.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// A relay's process, killed when dropped.
pub struct Relay {
    child: Child,
    port: u16,
    told: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    /// Starts `program` at all addresses of this namespace.
    pub fn start(program: &str) -> Self {
        let mut shell = Command::new("sh");
        let script = "ulimit -n $(ulimit -Hn); exec \"$@\"";
        let mut child = shell
            .args(["-c", script, "sh", program, "relay", "--listen", "0.0.0.0:0", "--open"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a relay's process");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the relay announces its address");
        let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port in {line:?}"));
        let told = Arc::new(Mutex::new(Vec::new()));
        let (stderr, kept) = (child.stderr.take().expect("piped"), Arc::clone(&told));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { child, port, told }
    }

    /// Where the relay is reached from the address `10.66.NET.HOST`: a connection to an address of this
    /// machine comes from that address.
    pub fn seen_from(&self, net: u8, host: u8) -> SocketAddr {
        SocketAddr::from(([10, 66, net, host], self.port))
    }

    /// The relay's own lines.
    pub fn told(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Resident memory of the process, in KiB.
    pub fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// What the kernel holds to be sent on the relay's sockets, in KiB.
    pub fn kernel(&self) -> u64 {
        let filter = format!("sport = :{}", self.port);
        let output = Command::new("ss").args(["-Htmn", "state", "connected", &filter]).output();
        let text = output.map(|output| output.stdout).unwrap_or_default();
        // skmem:(r0,rb131072,t0,tb2626560,f0,w0,…): w is queued to be sent.
        let queued = String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| {
                let (_, memory) = line.split_once("skmem:(")?;
                let field = memory.split(',').find_map(|field| field.strip_prefix('w'))?;
                field.trim_end_matches(')').parse::<u64>().ok()
            })
            .sum::<u64>();
        queued / 1024
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
