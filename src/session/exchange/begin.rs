//! Which exchange begins next, and what it is to wait for.

use super::Transfer;
use crate::session::mode::Mode;
use crate::session::settings::Pace;
use crate::session::state::{Core, Phase};
use crate::session::terms::{Exchange, Lane};
use crate::session::view::Session;
use crate::trace::trace;
use crate::wire::{Hello, HelloFlags};

/// Where words are held back, the shortest hold, in ms: some four requests in the first second of quiet,
/// two in the second.
const SHORT_MS: u32 = 250;

/// And for how long words wait for the end of a park, in ms: hanging up and dialling anew takes no less
/// with TLS on a small processor, and far more work.
const PATIENCE_MS: u32 = 1_000;

/// How an exchange asks.
struct Terms {
    hello: HelloFlags,
    hold_ms: u32,
    silence_ms: u32,
}

impl<M: Mode> Session<'_, M> {
    /// Begins the next exchange on `lane`, if one is due.
    pub(in crate::session) fn begin(&mut self, now: u64, lane: Lane) -> Option<Exchange> {
        if !M::SINGLE && self.core.is_narrow(now) {
            return None;
        }
        let is_other = lane != self.core.lane(lane);
        if is_other
            || self.core.flight(lane).is_active()
            || self.core.fatal().is_err()
            || self.core.phase == Phase::Closed
        {
            return None;
        }
        let waits = self.core.waits(now, lane);
        if let Some(full) = self.core.full_mut()
            && lane == Lane::Send
        {
            full.send_waits = waits;
        }
        if waits {
            return None;
        }
        let terms = match lane {
            Lane::Park if M::SINGLE || !self.core.is_single() || !self.is_bulky() => {
                self.begin_park(now)?
            }
            // What fits no request that is park and send at once goes by a send.
            Lane::Park | Lane::Send => {
                let hello = self.plan_send(now)?;
                Terms { hello, hold_ms: 0, silence_ms: self.core.timers().send_silence_ms }
            }
        };
        let (seq, idle_ms) = self.core.begin_exchange(now, lane, &terms);
        self.transfers[lane as usize] = const { Transfer::new() };
        let plan = self.core.flight(lane).plan();
        let len = Hello::LEN + plan.iter().map(|i| i.head() + i.bytes() as usize).sum::<usize>();
        trace!("{lane:?} {seq}: {len} octets go up");
        Some(Exchange { lane, seq, len, silence_ms: terms.silence_ms, idle_ms })
    }

    /// Plans a park; where one exchange is made at a time, with all that there is to say.
    fn begin_park(&mut self, now: u64) -> Option<Terms> {
        let single = self.core.is_single();
        let says = single && self.has_to_say();
        if !says && !self.wants_park(now) {
            return None;
        }
        // The last claim given up is said by a park that waits for nothing.
        let waits = self.waits_for_something(now);
        let asks = single && self.core.debts.owes_hello();
        self.plan_park();
        let hello = if single { self.plan_send(now)? } else { HelloFlags::NONE };
        let core = &mut *self.core;
        // That what is said was lost is not to be noticed an idle hold later.
        let quiet_ms = now.saturating_sub(core.traffic_at);
        let active = says
            || core.phase == Phase::Closing
            || quiet_ms < core.settings.active_for_ms(core.timers()).into();
        let (hold_ms, grace_ms) = core.settings.hold(core.timers(), active);
        // What says something has verdicts to wait for.
        let hold_ms = if M::SINGLE && core.held_back && active && !says {
            hold_ms.min((quiet_ms as u32).max(SHORT_MS))
        } else {
            hold_ms
        };
        let limit_ms = core.gateway_hold_ms(now, active);
        let ceiling_ms = core.full().map_or(u32::MAX, |full| full.hold.ceiling(now));
        let hold_ms = hold_ms.min(ceiling_ms).min(limit_ms.unwrap_or(u32::MAX));
        let hold_ms = if waits && !asks { core.spread(hold_ms).max(1) } else { 1 };
        if single {
            // The last word waits for nothing.
            let hold_ms = if hello.has(HelloFlags::BYE) { 0 } else { hold_ms };
            let grace_ms = if asks { core.timers().send_silence_ms } else { grace_ms };
            let hello = hello.with(HelloFlags::SINGLE);
            return Some(Terms { hello, hold_ms, silence_ms: hold_ms + grace_ms });
        }
        let is_allowed = active
            && waits
            && limit_ms.is_none()
            && core.settings.pace == Pace::Streaming
            && core.full().is_some_and(|full| full.stream_watch.is_allowed(now, quiet_ms));
        let hello = HelloFlags::STREAM.when(is_allowed);
        Some(Terms { hello, hold_ms, silence_ms: hold_ms + grace_ms })
    }

    /// Whether there is anything to be parked for, or to be said by a park.
    fn wants_park(&self, now: u64) -> bool {
        let owes = self.core.debts.owes_claims() && self.core.phase == Phase::Open;
        owes || self.waits_for_something(now)
    }

    fn waits_for_something(&self, now: u64) -> bool {
        self.claims().iter().any(|c| c.is_claimed())
            || self.channels.iter().any(|c| !c.is_over())
            || match self.core.phase {
                Phase::Open => self.tombstones.iter().any(|t| t.expires_at() > now),
                Phase::Closing => self.owes_final(),
                Phase::New | Phase::Closed => false,
            }
    }

    /// In a session with one connection: whether the exchange under way only waits, while there is
    /// something to say.
    pub(in crate::session) fn speaks(&self) -> bool {
        !self.core.park.is_active() || self.core.only_waits() && self.has_to_say()
    }

    /// Where one exchange is made at a time: sees to it that what there is to say goes, if need be by
    /// hanging up on the exchange under way.
    pub(in crate::session) fn go_single(&mut self, now: u64) {
        if M::SINGLE || !self.core.is_single() {
            return;
        }
        let park = &self.core.park;
        if !park.is_active() {
            self.core.wakes.park = true;
        } else if !park.is_broken()
            && !park.is_welcomed()
            && park.is_staged()
            && self.speaks()
            && self.core.gateway_hangs_up(now)
        {
            self.core.break_park();
        }
    }
}

impl<M: Mode> Core<M> {
    /// An exchange begins, of what was planned. Its number, and for how long a connection that passed
    /// nothing may be used for it, in ms.
    fn begin_exchange(&mut self, now: u64, lane: Lane, terms: &Terms) -> (u64, u32) {
        self.seq += 1;
        let seq = self.seq;
        self.count(|stats| match lane {
            Lane::Park => {
                stats.parks += 1;
                stats.streams += u64::from(terms.hello.has(HelloFlags::STREAM));
            }
            Lane::Send => stats.sends += 1,
        });
        if !M::SINGLE {
            if terms.hello.has(HelloFlags::WAKE) {
                self.park.wake();
            }
            self.gateway_begins(now, lane);
            // Deadlines may have come with it, which are met on the other lane.
            self.wakes.send |= self.is_single();
        }
        self.flight(lane).begin(now, seq, terms.hello, terms.hold_ms);
        let Some(full) = self.full_mut() else { return (seq, u32::MAX) };
        if lane == Lane::Park {
            // Left by one that was broken: its last octets may have come behind that.
            full.stream_watch.unwatch();
        }
        full.rate.begins(now, lane);
        (seq, full.hold.ceiling(now))
    }

    /// Whether the park under way only waits, so that it may be hung up on to say something.
    fn only_waits(&self) -> bool {
        self.park.only_waits(if M::SINGLE && self.held_back { PATIENCE_MS } else { 0 })
    }
}
