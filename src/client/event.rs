//! What happens to a client, for people and logs.

use std::fmt;

use crate::error::Blocked;
use crate::session::{ChannelId, Event, ListenerId};

/// Something that happened to the connection, with its cause. Nothing has to be done about it:
/// channels ride out what blocks the path until their linger time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The client dials its relay: at first, and after a change of the network.
    Connecting,
    /// The relay has answered for the first time: the client is open.
    Opened,
    /// Exchanges with the relay fail. Told once until the cause changes or the path is restored.
    PathBlocked {
        /// What stands in the way.
        cause: Blocked,
        /// What was seen: a status, a content type, the first characters of a page, an I/O error.
        /// At most 120 octets.
        seen: String,
    },
    /// Exchanges succeed again.
    PathRestored,
    /// The peer of a channel has not asked the relay for data lately.
    PeerAway(ChannelId),
    /// The peer of a channel is back.
    PeerBack(ChannelId),
    /// Bytes sent did not fit into the buffer of a channel's peer. They are sent again.
    Overflow {
        /// The channel.
        channel: ChannelId,
        /// First offset that did not fit.
        offset: u64,
    },
    /// A listener lost its endpoint; its `accept` says why.
    ListenerLost(ListenerId),
}

impl fmt::Display for ClientEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => write!(f, "connecting to the relay"),
            Self::Opened => write!(f, "open: the relay has answered"),
            Self::PathBlocked { cause, seen } if seen.is_empty() => {
                write!(f, "path to the relay blocked: {cause}")
            }
            Self::PathBlocked { cause, seen } => {
                write!(f, "path to the relay blocked: {cause} (seen: {seen})")
            }
            Self::PathRestored => write!(f, "path to the relay restored"),
            Self::PeerAway(channel) => write!(f, "channel {:#x}: peer away", channel.0),
            Self::PeerBack(channel) => write!(f, "channel {:#x}: peer back", channel.0),
            Self::Overflow { channel, offset } => {
                write!(f, "channel {:#x}: overflow at the peer from offset {offset}", channel.0)
            }
            Self::ListenerLost(listener) => {
                write!(f, "listener {:#x}: endpoint lost", listener.0)
            }
        }
    }
}

impl ClientEvent {
    pub(super) fn new(event: Event, seen: &str) -> Self {
        match event {
            Event::Connecting => Self::Connecting,
            Event::Opened => Self::Opened,
            Event::PathBlocked(cause) => Self::PathBlocked { cause, seen: seen.to_owned() },
            Event::PathRestored => Self::PathRestored,
            Event::PeerAway(channel) => Self::PeerAway(channel),
            Event::PeerBack(channel) => Self::PeerBack(channel),
            Event::Overflow { channel, offset } => Self::Overflow { channel, offset },
            Event::ListenerLost(listener) => Self::ListenerLost(listener),
        }
    }
}
