//! Whether answers that stay open come through promptly, watched all the time. Where they do not,
//! the session goes back to long polls by itself.

use super::mode::{Beside, Mode};
use super::view::Session;

/// An answer is held back on the way, if only for a moment, when its TICKs lag, so many at least: one
/// may have met a busy machine. haproxy does so for 200 ms with all but the end of an answer.
const LAG_TICKS: u8 = 2;
/// A TICK lags if it comes later by more than this share of stream_late_ms.
const LAG_SHARE: u32 = 4;
/// If no more octets than these came before, nor go up meanwhile, they did not lag for want of
/// bandwidth: the answer is not waited out.
const LITTLE: u32 = 16 << 10;
/// Answers in a row that were late or cut until long polls take their place; of those that are to
/// show whether that is still so, one is enough,
const STRIKES: u8 = 2;
/// for so long, in ms, or until the network changes: it may have been a busy moment of the relay.
const PAUSE_MS: u32 = 30_000;
/// Where answers are late again the pause doubles up to so long, in ms,
const LONGEST_PAUSE_MS: u32 = 600_000;
/// so many times,
const MOST_PAUSES: u8 = 5;
/// and begins anew so long, in ms, after the last one.
const FORGIVEN_MS: u64 = 600_000;
/// Behind a pause the next answer is begun when there was no traffic for so long, in ms: nobody waits
/// for what it may hold back.
const QUIET_MS: u64 = 1_000;
/// Where it is never quiet, so long, in ms, after the pause: large transfers are faster by such
/// answers.
const BUSY_MS: u64 = 30_000;

/// All zeros is the initial state.
#[derive(Debug)]
pub struct Streaming {
    /// Answers in a row that were late or cut.
    strikes: u8,
    ticks: u8,
    /// Of the last TICKs in a row, those that lagged.
    lagging: u8,
    /// The answer under way was found to lag, and is to end.
    is_over: bool,
    /// No answer was prompt since the last pause.
    doubted: bool,
    /// Pauses, each soon after the one before.
    pauses: u8,
    /// Long polls until then.
    paused_until: u64,
    /// When the request was sent.
    sent_at: u64,
    /// When the answer is late unless something comes; 0: not watched.
    late_at: u64,
    /// Within so many ms the relay writes something.
    next_ms: u32,
    /// So much later than others this one is called late, in ms: where all are, as a relay stood
    /// still, not all are broken off at once.
    spread_ms: u16,
    /// How long TICKs took beyond a round trip, in all.
    lag_ms: u32,
}

impl Streaming {
    pub const fn new() -> Self {
        Self {
            strikes: 0,
            ticks: 0,
            lagging: 0,
            is_over: false,
            doubted: false,
            pauses: 0,
            paused_until: 0,
            sent_at: 0,
            late_at: 0,
            next_ms: 0,
            spread_ms: 0,
            lag_ms: 0,
        }
    }

    /// Whether the next answer may stay open; there was no traffic for `quiet_ms`.
    pub fn is_allowed(&self, now: u64, quiet_ms: u64) -> bool {
        let waits_ms = if self.doubted && quiet_ms < QUIET_MS { BUSY_MS } else { 0 };
        now >= self.paused_until + waits_ms
    }

    /// When the answer is late unless something comes; 0: not watched.
    pub fn late_at(&self) -> u64 {
        self.late_at
    }

    /// No answer is under way any more, however it ended.
    pub fn unwatch(&mut self) {
        self.late_at = 0;
    }

    fn begin(&mut self, now: u64, spread_ms: u16) {
        let Self { strikes, doubted, pauses, paused_until, .. } = *self;
        let sent_at = now;
        *self = Self { strikes, doubted, pauses, paused_until, sent_at, spread_ms, ..Self::new() };
    }

    fn strike(&mut self, now: u64) {
        self.strikes += 1;
        if self.strikes < STRIKES && !self.doubted {
            return;
        }
        let before = if now < self.paused_until + FORGIVEN_MS { self.pauses } else { 0 };
        let pause = (PAUSE_MS << before).min(LONGEST_PAUSE_MS);
        let pauses = (before + 1).min(MOST_PAUSES);
        let paused_until = now + u64::from(pause);
        *self = Self { doubted: true, pauses, paused_until, ..Self::new() };
    }

    /// A TICK came, so much later than it was written; whether the answer is to end for it.
    fn lags(&mut self, lag_ms: u32, allowed_ms: u32) -> bool {
        self.lag_ms = self.lag_ms.saturating_add(lag_ms);
        self.ticks = self.ticks.saturating_add(1);
        self.lagging = if lag_ms > allowed_ms { self.lagging.saturating_add(1) } else { 0 };
        self.lagging >= LAG_TICKS
    }
}

