//! Which sessions were asked for a connection, and may answer.

use std::collections::VecDeque;

use crate::wire::{Address, ChannelKind, ChannelRef};

/// The sessions that got CONNECT_REQs of a session, the oldest first. While a name changes its holder, more
/// than one session is asked for a channel, and the answer of the first may be on its way.
#[derive(Debug, Default)]
pub(super) struct Asked(VecDeque<(ChannelRef, Address, ChannelKind)>);

impl Asked {
    /// Remembers that `peer` is asked for `channel`. True: of more than `most` the oldest is forgotten.
    pub fn note(
        &mut self,
        channel: ChannelRef,
        peer: Address,
        kind: ChannelKind,
        most: usize,
    ) -> bool {
        if self.has(channel, peer) {
            return false;
        }
        self.0.push_back((channel, peer, kind));
        let is_full = self.0.len() > most;
        if is_full {
            self.0.pop_front();
        }
        is_full
    }

    /// Whether `peer` was asked for `channel`.
    pub fn has(&self, channel: ChannelRef, peer: Address) -> bool {
        self.kind(channel, peer).is_some()
    }

    /// The kind of `channel`, if `peer` was asked for it.
    pub fn kind(&self, channel: ChannelRef, peer: Address) -> Option<ChannelKind> {
        let asked = self.0.iter().find(|(asked, of, _)| *asked == channel && *of == peer);
        asked.map(|(_, _, kind)| *kind)
    }

    /// Whether `peer` may answer for `channel`. If nothing is remembered of the channel, as after a restart,
    /// the token alone must do.
    pub fn admits(&self, channel: ChannelRef, peer: Address) -> bool {
        let mut asked = self.0.iter().filter(|(asked, ..)| *asked == channel).peekable();
        asked.peek().is_none() || asked.any(|(_, asked, _)| *asked == peer)
    }
}
