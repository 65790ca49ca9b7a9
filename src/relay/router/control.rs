//! A control message as the relay writes it.

use std::fmt;

use bytes::Bytes;

use crate::wire::{MAX_CONTROL, Message};

/// Encodes `message`, which is no PAD, and gives its octets to `take`; of a data message, what stands
/// before the bytes.
pub(super) fn encoded<T>(message: &Message<'_>, take: impl FnOnce(&[u8]) -> T) -> T {
    let mut octets = [0; MAX_CONTROL];
    let len = message.encode(&mut octets);
    debug_assert!(len.is_some(), "MAX_CONTROL is the length of the longest: {message:?}");
    take(&octets[..len.unwrap_or_default()])
}

/// An encoded control message that waits to be written. Its octets lie elsewhere: with them in it every
/// upload and every message that is read would be as large.
pub(super) struct Control {
    octets: Bytes,
    confirms: bool,
}

impl Control {
    /// Encodes `message`, as [`encoded`] does.
    pub fn new(message: &Message<'_>) -> Self {
        let confirms = matches!(message, Message::Confirm(_));
        Self { octets: encoded(message, Bytes::copy_from_slice), confirms }
    }

    /// Whether the message is CONFIRM.
    pub fn confirms(&self) -> bool {
        self.confirms
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.octets
    }

    pub fn len(&self) -> usize {
        self.octets.len()
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Control({} octets)", self.len())
    }
}
