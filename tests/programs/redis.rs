//! Redis under its own benchmark, on 50 connections.

use crate::stage::{Carries, Stage};
use crate::table::Figure;
use crate::{Result, Size};

const PORT: u16 = 6379;

pub fn run(stage: &mut Stage, size: Size) -> Result<Vec<Figure>> {
    let requests: u64 = size.pick(40_000, 200_000);
    let mut server = stage.on_pc("redis-server");
    server.args(["--port", &PORT.to_string(), "--bind", "0.0.0.0", "--protected-mode", "no"]);
    server.args(["--save", "", "--appendonly", "no"]);
    stage.serve("redis", server, PORT)?;
    let door = stage.door(PORT, Carries::Streams)?;
    let mut figures = Vec::new();
    for (what, test) in [("SET on 50 connections", "set"), ("GET on 50 connections", "get")] {
        let mut client = stage.on_phone("redis-benchmark");
        client.args(["-h", &door.ip().to_string(), "-p", &door.port().to_string()]);
        client.args(["-c", "50", "-d", "64", "-n", &requests.to_string(), "-t", test, "--csv"]);
        // A request and its answer have more octets than these 64 in any case.
        let done = stage.carry(&mut client, requests * 64 / 2)?;
        let row = done
            .text
            .lines()
            .find(|line| line.starts_with(&format!("\"{}\"", test.to_uppercase())));
        let rate = row.and_then(|row| row.split(',').nth(1)?.trim_matches('"').parse().ok());
        let value = rate.ok_or_else(|| format!("no rate in {:?}", done.text))?;
        figures.push(Figure { what, value, unit: "requests/s" });
        // A request that was lost or doubled on the way shows here.
        let mut asks = stage.on_pc("redis-cli");
        let counts = stage.run(asks.args(["-p", &PORT.to_string(), "info", "commandstats"]))?;
        let calls = format!("cmdstat_{test}:calls={requests},");
        if !counts.contains(&calls) {
            return Err(format!("not {calls} but {counts}").into());
        }
    }
    Ok(figures)
}
