//! Programs of this package, and what processes have used.

use std::ffi::OsStr;
use std::ops::AddAssign;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;

use crate::Result;

/// A program of this package, of cargo's `profile` or that of the bench; cargo, if it runs this, builds
/// what `what` names.
pub fn built(program: &str, what: &[&str], profile: Option<&str>) -> Result<PathBuf> {
    // This program is target/release/examples/bench.
    let here = std::env::current_exe()?;
    let built = here.ancestors().nth(2).ok_or("not below cargo's target folder")?;
    let folder = match profile {
        Some(profile) => built.with_file_name(profile),
        None => built.to_owned(),
    };
    let profile = match folder.file_name().and_then(OsStr::to_str) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut cargo = Command::new(cargo);
        // What cargo says of the bench makes build scripts run again, ring's for one.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(&*name);
            }
        }
        cargo.args(["build", "--quiet", "--profile", profile]).args(what);
        if !cargo.status()?.success() {
            return Err(format!("{program} cannot be built").into());
        }
    }
    Ok(folder.join(program))
}

/// The resources that a process has used so far.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Usage {
    pub cpu: Duration,
    /// Octets resident now, those among them that belong to no file, and the most there ever were.
    pub resident: u64,
    pub anonymous: u64,
    pub peak: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.resident += other.resident;
        self.anonymous += other.anonymous;
        self.peak += other.peak;
    }
}

impl Usage {
    pub fn of(process: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        // Behind the name, which may have spaces, the 12th and 13th fields are ticks of 10 ms,
        // those of ended threads included.
        let fields =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
            kib.map_or(0, |kib| kib << 10)
        };
        Ok(Self {
            cpu: Duration::from_millis(10 * ticks),
            resident: field("VmRSS:"),
            anonymous: field("RssAnon:"),
            peak: field("VmHWM:"),
        })
    }
}
