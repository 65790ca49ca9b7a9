//! Names of channels and listeners: a slot, and how often it was used.

/// Highest generation of a slot: 24 bits of an id. A slot that reached it is not used again, so
/// that no id ever is.
pub(super) const MAX_GENERATION: u32 = 0xff_ffff;

/// A channel that the application holds. Never reused within a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelId(pub u32);

impl ChannelId {
    /// Index below the profile's number of channels; reused when the channel is over.
    pub const fn slot(self) -> usize {
        (self.0 >> 24) as usize
    }
}

/// A listener that the application holds. Never reused within a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u32);

impl ListenerId {
    /// Index below the profile's number of listeners; reused when the listener is closed.
    pub const fn slot(self) -> usize {
        (self.0 >> 24) as usize
    }
}

/// Id of a slot's generation.
pub(super) const fn id(slot: usize, generation: u32) -> u32 {
    (slot as u32) << 24 | generation
}

/// Slot and generation of an id.
pub(super) const fn slot(id: u32) -> (usize, u32) {
    ((id >> 24) as usize, id & MAX_GENERATION)
}
