//! A session as a view of the memory that its owner gives, and where what lies in it.

use super::channel::ChannelRecord;
use super::channel::tombstone::Tombstone;
use super::exchange::Transfer;
use super::ids::{self, ChannelId};
use super::listener::Claim;
use super::mode::{Full, Mode};
use super::rings::Rings;
use super::state::Core;
use super::terms::Lane;
use crate::error::Error;
use crate::wire;

/// A session: a view of the memory that its owner gives. See the [module](super).
#[derive(Debug)]
pub struct Session<'s, M: Mode = Full> {
    pub(super) core: &'s mut Core<M>,
    pub(super) channels: &'s mut [ChannelRecord],
    pub(super) tombstones: &'s mut [Tombstone],
    pub(super) claims: &'s mut [Claim<M>],
    pub(super) rings: Rings<'s, M>,
    /// The room of each lane's exchange.
    pub(super) transfers: &'s mut [Transfer],
}

impl<M: Mode> Session<'_, M> {
    /// The room of an exchange, and the session without it: what comes is read in place.
    pub(super) fn apart(&mut self, lane: Lane) -> (&mut Transfer, Session<'_, M>) {
        let session = Session {
            core: self.core,
            channels: self.channels,
            tombstones: self.tombstones,
            claims: self.claims,
            rings: self.rings.reborrow(),
            transfers: &mut [],
        };
        (&mut self.transfers[lane as usize], session)
    }

    /// The claims that there can be.
    pub(super) fn claims(&self) -> &[Claim<M>] {
        if M::LISTENS { self.claims } else { &[] }
    }

    /// This end of a channel.
    pub(super) fn local(&self, slot: usize) -> wire::ChannelRef {
        self.channels[slot].local(slot)
    }

    pub(super) fn channel_id(&self, slot: usize) -> ChannelId {
        ChannelId(ids::id(slot, self.channels[slot].generation()))
    }

    /// The slot of a channel that the application holds.
    pub(super) fn held(&self, id: ChannelId) -> Result<usize, Error> {
        let (slot, generation) = ids::slot(id.0);
        match self.channels.get(slot) {
            Some(c) if c.generation() == generation && !c.is_free() && c.is_held() => Ok(slot),
            _ => Err(Error::Closed),
        }
    }

    /// Whoever waits for the channel in this slot is to look again.
    pub(super) fn wake_channel(&mut self, slot: usize) {
        if !M::SINGLE {
            self.core.wakes.channels[slot / 32] |= 1 << (slot % 32);
        }
    }

    /// Whoever waits for the claim in this slot is to look again.
    pub(super) fn wake_claim(&mut self, slot: usize) {
        self.core.wakes.claims |= 1 << slot;
    }
}
