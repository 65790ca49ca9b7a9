//! Clients.

use std::ffi::c_char;

use super::args::{OutPointer, slice, text, timeout};
use super::byway_config;
use super::guard::entry;
use super::handle::{self, byway_handle};
use super::key::key;
use super::last::CallError;
use super::object::Object;
use crate::client::{ByteStream, Channel, ChannelKind, Client, Datagrams, Listener};

/// Most octets of a greeting.
pub const BYWAY_GREETING_SIZE: usize = 96;

const _: () = assert!(BYWAY_GREETING_SIZE == crate::wire::MAX_GREETING);

/// A greeting of no octets, at no place.
const NO_GREETING: (*const u8, usize) = (std::ptr::null(), 0);

/// Opens a session with a relay and waits until the relay has answered. What blocks the path is tried
/// again until then.
///
/// On success *client is a handle that the caller owns and closes by byway_close or byway_abort.
/// What config points to stays the caller's. The memory of the client is taken here, once. After a
/// failure its threads may stay for as long as byway_close says.
///
/// Blocks for at most timeout_ms; 0: as byway_client_start. Cannot be cancelled: byway_client_start
/// with byway_wait_open can. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_STRUCT (config was not
/// filled by byway_config_default), BYWAY_ERROR_RELAY_URL, BYWAY_ERROR_SETTING, BYWAY_ERROR_ENTROPY,
/// BYWAY_ERROR_SYSTEM, BYWAY_ERROR_HANDLES, BYWAY_ERROR_CLOSED, a path code with what stood in the way
/// last when the time is over, a fatal code, or what every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_client_open(
    config: *const byway_config,
    timeout_ms: i32,
    client: *mut byway_handle,
) -> i32 {
    entry(|| {
        // SAFETY: config is as its comment says.
        let config = unsafe { super::config::config(config) }?;
        let out = OutPointer::new(client, "client")?;
        let opened = Client::start(config)?;
        if timeout_ms != 0 {
            opened.wait_open(timeout(timeout_ms))?;
        }
        let handle = handle::insert(Box::new(opened))?;
        // SAFETY: the caller gave a place for a handle.
        unsafe { out.set(handle) };
        Ok(())
    })
}

/// Opens a session as byway_client_open does, but does not wait for the relay, which is dialled in the background for as long
/// as the client is open. byway_next_event tells how that goes, with BYWAY_EVENT_KIND_OPENED when the
/// relay has answered, and byway_wait_open waits for it. Listening and connecting need not wait for
/// that.
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
        // SAFETY: config is as its comment says.
        let config = unsafe { super::config::config(config) }?;
        let out = OutPointer::new(client, "client")?;
        let started = Client::start(config)?;
        let handle = handle::insert(Box::new(started))?;
        // SAFETY: the caller gave a place for a handle.
        unsafe { out.set(handle) };
        Ok(())
    })
}

/// Waits until a handle is open that was made without waiting: a client of byway_client_start has
/// its relay's first answer; a listener of byway_listen* with timeout_ms 0 has its endpoint; a stream or
/// datagram channel of byway_connect* with timeout_ms 0 has its peer. Once that is so, later calls
/// succeed at once, also if a channel has ended since. A poll for BYWAY_OPENED tells when to look.
///
/// Blocks for at most timeout_ms. Returns BYWAY_OK; a handle code; BYWAY_ERROR_CANCELLED,
/// BYWAY_ERROR_CLOSED; while it goes on, BYWAY_ERROR_TIMED_OUT with timeout_ms 0, and else, when the time
/// is over, what stood in the way last: a path code (client: BYWAY_ERROR_SILENCE if nothing failed yet),
/// BYWAY_ERROR_NO_LISTENER, BYWAY_ERROR_PEER_AWAY or BYWAY_ERROR_RELAY_LIMIT (channel), or
/// BYWAY_ERROR_TIMED_OUT; when it has failed for good, one of the codes by which byway_listen and
/// byway_connect tell that they were refused, an end code, or a fatal code; or what every call can.
#[unsafe(no_mangle)]
pub extern "C" fn byway_wait_open(handle: byway_handle, timeout_ms: i32) -> i32 {
    entry(|| {
        handle::get(handle)?.wait_open(timeout(timeout_ms))?;
        Ok(())
    })
}

