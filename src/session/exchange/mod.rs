//! An exchange: one HTTP request and its answer. A session has one in flight on each lane.
//!
//! ```text
//!  called by            file                                                     Flight
//!  poll_exchange        begin.rs     is an exchange due, and for how long does it wait?
//!                       plan.rs      which messages go into its request          Idle ──▶ Up
//!  poll_body            encode.rs    the octets of the request, as they are asked for
//!  handle_response      decode.rs    the messages of the answer                  Up ──▶ Down ──▶ Ended
//!                       verdict.rs   what the relay says of each message of the request
//!  handle_finished,     outcome.rs   the exchange passed or failed
//!  handle_failure       landing.rs   each of its messages is done, or due again       ──▶ Idle
//!
//!  mod.rs       Flight: the exchange in flight, and how far it is
//!  little.rs    whether little data wait for more
//!  item.rs      Item: a message of the plan; Incoming: the data message that is being read
//!  transfer.rs  the room in which messages are staged on the way up, and decoded on the way down
//! ```
//!
//! Data of a channel that `decode.rs` finds goes to `channel/incoming.rs`.

mod begin;
mod decode;
mod encode;
mod item;
mod landing;
mod little;
mod outcome;
pub(super) mod plan;
mod transfer;
mod verdict;

use heapless::Vec;

pub(super) use item::{DATA_HEAD, Destination, Incoming, Item, ItemKind};
pub(super) use little::LittleData;
pub(super) use outcome::VERDICTS;
pub(super) use transfer::Transfer;

use crate::wire::{HelloFlags, Route, Status};

/// Most messages (not counting HELLO and ROUTEs) in a request; what does not fit goes with the next.
pub(super) const MAX_ITEMS: usize = 32;

/// How far an exchange is.
///
/// ```text
///        begin         WELCOME          END           land: it passed
///  Idle ───────▶ Up ───────────▶ Down ───────▶ Ended ────────────────▶ Idle
///                 └────────────────┴─ land: it failed ───────────────▶┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)] // for zeros at first
enum Leg {
    /// None is under way.
    Idle = 0,
    /// Nothing of its answer has come.
    Up,
    /// Its answer has begun.
    Down,
    /// Its answer has ended with this status.
    Ended(Status),
}

/// Whether an exchange under way is to end before its time.
///
/// ```text
///        wake               break_off
///  None ──────▶ Woken ────────────────▶ WokenAndBroken
///    └───────────── break_off ──▶ Broken ── wake ──▶┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Haste {
    None = 0,
    /// This session had the relay end it (WAKE).
    Woken,
    /// It is being broken off on purpose: its failure says nothing of the path.
    Broken,
    WokenAndBroken,
}

/// What of a request is to be written next.
#[derive(Debug, Clone, Copy)]
pub enum Next {
    Hello,
    Item(Item),
}

/// The exchange in flight on a lane, or the traces of the last one. All zeros is its initial state.
#[derive(Debug)]
#[repr(C)]
pub struct Flight {
    leg: Leg,
    haste: Haste,
    /// READY came meanwhile: a peer may be there again that its verdicts call away.
    readied: bool,
    /// Its answer brought something that was not there before.
    brought: bool,
    hello: HelloFlags,
    /// How much of the request was begun: nothing, HELLO, or HELLO and so many items less one.
    written: u8,
    hold_ms: u32,
    /// Octets of its answer's body so far.
    came: u32,
    seq: u64,
    begun_at: u64,
    /// Offset of the data bytes of the item begun that are still to be written, and
    bytes_at: u64,
    from: Route,
    incoming: Incoming,
    /// how many they are.
    bytes_left: u32,
    // Last, since it is large: the others are within the reach of short instructions.
    plan: Vec<Item, MAX_ITEMS, u8>,
}

impl Flight {
    pub const fn new() -> Self {
        Self {
            leg: Leg::Idle,
            haste: Haste::None,
            readied: false,
            brought: false,
            hello: HelloFlags::NONE,
            written: 0,
            hold_ms: 0,
            came: 0,
            bytes_left: 0,
            seq: 0,
            begun_at: 0,
            bytes_at: 0,
            plan: Vec::new(),
            from: Route {
                peer: crate::wire::Address::RELAY,
                channel: crate::wire::ChannelRef::NONE,
            },
            incoming: Incoming::NONE,
        }
    }

