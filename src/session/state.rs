//! What a session knows besides its channels and listeners.

use super::cipher::encipher;
use super::deadline::Deadline;
use super::exchange::Flight;
use super::mode::FullState;
use super::path::{Backoff, BodySize, Health, Hold, Rate, StreamWatch};
use super::settings::{Settings, Timers};
use super::{Event, Lane, Mode, Session, Stats};
use crate::error::{Blocked, ConfigError, Error, TransportError};
use crate::wire::{self, Address};

/// Replies waiting for a send: refusals and unknown channels. More are dropped; peers repeat.
const REPLIES: usize = 4;

/// Most octets of a request that is park and send at once: the relay reads it whole first.
const MAX_SINGLE: u32 = wire::MAX_SINGLE_BODY as u32;

/// How far a session's life has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not opened.
    New = 0,
    Open,
    /// No channel is left open; then the relay is told (BYE).
    Closing,
    Closed,
}

/// What ends every hope of this session. All zeros: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fatal {
    None = 0,
    Version,
    Malformed,
    SecretShared,
}

/// Who is to look again.
#[derive(Debug)]
pub(super) struct Wakes {
    pub send: bool,
    /// The sending lane is to look when acknowledgements are due, which was not so before.
    pub send_later: bool,
    pub park: bool,
    pub break_park: bool,
    pub break_send: bool,
    pub session: bool,
    pub events: bool,
    pub claims: bool,
    /// A bit for each slot.
    pub channels: [u32; 8],
}

/// An answer to a message that has no channel here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyKind {
    Free = 0,
    /// ACCEPT_RSP with a status other than OK.
    Refuse,
    /// CLOSE_RSP.
    Close,
    /// CLOSE_REQ to an end that has no channel here.
    Stray,
}

#[derive(Debug)]
pub(super) struct Reply {
    pub kind: ReplyKind,
    pub status: u8,
    pub flying: bool,
    pub peer: Address,
    /// Refuse: the connector's end. Close: the end that was addressed here. Stray: the end there.
    pub channel: wire::Channel,
}

/// All zeros is the initial state.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Core<M: Mode> {
    pub phase: Phase,
    pub fatal: Fatal,
    pub relay_version: u8,
    /// Claims changed since they were told last.
    pub claims_changed: bool,
    /// The relay has not been told them since.
    pub claims_owed: bool,
    /// A send is due even if it has nothing to say.
    pub hello_due: bool,
    pub bye_tries: u8,
    /// With one connection: nothing that is said while it waits gets through.
    pub held_back: bool,
    /// Slot that is served first by the next body.
    pub turn: u8,
    pub wakes: Wakes,
    pub health: Health,
    pub relay_max_body: u32,
    pub arrivals: u32,
    srtt_ms: u32,
    rttvar_ms: u32,
    /// Counts what is drawn, from the seed on.
    drawn: u64,
    /// The last `now` seen.
    pub clock: u64,
    /// Number of the exchange begun last.
    pub seq: u64,
    pub traffic_at: u64,
    /// When acknowledgements go by a send, as an answer stays open, if any wait.
    pub acks_at: Deadline,
    /// In a session with one connection, the only one.
    pub park: Flight,
    pub park_backoff: Backoff,
    pub settings: Settings,
    full: M::FullState,
    pub replies: [Reply; REPLIES],
}

impl<M: Mode> Core<M> {
    pub const fn new() -> Self {
        Self {
            settings: Settings::ZERO,
            phase: Phase::New,
            fatal: Fatal::None,
            relay_version: 0,
            drawn: 0,
            clock: 0,
            seq: 0,
            health: Health::new(),
            relay_max_body: 0,
            claims_changed: false,
            claims_owed: false,
            hello_due: false,
            bye_tries: 0,
            park: Flight::new(),
            park_backoff: Backoff::new(),
            full: M::FULL_STATE,
            held_back: false,
            traffic_at: 0,
            turn: 0,
            arrivals: 0,
            acks_at: Deadline::NONE,
            srtt_ms: 0,
            rttvar_ms: 0,
            wakes: Wakes {
                send: false,
                send_later: false,
                park: false,
                break_park: false,
                break_send: false,
                session: false,
                events: false,
                claims: false,
                channels: [0; 8],
            },
            replies: [const {
                Reply {
                    kind: ReplyKind::Free,
                    status: 0,
                    flying: false,
                    peer: Address::RELAY,
                    channel: wire::Channel::NONE,
                }
            }; REPLIES],
        }
    }

