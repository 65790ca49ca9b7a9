//! What a session is made for: what a device never does is not compiled into it.

use core::fmt::Debug;
use core::marker::PhantomData;

use heapless::Vec;

use super::channel::places::PlacesWanted;
use super::exchange::{Flight, LittleData, Transfer};
use super::greeting::Greeting;
use super::path::{Backoff, BodySize, Gateway, Hold, ParkDoubt, Rate, StreamWatch};
use super::rings::Lease;
use super::settings::{Settings, Timers};
use super::stats::Stats;
use super::terms::{Event, Lane};
use crate::Kind;
use crate::wire::Role;

/// Events kept until somebody takes them; the oldest is dropped, and counted.
const EVENTS: usize = 8;

/// What a session is made for: [`Full`] or [`Single`].
pub trait Mode: sealed::Sealed {}

/// Two exchanges at once, a park and a send, each on a connection of its own; everything that a
/// channel can be; paces, holds and bodies that follow what the path takes; events and numbers. What
/// the client with std uses.
#[derive(Debug)]
pub struct Full;

/// What firmware needs: one exchange at a time, on the only connection, which is park and send at
/// once, for a [`Purpose`].
///
/// Beside [`Full`], it never streams; its holds are those of the settings and its bodies what the
/// rings have; it may let one peer wait a second for another; it tells no events (but
/// [`blocked`](super::Session::blocked) and what the calls return), wakes nobody but its owner,
/// counts nothing, and is opened once.
#[derive(Debug)]
pub struct Single<P: Purpose = Anything>(PhantomData<P>);

/// The [`Purpose`] of a device that may do whatever a session can.
#[derive(Debug)]
pub struct Anything;

impl Purpose for Anything {}

/// What the program of a small device does with its session; what it does not is left out of the
/// code. As a rule everything is true, and the timers are the protocol's.
///
/// ```
/// # use byway::session::{Purpose, Session, Single, Storage};
/// #[derive(Debug)]
/// struct Thermometer;
///
/// impl Purpose for Thermometer {
///     const LISTENS: bool = false;
///     const DATAGRAMS: bool = false;
/// }
///
/// static mut STORAGE: Storage<2, 1024, 0, Single<Thermometer>> = Storage::new();
/// ```
pub trait Purpose: Debug + 'static {
    /// Whether the program listens and accepts.
    const LISTENS: bool = true;
    /// Whether the program connects.
    const CONNECTS: bool = true;
    /// Whether the program uses datagram channels.
    const DATAGRAMS: bool = true;
    /// Whether the program gives a greeting with its connections, or looks at those of others. A
    /// listener of a small device never answers with a greeting.
    const GREETS: bool = true;
    /// Whether the session probes the peers of idle channels: [`Settings::keepalive_ms`] counts.
    const KEEPALIVE: bool = true;
    /// The deadlines and intervals of the session.
    const TIMERS: Timers = Timers::DEFAULT;
}

impl Mode for Full {}
impl<P: Purpose> Mode for Single<P> {}

/// The state that a [`Full`] session has beside [`Core`](super::state::Core), and a [`Single`] one has
/// not. All zeros is its initial state.
#[derive(Debug)]
pub struct FullState {
    pub send: Flight,
    pub send_backoff: Backoff,
    /// The sending lane waits for the end of a pause.
    pub send_waits: bool,
    pub little_data: LittleData,
    pub park_doubt: ParkDoubt,
    pub body_size: BodySize,
    pub hold: Hold,
    pub stream_watch: StreamWatch,
    pub gateway: Gateway,
    pub rate: Rate,
    pub places: PlacesWanted,
    /// Messages that were of no use, modulo 2^32.
    pub junk: u32,
    pub events: Vec<Event, EVENTS, u8>,
    pub stats: Stats,
}

pub(super) mod sealed {
    use super::*;

    pub trait Sealed: Sized + Debug + 'static {
        /// One exchange is park and send.
        const SINGLE: bool;
        const LISTENS: bool;
        const CONNECTS: bool;
        const DATAGRAMS: bool;
        const GREETS: bool;
        const KEEPALIVE: bool;
        /// What the session says and hears.
        const ROLE: Role = Role::Client {
            listens: Self::LISTENS,
            connects: Self::CONNECTS,
            streams: !Self::SINGLE,
        };
        /// One for each lane.
        type Transfers: Debug + AsMut<[Transfer]>;
        const TRANSFERS: Self::Transfers;
        /// `FullState`, or nothing.
        type FullState: Debug;
        const FULL_STATE: Self::FullState;
        /// The greeting with which a listener answers, or nothing.
        type Answer: Debug;
        const NO_ANSWER: Self::Answer;

