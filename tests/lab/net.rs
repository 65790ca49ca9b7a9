//! The network: hosts in namespaces, joined by veth pairs and a bridge, with NATs that let nothing
//! but solicited HTTP through.
//!
//! ```text
//! phone ── phone-nat ──┐        ┌── pc-nat ── pc
//!                      ├─ wide ─┤
//!              proxy ──┘        └── relay
//! ```

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::Result;
use crate::line::{Laid, Line};
use crate::parts::PATH;

/// The addresses of the hosts that all others reach.
pub const RELAY: &str = "10.9.0.1";
pub const PROXY: &str = "10.9.0.2";

/// Where `ip netns` keeps its namespaces.
const NETNS: &str = "/run/netns";
/// The prefix of the names of namespaces, before the process and the host.
const PREFIX: &str = "byway-lab-";

/// A machine of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    Wide,
    Relay,
    Proxy,
    PhoneNat,
    Phone,
    PcNat,
    Pc,
}

const HOSTS: [Host; 7] =
    [Host::Wide, Host::Relay, Host::Proxy, Host::PhoneNat, Host::Phone, Host::PcNat, Host::Pc];

impl Host {
    fn name(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::Relay => "relay",
            Self::Proxy => "proxy",
            Self::PhoneNat => "phone-nat",
            Self::Phone => "phone",
            Self::PcNat => "pc-nat",
            Self::Pc => "pc",
        }
    }

    fn namespace(self) -> String {
        format!("{PREFIX}{}-{}", process::id(), self.name())
    }

    /// A command that will run on this host.
    pub fn command(self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(), program]);
        command.env("PATH", PATH);
        command
    }

    /// Runs a shell script on this host; the first command that fails ends it.
    pub fn sh(self, script: &str) -> Result<()> {
        feed(self.command("sh").args(["-e", "-s"]), script)
            .map_err(|error| format!("{}: {error} of {script}", self.name()).into())
    }

    /// Changes this host's packet filter.
    pub fn nft(self, rules: &str) -> Result<()> {
        feed(self.command("nft").args(["-f", "-"]), rules)
            .map_err(|error| format!("{}: nft: {error}", self.name()).into())
    }

    /// Lets commands on this host resolve `name` to these addresses, in their order, until the value is dropped.
    pub fn resolve(self, name: &str, addresses: &[String]) -> Result<Hosts> {
        // Where `ip netns exec` looks for files that take the place of those in /etc.
        let hosts = Hosts(Path::new("/etc/netns").join(self.namespace()));
        std::fs::create_dir_all(&hosts.0)?;
        let lines = addresses.iter().map(|address| format!("{address} {name}\n"));
        std::fs::write(hosts.0.join("hosts"), lines.collect::<String>())?;
        Ok(hosts)
    }

    /// Calls `f` on a thread that lives on this host, as do the threads that it starts.
    pub fn enter<T: Send>(self, f: impl FnOnce() -> T + Send) -> Result<T> {
        let namespace = File::open(Path::new(NETNS).join(self.namespace()))?;
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok::<T, rustix::io::Errno>(f())
            });
            Ok(inside.join().map_err(|_| format!("a thread on {} panicked", self.name()))??)
        })
    }
}

/// The names that a host knows.
pub struct Hosts(PathBuf);

impl Drop for Hosts {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} stays behind: {error}", self.0.display());
        }
    }
}

