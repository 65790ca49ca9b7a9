//! rsync of many small files to its daemon.

use std::fs;

use crate::files;
use crate::stage::{Carries, Stage};
use crate::table::Figure;
use crate::{Result, Size};

const PORT: u16 = 8730;
/// Many files, and so small that the octets about them count, too.
const FILES: usize = 5_000;
const OCTETS: usize = 3_000;
/// Files of a folder.
const FOLDER: usize = 100;

pub fn run(stage: &mut Stage, _size: Size) -> Result<Vec<Figure>> {
    let (from, to) = (stage.path("from"), stage.path("to"));
    fs::create_dir(&to)?;
    let name = |n: usize| format!("{}/{n}", n / FOLDER);
    for n in 0..FILES {
        if n % FOLDER == 0 {
            fs::create_dir_all(from.join((n / FOLDER).to_string()))?;
        }
        files::write(&from.join(name(n)), n as u64, OCTETS)?;
    }
    let settings = format!(
        "use chroot = no\nuid = root\ngid = root\n[to]\npath = {}\nread only = no\n",
        to.display()
    );
    fs::write(stage.path("rsyncd.conf"), settings)?;
    let mut daemon = stage.on_pc("rsync");
    daemon.args(["--daemon", "--no-detach", "--log-file=/dev/stderr"]);
    daemon.args([&format!("--port={PORT}"), "--config=rsyncd.conf"]);
    stage.serve("rsyncd", daemon, PORT)?;
    let door = stage.door(PORT, Carries::Streams)?;

    let url = format!("rsync://{door}/to/");
    let args = ["-a", "--stats", "from/", &url];
    let total = (FILES * OCTETS) as u64;
    let done = stage.carry(stage.on_phone("rsync").args(args), total / 2)?;
    for n in 0..FILES {
        files::compare(&from.join(name(n)), &to.join(name(n)))?;
    }
    let again = stage.run(stage.on_phone("rsync").args(args))?;
    if !again.contains("Number of regular files transferred: 0\n") {
        return Err(format!("a second run transfers files again: {again}").into());
    }
    let value = FILES as f64 / done.seconds;
    Ok(vec![Figure { what: "5,000 files of 3 kB", value, unit: "files/s" }])
}
