//! A time that may be unset, in eight octets that are all zeros then.

use core::num::NonZeroU64;

/// A time in ms, or none. All zeros: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deadline(Option<NonZeroU64>);

impl Deadline {
    /// No time.
    pub const NONE: Self = Self(None);

    /// The time `ms`; the last one of a clock stands for the one before.
    pub const fn at(ms: u64) -> Self {
        Self(NonZeroU64::new(ms.saturating_add(1)))
    }

    /// The time in ms, if there is one.
    pub const fn get(self) -> Option<u64> {
        match self.0 {
            Some(after) => Some(after.get() - 1),
            None => None,
        }
    }

    /// Whether there is a time.
    pub const fn is_set(self) -> bool {
        self.0.is_some()
    }

    /// Whether there is a time, and `now` has reached it.
    pub const fn is_due(self, now: u64) -> bool {
        match self.0 {
            Some(after) => now >= after.get() - 1,
            None => false,
        }
    }
}
