//! Exchanges and deadlines, as the owner of the transport drives them.

use crate::error::Blocked;
use crate::session::exchange::VERDICTS;
use crate::session::mode::{Mode, Purpose, Single};
use crate::session::terms::{Exchange, Lane};
use crate::session::view::Session;

impl<P: Purpose> Session<'_, Single<P>> {
    /// Whether something in the way holds octets behind a request back until its answer is there, while the
    /// connection serves one request after the other. Then a park begun soon after traffic is as short as
    /// the quiet before it, 250 ms at least; and what is to be said waits for the end of one of at most a
    /// second: it does not show in [`poll_wake`](Self::poll_wake).
    pub fn set_held_back(&mut self, held_back: bool) {
        self.core.held_back = held_back;
    }
}

impl<M: Mode> Session<'_, M> {
    /// Begins the next exchange on `lane`, if one is due: the owner of the transport makes a request
    /// of `len` octets, which [`poll_body`](Self::poll_body) gives, hands the answer to
    /// [`handle_response`](Self::handle_response) as it comes, and ends it with
    /// [`handle_finished`](Self::handle_finished) or [`handle_failure`](Self::handle_failure).
    pub fn poll_exchange(&mut self, now: u64, lane: Lane) -> Option<Exchange> {
        self.core.tick(now);
        self.begin(now, lane)
    }

    /// Gives the next octets of the request under way on `lane`: as many as fit `out`; 0 at its end.
    // Inlined, it makes firmware larger.
    #[inline(never)]
    pub fn poll_body(&mut self, now: u64, lane: Lane, out: &mut [u8]) -> usize {
        self.core.tick(now);
        self.encode(now, M::lane(lane), out)
    }

    /// Takes a piece of the answer's body, of any size, as it comes: the request is over with that,
    /// however far [`poll_body`](Self::poll_body) was. The owner of the transport calls
    /// this only for HTTP status 200 and content type `application/octet-stream`.
    ///
    /// # Errors
    /// This is no relay's answer, or not to this request: the connection is to be dropped and the
    /// error given to [`handle_failure`](Self::handle_failure).
    pub fn handle_response(&mut self, now: u64, lane: Lane, bytes: &[u8]) -> Result<(), Blocked> {
        self.core.tick(now);
        let lane = M::lane(lane);
        // What can be skipped, or is behind END, would be read without end.
        let most = self.max_response();
        if self.core.flight(lane).comes(bytes.len()) > most {
            return Err(Blocked::Foreign);
        }
        self.decode(now, lane, bytes)
    }

    /// Whether the answer's END has come: what is behind it is ignored, and need not be read.
    pub fn is_answered(&self, lane: Lane) -> bool {
        match M::lane(lane) {
            Lane::Park => self.core.park.end_status().is_some(),
            Lane::Send => self.core.send().end_status().is_some(),
        }
    }

    /// Most octets that an answer's body has: the relay takes less than 512 for so many, and puts
    /// the verdicts of the request on top.
    pub fn max_response(&self) -> u32 {
        self.core.settings.max_response.max(512).saturating_add(VERDICTS)
    }

    /// The answer's HTTP body has ended.
    ///
    /// # Errors
    /// The body had no END, so it counts as lost, which is dealt with already; the connection is to
    /// be dropped.
    pub fn handle_finished(&mut self, now: u64, lane: Lane) -> Result<(), Blocked> {
        self.core.tick(now);
        self.finish(now, M::lane(lane))
    }

    /// The exchange failed, for `cause`; `sent` tells whether octets of the request may have reached
    /// the relay. Everything in it is said again; it is tried anew after a pause.
    pub fn handle_failure(&mut self, now: u64, lane: Lane, cause: Blocked, sent: bool) {
        self.core.tick(now);
        self.fail(now, M::lane(lane), cause, sent);
    }

    /// Breaks the exchange under way off, on purpose: its failure says nothing of the path, and what
    /// it carried is said again. The owner of the transport drops its connection.
    pub fn break_exchange(&mut self, now: u64, lane: Lane) {
        self.core.flight(M::lane(lane)).break_off();
        self.handle_failure(now, lane, Blocked::Cut, true);
    }

    /// When [`handle_timeout`](Self::handle_timeout) and [`poll_exchange`](Self::poll_exchange) are
    /// to be called again for `lane` at the latest; `None`: not before something else happens.
    pub fn poll_timeout(&self, lane: Lane) -> Option<u64> {
        self.next_timeout(lane)
    }

    /// Does everything that is due at `now`.
    pub fn handle_timeout(&mut self, now: u64) {
        self.core.tick(now);
        self.meet_deadlines(now);
    }
}
