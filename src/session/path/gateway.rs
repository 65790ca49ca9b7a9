//! Whether something on the way lets a client have but one connection, or passes but one of its
//! requests at a time. There the session makes one exchange at a time, as one with one socket does.

use core::num::NonZeroU64;

use crate::error::Blocked;
use crate::session::deadline::Deadline;
use crate::session::terms::Lane;
use crate::trace::{debug, trace};

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
///
/// ```text
///       STRIKES strikes          none is under way
///  Two ────────────────▶ Narrowing ──────────────▶ One
///   ▲                                               │ the pause is over, or the network another
///   └────────────── Widening ◀──────────────────────┘
///  none is under way
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtOnce {
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
#[repr(u8)] // for zeros at first
enum Suspect {
    None = 0,
    /// An exchange of this lane failed: for want of room if the other lane's next one gets through.
    Any(Lane),
    /// An exchange of this lane failed: for want of room if the other lane's with this number, which
    /// was under way all along, gets through.
    Beside(Lane, NonZeroU64),
}

/// A park that waited for its whole hold.
#[derive(Debug, Clone, Copy)]
struct Lasted {
    seq: NonZeroU64,
    begun_at: u64,
    at: u64,
}

/// Whether the gateway notices that the client hangs up: the next exchange passes well before the hold
/// of the one that was hung up on is over.
///
/// ```text
///           not noticed             not noticed
///  Untried ─────────────▶ Unnoticed ────────────▶ InVain
///     │                    ▲    │                    │
///     │        not noticed │    │ noticed            │ noticed
///     │ noticed            │    ▼                    │
///     └──────────────────▶ Noticed ◀─────────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HangingUp {
    /// No exchange was hung up on.
    Untried = 0,
    /// The gateway notices.
    Noticed,
    /// The gateway did not notice the last time.
    Unnoticed,
    /// The gateway did not notice twice in a row: the client hangs up no more.
    InVain,
}

/// An exchange that is over.
#[derive(Debug, Clone, Copy)]
pub struct Over {
    pub lane: Lane,
    pub seq: u64,
    pub begun_at: u64,
    pub hold_ms: u32,
    /// Shortest exchange seen, in ms.
    pub shortest_ms: u32,
    /// Octets.
    pub payload: u32,
}

/// The exchange of the other lane that is under way.
#[derive(Debug, Clone, Copy)]
pub struct Neighbour {
    pub seq: u64,
    /// Its answer has begun.
    pub welcomed: bool,
}

/// What follows from what an exchange showed of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    Nothing,
    /// A send is due, even if it has nothing to say: it shows whether two exchanges pass at once.
    Ask,
    /// From now on one exchange is made at a time: the other one is broken off.
    Narrow,
}

/// Whether the next exchange may begin, as far as the number of exchanges at once is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Free,
    /// No exchange is to begin before those under way are over.
    Waits,
    /// It may; and there are one instead of two at once from now on, or two instead of one.
    Turned,
}

/// What something on the way was seen to do to exchanges. All zeros is the initial state.
#[derive(Debug)]
pub struct Gateway {
    at_once: AtOnce,
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
    held_until: Deadline,
}

impl Gateway {
    pub const fn new() -> Self {
        Self {
            at_once: AtOnce::Two,
            strikes: 0,
            struck_at: 0,
            suspect: Suspect::None,
            company: [None; 2],
            accompanied: None,
            lasted: None,
            pauses: 0,
            until: 0,
            hanging_up: HangingUp::Untried,
            held_until: Deadline::NONE,
        }
    }

    /// Whether one exchange at a time is made.
    pub fn is_single(&self) -> bool {
        matches!(self.at_once, AtOnce::One | AtOnce::Widening)
    }

    /// Whether no exchange is to begin before those under way are over.
    fn is_changing(&self) -> bool {
        matches!(self.at_once, AtOnce::Narrowing | AtOnce::Widening)
    }

    /// Whether it is to be found out if two exchanges pass at once.
    fn is_suspected(&self, now: u64) -> bool {
        self.at_once == AtOnce::Two && self.strikes > 0 && now < self.struck_at + STRIKES_FOR_MS
    }

    /// Whether what was hung up on may still count as under way.
    pub fn holds(&self, now: u64) -> bool {
        self.held_until.is_set() && !self.held_until.is_due(now)
    }

    /// The network is another.
    pub fn forget(&mut self) {
        let at_once = if self.is_single() { AtOnce::Widening } else { AtOnce::Two };
        *self = Self { at_once, ..Self::new() };
    }

    /// Longest hold of a park because of what the gateway does, or may do; with traffic lately or not.
    pub fn hold_ms(
        &self,
        now: u64,
        active: bool,
        round_trip_ms: u32,
        idle_poll_ms: impl FnOnce(u32) -> u32,
    ) -> Option<u32> {
        let test_ms = TEST_HOLD_MS + 2 * round_trip_ms;
        match self.hanging_up {
            _ if self.at_once == AtOnce::Two => self.is_suspected(now).then_some(test_ms),
            HangingUp::InVain if active => Some(POLL_MS),
            HangingUp::InVain => Some(idle_poll_ms(IDLE_POLL_MS)),
            HangingUp::Untried | HangingUp::Unnoticed => active.then_some(test_ms),
            HangingUp::Noticed => None,
        }
    }

    /// Longest time between two exchanges, in ms: one is to be beside the other while it is to be
    /// found out whether that is what gets them refused.
    pub fn gap_ms(&self, now: u64) -> u32 {
        if self.is_suspected(now) { TEST_HOLD_MS / 2 } else { u32::MAX }
    }

    /// Most octets of payload of the next send because of what is to be found out.
    pub fn payload(&self, now: u64) -> u32 {
        if self.is_suspected(now) { TEST_PAYLOAD } else { u32::MAX }
    }

