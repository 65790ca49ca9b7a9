//! What `byway doctor` says of the proxies of the lab.

use std::process::Stdio;

use serde_json::Value;

use crate::Result;
use crate::net::{Host, Net, RELAY};
use crate::parts::{Proxy, Relay, byway};
use crate::report::{Carried, Figures};

/// How long an answer is made to wait, in seconds: the cells are of other things.
const HOLD: &str = "3";

/// The checks whose verdict is not `ok` behind a proxy.
fn obstacles(proxy: Option<Proxy>) -> &'static [(&'static str, &'static str)] {
    match proxy {
        Some(Proxy::Tinyproxy) => &[("reuse", "limited")],
        Some(Proxy::Nginx) => &[("size", "limited"), ("up", "limited")],
        Some(Proxy::NginxUnbuffered) => &[("size", "limited")],
        Some(Proxy::HaproxyOneConnection | Proxy::HaproxyOneRequest) => &[("two", "limited")],
        _ => &[],
    }
}

/// Runs the doctor on the phone, and compares its verdicts with those that the proxy should give.
pub fn run(proxy: Option<Proxy>, figures: &mut Figures) -> Result<()> {
    let _net = Net::build()?;
    let _relay = Relay::start()?;
    let running = proxy.map(Proxy::start).transpose()?;
    let (url, through) = match (proxy, &running) {
        (Some(proxy), Some(running)) => {
            let way = proxy.way(running);
            let through = match way.proxy {
                byway::transport::Proxy::Url(url) => url,
                _ => "none".into(),
            };
            (way.url, through)
        }
        _ => (format!("http://{RELAY}:80"), "none".into()),
    };
    let output = Host::Phone
        .command(&byway())
        .args(["doctor", "--json", "--hold", HOLD, "--relay", &url, "--proxy", &through])
        .env("BYWAY_CONFIG", "")
        .stdin(Stdio::null())
        .output()?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let checks = report["checks"].as_array().ok_or("no checks")?;
    let verdict = |check: &Value| {
        let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
        (text("check"), text("verdict"))
    };
    let found: Vec<_> = checks.iter().map(verdict).filter(|(_, verdict)| verdict != "ok").collect();
    let told = found.iter().map(|(name, verdict)| format!("{name} {verdict}")).collect::<Vec<_>>();
    figures.carried = Carried::Verdicts(match told.is_empty() {
        true => "all ok".into(),
        false => told.join(", "),
    });
    let expected: Vec<_> = obstacles(proxy)
        .iter()
        .map(|(name, verdict)| ((*name).to_owned(), (*verdict).to_owned()))
        .collect();
    let missing = expected.iter().find(|check| !found.contains(check));
    let surplus = found.iter().find(|check| !expected.contains(check));
    match (missing, surplus, output.status.code()) {
        (None, None, Some(0)) => Ok(()),
        _ => {
            Err(format!("{found:?} instead of {expected:?}, {}: {report:#}", output.status).into())
        }
    }
}
