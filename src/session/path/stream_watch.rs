//! Whether answers that stay open come through promptly, watched all the time. Where they do not,
//! the session goes back to long polls by itself.

use crate::trace::{debug, trace};

/// An answer is held back on the way, if only for a moment, when its TICKs lag, so many at least: one
/// may have met a busy machine. haproxy does so for 200 ms with all but the end of an answer.
const LAG_TICKS: u8 = 2;
/// A TICK lags if it comes later by more than this share of stream_late_ms.
const LAG_SHARE: u32 = 4;
/// If no more octets than these came before, nor go up meanwhile, they did not lag for want of
/// bandwidth: the answer is not waited out.
pub(in crate::session) const LITTLE: u32 = 16 << 10;
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

/// Until when something of the answer under way is to come.
///
/// ```text
///         begins, lives         late, ended, unwatch
///  Off ───────────────▶ Until ──────────────────────▶ Off
///                         │ lags
///                         ▼
///                       Over ── the next one begins ─▶ Off
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)] // for zeros at first
enum Alarm {
    /// No answer is watched.
    Off = 0,
    /// The answer is late unless something comes before this time.
    Until(u64),
    /// The answer under way was found to lag, and is to end.
    Over,
}

/// Whether answers that stay open come promptly. All zeros is the initial state.
#[derive(Debug)]
pub struct StreamWatch {
    /// Answers in a row that were late or cut.
    strikes: u8,
    ticks: u8,
    /// Of the last TICKs in a row, those that lagged.
    lagging: u8,
    /// No answer was prompt since the last pause.
    doubted: bool,
    /// Pauses, each soon after the one before.
    pauses: u8,
    /// Long polls until then.
    paused_until: u64,
    /// When the request was sent.
    sent_at: u64,
    alarm: Alarm,
    /// Within so many ms the relay writes something.
    next_ms: u32,
    /// So much later than others this one is called late, in ms: where all are, as a relay stood
    /// still, not all are broken off at once.
    spread_ms: u16,
    /// How long TICKs took beyond a round trip, in all.
    lag_ms: u32,
}

