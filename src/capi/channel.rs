//! What handles of several kinds have in common.

use std::ffi::c_char;
use std::time::Duration;

use super::args::{Out, put_text, timeout};
use super::byway_error;
use super::guard::entry;
use super::handle::{self, Object, byway_handle};
use super::last::Failure;
use crate::error::Error;

/// A timeout_ms that waits for ever.
pub const BYWAY_FOREVER: i32 = -1;

/// Octets of a buffer that holds every endpoint as text, with its NUL: a name of 48, a colon, a port.
pub const BYWAY_ENDPOINT_SIZE: usize = 64;

/// Octets of a peer's address.
pub const BYWAY_ADDRESS_SIZE: usize = 16;

/// Closes a client, listener, stream or datagram channel. The handle is gone when this returns,
/// whatever it returns; who waits on it in other threads gets BYWAY_ERROR_CLOSED; its file
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
        drop(std::mem::take(&mut *closing.entry.polls()));
        let timeout = timeout(timeout_ms);
        match &closing.entry.object {
            Object::Client(client) => client.close(timeout).map_err(|error| {
                Failure::new(byway_error::Unacked, error.to_string())
                    .with_detail(error.unacked.len() as u64)
            }),
            Object::StreamListener(listener) => {
                listener.close();
                Ok(())
            }
            Object::DatagramListener(listener) => {
                listener.close();
                Ok(())
            }
            Object::Stream(stream) => unless_only_looked(timeout, stream.close_timeout(timeout)),
            Object::Datagram(channel) => {
                unless_only_looked(timeout, channel.close_timeout(timeout))
            }
        }
    })
}

/// Who gave no time did not ask whether all was delivered.
fn unless_only_looked(timeout: Option<Duration>, result: Result<(), Error>) -> Result<(), Failure> {
    match result {
        Err(Error::TimedOut) if timeout == Some(Duration::ZERO) => Ok(()),
        result => Ok(result?),
    }
}

/// Closes at once: what is not acknowledged may be lost, and peers are told of the abort. The handle is
/// gone when this returns; who waits on it in other threads gets BYWAY_ERROR_CLOSED. A client tells
/// relay and peers in the background: its threads end seconds later. A listener closes as by
/// byway_close.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_HANDLE, or what every call can.
#[unsafe(no_mangle)]
pub extern "C" fn byway_abort(handle: byway_handle) -> i32 {
    entry(|| {
        let closing = handle::close(handle)?;
        drop(std::mem::take(&mut *closing.entry.polls()));
        match &closing.entry.object {
            Object::Client(client) => client.abort(),
            Object::StreamListener(listener) => listener.close(),
            Object::DatagramListener(listener) => listener.close(),
            Object::Stream(stream) => stream.abort(),
            Object::Datagram(channel) => channel.abort(),
        }
        Ok(())
    })
}

/// Ends every wait on this handle that is in progress, in whatever threads, with
/// BYWAY_ERROR_CANCELLED, unless what it waits for has come by then; nothing is lost by that. On a
/// client these are byway_wait_open, byway_next_event, byway_listen*, byway_connect* and byway_close; waits on its listeners and channels go on. A call that begins later waits as ever: a
/// thread that is to stop has to look at a flag of the program's own before it calls again, and one
/// that has not begun to wait yet is not reached, so cancel again until it is out.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_HANDLE, or what every call can.
#[unsafe(no_mangle)]
pub extern "C" fn byway_cancel(handle: byway_handle) -> i32 {
    entry(|| {
        match &handle::get_closing(handle)?.object {
            Object::Client(client) => client.cancel(),
            Object::StreamListener(listener) => listener.cancel(),
            Object::DatagramListener(listener) => listener.cancel(),
            Object::Stream(stream) => stream.cancel(),
            Object::Datagram(channel) => channel.cancel(),
        }
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
        let endpoint = match &handle::get(handle)?.object {
            Object::StreamListener(listener) => listener.endpoint(),
            Object::DatagramListener(listener) => listener.endpoint(),
            Object::Stream(stream) => stream.endpoint()?,
            Object::Datagram(channel) => channel.endpoint()?,
            Object::Client(_) => return Err(handle::wrong_kind("listener or channel")),
        };
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
        let entry = handle::get(handle)?;
        let out = Out::new(address.cast::<[u8; BYWAY_ADDRESS_SIZE]>(), "address")?;
        let peer = match &entry.object {
            Object::Stream(stream) => stream.peer()?,
            Object::Datagram(channel) => channel.peer()?,
            _ => return Err(handle::wrong_kind("channel")),
        };
        // SAFETY: the caller gave a place for so many octets.
        unsafe { out.set(peer.0) };
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
        let entry = handle::get(handle)?;
        let out = Out::new(id, "id")?;
        let id = match &entry.object {
            Object::StreamListener(listener) => listener.id().0,
            Object::DatagramListener(listener) => listener.id().0,
            Object::Stream(stream) => stream.id().0,
            Object::Datagram(channel) => channel.id().0,
            Object::Client(_) => return Err(handle::wrong_kind("listener or channel")),
        };
        // SAFETY: the caller gave a place for a number.
        unsafe { out.set(id) };
        Ok(())
    })
}