    pub fn reset(&mut self, now: u64, settings: &Settings) {
        *self = Self::new();
        self.begin(now, settings);
    }

    /// Begins a life, from the initial state.
    fn begin(&mut self, now: u64, settings: &Settings) {
        self.settings = *settings;
        self.clock = now;
        self.traffic_at = now;
        self.drawn = settings.seed;
        self.phase = Phase::Open;
        self.hello_due = true;
        self.wakes.send = true;
    }

    /// Whether one exchange is made at a time, which is park and send at once.
    pub fn is_single(&self) -> bool {
        M::SINGLE || self.full().is_some_and(|full| full.gateway.is_single())
    }

    /// The lane that does the work of `lane`.
    pub fn lane(&self, lane: Lane) -> Lane {
        if self.is_single() { Lane::Park } else { lane }
    }

    /// Whether an exchange on this lane carries what goes.
    pub fn carries(&self, lane: Lane) -> bool {
        self.is_single() || lane == Lane::Send
    }

    /// The exchange of a lane.
    pub fn flight(&mut self, lane: Lane) -> &mut Flight {
        match lane {
            Lane::Park => &mut self.park,
            Lane::Send => self.send_mut(),
        }
    }

    /// When a lane asks again.
    pub fn backoff(&self, lane: Lane) -> &Backoff {
        match M::full(&self.full) {
            Some(full) if lane == Lane::Send && !self.is_single() => &full.send_backoff,
            _ => &self.park_backoff,
        }
    }

    pub fn backoff_mut(&mut self, lane: Lane) -> &mut Backoff {
        let single = self.is_single();
        match M::full_mut(&mut self.full) {
            Some(full) if lane == Lane::Send && !single => &mut full.send_backoff,
            _ => &mut self.park_backoff,
        }
    }

    /// Deadlines and intervals.
    pub fn timers(&self) -> &Timers {
        M::timers(&self.settings)
    }

    /// What only a full session has.
    pub fn full(&self) -> Option<&FullState> {
        M::full(&self.full)
    }

    pub fn full_mut(&mut self) -> Option<&mut FullState> {
        M::full_mut(&mut self.full)
    }

    /// The exchange that carries what goes.
    pub fn send(&self) -> &Flight {
        match M::full(&self.full) {
            Some(full) if !self.is_single() => &full.send,
            _ => &self.park,
        }
    }

    pub fn send_mut(&mut self) -> &mut Flight {
        let single = self.is_single();
        match M::full_mut(&mut self.full) {
            Some(full) if !single => &mut full.send,
            _ => &mut self.park,
        }
    }

    /// A number that nobody without the secret can tell from others, nor learn anything from; each
    /// is drawn once in a session.
    pub fn random(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        encipher(&self.settings.secret, self.drawn)
    }

    /// A number from 0 to below `end`, by chance.
    pub fn below(&mut self, end: u32) -> u32 {
        // A division of 64 bits would be long on small machines, and so is a product of more than 32.
        let random = (self.random() >> 32) as u32;
        ((u64::from(random) * u64::from(end)) >> 32) as u32
    }

    /// Counts something, if this session counts.
    pub fn count(&mut self, how: impl FnOnce(&mut Stats)) {
        if let Some(full) = self.full_mut() {
            how(&mut full.stats);
        }
    }

