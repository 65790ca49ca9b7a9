//! The session: everything a client knows, and nothing of how it is carried.
//!
//! It is sans-I/O: no clock, thread, allocation, lock or I/O. Four families of methods:
//! getters; mutators, which the application calls (`connect`, `write`, …); `handle_*`, which take
//! input (answers, failures, the time); `poll_*`, which give output (exchanges to make, the octets
//! of their bodies, deadlines, events, whom to wake). `now` is in milliseconds of a clock that
//! never goes back. After any call the owner drains [`Session::poll_wake`].
//!
//! ```text
//!  application ── write ─▶ transmit ring ── poll_exchange, poll_body ─▶ request
//!  application ◀─ read ─── receive ring  ◀─ handle_response ─────────── answer
//! ```
//!
//! The loop of a lane: [`poll_exchange`](Session::poll_exchange) until it gives an exchange; carry
//! its body up; hand the answer down; finish it or tell of its failure; again. The sending lane asks
//! [`handle_timeout`](Session::handle_timeout) first each time: exchanges may leave it no pause. The
//! [`Lane::Park`] exchanges wait at the relay for what comes, the [`Lane::Send`] ones carry what goes.

mod backoff;
mod body;
mod channel;
mod cipher;
mod datagram;
mod downlink;
mod ended;
mod exchange;
mod gateway;
mod health;
mod listener;
mod meet;
mod mode;
mod places;
mod plan;
mod rate;
mod receive;
mod respond;
mod ring;
mod settings;
mod state;
mod stats;
mod storage;
mod stream;
mod streaming;
#[cfg(all(test, feature = "std"))]
mod tests;
mod timer;
mod tombstone;
mod trip;
mod uplink;

use core::ops::Range;

use channel::{Channel, End, State};
use listener::Claim;
use state::Core;
use tombstone::Tombstone;
use trip::Course;

use crate::Kind;
use crate::error::{Blocked, ConfigError, Error, PeerError, ResourceError};
use crate::wire::{Address, Endpoint, MAX_GREETING, Status};

pub use mode::{Anything, Full, Mode, Purpose, Single};
pub use settings::{Pace, Settings, Timers};
pub use stats::{ChannelStats, Stats};
#[cfg(feature = "std")]
pub use storage::HeapStorage;
pub use storage::{Profile, Storage, StorageBytes};

/// Highest generation of a slot: 24 bits of an id. A slot that reached it is not used again, so
/// that no id ever is.
const MAX_GENERATION: u32 = 0xff_ffff;

/// A session: a view of the memory that its owner gives. See the [module](self).
#[derive(Debug)]
pub struct Session<'s, M: Mode = Full> {
    core: &'s mut Core<M>,
    channels: &'s mut [Channel],
    tombstones: &'s mut [Tombstone],
    claims: &'s mut [Claim],
    rings: &'s mut [u8],
    /// Of each lane's exchange.
    courses: &'s mut [Course],
}

/// What an exchange is for. One is under way on each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Waits at the relay until something comes.
    Park = 0,
    /// Carries what goes; answered at once.
    Send,
}

impl Lane {
    /// The lane beside it.
    const fn other(self) -> Self {
        match self {
            Self::Park => Self::Send,
            Self::Send => Self::Park,
        }
    }
}

/// A request to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// Its lane.
    pub lane: Lane,
    /// Its number, unique in the session: makes the URL differ each time.
    pub seq: u64,
    /// Octets of its body.
    pub len: usize,
    /// It has failed when no octet went up or came down for so long, in ms.
    pub silence_ms: u32,
    /// A connection that passed nothing for longer, in ms, is not to be used: something on the way
    /// has forgotten such ones.
    pub idle_ms: u32,
}

/// A channel that the application holds. Never reused within a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelId(pub u32);

impl ChannelId {
    /// Index below the profile's number of channels; reused when the channel is over.
    pub const fn slot(self) -> usize {
        (self.0 >> 24) as usize
    }
}

/// A listener that the application holds. Never reused within a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u32);

impl ListenerId {
    /// Index below the profile's number of listeners; reused when the listener is closed.
    pub const fn slot(self) -> usize {
        (self.0 >> 24) as usize
    }
}

/// Who is to look again at what they wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wake {
    /// The sending lane: `poll_exchange`.
    Send,
    /// The sending lane, at that time at the latest: what it was told by `poll_timeout` may be later.
    SendBy(u64),
    /// The parking lane: `poll_exchange`.
    Park,
    /// Whoever can break the park under way: its answer comes too late. It fails then, which says
    /// nothing of the path.
    BreakPark,
    /// Whoever can break the send under way, and drop its connection if there is none: the path fell
    /// silent beside it.
    BreakSend,
    /// Whoever waits for the channel in this slot.
    Channel(usize),
    /// Whoever waits for the listener in this slot.
    Listener(usize),
    /// Whoever waits for events.
    Event,
    /// Whoever waits for the session to open or to close.
    Session,
}