/// Says that the device has another address or network now: both connections to the relay are dropped
/// and dialled anew at once, by the proxy that is set, if one is. Channels survive. On Linux and Android a
/// client notices by itself that the device slept for over 5 s.
///
/// Does not block. Returns BYWAY_OK, a handle code, or what every call can.
#[unsafe(no_mangle)]
pub extern "C" fn byway_network_changed(client: byway_handle) -> i32 {
    entry(|| {
        handle::client(client)?.network_changed();
        Ok(())
    })
}

/// Says what byway_network_changed does, where the way to the relay is by another proxy from now on. proxy is one of
/// enum byway_proxy: none, the one that the environment names now, which this call reads, or proxy_url,
/// which is else ignored. After a failure nothing has changed, and connections stay.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_SETTING, a handle code, or what
/// every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_network_changed_with(
    client: byway_handle,
    proxy: u32,
    proxy_url: *const c_char,
) -> i32 {
    entry(|| {
        let client = handle::client(client)?;
        // SAFETY: proxy_url is as its comment says.
        client.network_changed_with(unsafe { super::settings::proxy(proxy, proxy_url) }?)?;
        Ok(())
    })
}

/// Claims an endpoint, "name:port", for streams, and waits until the relay has granted it. The client
/// then answers peers that connect, for as long as backlog and channels last.
///
/// On success *listener is a handle that the caller owns and closes by byway_close, which gives the
/// endpoint back. With timeout_ms 0 it is given at once, and the relay is asked for the endpoint in the
/// background: byway_wait_open tells how that ended, and BYWAY_OPENED when.
///
/// Blocks for at most timeout_ms; byway_cancel of the client ends that. Returns BYWAY_OK,
/// BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_ENDPOINT, BYWAY_ERROR_KEY_NAME, BYWAY_ERROR_IN_USE, BYWAY_ERROR_TAKEN,
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
    unsafe { listen::<ByteStream>(client, endpoint, NO_GREETING, timeout_ms, listener) }
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
    unsafe { listen::<Datagrams>(client, endpoint, NO_GREETING, timeout_ms, listener) }
}

/// Claims an endpoint for streams as byway_listen does, and answers each peer that connects with a
/// greeting of greeting_len octets, at most BYWAY_GREETING_SIZE: the connecting program reads it by
/// byway_greeting as soon as its stream is open. The greeting is copied. The client answers before
/// byway_accept gives the stream, so that all peers of a listener get the same greeting.
///
/// Blocks for at most timeout_ms. Returns what byway_listen does; BYWAY_ERROR_ARGUMENT, too, if the
/// greeting is too long.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_listen_greeting(
    client: byway_handle,
    endpoint: *const c_char,
    greeting: *const u8,
    greeting_len: usize,
    timeout_ms: i32,
    listener: *mut byway_handle,
) -> i32 {
    // SAFETY: the pointers are as their comment says.
    unsafe {
        listen::<ByteStream>(client, endpoint, (greeting, greeting_len), timeout_ms, listener)
    }
}

/// Claims an endpoint for datagram channels, and answers with a greeting; else as
/// byway_listen_greeting, with the same results.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_listen_datagram_greeting(
    client: byway_handle,
    endpoint: *const c_char,
    greeting: *const u8,
    greeting_len: usize,
    timeout_ms: i32,
    listener: *mut byway_handle,
) -> i32 {
    // SAFETY: the pointers are as their comment says.
    unsafe { listen::<Datagrams>(client, endpoint, (greeting, greeting_len), timeout_ms, listener) }
}

