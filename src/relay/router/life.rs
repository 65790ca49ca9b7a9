//! What makes the router find a session over that did not say BYE.

use tracing::debug;

use super::key::SessionKey;
use super::park_end::ParkEnd;
use super::tables::Tables;

impl Tables {
    /// A newer process of the session's owner claims a name that the session has or had.
    pub(super) fn succeed(&mut self, now: u64, peer: SessionKey) {
        match self.absent(now, &peer) {
            Some(_) => self.give_up(now, peer),
            None => self.doubt(now, peer),
        }
    }

    /// Ends the session's park: if the session goes on it parks again at once.
    fn doubt(&mut self, now: u64, peer: SessionKey) {
        if !self.sessions.doubt(peer, now + self.config.doubt_ms) {
            return;
        }
        debug!(session = %peer, "session in doubt: a newer process of its owner claims its name");
        if let Some(park) = self.sessions.get(&peer).and_then(|session| session.park()) {
            self.end_park(now, park, ParkEnd::Claim);
        }
    }

    /// The sessions that were in doubt and did not park in time are over.
    pub(super) fn give_up_lost(&mut self, now: u64) {
        while let Some(peer) = self.sessions.take_lost(now) {
            self.give_up(now, peer);
        }
    }

    fn give_up(&mut self, now: u64, peer: SessionKey) {
        debug!(session = %peer, "session given up");
        self.stats.lost += 1;
        self.end_session(now, peer, ParkEnd::Claim);
    }
}
