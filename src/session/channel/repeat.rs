//! The messages that set a channel up or end it are repeated until they are answered: CONNECT_REQ,
//! ACCEPT_RSP, CLOSE_REQ.

use crate::session::deadline::Deadline;

/// When such a message goes again. All zeros is the initial state: there is none.
#[derive(Debug)]
#[repr(C)]
pub struct Repeat {
    /// Doublings of the pause.
    backoff: u8,
    at: Deadline,
}

impl Repeat {
    pub const fn new() -> Self {
        Self { backoff: 0, at: Deadline::NONE }
    }

    /// When the message is due.
    pub const fn at(&self) -> Deadline {
        self.at
    }

    /// There is a message to be said from now on.
    pub fn begin(&mut self, now: u64) {
        self.backoff = 0;
        self.at = Deadline::at(now);
    }

    /// The message is due at once.
    pub fn hurry(&mut self, now: u64) {
        self.at = Deadline::at(now);
    }

    /// The message did not get through: if there still is one, it is due at once.
    pub fn failed(&mut self, now: u64) {
        if self.at.is_set() {
            self.at = Deadline::at(now);
        }
    }

    /// A send has the message: it goes again after a pause of `least` ms, which doubles up to `most`.
    pub fn sent(&mut self, now: u64, least: u32, most: u32) {
        let pause = least << self.backoff.min(6);
        self.at = Deadline::at(now + u64::from(pause.min(most)));
        self.backoff = self.backoff.saturating_add(1);
    }

    /// The message was answered, or there is none any more.
    pub fn stop(&mut self) {
        self.at = Deadline::NONE;
    }
}
