//! Parks that took their place: what is written into them, and what ends them. Answers to sends, too.

use tracing::{debug, trace};

use super::ExchangeId;
use super::exchange::Ticks;
use super::key::SessionKey;
use super::park_end::ParkEnd;
use super::tables::{Tables, Work};
use crate::wire::{Address, End, ListenRsp, MAX_CONTROL, Message, Status, Tick, VERSION, Welcome};

impl Tables {
    /// Something may have been kept for a session: answers its park if that is due.
    pub(super) fn poke(&mut self, now: u64, peer: SessionKey) {
        let Some(session) = self.sessions.get(&peer) else { return };
        let (Some(park), Some((due, why))) = (session.park(), session.stored.due()) else { return };
        let Some(exchange) = self.exchanges.get(park) else { return };
        if !exchange.is_parked() {
            // A streamed response takes what is kept; else it goes with the next response.
            if exchange.is_streaming() && exchange.response.undrained() < self.config.undrained {
                self.write_stored(now, park, peer);
                self.exchanges.wake(park);
            }
        } else if due <= now {
            self.open(now, park, why);
        } else {
            let hold_until = exchange.park().map_or(due, |park| park.hold_until);
            self.exchanges.arm(park, Some(due.min(hold_until)));
        }
    }

    /// Begins to answer a park, if it waits.
    pub(super) fn open(&mut self, now: u64, id: ExchangeId, why: ParkEnd) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let Some(peer) = exchange.session() else { return };
        if !exchange.open() {
            return;
        }
        trace!(session = %peer, exchange = id, ?why, "park is answered");
        let (seq, verdicts) = (exchange.seq(), exchange.take_verdicts());
        let streams = exchange.is_streaming();
        self.write_welcome(now, id, peer.address(), seq);
        self.write(now, id, |response| response.raw(&verdicts));
        self.write_stored(now, id, peer);
        if streams {
            self.tick(now, id);
        } else {
            self.exchanges.arm(id, Some(now + self.config.silence_ms));
        }
        self.touch(peer);
    }

    /// Keeps a streamed answer alive, or ends it when its hold is over.
    pub(super) fn tick(&mut self, now: u64, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let is_drained = exchange.response.undrained() == 0;
        let Some(park) = exchange.park() else { return };
        let Some(Ticks { began, due }) = park.ticks else { return };
        let hold_until = park.hold_until;
        if hold_until <= now {
            return self.end_park(now, id, ParkEnd::Hold);
        }
        let mut next = due;
        if due <= now {
            let wait = if due == began { self.config.first_tick_ms } else { self.config.tick_ms };
            next = now + u64::from(wait);
            exchange.set_next_tick(next);
            // What is queued says as much.
            if is_drained || due == began {
                let age_ms = u32::try_from(now - began).unwrap_or(u32::MAX);
                let tick = Message::Tick(Tick { age_ms, next_ms: wait });
                self.write(now, id, |response| response.put(&tick));
            }
        }
        self.exchanges.arm(id, Some(next.min(hold_until)));
    }

    /// Ends a park. What is kept for its session is written if the client takes the answer for whole.
    pub(super) fn end_park(&mut self, now: u64, id: ExchangeId, why: ParkEnd) {
        let said_bye = self.give_up_messages(now, id);
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Some(peer) = exchange.session() else { return };
        if exchange.park().is_none() {
            return;
        }
        if exchange.is_parked() {
            match why.status() {
                Status::Ok => self.open(now, id, why),
                _ => self.write_welcome(now, id, peer.address(), exchange.seq()),
            }
        }
        debug!(session = %peer, exchange = id, ?why, "park ended");
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.park_ended(now, id);
        }
        self.exchanges.arm(id, None);
        self.write_end(now, id, peer, why.status());
        if let Some(seq) = said_bye {
            self.bye(now, peer, seq);
        }
    }

    /// A park ends before the messages that it carries: those not dealt with get no verdict, the
    /// verdicts so far go into an answer that has begun. The number of the park, if BYE was with it.
    fn give_up_messages(&mut self, now: u64, id: ExchangeId) -> Option<u64> {
        let said_bye = self.exchanges.get_mut(id)?.stop_speaking()?;
        self.later(Work::GiveUp(id));
        self.tell_verdicts(now, id);
        said_bye.then(|| self.exchanges.get(id).map(|exchange| exchange.seq()))?
    }

    /// All messages that a park carries are dealt with, or the rest of them cannot be: `failed` is why.
    /// The park ends if any of the verdicts is to end it.
    pub(super) fn end_messages(
        &mut self,
        now: u64,
        id: ExchangeId,
        speaks: bool,
        failed: Option<Status>,
    ) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let (Some(peer), seq) = (exchange.session(), exchange.seq()) else { return };
        let Some(said_bye) = exchange.stop_speaking() else { return };
        self.tell_verdicts(now, id);
        if let Some(status) = failed {
            self.open(now, id, ParkEnd::Unfit(status));
            self.end_park(now, id, ParkEnd::Unfit(status));
        } else if said_bye {
            self.bye(now, peer, seq);
        } else if speaks {
            // The park ends as soon as nothing for it is under way: not before the answer of a peer
            // that just got these messages, and speaks at the same time.
            self.open(now, id, ParkEnd::Verdicts);
            self.touch(peer);
        }
    }

    /// The verdicts of what a park carries go into the answer, if that has begun; else `open` writes them.
    fn tell_verdicts(&mut self, now: u64, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get_mut(id).filter(|exchange| exchange.is_open())
        else {
            return;
        };
        let verdicts = exchange.take_verdicts();
        self.write(now, id, |response| response.raw(&verdicts));
    }

    /// Ends a session's answer if nothing more is to come for it, or nothing more fits.
    pub(super) fn end_if_complete(&mut self, now: u64, peer: SessionKey) {
        let Some(park) = self.sessions.get(&peer).and_then(|session| session.park()) else {
            return;
        };
        let Some(exchange) = self.exchanges.get(park) else { return };
        if !exchange.is_open() {
            return;
        }
        if exchange.is_full() {
            return self.end_park(now, park, ParkEnd::Full);
        }
        let speaks = exchange.park().is_some_and(|park| park.speaks());
        if !exchange.is_streaming() && !speaks && !self.targets.is_fed(peer) {
            self.end_park(now, park, ParkEnd::Delivered);
        }
    }

    /// Answers a send, or a park that does not take its place.
    pub(super) fn answer(&mut self, now: u64, id: ExchangeId, status: Status) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let (Some(peer), seq) = (exchange.claimant(), exchange.seq()) else { return };
        let verdicts = exchange.take_verdicts();
        self.write_welcome(now, id, peer.address(), seq);
        self.write(now, id, |response| response.raw(&verdicts));
        match status {
            Status::Ok => self.write_stored(now, id, peer),
            _ => debug!(session = %peer, exchange = id, end = status.name(), "request ended"),
        }
        self.write_end(now, id, peer, status);
    }

    pub(super) fn write_welcome(&mut self, now: u64, id: ExchangeId, address: Address, seq: u64) {
        let max_body = self.config.max_body;
        let version = self.exchanges.get(id).map_or(VERSION, |exchange| exchange.version());
        self.write(now, id, |response| {
            response.put(&Message::Welcome(Welcome { version, seq, address, max_body }));
        });
    }

    fn write_end(&mut self, now: u64, id: ExchangeId, peer: SessionKey, status: Status) {
        self.stats.ended(status);
        let highest = self.sessions.get(&peer).and_then(|session| session.highest()).unwrap_or(0);
        self.write(now, id, |response| response.put(&Message::End(End { status, highest })));
        self.close(id);
    }

    /// Nothing more is written into the response.
    pub(super) fn close(&mut self, id: ExchangeId) {
        self.exchanges.end(id);
        self.exchanges.wake(id);
    }

    /// Writes what is kept for the session, as far as it fits.
    fn write_stored(&mut self, now: u64, id: ExchangeId, peer: SessionKey) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let told = session.park() == Some(id) || !session.lives(now, self.config.grace_ms);
        let version = exchange.version();
        let mut told_acks = Vec::new();
        let account = exchange.account();
        let (response, stored) = (&mut exchange.response, &mut session.stored);
        let before = response.undrained();
        while response.left(None) >= MAX_CONTROL && !stored.listens.is_empty() {
            let rsp = stored.listens.remove(0);
            let status = rsp.status.known_to(version);
            response.put(&Message::ListenRsp(ListenRsp { status, ..rsp }));
        }
        while response.left(None) >= MAX_CONTROL
            && let Some(peer) = stored.ready.pop_first()
        {
            response.put(&Message::Ready(peer));
        }
        while let Some(from) = stored.acks.first()
            && response.left(Some(from)) >= MAX_CONTROL
            && let Some((window, account)) = stored.acks.take(&from)
        {
            told_acks.push(account);
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
        self.budget.take(&mut self.accounts, account, response.undrained() - before);
        exchange.note_activity(now);
        if exchange.is_streaming() && stored.due().is_some() {
            // There was no room for all.
            exchange.fill();
            self.touch(peer);
        }
        for account in told_acks {
            self.give_ack(account);
        }
    }
}

