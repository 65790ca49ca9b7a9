//! What a client's path does to every exchange: connections that are kept, addresses that change,
//! darkness, translators that forget, gateways with limits, slow uplinks.

use byway::error::Blocked;
use byway::session::{Exchange, Lane};

use crate::fate::Fate;
use crate::gate::Gate;
use crate::net::Trip;
use crate::world::{Happens, TripId, World, index};

/// When a client gives up a connection that is not answered, in ms.
pub const CONNECT_MS: u64 = 3_000;

/// When the kernel asks again for a connection, in ms: once before the client gives it up.
const SYN_AGAIN_MS: u64 = 1_000;

/// How a client learns that no connection is to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialling {
    /// At once: there is no route.
    Refused,
    /// Not at all; it gives up by itself.
    Unanswered,
}

/// A client's path.
#[derive(Debug)]
pub struct Path {
    /// Connections outlive their exchanges.
    pub keeps: bool,
    /// For each lane the connection kept: when it last passed anything, and whether it is dead.
    kept: [Option<(u64, bool)>; 2],
    dark_until: u64,
    dialling: Dialling,
    /// A translator forgets connections that passed nothing for so long, in ms.
    pub forgets: u64,
    /// A gateway ends exchanges that brought nothing for so long, in ms, with this status.
    pub tires: Option<(u64, u16)>,
    /// A gateway holds back what it does not know to be the end of an answer, for so long, in ms, from
    /// the first octet on that it holds; 0: not.
    pub corks: u64,
    /// A gateway lets the client have but so much.
    pub gate: Option<Gate>,
    /// Largest body that a gateway takes, in octets.
    pub most_body: usize,
    /// Octets that go up in a second; 0: no limit.
    pub uplink: u64,
    /// When it has passed everything that was given it, in µs.
    uplink_free: u64,
    /// Octets of each send so far, refused ones as well.
    pub bodies: Vec<usize>,
}

impl Path {
    pub const CLEAN: Self = Self {
        keeps: false,
        kept: [None; 2],
        dark_until: 0,
        dialling: Dialling::Refused,
        forgets: u64::MAX,
        tires: None,
        corks: 0,
        gate: None,
        most_body: usize::MAX,
        uplink: 0,
        uplink_free: 0,
        bodies: Vec::new(),
    };

    /// The client drops the connection that it kept for a lane.
    pub fn drop_kept(&mut self, lane: Lane) {
        self.kept[index(lane)] = None;
    }

    /// When `octets` more have left, given at `now`, in ms.
    pub fn passes(&mut self, now: u64, octets: usize) -> u64 {
        if self.uplink == 0 {
            return now;
        }
        let begins = self.uplink_free.max(now * 1000);
        self.uplink_free = begins + octets as u64 * 1_000_000 / self.uplink;
        self.uplink_free.div_ceil(1000)
    }

    /// Nothing of the exchange passes any more if a translator has forgotten it.
    pub fn forget(&self, now: u64, trip: &mut Trip) {
        if now - trip.last > self.forgets {
            trip.hang(now);
        }
    }

    /// Connections that are kept, but for that of a lane.
    pub fn keeps_beside(&self, lane: Lane) -> bool {
        self.kept[1 - index(lane)].is_some()
    }

    /// Whether the lane's next exchange has a connection.
    pub fn reuses(&self, lane: Lane) -> bool {
        self.kept[index(lane)].is_some()
    }

    /// What becomes of an exchange that begins; `None`: nothing.
    fn meets(&mut self, now: u64, lane: Lane, len: usize) -> Option<Fate> {
        match self.kept[index(lane)] {
            Some((used, dead)) if dead || now - used > self.forgets => {
                return Some(Fate::Swallowed);
            }
            None if now < self.dark_until => {
                return Some(match self.dialling {
                    Dialling::Refused => Fate::Refused,
                    Dialling::Unanswered if self.dark_until <= now + SYN_AGAIN_MS => {
                        Fate::LateUp(SYN_AGAIN_MS)
                    }
                    Dialling::Unanswered => Fate::Swallowed,
                });
            }
            _ => {}
        }
        (len > self.most_body).then_some(Fate::Status(413))
    }
}

impl Trip {
    /// Nothing of it passes any more, and nobody is told.
    pub fn hang(&mut self, now: u64) {
        if !self.hung {
            self.hung = true;
            self.hung_at = now;
        }
    }
}

impl World {
    /// What the path does to an exchange that begins.
    pub fn on_path(&mut self, peer: usize, id: TripId, exchange: &Exchange) -> Option<Fate> {
        let &Exchange { lane, len, idle_ms, .. } = exchange;
        let now = self.now;
        let path = &mut self.peers[peer].path;
        // As the client does.
        path.kept[index(lane)].take_if(|(used, _)| now - *used > u64::from(idle_ms));
        if lane == Lane::Send {
            path.bodies.push(len);
        }
        if let Some((after, _)) = path.tires {
            self.schedule(now + after, Happens::Tires(id));
        }
        let gated = self.at_gate(peer, lane);
        let path = &mut self.peers[peer].path;
        let fate = path.meets(now, lane, len).or(gated);
        if fate == Some(Fate::Swallowed) && path.kept[index(lane)].is_none() {
            // No connection comes about.
            self.schedule(now + CONNECT_MS, Happens::Fails(id, Blocked::Connect, false));
        }
        fate
    }

    /// An exchange is over: its connection serves the next one, or is dropped.
    pub fn path_over(&mut self, trip: &Trip, hangs_up: bool) {
        let path = &mut self.peers[trip.peer].path;
        path.kept[index(trip.lane)] = (path.keeps && !hangs_up).then_some((self.now, false));
        if trip.hung {
            let longest = &mut self.longest_hang[index(trip.lane)];
            *longest = (self.now - trip.hung_at).max(*longest);
        }
    }

    /// The client's address changes as by [`World::roam`]; what it keeps is dead, too.
    pub fn move_away(&mut self, peer: usize, is_told: bool) {
        for kept in &mut self.peers[peer].path.kept {
            match is_told {
                true => *kept = None,
                false => *kept = kept.map(|(used, _)| (used, true)),
            }
        }
        self.roam(peer, is_told);
    }

    /// The client's path goes dark for so long: what is under way is lost for good, and there are
    /// no new connections.
    pub fn go_dark(&mut self, peer: usize, ms: u64, dialling: Dialling) {
        let path = &mut self.peers[peer].path;
        path.dark_until = self.now + ms;
        path.dialling = dialling;
        self.move_away(peer, false);
    }

    /// The gateway's patience with an exchange may be over.
    pub fn tires(&mut self, id: TripId) {
        let Some(trip) = self.trips.get(&id) else { return };
        let Some((after, status)) = self.peers[trip.peer].path.tires else { return };
        if trip.hung {
            return;
        }
        let over = trip.last + after;
        if self.now < over {
            self.schedule(over, Happens::Tires(id));
        } else if trip.got == 0 {
            self.fail(id, Blocked::Http(status), true);
        } else {
            self.fail(id, Blocked::Cut, true);
        }
    }
}
