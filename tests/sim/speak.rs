//! How clients with one connection send while their park waits, as the device's driver does.

use byway::session::Lane;

use crate::world::{Happens, TripId, World};

/// How long octets behind a request may bring no answer beyond the shortest exchange, and the least
/// that the shortest exchange counts as, in ms.
const SPEAK_MS: u64 = 250;
const SLOW_MS: u64 = 4_000;

/// How such a client sends.
#[derive(Debug)]
pub struct Speech {
    /// Whether the client was told of a proxy: it then hangs up to send.
    pub by_proxy: bool,
    /// Whether octets behind the request are kept from the relay.
    pub kept_back: bool,
    /// Whether the client hangs up to send, as it has noticed that octets are kept back.
    hindered: bool,
    /// The client's shortest exchange, in ms.
    shortest: u64,
    /// How often the client wrote behind a request, and how often it hung up.
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

    /// Forgets what was learnt of another path.
    pub fn forget(&mut self) {
        (self.hindered, self.shortest) = (false, SLOW_MS);
    }

    /// Notes that the answer begins, this long after the request.
    pub fn hears(&mut self, after: u64) {
        self.shortest = self.shortest.min(after);
    }
}

impl World {
    /// Does all work that is due, as the driver of a device does, and sleeps until the next
    /// deadline.
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

    /// The client has data to send while its exchange only waits.
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

    /// The octets behind the request may have brought no answer.
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
