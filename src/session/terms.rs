//! What a session and its owner say to each other: lanes, exchanges, wakes, events.

use super::ids::{ChannelId, ListenerId};
use crate::error::Blocked;

/// What an exchange is for. One is under way on each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// The exchange waits at the relay until something comes for this session.
    Park = 0,
    /// The exchange carries what this session says, and is answered at once.
    Send,
}

impl Lane {
    /// The lane beside it.
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Park => Self::Send,
            Self::Send => Self::Park,
        }
    }
}

/// A request to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// The lane of the exchange.
    pub lane: Lane,
    /// The number of the exchange, unique in the session: makes the URL differ each time.
    pub seq: u64,
    /// Octets of the request's body.
    pub len: usize,
    /// The exchange has failed when no octet went up or came down for so long, in ms.
    pub silence_ms: u32,
    /// A connection that passed nothing for longer, in ms, is not to be used: something on the way
    /// has forgotten such connections.
    pub idle_ms: u32,
}

/// A wake that the session asks its owner for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wake {
    /// The sending lane calls `poll_exchange`.
    Send,
    /// The sending lane calls `poll_exchange` at that time at the latest: the time that `poll_timeout`
    /// gave may be later.
    SendBy(u64),
    /// The parking lane calls `poll_exchange`.
    Park,
    /// The owner of the transport breaks the park under way: its answer comes too late. The exchange
    /// fails then, which says nothing of the path.
    BreakPark,
    /// The owner of the transport breaks the send under way, and drops its connection if there is
    /// none: the path fell silent beside it.
    BreakSend,
    /// A thread that waits for the channel in this slot looks again.
    Channel(usize),
    /// A thread that waits for the listener in this slot looks again.
    Listener(usize),
    /// A thread that waits for events takes them.
    Event,
    /// A thread that waits for the session to open or to close looks again.
    Session,
}

/// An event that an application may want to know, but need not act upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The session dials the relay.
    Connecting,
    /// The relay has answered for the first time: [`is_open`](super::Session::is_open) says so from
    /// now on.
    Opened,
    /// The relay cannot be reached, and why.
    PathBlocked(Blocked),
    /// The relay can be reached again.
    PathRestored,
    /// The channel's peer has not asked the relay for data lately.
    PeerAway(ChannelId),
    /// The channel's peer was heard of again.
    PeerBack(ChannelId),
    /// Bytes that were sent did not fit into the peer's ring.
    Overflow {
        /// The channel on which they were sent.
        channel: ChannelId,
        /// First offset that did not fit.
        offset: u64,
    },
    /// The relay gave the endpoint to another session.
    ListenerLost(ListenerId),
}

/// Half of a stream, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The receiving half.
    Read,
    /// The sending half.
    Write,
    /// Both halves.
    Both,
}