    /// An exchange is about to begin; `idle` tells whether none is under way, `traffic_at` when there
    /// was traffic last.
    pub fn turn(&mut self, now: u64, idle: bool, traffic_at: u64) -> Turn {
        let Self { at_once, until, .. } = *self;
        let quiet = now >= traffic_at + QUIET_MS;
        if at_once == AtOnce::One && idle && now >= until && (quiet || now >= until + OVERDUE_MS) {
            self.at_once = AtOnce::Widening;
            // Once more is enough.
            self.strikes = STRIKES - 1;
            self.struck_at = now;
        }
        match self.is_changing() {
            false => Turn::Free,
            true if !idle => Turn::Waits,
            true => {
                self.at_once = if at_once == AtOnce::Narrowing { AtOnce::One } else { AtOnce::Two };
                Turn::Turned
            }
        }
    }

    /// An exchange has begun, beside the one of the other lane with that number.
    pub fn begins(&mut self, now: u64, lane: Lane, other: Option<u64>) -> Follow {
        if self.at_once != AtOnce::Two {
            return Follow::Nothing;
        }
        self.company[lane as usize] = other.and_then(NonZeroU64::new);
        // Something is to pass beside a park.
        match lane == Lane::Park && self.is_suspected(now) {
            true => Follow::Ask,
            false => Follow::Nothing,
        }
    }

    /// Whether the park under way, whose hold is over at `until`, is hung up on to say something.
    pub fn hangs_up(&mut self, now: u64, until: u64, shortest_ms: u32) -> bool {
        let shortest = u64::from(shortest_ms);
        let hangs_up = self.hanging_up != HangingUp::InVain;
        let left = until + shortest >= now + LEFT_MS + 2 * shortest;
        if hangs_up && left && !self.held_until.is_set() {
            self.held_until = Deadline::at(until + shortest);
        }
        hangs_up
    }

    /// An exchange got through; `neighbour` is the other lane's.
    pub fn passes(&mut self, now: u64, passed: &Over, neighbour: Option<Neighbour>) -> Follow {
        match self.at_once {
            AtOnce::Two => {
                self.passes_as_two(now, passed, neighbour);
                // One that began before the park tells nothing.
                let tells =
                    neighbour.is_none_or(|other| self.accompanied == NonZeroU64::new(other.seq));
                match self.at_once {
                    AtOnce::Narrowing => Follow::Narrow,
                    _ if passed.lane == Lane::Send && self.is_suspected(now) && !tells => {
                        Follow::Ask
                    }
                    AtOnce::Two | AtOnce::One | AtOnce::Widening => Follow::Nothing,
                }
            }
            AtOnce::One => {
                if let Some(until) = core::mem::take(&mut self.held_until).get() {
                    trace!("the gateway noticed a hang-up: {}", now + NOTICED_MS < until);
                    self.hanging_up = match self.hanging_up {
                        _ if now + NOTICED_MS < until => HangingUp::Noticed,
                        HangingUp::Untried | HangingUp::Noticed => HangingUp::Unnoticed,
                        HangingUp::Unnoticed | HangingUp::InVain => HangingUp::InVain,
                    };
                }
                Follow::Nothing
            }
            AtOnce::Narrowing | AtOnce::Widening => Follow::Nothing,
        }
    }

    /// An exchange failed by itself.
    pub fn fails(&mut self, now: u64, cause: Blocked, failed: &Over) -> Follow {
        if self.at_once != AtOnce::Two {
            return Follow::Nothing;
        }
        self.fails_as_two(now, cause, failed);
        // Another one is to tell whether it is the path.
        match self.suspect {
            Suspect::Any(Lane::Park) => Follow::Ask,
            Suspect::None | Suspect::Any(Lane::Send) | Suspect::Beside(..) => Follow::Nothing,
        }
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
        trace!("an exchange got nowhere beside another one: {} of {STRIKES}", self.strikes);
        if self.strikes < STRIKES {
            return;
        }
        let before = if now < self.until + FORGIVEN_MS { self.pauses } else { 0 };
        let pause = (PAUSE_MS << before).min(LONGEST_PAUSE_MS);
        *self = Self {
            at_once: AtOnce::Narrowing,
            pauses: (before + 1).min(MOST_PAUSES),
            until: now + u64::from(pause),
            ..Self::new()
        };
        debug!("the gateway passes one exchange at a time: two are tried again in {pause} ms");
    }

    /// An exchange got through, where two are made at once.
    fn passes_as_two(&mut self, now: u64, passed: &Over, neighbour: Option<Neighbour>) {
        let lane = passed.lane;
        let beside = self.company[lane as usize];
        if self.accompanied == NonZeroU64::new(passed.seq) {
            return self.clear();
        }
        // It began before, and was under way all along: it is there if anything comes of it.
        if let (Some(seq), Some(other)) = (beside, neighbour)
            && seq.get() == other.seq
        {
            if other.welcomed {
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
        let over_at =
            passed.begun_at + u64::from(passed.hold_ms) + u64::from(passed.shortest_ms / 2);
        let lasted = lane == Lane::Park && passed.hold_ms > 1 && now >= over_at;
        if let Some(seq) = NonZeroU64::new(passed.seq).filter(|_| lasted) {
            self.lasted = Some(Lasted { seq, begun_at: passed.begun_at, at: now });
        }
    }

    /// An exchange failed, where two are made at once.
    fn fails_as_two(&mut self, now: u64, cause: Blocked, failed: &Over) {
        let Over { lane, begun_at, shortest_ms, payload, .. } = *failed;
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
            | Blocked::Token(_)
            | Blocked::FromBeyond
            | Blocked::WantsTls
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