/// Gives the phone a way by IPv6 that swallows packets, and tells the addresses of the relay: four by IPv6, and then
/// the one by IPv4.
pub fn swallow_ipv6() -> Result<Vec<String>> {
    Host::Phone.sh("ip -6 address add fd00:9::2/64 dev outside nodad
         ip -6 neigh add fd00:9::1 lladdr 02:00:00:00:00:01 dev outside nud permanent
         ip -6 route add default via fd00:9::1")?;
    let dead = (1..=4).map(|n| format!("fd00:8::{n}"));
    Ok(dead.chain([RELAY.to_owned()]).collect())
}

/// All hosts, which are removed with this value, and then the long line if there is one.
pub struct Net(Option<Laid>);

impl Net {
    /// Starts the hosts and joins them.
    pub fn build() -> Result<Self> {
        Self::build_with(None)
    }

    /// Starts the hosts and joins them, the phone and its NAT by a line, if there is one, whose losses
    /// follow from the number beside it.
    pub fn build_with(line: Option<(Line, u64)>) -> Result<Self> {
        let mut net = Self(None);
        for host in HOSTS {
            sh(&format!("ip netns add {}", host.namespace()))?;
            host.sh("ip link set lo up")?;
        }
        Host::Wide.sh("ip link add bridge type bridge; ip link set bridge up")?;
        for (host, address) in [
            (Host::Relay, RELAY),
            (Host::Proxy, PROXY),
            (Host::PhoneNat, "10.9.0.11"),
            (Host::PcNat, "10.9.0.12"),
        ] {
            let name = host.name();
            sh(&format!(
                "ip link add outside netns {} type veth peer name to-{name} netns {}",
                host.namespace(),
                Host::Wide.namespace(),
            ))?;
            Host::Wide
                .sh(&format!("ip link set to-{name} master bridge; ip link set to-{name} up"))?;
            host.sh(&format!("ip address add {address}/24 dev outside; ip link set outside up"))?;
        }
        // The phone has two networks to roam between, the PC has one.
        match line {
            Some((line, seed)) => net.0 = Some(line.lay(seed, Host::Phone, Host::PhoneNat)?),
            None => join(Host::PhoneNat, Host::Phone)?,
        }
        join(Host::PcNat, Host::Pc)?;
        inside(Host::PhoneNat, Host::Phone, &["10.1.0", "10.1.1"])?;
        inside(Host::PcNat, Host::Pc, &["10.2.0"])?;
        Ok(net)
    }

    /// Removes the processes and namespaces that dead runs left behind.
    pub fn remove_leftovers() -> Result<()> {
        for name in namespaces()? {
            let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
            let lives = process.is_some_and(|id| Path::new("/proc").join(id).exists());
            if !lives {
                remove(&name)?;
            }
        }
        Ok(())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for host in HOSTS {
            let namespace = host.namespace();
            if Path::new(NETNS).join(&namespace).exists()
                && let Err(error) = remove(&namespace)
            {
                eprintln!("{namespace} stays behind: {error}");
            }
        }
    }
}

/// Joins a host and its NAT directly.
fn join(nat: Host, host: Host) -> Result<()> {
    sh(&format!(
        "ip link add inside netns {} type veth peer name outside netns {}",
        nat.namespace(),
        host.namespace(),
    ))
}

/// Puts a host behind a NAT; the NAT's address there ends in 1 and the host's in 2.
fn inside(nat: Host, host: Host, nets: &[&str]) -> Result<()> {
    for net in nets {
        nat.sh(&format!("ip address add {net}.1/24 dev inside"))?;
    }
    nat.sh("ip link set inside up; sysctl -qw net.ipv4.ip_forward=1")?;
    let net = nets.first().ok_or("a host needs a net")?;
    host.sh(&format!(
        "ip link set outside up; ip address add {net}.2/24 dev outside; \
         ip route add default via {net}.1",
    ))?;
    // Only a SYN begins a connection, so that no NAT takes up connections that it has forgotten.
    nat.nft(
        "table ip lab {
            chain forward {
                type filter hook forward priority filter; policy drop;
                ct state established,related accept
                ct state invalid drop
                iifname inside ct state new tcp flags & (fin|syn|rst|ack) == syn tcp dport { 80, 8080 } accept
            }
            chain outwards {
                type nat hook postrouting priority srcnat;
                oifname outside masquerade
            }
        }",
    )
}

fn remove(namespace: &str) -> Result<()> {
    sh(&format!(
        "for id in $(ip netns pids {namespace}); do \
             [ $id = {me} ] || kill -9 $id 2>/dev/null || true; \
         done; ip netns del {namespace}",
        me = process::id(),
    ))
}

fn namespaces() -> Result<Vec<String>> {
    match std::fs::read_dir(NETNS) {
        Ok(entries) => Ok(entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with(PREFIX))
            .collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Runs a shell script in the network in which this process was started.
fn sh(script: &str) -> Result<()> {
    feed(Command::new("sh").args(["-e", "-s"]).env("PATH", PATH), script)
}

/// Runs a command with a text as its input; its stderr is the error.
fn feed(command: &mut Command, input: &str) -> Result<()> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no stdin")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()).into())
}
