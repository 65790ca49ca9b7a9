//! How clients with one connection speak while they are parked, as the device's driver does.

use byway::session::Lane;

use crate::world::{Happens, TripId, World};

/// How long octets behind a request may bring no answer beside the shortest exchange, and what that
/// counts as at most, in ms.
const SPEAK_MS: u64 = 250;
const SLOW_MS: u64 = 4_000;

/// How such a client speaks.
#[derive(Debug)]
pub struct Speech {
    /// It was told of a proxy: it does so by hanging up.
    pub by_proxy: bool,
    /// What it says behind a request does not reach the relay.
    pub kept_back: bool,
    /// It does so by hanging up, as it has noticed something on the way.
    hindered: bool,
    /// Its shortest exchange, in ms.
    shortest: u64,
    /// How often it wrote behind a request, and hung up.
    pub spoken: u64,
    pub hung_up: u64,
}

impl Speech {
    pub const NEW: Self = Self {
        by_proxy: false,
        kept_back: false,
        hindered: false,
        shortest: SLOW_MS,
        spoken: 0,
        hung_up: 0,
    };

    /// The path is another.
    pub fn forget(&mut self) {
        (self.hindered, self.shortest) = (false, SLOW_MS);
    }

    /// The answer begins, so long after the request.
    pub fn hears(&mut self, after: u64) {
        self.shortest = self.shortest.min(after);
    }
}

impl World {
    /// Does what there is to do, as the driver of a device does, and sleeps until the next deadline.
    pub fn poll_device(&mut self, n: usize) {
        let (now, lane) = (self.now, Lane::Park);
        let peer = &mut self.peers[n];
        peer.polls = false;
        let mut session = peer.storage.session();
        session.handle_timeout(now);
        if peer.trips[0].is_none()
            && let Some(exchange) = session.poll_exchange(now, lane)
        {
            self.begin(n, &exchange);
            self.peers[n].looks = true;
        }
        let peer = &mut self.peers[n];
        if let Some(id) = peer.trips[0]
            && peer.session().poll_wake().is_some()
        {
            self.speak(id);
        }
        let peer = &mut self.peers[n];
        let due = peer.session().poll_timeout(lane);
        if !peer.polls && due.is_some_and(|due| due <= now) {
            panic!("a deadline that nothing meets: {due:?}\n{}", self.dump());
        }
        self.set_timer(n, lane);
        if std::mem::take(&mut self.peers[n].looks) {
            self.wake_all(n);
        }
    }

    /// The client has something to say while its exchange only waits.
    pub fn speak(&mut self, id: TripId) {
        let latency = self.latency(Self::peer_of(id));
        let Some(trip) = self.trips.get_mut(&id) else { return };
        if trip.heard || trip.spoken {
            return;
        }
        let speech = &mut self.peers[trip.peer].speech;
        if speech.by_proxy || speech.hindered {
            return self.hang_up_on(id);
        }
        trip.spoken = true;
        speech.spoken += 1;
        let (kept_back, patience) = (speech.kept_back, SPEAK_MS + speech.shortest);
        let at = trip.up_at.max(self.now + latency);
        if !kept_back {
            self.schedule(at, Happens::Spoken(id));
        }
        self.schedule(self.now + patience, Happens::Unanswered(id));
    }

    /// Octets behind a request arrive at the relay.
    pub fn spoken(&mut self, id: TripId) {
        if self.stands(id, Happens::Spoken(id)) {
            return;
        }
        if let Some(link) = self.trips[&id].link
            && self.served.get(&link).is_some_and(|served| served.awaits_word())
        {
            self.router.handle_behind(self.now, link.1);
        }
    }

    /// What was said may have brought nothing.
    pub fn unanswered(&mut self, id: TripId) {
        if let Some(trip) = self.trips.get(&id)
            && !trip.heard
        {
            self.peers[trip.peer].speech.hindered = true;
            self.hang_up_on(id);
        }
    }

    /// The client breaks its exchange on purpose.
    pub fn hang_up_on(&mut self, id: TripId) {
        let Some(trip) = self.trips.remove(&id) else { return };
        if self.trace {
            println!("{} peer {} hangs up", self.now, trip.peer);
        }
        let peer = &mut self.peers[trip.peer];
        peer.speech.hung_up += 1;
        peer.storage.session().break_exchange(self.now, Lane::Park);
        self.over(id, trip, true);
    }
}
