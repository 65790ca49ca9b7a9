//! A response being written: what is queued for the receiver's connection, and how much still fits.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::control::encoded;
use crate::wire::{Data, End, MAX_CONTROL, Message, Route, Welcome};

/// Octets of what every response has besides its messages: WELCOME, FROM and END.
pub(super) const FRAME_LEN: usize = Welcome::LEN + Route::LEN + End::LEN;

/// The least that a response may be allowed to have, in octets: its frame, the largest control
/// message, and some data. A smaller `max_response` counts as this.
const MIN_RESPONSE: usize = 512;

const _: () = assert!(FRAME_LEN + MAX_CONTROL + data_len(1) <= MIN_RESPONSE);

/// Smaller slices are copied to the message's header, in octets: a slice keeps the whole buffer it
/// was read into alive (32 KiB in the server), and many small pieces cost more than a copy.
const COPY_BELOW: usize = 4096;

/// Room that a response has from its first octet on: for a send's answer, and for one message of 64 octets with
/// its frame. A buffer that grows from nothing is moved five times on its way there.
const ROOM: usize = 192;

/// The octets of a response, as far as they were written and not taken.
#[derive(Debug)]
pub(super) struct Response {
    queue: VecDeque<Bytes>,
    /// What was written last and may still grow.
    tail: BytesMut,
    /// Octets in `queue` and `tail`.
    undrained: usize,
    /// Octets in all, drained or not.
    written: usize,
    max: usize,
    /// FROM that was written last.
    from: Option<Route>,
}

impl Response {
    pub fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            tail: BytesMut::new(),
            undrained: 0,
            written: 0,
            max: MIN_RESPONSE,
            from: None,
        }
    }

    /// Sets the most octets that the response may have.
    pub fn limit(&mut self, max: u32) {
        self.max = (max as usize).max(MIN_RESPONSE);
    }

    pub fn max(&self) -> usize {
        self.max
    }

    pub fn undrained(&self) -> usize {
        self.undrained
    }

    /// Octets that messages from `from` may still have.
    pub fn left(&self, from: Option<Route>) -> usize {
        let taken = self.written + End::LEN + self.source_len(from);
        self.max.saturating_sub(taken)
    }

    /// Octets of the FROM that messages from `from` need before them.
    pub fn source_len(&self, from: Option<Route>) -> usize {
        match from {
            Some(route) if from != self.from => Message::From(route).encoded_len(),
            _ => 0,
        }
    }

    /// Writes a message, whether or not it is within `max`.
    pub fn put(&mut self, message: &Message<'_>) {
        encoded(message, |octets| self.raw(octets));
    }

    /// Writes encoded messages.
    pub fn raw(&mut self, encoded: &[u8]) {
        if self.tail.capacity() == 0 {
            self.tail.reserve(ROOM);
        }
        self.tail.extend_from_slice(encoded);
        self.grew(encoded.len());
    }

    /// Says where the next messages come from.
    pub fn source(&mut self, from: Route) {
        if self.from != Some(from) {
            self.from = Some(from);
            self.put(&Message::From(from));
        }
    }

    /// Writes a data message.
    pub fn data(&mut self, data: Data, bytes: Bytes) {
        self.put(&Message::ReceiveRsp(data));
        if bytes.len() < COPY_BELOW {
            self.raw(&bytes);
        } else {
            self.queue.push_back(self.tail.split().freeze());
            self.grew(bytes.len());
            self.queue.push_back(bytes);
        }
    }

    /// Takes the next piece.
    pub fn pop(&mut self) -> Option<Bytes> {
        let piece = match self.queue.pop_front() {
            Some(piece) => piece,
            None if self.tail.is_empty() => return None,
            None => self.tail.split().freeze(),
        };
        self.undrained -= piece.len();
        Some(piece)
    }

    fn grew(&mut self, octets: usize) {
        self.undrained += octets;
        self.written += octets;
    }
}

/// Octets of a data message with `n` bytes.
pub(super) const fn data_len(n: usize) -> usize {
    Data::LEN + n
}
