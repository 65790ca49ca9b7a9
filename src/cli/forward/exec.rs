//! Commands for channels: one process group for each, its stdin and stdout one end of a socket pair.

use std::io;
use std::mem;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use byway::Endpoint;
use byway::client::Stream;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tracing::{debug, warn};

use super::carry;
use crate::cli::local::LocalSocket;
use crate::cli::signals;
use crate::cli::splice::STACK;

/// How long a command whose channel broke off may take to end by itself after SIGHUP.
const GRACE: Duration = Duration::from_secs(5);

/// How long all commands may take that when this process ends: a user waits for that.
const PARTING: Duration = Duration::from_secs(1);

/// How often it is looked whether the last of them is gone.
const LOOK: Duration = Duration::from_millis(20);

/// What commands do not inherit: what lets this process in at the relay and through its proxy, and what is between
/// it and its service manager.
const KEPT: [&str; 7] = [
    "BYWAY_TOKEN",
    "BYWAY_OWNER",
    "BYWAY_PROXY",
    "BYWAY_HEADERS",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
];

/// The commands that run.
static RUNNING: Running = Running(Mutex::new(Groups::Open(Vec::new())));

/// The process groups of commands. The number of a group is its own until its command is waited for, which a
/// thread does only after it has taken the number out of here.
struct Running(Mutex<Groups>);

enum Groups {
    Open(Vec<Pid>),
    /// This process ends: no command begins any more.
    Ending(Vec<Pid>),
}

impl Groups {
    fn all(&mut self) -> &mut Vec<Pid> {
        match self {
            Self::Open(groups) | Self::Ending(groups) => groups,
        }
    }
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, Groups> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a command, unless this process is ending.
    fn start(&self, command: &mut Command) -> io::Result<(Child, Pid)> {
        static END: Once = Once::new();
        END.call_once(|| signals::at_end(|| RUNNING.end_all()));
        match &mut *self.lock() {
            Groups::Ending(_) => Err(io::Error::other("this process ends")),
            Groups::Open(groups) => {
                let child = command.spawn()?;
                let group = Pid::from_child(&child);
                groups.push(group);
                Ok((child, group))
            }
        }
    }

    /// Sends a signal to a command's group, if the command was not waited for.
    fn signal(&self, group: Pid, signal: Signal) {
        if self.lock().all().contains(&group) {
            send(group, signal);
        }
    }

    fn remove(&self, group: Pid) {
        self.lock().all().retain(|other| *other != group);
    }

    /// Ends all commands, by force if they do not end soon. No command begins after that.
    fn end_all(&self) {
        let mut groups = self.lock();
        let all = mem::take(groups.all());
        all.iter().for_each(|group| send(*group, Signal::HUP));
        *groups = Groups::Ending(all);
        drop(groups);
        let until = Instant::now() + PARTING;
        while !self.lock().all().is_empty() && Instant::now() < until {
            thread::sleep(LOOK);
        }
        self.lock().all().iter().for_each(|group| send(*group, Signal::KILL));
    }
}

fn send(group: Pid, signal: Signal) {
    // A failure means that the group is gone.
    let _ = kill_process_group(group, signal);
}

/// Runs the command for a channel. Its exit ends the channel, also where processes that it leaves behind hold its
/// stdout. The channel's end is the end of its stdin; when the channel breaks off, the command's process group
/// gets SIGHUP, and SIGKILL if it does not end within [`GRACE`].
pub fn serve(command: &str, endpoint: Endpoint, stream: &Stream) -> io::Result<()> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).process_group(0);
    shell.stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)));
    shell.stdout(Stdio::from(OwnedFd::from(theirs)));
    KEPT.iter().for_each(|name| {
        shell.env_remove(name);
    });
    shell.env("BYWAY_ENDPOINT", endpoint.to_string());
    match stream.peer_key() {
        Ok(Some(key)) => shell.env("BYWAY_PEER_KEY", key.to_string()),
        Ok(None) | Err(_) => shell.env_remove("BYWAY_PEER_KEY"),
    };
    let (exits, exited) = mpsc::channel();
    let (begins, begun) = mpsc::channel();
    let end = ours.try_clone()?;
    // The thread is there before the command, so that no command runs which nobody waits for.
    let told = command.to_owned();
    let waits = thread::Builder::new().stack_size(STACK).spawn(move || {
        if let Ok((child, group)) = begun.recv() {
            reap(child, group, &end, &told);
            let _ = exits.send(());
        }
    });
    let started = waits.and_then(|_| RUNNING.start(&mut shell));
    let (child, group) = started.inspect_err(|error| warn!("cannot run {command}: {error}"))?;
    // The thread is there until it hears of the command.
    let _ = begins.send((child, group));
    // The command's end of the pair is the command's alone.
    drop(shell);
    let socket = LocalSocket::Child(ours);
    let carried = carry(&socket, stream);
    // The end of its stdin, where the splice has not given it.
    drop(socket);
    if carried.is_err() {
        RUNNING.signal(group, Signal::HUP);
        if let Err(RecvTimeoutError::Timeout) = exited.recv_timeout(GRACE) {
            RUNNING.signal(group, Signal::KILL);
        }
    }
    carried
}

/// Waits for the end of a command, and ends the socket pair then: what the command wrote is still read.
fn reap(mut child: Child, group: Pid, end: &UnixStream, command: &str) {
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(Errno::INTR) = waitid(WaitId::Pid(group), ended) {}
    // A failure means that the other end is closed.
    let _ = end.shutdown(Shutdown::Both);
    RUNNING.remove(group);
    match child.wait() {
        Ok(status) if status.success() => debug!("a command has ended: {status}"),
        Ok(status) => warn!("{command} has failed, which its peer is not told: {status}"),
        Err(error) => warn!("cannot wait for a command: {error}"),
    }
}
