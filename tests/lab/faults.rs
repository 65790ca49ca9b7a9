//! The faults that strike while a stream carries both ways.

use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::net::{self, Host};
use crate::pattern::Pattern;
use crate::peers::Lab;
use crate::report::Figures;
use crate::streams::Ways;

/// Both directions must go on within this time after a fault is over: a client notices a dead path
/// within 8 s while there is traffic.
const RECOVERY: Duration = Duration::from_secs(8);
/// A direction that stands for this long will not recover any more.
const GIVE_UP: Duration = Duration::from_secs(60);

/// The most octets that both directions carry between two faults.
const BETWEEN: u64 = 1 << 20;

/// How many seconds the forgetful NAT keeps a connection after its last packet.
const MEMORY_S: u32 = 5;
/// How long the peers then say nothing: longer than the NAT remembers.
const PAUSE: Duration = Duration::from_secs(7);

/// The rate of the phone's network each way in bits per second: the rings are always full, so that
/// every fault hits bytes on their way, and the machine's processors are no limit.
const RATE: &str = "16mbit";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The phone changes its network and address; the client is told every other time.
    Roam,
    /// The outer address of the NAT changes.
    NatAddress,
    /// The NAT forgets connections during pauses.
    Forget,
    /// The NAT drops every packet for this many seconds.
    Dark(u32),
    /// All TCP connections of the phone, the PC or the relay are reset.
    Reset,
    /// The relay is killed and started anew.
    Kill,
}

impl Fault {
    pub fn name(self) -> String {
        match self {
            Self::Roam => "roam".into(),
            Self::NatAddress => "nat-address".into(),
            Self::Forget => "nat-forgets".into(),
            Self::Dark(seconds) => format!("dark-{seconds}s"),
            Self::Reset => "reset".into(),
            Self::Kill => "relay-kill".into(),
        }
    }

    /// Makes the fault `count` times while both directions carry, and checks that they go on each
    /// time.
    pub fn script(
        self,
        count: u32,
        seed: u64,
        lab: &mut Lab,
        ways: &Ways,
        figures: &mut Figures,
    ) -> Result<()> {
        if self == Self::Forget {
            Host::PhoneNat.sh(&forgetful())?;
        }
        let random = Pattern::new(seed, 1, 0);
        for n in 0..count {
            if self == Self::Forget {
                pause(ways)?;
            } else {
                ways.allow(u64::MAX);
                // The fault strikes at any point of the transfer.
                let more = random.number(u64::from(n)) % BETWEEN;
                wait_for(ways, |way| way.figures().received + more)?;
                self.make(n, lab).map_err(|error| format!("fault {n}: {error}"))?;
            }
            let over = Instant::now();
            if self == Self::Forget {
                ways.allow(u64::MAX);
            }
            // More bytes than were on their way: those that arrive behind them were sent when the
            // fault was over.
            wait_for(ways, |way| way.figures().sent + 1)
                .map_err(|error| format!("after fault {n}: {error}"))?;
            figures.faults += 1;
            figures.recovery = figures.recovery.max(Some(over.elapsed()));
        }
        ways.end();
        match figures.recovery {
            Some(time) if time > RECOVERY => {
                Err(format!("recovered within {time:.1?}, more than {RECOVERY:?}").into())
            }
            _ => Ok(()),
        }
    }

    fn make(self, n: u32, lab: &mut Lab) -> Result<()> {
        match self {
            Self::Roam => {
                let (net, host) = (n % 2, 10 + n / 2 % 200);
                Host::Phone.sh(&format!(
                    "ip address flush dev outside scope global\n\
                     ip address add 10.1.{net}.{host}/24 dev outside\n\
                     ip route replace default via 10.1.{net}.1",
                ))?;
                Host::PhoneNat.sh("conntrack -F")?;
                if n % 2 == 1 {
                    lab.phone.network_changed();
                }
                Ok(())
            }
            Self::NatAddress => Host::PhoneNat.sh(&format!(
                "ip address flush dev outside scope global\n\
                 ip address add 10.9.0.{}/24 dev outside\n\
                 conntrack -F",
                20 + n % 200,
            )),
            Self::Dark(seconds) => {
                Host::PhoneNat.nft(
                    "table ip dark { chain every {
                        type filter hook prerouting priority raw; policy drop;
                    }
                    }",
                )?;
                thread::sleep(Duration::from_secs(u64::from(seconds)));
                Host::PhoneNat.nft("delete table ip dark")
            }
            Self::Reset => {
                let host = [Host::Phone, Host::Pc, Host::Relay][n as usize % 3];
                let end = if host == Host::Relay { "src" } else { "dst" };
                // A fault needs a connection that it ends.
                host.sh(&format!("ss -HtK state established {end} {} | grep -q .", net::RELAY))
            }
            Self::Kill => lab.relay.kill_and_restart(),
            Self::Forget => Ok(()),
        }
    }
}

/// Limits the phone's network.
pub fn limit_rate() -> Result<()> {
    for (host, device) in [(Host::PhoneNat, "inside"), (Host::Phone, "outside")] {
        // A burst is at most what one write makes; a packet that waits for more than 200 ms is
        // dropped.
        host.sh(&format!(
            "tc qdisc add dev {device} root tbf rate {RATE} burst 64kb latency 200ms"
        ))?;
    }
    Ok(())
}

/// Waits until the allowed bytes have arrived, and then for longer than the NAT remembers.
fn pause(ways: &Ways) -> Result<()> {
    for way in ways.both() {
        way.allow(way.figures().sent + BETWEEN, false);
    }
    wait_for(ways, |way| way.figures().allowed)?;
    thread::sleep(PAUSE);
    Ok(())
}

fn forgetful() -> String {
    ["established", "unacknowledged", "max_retrans", "syn_recv", "fin_wait", "close_wait"]
        .map(|state| {
            format!("sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_{state}={MEMORY_S}")
        })
        .join("\n")
}

/// Waits until each direction has received as much as `goal` makes of its progress now.
fn wait_for(ways: &Ways, goal: impl Fn(&crate::watch::Watch) -> u64) -> Result<()> {
    let goals = ways.both().map(&goal);
    let deadline = Instant::now() + GIVE_UP;
    for (way, goal) in ways.both().into_iter().zip(goals) {
        if !way.wait_received(goal, deadline) {
            let at = ways.both().map(|way| way.figures().received);
            return Err(format!("stands still at {at:?}; goals {goals:?}").into());
        }
    }
    Ok(())
}
