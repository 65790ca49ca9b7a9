//! Bringing a message to its peer: into its response, or, for a while, waiting for one.

use bytes::Bytes;

use super::exchange::{Current, State, What};
use super::response::{FRAME_LEN, Phase, data_len};
use super::session::newest;
use super::{ExchangeId, Router};
use crate::wire::{Address, Data, DataFlags, Decoder, MAX_CONTROL, Message, Route, Status, Window};

/// Least octets of a stream worth a message of their own while more are there.
const MIN_SLICE: usize = 256;

/// What a response may have queued when a datagram is put in that fits only an empty one: the
/// frame and some control.
const DATAGRAM_SLACK: usize = 1024;

/// What a peer's response would take now.
enum Slot {
    /// So many octets, into the response of this exchange.
    Room(ExchangeId, usize),
    /// Nothing yet.
    Wait,
    /// Nothing ever, for this reason.
    Never(Status),
}

impl Router {
    /// Brings the current message on. True: it is done. False: it waits, or its bytes are not there.
    pub(super) fn advance(
        &mut self,
        now: u64,
        id: ExchangeId,
        decoder: &mut Decoder,
        state: &mut State,
        chunk: &mut Bytes,
    ) -> bool {
        let Some(mut current) = state.current.take() else { return true };
        let source = self.source_of(id);
        if !matches!(current.what, What::Drop { .. }) {
            self.set_target(id, state, Some(current.peer));
        }
        loop {
            let unread = current.what.unread() as usize;
            match &mut current.what {
                What::Drop { status, left, done } => {
                    *left -= take(decoder, chunk, unread).len() as u32;
                    if *left == 0 {
                        let (status, done) = (*status, *done);
                        self.verdict(state, current.index, status, done);
                        return true;
                    }
                    break;
                }
                What::Datagram { have, .. } if unread > 0 => {
                    let bytes = take(decoder, chunk, unread);
                    self.held += bytes.len();
                    have.extend_from_slice(&bytes);
                    if bytes.len() < unread {
                        break;
                    }
                }
                What::Stream { .. } if unread > 0 && chunk.is_empty() => break,
                What::Stream { .. } | What::Datagram { .. } | What::Control { .. } => {
                    let from = Route { peer: source, channel: current.channel };
                    match self.slot(now, id, &current, from, chunk.len()) {
                        Slot::Room(park, room) => {
                            let bytes = self.put(now, park, from, &mut current, room, |n| {
                                take(decoder, chunk, n)
                            });
                            self.stop_waiting(now, id, state, current.peer);
                            if let Some(bytes) = bytes {
                                self.verdict(state, current.index, Status::Delivered, bytes);
                                return true;
                            }
                        }
                        Slot::Never(status) => {
                            self.stop_waiting(now, id, state, current.peer);
                            self.refuse(now, id, state, &mut current, status);
                        }
                        Slot::Wait if self.wait(now, id, state, &current) => break,
                        Slot::Wait => {
                            self.stop_waiting(now, id, state, current.peer);
                            self.refuse(now, id, state, &mut current, Status::Busy);
                        }
                    }
                }
            }
        }
        state.current = Some(current);
        false
    }

    /// How much of a message its peer's response takes; opens it if it is to be written.
    fn slot(
        &mut self,
        now: u64,
        id: ExchangeId,
        current: &Current,
        from: Route,
        there: usize,
    ) -> Slot {
        if let Some(status) = self.absent(now, &current.peer) {
            return Slot::Never(status);
        }
        let (bytes, whole) = match &current.what {
            What::Control { len, .. } => (*len, true),
            What::Datagram { have, .. } => (data_len(have.len()), true),
            What::Stream { data, done } => {
                let left = data.len.saturating_sub(*done) as usize;
                (data_len(left.min(there)), left == 0)
            }
            What::Drop { .. } => return Slot::Wait,
        };
        let least = if whole { bytes } else { bytes.min(data_len(MIN_SLICE)) };
        let Some(park) = self.sessions.get(&current.peer).and_then(|session| session.park) else {
            return Slot::Wait;
        };
        match self.exchanges.get(&park) {
            Some(exchange) if least + FRAME_LEN > exchange.response.max() => {
                return Slot::Never(Status::Limited);
            }
            Some(_) => self.open(now, park),
            None => return Slot::Wait,
        }
        let Some(exchange) = self.exchanges.get_mut(&park) else { return Slot::Wait };
        let response = &mut exchange.response;
        let left = response.left(Some(from));
        if left < least || response.full {
            response.full = true;
            self.touched.push(current.peer);
            return Slot::Wait;
        }
        let undrained = response.undrained();
        let from = response.source_len(Some(from));
        let mut room = self.config.undrained.saturating_sub(undrained + from);
        if let What::Datagram { .. } = current.what
            && undrained <= DATAGRAM_SLACK
        {
            room = room.max(least);
        }
        if !matches!(current.what, What::Control { .. }) {
            // A datagram is counted already.
            let held = self.held - current.what.held();
            let free = self.config.max_held.saturating_sub(held);
            if free < room {
                room = free;
                self.starved.insert(id);
            }
        }
        if room < least { Slot::Wait } else { Slot::Room(park, room.min(left)) }
    }

