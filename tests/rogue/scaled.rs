//! The protocol's times, scaled down together so that their relations stay.

use byway::relay::router::RouterConfig;
use byway::session::Timers;

/// By so much.
pub const DOWN: u64 = 10;

/// A client's. Each is named, so that none is forgotten.
pub fn timers() -> Timers {
    let by = DOWN as u32;
    let Timers {
        hold_active_ms,
        hold_idle_ms,
        hold_battery_ms,
        active_for_ms,
        park_grace_active_ms,
        park_grace_idle_ms,
        send_silence_ms,
        stream_late_ms,
        ack_delay_ms,
        retry_min_ms,
        retry_max_ms,
        rto_first_ms,
        rto_min_ms,
        rto_max_ms,
        accept_for_ms,
        datagram_life_ms,
        abort_for_ms,
    } = Timers::DEFAULT;
    Timers {
        hold_active_ms: hold_active_ms / by,
        hold_idle_ms: hold_idle_ms / by,
        hold_battery_ms: hold_battery_ms / by,
        active_for_ms: active_for_ms / by,
        park_grace_active_ms: park_grace_active_ms / by,
        park_grace_idle_ms: park_grace_idle_ms / by,
        // As it is: the machine that the tests share is as slow as ever.
        stream_late_ms,
        ack_delay_ms: ack_delay_ms / by,
        send_silence_ms: send_silence_ms / by,
        retry_min_ms: retry_min_ms / by,
        retry_max_ms: retry_max_ms / by,
        rto_first_ms: rto_first_ms / by,
        rto_min_ms: rto_min_ms / by,
        rto_max_ms: rto_max_ms / by,
        accept_for_ms: accept_for_ms / by,
        datagram_life_ms: datagram_life_ms / by,
        abort_for_ms: abort_for_ms / by,
    }
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
