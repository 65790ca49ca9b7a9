//! What decides upon the exchanges of scripted tests.

use byway::session::Lane;
use byway::wire::{Decoder, Message, Piece};

use crate::fate::Fate;

/// A request or an answer that passes by.
#[derive(Debug)]
pub struct Seen<'a> {
    pub peer: usize,
    pub lane: Lane,
    pub body: &'a [u8],
}

impl Seen<'_> {
    /// Whether a message of the body is like this.
    pub fn has(&self, is: impl Fn(&Message<'_>) -> bool) -> bool {
        self.count(is) > 0
    }

    /// How many messages of the body are like this.
    pub fn count(&self, is: impl Fn(&Message<'_>) -> bool) -> usize {
        let mut decoder = Decoder::new();
        let mut input = self.body;
        let mut count = 0;
        while let Ok(Some(piece)) = decoder.next(&mut input) {
            if let Piece::Message(message) = piece {
                count += usize::from(is(&message));
            }
        }
        count
    }
}

/// Decides what becomes of a request.
pub type RequestHook = Box<dyn FnMut(&Seen<'_>) -> Fate>;
/// Decides whether an answer is lost.
pub type AnswerHook = Box<dyn FnMut(&Seen<'_>) -> bool>;
