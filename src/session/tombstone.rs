//! What is left of channels that were: tombstones, which tell their peers what those may not have
//! heard.

use core::num::NonZeroU64;

use super::channel::{Channel, End};
use super::state::Phase;
use super::{Mode, Session};
use crate::wire::{self, Address, Status};

/// How a channel ended that left a tombstone, and what its peer is to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing: the peer ended it, or is told UNKNOWN.
    Nothing = 0,
    /// The peer's stream had come whole: the final acknowledgement.
    Whole,
    /// The application here closed the channel and wanted no more: CLOSED.
    Closed,
    /// Silence ended it: CLOSE_REQ(LINGER), as soon as the peer is heard of.
    Dead,
}

/// What is left of a channel that was. All zeros: free.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Tombstone {
    pub left: Left,
    /// What is left is to be sent.
    pub answer: bool,
    pub losses: u32,
    /// First offset not received.
    pub ack: u64,
    pub expires: u64,
    /// Until then the session does not say BYE, as the peer may still wait for the final
    /// acknowledgement; `None` once it is known to have that.
    pub owed_until: Option<NonZeroU64>,
    pub local: wire::Channel,
    pub remote: wire::Channel,
    pub peer: Address,
}

impl Tombstone {
    pub const fn new() -> Self {
        Self {
            local: wire::Channel::NONE,
            remote: wire::Channel::NONE,
            peer: Address::RELAY,
            ack: 0,
            losses: 0,
            left: Left::Nothing,
            answer: false,
            expires: 0,
            owed_until: None,
        }
    }

    /// Whether the peer may still wait for the final acknowledgement.
    #[inline(never)]
    pub fn is_owed(&self, now: u64) -> bool {
        self.owed_until.is_some_and(|until| now < until.get())
    }

    /// What is left of a channel whose end here was `local`.
    pub fn of(
        channel: &Channel,
        local: wire::Channel,
        now: u64,
        rto_max: u32,
        single: bool,
    ) -> Self {
        let left = match channel.end {
            End::None if channel.rx.fin => Left::Whole,
            End::Here if channel.status == Status::Closed as u8 => Left::Closed,
            End::Here if !single && channel.is_dead() => Left::Dead,
            End::None | End::Refused | End::Here | End::Peer => Left::Nothing,
        };
        let answer = match left {
            Left::Nothing | Left::Closed => false,
            Left::Whole => channel.rx.dirty,
            Left::Dead => true,
        };
        let owed = left == Left::Whole && !channel.tx.peer_done;
        Self {
            left,
            answer,
            losses: channel.rx.losses,
            ack: channel.rx.next,
            expires: now + u64::from(channel.linger_ms),
            // As long as the slowest probe of the peer may take.
            owed_until: NonZeroU64::new(now + u64::from(rto_max)).filter(|_| owed),
            local,
            remote: channel.remote,
            peer: channel.peer,
        }
    }
}

impl<M: Mode> Session<'_, M> {
    /// Whether a peer may still wait for the final acknowledgement of its stream.
    pub(super) fn owes_final(&self) -> bool {
        self.tombstones.iter().any(|t| t.is_owed(self.core.clock))
    }

    /// A session that closes says its final acknowledgements again, and asks for an answer, by which
    /// it knows that the peers have them. A peer that does not would ask by itself.
    pub(super) fn ask_finals(&mut self) {
        let clock = self.core.clock;
        if self.core.phase == Phase::Closing {
            for t in self.tombstones.iter_mut().filter(|t| t.is_owed(clock)) {
                t.answer = true;
            }
        }
    }

    /// A peer needs nothing more of the channels that were; or of the one with this end here or there.
    #[inline(never)]
    pub(super) fn settle_tombstones(&mut self, peer: &wire::Address, end: wire::Channel) {
        for t in self.tombstones.iter_mut() {
            // Tokens tell channels apart.
            let is_meant = [0, t.local.token, t.remote.token].contains(&end.token);
            if is_meant && t.peer == *peer {
                t.owed_until = None;
            }
        }
        // It may say BYE now.
        self.core.wakes.send |= self.core.phase == Phase::Closing;
    }
}
