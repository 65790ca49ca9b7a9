//! Gateways that allow a client one connection, one exchange at a time, or a rate of exchanges.

use byway::error::Blocked;
use byway::session::Lane;

use crate::fate::Fate;
use crate::net::{Link, Trip};
use crate::path::CONNECT_MS;
use crate::world::{Happens, TripId, World, index};

/// The limit of a gateway for one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// One connection: the gateway refuses a client that dials for another.
    OneConnection,
    /// One connection: the gateway does not answer a client that dials for another.
    OneConnectionInSilence,
    /// One exchange: the gateway answers another one with this status.
    OneExchange(u16),
    /// One exchange: another one waits until the first is over.
    Queue,
    /// One exchange every so many ms, and a burst of so many more.
    Rate { every: u64, burst: u64 },
}

/// A gateway before one client.
#[derive(Debug)]
pub struct Gate {
    pub limit: Limit,
    /// Whether the gateway overlooks that the client hangs up before the relay has answered.
    pub overlooks: bool,
    /// The seconds after which the gateway asks the client to come back.
    pub retry_after: Option<u8>,
    /// The exchanges that are under way for the gateway alone.
    pub overlooked: Vec<Link>,
    /// The time up to which the rate is used up.
    pub paid_until: u64,
}

impl Gate {
    pub const fn new(limit: Limit) -> Self {
        Self { limit, overlooks: false, retry_after: None, overlooked: Vec::new(), paid_until: 0 }
    }

    fn refusal(&self, status: u16) -> Fate {
        match self.retry_after {
            Some(seconds) => Fate::Later(status, seconds),
            None => Fate::Status(status),
        }
    }
}

impl World {
    /// What the gateway does to an exchange that begins.
    pub fn at_gate(&mut self, peer: usize, lane: Lane) -> Option<Fate> {
        let now = self.now;
        let beside = self.peers[peer].trips[1 - index(lane)]
            .is_some_and(|id| self.trips.get(&id).is_some_and(|trip| trip.connects()));
        let path = &mut self.peers[peer].path;
        let (dials, kept) = (!path.reuses(lane), path.keeps_beside(lane));
        let gate = path.gate.as_mut()?;
        gate.overlooked.retain(|link| self.served.contains_key(link));
        let taken = beside || !gate.overlooked.is_empty();
        match gate.limit {
            Limit::OneConnection if dials && (taken || kept) => Some(Fate::Refused),
            Limit::OneConnectionInSilence if dials && (taken || kept) => {
                let seq = self.peers[peer].trips[index(lane)]?;
                self.schedule(now + CONNECT_MS, Happens::Fails(seq, Blocked::Connect, false));
                Some(Fate::Unanswered)
            }
            Limit::OneExchange(status) if taken => Some(gate.refusal(status)),
            Limit::Rate { every, burst } if gate.paid_until > now + burst * every => {
                Some(gate.refusal(429))
            }
            Limit::Rate { every, .. } => {
                gate.paid_until = gate.paid_until.max(now) + every;
                None
            }
            Limit::OneConnection
            | Limit::OneConnectionInSilence
            | Limit::OneExchange(_)
            | Limit::Queue => None,
        }
    }

    /// Whether an exchange waits at a gateway for another one to end.
    pub fn queues(&mut self, id: TripId) -> bool {
        let peer = Self::peer_of(id);
        let under_way = self.peers[peer].trips;
        let Some(gate) = self.peers[peer].path.gate.as_mut() else { return false };
        if gate.limit != Limit::Queue || self.trips[&id].admitted {
            return false;
        }
        gate.overlooked.retain(|link| self.served.contains_key(link));
        let others = under_way.into_iter().flatten().filter(|&other| other != id);
        let first =
            |other: TripId| self.trips.get(&other).is_some_and(|t| t.admitted || other < id);
        let waits = !gate.overlooked.is_empty() || others.into_iter().any(first);
        if let Some(trip) = self.trips.get_mut(&id) {
            trip.admitted = !waits;
        }
        waits
    }

    /// Whether a gateway overlooks that the client has hung up.
    pub fn overlooks(&mut self, trip: &Trip, link: Link) -> bool {
        let Some(gate) = self.peers[trip.peer].path.gate.as_mut() else { return false };
        if !gate.overlooks || !self.served.contains_key(&link) {
            return false;
        }
        // The answer has no reader any more.
        if let Some(served) = self.served.get_mut(&link) {
            served.trip = None;
        }
        gate.overlooked.push(link);
        true
    }
}

impl Trip {
    /// Whether the client has a connection, or a request, at the gateway.
    fn connects(&self) -> bool {
        !matches!(
            self.fate,
            Fate::Refused | Fate::Unanswered | Fate::Status(_) | Fate::Later(..) | Fate::Swallowed
        )
    }
}
