//! A control message as the relay writes it.

use std::fmt;

use crate::wire::{MAX_CONTROL, Message};

/// An encoded control message.
pub(super) struct Control {
    octets: [u8; MAX_CONTROL],
    len: usize,
}

impl Control {
    /// Encodes `message`, which is no PAD; of a data message, what stands before the bytes.
    pub fn new(message: &Message<'_>) -> Self {
        let mut octets = [0; MAX_CONTROL];
        let len = message.encode(&mut octets);
        debug_assert!(len.is_some(), "MAX_CONTROL is the length of the longest: {message:?}");
        Self { octets, len: len.unwrap_or_default() }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.len]
    }

    pub fn len(&self) -> usize {
        self.len
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Control({} octets)", self.len)
    }
}
