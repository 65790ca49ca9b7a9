//! What a session knows besides its channels and listeners.

use core::num::NonZeroU32;

use super::cipher::encipher;
use super::deadline::Deadline;
use super::debts::Debts;
use super::exchange::Flight;
use super::mode::{FullState, Mode};
use super::path::{Backoff, Health};
use super::replies::Replies;
#[cfg(feature = "secure")]
use super::security::Security;
use super::settings::{Settings, Timers};
use super::stats::Stats;
use super::terms::{Event, Lane};
use crate::error::{ConfigError, Error, TransportError};
use crate::trace::debug;
use crate::wire;

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
#[repr(C)]
pub(super) struct Wakes {
    pub send: bool,
    /// The sending lane is to look when acknowledgements are due, which was not so before.
    pub send_later: bool,
    pub park: bool,
    pub break_park: bool,
    pub break_send: bool,
    pub session: bool,
    pub events: bool,
    /// A bit for each slot.
    pub claims: u16,
    /// A bit for each slot.
    pub channels: [u32; 8],
}

/// All zeros is the initial state.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Core<M: Mode> {
    pub phase: Phase,
    fatal: Fatal,
    pub relay_version: u8,
    pub debts: Debts,
    pub bye_tries: u8,
    /// With one connection: nothing that is said while it waits gets through.
    pub held_back: bool,
    /// Slot that is served first by the next body.
    pub turn: u8,
    pub health: Health,
    pub wakes: Wakes,
    pub relay_max_body: Option<NonZeroU32>,
    pub arrivals: u32,
    /// Smoothed round trip and its variation, in ms (RFC 6298), once one was measured.
    srtt_ms: Option<NonZeroU32>,
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
    pub replies: Replies,
    /// What channels are encrypted with, if they are.
    #[cfg(feature = "secure")]
    pub security: Option<Security>,
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
            relay_max_body: None,
            debts: Debts::NONE,
            bye_tries: 0,
            park: Flight::new(),
            park_backoff: Backoff::new(),
            full: M::FULL_STATE,
            held_back: false,
            traffic_at: 0,
            turn: 0,
            arrivals: 0,
            acks_at: Deadline::NONE,
            srtt_ms: None,
            rttvar_ms: 0,
            wakes: Wakes {
                send: false,
                send_later: false,
                park: false,
                break_park: false,
                break_send: false,
                session: false,
                events: false,
                claims: 0,
                channels: [0; 8],
            },
            replies: Replies::new(),
            #[cfg(feature = "secure")]
            security: None,
        }
    }

    pub fn reset(&mut self, now: u64, settings: &Settings) {
        *self = Self::new();
        self.begin(now, settings);
    }

    /// Begins a life, from the initial state.
    pub fn begin(&mut self, now: u64, settings: &Settings) {
        self.settings = *settings;
        self.clock = now;
        self.traffic_at = now;
        self.drawn = settings.seed;
        self.phase = Phase::Open;
        self.debts.owe_hello();
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
                debug!("an event that the application did not take is lost");
                full.events.remove(0);
                full.stats.events_lost += 1;
            }
            let _ = full.events.push(event);
            self.wakes.events = true;
        }
    }

    /// Somebody wrote: the sending lane looks for itself when its exchange is over.
    pub fn wake_send(&mut self) {
        self.wakes.send |= self.is_single() || !self.send().is_active();
    }

    pub fn wake_lanes(&mut self) {
        self.wakes.send = true;
        self.wakes.park = true;
    }

    /// The clock is so far, at least.
    // Inlined, firmware would have it six times.
    #[inline(never)]
    pub fn tick(&mut self, now: u64) {
        self.clock = self.clock.max(now);
    }

    pub fn traffic(&mut self, now: u64) {
        self.traffic_at = now;
    }

    /// Nothing more is to be hoped for, for this reason.
    pub fn end_hope(&mut self, why: Fatal) {
        self.fatal = why;
        self.wakes.session = true;
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
            None => t.rto_first_ms.into(),
            Some(srtt) => {
                let rto = 2 * srtt.get() + 4 * self.rttvar_ms;
                rto.clamp(t.rto_min_ms, t.rto_max_ms).into()
            }
        }
    }

    /// A round trip took `ms`.
    pub fn round_trip(&mut self, ms: u64) {
        let ms = u32::try_from(ms).unwrap_or(u32::MAX).clamp(1, 60_000);
        let srtt_ms = match self.srtt_ms {
            None => {
                self.rttvar_ms = ms / 2;
                ms
            }
            Some(srtt) => {
                let off = srtt.get().abs_diff(ms);
                self.rttvar_ms = (3 * self.rttvar_ms + off) / 4;
                (7 * srtt.get() + ms).div_ceil(8)
            }
        };
        self.srtt_ms = NonZeroU32::new(srtt_ms);
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
        self.relay_max_body.map_or(most, |relay| most.min(relay.get()))
    }

    /// What is still to come of data messages begun for this slot is for nobody.
    pub fn drop_incoming(&mut self, slot: usize) {
        for lane in [Lane::Park, Lane::Send] {
            let flight = self.flight(lane);
            if usize::from(flight.incoming().slot) == slot {
                flight.drop_incoming();
            }
        }
    }

    /// Fails unless the session is open, with a reason if there is no hope for it.
    pub fn check_open(&self) -> Result<(), Error> {
        match self.phase {
            Phase::Open => self.fatal(),
            Phase::New | Phase::Closing | Phase::Closed => Err(Error::Closed),
        }
    }
}
