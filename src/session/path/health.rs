//! Whether the path is there: what exchanges that passed and failed say of it, taken together.

use crate::error::Blocked;
use crate::wire::Status;

/// A relay that calls so many requests malformed, and none good, cannot read them; one may also have
/// been cut by something on the way.
const MALFORMED_TRIES: u8 = 3;

/// How the last exchange that told something of the path ended.
///
/// ```text
///            fails                     fails (for the same cause: alike)
///  Fine ───────────────▶ Failing ───────────────────────────────────────▶ Failing, told
///   ▲   (told if no relay ever answered,    │                                  │
///   │    or none is to be asked for seconds)│                                  │
///   └───────────── recovers ────────────────┴──────────────────────────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)] // for zeros at first
enum Condition {
    /// Well, or there was none.
    Fine = 0,
    Failing {
        /// The application was told.
        told: bool,
        /// The failure before had the same cause.
        alike: bool,
        cause: Blocked,
    },
}

/// Health of the path. All zeros is the initial state.
#[derive(Debug)]
pub struct Health {
    condition: Condition,
    /// A relay has answered at least once.
    reached: bool,
    /// Requests that the relay called malformed.
    malformed: u8,
}

impl Health {
    pub const fn new() -> Self {
        Self { condition: Condition::Fine, reached: false, malformed: 0 }
    }

    /// Whether a relay has answered at least once.
    pub fn is_reached(&self) -> bool {
        self.reached
    }

    /// What stands in the way; none once an exchange has succeeded.
    pub fn cause(&self) -> Option<Blocked> {
        match self.condition {
            Condition::Fine => None,
            Condition::Failing { cause, .. } => Some(cause),
        }
    }

    /// What stands in the way, if it was met twice in a row and is lasting.
    pub fn lasting_cause(&self) -> Option<Blocked> {
        match self.condition {
            Condition::Failing { cause, alike: true, .. } if cause.is_lasting() => Some(cause),
            Condition::Failing { .. } | Condition::Fine => None,
        }
    }

    /// Whether exchanges fail.
    pub fn is_failing(&self) -> bool {
        self.condition != Condition::Fine
    }

    /// Whether exchanges fail and the application was told.
    pub fn is_told(&self) -> bool {
        matches!(self.condition, Condition::Failing { told: true, .. })
    }

    /// An exchange failed by itself. Whether the application is to be told: a single exchange cut
    /// short is everyday life, a second one is news, and so is a first one that is news `at_once`.
    pub fn fails(&mut self, cause: Blocked, at_once: bool) -> bool {
        let (again, alike, told) = match self.condition {
            Condition::Fine => (false, false, false),
            Condition::Failing { told, cause: before, .. } => (true, before == cause, told),
        };
        let tells = !(told && alike) && (again || !self.reached || at_once);
        self.condition = Condition::Failing { told: told || tells, alike, cause };
        tells
    }

    /// An exchange passed, and the path is there again. Whether the application is to be told.
    pub fn recovers(&mut self) -> bool {
        let tells = self.is_told();
        self.condition = Condition::Fine;
        tells
    }

    /// A relay answered. Whether it was the first time.
    pub fn reaches(&mut self) -> bool {
        !core::mem::replace(&mut self.reached, true)
    }

    /// An answer ended with this status, VERSION or MALFORMED. Whether that ends every hope.
    pub fn is_hopeless(&mut self, status: Status) -> bool {
        if status == Status::Version {
            return true;
        }
        self.malformed = self.malformed.saturating_add(1);
        !self.reached && self.malformed >= MALFORMED_TRIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_failure_is_told_once_for_each_cause() {
        let mut health = Health::new();
        assert!(health.reaches() && !health.reaches());
        assert!(!health.fails(Blocked::Cut, false));
        assert!(!health.is_told() && health.cause() == Some(Blocked::Cut));
        assert!(health.fails(Blocked::Cut, false));
        assert!(!health.fails(Blocked::Cut, false));
        assert!(health.fails(Blocked::Silence, false));
        assert!(health.recovers());
        assert!(!health.is_failing() && health.cause().is_none() && !health.recovers());
    }

    #[test]
    fn a_first_failure_is_told_before_a_relay_answered_or_if_it_lasts_for_seconds() {
        assert!(Health::new().fails(Blocked::Cut, false));
        let mut health = Health::new();
        health.reaches();
        assert!(health.fails(Blocked::Later(503, 5), true));
    }

    #[test]
    fn a_cause_lasts_when_it_was_met_twice_in_a_row() {
        let mut health = Health::new();
        health.fails(Blocked::ProxyAuth, false);
        assert_eq!(health.lasting_cause(), None);
        health.fails(Blocked::ProxyAuth, false);
        assert_eq!(health.lasting_cause(), Some(Blocked::ProxyAuth));
        health.fails(Blocked::Cut, false);
        assert_eq!(health.lasting_cause(), None);
    }

    #[test]
    fn malformed_requests_end_hope_only_if_no_relay_ever_answered() {
        let mut health = Health::new();
        assert!(
            [false, false, true].map(|_| health.is_hopeless(Status::Malformed))
                == [false, false, true]
        );
        assert!(Health::new().is_hopeless(Status::Version));
        let mut health = Health::new();
        health.reaches();
        assert!((0..9).all(|_| !health.is_hopeless(Status::Malformed)));
    }
}
