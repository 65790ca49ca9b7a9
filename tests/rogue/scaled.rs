//! The protocol's times, scaled down together so that their relations stay.

use std::num::NonZeroU32;

use byway::relay::router::RouterConfig;
use byway::session::Timers;

/// By so much.
pub const DOWN: u64 = 10;

/// A client's.
pub fn timers() -> Timers {
    let mut timers = Timers::DEFAULT.divided_by(NonZeroU32::new(DOWN as u32).expect("not 0"));
    // As it is: the machine that the tests share is as slow as ever.
    timers.stream_late_ms = Timers::DEFAULT.stream_late_ms;
    timers
}

/// The relay's.
pub fn router(of: RouterConfig) -> RouterConfig {
    RouterConfig {
        grace_ms: of.grace_ms / DOWN,
        busy_wait_min_ms: of.busy_wait_min_ms / DOWN,
        busy_wait_max_ms: of.busy_wait_max_ms / DOWN,
        patience_ms: of.patience_ms / DOWN,
        max_hold_ms: of.max_hold_ms / DOWN,
        ack_delay_ms: of.ack_delay_ms / DOWN,
        first_tick_ms: of.first_tick_ms / DOWN as u32,
        tick_ms: of.tick_ms / DOWN as u32,
        silence_ms: of.silence_ms / DOWN,
        upload_idle_ms: of.upload_idle_ms / DOWN,
        forget_ms: of.forget_ms / DOWN,
        ..of
    }
}
