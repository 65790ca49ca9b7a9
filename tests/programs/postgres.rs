//! PostgreSQL under pgbench, which is as sensitive to round trips as any program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::stage::{Carries, Stage};
use crate::table::Figure;
use crate::{Result, Size};

const PORT: u16 = 5432;
/// Connections at once.
const CLIENTS: u64 = 8;
/// Debian has the server's programs in a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// The server does not run as root.
const USER: [&str; 3] = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"];

pub fn run(stage: &mut Stage, size: Size) -> Result<Vec<Figure>> {
    let transactions: u64 = size.pick(150, 1_000);
    let programs = programs()?;
    let data = stage.path("data");
    fs::create_dir(&data)?;
    stage.run(stage.on_pc("chown").arg("nobody:nogroup").arg(&data))?;
    let mut initdb = as_user(stage, &programs.join("initdb"));
    initdb.args(["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "-D"]).arg(&data);
    stage.run(&mut initdb)?;
    fs::write(data.join("pg_hba.conf"), "host all all 0.0.0.0/0 trust\n")?;
    let mut server = as_user(stage, &programs.join("postgres"));
    server.arg("-D").arg(&data).args(["-p", &PORT.to_string()]);
    for setting in ["listen_addresses=0.0.0.0", "unix_socket_directories=", "fsync=off"] {
        server.args(["-c", setting]);
    }
    stage.serve("postgres", server, PORT)?;
    let door = stage.door(PORT, Carries::Streams)?;
    let pgbench = |stage: &Stage, args: &[&str]| {
        let mut command = stage.on_phone("pgbench");
        command.args(["-h", &door.ip().to_string(), "-p", &door.port().to_string()]);
        command.args(["-U", "postgres"]).args(args).arg("postgres");
        command
    };
    // The server takes connections some time before it takes clients.
    let asks = format!("pg_isready -t 30 -h 127.0.0.1 -p {PORT}");
    stage.run(stage.on_pc("sh").args(["-c", &format!("until {asks}; do sleep 0.1; done")]))?;

    stage.run(&mut pgbench(stage, &["-i", "-q", "-s", "8"]))?;
    let clients = CLIENTS.to_string();
    let count = transactions.to_string();
    let args = ["-n", "-c", &clients, "-j", "2", "-t", &count];
    // A transaction's seven statements and their answers have more octets than these in any case.
    let done = stage.carry(&mut pgbench(stage, &args), CLIENTS * transactions * 500)?;
    let rate = done.text.lines().find_map(|line| line.strip_prefix("tps = "));
    let rate = rate.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    let value = rate.ok_or_else(|| format!("no rate in {}", done.text))?;
    check(stage, CLIENTS * transactions)?;
    Ok(vec![Figure { what: "pgbench on 8 connections", value, unit: "transactions/s" }])
}

/// Fails unless the database has each transaction once, and its sums agree.
fn check(stage: &mut Stage, transactions: u64) -> Result<()> {
    let query = "select (select count(*) from pgbench_history), \
         (select sum(delta) from pgbench_history) = (select sum(abalance) from pgbench_accounts) \
         and (select sum(tbalance) from pgbench_tellers) = (select sum(bbalance) from pgbench_branches)";
    let mut psql = stage.on_pc("psql");
    psql.args(["-h", "127.0.0.1", "-p", &PORT.to_string(), "-U", "postgres", "-AtX", "-c", query]);
    let answer = stage.run(&mut psql)?;
    if answer.trim() == format!("{transactions}|t") {
        return Ok(());
    }
    Err(format!("{transactions} transactions, and the database has {answer}").into())
}

/// Whether the newest server has a program of that name.
pub fn is_there(program: &str) -> bool {
    programs().is_ok_and(|folder| folder.join(program).is_file())
}

/// The folder of the newest server.
fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir(VERSIONS).map_err(|error| format!("{VERSIONS}: {error}"))?;
    let mut folders: Vec<_> = versions.flatten().map(|entry| entry.path().join("bin")).collect();
    folders.retain(|folder| folder.join("initdb").is_file());
    folders.sort();
    Ok(folders.pop().ok_or_else(|| format!("no initdb below {VERSIONS}"))?)
}

/// A program on the PC that is not root's.
fn as_user(stage: &Stage, program: &Path) -> Command {
    let mut command = stage.on_pc("setpriv");
    command.args(USER).arg(program);
    command
}
