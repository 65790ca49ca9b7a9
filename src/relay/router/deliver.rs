//! Brings a message to its peer: into the peer's answer, or, for a while, waits for such an answer.

use tracing::{debug, info, trace};

use super::ExchangeId;
use super::accounts::{AccountId, Burden, Meter};
use super::demand::Demand;
use super::key::SessionKey;
use super::message::Content;
use super::park_end::ParkEnd;
use super::rejection::{Limit, Rejection};
use super::response::FRAME_LEN;
use super::stored::{KEPT_ACK, newest};
use super::tables::Tables;
use super::upload::{Pulled, Upload};
use crate::wire::{
    ChannelKind, ChannelRef, DataFlags, Endpoint, MAX_CONTROL, Message, Route, Status, Window,
};
use bytes::BytesMut;

/// What a response may have queued when a datagram is put in that fits only an empty one: the
/// frame and some control.
const DATAGRAM_SLACK: usize = 1024;

/// Connections that are remembered of a session before its first park, which follows its first send.
const ASKED_AT_FIRST: usize = 4;

/// What a peer's answer would take now.
enum Capacity {
    /// So many octets, into the response of this exchange.
    Room(ExchangeId, usize),
    /// Nothing yet.
    Wait,
    /// Nothing ever, for this reason.
    Never(Status),
}

impl Tables {
    /// Deals with a message behind HELLO. A message that has to go to a peer is in hand afterwards.
    pub(super) fn meet(
        &mut self,
        now: u64,
        upload: &mut Upload,
        index: u16,
        demand: Demand,
    ) -> Result<(), Rejection> {
        self.stats.messages_in += 1;
        match demand {
            Demand::Hello(_) => debug_assert!(false, "HELLO is the first message alone"),
            Demand::Connect { channel, endpoint, kind, message } => {
                match self.ask(now, upload.id, channel, &endpoint, kind) {
                    Ok(peer) => {
                        self.welcome(self.source_of(upload.id), peer);
                        upload.begin(
                            now,
                            index,
                            (peer, ChannelRef::NONE),
                            Content::Control(message),
                        );
                    }
                    Err(status) => self.judge_at_once(upload, index, status),
                }
            }
            Demand::Accept(message, is_ok) => {
                let (peer, channel) = upload.route()?;
                let source = self.source_of(upload.id).address();
                let asked = self.sessions.get(&peer).and_then(|s| s.asked.kind(channel, source));
                match asked {
                    Some(kind) if is_ok && kind.encrypted => {
                        self.court(self.source_of(upload.id), peer);
                    }
                    Some(_) if is_ok => self.welcome(self.source_of(upload.id), peer),
                    Some(_) | None => {}
                }
                if self.sessions.get(&peer).is_none_or(|s| s.asked.admits(channel, source)) {
                    upload.begin(now, index, (peer, channel), Content::Control(message));
                } else {
                    // A stranger, with a token from somewhere.
                    self.judge_at_once(upload, index, Status::NoListener);
                }
            }
            Demand::Pass(message) => {
                upload.begin(now, index, upload.route()?, Content::Control(message));
            }
            Demand::Unwelcome(message) => {
                let (peer, channel) = upload.route()?;
                self.unwelcome(self.source_of(upload.id), peer);
                upload.begin(now, index, (peer, channel), Content::Control(message));
            }
            Demand::Receive(window) => {
                let (peer, channel) = upload.route()?;
                let status = self.receive(now, upload.id, peer, channel, window);
                self.verdict(upload.id, index, status, 0);
            }
            Demand::Data(data) => {
                let content = match data.flags.has(DataFlags::DATAGRAM) {
                    true => Content::Datagram { data, have: BytesMut::new() },
                    false => Content::Stream { data, done: 0 },
                };
                upload.begin(now, index, upload.route()?, content);
            }
        }
        Ok(())
    }

    fn judge_at_once(&mut self, upload: &mut Upload, index: u16, status: Status) {
        upload.speak();
        self.verdict(upload.id, index, status, 0);
    }

