//! Whether the park under way waits on a path that is gone: then a send tells the relay to end it
//! (WAKE), and if no end comes in time the park is broken.

use crate::trace::debug;

/// Doubt about the park under way. All zeros: none.
///
/// ```text
///          doubt            tells (WAKE is planned)     is_due: the park is broken
///  None ─────────▶ Doubted ─────────────────────▶ Due ─────────────────────────▶ None
///                     ▲                            │ ▲ └─ told: the time begins anew
///                     └─ the send that told failed ┘ │
///  None ──────────── tells ──────────────────────────┘
///  any ── the park is over ──▶ None
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)] // for zeros at first
pub enum ParkDoubt {
    None = 0,
    /// The next send tells the relay to end the park.
    Doubted,
    /// A send tells so, and the park must have ended at this time.
    Due(u64),
}

impl ParkDoubt {
    /// The path of the park under way may be gone.
    pub fn doubt(&mut self) {
        if *self == Self::None {
            debug!("the path of the park may be gone: the next send has the relay end it");
            *self = Self::Doubted;
        }
    }

    /// Whether the next send is to tell the relay, if there is reason to: `talks` is another one.
    pub fn is_to_tell(self, talks: bool) -> bool {
        match self {
            Self::None => talks,
            Self::Doubted => true,
            Self::Due(_) => false,
        }
    }

    /// The send that begins tells the relay: the park ends before `at`.
    pub fn tells(&mut self, at: u64) {
        *self = Self::Due(at);
    }

    /// The send that tells has gone up only now: the park ends before `at`.
    pub fn told(&mut self, at: u64) {
        if let Self::Due(_) = self {
            *self = Self::Due(at);
        }
    }

    /// The send that tells failed: the relay was perhaps not told. The next send does.
    pub fn was_not_told(&mut self) {
        if let Self::Due(_) = self {
            debug!("the relay was perhaps not told to end the park: the next send says so");
            *self = Self::Doubted;
        }
    }

    /// When the park must have ended.
    pub fn due(self) -> Option<u64> {
        match self {
            Self::Due(at) => Some(at),
            Self::None | Self::Doubted => None,
        }
    }

    /// Whether the park must have ended by now. That is said once.
    pub fn is_due(&mut self, now: u64) -> bool {
        let is_due = matches!(*self, Self::Due(at) if now >= at);
        if is_due {
            debug!("the park did not end as the relay was told: its path is gone");
            *self = Self::None;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_park_that_the_relay_was_told_to_end_is_due_once() {
        let mut doubt = ParkDoubt::None;
        assert!(!doubt.is_to_tell(false) && doubt.is_to_tell(true));
        doubt.doubt();
        assert!(doubt.is_to_tell(false));
        doubt.tells(0);
        doubt.told(2_000);
        assert!(!doubt.is_to_tell(true) && !doubt.is_due(1_999));
        assert!(doubt.is_due(2_000) && !doubt.is_due(2_000));
        doubt.told(3_000);
        assert_eq!(doubt, ParkDoubt::None);
    }

    #[test]
    fn a_send_that_failed_tells_again() {
        let mut doubt = ParkDoubt::None;
        doubt.was_not_told();
        assert_eq!(doubt, ParkDoubt::None);
        doubt.tells(5);
        doubt.was_not_told();
        assert_eq!(doubt, ParkDoubt::Doubted);
    }
}
