//! Datagrams.

use super::args::{OutPointer, slice, slice_mut, timeout};
use super::guard::entry;
use super::handle::{self, byway_handle};

/// Takes a datagram for sending. It arrives whole and at most once, or not at all: it is kept until
/// the relay has delivered it, or for 2 s. Its length may be 0.
///
/// Blocks while there is no room, at most for timeout_ms. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT,
/// BYWAY_ERROR_DATAGRAM_TOO_LONG (detail: the most octets), a handle code, a wait code, an end code,
/// or what every call can. After any code but BYWAY_OK it was not taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_datagram_send(
    channel: byway_handle,
    data: *const u8,
    len: usize,
    timeout_ms: i32,
) -> i32 {
    entry(|| {
        let channel = handle::datagram(channel)?;
        // SAFETY: the caller gave so many octets, or none.
        let data = unsafe { slice(data, len, "data") }?;
        Ok(channel.send_timeout(data, timeout(timeout_ms))?)
    })
}

/// Receives the next datagram into buffer; *received is its length, which may be 0.
///
/// Blocks while there is none, at most for timeout_ms. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT,
/// BYWAY_ERROR_BUFFER_TOO_SMALL (the datagram stays; detail: its length), a handle code, a wait code,
/// an end code once everything that came before was received, or what every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_datagram_recv(
    channel: byway_handle,
    buffer: *mut u8,
    len: usize,
    timeout_ms: i32,
    received: *mut usize,
) -> i32 {
    entry(|| {
        let channel = handle::datagram(channel)?;
        let out = OutPointer::new(received, "received")?;
        // SAFETY: the caller gave room for so many octets; recv only writes there.
        let buffer = unsafe { slice_mut(buffer, len, "buffer") }?;
        let n = channel.recv_timeout(buffer, timeout(timeout_ms))?;
        // SAFETY: the caller gave a place for a size.
        unsafe { out.set(n) };
        Ok(())
    })
}

/// The most octets that a datagram on this channel may have: *max.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, a handle code, BYWAY_ERROR_CLOSED,
/// BYWAY_ERROR_TIMED_OUT (it is being connected), or what every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_datagram_max(channel: byway_handle, max: *mut usize) -> i32 {
    entry(|| {
        let channel = handle::datagram(channel)?;
        let out = OutPointer::new(max, "max")?;
        let n = channel.max_datagram()?;
        // SAFETY: the caller gave a place for a size.
        unsafe { out.set(n) };
        Ok(())
    })
}
