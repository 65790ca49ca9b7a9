//! Which sessions were asked for a connection, and may answer.

use std::collections::VecDeque;

use crate::wire::{Address, Channel};

/// To whom a session's CONNECT_REQs went, the oldest first. While a name changes its holder that is more
/// than one session for a channel: each was asked, and what the first says may be on its way.
#[derive(Debug, Default)]
pub(super) struct Asked(VecDeque<(Channel, Address)>);

impl Asked {
    /// Remembers that `peer` is asked for `channel`; the oldest goes if there are more than `most`.
    pub fn note(&mut self, channel: Channel, peer: Address, most: usize) {
        if self.0.contains(&(channel, peer)) {
            return;
        }
        self.0.push_back((channel, peer));
        if self.0.len() > most {
            self.0.pop_front();
        }
    }

    /// Whether `peer` may answer for `channel`. If nothing is remembered of that, as after a restart,
    /// the token alone must do.
    pub fn admits(&self, channel: Channel, peer: Address) -> bool {
        let mut asked = self.0.iter().filter(|(asked, _)| *asked == channel).peekable();
        asked.peek().is_none() || asked.any(|(_, asked)| *asked == peer)
    }
}
