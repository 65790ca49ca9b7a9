//! A channel: its states, and what each of its parts is for.
//!
//! ```text
//!  mod.rs        Channel and State; State is changed in this file and in changes.rs alone
//!  changes.rs    what follows in the session when a channel changes its state
//!
//!  sender.rs     the transmit ring: what was written, sent, passed on, acknowledged
//!  receiver.rs   the receive ring: what came and was not read; AckDue, the acknowledgement owed for it
//!  round_trips.rs  what the path to the peer takes
//!  ring.rs       how the octets of a stream lie in a ring; datagram.rs: those of datagrams
//!
//!  incoming.rs   data and acknowledgements that an answer brings
//!  seal.rs       how a channel is protected; records.rs: what the rings of an encrypted one have;
//!                handshake.rs: how its ends come to have keys
//!  setup.rs      ACCEPT_REQ and CONNECT_RSP, as an answer brings them; places.rs: room for those that
//!                connect while every channel is taken
//!  closing.rs    CLOSE_REQ, CLOSE_RSP and GONE, as an answer brings them
//!
//!  probe.rs      zero-window probing
//!  linger.rs     the end by silence
//!  repeat.rs     the message that sets a channel up or ends it is repeated
//!  ended.rs      the error that tells the application of the end
//!  tombstone.rs  what is left of a channel afterwards, for its peer
//! ```

pub(super) mod changes;
mod closing;
pub(super) mod datagram;
mod ended;
#[cfg(feature = "secure")]
mod handshake;
mod incoming;
mod lengthen;
mod linger;
pub(super) mod places;
pub(super) mod probe;
pub(super) mod receiver;
#[cfg(feature = "secure")]
mod records;
mod repeat;
pub(super) mod ring;
pub(super) mod round_trips;
#[cfg_attr(not(feature = "secure"), path = "unsealed.rs")]
pub(super) mod seal;
pub(super) mod sender;
mod setup;
pub(super) mod tombstone;

use core::num::NonZeroU32;

use probe::{Probe, Prober};
use receiver::Receiver;
use seal::Seal;
use sender::Sender;
use tombstone::Tombstone;

use super::deadline::Deadline;
use super::greeting::Greeting;
use super::ids::{self, ListenerId};
use super::mode::Mode;
use crate::Kind;
use crate::wire::{self, Address, Endpoint, Route, Status};

/// A peer heard of so recently, in ms, may get more at any moment: as long as the relay lets a body
/// wait for another peer.
const HEARD_MS: u64 = 1_000;

/// State of a channel.
///
/// ```text
///   connect ──▶ Connecting ── CONNECT_RSP ──▶ Established ◀── a message ── Accepting ◀── ACCEPT_REQ
///                   │                           │     │    of the connector    │
///           refused │      FIN and its acknow-  │     │ abort, linger,         │ given up
///                   │      ledgement both ways  │     │ a broken rule          │
///                   ▼                           │     ▼                        │
///                 Ended ◀───────────────────────┘   Aborting ◀─────────────────┘
///                   │ ▲                                │
///                   │ └── CLOSE_RSP, CLOSE_REQ, or nothing for abort_for ──┘
///                   ▼ nobody holds it, and no body has its messages
///                 Free
/// ```
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub enum State {
    /// The slot is free.
    Free = 0,
    /// CONNECT_REQ is repeated until CONNECT_RSP comes. `heard` is the verdict heard last.
    Connecting { heard: Status },
    /// ACCEPT_RSP is repeated until the connector's first message comes.
    Accepting,
    /// Both ends know each other.
    Established,
    /// CLOSE_REQ is repeated until CLOSE_RSP comes: DELIVERED may have been into a response that was
    /// lost.
    Aborting(EndCause),
    /// Over; the slot waits for its owner, and for the exchange under way, to let go of it.
    Ended(EndCause),
}

