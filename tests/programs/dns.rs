//! DNS by UDP: dnsmasq, asked by dig.

use std::fs;

use crate::stage::Stage;
use crate::table::Figure;
use crate::{Result, Size};

const PORT: u16 = 5353;

pub fn run(stage: &mut Stage, size: Size) -> Result<Vec<Figure>> {
    let names: usize = size.pick(2_000, 10_000);
    let mut settings = String::from("no-resolv\nno-hosts\nno-daemon\ncache-size=0\nuser=root\n");
    settings.push_str(&format!("port={PORT}\npid-file=\n"));
    let mut questions = String::new();
    for n in 0..names {
        settings.push_str(&format!("address=/host-{n}.example/{}\n", address(n)));
        questions.push_str(&format!("host-{n}.example A\n"));
    }
    fs::write(stage.path("dnsmasq.conf"), settings)?;
    fs::write(stage.path("questions"), questions)?;
    let mut server = stage.on_pc("dnsmasq");
    // dnsmasq takes TCP at the same port, by which its start is seen.
    server.arg("-C").arg(stage.path("dnsmasq.conf"));
    stage.serve("dnsmasq", server, PORT)?;
    let door = stage.door_of_datagrams(PORT)?;

    let mut dig = stage.on_phone("dig");
    dig.args([&format!("@{}", door.ip()), "-p", &door.port().to_string()]);
    // A datagram may be lost with the relay: dig asks again, as every resolver does.
    dig.args(["+short", "+notcp", "+time=5", "+tries=5", "-f"]).arg(stage.path("questions"));
    // A question and its answer have more octets than these 64 in any case.
    let done = stage.carry(&mut dig, names as u64 * 64 / 2)?;
    let answers: Vec<_> = done.text.lines().collect();
    let expected: Vec<_> = (0..names).map(address).collect();
    if answers != expected {
        return Err(format!("{} answers for {names} questions, or wrong", answers.len()).into());
    }
    let value = names as f64 / done.seconds;
    Ok(vec![Figure { what: "questions one after another", value, unit: "answers/s" }])
}

/// The address of a host by its number.
fn address(n: usize) -> String {
    format!("10.77.{}.{}", n / 250, n % 250)
}
