//! Little data that wait for more: an exchange of their own would keep what follows from going.

/// Whether little data wait for more. All zeros: none do.
///
/// ```text
///           waits             is_due            waits: the data go
///   None ─────────▶ Until(t) ────────▶ Waited ─────────────────────▶ None
///     ▲                │ waits: there is more, or no reason any more
///     └────────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)] // for zeros at first
pub enum LittleData {
    None = 0,
    /// They wait until this time.
    Until(u64),
    /// They have waited, and go with the next exchange.
    Waited,
}

impl LittleData {
    /// Whether the data that there are to send wait: for `wait_ms` at most, if they are little.
    pub fn waits(&mut self, now: u64, wait_ms: Option<u32>) -> bool {
        *self = match (*self, wait_ms) {
            (Self::None, Some(ms)) => Self::Until(now + u64::from(ms)),
            (Self::Until(at), Some(_)) if now < at => Self::Until(at),
            (Self::None | Self::Until(_) | Self::Waited, _) => Self::None,
        };
        *self != Self::None
    }

    /// Until when they wait.
    pub fn until(self) -> Option<u64> {
        match self {
            Self::Until(at) => Some(at),
            Self::None | Self::Waited => None,
        }
    }

    /// Whether they have waited for long enough. That is said once.
    pub fn is_due(&mut self, now: u64) -> bool {
        let is_due = matches!(*self, Self::Until(at) if now >= at);
        if is_due {
            *self = Self::Waited;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::LittleData;

    #[test]
    fn little_data_wait_once_and_are_due_once() {
        let mut little = LittleData::None;
        assert!(!little.waits(5, None) && little.waits(5, Some(10)) && little.waits(14, Some(10)));
        assert_eq!(little.until(), Some(15));
        assert!(!little.is_due(14) && little.is_due(15) && !little.is_due(16));
        assert!(!little.waits(20, Some(10)), "they go, however late");
        assert!(little.waits(20, Some(10)), "the next wait anew");
        assert!(!little.waits(21, None), "there is more");
        assert!(little.waits(22, Some(10)) && !little.waits(32, Some(10)), "nobody asked");
    }
}