/// What an application may want to know, but need not act upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Dialling.
    Connecting,
    /// The relay has answered for the first time: [`is_open`](Session::is_open) says so from now on.
    Opened,
    /// The relay cannot be reached, and why.
    PathBlocked(Blocked),
    /// It can again.
    PathRestored,
    /// The channel's peer has not asked the relay for data lately.
    PeerAway(ChannelId),
    /// It was heard of again.
    PeerBack(ChannelId),
    /// Bytes sent did not fit into the peer's ring.
    Overflow {
        /// The channel.
        channel: ChannelId,
        /// First offset that did not fit.
        offset: u64,
    },
    /// The relay gave the endpoint to somebody else.
    ListenerLost(ListenerId),
}

/// Half of a stream, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// What comes.
    Read,
    /// What goes.
    Write,
    /// Both.
    Both,
}

/// What a session says that was made for something else.
const NOT_MADE_FOR: &str = "this session was not made for that: see session::Purpose";

/// Id of a slot's generation.
const fn id(slot: usize, generation: u32) -> u32 {
    (slot as u32) << 24 | generation
}

/// Slot and generation of an id.
const fn slot(id: u32) -> (usize, u32) {
    ((id >> 24) as usize, id & MAX_GENERATION)
}

impl<M: Mode> Session<'_, M> {
    /// Opens a channel to whoever listens at `endpoint`; `greeting` goes with the request.
    ///
    /// It is open when [`connected`](Self::connected) says so. The session asks until the
    /// application [releases](Self::release) the channel.
    ///
    /// # Errors
    /// `Channels` if no slot is free, `Greeting`, `Closed`.
    pub fn connect(
        &mut self,
        now: u64,
        endpoint: Endpoint,
        kind: Kind,
        greeting: &[u8],
    ) -> Result<ChannelId, Error> {
        self.check_usable()?;
        if !M::CONNECTS || M::kind(kind) != kind || !M::GREETS && !greeting.is_empty() {
            return Err(ConfigError::Unsupported(NOT_MADE_FOR).into());
        }
        if greeting.len() > MAX_GREETING {
            return Err(ConfigError::Greeting.into());
        }
        let slot =
            self.open_channel(now, kind, State::Connecting).ok_or(ResourceError::Channels)?;
        let channel = &mut self.channels[slot];
        channel.endpoint = endpoint;
        channel.accepted = true;
        if M::GREETS {
            channel.set_greeting(greeting);
        }
        Ok(self.channel_id(slot))
    }

    /// Whether both ends know each other.
    ///
    /// # Errors
    /// Why the connection was refused, or what ended it.
    pub fn connected(&self, id: ChannelId) -> Result<bool, Error> {
        let channel = &self.channels[self.held(id)?];
        match channel.error() {
            Some(error) => Err(error),
            None => self.core.fatal().map(|()| channel.state == State::Established),
        }
    }

    /// Whether both ends knew each other at some time, also if the channel has ended since: what came
    /// then can still be read.
    ///
    /// # Errors
    /// Why the connection was refused, or what ended it before.
    pub fn was_connected(&self, id: ChannelId) -> Result<bool, Error> {
        match self.channels[self.held(id)?].met {
            true => Ok(true),
            false => self.connected(id),
        }
    }

    /// What has stood in the way of a connection so far.
    pub fn connect_cause(&self, id: ChannelId) -> Error {
        let status = self.held(id).map(|slot| self.channels[slot].status);
        match (self.blocked(), status.map(Status::from_code)) {
            (_, Err(error)) => error,
            (Some(cause), _) => cause.into(),
            (_, Ok(Some(Status::Away | Status::Busy))) => PeerError::Away.into(),
            (_, Ok(Some(Status::NoListener | Status::Retry))) => PeerError::NoListener.into(),
            (_, Ok(Some(Status::Limited))) => ResourceError::Relay.into(),
            _ => Error::TimedOut,
        }
    }

    /// The address of the other peer's session.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    pub fn peer(&self, id: ChannelId) -> Result<Address, Error> {
        Ok(self.channels[self.held(id)?].peer)
    }

    /// Stream or datagram.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    pub fn kind(&self, id: ChannelId) -> Result<Kind, Error> {
        Ok(self.channels[self.held(id)?].kind)
    }

    /// The endpoint that was connected to.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    pub fn endpoint(&self, id: ChannelId) -> Result<Endpoint, Error> {
        Ok(self.channels[self.held(id)?].endpoint)
    }

    /// What came with the connection: at the listener the connector's greeting.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    pub fn greeting(&self, id: ChannelId) -> Result<&[u8], Error> {
        Ok(self.channels[self.held(id)?].greeting())
    }

    /// Numbers of a channel.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    pub fn channel_stats(&self, id: ChannelId) -> Result<ChannelStats, Error> {
        let channel = &self.channels[self.held(id)?];
        let (tx, rx) = (&channel.tx, &channel.rx);
        Ok(ChannelStats {
            written: tx.end,
            acked: tx.una,
            received: rx.next,
            read: rx.read,
            window: tx.limit,
            retransmitted: tx.retransmitted,
            overflows: tx.overflows,
            datagrams_expired: tx.lost,
            datagrams_dropped: rx.lost,
        })
    }

    /// The application lets go of the channel. What was written still goes out, then FIN; what
    /// comes is dropped. Does nothing if it was let go of before.
    pub fn release(&mut self, now: u64, id: ChannelId) {
        if let Ok(slot) = self.held(id) {
            self.give_up(now, slot);
        }
    }

    /// The application gives the channel up: the peer is told at once, nothing more is sent.
    pub fn abort(&mut self, now: u64, id: ChannelId) {
        if let Ok(slot) = self.held(id) {
            self.abort_slot(now, slot);
        }
    }

    fn abort_slot(&mut self, now: u64, slot: usize) {
        let channel = &mut self.channels[slot];
        channel.owned = false;
        match channel.state {
            State::Aborting if channel.is_dead() => self.settle(now, slot),
            State::Ended => self.reap(now, slot),
            State::Connecting => self.end(now, slot, End::Here, Status::Aborted, false),
            _ => self.end(now, slot, End::Here, Status::Aborted, true),
        }
    }

    /// Whom to wake; `None` when everybody was.
    pub fn poll_wake(&mut self) -> Option<Wake> {
        if M::SINGLE {
            let wakes = core::mem::take(&mut self.core.wakes.send);
            return (wakes && self.speaks()).then_some(Wake::Send);
        }
        if core::mem::take(&mut self.core.wakes.send) {
            self.go_single(self.core.clock);
            self.core.wakes.send_later = false;
            return Some(Wake::Send);
        }
        if core::mem::take(&mut self.core.wakes.send_later) && self.core.acks_at != 0 {
            return Some(Wake::SendBy(self.core.acks_at));
        }
        let wakes = &mut self.core.wakes;
        let mut take = |flag: fn(&mut state::Wakes) -> &mut bool| core::mem::take(flag(wakes));
        if take(|w| &mut w.park) {
            return Some(Wake::Park);
        }
        if take(|w| &mut w.break_park) {
            return Some(Wake::BreakPark);
        }
        if take(|w| &mut w.break_send) {
            return Some(Wake::BreakSend);
        }
        if take(|w| &mut w.events) {
            return Some(Wake::Event);
        }
        if take(|w| &mut w.session) {
            return Some(Wake::Session);
        }
        if let Some(word) = wakes.channels.iter().position(|&w| w != 0) {
            let bit = wakes.channels[word].trailing_zeros() as usize;
            wakes.channels[word] &= wakes.channels[word] - 1;
            let slot = word * 32 + bit;
            self.channels[slot].wake = false;
            return Some(Wake::Channel(slot));
        }
        if M::LISTENS && wakes.claims {
            if let Some(slot) = self.claims.iter().position(|c| c.wake) {
                self.claims[slot].wake = false;
                return Some(Wake::Listener(slot));
            }
            wakes.claims = false;
        }
        None
    }

    /// The course of an exchange, and the session without it: what comes is read in place.
    fn apart(&mut self, lane: Lane) -> (&mut Course, Session<'_, M>) {
        let session = Session {
            core: self.core,
            channels: self.channels,
            tombstones: self.tombstones,
            claims: self.claims,
            rings: self.rings,
            courses: &mut [],
        };
        (&mut self.courses[lane as usize], session)
    }

    /// The claims that there can be.
    fn claims(&self) -> &[Claim] {
        if M::LISTENS { self.claims } else { &[] }
    }

    /// Octets of each ring.
    fn ring_len(&self) -> usize {
        self.rings.len() / (2 * self.channels.len())
    }

    /// Where a channel's transmit and receive rings lie.
    fn rings_of(&self, slot: usize) -> (Range<usize>, Range<usize>) {
        let len = self.ring_len();
        let tx = 2 * slot * len;
        (tx..tx + len, tx + len..tx + 2 * len)
    }
}
