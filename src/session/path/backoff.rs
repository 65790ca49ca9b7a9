//! When a lane asks again after exchanges that got it nowhere.

/// How the last exchanges of a lane ended.
///
/// ```text
///        block           hasten              block
///  Open ───────▶ Blocked ──────▶ Hastened ──────────▶ BlockedAlone
///                   ▲ block_with_other ◀── from any
///  any ── pass ──▶ Open
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LaneRecord {
    /// The last one passed.
    Open = 0,
    /// The last one failed.
    Blocked,
    /// The last one failed, but the other lane got through: this one was let try again at once.
    Hastened,
    /// To try again was in vain: what stands in the way of this lane is not in the other's.
    BlockedAlone,
}

/// So many superseded exchanges in a row are no reason for pauses.
const SUPERSEDED: u8 = 100;

/// The pauses of one lane. All zeros is its initial state.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    record: LaneRecord,
    /// Exchanges in a row that failed, or were answered early with nothing.
    in_vain: u8,
    /// Exchanges in a row that were superseded.
    superseded: u8,
    /// Nothing is asked before this time.
    until: u64,
}

impl Backoff {
    pub const fn new() -> Self {
        Self { record: LaneRecord::Open, in_vain: 0, superseded: 0, until: 0 }
    }

    /// When the pause is over.
    pub fn until(&self) -> u64 {
        self.until
    }

    pub fn wait(&mut self, until: u64) {
        self.until = until;
    }

    /// Whether this lane fails although the other gets through.
    pub fn is_blocked_alone(&self) -> bool {
        self.record == LaneRecord::BlockedAlone
    }

    /// Whether nothing comes of this lane's exchanges although the path is open.
    pub fn is_in_vain(&self) -> bool {
        self.is_blocked_alone() || self.record == LaneRecord::Open && self.in_vain > 1
    }

    /// Whether the last exchange passed.
    pub fn is_open(&self) -> bool {
        self.record == LaneRecord::Open
    }

    /// An exchange failed while the other lane gets through.
    pub fn block(&mut self) {
        self.record = match self.record {
            LaneRecord::Open | LaneRecord::Blocked => LaneRecord::Blocked,
            LaneRecord::Hastened | LaneRecord::BlockedAlone => LaneRecord::BlockedAlone,
        };
    }

    /// Neither lane gets through: the path is to blame, and neither lane alone.
    pub fn block_with_other(&mut self) {
        self.record = LaneRecord::Blocked;
    }

    /// An exchange passed.
    pub fn pass(&mut self) {
        let Self { in_vain, superseded, .. } = *self;
        *self = Self { in_vain, superseded, ..Self::new() };
    }

    /// An exchange passed that was not in vain.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// An exchange was superseded, and brought nothing. Whether too many in a row were: where a proxy
    /// repeats each request, one of many brings what comes.
    pub fn is_superseded_often(&mut self) -> bool {
        self.superseded = self.superseded.saturating_add(1);
        self.superseded > SUPERSEDED
    }

    /// An exchange was in vain. How many in a row were.
    pub fn count(&mut self) -> u8 {
        self.in_vain = self.in_vain.saturating_add(1);
        self.in_vain
    }

    /// The other lane got through: this one need not wait, but only once until it gets through
    /// itself. False if that was in vain.
    pub fn hasten(&mut self) -> bool {
        if self.record == LaneRecord::Blocked {
            self.record = LaneRecord::Hastened;
            self.until = 0;
        }
        !self.is_blocked_alone()
    }
}
