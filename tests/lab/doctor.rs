//! What `byway doctor` says of the obstacles of the lab.

use std::process::Stdio;

use serde_json::Value;

use crate::Result;
use crate::net::{Host, Hosts, Net, RELAY, swallow_ipv6};
use crate::parts::{Proxy, Relay, Running, byway};
use crate::report::{Carried, Figures, Verdict};

/// How long an answer is made to wait, in seconds: the cells are of other things.
const HOLD: &str = "3";

/// The name by which the phone knows the relay where IPv6 swallows packets.
const NAME: &str = "relay.lab";

/// What is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    None,
    Proxy(Proxy),
    /// IPv6 that swallows packets.
    DeadIpv6,
}

impl Obstacle {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "direct",
            Self::Proxy(proxy) => proxy.name(),
            Self::DeadIpv6 => "dead-ipv6",
        }
    }

    /// The checks whose verdict is not `ok` there.
    fn verdicts(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Proxy(Proxy::Tinyproxy) => &[("reuse", "limited")],
            Self::Proxy(Proxy::Nginx) => &[("size", "limited"), ("up", "limited")],
            Self::Proxy(Proxy::NginxUnbuffered) => &[("size", "limited")],
            Self::Proxy(Proxy::HaproxyOneConnection | Proxy::HaproxyOneRequest) => {
                &[("two", "limited")]
            }
            Self::DeadIpv6 => &[("tcp", "limited")],
            Self::None | Self::Proxy(_) => &[],
        }
    }

    /// Puts the obstacle into the way.
    fn stand(self) -> Result<Way> {
        let direct = Way { url: format!("http://{RELAY}:80"), proxy: "none".into(), _parts: None };
        Ok(match self {
            Self::None => direct,
            Self::DeadIpv6 => {
                let hosts = Host::Phone.resolve(NAME, &swallow_ipv6()?)?;
                let parts = Some(Parts::Hosts { _hosts: hosts });
                Way { url: format!("http://{NAME}:80"), _parts: parts, ..direct }
            }
            Self::Proxy(proxy) => {
                let running = proxy.start()?;
                let way = proxy.way(&running);
                let through = match way.proxy {
                    byway::transport::Proxy::Url(url) => url,
                    _ => direct.proxy,
                };
                let parts = Some(Parts::Proxy { _running: running });
                Way { url: way.url, proxy: through, _parts: parts }
            }
        })
    }
}

/// How the relay is reached, while the parts of the way are there.
struct Way {
    url: String,
    proxy: String,
    _parts: Option<Parts>,
}

enum Parts {
    Proxy { _running: Running },
    Hosts { _hosts: Hosts },
}

/// Runs the doctor on the phone, and compares its verdicts with those that the obstacle should give.
pub fn run(obstacle: Obstacle, figures: &mut Figures) -> Result<()> {
    let _net = Net::build()?;
    let _relay = Relay::start()?;
    let way = obstacle.stand()?;
    let output = Host::Phone
        .command(&byway())
        .args(["doctor", "--json", "--hold", HOLD, "--relay", &way.url, "--proxy", &way.proxy])
        .env("BYWAY_CONFIG", "")
        .stdin(Stdio::null())
        .output()?;
    let report: Value = serde_json::from_slice(&output.stdout).map_err(|error| {
        format!("{}: {error}: {}", output.status, String::from_utf8_lossy(&output.stderr))
    })?;
    let checks = report["checks"].as_array().ok_or("no checks")?;
    let found = checks.iter().map(Verdict::read).filter(|check| check.verdict != "ok");
    let found: Vec<_> = found.collect();
    let is_expected = {
        let mut told: Vec<_> =
            found.iter().map(|check| (&check.check[..], &check.verdict[..])).collect();
        // A hold under way beside the others ends when it ends.
        told.sort_unstable();
        let mut expected = obstacle.verdicts().to_vec();
        expected.sort_unstable();
        told == expected
    };
    figures.carried = Carried::Verdicts(found);
    match (is_expected, output.status.code()) {
        (true, Some(0)) => Ok(()),
        _ => {
            let expected = obstacle.verdicts();
            Err(format!("not {expected:?}, {}: {report:#}", output.status).into())
        }
    }
}
