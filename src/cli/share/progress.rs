//! How far a transfer is: for people a bar on a terminal, and a line at the end; for programs lines of JSON.

use std::fmt::{self, Display};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use serde_json::json;

use super::names::Shown;
use crate::cli::failure::CommandError;
use crate::cli::stderr::is_quiet;
use crate::cli::{announce, say};

/// How often the bar is drawn where nothing happens, so that its rate falls.
const TICK: Duration = Duration::from_millis(500);

/// How often programs are told.
const EVERY: Duration = Duration::from_secs(1);

/// So many of something, in words.
pub struct Count {
    number: u64,
    /// What one of them is, and what more are.
    one: &'static str,
    more: &'static str,
}

impl Count {
    pub fn files(number: u64) -> Self {
        Self { number, one: "file", more: "files" }
    }

    pub fn folders(number: u64) -> Self {
        Self { number, one: "folder", more: "folders" }
    }

    pub fn files_or_folders(number: u64) -> Self {
        Self { number, one: "file or folder", more: "files or folders" }
    }

    /// What is sent by nobody.
    pub fn special(number: u64) -> Self {
        let (one, more) = ("link, device, socket or pipe", "links, devices, sockets or pipes");
        Self { number, one, more }
    }
}

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, one, more } = self;
        write!(f, "{number} {}", if *number == 1 { one } else { more })
    }
}

/// Whom a transfer is told.
#[derive(Debug, Clone, Copy, Args)]
pub struct Audience {
    /// Tell programs what happens, by lines of JSON on stdout: objects whose "event" is code, progress (once a
    /// second), done or error
    #[arg(long)]
    json: bool,
}

impl Audience {
    /// The code, and the command that is typed at the other side.
    pub fn code(self, code: &str, command: &str) {
        match self.json {
            true => announce(json!({"event": "code", "code": code, "command": command})),
            false => announce(command),
        }
    }

    /// Tells how the command ended; people see the error as ever.
    pub fn result(self, result: &Result<(), CommandError>) {
        if let (true, Err(error)) = (self.json, result) {
            announce(json!({"event": "error", "error": error.to_string()}));
        }
    }
}

pub struct Progress {
    audience: Audience,
    /// When programs were told last.
    told: Instant,
    octets: u64,
    /// Octets that are at the receiver.
    there: u64,
    bar: ProgressBar,
    start: Instant,
    carried: u64,
    files: u64,
}

impl Progress {
    pub fn new(audience: Audience, octets: u64) -> Self {
        let is_shown = !audience.json && std::io::stderr().is_terminal() && !is_quiet();
        let bar = match is_shown {
            true => ProgressBar::with_draw_target(Some(octets), ProgressDrawTarget::stderr()),
            false => ProgressBar::hidden(),
        };
        let line = "{wide_msg} {bytes}/{total_bytes} {binary_bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(line) {
            bar.set_style(style);
        }
        if is_shown {
            bar.enable_steady_tick(TICK);
        }
        let now = Instant::now();
        Self { audience, told: now, octets, there: 0, bar, start: now, carried: 0, files: 0 }
    }

    pub fn file(&mut self, path: &[u8]) {
        if !self.bar.is_hidden() {
            self.bar.set_message(Shown(path).to_string());
        }
    }

    /// So many octets were carried.
    pub fn carried(&mut self, octets: u64) {
        self.carried += octets;
        self.had(octets);
    }

    /// So many octets were there from before.
    pub fn had(&mut self, octets: u64) {
        self.there += octets;
        self.bar.inc(octets);
        if self.audience.json && self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            announce(json!({"event": "progress", "octets": self.there, "total": self.octets}));
        }
    }

    pub fn ended_file(&mut self) {
        self.files += 1;
    }

    pub fn end(&self, what: &str) {
        self.bar.finish_and_clear();
        let (files, carried, taken) = (self.files, self.carried, self.start.elapsed());
        if self.audience.json {
            let seconds = taken.as_secs_f64();
            announce(
                json!({"event": "done", "files": files, "carried": carried, "seconds": seconds}),
            );
        }
        let rate = HumanBytes((carried as f64 / taken.as_secs_f64().max(0.001)) as u64);
        say(format_args!(
            "{what} {}; {carried} octets were carried in {:.1} s, {rate}/s",
            Count::files(files),
            taken.as_secs_f64()
        ));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_told_with_the_right_word() {
        let counts = [Count::files(0), Count::files(1), Count::special(1), Count::special(2)];
        let words = counts.map(|count| count.to_string());
        assert_eq!(words[..2], ["0 files", "1 file"]);
        assert_eq!(words[2], "1 link, device, socket or pipe");
        assert_eq!(words[3], "2 links, devices, sockets or pipes");
    }
}