    /// Writes the message, or what fits of it. Some: all of it is written, and how many bytes it had.
    fn put(
        &mut self,
        now: u64,
        park: ExchangeId,
        from: Route,
        current: &mut Current,
        room: usize,
        mut take: impl FnMut(usize) -> Bytes,
    ) -> Option<u32> {
        let (data, bytes, total) = match &mut current.what {
            What::Control { encoded, len } => {
                let encoded = encoded.get(..*len).unwrap_or_default();
                self.write(now, park, |response| {
                    response.source(from);
                    response.raw(encoded);
                });
                self.written(current.peer, 0);
                self.acquaint(from.peer, current.peer);
                return Some(0);
            }
            What::Datagram { data, have } => {
                self.held -= have.len();
                (*data, have.split().freeze(), Some(data.len))
            }
            What::Stream { data, done } => {
                let left = data.len.saturating_sub(*done) as usize;
                let bytes = take(left.min(room.saturating_sub(data_len(0))));
                let last = bytes.len() == left;
                let flags = match last {
                    true => data.flags,
                    false => data.flags.without(DataFlags::FIN.with(DataFlags::ACK_NOW)),
                };
                let len = bytes.len() as u32;
                let slice = Data { offset: data.offset + u64::from(*done), flags, len };
                *done += len;
                (slice, bytes, last.then_some(data.len))
            }
            What::Drop { .. } => return None,
        };
        self.written(current.peer, bytes.len());
        self.write(now, park, |response| {
            response.source(from);
            response.data(data, bytes);
        });
        total
    }

    fn written(&mut self, peer: Address, bytes: usize) {
        self.stats.messages += 1;
        self.stats.forwarded += bytes as u64;
        self.touched.push(peer);
    }

    /// Lets the current message wait for its peer; false if it waited long enough.
    fn wait(&mut self, now: u64, id: ExchangeId, state: &mut State, current: &Current) -> bool {
        if state.is_park() || current.what.is_probe() {
            return false;
        }
        if let Some((_, until)) = state.waiting {
            return now < until;
        }
        let Some(session) = self.sessions.get_mut(&current.peer) else { return false };
        let (min, max) = (self.config.busy_wait_min_ms, self.config.busy_wait_max_ms);
        // A response that is under way says more of the peer than its last gap.
        let wait = if session.park.is_some() { max } else { (2 * session.gap).max(min).min(max) };
        let wait = wait.min(state.patience);
        if wait == 0 {
            return false;
        }
        session.waiters.insert(id);
        state.waiting = Some((now, now + wait));
        self.arm(id, Some(now + wait));
        true
    }

    pub(super) fn stop_waiting(
        &mut self,
        now: u64,
        id: ExchangeId,
        state: &mut State,
        peer: Address,
    ) {
        if let Some((since, _)) = state.waiting.take() {
            state.patience = state.patience.saturating_sub(now.saturating_sub(since));
            if let Some(session) = self.sessions.get_mut(&peer) {
                session.waiters.remove(&id);
            }
            self.starved.remove(&id);
            self.touched.push(peer);
            self.arm(id, Some(now + self.config.upload_idle_ms));
        }
    }

