//! How far a transfer is, for people: a bar on a terminal, and a line at the end.

use std::io::IsTerminal;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::names::Shown;
use crate::cli::{QUIET, say};

/// How often the bar is drawn where nothing happens, so that its rate falls.
const TICK: Duration = Duration::from_millis(500);

pub struct Progress {
    bar: ProgressBar,
    start: Instant,
    carried: u64,
    files: u64,
}

impl Progress {
    pub fn new(octets: u64) -> Self {
        let is_shown = std::io::stderr().is_terminal() && !QUIET.load(Relaxed);
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
        Self { bar, start: Instant::now(), carried: 0, files: 0 }
    }

    pub fn file(&mut self, path: &[u8]) {
        if !self.bar.is_hidden() {
            self.bar.set_message(Shown(path).to_string());
        }
    }

    /// So many octets were carried.
    pub fn carried(&mut self, octets: u64) {
        self.carried += octets;
        self.bar.inc(octets);
    }

    /// So many octets were there from before.
    pub fn had(&mut self, octets: u64) {
        self.bar.inc(octets);
    }

    pub fn ended_file(&mut self) {
        self.files += 1;
    }

    pub fn end(&self, what: &str) {
        self.bar.finish_and_clear();
        let (files, carried, taken) = (self.files, self.carried, self.start.elapsed());
        let rate = HumanBytes((carried as f64 / taken.as_secs_f64().max(0.001)) as u64);
        say(format_args!(
            "{what} {files} files; {carried} octets were carried in {:.1} s, {rate}/s",
            taken.as_secs_f64()
        ));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
