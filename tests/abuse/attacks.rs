//! The attacks. Each begins, says that it is under way, and goes on until it is told to stop.

mod held;
mod rates;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use byway::wire::Address;

use crate::raw;
use crate::relay::Relay;

/// Where an attack takes place.
pub struct Field<'a> {
    pub relay: &'a Relay,
    /// A session of the pair, which gets acknowledgements.
    pub sender: Address,
    pub full: bool,
    pub over: &'a AtomicBool,
    pub ready: &'a AtomicBool,
    /// What the attacker counts.
    pub count: &'a AtomicU64,
}

/// What the attacker says afterwards.
#[derive(Default)]
pub struct Said {
    pub text: String,
    /// What the attacker achieved and should not have.
    pub faults: Vec<String>,
}

pub struct Attack {
    pub name: &'static str,
    pub run: fn(&Field<'_>) -> Said,
    pub when: When,
}

/// When an attack is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Always,
    /// With `--full`, or when its name is given: another one shows nearly the same.
    InFull,
}

/// Within this time a newcomer is in.
pub const OPENS: Duration = Duration::from_secs(3);

pub const ATTACKS: &[Attack] = &[
    Attack { name: "single-hellos", run: held::single_hellos, when: When::Always },
    Attack { name: "datagrams-less-1", run: held::datagrams, when: When::InFull },
    Attack { name: "slow-readers", run: held::slow_readers, when: When::Always },
    Attack { name: "kept-acks", run: held::kept_acks, when: When::InFull },
    Attack { name: "new-sessions", run: rates::new_sessions, when: When::Always },
    Attack { name: "requests", run: rates::requests, when: When::InFull },
    Attack { name: "guess-owner", run: rates::guess_owner, when: When::Always },
    Attack { name: "list-names", run: rates::list_names, when: When::InFull },
    Attack { name: "wake-phone", run: rates::wake_phone, when: When::Always },
    Attack { name: "flood-acks", run: rates::flood_acks, when: When::InFull },
    Attack { name: "take-channels", run: held::take_channels, when: When::InFull },
    Attack { name: "use-channels", run: held::use_channels, when: When::Always },
];

/// The network of the attackers' addresses.
const NET: u8 = 9;

/// Attackers' sessions have secrets from here up, for each attack.
const SECRETS: u64 = 0xbad0_0000_0000;

impl Field<'_> {
    fn is_on(&self) -> bool {
        !self.over.load(Relaxed)
    }

    /// The relay as seen from an attacker's address.
    fn from(&self, host: u8) -> SocketAddr {
        self.relay.seen_from(NET, host)
    }

    fn size(&self, short: usize, full: usize) -> usize {
        if self.full { full } else { short }
    }

    /// The attack is under way, until it is to stop.
    fn hold(&self) {
        self.ready.store(true, Relaxed);
        while self.is_on() {
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes `most` connections, each with `octets`, from one address, or from two if one has too few places.
    fn connections(&self, most: usize, mut octets: impl FnMut(u64) -> Vec<u8>) -> Vec<TcpStream> {
        let mut open = Vec::new();
        for n in 0..most {
            if !self.is_on() {
                break;
            }
            let host = if n < 4_500 { 1 } else { 2 };
            let Ok(mut stream) = raw::dial(self.from(host)) else { continue };
            if stream.write_all(&octets(SECRETS + n as u64)).is_ok() {
                open.push(stream);
            }
        }
        open
    }

    /// Repeats `turn` on `threads` connections; an error of it makes a new connection.
    fn repeat(
        &self,
        threads: u64,
        turn: impl Fn(&mut TcpStream, u64) -> std::io::Result<u64> + Sync,
    ) -> Done {
        let began = Instant::now();
        self.ready.store(true, Relaxed);
        thread::scope(|scope| {
            for thread in 0..threads {
                let turn = &turn;
                scope.spawn(move || {
                    let mut serial = SECRETS + (thread << 32);
                    while self.is_on() {
                        let Ok(mut stream) = raw::dial(self.from(1)) else {
                            thread::sleep(Duration::from_millis(10));
                            continue;
                        };
                        while self.is_on() {
                            serial += 1;
                            match turn(&mut stream, serial) {
                                Ok(done) => self.count.fetch_add(done, Relaxed),
                                Err(_) => break,
                            };
                        }
                    }
                });
            }
        });
        Done { times: self.count.load(Relaxed), seconds: began.elapsed().as_secs_f64() }
    }
}

/// How often something was done.
struct Done {
    times: u64,
    seconds: f64,
}

impl Done {
    fn a_second(&self) -> u64 {
        (self.times as f64 / self.seconds) as u64
    }

    /// What the attacker says, who may do so often at once, and some more than that often a second: what is
    /// under way as it begins and ends counts.
    fn said(&self, what: &str, at_once: u64, a_second: u64) -> Said {
        let beyond = self.times.saturating_sub(at_once) as f64 / self.seconds;
        let rate = self.a_second();
        let text = format!("{rate} {what} a second, {beyond:.0} beyond the first {at_once}");
        let is_fault = beyond > 3.0 * a_second as f64;
        let faults = if is_fault { vec![text.clone()] } else { Vec::new() };
        Said { text, faults }
    }
}
