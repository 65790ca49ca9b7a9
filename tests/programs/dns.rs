//! DNS by datagrams: dnsmasq, asked by dig, many at once.

use crate::stage::{Carries, Stage};
use crate::table::Figure;
use crate::{Result, Size};

const PORT: u16 = 5300;
/// Questions that are asked at once.
const AT_ONCE: u32 = 50;

pub fn run(stage: &mut Stage, size: Size) -> Result<Vec<Figure>> {
    let questions: u32 = size.pick(300, 1_000);
    let mut server = stage.on_pc("dnsmasq");
    server.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"]);
    server.args(["--user=root", "--pid-file=", &format!("--port={PORT}")]);
    for n in 0..questions {
        server.arg(format!("--host-record={},{}", name(n), address(n)));
    }
    stage.serve("dnsmasq", server, PORT)?;
    let door = stage.door(PORT, Carries::Datagrams)?;

    let (host, port) = (door.ip(), door.port());
    let asks = format!("xargs -P {AT_ONCE} -n 1 dig @{host} -p {port} +noall +answer");
    let names: Vec<_> = (0..questions).map(name).collect();
    std::fs::write(stage.path("names"), names.join("\n"))?;
    // A question and its answer have more octets than these in any case.
    let middle = u64::from(questions) * 100 / 2;
    let mut shell = stage.on_phone("sh");
    let done = stage.carry(shell.args(["-c", &format!("{asks} <names")]), middle)?;
    for n in 0..questions {
        let (asked, answer) = (format!("{}.", name(n)), address(n));
        let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let mut lines = done.text.lines().map(fields);
        if !lines.any(|line| line.first() == Some(&asked) && line.last() == Some(&answer)) {
            return Err(format!("no answer {answer} for {asked} in {}", done.text).into());
        }
    }
    let value = f64::from(questions) / done.seconds;
    Ok(vec![Figure { what: "dig, 50 at once", value, unit: "answers/s" }])
}

fn name(n: u32) -> String {
    format!("n{n}.example")
}

/// An address of its own for each name.
fn address(n: u32) -> String {
    format!("10.20.{}.{}", n / 250, n % 250)
}
