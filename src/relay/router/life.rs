//! Whether sessions go on, and what their peers are told when they do not.

use super::Router;
use super::session::Life;
use crate::wire::{Address, Status};

impl Router {
    /// Two sessions have something to do with each other: each is told when the other is over.
    pub(super) fn acquaint(&mut self, a: Address, b: Address) {
        let most = self.config.peers;
        for (one, other) in [(a, b), (b, a)] {
            let Some(session) = self.sessions.get_mut(&one) else { continue };
            // The other is back: what was kept would end what they have to do with each other now.
            session.stored.gone.remove(&other);
            if session.peers.insert(other)
                && session.peers.len() > most
                && let Some(&any) = session.peers.iter().find(|peer| **peer != other)
            {
                session.peers.remove(&any);
            }
        }
    }

    /// A newer process of the session's owner claims a name that the session has or had.
    pub(super) fn succeed(&mut self, now: u64, peer: Address) {
        match self.absent(now, &peer) {
            Some(_) => self.give_up(now, peer),
            None => self.doubt(now, peer),
        }
    }

    /// If the session still lives it parks at once, since its park is ended.
    fn doubt(&mut self, now: u64, peer: Address) {
        let until = now + self.config.doubt_ms;
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        if session.life != Life::Going {
            return;
        }
        session.life = Life::Doubted(until);
        let park = session.park;
        self.doubts.insert((until, peer));
        if let Some(park) = park {
            self.end_park(now, park, Status::Ok);
        }
    }

    /// A request of the session arrived: should it be doubted, it gets as long again for its park.
    pub(super) fn heard_of(&mut self, now: u64, peer: Address) {
        let longer = now + self.config.doubt_ms;
        if let Some(session) = self.sessions.get_mut(&peer)
            && let Life::Doubted(until) = &mut session.life
        {
            self.doubts.remove(&(*until, peer));
            *until = longer;
            self.doubts.insert((longer, peer));
        }
    }

    /// The session parks: it goes on.
    pub(super) fn goes_on(&mut self, peer: Address) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        if let Life::Doubted(until) = std::mem::take(&mut session.life) {
            self.doubts.remove(&(until, peer));
        }
    }

    /// The session did not park in time.
    pub(super) fn give_up(&mut self, now: u64, peer: Address) {
        self.stats.lost += 1;
        self.end_session(now, peer);
    }

    /// The session is over: its peers are told.
    pub(super) fn end_life(&mut self, now: u64, peer: Address) {
        self.goes_on(peer);
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.life = Life::Over;
        for acquaintance in std::mem::take(&mut session.peers) {
            self.tell_gone(now, acquaintance, peer);
        }
    }

    /// Whether the session is known to be over, which `asker` is then told.
    pub(super) fn is_over(&mut self, now: u64, peer: Address, asker: Address) -> bool {
        let over = self.sessions.get(&peer).is_some_and(|session| session.life == Life::Over);
        if over {
            self.tell_gone(now, asker, peer);
        }
        over
    }

    fn tell_gone(&mut self, now: u64, to: Address, gone: Address) {
        let most = self.config.peers;
        let Some(session) = self.sessions.get_mut(&to) else { return };
        session.peers.remove(&gone);
        if session.stored.gone.len() < most && session.stored.gone.insert(gone) {
            self.poke(now, to);
        }
    }
}