impl<M: Mode> Session<'_, M> {
    /// The request for an answer that stays open has gone up.
    pub(super) fn stream_begins(&mut self, now: u64) {
        let spread_ms = self.core.below(self.core.timers().stream_late_ms);
        let spread_ms = u16::try_from(spread_ms).unwrap_or(u16::MAX);
        if let Some(beside) = self.core.beside_mut() {
            beside.streaming.begin(now, spread_ms);
            // Without a round trip nobody can tell what comes late: a send measures it.
            let is_known = beside.uplink.known_round_trip_ms().is_some();
            self.core.hello_due |= !is_known;
        }
        self.stream_lives(now);
        // It is the sending lane that watches.
        self.core.wakes.send = true;
    }

    /// Something of the answer came.
    pub(super) fn stream_lives(&mut self, now: u64) {
        let late_ms = self.core.timers().stream_late_ms;
        let Some(Beside { streaming, uplink, .. }) = self.core.beside_mut() else { return };
        if streaming.is_over {
            return;
        }
        let round_trip = uplink.round_trip_ms();
        let silence_ms = streaming.next_ms + round_trip + late_ms + u32::from(streaming.spread_ms);
        streaming.late_at = now + u64::from(silence_ms);
    }

    pub(super) fn on_tick(&mut self, now: u64, age_ms: u32, next_ms: u32) {
        let most_ms = self.core.timers().hold_active_ms;
        let allowed_ms = self.core.timers().stream_late_ms / LAG_SHARE;
        let little = self.core.park.came <= LITTLE;
        let Some(beside) = self.core.beside_mut() else { return };
        let little = little && (!beside.send.active || beside.send.payload <= LITTLE);
        let Beside { streaming, uplink, stats, .. } = beside;
        // Whoever announces more is no relay.
        streaming.next_ms = next_ms.min(most_ms);
        let Some(round_trip) = uplink.known_round_trip_ms() else { return };
        let took = now.saturating_sub(streaming.sent_at);
        let lag = took.saturating_sub(u64::from(age_ms) + u64::from(round_trip));
        let lags = streaming.lags(u32::try_from(lag).unwrap_or(u32::MAX), allowed_ms);
        if lags && little && !streaming.is_over {
            stats.late += 1;
            streaming.strike(now);
            streaming.unwatch();
            streaming.is_over = true;
            // Nothing of it is lost by WAKE.
            self.core.park_doubted = true;
            self.core.hello_due = true;
            self.core.wakes.send = true;
        }
    }

    /// Breaks an answer that comes too late.
    pub(super) fn watch_stream(&mut self, now: u64) {
        let park = &self.core.park;
        let is_open = park.active && park.streams && !park.broken && !park.ended;
        let Some(Beside { streaming, stats, .. }) = self.core.beside_mut() else { return };
        if streaming.late_at == 0 || now < streaming.late_at {
            return;
        }
        streaming.late_at = 0;
        if is_open {
            stats.late += 1;
            streaming.strike(now);
            self.core.park.broken = true;
            self.core.wakes.break_park = true;
        }
    }

    /// An answer that was to stay open is over; `cut` if before its end.
    pub(super) fn stream_ended(&mut self, now: u64, cut: bool) {
        let lag_ms = self.core.timers().stream_late_ms / LAG_SHARE;
        let Some(Beside { streaming, stats, .. }) = self.core.beside_mut() else { return };
        streaming.late_at = 0;
        if streaming.is_over {
            return;
        }
        let ticks = streaming.ticks;
        let lags = ticks >= LAG_TICKS && streaming.lag_ms / u32::from(ticks) > lag_ms;
        if cut || lags {
            stats.late += 1;
            streaming.strike(now);
        } else if ticks >= LAG_TICKS {
            streaming.strikes = 0;
            streaming.doubted = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers are late, two at first and then one; how long the next may not stay open.
    fn pause(streaming: &mut Streaming, now: u64) -> u64 {
        for _ in 0..if streaming.doubted { 1 } else { STRIKES } {
            assert!(streaming.is_allowed(now, QUIET_MS));
            streaming.begin(now, 0);
            streaming.strike(now);
        }
        assert!(!streaming.is_allowed(streaming.paused_until - 1, QUIET_MS));
        streaming.paused_until - now
    }

    #[test]
    fn pauses_double_up_to_ten_minutes_and_begin_anew_behind_a_long_fine_time() {
        let mut streaming = Streaming::new();
        let mut now = 5_000;
        for expected in [30, 60, 120, 240, 480, 600, 600] {
            assert_eq!(pause(&mut streaming, now), expected * 1_000);
            now = streaming.paused_until + 60_000;
        }
        now = streaming.paused_until + FORGIVEN_MS - 1;
        assert_eq!(pause(&mut streaming, now), u64::from(LONGEST_PAUSE_MS));
        now = streaming.paused_until + FORGIVEN_MS;
        assert_eq!(pause(&mut streaming, now), u64::from(PAUSE_MS));
    }

    #[test]
    fn behind_a_pause_the_next_try_waits_for_quiet_but_not_for_ever() {
        let mut streaming = Streaming::new();
        assert!(streaming.is_allowed(0, 0));
        pause(&mut streaming, 5_000);
        let over = streaming.paused_until;
        assert!(!streaming.is_allowed(over, QUIET_MS - 1));
        assert!(streaming.is_allowed(over, QUIET_MS));
        assert!(!streaming.is_allowed(over + BUSY_MS - 1, 0));
        assert!(streaming.is_allowed(over + BUSY_MS, 0));
    }
}
