//! OpenSSH: a login, and files by scp, through a ProxyCommand and through a forward.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use crate::files;
use crate::stage::{Carries, Stage, Way};
use crate::table::Figure;
use crate::{Result, Size, parts};

const PORT: u16 = 2022;
/// OpenSSH's privilege separation wants this folder, which Debian's service makes at its start.
const RUN: &str = "/run/sshd";

pub fn run(stage: &mut Stage, size: Size) -> Result<Vec<Figure>> {
    let octets: usize = size.pick(64 << 20, 256 << 20);
    serve(stage)?;
    let door = stage.door(PORT, Carries::Streams)?;
    let sent = stage.path("sent");
    files::write(&sent, 1, octets)?;

    let greeting = stage.run(client(stage, "ssh", door, false).args(["root@pc", "echo hello"]))?;
    if greeting != "hello\n" {
        return Err(format!("the login says {greeting:?}").into());
    }
    let mut figures = Vec::new();
    for (what, by_command) in [("scp by a forward", false), ("scp by a ProxyCommand", true)] {
        let arrived = stage.path(if by_command { "by-command" } else { "by-forward" });
        let mut scp = client(stage, "scp", door, by_command);
        scp.arg(&sent).arg(format!("root@pc:{}", arrived.display()));
        let done = stage.carry(&mut scp, octets as u64 / 2)?;
        files::compare(&sent, &arrived)?;
        figures.push(Figure::rate(what, octets as u64, done.seconds));
    }
    Ok(figures)
}

/// Starts sshd with keys and settings of its own.
fn serve(stage: &mut Stage) -> Result<()> {
    fs::create_dir_all(RUN)?;
    for key in ["host-key", "user-key"] {
        let path = stage.path(key);
        stage.run(
            stage.on_pc("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path),
        )?;
    }
    let host_key = fs::read_to_string(stage.path("host-key.pub"))?;
    fs::write(stage.path("known-hosts"), format!("pc {host_key}"))?;
    let [key, user] = ["host-key", "user-key.pub"].map(|name| stage.path(name));
    let settings = format!(
        "Port {PORT}\nListenAddress 0.0.0.0\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\n\
         UsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nPidFile none\n\
         Subsystem sftp internal-sftp\n",
        key.display(),
        user.display(),
    );
    fs::write(stage.path("sshd-config"), settings)?;
    // sshd wants its own path, by which it runs itself for each connection.
    let mut sshd = stage.on_pc("/usr/sbin/sshd");
    sshd.args(["-D", "-e", "-f"]).arg(stage.path("sshd-config"));
    stage.serve("sshd", sshd, PORT)
}

/// The program `ssh` or `scp`, which knows its server by the server's key.
fn client(stage: &Stage, program: &str, door: SocketAddr, by_command: bool) -> Command {
    let mut command = stage.on_phone(program);
    command.args(["-q", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]);
    command.arg("-o").arg(format!("IdentityFile={}", stage.path("user-key").display()));
    command.arg("-o").arg(format!("UserKnownHostsFile={}", stage.path("known-hosts").display()));
    command.args(["-o", "StrictHostKeyChecking=yes", "-o", "HostKeyAlias=pc"]);
    if by_command && stage.way() != Way::Direct {
        let byway = parts::byway();
        command.arg("-o").arg(format!("ProxyCommand='{byway}' connect %h:{PORT}"));
    } else {
        command.arg("-o").arg(format!("HostName={}", door.ip()));
        command.arg("-o").arg(format!("Port={}", door.port()));
    }
    command
}
