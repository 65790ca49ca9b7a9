//! Whether something on the way lets a client have but one connection, or passes but one of its
//! requests at a time. There the session makes one exchange at a time, as one with one socket does.

use core::num::NonZeroU64;

use super::mode::{Beside, Mode};
use super::rate::Rate;
use super::state::Core;
use super::terms::Lane;
use super::view::Session;
use crate::error::Blocked;

/// Times that an exchange failed or waited beside another one, and got through without it, with no
/// two at once that did get through in between, until one at a time is made.
const STRIKES: u8 = 4;
/// One trouble is one strike, however often it shows within so long, in ms.
const STRIKE_MS: u64 = 700;
/// A strike is forgotten so long, in ms, after the last one.
const STRIKES_FOR_MS: u64 = 60_000;
/// While there are some, a park waits so long, in ms, beside twice the shortest exchange: time enough for
/// a send to pass beside it. So does one that is the first to be hung up on.
const TEST_HOLD_MS: u32 = 1_000;
/// Meanwhile a send has so many octets of payload at most: more may take as long by itself.
const TEST_PAYLOAD: u32 = 4 << 10;
/// What is turned away is so within this time, in ms, beside twice the shortest exchange: later it is
/// something else, as a hold that was too long.
const TURNED_AWAY_MS: u64 = 150;
/// A send waited for the end of a park if it was unanswered for so long before, in ms, beside three times
/// the shortest exchange,
const WAITED_MS: u64 = 500;
/// and was answered so soon after, in ms, beside that time. Where that was suspected before, the send
/// began so soon behind the park, too.
const AFTER_MS: u64 = 200;
/// One exchange at a time for so long, in ms, or until the network changes.
const PAUSE_MS: u32 = 30_000;
/// Where two at once fail again, that doubles up to so long, in ms,
const LONGEST_PAUSE_MS: u32 = 600_000;
/// so many times,
const MOST_PAUSES: u8 = 5;
/// and begins anew so long, in ms, after the last one.
const FORGIVEN_MS: u64 = 600_000;
/// Two at once are tried when nothing went for so long, in ms,
const QUIET_MS: u64 = 2_000;
/// or this much, in ms, after it was time.
const OVERDUE_MS: u64 = 60_000;
/// Whether the gateway notices that a client hangs up shows where so much of the hold, in ms, was left,
/// beside twice the shortest exchange;
const LEFT_MS: u64 = 300;
/// it has if the next exchange passes so long, in ms, before that hold is over.
const NOTICED_MS: u64 = 100;
/// If it has not twice in a row, the client hangs up no more. Then a park waits so long, in ms: what is said meanwhile goes when it ends,
const POLL_MS: u32 = 200;
/// and without traffic lately so long.
const IDLE_POLL_MS: u32 = 1_000;

/// How many exchanges are made at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A park and a send.
    Two = 0,
    /// The same, but no further ones are begun: from then on it is one.
    Narrowing,
    /// One.
    One,
    /// The same, but no further one is begun: from then on it is two.
    Widening,
}

/// An exchange that failed as if the other lane had left it no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suspect {
    None,
    /// Of this lane; that was so if the next of the other one gets through,
    Any(Lane),
    /// or if that one does which was under way on the other lane all along.
    Beside(Lane, NonZeroU64),
}

/// A park that waited for its whole hold.
#[derive(Debug, Clone, Copy)]
struct Lasted {
    seq: NonZeroU64,
    begun_at: u64,
    at: u64,
}

/// Whether the gateway notices that the client hangs up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HangingUp {
    /// It was not tried.
    Untried = 0,
    /// It does,
    Noticed,
    /// or did not lately.
    Unnoticed,
    /// Time and again it did not.
    InVain,
}

/// All zeros is the initial state.
#[derive(Debug)]
pub struct Gateway {
    way: Way,
    strikes: u8,
    /// When the last strike was.
    struck_at: u64,
    suspect: Suspect,
    /// Of each lane the exchange that the other one had under way when its own began.
    company: [Option<NonZeroU64>; 2],
    /// Another exchange passed while this one was under way; if it passes itself, two at once do.
    accompanied: Option<NonZeroU64>,
    lasted: Option<Lasted>,
    /// Pauses, each soon after the one before.
    pauses: u8,
    /// One exchange at a time until then.
    until: u64,
    hanging_up: HangingUp,
    /// When the hold is over of an exchange that was hung up on; none has passed since.
    held_until: Option<NonZeroU64>,
}

impl Gateway {
    pub const fn new() -> Self {
        Self {
            way: Way::Two,
            strikes: 0,
            struck_at: 0,
            suspect: Suspect::None,
            company: [None; 2],
            accompanied: None,
            lasted: None,
            pauses: 0,
            until: 0,
            hanging_up: HangingUp::Untried,
            held_until: None,
        }
    }

