//! The octets of a request's body, as an upload reads them.

use bytes::{Buf, Bytes};

use super::config::RouterConfig;
use super::rejection::{MALFORMED, Rejection};
use crate::wire::{Decoder, Message, Piece};

/// Where the octets of a body come from, and how many came.
#[derive(Debug)]
pub(super) struct BodyInput {
    decoder: Decoder,
    /// What was given and not read.
    input: Bytes,
    /// Octets read.
    octets: usize,
    /// When the first could be read.
    began: u64,
    /// When octets were read last.
    last_byte: u64,
    /// Whether the whole body was given.
    ended: bool,
}

impl BodyInput {
    /// Of a body that begins.
    pub fn new(now: u64) -> Self {
        Self {
            decoder: Decoder::new(),
            input: Bytes::new(),
            octets: 0,
            began: now,
            last_byte: now,
            ended: false,
        }
    }

    /// More of the body is there.
    pub fn give(&mut self, chunk: Bytes) {
        debug_assert!(self.input.is_empty(), "what was not read is taken back");
        self.input = chunk;
    }

    /// Takes back what was given and not read.
    pub fn take_back(&mut self) -> Bytes {
        std::mem::take(&mut self.input)
    }

    /// The whole body was given.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether the whole body was given and read.
    pub fn is_over(&self) -> bool {
        self.ended && self.input.is_empty()
    }

    /// Whether the next octet begins a message.
    pub fn at_boundary(&self) -> bool {
        self.decoder.at_boundary()
    }

    /// What can be read.
    pub fn unread(&self) -> &[u8] {
        &self.input
    }

    /// Octets read.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// When octets were read last.
    pub fn last_byte(&self) -> u64 {
        self.last_byte
    }

    /// `before` octets could be read before some were, which count if they came just now.
    pub fn note_read(&mut self, now: u64, before: usize, counts: bool) {
        let read = before - self.input.len();
        if read > 0 {
            self.last_byte = now;
            if counts {
                self.octets += read;
            }
        }
    }

    /// Whether the body comes too slowly, or for too long. Waits for peers are short, and do not count much.
    pub fn is_too_slow(&self, now: u64, config: &RouterConfig) -> bool {
        if self.ended {
            return false;
        }
        let age = now.saturating_sub(self.began);
        let due = age.saturating_sub(config.upload_idle_ms) * u64::from(config.body_rate) / 1000;
        age > config.body_ms || (self.octets as u64) < due
    }

    /// Gives the next message to `read`; `None` if the message is not there yet.
    pub fn next<T>(
        &mut self,
        read: impl FnOnce(&Message<'_>) -> Result<T, Rejection>,
    ) -> Result<Option<T>, Rejection> {
        let mut input = &self.input[..];
        let result = match self.decoder.next(&mut input) {
            Ok(Some(Piece::Message(message))) => read(&message).map(Some),
            Ok(Some(Piece::Bytes(..))) | Err(_) => Err(MALFORMED),
            Ok(None) => Ok(None),
        };
        let used = self.input.len() - input.len();
        self.input.advance(used);
        result
    }

    /// Takes up to `most` octets, whatever they are: they are decoded elsewhere.
    pub fn take_raw(&mut self, most: usize) -> Bytes {
        self.input.split_to(self.input.len().min(most))
    }

    /// Takes up to `most` bytes of the data message under way.
    pub fn take(&mut self, most: usize) -> Bytes {
        let bytes = self.take_raw(most);
        // The decoder counts along.
        let counted = self.decoder.next(&mut &bytes[..]);
        debug_assert!(counted.is_ok(), "all of it belongs to the message");
        bytes
    }
}