    pub fn event(&mut self, event: Event) {
        if let Some(full) = self.full_mut() {
            if full.events.is_full() {
                full.events.remove(0);
                full.stats.events_lost += 1;
            }
            let _ = full.events.push(event);
            self.wakes.events = true;
        }
    }

    /// The claims are others now: the relay is to be told.
    pub fn change_claims(&mut self) {
        self.claims_changed = true;
        self.claims_owed = true;
    }

    /// Somebody wrote: the sending lane looks for itself when its exchange is over.
    pub fn wake_send(&mut self) {
        self.wakes.send |= self.is_single() || !self.send().is_active();
    }

    pub fn wake_lanes(&mut self) {
        self.wakes.send = true;
        self.wakes.park = true;
    }

    pub fn traffic(&mut self, now: u64) {
        self.traffic_at = now;
    }

    pub fn fatal(&self) -> Result<(), Error> {
        Err(match self.fatal {
            Fatal::None => return Ok(()),
            Fatal::Version => ConfigError::Version { relay: self.relay_version }.into(),
            Fatal::Malformed => ConfigError::Malformed.into(),
            Fatal::SecretShared => TransportError::SecretShared.into(),
        })
    }

    /// When something unacknowledged is probed for: RFC 6298 with bounds for exchanges, in ms.
    pub fn rto(&self) -> u64 {
        let t = self.timers();
        if M::SINGLE {
            return t.rto_first_ms.into();
        }
        match self.srtt_ms {
            0 => t.rto_first_ms.into(),
            srtt => (2 * srtt + 4 * self.rttvar_ms).clamp(t.rto_min_ms, t.rto_max_ms).into(),
        }
    }

    pub fn round_trip(&mut self, ms: u64) {
        let ms = u32::try_from(ms).unwrap_or(u32::MAX).clamp(1, 60_000);
        if self.srtt_ms == 0 {
            self.srtt_ms = ms;
            self.rttvar_ms = ms / 2;
        } else {
            let off = self.srtt_ms.abs_diff(ms);
            self.rttvar_ms = (3 * self.rttvar_ms + off) / 4;
            self.srtt_ms = (7 * self.srtt_ms + ms).div_ceil(8);
        }
        let srtt_ms = self.srtt_ms;
        self.count(|stats| stats.srtt_ms = srtt_ms);
    }

    /// Most octets of a body that settings and relay allow.
    pub fn max_body(&self) -> u32 {
        let most = self.settings.max_body;
        let most = match self.is_single() {
            true if M::SINGLE => MAX_SINGLE,
            true => most.min(MAX_SINGLE),
            false => most,
        };
        match self.relay_max_body {
            0 => most,
            relay => most.min(relay),
        }
    }

    /// Queues a reply, unless the same waits already or all places are taken: peers repeat.
    pub fn reply(&mut self, reply: Reply) {
        let same = |r: &Reply| {
            r.kind == reply.kind && !r.flying && r.peer == reply.peer && r.channel == reply.channel
        };
        if self.replies.iter().any(same) {
            return;
        }
        if let Some(free) = self.replies.iter_mut().find(|r| r.kind == ReplyKind::Free) {
            *free = reply;
            self.wakes.send = true;
        }
    }
}

