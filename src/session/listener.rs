//! Listeners: what a session claims of the relay.

use super::ids::{self, ListenerId, MAX_GENERATION};
use super::mode::{Full, Mode};
use crate::Kind;
#[cfg(feature = "secure")]
use crate::error::KeyNameFault;
use crate::error::{ConfigError, Error, ResourceError};
use crate::wire::{ChannelKind, Endpoint, ListenReq, ListenRsp, Status};

/// How a claim stands.
///
/// ```text
///   Free ── listen ──▶ Claiming ── OK, or a connection ──▶ Granted
///    ▲                    │ IN_USE, TAKEN, LIMITED,           │ the same, or another holder
///    │                    │ UNPROVED, FORBIDDEN               │
///    │                    └───────────▶ Lost ◀────────────────┘
///    └── unlisten, from any state
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClaimState {
    Free = 0,
    /// Told to the relay with every park; not yet granted.
    Claiming,
    /// The relay said OK at least once.
    Granted,
    /// Refused or lost, for the status heard; kept until its owner lets go of it.
    Lost,
}

/// What the relay said of a claim last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Heard {
    Nothing = 0,
    Said(Status),
}

/// What LISTEN_RSP changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// Nothing: it is of no claim, or the next park asks with a higher epoch.
    Nothing,
    /// It was heard of again.
    Heard { is_news: bool },
    /// The claim is lost.
    Lost { is_news: bool },
}

/// A claim of an endpoint. All zeros is its initial state.
#[derive(Debug)]
pub struct Claim<M: Mode = Full> {
    state: ClaimState,
    kind: Kind,
    backlog: u8,
    heard: Heard,
    generation: u32,
    endpoint: Endpoint,
    epoch: u64,
    /// What connections are answered with.
    answer: M::Answer,
}

impl<M: Mode> Claim<M> {
    pub const fn new() -> Self {
        Self {
            state: ClaimState::Free,
            kind: Kind::Stream,
            backlog: 0,
            heard: Heard::Nothing,
            generation: 0,
            endpoint: Endpoint::EMPTY,
            epoch: 0,
            answer: M::NO_ANSWER,
        }
    }

    /// Whether it may be made for another endpoint.
    pub fn is_usable(&self) -> bool {
        self.state == ClaimState::Free && self.generation < MAX_GENERATION
    }

    /// Whether it is told to the relay.
    pub fn is_claimed(&self) -> bool {
        matches!(self.state, ClaimState::Claiming | ClaimState::Granted)
    }

    /// Whether it claims that endpoint.
    pub fn is_of(&self, endpoint: &Endpoint) -> bool {
        self.is_claimed() && self.endpoint == *endpoint
    }

    /// Whether the application holds it by that generation of its slot.
    pub fn is_held(&self, generation: u32) -> bool {
        self.state != ClaimState::Free && self.generation == generation
    }

    pub const fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    pub const fn kind(&self) -> Kind {
        self.kind
    }

    pub const fn backlog(&self) -> u8 {
        self.backlog
    }

    /// Its id, as it is in that slot.
    pub const fn id(&self, slot: usize) -> ListenerId {
        ListenerId(ids::id(slot, self.generation))
    }

    /// Whether the relay has granted it.
    ///
    /// # Errors
    /// Why it was refused or lost.
    pub fn granted(&self) -> Result<bool, Error> {
        match (self.state, self.heard) {
            (ClaimState::Lost, Heard::Said(Status::Taken)) => Err(ConfigError::Taken.into()),
            (ClaimState::Lost, Heard::Said(Status::Limited)) => Err(ResourceError::Relay.into()),
            (ClaimState::Lost, Heard::Said(Status::Forbidden)) => {
                Err(ConfigError::Forbidden.into())
            }
            #[cfg(feature = "secure")]
            (ClaimState::Lost, Heard::Said(Status::Unproved)) => Err(KeyNameFault::Unproved.into()),
            (ClaimState::Lost, _) => Err(ConfigError::InUse.into()),
            (state, _) => Ok(state == ClaimState::Granted),
        }
    }

    /// The greeting with which connections are answered.
    pub fn answer(&self) -> &[u8] {
        M::answer(&self.answer)
    }

    /// The application claims an endpoint, and gives the greeting of its answers.
    pub fn claim(
        &mut self,
        endpoint: Endpoint,
        kind: Kind,
        backlog: u8,
        epoch: u64,
        answer: &[u8],
    ) {
        *self = Self {
            state: ClaimState::Claiming,
            kind,
            backlog: backlog.max(1),
            generation: self.generation + 1,
            endpoint,
            epoch,
            ..Self::new()
        };
        M::set_answer(&mut self.answer, answer);
    }

    /// The application lets go of it.
    pub fn release(&mut self) {
        *self = Self { generation: self.generation, ..Self::new() };
    }

    /// A connection came by it, so that the relay has granted it; whether that is news.
    pub fn grant(&mut self) -> bool {
        let is_news = self.state == ClaimState::Claiming;
        if is_news {
            self.state = ClaimState::Granted;
        }
        is_news
    }

    /// Whether PROOF goes with it: the relay has not said that it has one.
    #[cfg(feature = "secure")]
    pub fn owes_proof(&self) -> bool {
        self.is_claimed()
            && self.endpoint.name.is_key_name()
            && matches!(self.heard, Heard::Nothing | Heard::Said(Status::Prove))
    }

    /// Its LISTEN_REQ, as it is in that slot, if it is to be told.
    pub fn listen_req(&self, slot: usize, owner: [u8; 16], encrypted: bool) -> Option<ListenReq> {
        let heard = match self.heard {
            Heard::Nothing => None,
            Heard::Said(status) => Some(status),
        };
        self.is_claimed().then(|| ListenReq {
            claim: self.id(slot).0,
            kind: ChannelKind { kind: self.kind, encrypted },
            port: self.endpoint.port,
            owner,
            epoch: self.epoch,
            backlog: self.backlog,
            heard,
            name: self.endpoint.name,
        })
    }

    /// LISTEN_RSP of this claim came. `single` sessions take everything for news.
    pub fn on_listen_rsp(&mut self, rsp: &ListenRsp, single: bool) -> Claimed {
        if !self.is_claimed() {
            return Claimed::Nothing;
        }
        let heard = Heard::Said(rsp.status);
        let is_news = single || self.heard != heard;
        self.heard = heard;
        let is_lost = match (rsp.status, self.state) {
            (Status::Ok, _) => {
                self.state = ClaimState::Granted;
                false
            }
            // A wrong clock does no harm: a claim that was never granted goes above the holder. At the
            // end of all numbers the newer claim holds.
            (Status::Taken, ClaimState::Claiming)
                if rsp.epoch >= self.epoch && self.epoch != u64::MAX =>
            {
                self.epoch = rsp.epoch.saturating_add(1);
                self.heard = Heard::Nothing;
                return Claimed::Nothing;
            }
            (Status::InUse, _) => true,
            (Status::Taken, _) => rsp.epoch >= self.epoch,
            // With a granted claim: a relay with other limits, or another policy, than before.
            (Status::Limited | Status::Forbidden, _) => true,
            // A relay with other hosts than before.
            #[cfg(feature = "secure")]
            (Status::Unproved, _) => true,
            _ => false,
        };
        if is_lost {
            self.state = ClaimState::Lost;
            return Claimed::Lost { is_news };
        }
        Claimed::Heard { is_news }
    }
}
