//! How often each limit was reached.

use std::ops::AddAssign;

use super::rejection::Limit;

/// How often each of a router's limits was reached: what was beyond was refused, or waited, or the oldest of its kind
/// was forgotten for it. An upload that `max_held` holds back is counted once, however often it goes on in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitStats([u64; Limit::ALL.len()]);

impl LimitStats {
    /// A limit was reached.
    pub(super) fn note(&mut self, limit: Limit) {
        self.0[limit as usize] += 1;
    }

    /// The limits, and how often each was reached.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Limit::ALL.iter().map(|limit| limit.name()).zip(self.0)
    }

    /// How often the limit of this name was reached; 0 if there is none.
    pub fn get(&self, name: &str) -> u64 {
        self.iter().find(|(limit, _)| *limit == name).map_or(0, |(_, times)| times)
    }
}

/// The sum of what two routers counted.
impl AddAssign for LimitStats {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Limit, LimitStats};

    #[test]
    fn limits_stand_in_the_order_of_their_numbers() {
        for (at, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, at, "{limit}");
        }
        let mut stats = LimitStats::default();
        stats.note(Limit::Sends);
        stats += stats;
        assert_eq!((stats.get("sends"), stats.get("claims"), stats.get("nothing")), (2, 0, 0));
    }
}
