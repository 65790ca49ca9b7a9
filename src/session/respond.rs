//! What comes in an answer.

use super::channel::{End, State, Tombstone};
use super::exchange::{Course, Incoming, Sink, What};
use super::listener::ClaimState;
use super::state::{Fatal, Reply, ReplyKind};
use super::{Event, Lane, Session, datagram, ring};
use crate::Kind;
use crate::error::Blocked;
use crate::wire::{
    self, Accept, Close, Closed, Connect, Data, DataFlags, Endpoint, MAX_CONTROL, Message, Piece,
    Route, Status, VERSION, Verdict, Window,
};

impl Session<'_> {
    /// Takes a piece of the answer's body, of any size, as it comes: the request is over with that,
    /// however far [`poll_body`](Self::poll_body) was. The owner of the transport calls
    /// this only for HTTP status 200 and content type `application/octet-stream`.
    ///
    /// # Errors
    /// This is no relay's answer, or not to this request: the connection is to be dropped and the
    /// error given to [`handle_failure`](Self::handle_failure).
    pub fn handle_response(&mut self, now: u64, lane: Lane, bytes: &[u8]) -> Result<(), Blocked> {
        self.core.clock = self.core.clock.max(now);
        let mut input = bytes;
        let mut decoder = self.core.trip(lane).take_decoder();
        let result = loop {
            let trip = self.core.trip(lane);
            if !trip.active || trip.ended {
                break Ok(());
            }
            match decoder.next(&mut input) {
                Ok(Some(Piece::Message(message))) => {
                    if let Err(cause) = self.on_message(now, lane, message) {
                        break Err(cause);
                    }
                }
                Ok(Some(Piece::Bytes(bytes, left))) => self.on_bytes(now, lane, bytes, left),
                Ok(None) => break Ok(()),
                Err(_) => break Err(Blocked::Foreign),
            }
        };
        self.core.trip(lane).course = Course::Down(decoder);
        result
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
            }
            _ if !trip.welcomed => return Err(Blocked::Foreign),
            Message::End(end) => {
                trip.ended = true;
                trip.end_status = end.status as u8;
                if end.status == Status::Stale {
                    if end.highest > self.core.seq {
                        self.core.fatal = Fatal::SecretShared;
                        self.core.wakes.session = true;
                    }
                    self.core.seq = self.core.seq.max(end.highest);
                }
            }
            Message::From(route) => trip.from = route,
            Message::ReceiveRsp(data) => self.on_data(now, lane, &from, &data),
            Message::SendRsp(window) => {
                if let Some(slot) = self.addressed(now, &from, false) {
                    self.on_window(now, slot, &window);
                }
            }
            Message::AcceptReq(connect) => self.on_accept_req(now, &from, &connect),
            Message::ConnectRsp(accept) => self.on_connect_rsp(now, &from, &accept),
            Message::CloseReq(close) => self.on_close_req(now, &from, &close),
            Message::CloseRsp(closed) => self.on_close_rsp(now, &from, &closed),
            Message::ListenRsp(rsp) => self.on_listen_rsp(&rsp),
            Message::Verdict(verdict) => self.on_verdict(now, lane, &verdict),
            Message::Ready(peer) => self.on_ready(now, peer),
            Message::Pad(_) => {}
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
        Ok(())
    }

    /// The slot of a channel with both ends known, if the message was addressed to one. What is
    /// addressed to a channel that is not there is answered.
    fn addressed(&mut self, now: u64, from: &Route, is_data: bool) -> Option<usize> {
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
            Some(t) if t.complete => {
                // Only data asks for an answer: two tombstones would answer each other for ever.
                t.answer |= is_data;
                self.core.wakes.send |= is_data;
                None
            }
            Some(t) if t.closed => {
                self.reply(ReplyKind::Close, Status::Closed, from.peer, from.channel);
                None
            }
            _ => {
                self.unknown(from);
                None
            }
        }
    }

    /// Tells the source of a message that the channel addressed is not there.
    fn unknown(&mut self, from: &Route) {
        if from.peer != wire::Address::RELAY && from.channel != wire::Channel::NONE {
            self.reply(ReplyKind::Close, Status::Unknown, from.peer, from.channel);
        }
    }

    fn reply(
        &mut self,
        kind: ReplyKind,
        status: Status,
        peer: wire::Address,
        channel: wire::Channel,
    ) {
        self.core.reply(Reply { kind, status: status as u8, flying: false, peer, channel });
    }

    fn on_data(&mut self, now: u64, lane: Lane, from: &Route, data: &Data) {
        self.core.trip(lane).incoming.sink = Sink::Drop;
        let is_window_only = data.flags.has(DataFlags::PROBE);
        let Some(slot) = self.addressed(now, from, true) else { return };
        if !is_window_only {
            self.core.traffic(now);
        }
        let len = self.ring_len();
        let channel = &mut self.channels[slot];
        let rx = &mut channel.rx;
        let datagram = data.flags.has(DataFlags::DATAGRAM);
        if is_window_only {
            rx.dirty = true;
            rx.now = true;
            if channel.kind == Kind::Stream && data.offset > rx.next {
                // What came before this PROBE and is not here never will be, however often that was
                // said: the sender may have gone back, and the same bytes be lost again.
                rx.gap_at = 0;
                rx.note_gap();
            }
            return;
        }
        if datagram != (channel.kind == Kind::Datagram) {
            return self.end(now, slot, End::Here, Status::Protocol, true);
        }
        if data.flags.has(DataFlags::ACK_NOW) {
            rx.dirty = true;
            rx.now = true;
        }
        if datagram {
            if !datagram::is_new(channel, data.offset) {
                return;
            }
            let rx = &mut channel.rx;
            let size = datagram::HEADER + data.len as usize;
            if rx.readable() + size > len || rx.discarding {
                rx.lost = rx.lost.saturating_add(1);
                self.core.stats.datagrams_lost += 1;
                datagram::note(channel, data.offset);
                return;
            }
            let start = rx.next;
            let (_, rx_ring) = self.rings_of(slot);
            let header = datagram::header(data.len as usize, now);
            ring::copy_in(&mut self.rings[rx_ring], start, &header);
            self.core.trip(lane).incoming = Incoming {
                sink: Sink::Datagram,
                slot: slot as u16,
                fin: false,
                at: start + datagram::HEADER as u64,
                number: data.offset,
                len: data.len,
            };
            if data.len == 0 {
                self.on_bytes(now, lane, &[], 0);
            }
            return;
        }
        let fin = data.flags.has(DataFlags::FIN);
        if data.offset > rx.next {
            return rx.note_gap();
        }
        if data.offset + u64::from(data.len) + u64::from(fin) <= rx.next {
            // Nothing new: the acknowledgement was lost.
            rx.dirty = true;
            return;
        }
        self.core.trip(lane).incoming = Incoming {
            sink: Sink::Stream,
            slot: slot as u16,
            fin,
            at: data.offset,
            number: 0,
            len: data.len,
        };
        if data.len == 0 {
            self.on_bytes(now, lane, &[], 0);
        }
    }

    /// Bytes of the data message begun; `left` are still to come.
    fn on_bytes(&mut self, now: u64, lane: Lane, bytes: &[u8], left: u32) {
        let incoming = self.core.trip(lane).incoming;
        let slot = usize::from(incoming.slot);
        self.core.trip(lane).incoming.at += bytes.len() as u64;
        match incoming.sink {
            Sink::Drop => {}
            Sink::Stream => {
                if !self.take_stream(slot, incoming.at, bytes) {
                    self.core.trip(lane).incoming.sink = Sink::Drop;
                    return;
                }
                let rx = &mut self.channels[slot].rx;
                let end = incoming.at + bytes.len() as u64;
                if left == 0 && incoming.fin && rx.next == end && !rx.fin {
                    rx.fin = true;
                    rx.next += 1;
                    rx.dirty = true;
                }
                if left == 0 {
                    self.finish_if_done(now, slot);
                }
                self.wake_channel(slot);
            }
            Sink::Datagram => {
                let (_, rx_ring) = self.rings_of(slot);
                ring::copy_in(&mut self.rings[rx_ring], incoming.at, bytes);
                if left == 0 {
                    let channel = &mut self.channels[slot];
                    datagram::note(channel, incoming.number);
                    channel.rx.next += (datagram::HEADER as u32 + incoming.len) as u64;
                    self.core.stats.received += u64::from(incoming.len);
                    self.core.trip(lane).incoming.sink = Sink::Drop;
                    self.wake_channel(slot);
                }
            }
        }
    }

    /// Puts bytes at `at` into the receive ring, without those it has already; false if some did
    /// not fit, which overflows, or if the channel has ended meanwhile.
    fn take_stream(&mut self, slot: usize, at: u64, bytes: &[u8]) -> bool {
        let len = self.ring_len();
        let (_, rx_ring) = self.rings_of(slot);
        let channel = &mut self.channels[slot];
        if channel.state != State::Established {
            return false;
        }
        let rx = &mut channel.rx;
        if rx.fin {
            return true;
        }
        let known = rx.next.saturating_sub(at).min(bytes.len() as u64) as usize;
        let new = &bytes[known..];
        let room = if rx.discarding { new.len() } else { len - rx.readable() };
        let fits = new.len().min(room);
        if fits > 0 {
            if rx.discarding {
                rx.read += fits as u64;
            } else {
                ring::copy_in(&mut self.rings[rx_ring], rx.next, &new[..fits]);
            }
            rx.next += fits as u64;
            rx.dirty = true;
            self.core.stats.received += fits as u64;
        }
        if fits < new.len() {
            rx.overflow = rx.next + 1;
            rx.dirty = true;
            rx.now = true;
        }
        fits == new.len()
    }

    /// The peer told how far it is.
    fn on_window(&mut self, now: u64, slot: usize, window: &Window) {
        let channel = &mut self.channels[slot];
        let tx = &mut channel.tx;
        if channel.kind == Kind::Datagram {
            tx.acked_number = tx.acked_number.max(window.ack.min(tx.sent_number));
            self.watch(now, slot);
            self.core.wake_send();
            return;
        }
        if window.ack > tx.high {
            return self.end(now, slot, End::Here, Status::Protocol, true);
        }
        let mut sample = None;
        if window.ack > tx.una {
            tx.una = window.ack;
            tx.next = tx.next.max(tx.una);
            tx.delivered = tx.delivered.max(tx.una.min(tx.end));
            if tx.timed != 0 && tx.una >= tx.timed {
                sample = Some(now.saturating_sub(tx.timed_at));
                tx.timed = 0;
            }
            channel.backoff = 0;
            channel.probe_at = 0;
        }
        tx.limit = tx.limit.max(window.limit);
        let mut back = window.losses > tx.losses;
        tx.losses = tx.losses.max(window.losses);
        let mut overflow = None;
        if window.overflow > tx.overflow {
            tx.overflow = window.overflow;
            tx.overflow_untold = true;
            tx.overflows = tx.overflows.saturating_add(1);
            overflow = Some(window.overflow - 1);
            back = true;
        }
        if back && tx.flying {
            tx.rewind = true;
        } else if back {
            tx.go_back(tx.una);
        }
        self.watch(now, slot);
        if let Some(ms) = sample {
            self.core.round_trip(ms);
        }
        if let Some(offset) = overflow {
            let channel = self.channel_id(slot);
            self.core.stats.overflows += 1;
            self.core.event(Event::Overflow { channel, offset });
        }
        self.wake_channel(slot);
        self.core.wake_send();
        self.finish_if_done(now, slot);
    }

    /// Somebody connects.
    fn on_accept_req(&mut self, now: u64, from: &Route, connect: &Connect<'_>) {
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
        if connect.channel == wire::Channel::NONE {
            return Err(Status::Protocol);
        }
        let endpoint = Endpoint { name: connect.name, port: connect.port };
        let claim = self.claim_of(&endpoint).ok_or(Status::NoListener)?;
        if self.claims[claim].kind != connect.kind {
            return Err(Status::WrongKind);
        }
        let listener = self.listener_id(claim).0;
        if self.waiting(listener) >= usize::from(self.claims[claim].backlog) {
            return Err(Status::BacklogFull);
        }
        let timers = self.core.settings.timers;
        let slot =
            self.open_channel(now, connect.kind, State::Accepting).ok_or(Status::BacklogFull)?;
        let least = timers.least_linger_ms();
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
        channel.set_greeting(connect.greeting);
        channel.give_up_at = now + u64::from(timers.accept_for_ms);
        if self.claims[claim].state == ClaimState::Claiming {
            self.claims[claim].state = ClaimState::Granted;
            self.wake_claim(claim);
        }
        Ok(())
    }

    /// The listener, or the relay in its place, answered.
    fn on_connect_rsp(&mut self, now: u64, from: &Route, accept: &Accept<'_>) {
        let (slot, _) = super::slot(from.channel.id);
        if slot >= self.channels.len() || self.local(slot) != from.channel {
            let ended = |t: &&mut Tombstone| t.local == from.channel && t.peer == from.peer;
            match self.tombstones.iter_mut().find(ended) {
                // A late repeat: the listener has or had everything, and may want to know again.
                Some(t) => {
                    t.answer = true;
                    self.core.wakes.send = true;
                }
                None if accept.status == Status::Ok => self.unknown(from),
                None => {}
            }
            return;
        }
        let least = self.core.settings.timers.least_linger_ms();
        let channel = &mut self.channels[slot];
        match (channel.state, accept.status) {
            (State::Connecting, Status::Ok)
                if from.peer != wire::Address::RELAY && accept.channel != wire::Channel::NONE =>
            {
                channel.peer = from.peer;
                channel.remote = accept.channel;
                channel.tx.limit = accept.limit;
                channel.linger_ms = accept.linger_ms.max(least);
                channel.backoff = 0;
                channel.set_greeting(accept.greeting);
                self.establish(now, slot);
                self.acknowledge_set_up(slot);
            }
            (State::Connecting, Status::Retry | Status::Busy | Status::Away) => {
                channel.status = accept.status as u8;
            }
            (State::Connecting, Status::Ok) => {}
            (State::Connecting, status) => self.end(now, slot, End::Refused, status, false),
            (State::Established, Status::Ok)
                if channel.peer == from.peer && channel.remote == accept.channel =>
            {
                self.heard(now, slot);
                self.acknowledge_set_up(slot);
            }
            // Bound to another listener that was quicker, or over.
            (State::Established, Status::Ok) => self.unknown(from),
            (State::Ended, Status::Ok) if channel.end != End::None => self.unknown(from),
            _ => {}
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

    fn on_close_req(&mut self, now: u64, from: &Route, close: &Close) {
        let (slot, _) = super::slot(from.channel.id);
        self.reply(ReplyKind::Close, Status::Closed, from.peer, from.channel);
        if slot < self.channels.len()
            && self.local(slot) == from.channel
            && self.channels[slot].peer == from.peer
        {
            self.channels[slot].end_offset = close.offset;
            if self.channels[slot].state == State::Aborting {
                return self.settle(now, slot);
            }
            self.end(now, slot, End::Peer, close.status, false);
        }
    }

    fn on_close_rsp(&mut self, now: u64, from: &Route, closed: &Closed) {
        let bound = |c: &super::channel::Channel| {
            c.state != State::Free && c.peer == from.peer && c.remote == closed.channel
        };
        let Some(slot) = self.channels.iter().position(bound) else { return };
        match self.channels[slot].state {
            State::Aborting => self.settle(now, slot),
            State::Accepting | State::Established => {
                self.end(now, slot, End::Peer, closed.status, false);
            }
            _ => {}
        }
    }

    /// The relay can reach `peer` again.
    fn on_ready(&mut self, now: u64, peer: wire::Address) {
        for slot in 0..self.channels.len() {
            let channel = &mut self.channels[slot];
            match channel.state {
                State::Connecting => channel.due = now,
                State::Accepting | State::Aborting if channel.peer == peer => channel.due = now,
                State::Established if channel.peer == peer => {
                    channel.blocked = false;
                    self.watch(now, slot);
                    self.wake_channel(slot);
                }
                _ => {}
            }
        }
        self.core.wakes.send = true;
    }

    fn on_verdict(&mut self, now: u64, lane: Lane, verdict: &Verdict) {
        let Some(item) = self.core.trip(lane).item_of(verdict.index) else { return };
        if item.is_judged() {
            return;
        }
        item.judge();
        let item = *item;
        let slot = usize::from(item.slot);
        let delivered = verdict.status == Status::Delivered;
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
            What::Datagram => {
                let tx = &mut self.channels[slot].tx;
                if delivered && !tx.rewind {
                    tx.una += (datagram::HEADER as u32 + item.bytes()) as u64;
                    tx.number += 1;
                    self.core.stats.sent += u64::from(item.bytes());
                    self.wake_channel(slot);
                } else if verdict.status == Status::Limited && !tx.rewind {
                    // No answer that the peer takes could hold it.
                    tx.una += (datagram::HEADER as u32 + item.bytes()) as u64;
                    tx.number += 1;
                    tx.lost = tx.lost.saturating_add(1);
                    self.core.stats.datagrams_lost += 1;
                } else if !delivered {
                    tx.rewind = true;
                    self.block(now, slot, verdict.status);
                }
            }
            What::Probe if delivered => {
                self.channels[slot].blocked = false;
                self.watch(now, slot);
            }
            What::Probe => self.block(now, slot, verdict.status),
            What::Connect if self.channels[slot].state == State::Connecting => {
                match verdict.status {
                    // The relay refuses in the listener's place.
                    Status::NoListener | Status::WrongKind | Status::Limited => {
                        self.end(now, slot, End::Refused, verdict.status, false);
                    }
                    status => self.channels[slot].status = status as u8,
                }
            }
            _ => {}
        }
    }

    /// The relay could not deliver: only PROBEs go to this peer until it is heard of.
    fn block(&mut self, now: u64, slot: usize, status: Status) {
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

const _: () = assert!(MAX_CONTROL >= 32 + 4 + 26 + wire::MAX_GREETING);
