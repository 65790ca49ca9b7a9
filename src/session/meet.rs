//! Set-up and end of channels, as messages in an answer tell them.

use super::channel::{End, State};
use super::listener::ClaimState;
use super::state::ReplyKind;
use super::{Mode, Pace, Session, Settings};
use crate::wire::{self, Accept, Close, Closed, Connect, Endpoint, Place, Route, Status};

impl<M: Mode> Session<'_, M> {
    /// Somebody connects.
    #[inline(never)]
    pub(super) fn on_accept_req(&mut self, now: u64, from: &Route, connect: &Connect<'_>) {
        // Without an end there is nobody to be answered.
        if !M::LISTENS || connect.channel.id == 0 {
            return;
        }
        let same = |peer: wire::Address, remote: wire::Channel| {
            peer == from.peer && remote == connect.channel
        };
        if self.tombstones.iter().any(|t| same(t.peer, t.remote)) {
            return;
        }
        if let Some(slot) = self
            .channels
            .iter()
            .position(|c| c.state != State::Free && c.claim != 0 && same(c.peer, c.remote))
        {
            // A repeat gets the same answer.
            if self.channels[slot].state == State::Accepting {
                self.channels[slot].due = now;
                self.core.wakes.send = true;
            }
            return;
        }
        let refusal = match self.admit(now, from, connect) {
            Ok(()) => return,
            Err(status) => status,
        };
        self.reply(ReplyKind::Refuse, refusal, from.peer, connect.channel);
    }

    fn admit(&mut self, now: u64, from: &Route, connect: &Connect<'_>) -> Result<(), Status> {
        let endpoint = Endpoint { name: connect.name, port: connect.port };
        let claim = self.claim_of(&endpoint).ok_or(Status::NoListener)?;
        if self.claims[claim].kind != connect.kind {
            return Err(Status::WrongKind);
        }
        let listener = self.listener_id(claim).0;
        if self.waiting(listener) >= usize::from(self.claims[claim].backlog) {
            return Err(Status::BacklogFull);
        }
        let timers = *self.core.timers();
        let Some(slot) = self.open_channel(now, connect.kind, State::Accepting) else {
            // Its repeat finds room if there are channels whose peers are gone.
            return if self.want_place(now) { Ok(()) } else { Err(Status::BacklogFull) };
        };
        let least = self.core.settings.least_linger_ms(self.core.timers());
        self.core.arrivals = self.core.arrivals.wrapping_add(1);
        let arrival = self.core.arrivals;
        let channel = &mut self.channels[slot];
        channel.arrival = arrival;
        channel.claim = listener;
        channel.peer = from.peer;
        channel.remote = connect.channel;
        channel.endpoint = endpoint;
        channel.linger_ms = connect.linger_ms.min(channel.linger_ms).max(least);
        channel.tx.limit = connect.limit;
        if M::GREETS {
            channel.set_greeting(connect.greeting);
        }
        channel.give_up_at = now + u64::from(timers.accept_for_ms);
        if self.claims[claim].state == ClaimState::Claiming {
            self.claims[claim].state = ClaimState::Granted;
            self.wake_claim(claim);
        }
        Ok(())
    }

    /// The listener, or the relay in its place, answered.
    pub(super) fn on_connect_rsp(&mut self, now: u64, from: &Route, accept: &Accept<'_>) {
        if !M::CONNECTS {
            return;
        }
        let (slot, _) = super::slot(from.channel.id);
        if slot >= self.channels.len() || self.local(slot) != from.channel {
            if accept.status == Status::Ok {
                // A late repeat: what became of the channel, or that it never was.
                self.addressed(now, from, true);
            }
            return;
        }
        let least = self.core.settings.least_linger_ms(self.core.timers());
        // What the listener needs at most: more than was asked for is its pace's, or nobody's.
        let most = Settings { pace: Pace::Battery, ..self.core.settings }
            .least_linger_ms(self.core.timers());
        let by_relay = from.peer == wire::Address::RELAY;
        let fits = match accept.status {
            Status::Ok => !by_relay && accept.channel.id != 0,
            // Only the relay has either to say.
            Status::Retry | Status::Limited => by_relay,
            status => status.fits(Place::AcceptRsp),
        };
        let status = if fits { accept.status } else { Status::Protocol };
        let channel = &mut self.channels[slot];
        match (channel.state, status) {
            (State::Connecting, Status::Ok) => {
                channel.peer = from.peer;
                channel.remote = accept.channel;
                channel.tx.limit = accept.limit;
                channel.linger_ms = accept.linger_ms.min(channel.linger_ms.max(most)).max(least);
                channel.backoff = 0;
                if M::GREETS {
                    channel.set_greeting(accept.greeting);
                }
                self.establish(now, slot);
                self.acknowledge_set_up(slot);
            }
            (State::Connecting, Status::Retry) => channel.status = status as u8,
            (State::Connecting, status) => self.end(now, slot, End::Refused, status, false),
            (State::Established, Status::Ok)
                if channel.peer == from.peer && channel.remote == accept.channel =>
            {
                self.heard(now, slot);
                self.acknowledge_set_up(slot);
            }
            // Bound to another end that was quicker. CLOSE_RSP would name the end here, which may be
            // bound to a live one of the same session: only the stray is to end.
            (State::Established, Status::Ok) => {
                self.reply(ReplyKind::Stray, Status::Aborted, from.peer, accept.channel);
            }
            (State::Ended, Status::Ok) if channel.end != End::None => self.unknown(from),
            // Too late to matter.
            (
                State::Free
                | State::Accepting
                | State::Established
                | State::Aborting
                | State::Ended,
                _,
            ) => {}
        }
    }

    /// CONNECT_RSP is answered with RECEIVE_REQ at once.
    fn acknowledge_set_up(&mut self, slot: usize) {
        let rx = &mut self.channels[slot].rx;
        rx.dirty = true;
        rx.now = true;
        rx.urgent = true;
        self.core.wakes.send = true;
    }

    pub(super) fn on_close_req(&mut self, now: u64, from: &Route, close: &Close) {
        let (slot, _) = super::slot(from.channel.id);
        self.reply(ReplyKind::Close, Status::Closed, from.peer, from.channel);
        if slot >= self.channels.len() || self.local(slot) != from.channel {
            return self.settle_tombstones(&from.peer, from.channel);
        }
        if self.channels[slot].state == State::Connecting {
            // The listener had accepted it and gave it up before its answer came. Asking goes on, by
            // another token: a repeat of the answer to this must not end what comes of it.
            self.channels[slot].token = self.core.random();
        } else if self.channels[slot].peer == from.peer {
            let channel = &mut self.channels[slot];
            if channel.state == State::Aborting {
                return self.settle(now, slot);
            }
            // It cannot have what was never sent.
            let fits = close.status.fits(Place::CloseReq) && close.offset <= channel.tx.high;
            let status = if fits { close.status } else { Status::Protocol };
            channel.end_offset = close.offset;
            self.end(now, slot, End::Peer, status, false);
        }
    }

    /// The session of `peer` is over: it answers nothing any more.
    pub(super) fn on_gone(&mut self, now: u64, peer: wire::Address) {
        for slot in 0..self.channels.len() {
            if self.channels[slot].peer != peer {
                continue;
            }
            self.ended_by_peer(now, slot, Status::Unknown);
        }
        self.settle_tombstones(&peer, wire::Channel::NONE);
    }

    pub(super) fn on_close_rsp(&mut self, now: u64, from: &Route, closed: &Closed) {
        let bound = |c: &super::channel::Channel| {
            c.state != State::Free && c.peer == from.peer && c.remote == closed.channel
        };
        let Some(slot) = self.channels.iter().position(bound) else {
            return self.settle_tombstones(&from.peer, closed.channel);
        };
        let fits = closed.status.fits(Place::CloseRsp);
        self.ended_by_peer(now, slot, if fits { closed.status } else { Status::Protocol });
    }

    /// There is no such channel at the peer, for this reason.
    fn ended_by_peer(&mut self, now: u64, slot: usize, status: Status) {
        let channel = &mut self.channels[slot];
        match channel.state {
            State::Aborting => self.settle(now, slot),
            // The peer acknowledged every byte and ended its own stream: all that is missing is
            // its word that it saw the end of this one.
            State::Established if status == Status::Unknown && channel.is_all_but_done() => {
                channel.tx.una = channel.tx.goal();
                channel.tx.next = channel.tx.una;
                channel.tx.peer_done = true;
                self.watch(now, slot);
                self.wake_channel(slot);
                self.finish_if_done(now, slot);
            }
            State::Accepting | State::Established => {
                self.end(now, slot, End::Peer, status, false);
            }
            State::Free | State::Connecting | State::Ended => {}
        }
    }
}