impl<M: Mode> Session<'_, M> {
    /// Begins a life: everything of an earlier one is forgotten. An empty send is due at once, so
    /// that [`is_open`](Self::is_open) tells whether the relay answers.
    pub fn open(&mut self, now: u64, settings: &Settings) {
        if M::SINGLE {
            if matches!(self.core.phase, Phase::New) {
                self.core.begin(now, settings);
            }
            return;
        }
        for channel in self.channels.iter_mut() {
            *channel = super::channel::Channel::new();
        }
        for tombstone in self.tombstones.iter_mut() {
            *tombstone = super::tombstone::Tombstone::new();
        }
        for claim in self.claims.iter_mut() {
            *claim = super::listener::Claim::new();
        }
        self.core.reset(now, settings);
        self.core.event(Event::Connecting);
    }

    /// Whether a relay has answered.
    ///
    /// # Errors
    /// What ends every hope of this session: another version, a secret in use elsewhere.
    pub fn is_open(&self) -> Result<bool, Error> {
        self.core.fatal().map(|()| self.core.health.is_reached())
    }

    /// What stands in the way; `None` once an exchange has succeeded.
    pub fn blocked(&self) -> Option<Blocked> {
        self.core.health.cause()
    }

    /// What stands in the way, if somebody has to change something before it does not: it was met twice
    /// in a row, and is [lasting](Blocked::is_lasting).
    pub fn stays_blocked(&self) -> Option<Blocked> {
        self.core.health.lasting_cause().filter(|_| !M::SINGLE)
    }

    /// Ends in order: listeners at once, each channel when what was written is acknowledged or its
    /// linger time is over, then the session itself.
    pub fn close(&mut self, now: u64) {
        self.begin_close(now);
        for slot in 0..self.channels.len() {
            self.give_up(now, slot);
        }
    }

    /// Ends at once: each channel is aborted, then the session ends.
    pub fn abort_all(&mut self, now: u64) {
        self.begin_close(now);
        for slot in 0..self.channels.len() {
            self.abort_slot(now, slot);
        }
        self.tombstones.iter_mut().for_each(|t| t.owed_until = None);
    }

    fn begin_close(&mut self, now: u64) {
        // Without hope there is nobody to say goodbye to.
        if matches!(self.core.phase, Phase::New | Phase::Closed) || self.core.fatal().is_err() {
            self.core.phase = Phase::Closed;
        } else {
            self.core.phase = Phase::Closing;
        }
        for slot in 0..self.claims().len() {
            self.unlisten(now, self.listener_id(slot));
        }
        self.ask_finals();
        self.core.wakes.session = true;
        self.core.wake_lanes();
    }

    /// Whether the session is over: nothing more will be exchanged.
    pub fn is_closed(&self) -> bool {
        matches!(self.core.phase, Phase::Closed)
    }

    /// The channels with something unacknowledged, each with the first such offset; without those
    /// that the application gave up.
    pub fn unacked(&self) -> impl Iterator<Item = (super::ChannelId, u64)> {
        self.channels
            .iter()
            .enumerate()
            .filter(|(_, c)| c.is_awaited() && c.tx.una < c.tx.goal())
            .map(|(slot, c)| (self.channel_id(slot), c.tx.una))
    }

    /// How many streams ended in order lately whose peers may not have the final acknowledgement.
    pub fn unconfirmed(&self) -> usize {
        self.tombstones.iter().filter(|t| t.is_owed(self.core.clock)).count()
    }

    /// The device has another address or network: dial at once, and forget what the old path took.
    /// The owner of the transport also breaks the exchanges under way.
    pub fn network_changed(&mut self, now: u64) {
        self.core.clock = self.core.clock.max(now);
        if let Some(full) = self.core.full_mut() {
            full.body_size = BodySize::new();
            full.hold = Hold::new();
            full.stream_watch = StreamWatch::new();
            full.gateway.forget();
            full.rate = Rate::new();
        }
        for lane in [Lane::Park, Lane::Send] {
            let flight = self.core.flight(lane);
            if flight.is_active() {
                flight.break_off();
            }
            *self.core.backoff_mut(lane) = Backoff::new();
        }
        self.core.event(Event::Connecting);
        self.core.wake_lanes();
    }

    /// Numbers since the session was opened. A [`Single`](super::Single) session keeps none: zeros.
    pub fn stats(&self) -> Stats {
        self.core.full().map_or(Stats::new(), |full| full.stats)
    }

    /// What happened since; `None` when everything was told.
    pub fn poll_event(&mut self) -> Option<Event> {
        let events = &mut self.core.full_mut()?.events;
        (!events.is_empty()).then(|| events.remove(0))
    }
}
