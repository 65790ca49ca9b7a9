//! Accepting connections.

use super::args::{OutPointer, timeout};
use super::guard::entry;
use super::handle::{self, byway_handle};

/// Waits for a peer to connect. Several threads may wait on one listener; each peer goes to one.
///
/// On success *channel is a handle that the caller owns and closes by byway_close or byway_abort: of
/// a stream if the listener was made by byway_listen, of a datagram channel if by
/// byway_listen_datagram.
///
/// Blocks for at most timeout_ms; 0 only takes a peer that waits already. Returns BYWAY_OK,
/// BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_IN_USE, BYWAY_ERROR_TAKEN, BYWAY_ERROR_KEY_NAME or BYWAY_ERROR_RELAY_LIMIT (the
/// endpoint was lost), BYWAY_ERROR_HANDLES, a handle code, a wait code, a fatal code, or what every
/// call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_accept(
    listener: byway_handle,
    timeout_ms: i32,
    channel: *mut byway_handle,
) -> i32 {
    entry(|| {
        let object = handle::get(listener)?;
        let out = OutPointer::new(channel, "channel")?;
        let handle = handle::insert(object.accept(timeout(timeout_ms))?)?;
        // SAFETY: the caller gave a place for a handle.
        unsafe { out.set(handle) };
        Ok(())
    })
}
