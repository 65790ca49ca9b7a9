//! Counts and measurements.

use super::args::OutStruct;
use super::guard::entry;
use super::handle::{self, byway_handle};

/// Counts and measurements of a client since it was opened.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct byway_client_stats {
    /// Octets of this struct that were filled.
    pub size: u32,
    /// Smoothed time from sending to acknowledgement, in milliseconds; 0: none measured.
    pub srtt_ms: u32,
    /// Exchanges begun that carry octets to the relay.
    pub sends: u64,
    /// Exchanges begun that wait at the relay for octets from peers.
    pub parks: u64,
    /// Parks whose answer was to stay open.
    pub streams: u64,
    /// Answers that were to stay open, and came late or were cut.
    pub late: u64,
    /// Exchanges that failed.
    pub failed: u64,
    /// Octets of payload sent for the first time.
    pub sent: u64,
    /// Octets of payload received.
    pub received: u64,
    /// Octets of payload sent again.
    pub retransmitted: u64,
    /// Notices that octets found no room at a peer.
    pub overflows: u64,
    /// Datagrams that expired before they could be sent, or found no room here.
    pub datagrams_lost: u64,
    /// Events dropped because the program did not take them.
    pub events_lost: u64,
    /// Octets of memory of the client's state and rings; does not change while it is open.
    pub memory: u64,
}

/// Counts of a stream or datagram channel. Offsets count octets from the beginning; on a datagram
/// channel with 6 more for each datagram.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct byway_channel_stats {
    /// Octets of this struct that were filled.
    pub size: u32,
    /// Notices that octets found no room at the peer.
    pub overflows: u32,
    /// Datagrams that expired unsent.
    pub datagrams_expired: u32,
    /// Datagrams that came and found no room.
    pub datagrams_dropped: u32,
    /// First offset not sent by the program.
    pub written: u64,
    /// First offset not acknowledged by the peer; the end of the stream counts as one.
    pub acked: u64,
    /// First offset not received by the client; the end of the stream counts as one.
    pub received: u64,
    /// First offset not received by the program.
    pub read: u64,
    /// First offset that the peer would not take now.
    pub window: u64,
    /// Octets sent again.
    pub retransmitted: u64,
}

const _: () = assert!(size_of::<byway_client_stats>() == 2 * 4 + 12 * 8);
const _: () = assert!(size_of::<byway_channel_stats>() == 4 * 4 + 6 * 8);

/// Fills *stats with the counts and measurements of a client. size is sizeof *stats: only so much is filled, and what
/// this version does not know is set to zero.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_STRUCT, a handle code, or what
/// every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_client_get_stats(
    client: byway_handle,
    stats: *mut byway_client_stats,
    size: usize,
) -> i32 {
    entry(|| {
        let client = handle::client(client)?;
        let out = OutStruct::new(stats, size, "stats")?;
        let (s, memory) = (client.stats(), client.memory());
        let stats = byway_client_stats {
            size: out.known(),
            srtt_ms: s.srtt_ms,
            sends: s.sends,
            parks: s.parks,
            streams: s.streams,
            late: s.late,
            failed: s.failed,
            sent: s.sent,
            received: s.received,
            retransmitted: s.retransmitted,
            overflows: s.overflows,
            datagrams_lost: s.datagrams_lost,
            events_lost: s.events_lost,
            memory: (memory.state + memory.rings) as u64,
        };
        // SAFETY: the caller gave a place of this size; the struct has no padding, as asserted.
        unsafe { out.set(&stats) };
        Ok(())
    })
}

/// Fills *stats with the counts of a stream or datagram channel. size is sizeof *stats: only so much
/// is filled, and what this version does not know is set to zero.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_STRUCT, a handle code,
/// BYWAY_ERROR_CLOSED, or what every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_channel_get_stats(
    channel: byway_handle,
    stats: *mut byway_channel_stats,
    size: usize,
) -> i32 {
    entry(|| {
        let object = handle::get(channel)?;
        let out = OutStruct::new(stats, size, "stats")?;
        let s = object.stats()?;
        let stats = byway_channel_stats {
            size: out.known(),
            overflows: s.overflows,
            datagrams_expired: s.datagrams_expired,
            datagrams_dropped: s.datagrams_dropped,
            written: s.written,
            acked: s.acked,
            received: s.received,
            read: s.read,
            window: s.window,
            retransmitted: s.retransmitted,
        };
        // SAFETY: the caller gave a place of this size; the struct has no padding, as asserted.
        unsafe { out.set(&stats) };
        Ok(())
    })
}
