//! What goes into the next exchange.

use super::body::HELLO_LEN;
use super::channel::{Channel, Probe, State};
use super::datagram;
use super::deadline::Deadline;
use super::exchange::{Item, ItemKind, MAX_ITEMS};
use super::state::{Phase, ReplyKind};
use super::tombstone::Left;
use super::{Lane, Mode, Session};
use crate::Kind;
use crate::wire::{DATA_HEADER_LEN, DataFlags, HEADER_LEN, HelloFlags, MAX_CONTROL, Route};

/// Octets of a ROUTE.
const ROUTE_LEN: u16 = 32;
/// Octets of a ROUTE and a data message's header.
pub(super) const DATA_HEAD: u16 = ROUTE_LEN + DATA_HEADER_LEN as u16;
/// Octets of a ROUTE and a RECEIVE_REQ.
const WINDOW_HEAD: u16 = ROUTE_LEN + (HEADER_LEN + 29) as u16;
/// Octets of a ROUTE and a CLOSE_REQ.
const CLOSE_HEAD: u16 = ROUTE_LEN + (HEADER_LEN + 9) as u16;
/// Octets that a request's messages take at most, without data: each the longest, behind a ROUTE.
const CONTROL_ROOM: u32 = 8 << 10;
const _: () =
    assert!(CONTROL_ROOM as usize >= MAX_ITEMS * (ROUTE_LEN as usize + MAX_CONTROL) + HELLO_LEN);
/// Most octets of data that fit a body which is park and send at once.
pub(super) const MAX_SINGLE_DATA: usize =
    crate::wire::MAX_SINGLE_BODY - CONTROL_ROOM as usize - DATA_HEAD as usize;
/// A peer heard of so recently, in ms, may get more at any moment: as long as the relay lets a body
/// wait for another peer.
const PEER_TRAFFIC_MS: u64 = 1_000;
/// Tries to say BYE before the relay is left to find out.
const BYE_TRIES: u8 = 3;

