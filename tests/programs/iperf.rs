//! iperf3 on four connections, each way.

use serde_json::Value;

use crate::stage::{Carries, Stage};
use crate::table::Figure;
use crate::{Result, Size};

const PORT: u16 = 5201;

pub fn run(stage: &mut Stage, size: Size) -> Result<Vec<Figure>> {
    let octets: u64 = size.pick(128 << 20, 512 << 20);
    let mut server = stage.on_pc("iperf3");
    server.args(["-s", "-p", &PORT.to_string()]);
    stage.serve("iperf3", server, PORT)?;
    let door = stage.door(PORT, Carries::Streams)?;
    let mut figures = Vec::new();
    for (what, way) in [("four connections up", None), ("four connections down", Some("-R"))] {
        let mut client = stage.on_phone("iperf3");
        client.args(["-c", &door.ip().to_string(), "-p", &door.port().to_string()]);
        client.args(["-P", "4", "-J", "-n", &octets.to_string()]).args(way);
        let done = stage.carry(&mut client, octets / 2)?;
        let report: Value = serde_json::from_str(&done.text)?;
        if let Some(error) = report.get("error") {
            return Err(format!("iperf3 says {error}").into());
        }
        let rate = report["end"]["sum_received"]["bits_per_second"].as_f64();
        let value = rate.ok_or("iperf3 gives no rate")? / 8e6;
        figures.push(Figure { what, value, unit: "MB/s" });
    }
    Ok(figures)
}