/// What ended a channel.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub enum EndCause {
    /// Both ends wrote FIN, and have each other's.
    InOrder = 0,
    /// The connection was refused.
    Refused(Status),
    /// This end gave up.
    Here(Status),
    /// The peer said so.
    Peer(Status),
}

impl EndCause {
    /// The party that ended the channel, for the log.
    pub const fn by(self) -> &'static str {
        match self {
            Self::InOrder => "both ends",
            Self::Refused(_) => "a refusal",
            Self::Here(_) => "this end",
            Self::Peer(_) => "the peer",
        }
    }

    /// What CLOSE_REQ says of it.
    pub const fn status(self) -> Status {
        match self {
            Self::InOrder => Status::Closed,
            Self::Refused(status) | Self::Here(status) | Self::Peer(status) => status,
        }
    }
}

/// Whose hands a channel is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeldBy {
    /// The application let go of it, or never gets it.
    Nobody = 0,
    /// It may still be accepted.
    Backlog,
    /// The application made or accepted it.
    Application,
}

/// A channel. All zeros is its initial state.
// What is used most comes first, where short instructions reach it.
#[derive(Debug)]
#[repr(C)]
pub struct ChannelRecord {
    state: State,
    held_by: HeldBy,
    kind: Kind,
    /// Both ends knew each other at some time.
    met: bool,
    /// Messages of it are in the body of the send under way.
    flying: bool,
    /// How often the message that sets it up or ends it was sent.
    repeats: u8,
    pub prober: Prober,
    generation: u32,
    /// The listener it came from; none if it was made by connect.
    listener: Option<NonZeroU32>,
    /// Orders those that wait to be accepted.
    arrival: u32,
    /// How long silence is borne, in ms.
    linger_ms: u32,
    pub tx: Sender,
    pub rx: Receiver,
    token: u64,
    /// Since when something is outstanding and nothing was heard.
    quiet_since: Deadline,
    /// When the message that sets it up or ends it is due.
    repeat_at: Deadline,
    /// When the present state is given up.
    give_up_at: Deadline,
    heard_at: u64,
    /// First offset not received here, when the channel ended; or not received there, if the peer said.
    end_offset: u64,
    peer: Address,
    remote: wire::ChannelRef,
    endpoint: Endpoint,
    greeting: Greeting,
    seal: Seal,
}

/// What follows from an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AfterEnd {
    /// Nothing: the channel had ended before.
    Nothing,
    /// The peer is told, again and again for a while.
    Tell,
    /// The channel is over.
    Settle,
}

impl ChannelRecord {
    pub const fn new() -> Self {
        Self {
            state: State::Free,
            held_by: HeldBy::Nobody,
            kind: Kind::Stream,
            met: false,
            flying: false,
            repeats: 0,
            tx: Sender::new(),
            prober: Prober::new(),
            generation: 0,
            listener: None,
            arrival: 0,
            linger_ms: 0,
            token: 0,
            quiet_since: Deadline::NONE,
            repeat_at: Deadline::NONE,
            give_up_at: Deadline::NONE,
            heard_at: 0,
            end_offset: 0,
            peer: Address::RELAY,
            remote: wire::ChannelRef::NONE,
            endpoint: Endpoint::EMPTY,
            greeting: Greeting::new(),
            seal: Seal::Plain,
            rx: Receiver::new(),
        }
    }

    pub const fn state(&self) -> State {
        self.state
    }

    #[inline(always)]
    pub const fn is_free(&self) -> bool {
        matches!(self.state, State::Free)
    }

    #[inline(always)]
    pub const fn is_established(&self) -> bool {
        matches!(self.state, State::Established)
    }

