//! A long line in user space, where the kernel has no netem: two TAP devices, each bridged to a
//! datagram socket by socat, and between the sockets a forwarder that delays, limits and loses frames.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Result;
use crate::net::Host;
use crate::parts::{ASK, START};
use crate::pattern::Pattern;

/// More than the octets of a frame: the MTU, and Ethernet's head.
const FRAME: usize = 16 << 10;

/// The properties of one direction of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Octets a second.
    pub rate: u32,
    /// Octets that wait for their turn at most; a frame beyond them is dropped.
    pub queue: u32,
    /// Frames lost of a thousand, beside those that find the queue full.
    pub lost: u32,
}

/// The properties of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The time from end to end each way in ms, beside that in the queue.
    pub delay_ms: u32,
    /// The largest packet in octets.
    pub mtu: u32,
    /// From the host behind the line.
    pub up: Way,
    /// To the host behind the line.
    pub down: Way,
}

/// A line that runs.
pub struct Laid {
    bridges: Vec<Child>,
    ends: [UnixDatagram; 2],
    threads: Vec<JoinHandle<()>>,
    _dir: TempDir,
}

impl Line {
    /// Lays the line between new devices: `outside` of `host`, and `inside` of its NAT.
    pub fn lay(self, seed: u64, host: Host, nat: Host) -> Result<Laid> {
        let dir = tempfile::Builder::new().prefix("byway-line-").tempdir()?;
        let socket = |name: &str| UnixDatagram::bind(dir.path().join(name));
        let mut laid = Laid {
            ends: [socket("host")?, socket("nat")?],
            bridges: Vec::new(),
            threads: Vec::new(),
            _dir: dir,
        };
        for (at, device, name) in [(host, "outside", "host"), (nat, "inside", "nat")] {
            laid.bridge(at, device, name)?;
            at.sh(&format!("ip link set {device} mtu {} txqueuelen 1000", self.mtu))?;
        }
        let delay = Duration::from_millis(self.delay_ms.into());
        for (from, way) in [(0, self.up), (1, self.down)] {
            let (give, take) = mpsc::channel();
            let (input, output) = (laid.ends[from].try_clone()?, laid.ends[1 - from].try_clone()?);
            let losses = Pattern::new(seed, 2, from as u64);
            laid.threads.push(thread::spawn(move || way.admit(delay, losses, &input, &give)));
            laid.threads.push(thread::spawn(move || deliver(&take, &output)));
        }
        Ok(laid)
    }
}

impl Laid {
    /// Makes a TAP device on a host, whose frames go to and from an end of the line.
    fn bridge(&mut self, host: Host, device: &str, name: &str) -> Result<()> {
        let end = self._dir.path().join(name);
        let own = self._dir.path().join(format!("{name}-device"));
        let mut command = host.command("socat");
        command.arg("-b").arg(FRAME.to_string());
        command.arg(format!("TUN,tun-type=tap,tun-name={device},iff-no-pi"));
        command.arg(format!("UNIX-SENDTO:{},bind={}", end.display(), own.display()));
        let mut child = command.stdin(Stdio::null()).spawn()?;
        let began = Instant::now();
        // socat opens the device first, and then the socket.
        while !own.exists() {
            if child.try_wait()?.is_some() || began.elapsed() > START {
                return Err("socat does not bridge a TAP device: its error is above".into());
            }
            thread::sleep(ASK);
        }
        self.bridges.push(child);
        Ok(self.ends[usize::from(name == "nat")].connect(&own)?)
    }
}

impl Drop for Laid {
    fn drop(&mut self) {
        for end in &self.ends {
            // A thread that reads ends with this, and the thread behind it with that.
            let _ = end.shutdown(Shutdown::Both);
        }
        for bridge in &mut self.bridges {
            let _ = bridge.kill();
            let _ = bridge.wait();
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A frame, and when it reaches the other end.
type Due = (Instant, Vec<u8>);

impl Way {
    /// Takes frames in until the socket is shut down: some are lost, the others get their time.
    fn admit(
        self,
        delay: Duration,
        losses: Pattern,
        input: &UnixDatagram,
        give: &mpsc::Sender<Due>,
    ) {
        let time = |octets: u32| Duration::from_secs_f64(f64::from(octets) / f64::from(self.rate));
        let full = time(self.queue);
        let mut buffer = vec![0; FRAME];
        let mut free_at = Instant::now();
        for n in 0.. {
            let len = match input.recv(&mut buffer) {
                Ok(0) => return,
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let now = Instant::now();
            let begins = free_at.max(now);
            if begins - now > full || losses.number(n) % 1_000 < u64::from(self.lost) {
                continue;
            }
            free_at = begins + time(len as u32);
            if give.send((free_at + delay, buffer[..len].to_vec())).is_err() {
                return;
            }
        }
    }
}

/// Gives the frames out, each at its time.
fn deliver(take: &Receiver<Due>, output: &UnixDatagram) {
    for (due, frame) in take {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // A device that is gone takes no more.
        if output.send(&frame).is_err() {
            return;
        }
    }
}
