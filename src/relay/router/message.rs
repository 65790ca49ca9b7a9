//! A message on its way to a peer.

use bytes::{Bytes, BytesMut};

use super::control::Control;
use super::key::SessionKey;
use super::response::data_len;
use crate::wire::{ChannelRef, Data, DataFlags, Status};

/// Least octets of a stream worth a message of their own while more are there.
const MIN_SLICE: usize = 256;

/// The message of an upload that is being dealt with.
#[derive(Debug)]
pub(super) struct InHand {
    /// When its beginning arrived, until something of it is written.
    pub arrived: Option<u64>,
    /// Its place in the request.
    pub index: u16,
    pub peer: SessionKey,
    /// The peer's end of the channel.
    pub channel: ChannelRef,
    pub content: Content,
}

/// What of a message is still to be done.
///
/// ```text
///  Control ───────────────┬─▶ written
///  Stream ── by slices ───┤
///  Datagram ── whole ─────┤
///     └── its peer does not get it ─▶ Drop ── its bytes are read ─▶ verdict
/// ```
#[derive(Debug)]
pub(super) enum Content {
    /// A control message as it will be written.
    Control(Control),
    /// Stream data, so many bytes of which were written.
    Stream { data: Data, done: u32 },
    /// A datagram, as far as it is there.
    Datagram { data: Data, have: BytesMut },
    /// Data that the peer will not get: so many bytes are still to be read; `done` were delivered before.
    Drop { status: Status, left: u32, done: u32 },
}

/// What is to be written of a data message.
pub(super) struct Slice {
    pub data: Data,
    pub bytes: Bytes,
    /// Whether the message is complete with this slice.
    pub is_last: bool,
}

impl InHand {
    /// Bytes of the message that were not read from the body.
    pub fn unread(&self) -> u32 {
        match &self.content {
            Content::Control(_) => 0,
            Content::Stream { data, done } => {
                debug_assert!(*done <= data.len);
                data.len.saturating_sub(*done)
            }
            Content::Datagram { data, have } => {
                debug_assert!(have.len() <= data.len as usize);
                data.len.saturating_sub(have.len() as u32)
            }
            Content::Drop { left, .. } => *left,
        }
    }

    /// Octets held here.
    pub fn held(&self) -> usize {
        match &self.content {
            Content::Datagram { have, .. } => have.capacity(),
            Content::Control(_) | Content::Stream { .. } | Content::Drop { .. } => 0,
        }
    }

    /// Whether its verdict is immediate.
    pub fn is_probe(&self) -> bool {
        matches!(&self.content, Content::Stream { data, .. } if data.flags.has(DataFlags::PROBE))
    }

    pub fn is_control(&self) -> bool {
        matches!(self.content, Content::Control(_))
    }

    pub fn is_dropped(&self) -> bool {
        matches!(self.content, Content::Drop { .. })
    }

    /// The least octets of it that are worth writing into a response, while `there` bytes of it can be
    /// read. `None`: none at all.
    pub fn least(&self, there: usize) -> Option<usize> {
        match &self.content {
            Content::Control(control) => Some(control.len()),
            Content::Datagram { have, .. } => Some(data_len(have.len())),
            Content::Stream { .. } => {
                let bytes = (self.unread() as usize).min(there);
                Some(data_len(bytes.min(MIN_SLICE)))
            }
            Content::Drop { .. } => None,
        }
    }

    /// How many bytes the message had, if `slice` was the last of it.
    pub fn total(&self, slice: &Slice) -> Option<u32> {
        match &self.content {
            Content::Stream { data, .. } | Content::Datagram { data, .. } if slice.is_last => {
                Some(data.len)
            }
            _ => None,
        }
    }

    /// The peer does not get the message: what is left of it is to be read and dropped.
    pub fn drop_rest(&mut self, status: Status) {
        let done = match &self.content {
            Content::Stream { done, .. } => *done,
            Content::Control(_) | Content::Datagram { .. } | Content::Drop { .. } => 0,
        };
        self.content = Content::Drop { status, left: self.unread(), done };
    }
}