    pub const fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting { .. })
    }

    /// Whether it has no messages any more.
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Free | State::Ended(_))
    }

    /// The kind, which is a stream where nothing else is made.
    pub fn kind<M: Mode>(&self) -> Kind {
        M::kind(self.kind)
    }

    pub const fn peer(&self) -> Address {
        self.peer
    }

    pub const fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// The slot is as if it had been used so often.
    #[cfg(all(test, feature = "std"))]
    pub fn wear(&mut self, generation: u32) {
        self.generation = generation;
    }

    pub const fn heard_at(&self) -> u64 {
        self.heard_at
    }

    pub const fn give_up_at(&self) -> Deadline {
        self.give_up_at
    }

    pub const fn end_offset(&self) -> u64 {
        self.end_offset
    }

    /// Whether both ends knew each other at some time.
    pub const fn has_met(&self) -> bool {
        self.met
    }

    /// The listener that the channel came by, if the channel was not made by connect.
    pub fn listener(&self) -> Option<ListenerId> {
        self.listener.map(|of| ListenerId(of.get()))
    }

    /// The ROUTE to its peer.
    pub const fn route(&self) -> Route {
        Route { peer: self.peer, channel: self.remote }
    }

    /// This end of the channel, which is in that slot.
    pub const fn local(&self, slot: usize) -> wire::ChannelRef {
        wire::ChannelRef { id: ids::id(slot, self.generation), token: self.token }
    }

    pub fn greeting(&self) -> &[u8] {
        self.greeting.octets()
    }

    /// Whether the application, or a listener for it, holds the channel.
    pub fn is_held(&self) -> bool {
        self.held_by != HeldBy::Nobody
    }

    /// Whether the body of the send under way has messages of it.
    pub const fn is_flying(&self) -> bool {
        self.flying
    }

    /// A body has messages of it.
    pub fn depart(&mut self) {
        self.flying = true;
    }

    /// The send under way is over.
    pub fn land(&mut self) {
        self.flying = false;
    }

    /// The application accepts the channel.
    pub fn accept(&mut self) {
        self.held_by = HeldBy::Application;
        self.give_up_at = Deadline::NONE;
    }

    /// When it came, if that listener's `accept` may give it.
    pub fn is_offered_to<M: Mode>(&self, listener: ListenerId) -> Option<u32> {
        let is_ready = self.is_established() || !M::SINGLE && matches!(self.state, State::Ended(_));
        (self.waits_at(listener) && is_ready).then_some(self.arrival)
    }

    /// Whether it takes a place of that listener's backlog. So does one that its peer ended before it
    /// was accepted, if what was acknowledged is still to be read: as of TCP connections, accepting
    /// gives those, too.
    pub fn waits_at(&self, listener: ListenerId) -> bool {
        self.held_by == HeldBy::Backlog && self.is_of(listener)
    }

    /// Whether it came by that listener.
    pub fn is_of(&self, listener: ListenerId) -> bool {
        self.listener.is_some_and(|of| of.get() == listener.0)
    }

    /// Whether the peer is expected to answer something.
    pub fn is_outstanding<M: Mode>(&self) -> bool {
        self.is_established()
            && (self.prober.is_waiting() || self.tx.is_outstanding(self.kind::<M>()))
    }

    /// Whether the peer is expected to answer something, or was heard of lately.
    pub fn has_traffic<M: Mode>(&self, now: u64) -> bool {
        self.is_outstanding::<M>() || self.is_established() && now < self.heard_at + HEARD_MS
    }

    /// Whether data sent to the peer is not acknowledged yet.
    pub fn awaits_ack<M: Mode>(&self) -> bool {
        self.is_established() && self.tx.awaits_ack(self.kind::<M>())
    }

    /// Whether there is data that may go out, as far as the channel itself goes.
    pub fn has_data<M: Mode>(&self) -> bool {
        self.is_established() && !self.prober.is_blocked() && self.tx.has_data(self.kind::<M>())
    }

    /// What the peer has of what was sent is not known: it is to be asked, and may take its time.
    pub fn await_ack<M: Mode>(&mut self) {
        if self.kind::<M>() == Kind::Stream && self.tx.awaits_ack(Kind::Stream) {
            self.prober.want(Probe::Patient);
        }
    }

    /// What ended the channel, if it has ended.
    pub const fn ending(&self) -> Option<EndCause> {
        match self.state {
            State::Aborting(end) | State::Ended(end) => Some(end),
            State::Free | State::Connecting { .. } | State::Accepting | State::Established => None,
        }
    }

    /// Whether silence ended it: nothing more is to be hoped for.
    pub fn is_dead(&self) -> bool {
        matches!(self.ending(), Some(EndCause::Here(Status::Linger)))
    }

    /// Whether the application still counts on what it wrote.
    pub fn is_awaited(&self) -> bool {
        match self.state {
            State::Free => false,
            State::Connecting { .. } | State::Accepting | State::Established => true,
            State::Aborting(_) | State::Ended(_) => self.is_held() || self.is_lost(),
        }
    }

    /// Whether it ended with bytes unacknowledged, and not because the application gave it up.
    pub fn is_lost(&self) -> bool {
        let by_application = match self.ending() {
            None | Some(EndCause::InOrder | EndCause::Refused(_)) => true,
            Some(EndCause::Here(status)) => matches!(status, Status::Closed | Status::Aborted),
            Some(EndCause::Peer(_)) => false,
        };
        !by_application && self.tx.has_unacked_bytes(self.tail())
    }

    /// Whether all that is missing is that the peer acknowledges the end of the stream.
    pub fn is_all_but_done(&self) -> bool {
        self.rx.has_fin() && self.tx.lacks_only_fin(self.tail())
    }

    /// Whether both directions of a stream are over for this end.
    pub fn is_done(&self) -> bool {
        self.rx.has_fin() && self.tx.is_shut() && self.tx.acked() == self.tx.goal()
    }

    /// The relay said in passing why it cannot connect yet.
    pub fn hear(&mut self, status: Status) {
        if let State::Connecting { heard } = &mut self.state {
            *heard = status;
        }
    }

    /// Both ends know each other; whether a listener is to give it now.
    fn establish(&mut self, now: u64) -> bool {
        self.state = State::Established;
        self.met = true;
        self.end_repeats();
        self.give_up_at = Deadline::NONE;
        let is_offered = self.held_by == HeldBy::Backlog;
        if is_offered {
            // What nobody accepts ends after linger.
            self.give_up_at_linger(now);
        }
        is_offered
    }

    /// The channel ends; the peer is told if it knows of the channel and `tell` is set.
    fn end<M: Mode>(&mut self, end: EndCause, tell: bool) -> AfterEnd {
        if matches!(self.state, State::Free | State::Aborting(_) | State::Ended(_)) {
            return AfterEnd::Nothing;
        }
        let is_by_peer = matches!(end, EndCause::Peer(_));
        if !is_by_peer {
            self.end_offset = match self.kind::<M>() {
                Kind::Stream => self.rx.received(),
                Kind::Datagram => self.rx.highest(),
            };
        }
        // What has ended is not accepted any more, unless its peer was told that bytes are here.
        let holds = !M::SINGLE && is_by_peer && (self.rx.has_fin() || self.rx.readable() > 0);
        if self.held_by == HeldBy::Backlog && !holds {
            self.held_by = HeldBy::Nobody;
        }
        self.break_silence();
        self.prober.end();
        self.rx.relax();
        self.state = State::Ended(end);
        if tell && self.remote != wire::ChannelRef::NONE {
            AfterEnd::Tell
        } else {
            AfterEnd::Settle
        }
    }

    /// The peer is told of the end, until `give_up_at` at the latest.
    fn tell_end(&mut self, now: u64, give_up_at: u64) {
        if let State::Ended(end) = self.state {
            self.state = State::Aborting(end);
        }
        self.begin_repeats(now);
        self.give_up_at = Deadline::at(give_up_at);
    }

    /// The channel is over, in order if nothing ended it before.
    fn settle(&mut self) {
        self.state = State::Ended(self.ending().unwrap_or(EndCause::InOrder));
        self.end_repeats();
        self.give_up_at = Deadline::NONE;
    }
}
