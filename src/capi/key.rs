//! Keys of peers, as their key names.

use std::ffi::c_char;

use super::args::{put_text, slice, text};
use super::byway_error;
use super::guard::entry;
use super::handle::{self, byway_handle};
use super::last::CallError;
use crate::secure::PublicKey;

/// Most key names that a call takes, so that a count that is garbage is found out.
const MAX_KEYS: usize = 1 << 20;

/// The key of a key name that C gives.
///
/// # Safety
/// `name` is NULL or a string.
pub(super) unsafe fn key(name: *const c_char, what: &str) -> Result<PublicKey, CallError> {
    // SAFETY: the same is asked of the caller.
    let text = unsafe { text(name, what) }?;
    text.parse::<PublicKey>()
        .map_err(|error| CallError::new(byway_error::KeyName, format!("{what}: {error}")))
}

/// Puts the key name of the peer of a stream or datagram channel into buffer, with a NUL: that of the key that the
/// peer has proved to have, as "k.OJmJ...". An empty text if the channel is not encrypted. A peer that was given no
/// identity has another key each time that it is started. size is that of the buffer; BYWAY_KEY_NAME_SIZE is
/// always enough.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_BUFFER_TOO_SMALL (detail: octets
/// needed), a handle code, BYWAY_ERROR_CLOSED, BYWAY_ERROR_TIMED_OUT (it is being connected), or what every
/// call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_peer_key(
    channel: byway_handle,
    buffer: *mut c_char,
    size: usize,
) -> i32 {
    entry(|| {
        let key = handle::get(channel)?.peer_key()?;
        let name = key.map_or_else(String::new, |key| key.to_string());
        // SAFETY: the caller gave a buffer of this size.
        unsafe { put_text(buffer, size, &name) }
    })
}

/// Lets a listener admit the peers that have one of these keys, and no others from now on: byway_accept never gives
/// their channels, which end with BYWAY_ERROR_KEY_REFUSED for them. Peers that came before and were not accepted
/// yet are subject to it, too, so that nobody slips in between byway_listen and this call. key_names are count
/// key names, as byway_identity_name and "byway id show" give them, and are copied; with a count of 0 nobody is
/// admitted. A later call replaces the keys of an earlier one. A channel that is not encrypted proves no key. Peers are
/// refused by calls of byway_accept, which may find nobody else then and give BYWAY_ERROR_TIMED_OUT.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_KEY_NAME (one of them is none: nothing has
/// changed), a handle code, or what every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_admit(
    listener: byway_handle,
    key_names: *const *const c_char,
    count: usize,
) -> i32 {
    // SAFETY: the caller gave so many pointers, each NULL or to a string.
    entry(|| handle::get(listener)?.admit(unsafe { keys(key_names, count) }?))
}

/// Lets a listener admit the peers that have one of these keys no longer, whether all were admitted before or some,
/// as byway_admit says. Channels that were accepted stay: byway_refuse_peer ends one. A peer that was given no
/// identity comes back with another key once it is started anew.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_KEY_NAME (one of them is none: nothing has
/// changed), a handle code, or what every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_refuse(
    listener: byway_handle,
    key_names: *const *const c_char,
    count: usize,
) -> i32 {
    // SAFETY: as above.
    entry(|| handle::get(listener)?.refuse(unsafe { keys(key_names, count) }?))
}

/// Does not let the peer of a stream or datagram channel in: gives the channel up as byway_abort does, and the peer
/// gets BYWAY_ERROR_KEY_REFUSED, which it does not take for a reason to try again, or BYWAY_ERROR_ABORTED if the
/// channel is not encrypted. The handle is still to be closed. byway_refuse has a listener refuse its key from then on.
///
/// Does not block. Returns BYWAY_OK, a handle code, or what every call can.
#[unsafe(no_mangle)]
pub extern "C" fn byway_refuse_peer(channel: byway_handle) -> i32 {
    entry(|| handle::get(channel)?.refuse_peer())
}

/// The keys of key names that C gives.
///
/// # Safety
/// `names` is NULL or has `count` pointers, each NULL or to a string.
unsafe fn keys(names: *const *const c_char, count: usize) -> Result<Vec<PublicKey>, CallError> {
    if count > MAX_KEYS {
        return Err(CallError::argument("count is over 2^20: give fewer key names"));
    }
    // SAFETY: the same is asked of the caller.
    let names = unsafe { slice(names, count, "key_names") }?;
    let keys = names.iter().enumerate().map(|(i, name)| {
        // SAFETY: each is NULL or a string, as the caller says.
        unsafe { key(*name, &format!("key_names[{i}]")) }
    });
    keys.collect()
}