/// Connects to the listener for streams at an endpoint, "name:port". A listener that has no room is
/// asked again until the time is over, and BYWAY_ERROR_BACKLOG_FULL is returned only then.
///
/// On success *stream is a handle that the caller owns and closes by byway_close or byway_abort. With
/// timeout_ms 0 it is given at once, as by connect(2) with O_NONBLOCK, and the connection is made in the
/// background, however long that takes: byway_wait_open tells how it ended, and BYWAY_OPENED or
/// BYWAY_WRITABLE when. Until then sending and receiving wait or give BYWAY_ERROR_TIMED_OUT, and closing
/// it gives the connection up.
///
/// Blocks for at most timeout_ms; byway_cancel of the client ends that. Returns BYWAY_OK,
/// BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_ENDPOINT, BYWAY_ERROR_ENDPOINT_KIND, BYWAY_ERROR_NO_LISTENER,
/// BYWAY_ERROR_BACKLOG_FULL, BYWAY_ERROR_PEER_AWAY, BYWAY_ERROR_PEER_PLAIN, BYWAY_ERROR_PEER_ENCRYPTS,
/// BYWAY_ERROR_WRONG_KEY (at a key name, or with known_peers), BYWAY_ERROR_HANDSHAKE (another shared_secret),
/// BYWAY_ERROR_KEY_NAME, BYWAY_ERROR_CHANNELS, BYWAY_ERROR_RELAY_LIMIT,
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
    unsafe { connect::<ByteStream>(client, endpoint, &Wishes::NONE, timeout_ms, stream, "stream") }
}

/// Connects to the listener for datagrams at an endpoint; else as byway_connect, with the same
/// results. *channel is a handle of a datagram channel.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_connect_datagram(
    client: byway_handle,
    endpoint: *const c_char,
    timeout_ms: i32,
    channel: *mut byway_handle,
) -> i32 {
    // SAFETY: the pointers are as their comment says.
    unsafe { connect::<Datagrams>(client, endpoint, &Wishes::NONE, timeout_ms, channel, "channel") }
}

/// Connects as byway_connect does, and gives the listener's program a greeting of greeting_len octets,
/// at most BYWAY_GREETING_SIZE: that program reads it by byway_greeting as soon as it has accepted. The
/// greeting is copied.
///
/// Blocks for at most timeout_ms. Returns what byway_connect does; BYWAY_ERROR_ARGUMENT, too, if the
/// greeting is too long.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_connect_greeting(
    client: byway_handle,
    endpoint: *const c_char,
    greeting: *const u8,
    greeting_len: usize,
    timeout_ms: i32,
    stream: *mut byway_handle,
) -> i32 {
    // SAFETY: the pointers are as their comment says.
    unsafe {
        let wishes = Wishes { key_name: None, greeting: (greeting, greeting_len) };
        connect::<ByteStream>(client, endpoint, &wishes, timeout_ms, stream, "stream")
    }
}

/// Connects for datagrams, with a greeting; else as byway_connect_greeting, with the same results.
/// *channel is a handle of a datagram channel.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_connect_datagram_greeting(
    client: byway_handle,
    endpoint: *const c_char,
    greeting: *const u8,
    greeting_len: usize,
    timeout_ms: i32,
    channel: *mut byway_handle,
) -> i32 {
    // SAFETY: the pointers are as their comment says.
    unsafe {
        let wishes = Wishes { key_name: None, greeting: (greeting, greeting_len) };
        connect::<Datagrams>(client, endpoint, &wishes, timeout_ms, channel, "channel")
    }
}

/// Connects as byway_connect_greeting does, to a listener that has this key and no other: whoever else took
/// the endpoint's name is refused, and gets no greeting. key_name is the listener's key name, as byway_identity_name
/// and "byway id show" give it. greeting may be NULL if greeting_len is 0. At an endpoint that is a key name
/// byway_connect does the same.
///
/// Blocks for at most timeout_ms. Returns what byway_connect_greeting does; BYWAY_ERROR_WRONG_KEY if the
/// listener has another key; BYWAY_ERROR_KEY_NAME if key_name is none; BYWAY_ERROR_UNSUPPORTED if the client
/// is plain.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_connect_to_key(
    client: byway_handle,
    endpoint: *const c_char,
    key_name: *const c_char,
    greeting: *const u8,
    greeting_len: usize,
    timeout_ms: i32,
    stream: *mut byway_handle,
) -> i32 {
    // SAFETY: the pointers are as their comment says.
    unsafe {
        let wishes = Wishes { key_name: Some(key_name), greeting: (greeting, greeting_len) };
        connect::<ByteStream>(client, endpoint, &wishes, timeout_ms, stream, "stream")
    }
}