    /// The wait for the current message's peer is over.
    pub(super) fn expire(&mut self, now: u64, id: ExchangeId, state: &mut State) {
        let Some(mut current) = state.current.take() else { return };
        self.stop_waiting(now, id, state, current.peer);
        self.refuse(now, id, state, &mut current, Status::Busy);
        state.current = Some(current);
    }

    /// The peer does not get the message: what is left of it is to be read and dropped.
    fn refuse(
        &mut self,
        now: u64,
        id: ExchangeId,
        state: &mut State,
        current: &mut Current,
        status: Status,
    ) {
        let left = current.what.unread();
        let done = match &current.what {
            What::Stream { done, .. } => *done,
            _ => 0,
        };
        // What follows in this upload would leave a gap; but nothing waited for the peer of a probe.
        if status != Status::Limited && !current.what.is_probe() && !state.is_park() {
            state.refused.insert(current.peer, status);
        }
        self.held -= current.what.held();
        self.set_target(id, state, None);
        if status != Status::Limited {
            self.wish(now, self.source_of(id), current.peer);
        }
        current.what = What::Drop { status, left, done };
    }

    /// Why a peer is not there, if it is not.
    pub(super) fn absent(&self, now: u64, peer: &Address) -> Option<Status> {
        let grace = self.config.grace_ms;
        if self.sessions.get(peer).is_some_and(|session| session.lives(now, grace)) {
            return None;
        }
        Some(if self.is_young(now) { Status::Retry } else { Status::Away })
    }

    /// Keeps a RECEIVE_REQ, or writes it into a response that is being written.
    pub(super) fn keep_ack(&mut self, now: u64, peer: Address, from: Route, mut window: Window) {
        self.acquaint(from.peer, peer);
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let park = session.park.filter(|park| {
            self.exchanges.get(park).is_some_and(|exchange| {
                let response = &exchange.response;
                response.phase == Phase::Open
                    && response.left(Some(from)) >= MAX_CONTROL
                    && response.undrained() < self.config.undrained
            })
        });
        if let Some(park) = park {
            if let Some(kept) = session.stored.acks.take(&from) {
                window = newest(&kept, &window);
            }
            self.write(now, park, |response| {
                response.source(from);
                response.put(&Message::SendRsp(window));
            });
            self.written(peer, 0);
            return;
        }
        let due = if window.now { now } else { now + self.config.ack_delay_ms };
        if session.stored.acks.insert(from, window, due, self.config.acks) {
            self.stats.acks_dropped += 1;
        }
        self.poke(now, peer);
    }

    /// The session wants to be told when `peer` parks, or that it never will.
    pub(super) fn wish(&mut self, now: u64, session: Address, peer: Address) {
        if self.is_over(now, peer, session) {
            return;
        }
        let most = self.config.wishes;
        let Some(wisher) = self.sessions.get_mut(&session) else { return };
        if most == 0 || !self.wanted.entry(peer).or_default().insert(session) {
            return;
        }
        wisher.wishes.push_back(peer);
        if wisher.wishes.len() > most
            && let Some(oldest) = wisher.wishes.pop_front()
        {
            self.unwish(session, oldest);
        }
    }

    /// Forgets a wish that is no longer in its session's list.
    pub(super) fn unwish(&mut self, session: Address, peer: Address) {
        if let Some(wishers) = self.wanted.get_mut(&peer) {
            wishers.remove(&session);
            if wishers.is_empty() {
                self.wanted.remove(&peer);
            }
        }
    }

    /// Says whose response the upload feeds.
    pub(super) fn set_target(
        &mut self,
        id: ExchangeId,
        state: &mut State,
        target: Option<Address>,
    ) {
        if state.target != target
            && let Some(before) = state.target.take()
            && let Some(session) = self.sessions.get_mut(&before)
        {
            session.feeders.remove(&id);
            self.touched.push(before);
        }
        if let Some(peer) = target
            && let Some(session) = self.sessions.get_mut(&peer)
        {
            session.feeders.insert(id);
            state.target = target;
        }
    }
}

/// Takes up to `most` bytes of the data message under way from `chunk`.
fn take(decoder: &mut Decoder, chunk: &mut Bytes, most: usize) -> Bytes {
    let bytes = chunk.split_to(chunk.len().min(most));
    // The decoder counts along; all of it belongs to the message, so that nothing can be wrong.
    let _ = decoder.next(&mut &bytes[..]);
    bytes
}
