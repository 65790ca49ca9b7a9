//! What a client's path does to every exchange: connections that are kept, addresses that change,
//! darkness, translators that forget, gateways with limits, slow uplinks.

use byway::error::Blocked;
use byway::session::{Exchange, Lane};

use crate::fate::Fate;
use crate::gate::Gate;
use crate::net::Trip;
use crate::world::{Happens, TripId, World, index};

/// When a client gives up an attempt to connect that is not answered, in ms.
pub const CONNECT_MS: u64 = 3_000;

/// When the kernel repeats an attempt to connect, in ms: once before the client gives it up.
const SYN_AGAIN_MS: u64 = 1_000;

/// How a client learns that there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialling {
    /// The client learns it at once: there is no route.
    Refused,
    /// The client is not told, and gives up by itself.
    Unanswered,
}

/// A client's path.
#[derive(Debug)]
pub struct Path {
    /// Whether connections outlive their exchanges.
    pub keeps: bool,
    /// For each lane the connection that is kept: when it last passed an octet, and whether it is
    /// dead.
    kept: [Option<(u64, bool)>; 2],
    dark_until: u64,
    dialling: Dialling,
    /// A translator forgets connections that passed nothing for this long, in ms.
    pub forgets: u64,
    /// A gateway ends exchanges that brought nothing for this long, in ms, with this status.
    pub tires: Option<(u64, u16)>,
    /// A gateway holds back octets of an answer that are not known to be its end, for this long, in
    /// ms, from the first octet on; 0 for none.
    pub corks: u64,
    /// A gateway with a limit for this client.
    pub gate: Option<Gate>,
    /// The largest body that a gateway takes, in octets.
    pub most_body: usize,
    /// The rate of the uplink in octets per second; 0 for no limit.
    pub uplink: u64,
    /// When the uplink has passed everything that it was given, in µs.
    uplink_free: u64,
    /// The length of each send so far in octets; those refused are counted, too.
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

    /// When `octets` more, given at `now`, have left, in ms.
    pub fn passes(&mut self, now: u64, octets: usize) -> u64 {
        if self.uplink == 0 {
            return now;
        }
        let begins = self.uplink_free.max(now * 1000);
        self.uplink_free = begins + octets as u64 * 1_000_000 / self.uplink;
        self.uplink_free.div_ceil(1000)
    }

    /// Notes that the exchange hangs if a translator has forgotten its connection.
    pub fn forget(&self, now: u64, trip: &mut Trip) {
        if now - trip.last > self.forgets {
            trip.hang(now);
        }
    }

    /// The number of connections that are kept, without that of a lane.
    pub fn keeps_beside(&self, lane: Lane) -> bool {
        self.kept[1 - index(lane)].is_some()
    }

    /// Whether the lane's next exchange has a connection.
    pub fn reuses(&self, lane: Lane) -> bool {
        self.kept[index(lane)].is_some()
    }

    /// The fate that the path gives to an exchange that begins; `None` if it passes.
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
    /// Notes that the exchange hangs: no octet passes any more, and neither side is told.
    pub fn hang(&mut self, now: u64) {
        if !self.hung {
            self.hung = true;
            self.hung_at = now;
        }
    }
}

impl World {
    /// Applies the path to an exchange that begins.
    pub fn on_path(&mut self, peer: usize, id: TripId, exchange: &Exchange) -> Option<Fate> {
        let &Exchange { lane, len, idle_ms, .. } = exchange;
        let now = self.now;
        let path = &mut self.peers[peer].path;
        // The client does the same.
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
            // The attempt to connect fails.
            self.schedule(now + CONNECT_MS, Happens::Fails(id, Blocked::Connect, false));
        }
        fate
    }

    /// Notes that an exchange is over: its connection serves the next one, or is dropped.
    pub fn path_over(&mut self, trip: &Trip, hangs_up: bool) {
        let path = &mut self.peers[trip.peer].path;
        path.kept[index(trip.lane)] = (path.keeps && !hangs_up).then_some((self.now, false));
        if trip.hung {
            let longest = &mut self.longest_hang[index(trip.lane)];
            *longest = (self.now - trip.hung_at).max(*longest);
        }
    }

    /// Changes the client's address as [`World::roam`] does; the connections that it keeps are
    /// dead, too.
    pub fn move_away(&mut self, peer: usize, is_told: bool) {
        for kept in &mut self.peers[peer].path.kept {
            match is_told {
                true => *kept = None,
                false => *kept = kept.map(|(used, _)| (used, true)),
            }
        }
        self.roam(peer, is_told);
    }

    /// Makes the client's path dark for this long: the octets under way are lost for good, and no
    /// connection can be made.
    pub fn go_dark(&mut self, peer: usize, ms: u64, dialling: Dialling) {
        let path = &mut self.peers[peer].path;
        path.dark_until = self.now + ms;
        path.dialling = dialling;
        self.move_away(peer, false);
    }

    /// The gateway may have run out of patience with an exchange.
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
