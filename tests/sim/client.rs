//! A client, whose session is made for one lane or for two.

use byway::error::{Blocked, Error};
use byway::session::{
    ChannelId, ChannelStats, Event, Exchange, Half, HeapStorage, Lane, ListenerId, Profile,
    Security, Session, Settings, Single, Stats, Wake,
};
use byway::{Endpoint, Kind};

use crate::app::ListenPlan;
use crate::path::Path;
use crate::speak::Speech;
use crate::world::TripId;

/// A client.
pub struct Peer {
    pub storage: Memory,
    pub profile: Profile,
    /// The exchange under way, and the timer set, for each lane.
    pub trips: [Option<TripId>; 2],
    pub timers: [Option<u64>; 2],
    pub begun: [u64; 2],
    /// The time from the client to the relay, in ms: the least and the most.
    pub latency: (u64, u64),
    /// Octets in a piece of a body.
    pub chunk: usize,
    /// Whether requests and answers pass only as wholes.
    pub whole: bool,
    /// Whether one thread does everything, so that deadlines are met while an exchange is under
    /// way, too.
    pub one_thread: bool,
    /// Whether the client has one connection.
    pub speech: Speech,
    /// Whether the client is about to be polled; its application looks at everything then.
    pub polls: bool,
    pub looks: bool,
    pub dark_until: u64,
    pub path: Path,
    pub last_answer: Vec<u8>,
    pub events: Vec<Event>,
    pub listens: Vec<ListenPlan>,
}

impl Peer {
    pub fn session(&mut self) -> Client<'_> {
        self.storage.session()
    }
}

/// The memory in which a session lives.
#[derive(Debug)]
pub enum Memory {
    Full(HeapStorage),
    Single(HeapStorage<Single>),
}

/// The session in its memory.
#[derive(Debug)]
pub enum Client<'s> {
    Full(Session<'s>),
    Single(Session<'s, Single>),
}

impl Memory {
    pub fn new(profile: &Profile, single: bool) -> Result<Self, Error> {
        Ok(match single {
            false => Self::Full(HeapStorage::new(profile)?),
            true => Self::Single(HeapStorage::with_mode(profile)?),
        })
    }

    pub fn is_single(&self) -> bool {
        matches!(self, Self::Single(_))
    }

    pub fn session(&mut self) -> Client<'_> {
        match self {
            Self::Full(storage) => Client::Full(storage.session()),
            Self::Single(storage) => Client::Single(storage.session()),
        }
    }
}

macro_rules! either {
    ($(fn $name:ident(&mut self $(, $arg:ident: $of:ty)*) $(-> $gives:ty)?;)*) => {
        impl Client<'_> {
            $(pub fn $name(&mut self $(, $arg: $of)*) $(-> $gives)? {
                match self {
                    Self::Full(session) => session.$name($($arg),*),
                    Self::Single(session) => session.$name($($arg),*),
                }
            })*
        }
    };
}

either! {
    fn open(&mut self, now: u64, settings: &Settings);
    fn encrypt(&mut self, security: Security);
    fn close(&mut self, now: u64);
    fn abort_all(&mut self, now: u64);
    fn is_closed(&mut self) -> bool;
    fn network_changed(&mut self, now: u64);
    fn stats(&mut self) -> Stats;
    fn connect(&mut self, now: u64, at: Endpoint, kind: Kind, greeting: &[u8]) -> Result<ChannelId, Error>;
    fn connected(&mut self, id: ChannelId) -> Result<bool, Error>;
    fn listen(&mut self, now: u64, at: Endpoint, kind: Kind, backlog: u8) -> Result<ListenerId, Error>;
    fn listening(&mut self, id: ListenerId) -> Result<bool, Error>;
    fn unlisten(&mut self, now: u64, id: ListenerId);
    fn accept(&mut self, now: u64, id: ListenerId) -> Result<Option<ChannelId>, Error>;
    fn greeting(&mut self, id: ChannelId) -> Result<&[u8], Error>;
    fn write(&mut self, now: u64, id: ChannelId, bytes: &[u8]) -> Result<usize, Error>;
    fn read(&mut self, now: u64, id: ChannelId, out: &mut [u8]) -> Result<Option<usize>, Error>;
    fn send_datagram(&mut self, now: u64, id: ChannelId, bytes: &[u8]) -> Result<bool, Error>;
    fn recv_datagram(&mut self, now: u64, id: ChannelId, out: &mut [u8]) -> Result<Option<usize>, Error>;
    fn max_datagram(&mut self, id: ChannelId) -> Result<usize, Error>;
    fn shutdown(&mut self, now: u64, id: ChannelId, half: Half) -> Result<(), Error>;
    fn acked(&mut self, id: ChannelId) -> Result<bool, Error>;
    fn release(&mut self, now: u64, id: ChannelId);
    fn abort(&mut self, now: u64, id: ChannelId);
    fn channel_stats(&mut self, id: ChannelId) -> Result<ChannelStats, Error>;
    fn poll_exchange(&mut self, now: u64, lane: Lane) -> Option<Exchange>;
    fn poll_body(&mut self, now: u64, lane: Lane, out: &mut [u8]) -> usize;
    fn poll_timeout(&mut self, lane: Lane) -> Option<u64>;
    fn poll_wake(&mut self) -> Option<Wake>;
    fn poll_event(&mut self) -> Option<Event>;
    fn handle_timeout(&mut self, now: u64);
    fn handle_response(&mut self, now: u64, lane: Lane, bytes: &[u8]) -> Result<(), Blocked>;
    fn handle_finished(&mut self, now: u64, lane: Lane) -> Result<(), Blocked>;
    fn handle_failure(&mut self, now: u64, lane: Lane, cause: Blocked, sent: bool);
    fn break_exchange(&mut self, now: u64, lane: Lane);
}

impl Client<'_> {
    pub fn unacked(&mut self) -> impl Iterator<Item = (ChannelId, u64)> {
        let all: Vec<_> = match self {
            Self::Full(session) => session.unacked().collect(),
            Self::Single(session) => session.unacked().collect(),
        };
        all.into_iter()
    }
}