impl Tables {
    /// Tells the sessions that wait for `peer` that it takes data.
    pub(super) fn tell_wishers(&mut self, now: u64, peer: SessionKey) {
        for wisher in self.wishes.grant(peer).into_iter().flatten() {
            if let Some(session) = self.sessions.get_mut(&wisher) {
                session.stored.ready.insert(peer.address());
                self.poke(now, wisher);
            }
        }
    }

    /// The session wants its park answered, to say other claims.
    pub(super) fn wake_session(&mut self, now: u64, peer: SessionKey, seq: u64) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        // The park for which WAKE is meant may still be on its way, and the park here be dead. WAKE is
        // remembered for the next park alone: the numbers of sends need not go with those of parks.
        session.wake = Some(seq);
        if let Some(park) = session.park() {
            self.end_park(now, park, ParkEnd::Wake);
        }
    }

    /// The session says that it ends: nothing of it stays but a number, below which parks are late.
    pub(super) fn bye(&mut self, now: u64, peer: SessionKey, seq: u64) {
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.raise_highest(seq);
            debug!(session = %peer, "session says BYE");
            self.end_session(now, peer, ParkEnd::Bye);
        }
    }

    /// A session is over: its names, its park and all that is kept for it go, and its peers are told.
    pub(super) fn end_session(&mut self, now: u64, peer: SessionKey, why: ParkEnd) {
        self.disown(peer);
        self.drop_stored(peer);
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.asked = Default::default();
        if let Some(park) = session.park() {
            self.end_park(now, park, why);
        }
        for told in self.sessions.end(peer, self.config.peers) {
            self.poke(now, told);
        }
    }
}
