//! Listeners, as the application sees them.

use super::NOT_MADE_FOR;
use crate::Kind;
use crate::error::{ConfigError, Error, ResourceError};
use crate::session::channel::ChannelRecord;
use crate::session::ids::{self, ChannelId, ListenerId};
use crate::session::listener::Claim;
use crate::session::mode::Mode;
use crate::session::view::Session;
use crate::wire::{Endpoint, MAX_GREETING};

impl<M: Mode> Session<'_, M> {
    /// Claims `endpoint`; at most `backlog` (at least 1) connections wait to be accepted.
    ///
    /// The claim is granted when [`listening`](Self::listening) says so.
    ///
    /// # Errors
    /// `Duplicate` if this session claims it already, `KeyName` if the name is a key name and not the one
    /// that the settings prove, `Listeners` if no slot is free, `Closed`.
    pub fn listen(
        &mut self,
        now: u64,
        endpoint: Endpoint,
        kind: Kind,
        backlog: u8,
    ) -> Result<ListenerId, Error> {
        self.listen_greeting(now, endpoint, kind, backlog, &[])
    }

    /// Claims `endpoint` as [`listen`](Self::listen) does, and answers each connection with `greeting`,
    /// at most [`MAX_GREETING`] octets, which the connector reads by [`greeting`](Self::greeting).
    ///
    /// The answer goes before [`accept`](Self::accept) gives the connection, so that it says nothing of
    /// one connection in particular.
    ///
    /// # Errors
    /// The errors of `listen`; `Greeting` if the greeting is too long, `Unsupported` if a
    /// [`Single`](crate::session::Single) session is given one.
    pub fn listen_greeting(
        &mut self,
        _now: u64,
        endpoint: Endpoint,
        kind: Kind,
        backlog: u8,
        greeting: &[u8],
    ) -> Result<ListenerId, Error> {
        self.core.check_open()?;
        if !M::LISTENS || M::kind(kind) != kind || M::SINGLE && !greeting.is_empty() {
            return Err(ConfigError::Unsupported(NOT_MADE_FOR).into());
        }
        if greeting.len() > MAX_GREETING {
            return Err(ConfigError::Greeting.into());
        }
        #[cfg(feature = "secure")]
        self.check_claimed(&endpoint.name)?;
        if self.claims.iter().any(|c| c.is_of(&endpoint)) {
            return Err(ConfigError::Duplicate.into());
        }
        let slot =
            self.claims.iter().position(|c| c.is_usable()).ok_or(ResourceError::Listeners)?;
        self.claims[slot].claim(endpoint, kind, backlog, self.core.settings.epoch, greeting);
        self.core.debts.claim_changes();
        self.core.wake_lanes();
        Ok(self.claims[slot].id(slot))
    }

    /// Whether the relay has granted the claim.
    ///
    /// # Errors
    /// Why it was refused or lost; `Closed` if the listener is closed.
    pub fn listening(&self, id: ListenerId) -> Result<bool, Error> {
        self.claims[self.held_claim(id)?].granted()
    }

    /// The endpoint that is claimed.
    ///
    /// # Errors
    /// `Closed` if the listener is closed.
    pub fn listener_endpoint(&self, id: ListenerId) -> Result<Endpoint, Error> {
        Ok(self.claims[self.held_claim(id)?].endpoint())
    }

    /// Ends the claim; connections not accepted yet are aborted. Does nothing if it is closed.
    pub fn unlisten(&mut self, now: u64, id: ListenerId) {
        let Ok(slot) = self.held_claim(id) else { return };
        self.claims[slot].release();
        self.core.debts.claim_changes();
        self.core.wake_lanes();
        for slot in 0..self.channels.len() {
            if self.channels[slot].waits_at(id) {
                self.give_up(now, slot);
            }
        }
    }

    /// Takes the connection that has waited longest; `None` while none waits. Its peer may have ended
    /// it already: then what came is read first, as with TCP.
    ///
    /// # Errors
    /// As [`listening`](Self::listening).
    pub fn accept(&mut self, _now: u64, id: ListenerId) -> Result<Option<ChannelId>, Error> {
        let granted = self.listening(id);
        let mut oldest: Option<(u32, usize)> = None;
        for (slot, channel) in self.channels.iter().enumerate() {
            if let Some(arrival) = channel.is_offered_to::<M>(id)
                && oldest.is_none_or(|(before, _)| arrival < before)
            {
                oldest = Some((arrival, slot));
            }
        }
        match (oldest, granted) {
            (Some((_, slot)), _) => {
                self.channels[slot].accept();
                Ok(Some(self.channel_id(slot)))
            }
            (None, Err(error)) => Err(error),
            (None, Ok(_)) => Ok(None),
        }
    }

    /// Whether [`accept`](Self::accept) would not give `None`.
    ///
    /// # Errors
    /// `Closed` if the listener is closed.
    pub fn can_accept(&self, id: ListenerId) -> Result<bool, Error> {
        let slot = self.held_claim(id)?;
        let is_offered = self.channels.iter().any(|c| c.is_offered_to::<M>(id).is_some());
        Ok(is_offered || self.claims[slot].granted().is_err())
    }

    /// The greeting with which the listener of the channel in this slot answers.
    pub(in crate::session) fn answer(&self, slot: usize) -> &[u8] {
        Self::answer_of(self.claims, &self.channels[slot])
    }

    /// The same for a channel, of these claims.
    pub(in crate::session) fn answer_of<'c>(
        claims: &'c [Claim<M>],
        channel: &ChannelRecord,
    ) -> &'c [u8] {
        let claim = || {
            let (slot, generation) = ids::slot(channel.listener()?.0);
            claims.get(slot).filter(|claim| claim.is_held(generation))
        };
        if M::SINGLE { &[] } else { claim().map_or(&[], Claim::answer) }
    }

    /// The slot of a claim that the application holds.
    fn held_claim(&self, id: ListenerId) -> Result<usize, Error> {
        let (slot, generation) = ids::slot(id.0);
        match self.claims.get(slot) {
            Some(claim) if claim.is_held(generation) => Ok(slot),
            _ => Err(Error::Closed),
        }
    }
}
