//! Clients.

use std::ffi::c_char;

use super::args::{Out, text, timeout};
use super::byway_config;
use super::guard::entry;
use super::handle::{self, Object, byway_handle};
use super::last::Failure;
use crate::client::{Client, DatagramChannel, Listener, Stream};

/// Opens a session with a relay and waits until the relay has answered. What blocks the path is tried
/// again until then.
///
/// On success *client is a handle that the caller owns and closes by byway_close or byway_abort.
/// What config points to stays the caller's. The memory of the client is taken here, once. After a
/// failure its threads may stay for as long as byway_close says.
///
/// Blocks for at most timeout_ms. Cannot be cancelled: byway_client_start and byway_client_wait_open
/// can. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_STRUCT (config was not filled by
/// byway_config_default), BYWAY_ERROR_RELAY_URL, BYWAY_ERROR_SETTING, BYWAY_ERROR_ENTROPY,
/// BYWAY_ERROR_SYSTEM, BYWAY_ERROR_HANDLES, BYWAY_ERROR_CLOSED, a path code with what stood in the way
/// last when the time is over, a fatal code, or what every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_client_open(
    config: *const byway_config,
    timeout_ms: i32,
    client: *mut byway_handle,
) -> i32 {
    entry(|| {
        let out = Out::new(client, "client")?;
        // SAFETY: config is as its comment says.
        let opened = Client::start(unsafe { super::config::config(config) }?)?;
        opened.wait_open(timeout(timeout_ms))?;
        let handle = handle::insert(Object::Client(opened))?;
        // SAFETY: the caller gave a place for a handle.
        unsafe { out.set(handle) };
        Ok(())
    })
}

/// As byway_client_open, but does not wait for the relay: it is dialled in the background for as long
/// as the client is open, and byway_next_event tells how that goes.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_STRUCT, BYWAY_ERROR_RELAY_URL,
/// BYWAY_ERROR_SETTING, BYWAY_ERROR_ENTROPY, BYWAY_ERROR_SYSTEM, BYWAY_ERROR_HANDLES, or what every
/// call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_client_start(
    config: *const byway_config,
    client: *mut byway_handle,
) -> i32 {
    entry(|| {
        let out = Out::new(client, "client")?;
        // SAFETY: config is as its comment says.
        let started = Client::start(unsafe { super::config::config(config) }?)?;
        let handle = handle::insert(Object::Client(started))?;
        // SAFETY: the caller gave a place for a handle.
        unsafe { out.set(handle) };
        Ok(())
    })
}

/// Waits until the relay has answered a client that was started; later calls succeed at once.
///
/// Blocks for at most timeout_ms. Returns BYWAY_OK, a handle code, BYWAY_ERROR_CANCELLED,
/// BYWAY_ERROR_CLOSED, a path code with what stood in the way last when the time is over
/// (BYWAY_ERROR_SILENCE if nothing failed yet), a fatal code, or what every call can.
#[unsafe(no_mangle)]
pub extern "C" fn byway_client_wait_open(client: byway_handle, timeout_ms: i32) -> i32 {
    entry(|| Ok(handle::client(client)?.wait_open(timeout(timeout_ms))?))
}

/// Says that the device has another address or network now: both connections to the relay are dropped
/// and dialled anew at once. Channels survive. On Linux and Android a device that slept for over 5 s
/// finds out by itself.
///
/// Does not block. Returns BYWAY_OK, a handle code, or what every call can.
#[unsafe(no_mangle)]
pub extern "C" fn byway_network_changed(client: byway_handle) -> i32 {
    entry(|| {
        handle::client(client)?.network_changed();
        Ok(())
    })
}

