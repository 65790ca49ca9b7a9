//! Sessions are sent away before the relay ends: one after the other, so that they do not come back, to another
//! relay or to the next at this address, in one moment.

use tracing::debug;

use super::Router;
use super::tables::Tables;

/// How long after the one before a park ends at the latest, in milliseconds: a relay takes in some thousands of
/// sessions a second, and those that have left do not meet those that have not.
const PACE: u64 = 1;

impl Router {
    /// Ends the holds of all parks within `spread` milliseconds, or sooner if these are fewer than there are
    /// milliseconds: evenly spread, the oldest park first; also the holds of parks that arrive from now on. An answer is
    /// in order as at the end of any hold, so that no client counts it as a failure; what is on its way goes on.
    ///
    /// The driver closes connections behind their answers, and lets nobody connect meanwhile. Behind the spread,
    /// [`shutdown`](Self::shutdown) ends what is left.
    pub fn drain(&mut self, now: u64, spread: u64) {
        let tables = &mut self.tables;
        let mut parks = tables.exchanges.ids();
        parks.retain(|id| tables.stands(*id));
        let most = parks.len() as u64;
        let spread = spread.min(most * PACE);
        debug!(parks = most, spread, "draining");
        tables.holds_end = Some(now + spread);
        for (turn, id) in (1..).zip(parks) {
            tables.exchanges.shorten_hold(id, now + (spread * turn).div_ceil(most));
        }
    }
}

impl Tables {
    /// Until when a park waits that asks for so many milliseconds.
    pub(super) fn hold_until(&self, now: u64, hold: u64) -> u64 {
        let until = now + hold;
        self.holds_end.map_or(until, |end| until.min(end).max(now))
    }
}