    /// The session that listens at the endpoint, which is noted as asked for `channel`.
    fn ask(
        &mut self,
        now: u64,
        id: ExchangeId,
        channel: ChannelRef,
        endpoint: &Endpoint,
        kind: ChannelKind,
    ) -> Result<SessionKey, Status> {
        let source = self.source_of(id);
        let listener = self.listener(now, endpoint, kind);
        if let Some(grant) = self.grant_of(id) {
            if !grant.may_connect(endpoint) {
                let status = self.forbid(now, &grant, endpoint, "connect");
                return Err(self.miss(now, id, status));
            }
            let is_repeat = listener.is_ok_and(|peer| {
                let session = self.sessions.get(&source);
                session.is_some_and(|s| s.asked.has(channel, peer.address()))
            });
            if !is_repeat && !self.bearers.connect(now, &grant) {
                self.stats.limits.note(Limit::PolicyConnects);
                if self.bearers.refuse(now, &grant) {
                    let (holder, limit) = (grant.holder(), Limit::PolicyConnects);
                    info!(%holder, %endpoint, "LIMITED: {limit} is reached");
                }
                return Err(Status::Limited);
            }
        }
        let peer = listener.map_err(|status| self.miss(now, id, status))?;
        if let Some(session) = self.sessions.get_mut(&source) {
            // A session that never parks hears no answer.
            let most = match session.highest() {
                Some(_) => self.config.asked,
                None => self.config.asked.min(ASKED_AT_FIRST),
            };
            if session.asked.note(channel, peer.address(), kind, most) {
                self.stats.limits.note(Limit::Asked);
                trace!(session = %source, limit = %Limit::Asked, "the oldest connection is forgotten");
            }
        }
        Ok(peer)
    }

    /// A connection finds no listener, for this reason; RETRY if its origin asks for too many of these.
    fn miss(&mut self, now: u64, id: ExchangeId, status: Status) -> Status {
        let account = self.account_of(id);
        match self.accounts.meter(now, &self.config, account, Meter::Misses, 0) {
            Ok(_) => status,
            Err(_) => Status::Retry,
        }
    }

    /// RECEIVE_REQ does not wait for a park: the newest is kept.
    fn receive(
        &mut self,
        now: u64,
        id: ExchangeId,
        peer: SessionKey,
        channel: ChannelRef,
        window: Window,
    ) -> Status {
        let source = self.source_of(id);
        match self.absent(now, &peer) {
            Some(status) => {
                self.wish(now, source, peer);
                status
            }
            None => self.keep_ack(now, id, peer, channel, window),
        }
    }

    /// For whom an exchange counts.
    fn account_of(&self, id: ExchangeId) -> AccountId {
        self.exchanges.get(id).map(|exchange| exchange.account()).unwrap_or_default()
    }

    /// The session of an upload whose HELLO was dealt with.
    fn source_of(&self, id: ExchangeId) -> SessionKey {
        let source = self.session_of(id);
        debug_assert!(source.is_some(), "its HELLO was dealt with");
        source.unwrap_or_default()
    }

    /// Brings the message in hand on. True: the message is done. False: it waits, or bytes are missing.
    ///
    /// # Errors
    /// Its octets are more than may be held for its origin: the rest of the request need not come.
    pub(super) fn bring_on(&mut self, now: u64, upload: &mut Upload) -> Result<bool, Rejection> {
        let Some(message) = upload.in_hand() else { return Ok(true) };
        let (index, peer) = (message.index, message.peer);
        let source = self.source_of(upload.id);
        let from = Route { peer: source.address(), channel: message.channel };
        if !message.is_dropped() {
            self.set_target(upload, Some(peer));
        }
        loop {
            if self.is_over_share(upload) {
                self.stats.over_share += 1;
                return Err(Rejection::Limited(Limit::MaxHeld));
            }
            let held = upload.in_hand_held();
            let pulled = upload.pull();
            self.budget.take(&mut self.accounts, upload.account, upload.in_hand_held() - held);
            match pulled {
                Pulled::Missing => return Ok(false),
                Pulled::Dropped(status, bytes) => {
                    upload.take_in_hand();
                    self.verdict(upload.id, index, status, bytes);
                    return Ok(true);
                }
                Pulled::Ready => {}
            }
            match self.capacity(now, upload, from) {
                Capacity::Room(park, room) => {
                    let bytes = self.put(now, park, from, upload, room);
                    self.stop_waiting(now, upload, peer);
                    if let Some(bytes) = bytes {
                        upload.take_in_hand();
                        self.verdict(upload.id, index, Status::Delivered, bytes);
                        return Ok(true);
                    }
                }
                Capacity::Never(status) => self.refuse(now, upload, status),
                Capacity::Wait if self.wait(now, upload, peer) => return Ok(false),
                Capacity::Wait => self.refuse(now, upload, Status::Busy),
            }
        }
    }