    /// Begins an exchange, of what was planned.
    fn begin(&mut self, now: u64, seq: u64, hello: HelloFlags, hold_ms: u32) {
        self.leg = Leg::Up;
        self.haste = Haste::None;
        self.readied = false;
        self.brought = false;
        self.hello = hello;
        self.written = 0;
        self.hold_ms = hold_ms;
        self.came = 0;
        self.bytes_left = 0;
        self.seq = seq;
        self.begun_at = now;
        self.from = Route::default();
        self.incoming.destination = Destination::Drop;
    }

    /// The exchange is over. Whether its answer had begun.
    fn land(&mut self) -> bool {
        let welcomed = self.is_welcomed();
        self.leg = Leg::Idle;
        welcomed
    }

    /// Whether it is under way.
    pub fn is_active(&self) -> bool {
        self.leg != Leg::Idle
    }

    /// Whether it is under way and its answer has not ended.
    pub fn is_unanswered(&self) -> bool {
        matches!(self.leg, Leg::Up | Leg::Down)
    }

    /// Whether its answer has begun.
    pub fn is_welcomed(&self) -> bool {
        matches!(self.leg, Leg::Down | Leg::Ended(_))
    }

    /// The status with which its answer has ended.
    pub fn end_status(&self) -> Option<Status> {
        match self.leg {
            Leg::Ended(status) => Some(status),
            Leg::Idle | Leg::Up | Leg::Down => None,
        }
    }

    /// Its answer begins.
    pub fn welcome(&mut self) {
        self.leg = Leg::Down;
    }

    /// Its answer ends.
    pub fn end(&mut self, status: Status) {
        self.leg = Leg::Ended(status);
    }

    /// Whether its answer is to stay open.
    pub fn streams(&self) -> bool {
        self.hello.has(HelloFlags::STREAM)
    }

    /// Whether its answer has begun and stays open.
    pub fn is_streaming(&self) -> bool {
        self.leg == Leg::Down && self.streams()
    }

    /// Whether it waits for longer than `patience_ms`, and says nothing that a peer waits for. The
    /// last word does not wait, and need not be spoken over.
    pub fn only_waits(&self, patience_ms: u32) -> bool {
        self.hold_ms > patience_ms
            && self.plan.iter().all(|item| match item.kind {
                #[cfg(feature = "secure")]
                ItemKind::Proof => true,
                kind => matches!(kind, ItemKind::Listen | ItemKind::Window | ItemKind::Final),
            })
    }

    /// This session has the relay end it.
    pub fn wake(&mut self) {
        self.haste = match self.haste {
            Haste::None | Haste::Woken => Haste::Woken,
            Haste::Broken | Haste::WokenAndBroken => Haste::WokenAndBroken,
        };
    }

    /// Whether this session had the relay end it.
    pub fn is_woken(&self) -> bool {
        matches!(self.haste, Haste::Woken | Haste::WokenAndBroken)
    }

    /// Its failure, on purpose, will say nothing of the path.
    pub fn break_off(&mut self) {
        self.haste = match self.haste {
            Haste::None | Haste::Broken => Haste::Broken,
            Haste::Woken | Haste::WokenAndBroken => Haste::WokenAndBroken,
        };
    }

    /// Whether it is being broken off on purpose.
    pub fn is_broken(&self) -> bool {
        matches!(self.haste, Haste::Broken | Haste::WokenAndBroken)
    }

    /// READY came meanwhile.
    pub fn ready(&mut self) {
        self.readied = true;
    }

    pub fn is_readied(&self) -> bool {
        self.readied
    }

    /// Its answer brought something that was not there before.
    pub fn bring(&mut self) {
        self.brought = true;
    }

    pub fn has_brought(&self) -> bool {
        self.brought
    }

    pub fn hello(&self) -> HelloFlags {
        self.hello
    }

