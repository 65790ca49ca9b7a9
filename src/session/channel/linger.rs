//! How long a channel rides out silence: it ends when something is outstanding and nothing was heard
//! of its peer for its linger time.

use super::ChannelRecord;
use crate::session::deadline::Deadline;
use crate::session::mode::Mode;

impl ChannelRecord {
    /// How long silence is borne, in ms.
    pub const fn linger_ms(&self) -> u32 {
        self.linger_ms
    }

    /// When silence ends the channel.
    pub const fn lingers_until(&self) -> Deadline {
        self.quiet_since.plus(self.linger_ms)
    }

    /// Whether nothing is outstanding.
    pub const fn is_idle(&self) -> bool {
        !self.quiet_since.is_set()
    }

    /// Whether something has been outstanding for `ms`, and nothing was heard.
    pub fn is_quiet_for(&self, now: u64, ms: u32) -> bool {
        self.quiet_since.plus(ms).is_due(now)
    }

    /// Starts or stops the linger and probe timers, as something is outstanding or not.
    pub fn watch<M: Mode>(&mut self, now: u64, rto: u64) {
        if !self.is_outstanding::<M>() {
            self.quiet_since = Deadline::NONE;
            return self.prober.stop();
        }
        if self.is_idle() {
            self.quiet_since = Deadline::at(now);
        }
        self.prober.run(now, rto);
    }

    /// Something was heard: silence begins anew, if anything is still outstanding.
    pub(super) fn break_silence(&mut self) {
        self.quiet_since = Deadline::NONE;
    }

    /// A connection that waits to be accepted, or was dropped with bytes to be sent, is given up
    /// after the linger time, too.
    pub(super) fn give_up_at_linger(&mut self, now: u64) {
        self.give_up_at = Deadline::at(now + u64::from(self.linger_ms));
    }
}
