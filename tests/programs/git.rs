//! git: a clone from its daemon, checked whole.

use std::fs;

use crate::pattern::Pattern;
use crate::stage::{Carries, Stage};
use crate::table::Figure;
use crate::{Result, Size};

const PORT: u16 = 9418;
/// Octets of a file, which differs in each commit and does not compress.
const OCTETS: usize = 64 << 10;

pub fn run(stage: &mut Stage, size: Size) -> Result<Vec<Figure>> {
    let commits: usize = size.pick(400, 2_000);
    fs::write(stage.path("commits"), history(commits))?;
    // The shell is for the redirection alone.
    let make = "git init -q --bare repository && git -C repository fast-import --quiet <commits";
    stage.run(stage.on_pc("sh").args(["-c", make]))?;
    let mut daemon = stage.on_pc("git");
    daemon.args(["daemon", "--export-all", "--reuseaddr", "--base-path=."]);
    daemon.args([&format!("--port={PORT}"), "--listen=0.0.0.0", "."]);
    stage.serve("git", daemon, PORT)?;
    let door = stage.door(PORT, Carries::Streams)?;

    let octets = (commits * OCTETS) as u64;
    let url = format!("git://{door}/repository");
    let mut clone = stage.on_phone("git");
    let done =
        stage.carry(clone.args(["clone", "-q", "--branch=main", &url, "clone"]), octets / 2)?;
    stage.run(stage.on_phone("git").args(["-C", "clone", "fsck", "--full", "--strict"]))?;
    let head = |folder| ["-C", folder, "rev-parse", "main"];
    let there = stage.run(stage.on_pc("git").args(head("repository")))?;
    let here = stage.run(stage.on_phone("git").args(head("clone")))?;
    if there != here {
        return Err(format!("the clone is at {here}, and the repository at {there}").into());
    }
    Ok(vec![Figure::rate("clone from a daemon", octets, done.seconds)])
}

/// Commits for `git fast-import`.
fn history(commits: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut content = vec![0; OCTETS];
    for n in 0..commits {
        Pattern::new(n as u64, 0, 0).fill(0, &mut content);
        let head = format!(
            "commit refs/heads/main\ncommitter byway <byway@example.org> {n} +0000\ndata 0\n\
             M 644 inline {n}\ndata {OCTETS}\n"
        );
        stream.extend_from_slice(head.as_bytes());
        stream.extend_from_slice(&content);
        stream.push(b'\n');
    }
    stream
}
