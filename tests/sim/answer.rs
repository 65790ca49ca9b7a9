//! How answers come down, and what happens to them on the way.

use byway::error::Blocked;
use byway::relay::router::Answer;

use crate::fate::Fate;
use crate::net::{Link, PIPE, show, status};
use crate::seen::Seen;
use crate::world::{Happens, TripId, World};

impl World {
    /// Takes the octets of an answer from the router, as far as the connection takes them.
    pub fn drain(&mut self, link: Link) {
        loop {
            let Some(served) = self.served.get_mut(&link) else { return };
            if served.out > PIPE {
                return;
            }
            let id = served.trip;
            let Some(answer) = self.router.poll_response(self.now, link.1) else {
                self.served.remove(&link);
                if let Some(id) = id {
                    self.schedule(self.now + 1, Happens::Fails(id, Blocked::Cut, true));
                }
                return;
            };
            let piece = match answer {
                Answer::Pending => return,
                Answer::Bytes(bytes) => {
                    served.answers = true;
                    served.out += bytes.len();
                    Some(bytes)
                }
                Answer::End => None,
            };
            if piece.is_none() {
                self.served.remove(&link);
            }
            let Some(id) = id else {
                if let Some(served) = self.served.get_mut(&link) {
                    served.out = 0;
                }
                continue;
            };
            let Some(peer) = self.trips.get(&id).map(|trip| trip.peer) else { continue };
            let latency = self.latency(peer);
            let corks = self.peers[peer].path.corks;
            if let Some(trip) = self.trips.get_mut(&id) {
                let ends = piece.is_none();
                trip.down.push_back(piece);
                if corks > 0 {
                    let held_until = trip.down_at.checked_sub(latency).filter(|_| !ends);
                    let held_until = held_until.filter(|until| *until > self.now);
                    let until = if ends { self.now } else { self.now + corks };
                    trip.down_at = held_until.unwrap_or(until) + latency;
                    let (at, count) = (trip.down_at, if ends { trip.down.len() } else { 1 });
                    (0..count).for_each(|_| self.schedule(at, Happens::Down(id)));
                    continue;
                }
                let at = match trip.fate {
                    Fate::LateDown(by) => self.now + latency + by,
                    Fate::HoldDown(every) => {
                        trip.begun + (self.now + latency - trip.begun).next_multiple_of(every)
                    }
                    _ => self.now + latency,
                };
                trip.down_at = trip.down_at.max(at);
                let at = trip.down_at;
                self.schedule(at, Happens::Down(id));
            }
        }
    }

    /// A piece of the answer arrives at the client.
    pub fn arrive_down(&mut self, id: TripId) {
        if self.stands(id, Happens::Down(id)) {
            return;
        }
        let Some(trip) = self.trips.get_mut(&id) else { return };
        let Some(piece) = trip.down.pop_front() else { return };
        if let (Some(link), Some(piece)) = (trip.link, &piece)
            && let Some(served) = self.served.get_mut(&link)
        {
            served.out = served.out.saturating_sub(piece.len());
            self.drain(link);
        }
        let Some(trip) = self.trips.get_mut(&id) else { return };
        if trip.fate == Fate::Mute {
            return;
        }
        let buffers = self.peers[trip.peer].whole || trip.fate == Fate::BufferDown;
        if !buffers {
            let after = self.now - trip.begun;
            if !std::mem::replace(&mut trip.heard, true) {
                self.peers[trip.peer].speech.hears(after);
            }
            trip.last = self.now;
        }
        let whole = buffers || self.on_answer.is_some() || self.on_relay.is_some();
        let Some(mut piece) = piece else { return self.end_down(id, whole) };
        if let Fate::StatusAfter(_) = trip.fate {
            return;
        }
        let mut cut = false;
        if let Fate::CutDown(most) | Fate::Http10(Some(most)) = trip.fate
            && trip.got + piece.len() > most
        {
            piece.truncate(most - trip.got);
            cut = true;
        }
        trip.got += piece.len();
        let looks_complete = matches!(trip.fate, Fate::Http10(_));
        if whole {
            trip.answer.extend_from_slice(&piece);
        } else if !self.hand_down(id, &piece) {
            return;
        }
        match cut {
            true if looks_complete => self.answered(id),
            true => self.fail(id, Blocked::Cut, true),
            false => {}
        }
    }

    /// The end of the answer arrives at the client, behind the `whole` answer or its pieces.
    fn end_down(&mut self, id: TripId, whole: bool) {
        let Some(trip) = self.trips.get_mut(&id) else { return };
        match trip.fate {
            Fate::StatusAfter(code) => return self.fail(id, status(code), true),
            Fate::CutDown(at) if at == trip.got => return self.fail(id, Blocked::Cut, true),
            _ => {}
        }
        if whole {
            let mut answer = std::mem::take(&mut trip.answer);
            if let Some(relay) = &mut self.on_relay {
                relay(trip.peer, &mut answer);
            }
            let seen = Seen { peer: trip.peer, lane: trip.lane, body: &answer };
            if self.on_answer.as_mut().is_some_and(|hook| hook(&seen)) {
                return self.fail(id, Blocked::Cut, true);
            }
            if !self.hand_down(id, &answer) {
                return;
            }
        }
        self.answered(id);
    }

    /// Gives octets of the answer to the session; false if the session wants no more.
    fn hand_down(&mut self, id: TripId, mut piece: &[u8]) -> bool {
        let Some(trip) = self.trips.get(&id) else { return false };
        let (n, lane, fate, is_first) = (trip.peer, trip.lane, trip.fate, trip.got == piece.len());
        if self.trace
            && let Some(trip) = self.trips.get_mut(&id)
        {
            show(self.now, trip, 1, piece);
        }
        if !matches!(fate, Fate::Cached) {
            if is_first {
                self.peers[n].last_answer.clear();
            }
            self.peers[n].last_answer.extend_from_slice(piece);
        }
        let most = self.peers[n].profile.io_buffer as u64;
        while !piece.is_empty() {
            let (now, size) = (self.now, 1 + self.rng.below(most) as usize);
            let (head, rest) = piece.split_at(size.min(piece.len()));
            piece = rest;
            let result = self.peers[n].session().handle_response(now, lane, head);
            self.peers[n].looks = true;
            self.woken(n);
            if let Err(cause) = result {
                self.fail(id, cause, true);
                return false;
            }
        }
        true
    }

    fn answered(&mut self, id: TripId) {
        let Some(trip) = self.trips.remove(&id) else { return };
        let now = self.now;
        let result = self.peers[trip.peer].session().handle_finished(now, trip.lane);
        self.over(id, trip, result.is_err());
    }
}