    pub fn hold_ms(&self) -> u32 {
        self.hold_ms
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    pub fn begun_at(&self) -> u64 {
        self.begun_at
    }

    /// So many ms ago it began.
    pub fn age(&self, now: u64) -> u32 {
        u32::try_from(now.saturating_sub(self.begun_at)).unwrap_or(u32::MAX)
    }

    /// Octets of its answer's body so far.
    pub fn came(&self) -> u32 {
        self.came
    }

    /// So many more octets of its answer's body came. How many came in all.
    pub fn comes(&mut self, octets: usize) -> u32 {
        self.came = self.came.saturating_add(octets as u32);
        self.came
    }

    /// What the request says.
    pub fn plan(&self) -> &[Item] {
        &self.plan
    }

    /// Whether the request has no room for another item.
    pub fn is_full(&self) -> bool {
        self.plan.is_full()
    }

    /// The request says this, too. False if it has no room.
    pub fn say(&mut self, item: Item) -> bool {
        self.plan.push(item).is_ok()
    }

    /// The request says this before everything else. False if it has no room.
    pub fn say_first(&mut self, item: Item) -> bool {
        self.plan.insert(0, item).is_ok()
    }

    /// What the request said is dealt with.
    fn forget(&mut self) {
        self.plan.clear();
    }

    /// Data bytes in the request.
    #[inline(never)]
    pub fn payload(&self) -> u32 {
        self.plan.iter().map(Item::bytes).sum()
    }

    /// What of the request is to be written next, if anything.
    pub fn write_next(&mut self) -> Option<Next> {
        let next = match usize::from(self.written).checked_sub(1) {
            None => Next::Hello,
            Some(i) => Next::Item(*self.plan.get(i)?),
        };
        self.written += 1;
        Some(next)
    }

    /// The item begun has so many data bytes, from that offset on.
    pub fn owe_bytes(&mut self, at: u64, len: u32) {
        self.bytes_at = at;
        self.bytes_left = len;
    }

    /// The data bytes to be written next, `most` at most: their slot, where they stand, and how many
    /// they are.
    pub fn take_bytes(&mut self, most: usize) -> Option<(usize, u64, usize)> {
        let len = (self.bytes_left as usize).min(most);
        let item = self.plan.get(usize::from(self.written).checked_sub(2)?)?;
        let at = self.bytes_at;
        self.bytes_at += len as u64;
        self.bytes_left -= len as u32;
        (len > 0).then_some((item.slot.into(), at, len))
    }

    /// Whether every item of the request is staged or given.
    pub fn is_staged(&self) -> bool {
        self.bytes_left == 0 && usize::from(self.written) > self.plan.len()
    }

    /// The source of what comes in its answer.
    pub fn from(&self) -> Route {
        self.from
    }

    /// The messages that follow in its answer come from there.
    pub fn comes_from(&mut self, route: Route) {
        self.from = route;
    }

    /// The data message that is being read.
    pub fn incoming(&self) -> Incoming {
        self.incoming
    }

    /// A data message begins.
    pub fn takes_in(&mut self, incoming: Incoming) {
        self.incoming = incoming;
    }

    /// So many bytes of the data message came.
    pub fn took_in(&mut self, bytes: usize) {
        self.incoming.at += bytes as u64;
    }

    /// The octets that are still to come of the data message are for nobody.
    pub fn drop_incoming(&mut self) {
        self.incoming.destination = Destination::Drop;
    }

    /// The item of the `index`-th message of the request, if it is not a ROUTE or HELLO.
    pub fn item_of(&mut self, index: u16) -> Option<&mut Item> {
        let mut at = 1;
        for item in &mut self.plan {
            let message = at + u32::from(item.is_routed());
            if message == u32::from(index) {
                return Some(item);
            }
            at = message + 1;
        }
        None
    }

    /// Whether a datagram of the same slot before this one, which is the `index`-th message, has
    /// no verdict yet.
    pub fn skips_datagram(&self, item: &Item, index: u16) -> bool {
        let (kind, slot) = (item.kind, item.slot);
        let mut at = 1;
        for before in &self.plan {
            at += u32::from(before.is_routed()) + 1;
            if at > u32::from(index) {
                break;
            }
            if before.kind == kind && before.slot == slot && !before.is_judged() {
                return true;
            }
        }
        false
    }
}
