//! Listeners: what a session claims of the relay, and what is waiting to be accepted.

use super::channel::State;
use super::{ChannelId, ListenerId, Mode, Session};
use crate::error::{ConfigError, Error, ResourceError};
use crate::wire::{Endpoint, ListenReq, ListenRsp, Status};
use crate::{Kind, session::state::Phase};

/// How a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimState {
    Free = 0,
    /// Told to the relay with every park; not yet granted.
    Claiming,
    /// The relay said OK at least once.
    Granted,
    /// Refused or lost, for `status`; kept until its owner lets go of it.
    Lost,
}

/// A claim of an endpoint. All zeros is its initial state.
#[derive(Debug)]
pub(super) struct Claim {
    pub state: ClaimState,
    pub kind: Kind,
    pub backlog: u8,
    /// Status last heard of the relay, plus one; 0: none.
    heard: u8,
    generation: u32,
    pub endpoint: Endpoint,
    epoch: u64,
    pub wake: bool,
}

impl Claim {
    pub const fn new() -> Self {
        Self {
            state: ClaimState::Free,
            kind: Kind::Stream,
            backlog: 0,
            heard: 0,
            generation: 0,
            endpoint: Endpoint::EMPTY,
            epoch: 0,
            wake: false,
        }
    }

    pub fn is_claimed(&self) -> bool {
        matches!(self.state, ClaimState::Claiming | ClaimState::Granted)
    }
}