/// Claims an endpoint, "name:port", for streams, and waits until the relay has granted it. The client
/// then answers peers that connect, for as long as backlog and channels last.
///
/// On success *listener is a handle that the caller owns and closes by byway_close, which gives the
/// endpoint back.
///
/// Blocks for at most timeout_ms; byway_cancel of the client ends that. Returns BYWAY_OK,
/// BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_ENDPOINT, BYWAY_ERROR_IN_USE, BYWAY_ERROR_TAKEN,
/// BYWAY_ERROR_DUPLICATE, BYWAY_ERROR_LISTENERS, BYWAY_ERROR_RELAY_LIMIT, BYWAY_ERROR_HANDLES, a
/// handle code, a wait code, a path code with what stood in the way when the time is over, a fatal
/// code, or what every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_listen(
    client: byway_handle,
    endpoint: *const c_char,
    timeout_ms: i32,
    listener: *mut byway_handle,
) -> i32 {
    // SAFETY: the pointers are as their comment says.
    unsafe {
        open(client, endpoint, listener, "listener", |client, endpoint| {
            let listener: Listener<Stream> =
                client.listen_timeout(endpoint, timeout(timeout_ms))?;
            Ok(Object::StreamListener(listener))
        })
    }
}

/// Claims an endpoint for datagram channels; else as byway_listen, with the same results.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_listen_datagram(
    client: byway_handle,
    endpoint: *const c_char,
    timeout_ms: i32,
    listener: *mut byway_handle,
) -> i32 {
    // SAFETY: the pointers are as their comment says.
    unsafe {
        open(client, endpoint, listener, "listener", |client, endpoint| {
            let listener: Listener<DatagramChannel> =
                client.listen_datagram_timeout(endpoint, timeout(timeout_ms))?;
            Ok(Object::DatagramListener(listener))
        })
    }
}

/// Connects to whoever listens for streams at an endpoint, "name:port". A listener that has no room is
/// asked again until the time is over, and BYWAY_ERROR_BACKLOG_FULL is returned only then.
///
/// On success *stream is a handle that the caller owns and closes by byway_close or byway_abort.
///
/// Blocks for at most timeout_ms; byway_cancel of the client ends that. Returns BYWAY_OK,
/// BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_ENDPOINT, BYWAY_ERROR_ENDPOINT_KIND, BYWAY_ERROR_NO_LISTENER,
/// BYWAY_ERROR_BACKLOG_FULL, BYWAY_ERROR_PEER_AWAY, BYWAY_ERROR_CHANNELS, BYWAY_ERROR_RELAY_LIMIT,
/// BYWAY_ERROR_HANDLES, a handle code, a wait code, an end code, a path code with what stood in the
/// way when the time is over, or what every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_connect(
    client: byway_handle,
    endpoint: *const c_char,
    timeout_ms: i32,
    stream: *mut byway_handle,
) -> i32 {
    // SAFETY: the pointers are as their comment says.
    unsafe {
        open(client, endpoint, stream, "stream", |client, endpoint| {
            Ok(Object::Stream(client.connect_timeout(endpoint, timeout(timeout_ms))?))
        })
    }
}

/// Connects to whoever listens for datagrams at an endpoint; else as byway_connect, with the same
/// results. *channel is a handle of a datagram channel.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_connect_datagram(
    client: byway_handle,
    endpoint: *const c_char,
    timeout_ms: i32,
    channel: *mut byway_handle,
) -> i32 {
    // SAFETY: the pointers are as their comment says.
    unsafe {
        open(client, endpoint, channel, "channel", |client, endpoint| {
            Ok(Object::Datagram(client.connect_datagram_timeout(endpoint, timeout(timeout_ms))?))
        })
    }
}

/// # Safety
/// `endpoint` is NULL or a string; `place` is NULL or valid for writes.
unsafe fn open(
    client: byway_handle,
    endpoint: *const c_char,
    place: *mut byway_handle,
    name: &str,
    open: impl FnOnce(&Client, &str) -> Result<Object, Failure>,
) -> i32 {
    entry(|| {
        let client = handle::client(client)?;
        let out = Out::new(place, name)?;
        // SAFETY: as the caller says.
        let object = open(&client, unsafe { text(endpoint, "endpoint") }?)?;
        let handle = handle::insert(object)?;
        // SAFETY: as the caller says.
        unsafe { out.set(handle) };
        Ok(())
    })
}
