//! Parks: how they arrive, what is written into them, and what ends them. Answers to sends, too.

use bytes::{Bytes, BytesMut};

use super::exchange::{State, Upload};
use super::response::Phase;
use super::upload::Failure;
use super::{ExchangeId, Router};
use crate::wire::{Address, End, HelloFlags, MAX_CONTROL, Message, Status, Tick, VERSION, Welcome};

impl Router {
    /// Reads on in an upload, and deals with its end.
    pub(super) fn drive(&mut self, now: u64, id: ExchangeId, chunk: &mut Bytes) {
        let upload = self.exchanges.get_mut(&id).and_then(|exchange| exchange.upload.take());
        let Some(mut upload) = upload else {
            chunk.clear();
            return;
        };
        let mut rest = std::mem::take(&mut upload.state.rest);
        self.held -= rest.len();
        let chunk = if upload.state.park.is_some() { &mut rest } else { chunk };
        match self.read(now, id, &mut upload, chunk) {
            Ok(false) => {
                if upload.state.park.is_some() {
                    self.held += rest.len();
                    upload.state.rest = rest;
                }
                if let Some(exchange) = self.exchanges.get_mut(&id) {
                    exchange.upload = Some(upload);
                }
            }
            Ok(true) => self.complete(now, id, upload),
            Err(failure) => {
                chunk.clear();
                self.fail(now, id, upload, failure);
            }
        }
    }

    /// The whole body was dealt with.
    fn complete(&mut self, now: u64, id: ExchangeId, mut upload: Box<Upload>) {
        let state = &mut upload.state;
        let body = std::mem::take(&mut state.gathered).freeze();
        if state.is_single() {
            match self.claims_of(&body) {
                Ok(listens) => state.listens = listens,
                Err(failure) => return self.fail(now, id, upload, failure),
            }
        }
        self.release(now, id, state);
        self.held += body.len();
        if state.is_park() {
            self.arrive(now, id, state);
            if let Some(hello) = state.hello.filter(|_| state.is_single())
                && self.sessions.get(&self.source_of(id)).is_some_and(|s| s.park == Some(id))
            {
                self.carry(now, id, hello, body);
            } else {
                self.held -= body.len();
            }
            return;
        }
        if let Some(park) = state.park {
            return self.carried(now, id, park, state, Status::Ok);
        }
        if let Some(hello) = state.hello.filter(|hello| hello.flags.has(HelloFlags::BYE)) {
            self.bye(now, self.source_of(id), hello.seq);
        }
        self.answer(now, id, state, Status::Ok);
    }

    pub(super) fn fail(&mut self, now: u64, id: ExchangeId, mut upload: Box<Upload>, why: Failure) {
        let state = &mut upload.state;
        self.release(now, id, state);
        if let (Failure::End(status), Some(park)) = (why, state.park) {
            return self.carried(now, id, park, state, status);
        }
        match why {
            Failure::End(status) if state.hello.is_some() => self.answer(now, id, state, status),
            Failure::End(_) | Failure::NoHello => {
                self.stats.ended(Status::Malformed);
                self.write(now, id, |response| response.phase = Phase::Ended);
            }
            Failure::Stranger => self.write(now, id, |response| response.phase = Phase::Ended),
        }
    }

    /// Undoes what an upload under way holds of others.
    pub(super) fn release(&mut self, now: u64, id: ExchangeId, state: &mut State) {
        if let Some(current) = state.current.take() {
            self.stop_waiting(now, id, state, current.peer);
            self.held -= current.what.held();
        }
        self.held -= std::mem::take(&mut state.reserved);
        self.held -= std::mem::take(&mut state.rest).len();
        self.set_target(id, state, None);
        self.arm(id, None);
        if state.is_send()
            && let Some(peer) = self.exchanges.get(&id).and_then(|exchange| exchange.session)
            && let Some(session) = self.sessions.get_mut(&peer)
        {
            session.sends.remove(&id);
        }
    }

    /// Answers a send, or a park that is not to be parked.
    fn answer(&mut self, now: u64, id: ExchangeId, state: &mut State, status: Status) {
        let Some(hello) = state.hello else { return };
        let known = self.exchanges.get(&id).and_then(|exchange| exchange.session);
        let peer = known.unwrap_or_else(|| super::address(&hello.secret));
        self.write_welcome(now, id, peer, hello.seq);
        let verdicts = std::mem::take(&mut state.verdicts);
        self.write(now, id, |response| response.raw(&verdicts));
        if status == Status::Ok {
            self.write_stored(now, id, peer);
        }
        self.write_end(now, id, peer, status);
    }