impl<M: Mode> Session<'_, M> {
    /// Claims `endpoint`; at most `backlog` (at least 1) connections wait to be accepted.
    ///
    /// The claim is granted when [`listening`](Self::listening) says so.
    ///
    /// # Errors
    /// `Duplicate` if this session claims it already, `Listeners` if no slot is free, `Closed`.
    pub fn listen(
        &mut self,
        _now: u64,
        endpoint: Endpoint,
        kind: Kind,
        backlog: u8,
    ) -> Result<ListenerId, Error> {
        self.check_open()?;
        if !M::LISTENS || M::kind(kind) != kind {
            return Err(ConfigError::Unsupported(super::NOT_MADE_FOR).into());
        }
        if self.claims.iter().any(|c| c.is_claimed() && c.endpoint == endpoint) {
            return Err(ConfigError::Duplicate.into());
        }
        let epoch = self.core.settings.epoch;
        let (slot, claim) = self
            .claims
            .iter_mut()
            .enumerate()
            .find(|(_, c)| c.state == ClaimState::Free && c.generation < super::MAX_GENERATION)
            .ok_or(ResourceError::Listeners)?;
        *claim = Claim {
            state: ClaimState::Claiming,
            kind,
            backlog: backlog.max(1),
            generation: claim.generation + 1,
            endpoint,
            epoch,
            ..Claim::new()
        };
        let id = super::id(slot, claim.generation);
        self.core.change_claims();
        self.core.wake_lanes();
        Ok(ListenerId(id))
    }

    /// Whether the relay has granted the claim.
    ///
    /// # Errors
    /// Why it was refused or lost; `Closed` if the listener is closed.
    pub fn listening(&self, id: ListenerId) -> Result<bool, Error> {
        let claim = &self.claims[self.claim(id)?];
        match claim.state {
            ClaimState::Lost => Err(refusal(claim.heard)),
            state => Ok(state == ClaimState::Granted),
        }
    }

    /// The endpoint that is claimed.
    ///
    /// # Errors
    /// `Closed` if the listener is closed.
    pub fn listener_endpoint(&self, id: ListenerId) -> Result<Endpoint, Error> {
        Ok(self.claims[self.claim(id)?].endpoint)
    }

    /// Ends the claim; connections not accepted yet are aborted. Does nothing if it is closed.
    pub fn unlisten(&mut self, now: u64, id: ListenerId) {
        let Ok(slot) = self.claim(id) else { return };
        let generation = self.claims[slot].generation;
        self.claims[slot] = Claim { generation, ..Claim::new() };
        self.core.change_claims();
        self.core.wake_lanes();
        for slot in 0..self.channels.len() {
            let channel = &self.channels[slot];
            if channel.claim == id.0 && !channel.accepted && channel.state != State::Free {
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
        let lost = self.listening(id).err();
        let next = self
            .channels
            .iter()
            .enumerate()
            .filter(|(_, c)| c.is_offered_to::<M>(id))
            .min_by_key(|(_, c)| c.arrival)
            .map(|(slot, _)| slot);
        match (next, lost) {
            (Some(slot), _) => {
                self.channels[slot].accepted = true;
                self.channels[slot].give_up_at = 0;
                Ok(Some(self.channel_id(slot)))
            }
            (None, Some(error)) => Err(error),
            (None, None) => Ok(None),
        }
    }

    /// Whether [`accept`](Self::accept) would not give `None`.
    ///
    /// # Errors
    /// `Closed` if the listener is closed.
    pub fn can_accept(&self, id: ListenerId) -> Result<bool, Error> {
        self.claim(id)?;
        Ok(self.listening(id).is_err() || self.channels.iter().any(|c| c.is_offered_to::<M>(id)))
    }

    /// The LISTEN_REQ of a claim, if it is to be told.
    pub(super) fn listen_req(&self, slot: usize) -> Option<ListenReq> {
        let claim = &self.claims[slot];
        claim.is_claimed().then(|| ListenReq {
            claim: super::id(slot, claim.generation),
            kind: claim.kind,
            port: claim.endpoint.port,
            owner: self.core.settings.owner,
            epoch: claim.epoch,
            backlog: claim.backlog,
            heard: claim.heard.checked_sub(1).and_then(Status::from_code),
            name: claim.endpoint.name,
        })
    }

    /// LISTEN_RSP came; whether it was news.
    pub(super) fn on_listen_rsp(&mut self, rsp: &ListenRsp) -> bool {
        if !M::LISTENS {
            return false;
        }
        let Ok(slot) = self.claim(ListenerId(rsp.claim)) else { return false };
        let claim = &mut self.claims[slot];
        if !claim.is_claimed() {
            return false;
        }
        let heard = rsp.status as u8 + 1;
        let is_news = M::SINGLE || claim.heard != heard;
        claim.heard = heard;
        let lost = match (rsp.status, claim.state) {
            (Status::Ok, _) => {
                claim.state = ClaimState::Granted;
                false
            }
            // A wrong clock does no harm: whoever was never granted goes above the holder, if there
            // is anything above.
            (Status::Taken, ClaimState::Claiming)
                if rsp.epoch >= claim.epoch && rsp.epoch != u64::MAX =>
            {
                claim.epoch = rsp.epoch + 1;
                claim.heard = 0;
                return false;
            }
            (Status::InUse | Status::Taken | Status::Limited, ClaimState::Claiming) => true,
            // A relay with other limits than the one before.
            (Status::Limited, ClaimState::Granted) => true,
            (Status::Taken, ClaimState::Granted) if rsp.epoch >= claim.epoch => true,
            (Status::InUse, ClaimState::Granted) => {
                claim.heard = Status::Taken as u8 + 1;
                true
            }
            _ => false,
        };
        if lost {
            claim.state = ClaimState::Lost;
            self.core.claims_changed = true;
            self.core.event(super::Event::ListenerLost(ListenerId(rsp.claim)));
        }
        self.wake_claim(slot);
        is_news
    }

    /// The claim for an endpoint, if there is one.
    pub(super) fn claim_of(&self, endpoint: &Endpoint) -> Option<usize> {
        self.claims.iter().position(|c| c.is_claimed() && c.endpoint == *endpoint)
    }

    /// How many connections of a claim wait to be accepted.
    pub(super) fn waiting(&self, listener: u32) -> usize {
        let waits = |c: &&super::channel::Channel| {
            c.claim == listener
                && !c.accepted
                && (matches!(c.state, State::Accepting | State::Established)
                    || !M::SINGLE && c.outlives_its_end())
        };
        self.channels.iter().filter(waits).count()
    }

    pub(super) fn listener_id(&self, slot: usize) -> ListenerId {
        ListenerId(super::id(slot, self.claims[slot].generation))
    }

    pub(super) fn wake_claim(&mut self, slot: usize) {
        self.claims[slot].wake = true;
        self.core.wakes.claims = true;
    }

    fn claim(&self, id: ListenerId) -> Result<usize, Error> {
        let (slot, generation) = super::slot(id.0);
        match self.claims.get(slot) {
            Some(c) if c.generation == generation && c.state != ClaimState::Free => Ok(slot),
            _ => Err(Error::Closed),
        }
    }

    fn check_open(&self) -> Result<(), Error> {
        match self.core.phase {
            Phase::Open => self.core.fatal(),
            _ => Err(Error::Closed),
        }
    }

    pub(super) fn check_usable(&self) -> Result<(), Error> {
        self.check_open()
    }
}

fn refusal(heard: u8) -> Error {
    match heard.checked_sub(1).and_then(Status::from_code) {
        Some(Status::Taken) => ConfigError::Taken.into(),
        Some(Status::Limited) => ResourceError::Relay.into(),
        _ => ConfigError::InUse.into(),
    }
}
