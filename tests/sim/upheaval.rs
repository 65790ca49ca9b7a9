//! What happens to a world: its relay is restarted, a client gets another address.

use byway::error::Blocked;
use byway::session::Lane;

use crate::world::{Happens, World, index};

impl World {
    /// The relay is killed and started again on the same address, `down` ms later.
    pub fn restart_relay(&mut self, down: u64) {
        self.relay_generation += 1;
        self.relay_down_until = self.now + down;
        self.router.restart(&self.router_config, self.now + down);
        self.relay_timer = None;
        self.served.clear();
        let cut: Vec<_> =
            self.trips.iter().filter(|(_, t)| t.link.is_some()).map(|(&id, _)| id).collect();
        for id in cut {
            self.schedule(self.now + 1, Happens::Fails(id, Blocked::Cut, true));
        }
    }

    /// The connections of relays that were killed end.
    pub fn hear_of_cuts(&mut self) {
        for exchange in self.router.take_cut() {
            let link = self.link(exchange);
            let Some(id) = self.served.remove(&link).and_then(|served| served.trip) else {
                continue;
            };
            self.schedule(self.now + 1, Happens::Fails(id, Blocked::Cut, true));
        }
    }

    /// Has the client give up the exchange of a lane. While an answer is handed down, the client
    /// does that afterwards.
    fn break_off(&mut self, peer: usize, lane: Lane) {
        if let Some(id) = self.peers[peer].trips[index(lane)] {
            self.fail(id, Blocked::Cut, true);
        }
    }

    /// Changes the client's address: exchanges under way hang.
    pub fn roam(&mut self, peer: usize, is_told: bool) {
        let under_way = self.peers[peer].trips;
        for id in under_way.into_iter().flatten() {
            if let Some(trip) = self.trips.get_mut(&id) {
                trip.hang(self.now);
            }
        }
        if is_told && self.peers[peer].storage.is_single() {
            let now = self.now;
            self.peers[peer].speech.forget();
            self.peers[peer].session().network_changed(now);
            under_way[0].into_iter().for_each(|id| self.hang_up_on(id));
            self.woken(peer);
        } else if is_told {
            self.break_off(peer, Lane::Park);
            self.break_off(peer, Lane::Send);
            let now = self.now;
            self.peers[peer].session().network_changed(now);
            self.woken(peer);
        }
        self.settle();
    }
}