/// Connects for datagrams to a listener that has this key; else as byway_connect_to_key, with the same results.
/// *channel is a handle of a datagram channel.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_connect_datagram_to_key(
    client: byway_handle,
    endpoint: *const c_char,
    key_name: *const c_char,
    greeting: *const u8,
    greeting_len: usize,
    timeout_ms: i32,
    channel: *mut byway_handle,
) -> i32 {
    // SAFETY: the pointers are as their comment says.
    unsafe {
        let wishes = Wishes { key_name: Some(key_name), greeting: (greeting, greeting_len) };
        connect::<Datagrams>(client, endpoint, &wishes, timeout_ms, channel, "channel")
    }
}

/// Listens, with the greeting of its answers as a pointer and its octets.
///
/// # Safety
/// `endpoint` is NULL or a string; `greeting` is NULL or has so many octets; `place` is NULL or valid
/// for writes.
unsafe fn listen<K: ChannelKind + 'static>(
    client: byway_handle,
    endpoint: *const c_char,
    greeting: (*const u8, usize),
    timeout_ms: i32,
    place: *mut byway_handle,
) -> i32 {
    // SAFETY: as the caller says.
    unsafe {
        open(client, endpoint, place, "listener", |client, endpoint| {
            let greeting = slice(greeting.0, greeting.1, "greeting")?;
            let listener: Listener<Channel<K>> = match timeout_ms {
                0 => client.start_listen_greeting(endpoint, greeting)?,
                _ => client.listen_greeting(endpoint, greeting, timeout(timeout_ms))?,
            };
            Ok(Box::new(listener))
        })
    }
}

/// What a connection is to have besides its endpoint.
struct Wishes {
    /// The key name of the listener, if that matters.
    key_name: Option<*const c_char>,
    /// The greeting as a pointer and its octets.
    greeting: (*const u8, usize),
}

impl Wishes {
    const NONE: Self = Self { key_name: None, greeting: NO_GREETING };
}

/// Connects.
///
/// # Safety
/// `endpoint` and the key name are NULL or strings; the greeting is NULL or has so many octets; `place` is
/// NULL or valid for writes.
unsafe fn connect<K: ChannelKind + 'static>(
    client: byway_handle,
    endpoint: *const c_char,
    wishes: &Wishes,
    timeout_ms: i32,
    place: *mut byway_handle,
    name: &str,
) -> i32 {
    let Wishes { key_name, greeting } = *wishes;
    // SAFETY: as the caller says.
    unsafe {
        open(client, endpoint, place, name, |client, endpoint| {
            let key = key_name.map(|name| key(name, "key_name")).transpose()?;
            let greeting = slice(greeting.0, greeting.1, "greeting")?;
            let channel: Channel<K> = match (&key, timeout_ms) {
                (None, 0) => client.start_connect_greeting(endpoint, greeting)?,
                (None, _) => client.connect_greeting(endpoint, greeting, timeout(timeout_ms))?,
                (Some(key), 0) => client.start_connect_to_key(endpoint, key, greeting)?,
                (Some(key), _) => {
                    client.connect_to_key(endpoint, key, greeting, timeout(timeout_ms))?
                }
            };
            Ok(Box::new(channel))
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
    open: impl FnOnce(&Client, &str) -> Result<Box<dyn Object>, CallError>,
) -> i32 {
    entry(|| {
        let client = handle::client(client)?;
        let out = OutPointer::new(place, name)?;
        // SAFETY: as the caller says.
        let object = open(&client, unsafe { text(endpoint, "endpoint") }?)?;
        let handle = handle::insert(object)?;
        // SAFETY: as the caller says.
        unsafe { out.set(handle) };
        Ok(())
    })
}
