//! The messages that set a channel up or end it are repeated until they are answered: CONNECT_REQ,
//! ACCEPT_RSP, CLOSE_REQ.

use super::ChannelRecord;
use crate::session::deadline::Deadline;

impl ChannelRecord {
    /// When the message that sets the channel up or ends it is due.
    pub const fn repeats_at(&self) -> Deadline {
        self.repeat_at
    }

    /// There is such a message from now on.
    pub(super) fn begin_repeats(&mut self, now: u64) {
        self.repeats = 0;
        self.repeat_at = Deadline::at(now);
    }

    /// The message is due at once.
    pub(super) fn repeat_now(&mut self, now: u64) {
        self.repeat_at = Deadline::at(now);
    }

    /// The message did not get through: if there still is one, it is due at once.
    pub fn repeat_failed(&mut self, now: u64) {
        if self.repeat_at.is_set() {
            self.repeat_at = Deadline::at(now);
        }
    }

    /// A send has the message: it goes again after a pause of `least` ms, which doubles up to `most`.
    pub fn repeated(&mut self, now: u64, least: u32, most: u32) {
        let pause = least << self.repeats.min(6);
        self.repeat_at = Deadline::at(now + u64::from(pause.min(most)));
        self.repeats = self.repeats.saturating_add(1);
    }

    /// The message was answered, or there is none any more.
    pub(super) fn end_repeats(&mut self) {
        self.repeat_at = Deadline::NONE;
    }
}
