//! Streams.

use std::net::Shutdown;

use super::args::{OutPointer, slice, slice_mut, timeout};
use super::guard::entry;
use super::handle::{self, byway_handle};
use super::last::CallError;

/// Which directions byway_shutdown ends.
#[repr(i32)]
pub enum byway_how {
    /// Receiving: it gives the end of the stream, and octets that arrive from now on are dropped.
    Read = 0,
    /// Sending: the peer reads the end of the stream behind what was sent.
    Write = 1,
    /// Both directions.
    Both = 2,
}

/// Takes octets for sending: as many as there is room for, which *sent says; at least 1 unless len is
/// 0. They are copied, kept until the peer's client has acknowledged them, and sent again as often
/// as it takes.
///
/// Blocks while there is no room, at most for timeout_ms. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT,
/// BYWAY_ERROR_UNSUPPORTED (behind a shutdown of this direction), a handle code, a wait code, an end
/// code, or what every call can. After any code but BYWAY_OK nothing of data was taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_send(
    stream: byway_handle,
    data: *const u8,
    len: usize,
    timeout_ms: i32,
    sent: *mut usize,
) -> i32 {
    entry(|| {
        let stream = handle::stream(stream)?;
        let out = OutPointer::new(sent, "sent")?;
        // SAFETY: the caller gave so many octets, or none.
        let data = unsafe { slice(data, len, "data") }?;
        let n = stream.send_timeout(data, timeout(timeout_ms))?;
        // SAFETY: the caller gave a place for a size.
        unsafe { out.set(n) };
        Ok(())
    })
}

/// Receives octets into buffer: as many as there are, at most len. *received says how many; 0 is the
/// end of the stream, unless len is 0.
///
/// Blocks while there is none, at most for timeout_ms. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, a
/// handle code, a wait code, an end code once everything that came before was received, or what
/// every call can. After any code but BYWAY_OK nothing was received, and nothing is lost.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_recv(
    stream: byway_handle,
    buffer: *mut u8,
    len: usize,
    timeout_ms: i32,
    received: *mut usize,
) -> i32 {
    entry(|| {
        let stream = handle::stream(stream)?;
        let out = OutPointer::new(received, "received")?;
        // SAFETY: the caller gave room for so many octets; recv only writes there.
        let buffer = unsafe { slice_mut(buffer, len, "buffer") }?;
        let n = stream.recv_timeout(buffer, timeout(timeout_ms))?;
        // SAFETY: the caller gave a place for a size.
        unsafe { out.set(n) };
        Ok(())
    })
}

/// Waits until the relay has passed everything sent before on to the peer.
///
/// Blocks for at most timeout_ms. Returns BYWAY_OK, a handle code, a wait code, an end code, or what
/// every call can.
#[unsafe(no_mangle)]
pub extern "C" fn byway_flush(stream: byway_handle, timeout_ms: i32) -> i32 {
    entry(|| Ok(handle::stream(stream)?.flush_timeout(timeout(timeout_ms))?))
}

/// Waits until the peer's client has acknowledged everything sent before. That the peer's program has
/// received it is not said by this.
///
/// Blocks for at most timeout_ms. Returns BYWAY_OK, a handle code, a wait code, an end code, or what
/// every call can.
#[unsafe(no_mangle)]
pub extern "C" fn byway_wait_acked(stream: byway_handle, timeout_ms: i32) -> i32 {
    entry(|| Ok(handle::stream(stream)?.wait_acked(timeout(timeout_ms))?))
}

/// Ends directions of a stream, one of enum byway_how, and wakes the threads that wait in them. The other
/// direction goes on (half-close). The handle stays, and is to be closed.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT (no such how), a handle code, an end code, or
/// what every call can.
#[unsafe(no_mangle)]
pub extern "C" fn byway_shutdown(stream: byway_handle, how: u32) -> i32 {
    entry(|| {
        let stream = handle::stream(stream)?;
        let how = match how {
            0 => Shutdown::Read,
            1 => Shutdown::Write,
            2 => Shutdown::Both,
            _ => return Err(CallError::argument("how must be one of enum byway_how")),
        };
        Ok(stream.shutdown(how)?)
    })
}
