//! A process of the command at a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::process::{DEADLINE, command};

/// A process whose stdin, stdout and stderr are a terminal, killed when dropped.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    /// What was shown, and was not looked for yet.
    shown: String,
}

impl Terminal {
    pub fn start<const N: usize>(args: [&str; N]) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).expect("granted");
        unlockpt(&ours).expect("unlocked");
        let name = ptsname(&ours, Vec::new()).expect("a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs = rustix::fs::open(&*name, flags, Mode::empty()).expect("opened");
        let end = || theirs.try_clone().expect("another handle");
        let mut command = command();
        let child = command.args(args).stdin(end()).stdout(end()).stderr(end()).spawn();
        let screen = shown_on(ours.try_clone().expect("another handle"));
        let child = child.expect("byway starts");
        Self { child, keyboard: ours.into(), screen, shown: String::new() }
    }

    /// Waits for a text on the screen.
    fn wait(&mut self, text: &str) {
        loop {
            if let Some(at) = self.shown.find(text) {
                self.shown.drain(..at + text.len());
                return;
            }
            match self.screen.recv_timeout(DEADLINE) {
                Ok(octets) => self.shown += &String::from_utf8_lossy(&octets),
                Err(error) => panic!("{error} before {text:?}: {:?}", self.shown),
            }
        }
    }

    /// Waits for a question, and types the answer.
    pub fn answer(&mut self, question: &str, answer: &str) {
        self.wait(question);
        writeln!(self.keyboard, "{answer}").expect("typed");
    }

    /// Waits for the last line and the end.
    pub fn end(mut self, code: i32, line: &str) {
        self.wait(line);
        let status = self.child.wait().expect("waited for");
        assert_eq!(status.code(), Some(code), "{:?}", self.shown);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is shown, until no process has the terminal any more, which the system tells as an error.
fn shown_on(terminal: OwnedFd) -> Receiver<Vec<u8>> {
    let (give, screen) = mpsc::channel();
    let mut terminal = File::from(terminal);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = terminal.read(&mut buffer) {
            if give.send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    screen
}
