//! Functions for handles of several kinds.

use std::ffi::c_char;

use super::args::{OutPointer, buffer_too_small, put_text, slice_mut, timeout};
use super::guard::entry;
use super::handle::{self, byway_handle};

/// A timeout_ms that waits for ever.
pub const BYWAY_FOREVER: i32 = -1;

/// Octets of a buffer that holds every endpoint as text, with its NUL: a name of 48, a colon, a port.
pub const BYWAY_ENDPOINT_SIZE: usize = 64;

/// Octets of a peer's address.
pub const BYWAY_ADDRESS_SIZE: usize = 16;

/// Closes a client, listener, stream or datagram channel. The handle is gone when this returns,
/// whatever it returns; waits on it in other threads return BYWAY_ERROR_CLOSED; its file
/// descriptors of byway_poll_fd and byway_second_poll_fd are closed.
///
/// A stream or datagram channel: what was sent is delivered, and the peer reads the end behind it.
/// Waits until the peer's client has acknowledged everything, or its datagrams were delivered or have
/// expired; what is left when the time is over is still delivered in the background, for as long as
/// the client is open and at most for its linger time. With timeout_ms 0 the result says nothing
/// about that. A connection that is still being made is given up.
///
/// A listener: gives the endpoint back; channels that were accepted stay. Does not wait.
///
/// A client: ends its listeners, then waits as above for all its channels; what is left when the
/// time is over is aborted. Takes up to a second more: half of it to tell relay and peers, and half for
/// its threads to end. They do, unless a name is being resolved or a callback of the program is under way:
/// such a thread ends by itself when that is over. Handles of its listeners and channels stay to be
/// closed.
///
/// Blocks for at most timeout_ms, and a client for up to a second more. byway_cancel of the handle
/// ends the wait as if the time were over. Returns BYWAY_OK, BYWAY_ERROR_HANDLE, BYWAY_ERROR_UNACKED
/// (client; detail: on how many channels peers had not acknowledged everything),
/// BYWAY_ERROR_TIMED_OUT or BYWAY_ERROR_CANCELLED (stream, datagram channel), an end code if the
/// channel had ended before everything was acknowledged, or what every call can.
#[unsafe(no_mangle)]
pub extern "C" fn byway_close(handle: byway_handle, timeout_ms: i32) -> i32 {
    entry(|| {
        let closing = handle::close(handle)?;
        drop(std::mem::take(&mut *closing.object.polls()));
        closing.object.close(timeout(timeout_ms))
    })
}

/// Closes at once: what is not acknowledged may be lost, and peers are told of the abort. The handle is
/// gone when this returns; waits on it in other threads return BYWAY_ERROR_CLOSED. A client tells
/// relay and peers in the background: its threads end seconds later. A listener closes as by
/// byway_close.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_HANDLE, or what every call can.
#[unsafe(no_mangle)]
pub extern "C" fn byway_abort(handle: byway_handle) -> i32 {
    entry(|| {
        let closing = handle::close(handle)?;
        drop(std::mem::take(&mut *closing.object.polls()));
        closing.object.abort();
        Ok(())
    })
}

/// Ends every wait on this handle that is in progress, in whatever threads, with
/// BYWAY_ERROR_CANCELLED, unless what it waits for has come by then; nothing is lost by that. On a
/// client these are byway_wait_open, byway_next_event, byway_listen*, byway_connect* and byway_close;
/// waits on its listeners and channels go on. A call that begins later waits as ever: a thread that is to
/// stop has to look at a flag of the program's own before it calls again, and a thread that has not begun
/// to wait yet is not reached, so cancel again until it is out.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_HANDLE, or what every call can.
#[unsafe(no_mangle)]
pub extern "C" fn byway_cancel(handle: byway_handle) -> i32 {
    entry(|| {
        handle::get_closing(handle)?.cancel();
        Ok(())
    })
}

/// Puts the endpoint into buffer, as "name:port" with a NUL: of a listener where it listens, of a
/// stream or datagram channel the one that was connected to, here or by the peer. size is that of the
/// buffer; BYWAY_ENDPOINT_SIZE is always enough.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_BUFFER_TOO_SMALL (detail:
/// octets needed), a handle code, BYWAY_ERROR_CLOSED, or what every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_endpoint(
    handle: byway_handle,
    buffer: *mut c_char,
    size: usize,
) -> i32 {
    entry(|| {
        let endpoint = handle::get(handle)?.endpoint()?;
        // SAFETY: the caller gave a buffer of this size.
        unsafe { put_text(buffer, size, &endpoint.to_string()) }
    })
}

/// Puts the address of the peer's client at the other end of a stream or datagram channel into
/// address: BYWAY_ADDRESS_SIZE octets. The relay vouches for it; it is another one each time the
/// peer's client is opened, unless that is given a seed.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, a handle code, BYWAY_ERROR_CLOSED,
/// BYWAY_ERROR_TIMED_OUT (it is being connected), or what every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_peer(handle: byway_handle, address: *mut u8) -> i32 {
    entry(|| {
        let object = handle::get(handle)?;
        let out = OutPointer::new(address.cast::<[u8; BYWAY_ADDRESS_SIZE]>(), "address")?;
        let peer = object.peer()?;
        // SAFETY: the caller gave a place for so many octets.
        unsafe { out.set(peer.0) };
        Ok(())
    })
}

/// Puts the greeting that came with the connection of a stream or datagram channel into buffer, and its
/// length in octets into *len; *len is 0 if there was none. It is what the connecting program gave to
/// byway_connect_greeting, if the channel was accepted; if it was connected by this program it is what
/// the listening program gave to byway_listen_greeting. size is that of the buffer; BYWAY_GREETING_SIZE is always enough.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_BUFFER_TOO_SMALL (detail:
/// octets needed), a handle code, BYWAY_ERROR_CLOSED, BYWAY_ERROR_TIMED_OUT (it is being connected), or
/// what every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_greeting(
    channel: byway_handle,
    buffer: *mut u8,
    size: usize,
    len: *mut usize,
) -> i32 {
    entry(|| {
        let object = handle::get(channel)?;
        let out = OutPointer::new(len, "len")?;
        // SAFETY: the caller gave a buffer of this size, which is only written.
        let buffer = unsafe { slice_mut(buffer, size, "buffer") }?;
        let greeting = object.greeting()?;
        let place =
            buffer.get_mut(..greeting.len()).ok_or_else(|| buffer_too_small(greeting.len()))?;
        place.copy_from_slice(&greeting);
        // SAFETY: the caller gave a place for a size.
        unsafe { out.set(greeting.len()) };
        Ok(())
    })
}

/// The number by which events of the client name this listener or channel: *id. Never used again
/// within the client; a listener and a channel may have the same.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, a handle code, or what every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_id(handle: byway_handle, id: *mut u32) -> i32 {
    entry(|| {
        let object = handle::get(handle)?;
        let out = OutPointer::new(id, "id")?;
        let id = object.id()?;
        // SAFETY: the caller gave a place for a number.
        unsafe { out.set(id) };
        Ok(())
    })
}