    /// Whether what there is of the datagram in hand is more than may be held for its origin.
    fn is_over_share(&self, upload: &Upload) -> bool {
        let Some(message) = upload.in_hand() else { return false };
        let Content::Datagram { .. } = message.content else { return false };
        let more = upload.there().min(message.unread() as usize);
        self.budget.free_beside(&self.accounts, upload.account, 0) < more
    }

    /// How much of the message in hand its peer's answer takes. The answer begins, if the peer parks.
    fn capacity(&mut self, now: u64, upload: &mut Upload, from: Route) -> Capacity {
        let Some(message) = upload.in_hand() else { return Capacity::Wait };
        if let Some(status) = self.absent(now, &message.peer) {
            return Capacity::Never(status);
        }
        let Some(least) = message.least(upload.there()) else { return Capacity::Wait };
        let Some(park) = self.sessions.get(&message.peer).and_then(|session| session.park()) else {
            return Capacity::Wait;
        };
        let Some(exchange) = self.exchanges.get(park) else { return Capacity::Wait };
        let max = exchange.response.max();
        if least + FRAME_LEN > max {
            self.stats.limits.note(Limit::MaxResponse);
            debug!(session = %message.peer, max, limit = %Limit::MaxResponse, "no answer could hold a message");
            return Capacity::Never(Status::Limited);
        }
        if exchange.is_parked()
            && !self.may_burden(now, (from.peer, upload.account), message.peer, Burden::Wake)
        {
            return Capacity::Wait;
        }
        let why = if message.is_control() { ParkEnd::Control } else { ParkEnd::Data };
        self.open(now, park, why);
        let Some(exchange) = self.exchanges.get_mut(park) else { return Capacity::Wait };
        let left = exchange.response.left(Some(from));
        if left < least || exchange.is_full() {
            exchange.fill();
            self.touch(message.peer);
            return Capacity::Wait;
        }
        let account = exchange.account();
        let undrained = exchange.response.undrained();
        let source_len = exchange.response.source_len(Some(from));
        let mut room = self.config.undrained.saturating_sub(undrained + source_len);
        if let Content::Datagram { .. } = message.content
            && undrained <= DATAGRAM_SLACK
        {
            room = room.max(least);
        }
        if !message.is_control() {
            // A datagram is counted already.
            let free = self.budget.free_beside(&self.accounts, account, message.held());
            if free < room {
                room = free;
                if upload.hold_back() {
                    self.stats.limits.note(Limit::MaxHeld);
                    trace!(exchange = upload.id, limit = %Limit::MaxHeld, "an upload stands");
                }
                self.budget.starve(&mut self.accounts, upload.id, account);
            }
        }
        if room < least { Capacity::Wait } else { Capacity::Room(park, room.min(left)) }
    }

    /// Writes the message in hand, or what fits of it. The number of its bytes once all is written.
    fn put(
        &mut self,
        now: u64,
        park: ExchangeId,
        from: Route,
        upload: &mut Upload,
        room: usize,
    ) -> Option<u32> {
        if let Some(since) = upload.begin_writing() {
            self.stats.waits.note(now.saturating_sub(since));
        }
        let message = upload.in_hand()?;
        let peer = message.peer;
        if let Content::Control(control) = &message.content {
            let confirms = control.confirms();
            self.write(now, park, |response| {
                response.source(from);
                response.raw(control.as_bytes());
            });
            self.count_written(peer, 0);
            let source = self.source_of(upload.id);
            self.acquaint(source, peer);
            if confirms {
                self.confirm(peer, source);
            }
            return Some(0);
        }
        let held = message.held();
        let slice = upload.slice(room)?;
        self.budget.give(&mut self.accounts, upload.account, held);
        let total = upload.in_hand().and_then(|message| message.total(&slice));
        self.count_written(peer, slice.bytes.len());
        self.welcome(self.source_of(upload.id), peer);
        self.write(now, park, |response| {
            response.source(from);
            response.data(slice.data, slice.bytes);
        });
        total
    }

    /// Counts a message that was written, of `bytes` bytes.
    fn count_written(&mut self, peer: SessionKey, bytes: usize) {
        self.stats.messages += 1;
        self.stats.forwarded += bytes as u64;
        self.touch(peer);
    }

