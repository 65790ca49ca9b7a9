//! Answers to messages that have no channel here.

use super::mode::Mode;
use super::state::Core;
use crate::trace::debug;
use crate::wire::{self, Accept, Address, Close, Closed, Message, Route, Status};

/// Replies waiting for a send: refusals and unknown channels. More are dropped; peers repeat.
const REPLIES: usize = 4;

/// An answer to a message that has no channel here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyKind {
    /// ACCEPT_RSP with a status other than OK.
    Refuse,
    /// CLOSE_RSP.
    Close,
    /// CLOSE_REQ to an end that has no channel here.
    Stray,
}

/// How a place for a reply is used.
///
/// ```text
///         a reply is queued           a request has it
///   Free ───────────────────▶ Waits ───────────────────▶ Flies
///    ▲                          ▲    it did not get through │
///    │                          └───────────────────────────┤
///    └──────────────────────────────────────────────────────┘ it did
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum ReplyState {
    Free = 0,
    Waits(ReplyKind),
    Flies(ReplyKind),
}

#[derive(Debug)]
struct Reply {
    state: ReplyState,
    status: Status,
    peer: Address,
    /// Refuse: the connector's end. Close: the end that was addressed here. Stray: the end there.
    channel: wire::ChannelRef,
}

/// The replies of a session. All zeros is the initial state.
#[derive(Debug)]
pub struct Replies([Reply; REPLIES]);

impl Replies {
    pub const fn new() -> Self {
        Self(
            [const {
                Reply {
                    state: ReplyState::Free,
                    status: Status::Ok,
                    peer: Address::RELAY,
                    channel: wire::ChannelRef::NONE,
                }
            }; REPLIES],
        )
    }

    /// How many places there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Queues a reply, unless the same waits already or all places are taken: peers repeat. Whether
    /// it was queued.
    fn add(
        &mut self,
        kind: ReplyKind,
        status: Status,
        peer: Address,
        channel: wire::ChannelRef,
    ) -> bool {
        let state = ReplyState::Waits(kind);
        if self.0.iter().any(|r| r.state == state && r.peer == peer && r.channel == channel) {
            return false;
        }
        let Some(free) = self.0.iter_mut().find(|r| r.state == ReplyState::Free) else {
            debug!("no room for the answer {} to {peer}: the peer repeats", status.name());
            return false;
        };
        *free = Reply { state, status, peer, channel };
        true
    }

    /// Whether a reply waits for a request.
    pub fn wait(&self) -> bool {
        (0..self.len()).any(|slot| self.waiting(slot).is_some())
    }

    /// The kind of the reply in that place, if it waits for a request.
    pub fn waiting(&self, slot: usize) -> Option<ReplyKind> {
        match self.0[slot].state {
            ReplyState::Waits(kind) => Some(kind),
            ReplyState::Free | ReplyState::Flies(_) => None,
        }
    }

    /// A request has the reply.
    pub fn depart(&mut self, slot: usize) {
        if let ReplyState::Waits(kind) = self.0[slot].state {
            self.0[slot].state = ReplyState::Flies(kind);
        }
    }

    /// The request is over; the reply got through if it `passed`.
    pub fn land(&mut self, slot: usize, passed: bool) {
        if let ReplyState::Flies(kind) = self.0[slot].state {
            self.0[slot].state = if passed { ReplyState::Free } else { ReplyState::Waits(kind) };
        }
    }

    /// The reply that a request has, as a message.
    pub fn message<M: Mode>(&self, slot: usize) -> Option<(Route, Message<'static>)> {
        let Reply { state, status, peer, channel } = &self.0[slot];
        let (status, channel) = (*status, *channel);
        let ReplyState::Flies(kind) = state else { return None };
        let (end, message) = match kind {
            ReplyKind::Refuse if M::LISTENS => {
                let none = wire::ChannelRef::NONE;
                let accept =
                    Accept { status, channel: none, limit: 0, linger_ms: 0, greeting: &[] };
                (channel, Message::AcceptRsp(accept))
            }
            ReplyKind::Close => {
                (wire::ChannelRef::NONE, Message::CloseRsp(Closed { status, channel }))
            }
            ReplyKind::Stray if M::CONNECTS => {
                (channel, Message::CloseReq(Close { status, offset: 0 }))
            }
            ReplyKind::Refuse | ReplyKind::Stray => return None,
        };
        Some((Route { peer: *peer, channel: end }, message))
    }
}

impl<M: Mode> Core<M> {
    /// Queues a reply, unless there is no room.
    pub fn reply(
        &mut self,
        kind: ReplyKind,
        status: Status,
        peer: Address,
        channel: wire::ChannelRef,
    ) {
        self.wakes.send |= self.replies.add(kind, status, peer, channel);
    }

    /// A message came that is of no use here.
    pub fn note_junk(&mut self) {
        if let Some(full) = self.full_mut() {
            full.junk = full.junk.wrapping_add(1);
        }
    }

    /// How many messages came that were of no use here, modulo 2^32.
    pub fn junk(&self) -> u32 {
        self.full().map_or(0, |full| full.junk)
    }

    /// Tells the source of a message that the channel addressed is not there.
    pub fn unknown(&mut self, from: &Route) {
        self.note_junk();
        if from.peer != Address::RELAY && from.channel != wire::ChannelRef::NONE {
            self.reply(ReplyKind::Close, Status::Unknown, from.peer, from.channel);
        }
    }
}
