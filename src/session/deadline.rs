//! A time that may be unset, in eight octets that are all zeros then.

use core::num::NonZeroU64;

/// A time in ms, or none. All zeros: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deadline(Option<NonZeroU64>);

impl Deadline {
    /// No time.
    pub const NONE: Self = Self(None);

    /// The time `ms`; the last one of the clock, which no clock gets to, is none.
    pub const fn at(ms: u64) -> Self {
        Self(NonZeroU64::new(ms.wrapping_add(1)))
    }

    /// The time in ms, if there is one.
    pub const fn get(self) -> Option<u64> {
        match self.0 {
            Some(after) => Some(after.get() - 1),
            None => None,
        }
    }

    /// The time in ms; `u64::MAX`, which no clock gets to, if there is none.
    pub const fn or_never(self) -> u64 {
        match self.0 {
            Some(after) => after.get().wrapping_sub(1),
            None => u64::MAX,
        }
    }

    /// The time `ms` later, if there is one.
    pub const fn plus(self, ms: u32) -> Self {
        match self.0 {
            Some(after) => Self(NonZeroU64::new(after.get().wrapping_add(ms as u64))),
            None => Self::NONE,
        }
    }

    /// Whether there is a time.
    pub const fn is_set(self) -> bool {
        self.0.is_some()
    }

    /// Whether there is a time, and `now` has reached it.
    pub const fn is_due(self, now: u64) -> bool {
        now >= self.or_never()
    }
}

#[cfg(test)]
mod tests {
    use super::Deadline;

    #[test]
    fn time_zero_is_a_time() {
        let zero = Deadline::at(0);
        assert!(zero.is_set() && zero.is_due(0) && !Deadline::NONE.is_due(u64::MAX - 1));
        assert_eq!(zero.get(), Some(0));
        assert_eq!(zero.plus(5).get(), Some(5));
        assert_eq!(Deadline::NONE.plus(5), Deadline::NONE);
    }
}