    /// Lets the message in hand wait for its peer; false if the message waited long enough.
    fn wait(&mut self, now: u64, upload: &mut Upload, peer: SessionKey) -> bool {
        if !upload.may_wait() {
            return false;
        }
        if let Some(until) = upload.waits_until() {
            return now < until;
        }
        let Some(session) = self.sessions.get(&peer) else { return false };
        let (min, max) = (self.config.busy_wait_min_ms, self.config.busy_wait_max_ms);
        // An answer that is under way says more of the peer than its last gap.
        let wait = match session.park() {
            Some(_) => max,
            None => (2 * session.gap()).max(min).min(max),
        };
        let Some(until) = upload.begin_wait(now, wait) else { return false };
        trace!(exchange = upload.id, %peer, wait, "a message waits for its peer");
        self.targets.wait(peer, upload.id);
        self.upload_timers.set(upload.id, &mut upload.deadline, Some(until));
        true
    }

    /// The wait for the peer of the message in hand is over.
    pub(super) fn expire(&mut self, now: u64, upload: &mut Upload) {
        self.refuse(now, upload, Status::Busy);
    }

    /// The peer does not get the message in hand: what is left of it is to be read and dropped.
    fn refuse(&mut self, now: u64, upload: &mut Upload, status: Status) {
        let Some(message) = upload.in_hand() else { return };
        let (peer, held) = (message.peer, message.held());
        self.stop_waiting(now, upload, peer);
        upload.refuse(status);
        self.budget.give(&mut self.accounts, upload.account, held);
        self.set_target(upload, None);
        if status != Status::Limited {
            self.wish(now, self.source_of(upload.id), peer);
        }
    }

    /// Keeps a RECEIVE_REQ, or writes it into an answer that is open.
    fn keep_ack(
        &mut self,
        now: u64,
        id: ExchangeId,
        peer: SessionKey,
        channel: ChannelRef,
        mut window: Window,
    ) -> Status {
        let (source, account) = (self.source_of(id), self.account_of(id));
        self.acquaint(source, peer);
        let from = Route { peer: source.address(), channel };
        let Some(session) = self.sessions.get_mut(&peer) else { return Status::Away };
        let open = session.park().filter(|park| {
            self.exchanges.get(*park).is_some_and(|exchange| {
                exchange.is_open()
                    && exchange.response.left(Some(from)) >= MAX_CONTROL
                    && exchange.response.undrained() < self.config.undrained
            })
        });
        let wakes = open.is_none() && session.stored.due().is_none();
        let burden = if wakes { Burden::Wake } else { Burden::Acknowledgement };
        if (wakes || open.is_some()) && !self.may_burden(now, (from.peer, account), peer, burden) {
            return Status::Busy;
        }
        let Some(session) = self.sessions.get_mut(&peer) else { return Status::Away };
        if let Some(park) = open {
            if let Some((kept, account)) = session.stored.acks.take(&from) {
                window = newest(&kept, &window);
                self.give_ack(account);
            }
            self.write(now, park, |response| {
                response.source(from);
                response.put(&Message::SendRsp(window));
            });
            self.count_written(peer, 0);
            self.welcome(source, peer);
            return Status::Delivered;
        }
        let due = if window.now { now } else { now + self.config.ack_delay_ms };
        if !session.stored.acks.holds(&from) {
            if self.budget.free_beside(&self.accounts, account, 0) < KEPT_ACK {
                self.stats.over_share += 1;
                return Status::Busy;
            }
            self.take_ack(account);
        }
        let Some(session) = self.sessions.get_mut(&peer) else { return Status::Away };
        if !std::mem::replace(&mut session.keeps_acks, true) {
            self.ack_keepers.push_back((now + self.config.ack_keep_ms, peer));
        }
        let dropped = session.stored.acks.insert(from, window, account, due, self.config.acks);
        if let Some(account) = dropped {
            self.stats.limits.note(Limit::Acks);
            debug!(session = %peer, limit = %Limit::Acks, "the oldest acknowledgement is dropped");
            self.stats.acks_dropped += 1;
            self.give_ack(account);
        }
        self.welcome(source, peer);
        self.poke(now, peer);
        Status::Delivered
    }

    /// Two sessions have something to do with each other: each is told when the other is over.
    fn acquaint(&mut self, a: SessionKey, b: SessionKey) {
        if self.sessions.acquaint(a, b, self.config.peers) {
            self.stats.limits.note(Limit::Peers);
        }
    }

    /// The session wants to be told when `peer` parks, or that `peer` is over.
    fn wish(&mut self, now: u64, session: SessionKey, peer: SessionKey) {
        if self.sessions.is_over(&peer) {
            if self.sessions.keep_gone(session, peer, self.config.peers) {
                self.poke(now, session);
            }
        } else if self.wishes.add(session, peer, self.config.wishes) {
            self.stats.limits.note(Limit::Wishes);
            trace!(%session, limit = %Limit::Wishes, "the oldest wish is forgotten");
        }
    }
}
