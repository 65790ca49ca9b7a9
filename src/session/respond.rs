//! What comes in an answer.

use super::channel::{End, Probe, State};
use super::state::{Fatal, Phase, Reply, ReplyKind};
use super::tombstone::{Left, Tombstone};
use super::trip::What;
use super::{Event, Lane, Mode, Session, datagram};
use crate::Kind;
use crate::error::Blocked;
use crate::wire::{self, MAX_CONTROL, Message, Piece, Place, Route, Status, VERSION, Verdict};

impl<M: Mode> Session<'_, M> {
    /// Takes a piece of the answer's body, of any size, as it comes: the request is over with that,
    /// however far [`poll_body`](Self::poll_body) was. The owner of the transport calls
    /// this only for HTTP status 200 and content type `application/octet-stream`.
    ///
    /// # Errors
    /// This is no relay's answer, or not to this request: the connection is to be dropped and the
    /// error given to [`handle_failure`](Self::handle_failure).
    pub fn handle_response(&mut self, now: u64, lane: Lane, bytes: &[u8]) -> Result<(), Blocked> {
        self.core.clock = self.core.clock.max(now);
        let lane = M::lane(lane);
        let mut input = bytes;
        if self.is_too_long(lane, bytes.len()) {
            return Err(Blocked::Foreign);
        }
        let (course, mut session) = self.apart(lane);
        let Some(decoder) = course.decoder() else { return Ok(()) };
        let result = loop {
            let trip = session.core.trip(lane);
            if !trip.active || trip.ended {
                break Ok(());
            }
            match decoder.next_answered(&mut input) {
                Ok(Some(Piece::Message(message))) => {
                    if let Err(cause) = session.on_message(now, lane, message) {
                        break Err(cause);
                    }
                }
                Ok(Some(Piece::Bytes(bytes, left))) => session.on_bytes(now, lane, bytes, left),
                Ok(None) => break Ok(()),
                Err(_) => break Err(Blocked::Foreign),
            }
        };
        if !M::SINGLE && lane == Lane::Park && self.core.park.is_streaming() {
            self.stream_lives(now);
            (0..self.channels.len()).for_each(|slot| self.owe_ack(now, slot));
        }
        result
    }

    /// Whether the answer, with so many octets more, has more than any relay's: what can be skipped,
    /// or is behind END, would be read without end.
    fn is_too_long(&mut self, lane: Lane, octets: usize) -> bool {
        let most = self.max_response();
        let trip = self.core.trip(lane);
        trip.came = trip.came.saturating_add(octets as u32);
        trip.came > most
    }

    fn on_message(&mut self, now: u64, lane: Lane, message: Message<'_>) -> Result<(), Blocked> {
        let trip = self.core.trip(lane);
        let from = trip.from;
        match message {
            Message::Welcome(welcome) if !trip.welcomed => {
                if welcome.version != VERSION {
                    self.core.relay_version = welcome.version;
                    self.core.fatal = Fatal::Version;
                    self.core.wakes.session = true;
                    return Err(Blocked::Relay(Status::Version));
                }
                // A cache's answer belongs to another request.
                if welcome.seq != trip.seq {
                    return Err(Blocked::Foreign);
                }
                trip.welcomed = true;
                self.core.relay_max_body = welcome.max_body;
                return Ok(());
            }
            _ if !trip.welcomed || !M::SINGLE && !is_sound(&message) => {
                return Err(Blocked::Foreign);
            }
            Message::End(end) => {
                trip.ended = true;
                trip.end_status = end.status as u8;
                // Sends are numbered with the parks, and say nothing of another session's parks. The
                // relay counts BYE as a park.
                let closes = matches!(self.core.phase, Phase::Closing | Phase::Closed);
                let newest = if M::SINGLE || closes { self.core.seq } else { self.core.park.seq };
                if end.highest > newest {
                    self.core.fatal = Fatal::SecretShared;
                    self.core.wakes.session = true;
                }
                return Ok(());
            }
            Message::From(route) => {
                trip.from = route;
                return Ok(());
            }
            // Data comes in answers to parks alone, so that one reader fills the rings.
            Message::ReceiveRsp(_) if !M::SINGLE && lane == Lane::Send => {
                return Err(Blocked::Foreign);
            }
            Message::ReceiveRsp(data) => self.on_data(now, lane, &from, &data),
            Message::SendRsp(window) => {
                if window.done {
                    self.settle_tombstones(&from.peer, from.channel);
                }
                if let Some(slot) = self.addressed(now, &from, window.ask) {
                    self.on_window(now, slot, &window);
                }
            }
            Message::AcceptReq(connect) => self.on_accept_req(now, &from, &connect),
            Message::ConnectRsp(accept) => self.on_connect_rsp(now, &from, &accept),
            Message::CloseReq(close) => self.on_close_req(now, &from, &close),
            Message::CloseRsp(closed) => self.on_close_rsp(now, &from, &closed),
            Message::ListenRsp(rsp) => {
                if !self.on_listen_rsp(&rsp) {
                    return Ok(());
                }
            }
            Message::Verdict(verdict) => self.on_verdict(now, lane, &verdict)?,
            Message::Ready(peer) => self.on_ready(now, peer),
            // By a send it would overtake what comes by the park.
            Message::Gone(_) if !M::SINGLE && lane == Lane::Send && self.core.park.active => {}
            Message::Gone(peer) => self.on_gone(now, peer),
            Message::Tick(tick) => {
                if !M::SINGLE && lane == Lane::Park {
                    self.on_tick(now, tick.age_ms, tick.next_ms);
                }
                return Ok(());
            }
            Message::Pad(_) => return Ok(()),
            // Only clients say these.
            Message::Welcome(_)
            | Message::Hello(_)
            | Message::Route(_)
            | Message::ListenReq(_)
            | Message::ConnectReq(_)
            | Message::AcceptRsp(_)
            | Message::SendReq(_)
            | Message::ReceiveReq(_) => return Err(Blocked::Foreign),
        }
        self.core.trip(lane).brought = true;
        Ok(())
    }

    /// The slot of a channel with both ends known, if the message was addressed to one. What is
    /// addressed to a channel that is not there is answered.
    pub(super) fn addressed(&mut self, now: u64, from: &Route, is_data: bool) -> Option<usize> {
        let (slot, _) = super::slot(from.channel.id);
        if slot < self.channels.len() && self.local(slot) == from.channel {
            let channel = &self.channels[slot];
            return match channel.state {
                State::Accepting if channel.peer == from.peer => {
                    self.establish(now, slot);
                    Some(slot)
                }
                State::Established if channel.peer == from.peer => {
                    self.heard(now, slot);
                    Some(slot)
                }
                // CONNECT_RSP was lost, and will be repeated.
                State::Connecting => None,
                State::Aborting if channel.peer == from.peer => None,
                // Done, but for the exchange under way: the tombstone will answer the repeat.
                State::Ended if channel.end == End::None => None,
                _ => {
                    self.unknown(from);
                    None
                }
            };
        }
        let tombstone =
            self.tombstones.iter_mut().find(|t| t.local == from.channel && t.peer == from.peer);
        match tombstone {
            // Only data asks for an answer: two tombstones would answer each other for ever.
            Some(Tombstone { left: Left::Whole, answer, .. }) => {
                *answer |= is_data;
                self.core.wakes.send |= is_data;
            }
            Some(Tombstone { left: Left::Dead, answer, .. }) if !M::SINGLE => {
                *answer = true;
                self.core.wakes.send = true;
            }
            Some(Tombstone { left: Left::Closed, .. }) => {
                self.reply(ReplyKind::Close, Status::Closed, from.peer, from.channel);
            }
            Some(Tombstone { left: Left::Nothing | Left::Dead, .. }) | None => self.unknown(from),
        }
        None
    }

    /// Tells the source of a message that the channel addressed is not there.
    pub(super) fn unknown(&mut self, from: &Route) {
        if from.peer != wire::Address::RELAY && from.channel != wire::Channel::NONE {
            self.reply(ReplyKind::Close, Status::Unknown, from.peer, from.channel);
        }
    }

    pub(super) fn reply(
        &mut self,
        kind: ReplyKind,
        status: Status,
        peer: wire::Address,
        channel: wire::Channel,
    ) {
        self.core.reply(Reply { kind, status: status as u8, flying: false, peer, channel });
    }

    /// The relay can reach `peer` again.
    fn on_ready(&mut self, now: u64, peer: wire::Address) {
        self.core.send_mut().readied = true;
        for slot in 0..self.channels.len() {
            let channel = &mut self.channels[slot];
            match channel.state {
                State::Connecting => channel.due = now,
                State::Accepting | State::Aborting if channel.peer == peer => channel.due = now,
                State::Established if channel.peer == peer => {
                    // It lives; and what it has of what was sent is not known, nor whether it was
                    // told how far this end is.
                    channel.heard_at = now;
                    channel.rx.urgent |= channel.rx.dirty;
                    if M::kind(channel.kind) == Kind::Stream && channel.tx.una < channel.tx.next {
                        channel.probe = Probe::Patient;
                    }
                    self.unblock(now, slot);
                }
                _ => {}
            }
        }
        let dead = |t: &&mut Tombstone| t.peer == peer && t.left == Left::Dead && now < t.expires;
        if !M::SINGLE {
            self.tombstones.iter_mut().filter(dead).for_each(|t| t.answer = true);
        }
        self.core.wakes.send = true;
    }

    fn on_verdict(&mut self, now: u64, lane: Lane, verdict: &Verdict) -> Result<(), Blocked> {
        let Some(item) = self.core.trip(lane).item_of(verdict.index) else { return Ok(()) };
        if item.is_judged() {
            return Ok(());
        }
        let place = match item.what {
            What::Connect => Place::ConnectVerdict,
            What::Accept | What::Reply => Place::AcceptVerdict,
            What::Listen
            | What::Window
            | What::Final
            | What::Probe
            | What::Data
            | What::Datagram
            | What::Close => Place::Verdict,
        };
        if !M::SINGLE && !verdict.status.fits(place) {
            return Err(Blocked::Foreign);
        }
        item.judge();
        let item = *item;
        let slot = usize::from(item.slot);
        let delivered = verdict.status == Status::Delivered;
        // Datagrams leave the ring from its front: behind one without a verdict none does.
        if M::DATAGRAMS
            && item.what == What::Datagram
            && self.core.trip(lane).skips_datagram(&item, verdict.index)
        {
            self.channels[slot].tx.rewind = true;
        }
        match item.what {
            What::Data => {
                let tx = &mut self.channels[slot].tx;
                let passed = if delivered { item.bytes() } else { verdict.bytes.min(item.bytes()) };
                tx.delivered = tx.delivered.max(tx.pin + u64::from(passed));
                if !delivered {
                    tx.go_back(tx.pin + u64::from(passed));
                    self.block(now, slot, verdict.status);
                }
                self.wake_channel(slot);
            }
            What::Datagram if !M::DATAGRAMS => {}
            What::Datagram => {
                let tx = &mut self.channels[slot].tx;
                if delivered && !tx.rewind {
                    tx.una += (datagram::HEADER as u32 + item.bytes()) as u64;
                    tx.number += 1;
                    self.core.count(|stats| stats.sent += u64::from(item.bytes()));
                    self.wake_channel(slot);
                } else if verdict.status == Status::Limited && !tx.rewind {
                    // No answer that the peer takes could hold it.
                    tx.una += (datagram::HEADER as u32 + item.bytes()) as u64;
                    tx.number += 1;
                    tx.lost = tx.lost.saturating_add(1);
                    self.core.count(|stats| stats.datagrams_lost += 1);
                } else if !delivered {
                    tx.rewind = true;
                    self.block(now, slot, verdict.status);
                }
            }
            What::Window if !delivered => {
                let rx = &mut self.channels[slot].rx;
                rx.dirty = true;
                rx.now = true;
            }
            What::Probe if delivered => self.unblock(now, slot),
            What::Probe => {
                self.block(now, slot, verdict.status);
                if !M::SINGLE && verdict.status == Status::Away {
                    self.give_place_away(now, slot);
                }
            }
            What::Connect if self.channels[slot].state == State::Connecting => {
                match verdict.status {
                    // The relay refuses in the listener's place.
                    Status::NoListener | Status::WrongKind | Status::Limited => {
                        self.end(now, slot, End::Refused, verdict.status, false);
                    }
                    status => self.channels[slot].status = status as u8,
                }
            }
            What::Connect
            | What::Accept
            | What::Listen
            | What::Window
            | What::Final
            | What::Close
            | What::Reply => {}
        }
        Ok(())
    }

    /// The relay could not deliver: only PROBEs go to this peer until it is heard of.
    fn block(&mut self, now: u64, slot: usize, status: Status) {
        if self.core.send().readied {
            // READY came by the park before this older word of the send, and will not come again.
            if M::kind(self.channels[slot].kind) == Kind::Stream {
                self.channels[slot].probe = Probe::Patient;
            }
            return;
        }
        let peer = self.channels[slot].peer;
        for slot in 0..self.channels.len() {
            let channel = &mut self.channels[slot];
            if channel.state == State::Established && channel.peer == peer && !channel.blocked {
                channel.blocked = true;
                self.watch(now, slot);
            }
        }
        if status == Status::Away && !self.channels[slot].away_reported {
            self.channels[slot].away_reported = true;
            let id = self.channel_id(slot);
            self.core.event(Event::PeerAway(id));
        }
    }

    /// This end of a channel.
    pub(super) fn local(&self, slot: usize) -> wire::Channel {
        let channel = &self.channels[slot];
        wire::Channel { id: super::id(slot, channel.generation), token: channel.token }
    }
}

/// Whether the relay says of itself only what it may.
fn is_sound(message: &Message<'_>) -> bool {
    match message {
        Message::End(end) => end.status.fits(Place::End),
        Message::ListenRsp(rsp) => rsp.status.fits(Place::ListenRsp),
        _ => true,
    }
}

const _: () = assert!(MAX_CONTROL >= 32 + 4 + 26 + wire::MAX_GREETING);
