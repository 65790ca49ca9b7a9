//! The cost of idle clients, counted beside all other measurements, as it takes minutes.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use byway::client::{Client, Config};
use byway::relay::{Relay, RelayConfig};
use byway::session::{Pace, Profile};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::delay::Leg;
use crate::part::{say, until_told};

/// From then on a client that was opened counts as idle: it took itself for busy for 30 s, and then
/// a hold of 5 s was under way.
const SETTLED: Duration = Duration::from_secs(36);

/// The cost of a client with one name and no peer, over `seconds`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Idle {
    pub pace: String,
    pub seconds: f64,
    pub requests: u64,
    pub octets: u64,
}

/// Opens the clients, and counts until told to end.
pub fn run(paces: &[String]) -> Result<()> {
    let mut clients = Vec::new();
    for pace in paces {
        let relay = Relay::bind(RelayConfig::default())?;
        let leg = Leg::start(&relay.local_addr().to_string(), Duration::ZERO, usize::MAX)?;
        let client = Client::open(Config {
            profile: Profile::PHONE,
            pace: if pace == "battery" { Pace::Battery } else { Pace::Streaming },
            ..Config::new(format!("http://{}", leg.address))
        })?;
        let listener = client.listen("idle:1")?;
        clients.push((pace, relay, leg, client, listener));
    }
    std::thread::sleep(SETTLED);
    let count = |leg: &Leg, client: &Client| {
        let stats = client.stats();
        (stats.sends + stats.parks, leg.up.octets.load(Relaxed) + leg.down.octets.load(Relaxed))
    };
    let before: Vec<_> = clients.iter().map(|(_, _, leg, client, _)| count(leg, client)).collect();
    let began = Instant::now();
    until_told();
    let seconds = began.elapsed().as_secs_f64();
    let mut counted = Vec::new();
    for ((pace, _, leg, client, _), before) in clients.iter().zip(before) {
        let (requests, octets) = count(leg, client);
        counted.push(Idle {
            pace: (*pace).clone(),
            seconds,
            requests: requests - before.0,
            octets: octets - before.1,
        });
    }
    say(serde_json::to_string(&counted)?);
    // The main process ends this one.
    until_told();
    Ok(())
}
