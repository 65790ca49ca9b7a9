//! What carries the exchanges of connections: the router of this relay, or pipes to that of another.

use bytes::Bytes;

use super::cluster::{Node, Refusal};
use super::router::{Answer, Router, Shortage};

/// The calls by which a connection drives an exchange, each as [`Router`]'s of the same name; `id` is the
/// exchange's number there.
pub(super) trait Carrier {
    fn handle_body(&mut self, now: u64, id: u64, chunk: &mut Bytes);
    fn handle_body_end(&mut self, now: u64, id: u64);
    fn handle_behind(&mut self, now: u64, id: u64);
    fn is_admitted(&self, id: u64) -> bool;
    /// Why there is no response, or no more of it, as far as that is known.
    fn refusal(&self, id: u64) -> Option<Refusal>;
    fn complete_len(&self, id: u64) -> Option<usize>;
    fn poll_response(&mut self, now: u64, id: u64) -> Answer;
}

impl Carrier for Router {
    fn handle_body(&mut self, now: u64, id: u64, chunk: &mut Bytes) {
        self.handle_body(now, id, chunk);
    }

    fn handle_body_end(&mut self, now: u64, id: u64) {
        self.handle_body_end(now, id);
    }

    fn handle_behind(&mut self, now: u64, id: u64) {
        self.handle_behind(now, id);
    }

    fn is_admitted(&self, id: u64) -> bool {
        self.is_admitted(id)
    }

    fn refusal(&self, id: u64) -> Option<Refusal> {
        match self.refusal(id) {
            Some(Shortage::Places) => Some(Refusal::Full),
            Some(Shortage::Rate) => Some(Refusal::TooMany),
            // Of the router that was here before this.
            None if !self.has(id) => Some(Refusal::Broken),
            None => None,
        }
    }

    fn complete_len(&self, id: u64) -> Option<usize> {
        self.complete_len(id)
    }

    fn poll_response(&mut self, now: u64, id: u64) -> Answer {
        self.poll_response(now, id)
    }
}

impl Carrier for Node {
    fn handle_body(&mut self, _: u64, id: u64, chunk: &mut Bytes) {
        self.handle_body(id, chunk);
    }

    fn handle_body_end(&mut self, now: u64, id: u64) {
        self.handle_body_end(now, id);
    }

    fn handle_behind(&mut self, _: u64, id: u64) {
        self.handle_behind(id);
    }

    fn is_admitted(&self, id: u64) -> bool {
        self.is_admitted(id)
    }

    fn refusal(&self, id: u64) -> Option<Refusal> {
        self.refusal(id)
    }

    fn complete_len(&self, id: u64) -> Option<usize> {
        self.complete_len(id)
    }

    fn poll_response(&mut self, now: u64, id: u64) -> Answer {
        self.poll_response(now, id)
    }
}