impl<M: Mode> Session<'_, M> {
    /// A park says all claims, and every acknowledgement that is due.
    pub(super) fn plan_park(&mut self) {
        for slot in 0..self.claims().len() {
            if let Some(req) = self.listen_req(slot) {
                let head = (HEADER_LEN + 34 + req.name.len()) as u16;
                let _ = self.core.park.say(Item::control(ItemKind::Listen, slot, head));
            }
        }
        self.core.claims_changed = false;
        self.core.claims_owed = false;
        self.core.acks_at = Deadline::NONE;
        for slot in 0..self.channels.len() {
            let channel = &mut self.channels[slot];
            if channel.state != State::Established || !channel.rx.dirty {
                continue;
            }
            if !self.core.park.say(Item::control(ItemKind::Window, slot, WINDOW_HEAD)) {
                channel.rx.urgent = true;
                self.core.wakes.send = true;
            }
        }
        self.plan_finals(Lane::Park);
    }

    /// A send says everything that waits; `None` if nothing does.
    pub(super) fn plan_send(&mut self, now: u64) -> Option<HelloFlags> {
        let single = self.core.is_single();
        let wake = !single && self.core.claims_changed && self.core.park.is_active();
        let mut hello = HelloFlags::WAKE.when(wake);
        self.plan_control(now);
        // Behind data that fill the plan they would wait for ever.
        let due = !M::SINGLE && self.core.acks_at.is_due(now);
        if due {
            self.plan_acks(now);
        }
        self.plan_data(now);
        if !M::SINGLE && !due {
            self.plan_acks(now);
        }
        if self.says_bye() {
            if self.core.bye_tries >= BYE_TRIES {
                self.core.phase = Phase::Closed;
                self.core.wakes.session = true;
                self.core.wake_lanes();
                return None;
            }
            hello = hello.with(HelloFlags::BYE);
        }
        let says = !self.core.send().plan().is_empty() || hello != HelloFlags::NONE;
        if !single && !says && !self.core.hello_due {
            return None;
        }
        self.core.hello_due = false;
        if !single && self.doubts_park() {
            hello = hello.with(HelloFlags::WAKE);
            // Well above what WAKE and the answer take.
            let due_at = now + u64::from(self.core.timers().send_silence_ms / 2);
            if let Some(full) = self.core.full_mut() {
                full.park_doubt.tells(due_at);
            }
        }
        if wake {
            self.core.claims_changed = false;
        }
        Some(hello)
    }

    /// Whether a send would have anything to say.
    pub(crate) fn has_to_say(&self) -> bool {
        let core = &*self.core;
        let several = self.several_peers(core.clock);
        let channel = |(slot, c): (usize, &Channel)| match c.state {
            State::Free | State::Ended => false,
            State::Established => {
                c.probe != Probe::None || c.rx.urgent || self.has_data(slot, several)
            }
            _ => c.due != 0 && c.due <= core.clock,
        };
        core.hello_due
            || core.claims_changed
            || core.replies.iter().any(|r| r.kind != ReplyKind::Free && !r.flying)
            || self.tombstones.iter().any(|t| t.answer)
            || self.channels.iter().enumerate().any(channel)
            || self.says_bye()
    }

    /// Whether a session that closes has no channel left.
    pub(super) fn is_finished(&self) -> bool {
        let over = |c: &Channel| match c.state {
            State::Free => true,
            State::Ended => !M::SINGLE && !c.owned && !c.flying,
            State::Connecting | State::Accepting | State::Established | State::Aborting => false,
        };
        self.core.phase == Phase::Closing && self.channels.iter().all(over)
    }

    /// Whether nobody waits for a session that closes any more.
    fn says_bye(&self) -> bool {
        self.is_finished() && !self.owes_final()
    }

    /// Whoever begins to talk while an idle park is under way cannot wait for that to tell, a long
    /// hold later, that its path is gone: the answers would go there. Nor can anybody once a send
    /// fell silent.
    fn doubts_park(&self) -> bool {
        let core = &*self.core;
        let long = core.park.hold_ms() > core.timers().hold_active_ms;
        let talks = |item: &Item| {
            matches!(item.kind, ItemKind::Data | ItemKind::Datagram | ItemKind::Connect)
        };
        let talks = long && core.send().plan().iter().any(talks);
        core.park.is_active()
            && !core.park.is_broken()
            && core.full().is_some_and(|full| full.park_doubt.is_to_tell(talks))
    }

    /// The last words of channels that were, as far as they are due.
    fn plan_finals(&mut self, lane: Lane) {
        for (slot, tombstone) in self.tombstones.iter_mut().enumerate() {
            let is_dead = !M::SINGLE && tombstone.left == Left::Dead;
            let head = if is_dead { CLOSE_HEAD } else { WINDOW_HEAD };
            let item = Item::control(ItemKind::Final, slot, head);
            if tombstone.answer && self.core.flight(lane).say(item) {
                tombstone.answer = false;
            }
        }
    }

    fn plan_control(&mut self, now: u64) {
        for slot in 0..self.core.replies.len() {
            let reply = &self.core.replies[slot];
            let head = match reply.kind {
                ReplyKind::Free => continue,
                ReplyKind::Refuse => ROUTE_LEN + (HEADER_LEN + 26) as u16,
                ReplyKind::Close => ROUTE_LEN + (HEADER_LEN + 13) as u16,
                ReplyKind::Stray => ROUTE_LEN + (HEADER_LEN + 9) as u16,
            };
            if !reply.flying && self.core.send_mut().say(Item::control(ItemKind::Reply, slot, head))
            {
                self.core.replies[slot].flying = true;
            }
        }
        if !M::SINGLE {
            self.plan_finals(Lane::Send);
        }
        for slot in 0..self.channels.len() {
            self.plan_channel(now, slot);
        }
    }

    /// While an answer stays open acknowledgements wait for a send, but not for long. They go
    /// before data, which may have to wait for a peer.
    fn plan_acks(&mut self, now: u64) {
        let core = &mut *self.core;
        if !core.park.is_streaming() {
            // The next park has them.
            core.acks_at = Deadline::NONE;
            return;
        }
        if core.send().plan().is_empty() && !core.acks_at.is_due(now) {
            return;
        }
        core.acks_at = Deadline::NONE;
        for (slot, channel) in self.channels.iter().enumerate() {
            let rx = &channel.rx;
            if channel.state != State::Established || !rx.dirty || rx.urgent {
                continue;
            }
            let window = Item::control(ItemKind::Window, slot, WINDOW_HEAD);
            if !core.send_mut().say_first(window) {
                core.acks_at = Deadline::at(now);
            }
        }
    }

    fn plan_channel(&mut self, now: u64, slot: usize) {
        let timers = *self.core.timers();
        let single = self.core.is_single();
        let channel = &mut self.channels[slot];
        let (what, head) = match channel.state {
            State::Connecting if !M::CONNECTS => return,
            State::Connecting => {
                let fixed = HEADER_LEN + 29 + channel.endpoint.name.len();
                (
                    ItemKind::Connect,
                    (fixed + if M::GREETS { channel.greeting().len() } else { 0 }) as u16,
                )
            }
            State::Accepting if !M::LISTENS => return,
            State::Accepting => (ItemKind::Accept, ROUTE_LEN + (HEADER_LEN + 26) as u16),
            State::Aborting => (ItemKind::Close, CLOSE_HEAD),
            State::Established => {
                let flight = self.core.send_mut();
                // The park that it is has said it already.
                if !single && channel.rx.urgent {
                    let _ = flight.say(Item::control(ItemKind::Window, slot, WINDOW_HEAD));
                }
                let flags = match channel.probe {
                    Probe::None => return,
                    Probe::AtOnce => DataFlags::PROBE,
                    Probe::Patient => DataFlags::ACK_NOW,
                };
                let probe = Item::control(ItemKind::Probe, slot, DATA_HEAD).flagged(flags);
                if flight.say(probe) {
                    channel.probe = Probe::None;
                    channel.flying = true;
                }
                return;
            }
            State::Free | State::Ended => return,
        };
        if channel.due != 0
            && channel.due <= now
            && self.core.send_mut().say(Item::control(what, slot, head))
        {
            let pause = timers.rto_min_ms << channel.backoff.min(6);
            channel.due = now + u64::from(pause.min(timers.rto_max_ms));
            channel.backoff = channel.backoff.saturating_add(1);
            channel.flying = true;
        }
    }

    /// Data of the channels that may send, round robin.
    fn plan_data(&mut self, now: u64) {
        let count = self.channels.len();
        let several = self.several_peers(now);
        // Chosen before anything is planned, which one peer's next channel would have to wait for.
        let mut chosen = [0_u32; 8];
        for slot in (0..count).filter(|&slot| self.has_data(slot, several)) {
            chosen[slot / 32] |= 1 << (slot % 32);
        }
        let candidates: u32 = chosen.iter().map(|word| word.count_ones()).sum();
        if candidates == 0 {
            return;
        }
        let most = self.core.max_body().saturating_sub(CONTROL_ROOM).max(1024);
        let mut budget = match self.core.full() {
            Some(full) => {
                let budget = full.body_size.budget(now, most, candidates > 1);
                budget.min(full.gateway.payload(now))
            }
            None => most,
        };
        let whole = budget;
        let share = (budget / candidates).max(1024);
        let first = usize::from(self.core.turn);
        let mut second = None;
        for i in 0..count {
            let slot = (first + i) % count;
            if budget == 0 || self.core.send().is_full() {
                self.core.turn = slot as u8;
                return;
            }
            if chosen[slot / 32] >> (slot % 32) & 1 == 0 {
                continue;
            }
            let taken = match M::kind(self.channels[slot].kind) {
                Kind::Stream => self.plan_stream(now, slot, share.min(budget), several),
                Kind::Datagram => {
                    // The relay takes no larger body, though one datagram is to go at least.
                    let fits = self.core.is_single() && budget < whole;
                    self.plan_datagrams(now, slot, share.min(budget), several, fits)
                }
            };
            budget = budget.saturating_sub(taken);
            second.get_or_insert((slot + 1) % count);
        }
        // Everybody is in; but the relay may get no further than the first.
        self.core.turn = second.unwrap_or(first) as u8;
    }

    fn plan_stream(&mut self, now: u64, slot: usize, share: u32, several: bool) -> u32 {
        let ring = self.ring_len() as u64;
        let channel = &mut self.channels[slot];
        let tx = &mut channel.tx;
        let available = tx.end.min(tx.limit).saturating_sub(tx.next);
        let bytes = available.min(share.into());
        let after = tx.next + bytes;
        let fin = tx.fin && after == tx.end;
        let window = tx.limit.saturating_sub(tx.una);
        let short = tx.limit.saturating_sub(after) < window / 2 || tx.end - tx.una > ring / 2;
        let flags = DataFlags::FIN
            .when(fin)
            .with(DataFlags::ACK_NOW.when(fin || short || several || tx.want_ack));
        let planned = Item::data(ItemKind::Data, slot, flags, bytes as u32);
        if !self.core.send_mut().say(planned) {
            return 0;
        }
        if after >= tx.end {
            tx.want_ack = false;
        }
        tx.pin = tx.next;
        tx.next = after + u64::from(fin);
        tx.flying = true;
        channel.flying = true;
        let again = tx.high.min(tx.next) - tx.pin.min(tx.high);
        tx.retransmitted += again;
        self.core.count(|stats| stats.retransmitted += again);
        if tx.next > tx.high {
            self.core.count(|stats| stats.sent += tx.end.min(tx.next) - tx.high.min(tx.end));
            tx.high = tx.next;
            if !M::SINGLE && tx.timed == 0 && again == 0 {
                tx.timed = tx.next;
                tx.timed_at = now;
            }
        }
        self.core.traffic(now);
        self.watch(now, slot);
        bytes as u32 + u32::from(DATA_HEAD)
    }

    fn plan_datagrams(
        &mut self,
        now: u64,
        slot: usize,
        share: u32,
        several: bool,
        fits: bool,
    ) -> u32 {
        self.expire_datagrams(now, slot);
        let (ring, _) = self.rings_of(slot);
        let channel = &mut self.channels[slot];
        let tx = &mut channel.tx;
        let flags = DataFlags::DATAGRAM.with(DataFlags::ACK_NOW.when(several));
        let mut at = tx.una;
        let mut number = tx.number;
        let mut taken = 0;
        while at < tx.end {
            let (len, _) = datagram::read_header(&self.rings[ring.clone()], at);
            let octets = len as u32 + u32::from(DATA_HEAD);
            if (taken > 0 || fits) && taken + octets > share {
                break;
            }
            let planned = Item::data(ItemKind::Datagram, slot, flags, len as u32);
            if !self.core.send_mut().say(planned) {
                break;
            }
            at += (datagram::HEADER + len) as u64;
            number += 1;
            taken += octets;
        }
        if taken > 0 {
            tx.pin = tx.una;
            tx.next = tx.una;
            tx.flying = true;
            tx.rewind = false;
            tx.staged_number = tx.number;
            tx.high = tx.high.max(number);
            if several {
                tx.sent_number = tx.sent_number.max(number);
            }
            channel.flying = true;
            self.core.traffic(now);
        }
        taken
    }

    /// Whether a channel has data that may go out now.
    pub(super) fn has_data(&self, slot: usize, several: bool) -> bool {
        let channel = &self.channels[slot];
        if channel.state != State::Established || channel.blocked || channel.tx.flying {
            return false;
        }
        let tx = &channel.tx;
        let data = match M::kind(channel.kind) {
            Kind::Stream => tx.next < tx.end.min(tx.limit) || tx.fin && tx.next == tx.end,
            Kind::Datagram => tx.una < tx.end,
        };
        // While another peer has traffic too, a peer's next body waits for its acknowledgement,
        // which came with a park: no peer makes another wait.
        data && !(several
            && self.channels.iter().any(|c| c.peer == channel.peer && c.awaits_ack::<M>()))
    }

    /// Whether more than one peer has traffic. Firmware has one, or bears that they wait for each other.
    pub(super) fn several_peers(&self, now: u64) -> bool {
        if M::SINGLE {
            return false;
        }
        let has_traffic =
            |c: &&Channel| c.is_outstanding::<M>() || now < c.heard_at + PEER_TRAFFIC_MS;
        let mut busy =
            self.channels.iter().filter(|c| c.state == State::Established).filter(has_traffic);
        busy.next().is_some_and(|first| busy.any(|c| c.peer != first.peer))
    }

    /// The ROUTE to a channel's peer.
    pub(super) fn route(&self, slot: usize) -> Route {
        let channel = &self.channels[slot];
        Route { peer: channel.peer, channel: channel.remote }
    }
}

impl super::channel::Channel {
    /// Whether something sent to the peer is not acknowledged yet.
    fn awaits_ack<M: Mode>(&self) -> bool {
        self.state == State::Established
            && match M::kind(self.kind) {
                Kind::Stream => self.tx.una < self.tx.next,
                Kind::Datagram => self.tx.acked_number < self.tx.sent_number,
            }
    }
}
