//! What goes into the next exchange.

use super::{DATA_HEAD, Item, ItemKind, MAX_ITEMS};
use crate::Kind;
use crate::session::acknowledge::LEAST_ACK;
use crate::session::channel::probe::Probe;
use crate::session::channel::tombstone::Left;
use crate::session::channel::{ChannelRecord, State};
use crate::session::deadline::Deadline;
use crate::session::mode::Mode;
use crate::session::path::Company;
use crate::session::replies::ReplyKind;
use crate::session::rings::Direction;
use crate::session::state::Phase;
use crate::session::terms::Lane;
use crate::session::view::Session;
use crate::trace::debug;
use crate::wire::{
    Accept, Close, Closed, Confirm, Connect, DataFlags, Hello, HelloFlags, ListenReq, MAX_CONTROL,
    MAX_SINGLE_BODY, Route, Window,
};

/// Octets of a ROUTE and a RECEIVE_REQ.
const WINDOW_LEN: usize = Route::LEN + Window::LEN;
/// Octets of a ROUTE and a CLOSE_REQ.
const CLOSE_LEN: usize = Route::LEN + Close::LEN;
/// Octets of a ROUTE and an ACCEPT_RSP that refuses, which has no greeting.
const REFUSAL_LEN: usize = Route::LEN + Accept::len_with(&[]);
/// Octets that a request's messages take at most, without data: each the longest, behind a ROUTE.
const CONTROL_ROOM: u32 = (8 << 10) + 128;
const _: () = assert!(CONTROL_ROOM as usize >= MAX_ITEMS * (Route::LEN + MAX_CONTROL) + Hello::LEN);
/// Most octets of data that fit a body which is park and send at once.
pub(in crate::session) const MAX_SINGLE_DATA: usize =
    MAX_SINGLE_BODY - CONTROL_ROOM as usize - DATA_HEAD;
/// Tries to say BYE before the relay is left to find out.
const BYE_TRIES: u8 = 3;