    /// Whether one exchange at a time is made.
    pub fn is_single(&self) -> bool {
        matches!(self.way, Way::One | Way::Widening)
    }

    /// Whether no exchange is to begin before those under way are over.
    fn is_changing(&self) -> bool {
        matches!(self.way, Way::Narrowing | Way::Widening)
    }

    /// Whether it is to be found out if two exchanges pass at once.
    fn is_suspected(&self, now: u64) -> bool {
        self.way == Way::Two && self.strikes > 0 && now < self.struck_at + STRIKES_FOR_MS
    }

    /// Whether what was hung up on may still count as under way.
    pub fn holds(&self, now: u64) -> bool {
        self.held_until.is_some_and(|until| now < until.get())
    }

    /// The network is another.
    pub fn forget(&mut self) {
        let way = if self.is_single() { Way::Widening } else { Way::Two };
        *self = Self { way, ..Self::new() };
    }

    /// An exchange begins, beside that of the other lane.
    fn begins(&mut self, lane: Lane, other: Option<u64>) {
        self.company[lane as usize] = other.and_then(NonZeroU64::new);
    }

    /// Two exchanges at once got through.
    fn clear(&mut self) {
        self.strikes = 0;
        self.suspect = Suspect::None;
        self.accompanied = None;
    }

    /// An exchange got nowhere while the other lane did.
    fn strike(&mut self, now: u64) {
        if now >= self.struck_at + STRIKES_FOR_MS {
            self.strikes = 0;
        }
        self.suspect = Suspect::None;
        if self.strikes > 0 && now < self.struck_at + STRIKE_MS {
            return;
        }
        self.strikes += 1;
        self.struck_at = now;
        if self.strikes < STRIKES {
            return;
        }
        let before = if now < self.until + FORGIVEN_MS { self.pauses } else { 0 };
        let pause = (PAUSE_MS << before).min(LONGEST_PAUSE_MS);
        *self = Self {
            way: Way::Narrowing,
            pauses: (before + 1).min(MOST_PAUSES),
            until: now + u64::from(pause),
            ..Self::new()
        };
    }

    /// An exchange got through; `standing` is that of the other lane under way, and whether its answer
    /// has begun.
    fn passes(&mut self, now: u64, lane: Lane, passed: &Over, standing: Option<(u64, bool)>) {
        let beside = self.company[lane as usize];
        if self.accompanied == NonZeroU64::new(passed.seq) {
            return self.clear();
        }
        // It began before, and was under way all along: it is there if anything comes of it.
        if let (Some(seq), Some((other, begun))) = (beside, standing)
            && seq.get() == other
        {
            if begun {
                return self.clear();
            }
            self.accompanied = beside;
        }
        let shortest = u64::from(passed.shortest_ms);
        let waited = || {
            let Some(Lasted { seq: park, begun_at, at }) = self.lasted else { return false };
            // Where the first is suspected, one is sent beside each park, and waits for all of it.
            let whole = passed.begun_at <= begun_at + AFTER_MS + shortest;
            lane == Lane::Send
                && beside == Some(park)
                && (self.strikes == 0 || whole && passed.payload <= TEST_PAYLOAD)
                && at >= passed.begun_at + WAITED_MS + 3 * shortest
                && now <= at + AFTER_MS + shortest
        };
        let failed = match self.suspect {
            Suspect::None => false,
            Suspect::Any(failed) => failed != lane,
            Suspect::Beside(failed, seq) => failed != lane && seq.get() == passed.seq,
        };
        if failed {
            // It is one strike, however many waited for it.
            self.lasted = None;
            return self.strike(now);
        }
        if waited() {
            self.lasted = None;
            return self.strike(now);
        }
        if let Some(seq) = NonZeroU64::new(passed.seq).filter(|_| passed.lasted) {
            self.lasted = Some(Lasted { seq, begun_at: passed.begun_at, at: now });
        }
    }

