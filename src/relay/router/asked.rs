//! Which sessions were asked for a connection, and may answer.

use std::collections::VecDeque;

use crate::wire::{Address, ChannelRef};

/// The sessions that got CONNECT_REQs of a session, the oldest first. While a name changes its holder, more
/// than one session is asked for a channel, and the answer of the first may be on its way.
#[derive(Debug, Default)]
pub(super) struct Asked(VecDeque<(ChannelRef, Address)>);

impl Asked {
    /// Remembers that `peer` is asked for `channel`. True: of more than `most` the oldest is forgotten.
    pub fn note(&mut self, channel: ChannelRef, peer: Address, most: usize) -> bool {
        if self.0.contains(&(channel, peer)) {
            return false;
        }
        self.0.push_back((channel, peer));
        let is_full = self.0.len() > most;
        if is_full {
            self.0.pop_front();
        }
        is_full
    }

    /// Whether a session was asked for `channel`.
    pub fn has(&self, channel: ChannelRef) -> bool {
        self.0.iter().any(|(asked, _)| *asked == channel)
    }

    /// Whether `peer` may answer for `channel`. If nothing is remembered of the channel, as after a restart,
    /// the token alone must do.
    pub fn admits(&self, channel: ChannelRef, peer: Address) -> bool {
        let mut asked = self.0.iter().filter(|(asked, _)| *asked == channel).peekable();
        asked.peek().is_none() || asked.any(|(_, asked)| *asked == peer)
    }
}
