//! The requests and answers that scripted tests look at.

use byway::session::Lane;
use byway::wire::{Decoder, Message, Piece};

use crate::fate::Fate;

/// A request or an answer that passes.
#[derive(Debug)]
pub struct Seen<'a> {
    pub peer: usize,
    pub lane: Lane,
    pub body: &'a [u8],
}

impl Seen<'_> {
    /// Whether the body has a message for which `is` holds.
    pub fn has(&self, is: impl Fn(&Message<'_>) -> bool) -> bool {
        self.count(is) > 0
    }

    /// The number of messages of the body for which `is` holds.
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

/// Decides the fate of a request.
pub type RequestHook = Box<dyn FnMut(&Seen<'_>) -> Fate>;
/// Changes the answer to a client, as a hostile relay does.
pub type RelayHook = Box<dyn FnMut(usize, &mut Vec<u8>)>;
/// Decides whether an answer is lost.
pub type AnswerHook = Box<dyn FnMut(&Seen<'_>) -> bool>;