    /// An exchange failed.
    fn fails(&mut self, now: u64, lane: Lane, cause: Blocked, exchange: &Over) {
        let Over { begun_at, shortest_ms, payload, .. } = *exchange;
        let is_early = now < begun_at + TURNED_AWAY_MS + 2 * u64::from(shortest_ms);
        let suspect = match cause {
            Blocked::Connect => Suspect::Any(lane),
            Blocked::Cut | Blocked::Http(429 | 502..=504) | Blocked::Later(..) if is_early => {
                Suspect::Any(lane)
            }
            Blocked::Silence
                if lane == Lane::Send && (self.strikes == 0 || payload <= TEST_PAYLOAD) =>
            {
                let beside = self.company[lane as usize];
                beside.map_or(Suspect::None, |seq| Suspect::Beside(lane, seq))
            }
            Blocked::Cut | Blocked::Later(..) | Blocked::Silence => Suspect::None,
            Blocked::Dns
            | Blocked::Hook
            | Blocked::Tls(_)
            | Blocked::Http(_)
            | Blocked::ProxyAuth
            | Blocked::ProxyScheme(_)
            | Blocked::Compressed
            | Blocked::Head(_)
            | Blocked::Foreign
            | Blocked::Full(_)
            | Blocked::Relay(_) => Suspect::None,
        };
        match self.suspect {
            // Neither gets through: it is the path.
            Suspect::Any(failed) | Suspect::Beside(failed, _) if failed != lane => self.clear(),
            _ if suspect == Suspect::None => {}
            Suspect::None | Suspect::Any(_) | Suspect::Beside(..) => self.suspect = suspect,
        }
    }
}

/// An exchange that is over.
struct Over {
    seq: u64,
    begun_at: u64,
    /// A park that was answered when its hold was over.
    lasted: bool,
    shortest_ms: u32,
    /// Octets.
    payload: u32,
}

impl<M: Mode> Core<M> {
    /// Whether one exchange is made at a time, which is park and send at once.
    pub fn is_single(&self) -> bool {
        M::SINGLE || self.beside().is_some_and(|beside| beside.gateway.is_single())
    }

    /// The lane that does the work of `lane`.
    pub fn lane(&self, lane: Lane) -> Lane {
        if self.is_single() { Lane::Park } else { lane }
    }

    /// Whether an exchange on this lane carries what goes.
    pub fn carries(&self, lane: Lane) -> bool {
        self.is_single() || lane == Lane::Send
    }

    /// Longest hold of a park because of what a gateway does, or may do; with traffic lately or not.
    pub fn gateway_hold_ms(&self, now: u64, active: bool) -> Option<u32> {
        let Beside { gateway, uplink, .. } = self.beside()?;
        let test_ms = TEST_HOLD_MS + 2 * uplink.round_trip_ms();
        match gateway.hanging_up {
            _ if gateway.way == Way::Two => gateway.is_suspected(now).then_some(test_ms),
            HangingUp::InVain if active => Some(POLL_MS),
            HangingUp::InVain => Some(self.settings.idle_poll_ms(IDLE_POLL_MS, self.timers())),
            HangingUp::Untried | HangingUp::Unnoticed => active.then_some(test_ms),
            HangingUp::Noticed => None,
        }
    }

    /// An exchange is about to begin on a lane. Whether none may.
    pub fn is_narrow(&mut self, now: u64) -> bool {
        let quiet = now >= self.traffic_at + QUIET_MS;
        let idle = !self.park.active;
        let Some(beside) = self.beside_mut() else { return false };
        let idle = idle && !beside.send.active;
        let Gateway { way, until, .. } = beside.gateway;
        let gateway = &mut beside.gateway;
        if way == Way::One && idle && now >= until && (quiet || now >= until + OVERDUE_MS) {
            gateway.way = Way::Widening;
            // Once more is enough.
            gateway.strikes = STRIKES - 1;
            gateway.struck_at = now;
        }
        if !gateway.is_changing() {
            return false;
        }
        if !idle {
            return true;
        }
        gateway.way = if way == Way::Narrowing { Way::One } else { Way::Two };
        beside.send.backoff.clear();
        self.park.backoff.clear();
        self.park_due = 0;
        self.park_doubted = false;
        self.send_waits = false;
        self.acks_at = super::deadline::Deadline::NONE;
        self.wake_lanes();
        false
    }

    /// Longest time between two exchanges, in ms: one is to be beside the other while it is to be found
    /// out whether that is what gets them refused.
    pub fn test_gap_ms(&self) -> u32 {
        match self.beside() {
            Some(beside) if beside.gateway.is_suspected(self.clock) => TEST_HOLD_MS / 2,
            _ => u32::MAX,
        }
    }

    /// Most octets of payload of the next send because of what is to be found out.
    pub fn test_payload(&self, now: u64) -> u32 {
        match self.beside() {
            Some(beside) if beside.gateway.is_suspected(now) => TEST_PAYLOAD,
            _ => u32::MAX,
        }
    }

    /// An exchange has begun.
    pub fn gateway_begins(&mut self, now: u64, lane: Lane) {
        let park = self.park.active.then_some(self.park.seq);
        let Some(beside) = self.beside_mut() else { return };
        if beside.gateway.way != Way::Two {
            return;
        }
        let send = beside.send.active.then_some(beside.send.seq);
        let other = if lane == Lane::Park { send } else { park };
        beside.gateway.begins(lane, other);
        if lane == Lane::Park && beside.gateway.is_suspected(now) {
            // Something is to pass beside it.
            self.hello_due = true;
            self.wakes.send = true;
        }
    }

