//! How long a channel rides out silence: it ends when something is outstanding and nothing was heard
//! of its peer for as long as that.

use crate::session::deadline::Deadline;

/// The linger timer of a channel. All zeros is the initial state.
#[derive(Debug)]
#[repr(C)]
pub struct Linger {
    /// How long silence is borne, in ms.
    ms: u32,
    /// Since when something is outstanding and nothing was heard.
    quiet_since: Deadline,
}

impl Linger {
    pub const fn new() -> Self {
        Self { ms: 0, quiet_since: Deadline::NONE }
    }

    /// How long silence is borne, in ms.
    pub const fn ms(&self) -> u32 {
        self.ms
    }

    /// Silence is borne for so long, in ms.
    pub fn bear(&mut self, ms: u32) {
        self.ms = ms;
    }

    /// Something is outstanding: the timer runs.
    pub fn run(&mut self, now: u64) {
        if !self.quiet_since.is_set() {
            self.quiet_since = Deadline::at(now);
        }
    }

    /// Something was heard, or nothing is outstanding: the timer stops.
    pub fn stop(&mut self) {
        self.quiet_since = Deadline::NONE;
    }

    /// Whether nothing is outstanding.
    pub const fn is_idle(&self) -> bool {
        !self.quiet_since.is_set()
    }

    /// Whether something has been outstanding for `ms`, and nothing was heard.
    pub fn is_quiet_for(&self, now: u64, ms: u64) -> bool {
        self.quiet_since.get().is_some_and(|since| now >= since + ms)
    }

    /// When silence ends the channel.
    pub fn at(&self) -> Deadline {
        self.quiet_since
            .get()
            .map_or(Deadline::NONE, |since| Deadline::at(since + u64::from(self.ms)))
    }
}