        /// `Lease`, or nothing: every ring lies at its guaranteed place.
        type Lease: Debug;
        const NO_LEASE: Self::Lease;

        fn lease(lease: &Self::Lease) -> Lease;
        fn set_lease(lease: &mut Self::Lease, to: Lease);
        fn timers(settings: &Settings) -> &Timers;
        fn full(full: &Self::FullState) -> Option<&FullState>;
        fn full_mut(full: &mut Self::FullState) -> Option<&mut FullState>;
        fn answer(answer: &Self::Answer) -> &[u8];
        fn set_answer(answer: &mut Self::Answer, greeting: &[u8]);

        /// The lane that does the work of `lane`.
        fn lane(lane: Lane) -> Lane {
            if Self::SINGLE { Lane::Park } else { lane }
        }

        /// Whether it is on this lane that deadlines are met.
        fn keeps_time(lane: Lane) -> bool {
            Self::SINGLE || lane == Lane::Send
        }

        /// The kind that a channel has.
        fn kind(kind: Kind) -> Kind {
            if Self::DATAGRAMS { kind } else { Kind::Stream }
        }
    }
}

use sealed::Sealed;

impl Sealed for Full {
    const SINGLE: bool = false;
    const LISTENS: bool = true;
    const CONNECTS: bool = true;
    const DATAGRAMS: bool = true;
    const GREETS: bool = true;
    const KEEPALIVE: bool = true;
    type Transfers = [Transfer; 2];
    const TRANSFERS: [Transfer; 2] = [const { Transfer::new() }; 2];
    type FullState = FullState;
    const FULL_STATE: FullState = FullState {
        send: Flight::new(),
        send_backoff: Backoff::new(),
        send_waits: false,
        little_data: LittleData::None,
        park_doubt: ParkDoubt::None,
        body_size: BodySize::new(),
        hold: Hold::new(),
        stream_watch: StreamWatch::new(),
        gateway: Gateway::new(),
        rate: Rate::new(),
        places: PlacesWanted::NONE,
        junk: 0,
        events: Vec::new(),
        stats: Stats::new(),
    };
    type Answer = Greeting;
    const NO_ANSWER: Greeting = Greeting::new();
    type Lease = Lease;
    const NO_LEASE: Lease = Lease::NONE;

    fn lease(lease: &Lease) -> Lease {
        *lease
    }

    fn set_lease(lease: &mut Lease, to: Lease) {
        *lease = to;
    }

    fn timers(settings: &Settings) -> &Timers {
        &settings.timers
    }

    fn full(full: &FullState) -> Option<&FullState> {
        Some(full)
    }

    fn full_mut(full: &mut FullState) -> Option<&mut FullState> {
        Some(full)
    }

    fn answer(answer: &Greeting) -> &[u8] {
        answer.octets()
    }

    fn set_answer(answer: &mut Greeting, greeting: &[u8]) {
        answer.set(greeting);
    }
}

impl<P: Purpose> Sealed for Single<P> {
    const SINGLE: bool = true;
    const LISTENS: bool = P::LISTENS;
    const CONNECTS: bool = P::CONNECTS;
    const DATAGRAMS: bool = P::DATAGRAMS;
    const GREETS: bool = P::GREETS;
    const KEEPALIVE: bool = P::KEEPALIVE;
    type Transfers = [Transfer; 1];
    const TRANSFERS: [Transfer; 1] = [const { Transfer::new() }; 1];
    type FullState = ();
    const FULL_STATE: () = ();
    type Answer = ();
    const NO_ANSWER: () = ();
    type Lease = ();
    const NO_LEASE: () = ();

    fn lease((): &()) -> Lease {
        Lease::NONE
    }

    fn set_lease((): &mut (), _: Lease) {}

    fn timers(_: &Settings) -> &Timers {
        &P::TIMERS
    }

    fn full((): &()) -> Option<&FullState> {
        None
    }

    fn full_mut((): &mut ()) -> Option<&mut FullState> {
        None
    }

    fn answer((): &()) -> &[u8] {
        &[]
    }

    fn set_answer((): &mut (), _: &[u8]) {}
}