    /// An exchange got through.
    pub fn gateway_passes(&mut self, now: u64, lane: Lane) {
        let park = (self.park.active, self.park.seq, self.park.welcomed);
        let trip = self.trip(lane);
        let (seq, begun_at) = (trip.seq, trip.begun_at);
        if trip.broken {
            return;
        }
        let (hold_ms, payload) = (trip.hold_ms, trip.payload);
        let Some(beside) = self.beside_mut() else { return };
        let shortest_ms = beside.uplink.round_trip_ms();
        let over_at = begun_at + u64::from(hold_ms) + u64::from(shortest_ms / 2);
        let lasted = lane == Lane::Park && hold_ms > 1 && now >= over_at;
        let send = (beside.send.active, beside.send.seq, beside.send.welcomed);
        let gateway = &mut beside.gateway;
        match gateway.way {
            Way::Two => {
                let (active, other, welcomed) = if lane == Lane::Park { send } else { park };
                let standing = active.then_some((other, welcomed));
                let passed = Over { seq, begun_at, lasted, shortest_ms, payload };
                gateway.passes(now, lane, &passed, standing);
                // One that began before the park tells nothing.
                let tells =
                    standing.is_none_or(|(other, _)| gateway.accompanied == NonZeroU64::new(other));
                if lane == Lane::Send && gateway.is_suspected(now) && !tells {
                    self.hello_due = true;
                    self.wakes.send = true;
                }
            }
            Way::One => {
                let Some(until) = gateway.held_until.take() else { return };
                gateway.hanging_up = match gateway.hanging_up {
                    _ if now + NOTICED_MS < until.get() => HangingUp::Noticed,
                    HangingUp::Untried | HangingUp::Noticed => HangingUp::Unnoticed,
                    HangingUp::Unnoticed | HangingUp::InVain => HangingUp::InVain,
                };
                return;
            }
            Way::Narrowing | Way::Widening => return,
        }
        self.narrow(lane);
    }

    /// An exchange failed by itself.
    pub fn gateway_fails(&mut self, now: u64, lane: Lane, cause: Blocked) {
        let trip = self.trip(lane);
        let (seq, begun_at, payload) = (trip.seq, trip.begun_at, trip.payload);
        let Some(beside) = self.beside_mut() else { return };
        if beside.gateway.way != Way::Two {
            return;
        }
        let shortest_ms = beside.uplink.round_trip_ms();
        let failed = Over { seq, begun_at, lasted: false, shortest_ms, payload };
        beside.gateway.fails(now, lane, cause, &failed);
        // Somebody is to tell whether it is the path.
        let asks = beside.gateway.suspect == Suspect::Any(Lane::Park);
        self.hello_due |= asks;
        self.wakes.send |= asks;
        self.narrow(lane);
    }

    /// Ends what is under way beside this lane's exchange, if from now on one at a time is made.
    fn narrow(&mut self, lane: Lane) {
        let Some(beside) = self.beside_mut() else { return };
        if beside.gateway.way != Way::Narrowing {
            return;
        }
        if lane == Lane::Park {
            beside.send.broken |= beside.send.active;
        }
        // It was not how many there were in a while.
        beside.rate = Rate::new();
        // Its connection is one too many even while it is idle.
        self.wakes.break_send = true;
        if lane == Lane::Send && self.park.active {
            self.park.broken = true;
            self.wakes.break_park = true;
        }
    }
}

impl<M: Mode> Session<'_, M> {
    /// Where one exchange is made at a time: sees to it that what there is to say goes, if need be by
    /// hanging up on the exchange under way.
    pub(super) fn go_single(&mut self, now: u64) {
        if M::SINGLE || !self.core.is_single() {
            return;
        }
        if !self.core.park.active {
            self.core.wakes.park = true;
            return;
        }
        let park = &self.core.park;
        if park.broken || park.welcomed || !park.is_staged() || !self.speaks() {
            return;
        }
        let until = park.begun_at + u64::from(park.hold_ms);
        let Some(Beside { gateway, uplink, .. }) = self.core.beside_mut() else { return };
        if gateway.hanging_up == HangingUp::InVain {
            return;
        }
        let shortest = u64::from(uplink.round_trip_ms());
        if until + shortest >= now + LEFT_MS + 2 * shortest && gateway.held_until.is_none() {
            gateway.held_until = NonZeroU64::new(until + shortest);
        }
        self.core.park.broken = true;
        self.core.wakes.break_park = true;
    }
}