impl<M: Mode> Session<'_, M> {
    /// A park says all claims, and every acknowledgement that is due.
    pub(in crate::session) fn plan_park(&mut self) {
        let is_single = self.core.is_single();
        #[cfg(feature = "secure")]
        if self.owed_proof().is_some() {
            let _ = self.core.park.say(Item::control(ItemKind::Proof, 0, crate::wire::Proof::LEN));
        }
        for slot in 0..self.claims().len() {
            if self.claims[slot].is_claimed() {
                let head = ListenReq::len_with(&self.claims[slot].endpoint().name);
                let _ = self.core.park.say(Item::control(ItemKind::Listen, slot, head));
            }
        }
        self.core.debts.park_goes();
        self.core.acks_at = Deadline::NONE;
        for slot in 0..self.channels.len() {
            let channel = &mut self.channels[slot];
            // A park does not wait for the listener: the next send says it again.
            if !is_single && let Some(confirm) = confirm(channel, slot) {
                let _ = self.core.park.say(confirm);
            }
            if !channel.is_established() || !channel.rx.owes_ack() {
                continue;
            }
            if !self.core.park.say(Item::control(ItemKind::Window, slot, WINDOW_LEN)) {
                channel.rx.hasten();
                self.core.wakes.send = true;
            }
        }
        self.plan_finals(Lane::Park);
    }

    /// A send says everything that waits; `None` if nothing does.
    pub(in crate::session) fn plan_send(&mut self, now: u64) -> Option<HelloFlags> {
        let single = self.core.is_single();
        let wake = !single && self.core.debts.owes_wake() && self.core.park.is_active();
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
                debug!("the session is closed: {BYE_TRIES} requests with BYE failed");
                self.core.phase = Phase::Closed;
                self.core.wakes.session = true;
                self.core.wake_lanes();
                return None;
            }
            hello = hello.with(HelloFlags::BYE);
        }
        let says = !self.core.send().plan().is_empty() || hello != HelloFlags::NONE;
        if !single && !says && !self.core.debts.owes_hello() {
            return None;
        }
        self.core.debts.hello_goes();
        if !single && self.doubts_park() {
            hello = hello.with(HelloFlags::WAKE);
            // Well above what WAKE and the answer take.
            let due_at = now + u64::from(self.core.timers().send_silence_ms / 2);
            if let Some(full) = self.core.full_mut() {
                full.park_doubt.tells(due_at);
            }
        }
        if wake {
            self.core.debts.wake_goes();
        }
        Some(hello)
    }

    /// Whether a send would have anything to say.
    pub(crate) fn has_to_say(&self) -> bool {
        let core = &*self.core;
        let several = self.several_peers(core.clock);
        let says = |(slot, c): (usize, &ChannelRecord)| match c.state() {
            State::Free | State::Ended(_) => false,
            State::Established => {
                c.prober.due() != Probe::None
                    || c.rx.owes_send()
                    || c.confirms().is_some()
                    || self.has_data(slot, several)
            }
            State::Connecting { .. } | State::Accepting | State::Aborting(_) => {
                c.repeats_at().is_due(core.clock)
            }
        };
        core.debts.owes_hello()
            || core.debts.owes_wake()
            || core.replies.wait()
            || self.tombstones.iter().any(|t| t.is_due())
            || self.channels.iter().enumerate().any(says)
            || self.says_bye()
    }

    /// Whether a session that closes has no channel left.
    pub(in crate::session) fn is_finished(&self) -> bool {
        let over = |c: &ChannelRecord| match c.state() {
            State::Free => true,
            State::Ended(_) => !M::SINGLE && !c.is_held() && !c.is_flying(),
            State::Connecting { .. }
            | State::Accepting
            | State::Established
            | State::Aborting(_) => false,
        };
        self.core.phase == Phase::Closing && self.channels.iter().all(over)
    }

    /// Whether nobody waits for a session that closes any more.
    fn says_bye(&self) -> bool {
        self.is_finished() && !self.owes_final()
    }

    /// A session that begins to talk while an idle park is under way cannot wait for that to tell, a long
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
            let is_dead = !M::SINGLE && tombstone.left() == Left::Dead;
            let head = if is_dead { CLOSE_LEN } else { WINDOW_LEN };
            let item = Item::control(ItemKind::Final, slot, head);
            if tombstone.is_due() && self.core.flight(lane).say(item) {
                tombstone.answered();
            }
        }
    }

    fn plan_control(&mut self, now: u64) {
        for slot in 0..self.core.replies.len() {
            let head = match self.core.replies.waiting(slot) {
                None => continue,
                Some(ReplyKind::Refuse) => REFUSAL_LEN,
                Some(ReplyKind::Close) => Route::LEN + Closed::LEN,
                Some(ReplyKind::Stray) => CLOSE_LEN,
            };
            if self.core.send_mut().say(Item::control(ItemKind::Reply, slot, head)) {
                self.core.replies.depart(slot);
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
        let due = core.acks_at.is_due(now);
        if core.send().plan().is_empty() && !due {
            return;
        }
        core.acks_at = Deadline::NONE;
        for (slot, channel) in self.channels.iter().enumerate() {
            if !channel.is_established() || !channel.rx.owes_park() {
                continue;
            }
            let window = Item::control(ItemKind::Window, slot, WINDOW_LEN);
            if !core.send_mut().say_first(window) {
                core.acks_at = Deadline::at(now);
            }
        }
    }

    fn plan_channel(&mut self, now: u64, slot: usize) {
        let timers = *self.core.timers();
        let single = self.core.is_single();
        let channel = &mut self.channels[slot];
        let (kind, head) = match channel.state() {
            State::Connecting { .. } if !M::CONNECTS => return,
            State::Connecting { .. } => {
                let name = channel.endpoint().name;
                (ItemKind::Connect, Connect::len_with(&name, self.asks_with(slot)))
            }
            State::Accepting if !M::LISTENS => return,
            State::Accepting => {
                (ItemKind::Accept, Route::LEN + Accept::len_with(self.answers_with(slot)))
            }
            State::Aborting(_) => (ItemKind::Close, CLOSE_LEN),
            State::Established => {
                let flight = self.core.send_mut();
                if let Some(confirm) = confirm(channel, slot)
                    && flight.say(confirm)
                {
                    channel.confirmed();
                }
                // The park that it is has said it already.
                if !single && channel.rx.owes_send() {
                    let _ = flight.say(Item::control(ItemKind::Window, slot, WINDOW_LEN));
                }
                let flags = match channel.prober.due() {
                    Probe::None => return,
                    Probe::AtOnce => DataFlags::PROBE,
                    Probe::Patient => DataFlags::ACK_NOW,
                };
                let probe = Item::control(ItemKind::Probe, slot, DATA_HEAD).flagged(flags);
                if flight.say(probe) {
                    channel.prober.sent();
                    channel.depart();
                }
                return;
            }
            State::Free | State::Ended(_) => return,
        };
        let channel = &mut self.channels[slot];
        if channel.repeats_at().is_due(now)
            && self.core.send_mut().say(Item::control(kind, slot, head))
        {
            channel.repeated(now, timers.rto_min_ms, timers.rto_max_ms);
            channel.depart();
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
        if !M::SINGLE && self.waits_for_more(now, &chosen, candidates) || candidates == 0 {
            return;
        }
        let most = self.core.max_body().saturating_sub(CONTROL_ROOM).max(1024);
        let mut budget = match self.core.full() {
            Some(full) => {
                let company = match candidates {
                    1 if self.is_stream_alone(now, &chosen) => Company::Alone,
                    1 => Company::Quiet,
                    _ => Company::Waiting(candidates),
                };
                let budget = full.body_size.budget(now, most, company);
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
            let taken = match self.channels[slot].kind::<M>() {
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

    /// Whether the only data there are to send wait for more, since the exchange would keep more than
    /// them from going.
    fn waits_for_more(&mut self, now: u64, chosen: &[u32; 8], candidates: u32) -> bool {
        let is_little = candidates == 1 && self.core.send().plan().is_empty() && {
            let slot = chosen.iter().position(|word| *word != 0).unwrap_or(0);
            let slot = slot * 32 + chosen[slot].trailing_zeros() as usize;
            let channel = &self.channels[slot];
            let ring = self.rings.len(slot, Direction::Transmit);
            channel.kind::<M>() == Kind::Stream && channel.tx.is_little(ring)
        };
        let wait_ms = self.core.company_ms().filter(|_| is_little);
        self.core.full_mut().is_some_and(|full| full.little_data.waits(now, wait_ms))
    }

    fn plan_stream(&mut self, now: u64, slot: usize, share: u32, several: bool) -> u32 {
        let ring = self.rings.len(slot, Direction::Transmit);
        let channel = &mut self.channels[slot];
        let segment = channel.tx.take_segment(ring, share, several);
        if !M::SINGLE && segment.is_new {
            channel.tx.measure(now);
        }
        channel.depart();
        let takes_all = segment.bytes < share;
        let mut flags = segment.flags;
        if !M::SINGLE && takes_all {
            flags = flags.with(DataFlags::HUNGRY.when(channel.tx.is_at_limit()));
            if channel.is_ring_short(ring, 1) {
                self.lengthen(slot, Direction::Transmit);
            }
        }
        let planned = Item::data(ItemKind::Data, slot, flags, segment.bytes);
        let is_planned = self.core.send_mut().say(planned);
        debug_assert!(is_planned, "data is planned only while the plan has room");
        self.core.count(|stats| {
            stats.retransmitted += segment.again;
            stats.sent += segment.fresh;
        });
        self.core.traffic(now);
        self.watch(now, slot);
        segment.bytes + DATA_HEAD as u32
    }

    /// With `fits` the first datagram goes only if it fits the share, too.
    fn plan_datagrams(
        &mut self,
        now: u64,
        slot: usize,
        share: u32,
        several: bool,
        fits: bool,
    ) -> u32 {
        self.expire_datagrams(now, slot);
        let ring = self.rings.transmit(slot);
        let channel = &mut self.channels[slot];
        let flags = DataFlags::DATAGRAM.with(DataFlags::ACK_NOW.when(several));
        let (mut at, mut count, mut taken) = (None, 0, 0);
        while let Some((len, after)) = channel.tx.datagram(ring, at) {
            let octets = len as u32 + DATA_HEAD as u32;
            if (count > 0 || fits) && taken + octets > share {
                break;
            }
            let planned = Item::data(ItemKind::Datagram, slot, flags, len as u32);
            if !self.core.send_mut().say(planned) {
                break;
            }
            at = Some(after);
            count += 1;
            taken += octets;
        }
        if count > 0 {
            channel.tx.take_datagrams(count, several);
            channel.depart();
            self.core.traffic(now);
        }
        taken
    }

    /// Whether a channel has data that may go out now.
    pub(in crate::session) fn has_data(&self, slot: usize, several: bool) -> bool {
        let channel = &self.channels[slot];
        let peer = channel.peer();
        // While another peer has traffic too, a peer's next body waits for its acknowledgement,
        // which came with a park: no peer makes another wait.
        channel.has_data::<M>()
            && !(several && self.channels.iter().any(|c| c.peer() == peer && c.awaits_ack::<M>()))
    }

    /// Whether a datagram is the next of its channel that fits no request which is park and send at
    /// once.
    pub(in crate::session) fn is_bulky(&self) -> bool {
        let several = self.several_peers(self.core.clock);
        (0..self.channels.len()).any(|slot| {
            let channel = &self.channels[slot];
            if channel.kind::<M>() != Kind::Datagram || !self.has_data(slot, several) {
                return false;
            }
            let first = channel.tx.datagram(self.rings.transmit(slot), None);
            first.is_some_and(|(len, _)| len > MAX_SINGLE_DATA)
        })
    }

    /// Whether more than one peer has traffic. Firmware has one, or bears that they wait for each other.
    pub(in crate::session) fn several_peers(&self, now: u64) -> bool {
        if M::SINGLE {
            return false;
        }
        let mut busy = self.channels.iter().filter(|c| c.has_traffic::<M>(now));
        busy.next().is_some_and(|first| busy.any(|c| c.peer() != first.peer()))
    }

    /// Whether the channel that is chosen is a stream, and no other had traffic lately. Datagrams are not
    /// to wait for long bodies, nor acknowledgements of much that comes in.
    fn is_stream_alone(&self, now: u64, chosen: &[u32; 8]) -> bool {
        self.channels.iter().enumerate().all(|(slot, channel)| {
            match chosen[slot / 32] >> (slot % 32) & 1 {
                0 => !channel.has_traffic::<M>(now),
                _ => channel.kind::<M>() == Kind::Stream && channel.rx.unacked() < LEAST_ACK,
            }
        })
    }
}

/// CONFIRM of a channel, if it is due: before all else that is said to the listener.
fn confirm(channel: &ChannelRecord, slot: usize) -> Option<Item> {
    let head = Route::LEN + Confirm::len_with(channel.confirms()?);
    Some(Item::control(ItemKind::Confirm, slot, head))
}