impl StreamWatch {
    pub const fn new() -> Self {
        Self {
            strikes: 0,
            ticks: 0,
            lagging: 0,
            doubted: false,
            pauses: 0,
            paused_until: 0,
            sent_at: 0,
            alarm: Alarm::Off,
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

    /// When the answer is late unless something comes.
    pub fn late_at(&self) -> Option<u64> {
        match self.alarm {
            Alarm::Until(late_at) => Some(late_at),
            Alarm::Off | Alarm::Over => None,
        }
    }

    /// No answer is under way any more, however it ended.
    pub fn unwatch(&mut self) {
        if let Alarm::Until(_) = self.alarm {
            self.alarm = Alarm::Off;
        }
    }

    /// The request for an answer that stays open has gone up.
    pub fn begins(&mut self, now: u64, spread_ms: u16) {
        let Self { strikes, doubted, pauses, paused_until, .. } = *self;
        let sent_at = now;
        *self = Self { strikes, doubted, pauses, paused_until, sent_at, spread_ms, ..Self::new() };
    }

    /// Something of the answer came; more is to come within what was announced, a round trip and
    /// `late_ms`.
    pub fn lives(&mut self, now: u64, round_trip_ms: u32, late_ms: u32) {
        if self.alarm != Alarm::Over {
            let silence_ms = self.next_ms + round_trip_ms + late_ms + u32::from(self.spread_ms);
            self.alarm = Alarm::Until(now + u64::from(silence_ms));
        }
    }

    /// A TICK came that was written `age_ms` after the answer began, and announced the next within
    /// `next_ms`; `little` tells whether few octets went either way. Whether the answer is to end,
    /// since it lags.
    pub fn ticks(
        &mut self,
        now: u64,
        (age_ms, next_ms): (u32, u32),
        round_trip_ms: Option<u32>,
        late_ms: u32,
        little: bool,
    ) -> bool {
        self.next_ms = next_ms;
        let Some(round_trip_ms) = round_trip_ms else { return false };
        let took = now.saturating_sub(self.sent_at);
        let lag = took.saturating_sub(u64::from(age_ms) + u64::from(round_trip_ms));
        let lags = self.lags(u32::try_from(lag).unwrap_or(u32::MAX), late_ms / LAG_SHARE);
        let ends = lags && little && self.alarm != Alarm::Over;
        if ends {
            self.strike(now);
            self.alarm = Alarm::Over;
        }
        ends
    }

    /// Whether what was to come has not; `is_open` tells whether the answer is still waited for. It
    /// is watched no longer then.
    pub fn is_late(&mut self, now: u64, is_open: bool) -> bool {
        if !matches!(self.alarm, Alarm::Until(late_at) if now >= late_at) {
            return false;
        }
        self.alarm = Alarm::Off;
        if is_open {
            self.strike(now);
        }
        is_open
    }

    /// An answer that was to stay open is over; `cut` if before its end. Whether it was late.
    pub fn ended(&mut self, now: u64, cut: bool, late_ms: u32) -> bool {
        if self.alarm == Alarm::Over {
            return false;
        }
        self.alarm = Alarm::Off;
        let ticks = self.ticks;
        let lags = ticks >= LAG_TICKS && self.lag_ms / u32::from(ticks) > late_ms / LAG_SHARE;
        if cut || lags {
            self.strike(now);
        } else if ticks >= LAG_TICKS {
            self.strikes = 0;
            self.doubted = false;
        }
        cut || lags
    }

    fn strike(&mut self, now: u64) {
        self.strikes += 1;
        trace!("an answer that stays open was late or cut: {} of {STRIKES}", self.strikes);
        if self.strikes < STRIKES && !self.doubted {
            return;
        }
        let before = if now < self.paused_until + FORGIVEN_MS { self.pauses } else { 0 };
        let pause = (PAUSE_MS << before).min(LONGEST_PAUSE_MS);
        let pauses = (before + 1).min(MOST_PAUSES);
        let paused_until = now + u64::from(pause);
        debug!("answers that stay open come late: long polls for {pause} ms");
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers are late, two at first and then one; how long the next may not stay open.
    fn pause(watch: &mut StreamWatch, now: u64) -> u64 {
        for _ in 0..if watch.doubted { 1 } else { STRIKES } {
            assert!(watch.is_allowed(now, QUIET_MS));
            watch.begins(now, 0);
            watch.strike(now);
        }
        assert!(!watch.is_allowed(watch.paused_until - 1, QUIET_MS));
        watch.paused_until - now
    }

    #[test]
    fn pauses_double_up_to_ten_minutes_and_begin_anew_behind_a_long_fine_time() {
        let mut watch = StreamWatch::new();
        let mut now = 5_000;
        for expected in [30, 60, 120, 240, 480, 600, 600] {
            assert_eq!(pause(&mut watch, now), expected * 1_000);
            now = watch.paused_until + 60_000;
        }
        now = watch.paused_until + FORGIVEN_MS - 1;
        assert_eq!(pause(&mut watch, now), u64::from(LONGEST_PAUSE_MS));
        now = watch.paused_until + FORGIVEN_MS;
        assert_eq!(pause(&mut watch, now), u64::from(PAUSE_MS));
    }

    #[test]
    fn behind_a_pause_the_next_try_waits_for_quiet_but_not_for_ever() {
        let mut watch = StreamWatch::new();
        assert!(watch.is_allowed(0, 0));
        pause(&mut watch, 5_000);
        let over = watch.paused_until;
        assert!(!watch.is_allowed(over, QUIET_MS - 1));
        assert!(watch.is_allowed(over, QUIET_MS));
        assert!(!watch.is_allowed(over + BUSY_MS - 1, 0));
        assert!(watch.is_allowed(over + BUSY_MS, 0));
    }
}