    /// A park is whole: it takes its place, unless it is late.
    fn arrive(&mut self, now: u64, id: ExchangeId, state: &mut State) {
        let Some(hello) = state.hello else { return };
        let peer = self.source_of(id);
        let Some(session) = self.sessions.get(&peer) else { return };
        let before = session.park;
        let waits = before
            .and_then(|park| self.exchanges.get(&park))
            .is_some_and(|exchange| exchange.response.phase == Phase::Closed);
        match session.highest {
            Some(highest) if hello.seq < highest => {
                return self.answer(now, id, state, Status::Stale);
            }
            Some(highest) if hello.seq == highest && !waits => {
                return self.answer(now, id, state, Status::Repeated);
            }
            _ => {}
        }
        // The park that ends tells of this one.
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.highest = Some(hello.seq);
        }
        if let Some(park) = before {
            self.end_park(now, park, Status::Superseded);
        }
        let hold_until = now + u64::from(hello.hold_ms).min(self.config.max_hold_ms);
        let streams = hello.flags.has(HelloFlags::STREAM) && !state.is_single();
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.hold_until = hold_until;
            exchange.verdicts = std::mem::take(&mut state.verdicts);
            if streams {
                exchange.ticks = Some((now, now));
                self.stats.streams += 1;
            }
        }
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.park = Some(id);
            session.draining = None;
            session.gap = session.park_ended.map_or(0, |ended| now.saturating_sub(ended));
        }
        self.goes_on(peer);
        self.claim(now, peer, &state.listens);
        self.arm(id, Some(hold_until));
        let wake = self.sessions.get_mut(&peer).and_then(|session| session.wake.take());
        if wake.is_some_and(|wake| hello.seq < wake) {
            self.end_park(now, id, Status::Ok);
        } else if streams {
            self.open(now, id);
        }
        self.poke(now, peer);
        self.tell_wishers(now, peer);
        self.serve_waiters(now, peer);
    }

    /// Tells whoever waits for `peer` that it takes data.
    pub(super) fn tell_wishers(&mut self, now: u64, peer: Address) {
        for wisher in self.wanted.remove(&peer).unwrap_or_default() {
            if let Some(session) = self.sessions.get_mut(&wisher) {
                session.wishes.retain(|wanted| *wanted != peer);
                session.stored.ready.insert(peer);
                self.poke(now, wisher);
            }
        }
    }

    /// Lets the uploads that stand for `peer` try again.
    pub(super) fn serve_waiters(&mut self, now: u64, peer: Address) {
        let Some(session) = self.sessions.get(&peer) else { return };
        for id in session.waiters.clone() {
            self.resume(now, id);
        }
    }

    /// Lets an upload try again: with what the router has of it now, with the rest by its driver.
    pub(super) fn resume(&mut self, now: u64, id: ExchangeId) {
        self.drive(now, id, &mut Bytes::new());
        self.wake(id);
    }

    /// There may be something new for a session: ends its park if it is to.
    pub(super) fn poke(&mut self, now: u64, peer: Address) {
        let Some(session) = self.sessions.get(&peer) else { return };
        let (Some(park), Some(due)) = (session.park, session.stored.due()) else { return };
        let Some(exchange) = self.exchanges.get(&park) else { return };
        if exchange.response.phase != Phase::Closed {
            // A streamed response takes it; else the next one has it.
            if exchange.is_streaming() && exchange.response.undrained() < self.config.undrained {
                self.write_stored(now, park, peer);
                self.wake(park);
            }
        } else if due <= now {
            self.open(now, park);
        } else {
            let until = due.min(exchange.hold_until);
            self.arm(park, Some(until));
        }
    }

    /// Begins to answer a park.
    pub(super) fn open(&mut self, now: u64, park: ExchangeId) {
        let Some(exchange) = self.exchanges.get_mut(&park) else { return };
        let Some(peer) = exchange.session else { return };
        if exchange.response.phase != Phase::Closed {
            return;
        }
        exchange.response.phase = Phase::Open;
        let (seq, streams) = (exchange.seq, exchange.ticks.is_some());
        let verdicts: BytesMut = std::mem::take(&mut exchange.verdicts);
        self.write_welcome(now, park, peer, seq);
        self.write(now, park, |response| response.raw(&verdicts));
        self.write_stored(now, park, peer);
        if streams {
            self.tick(now, park);
        } else {
            self.arm(park, Some(now + self.config.silence_ms));
        }
        self.touched.push(peer);
    }

    /// Keeps a streamed response alive, or ends it when its hold is over.
    pub(super) fn tick(&mut self, now: u64, park: ExchangeId) {
        let Some(exchange) = self.exchanges.get_mut(&park) else { return };
        let Some((began, due)) = exchange.ticks else { return };
        let hold_until = exchange.hold_until;
        if hold_until <= now {
            return self.end_park(now, park, Status::Ok);
        }
        let mut next = due;
        if due <= now {
            let wait = if due == began { self.config.first_tick_ms } else { self.config.tick_ms };
            next = now + u64::from(wait);
            exchange.ticks = Some((began, next));
            // What is queued says as much.
            if exchange.response.undrained() == 0 || due == began {
                let age_ms = u32::try_from(now - began).unwrap_or(u32::MAX);
                let tick = Message::Tick(Tick { age_ms, next_ms: wait });
                self.write(now, park, |response| response.put(&tick));
            }
        }
        self.arm(park, Some(next.min(hold_until)));
    }

    /// Ends a park; with what is kept for its session, if the client is to take it for an answer.
    pub(super) fn end_park(&mut self, now: u64, park: ExchangeId, status: Status) {
        let bye = self.recall(now, park);
        let Some(exchange) = self.exchanges.get(&park) else { return };
        let Some(peer) = exchange.session else { return };
        match exchange.response.phase {
            Phase::Ended => return,
            Phase::Open => {}
            Phase::Closed if status == Status::Ok => self.open(now, park),
            Phase::Closed => {
                let seq = exchange.seq;
                self.write_welcome(now, park, peer, seq);
            }
        }
        if let Some(session) = self.sessions.get_mut(&peer)
            && session.park == Some(park)
        {
            session.park = None;
            session.draining = Some(park);
            session.park_ended = Some(now);
        }
        self.arm(park, None);
        self.write_end(now, park, peer, status);
        if let Some(seq) = bye {
            self.bye(now, peer, seq);
        }
    }

    /// Ends the responses that nothing more is to come for; first, what was freed is used.
    pub(super) fn settle(&mut self, now: u64) {
        self.feed(now);
        while let Some(peer) = self.touched.pop() {
            let Some(session) = self.sessions.get(&peer) else { continue };
            let Some(park) = session.park else { continue };
            let Some(exchange) = self.exchanges.get(&park) else { continue };
            let response = &exchange.response;
            let fed = !session.feeders.is_empty() || !session.waiters.is_empty();
            let stays = fed || exchange.is_streaming() || exchange.carrier.is_some();
            if response.phase == Phase::Open && (response.full || !stays) {
                self.end_park(now, park, Status::Ok);
            }
        }
    }

    pub(super) fn write_welcome(&mut self, now: u64, id: ExchangeId, address: Address, seq: u64) {
        let max_body = self.config.max_body;
        self.write(now, id, |response| {
            response.put(&Message::Welcome(Welcome { version: VERSION, seq, address, max_body }));
        });
    }

    fn write_end(&mut self, now: u64, id: ExchangeId, peer: Address, status: Status) {
        self.stats.ended(status);
        let highest = self.sessions.get(&peer).and_then(|session| session.highest).unwrap_or(0);
        self.write(now, id, |response| {
            response.put(&Message::End(End { status, highest }));
            response.phase = Phase::Ended;
        });
    }

    /// Writes what is kept for the session, as far as it fits.
    fn write_stored(&mut self, now: u64, id: ExchangeId, peer: Address) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let told = session.park == Some(id) || !session.lives(now, self.config.grace_ms);
        let (response, stored) = (&mut exchange.response, &mut session.stored);
        let before = response.undrained();
        while response.left(None) >= MAX_CONTROL && !stored.listens.is_empty() {
            response.put(&Message::ListenRsp(stored.listens.remove(0)));
        }
        while response.left(None) >= MAX_CONTROL
            && let Some(peer) = stored.ready.pop_first()
        {
            response.put(&Message::Ready(peer));
        }
        while let Some(from) = stored.acks.first()
            && response.left(Some(from)) >= MAX_CONTROL
            && let Some(window) = stored.acks.take(&from)
        {
            response.source(from);
            response.put(&Message::SendRsp(window));
        }
        // Behind the acknowledgements, which may end in order what this would break; and by a park if
        // the session parks, as another answer would overtake data.
        while told
            && stored.acks.first().is_none()
            && response.left(None) >= MAX_CONTROL
            && let Some(peer) = stored.gone.pop_first()
        {
            response.put(&Message::Gone(peer));
        }
        self.held += response.undrained() - before;
        exchange.active = now;
        if exchange.is_streaming() && stored.due().is_some() {
            // No room for it.
            exchange.response.full = true;
            self.touched.push(peer);
        }
    }

    /// The session wants its park answered, to say other claims.
    pub(super) fn wake_session(&mut self, now: u64, peer: Address, seq: u64) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        // The park that it is meant for may still be on its way, and the one here be dead.
        // Remembered for one park only: the numbers of sends need not go with those of parks.
        session.wake = Some(seq);
        if let Some(park) = session.park {
            self.end_park(now, park, Status::Ok);
        }
    }

    /// The session says that it ends: nothing of it stays but a number, below which parks are late.
    pub(super) fn bye(&mut self, now: u64, peer: Address, seq: u64) {
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.highest = session.highest.max(Some(seq));
            self.end_session(now, peer);
        }
    }

    /// A session is over: its names, its park and all that is kept for it go, and its peers are told.
    pub(super) fn end_session(&mut self, now: u64, peer: Address) {
        self.disown(peer);
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.stored = Default::default();
        session.asked = Default::default();
        if let Some(park) = session.park {
            self.end_park(now, park, Status::Ok);
        }
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.park_ended = None;
            session.draining = None;
        }
        self.end_life(now, peer);
    }

    /// Forgets a session's names and wishes.
    pub(super) fn disown(&mut self, peer: Address) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let claims = std::mem::take(&mut session.claims);
        let former = std::mem::take(&mut session.former);
        let wishes = std::mem::take(&mut session.wishes);
        for (endpoint, _) in claims {
            self.names.remove(&endpoint);
        }
        for endpoint in former {
            self.forget_former(peer, &endpoint);
        }
        for wanted in wishes {
            self.unwish(peer, wanted);
        }
    }
}
