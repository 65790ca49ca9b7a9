//! Keys of peers, as their key names.

use std::ffi::c_char;

use super::args::{put_text, slice, text};
use super::byway_error;
use super::guard::entry;
use super::handle::{self, byway_handle};
use super::last::CallError;
use crate::secure::PublicKey;

/// Most key names that a listener admits, so that a count that is garbage is found out.
const MAX_ADMITTED: usize = 1 << 20;

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
    entry(|| {
        let object = handle::get(listener)?;
        if count > MAX_ADMITTED {
            return Err(CallError::argument("count is over 2^20: give fewer key names"));
        }
        // SAFETY: the caller gave so many pointers.
        let names = unsafe { slice(key_names, count, "key_names") }?;
        let keys = names.iter().enumerate().map(|(i, name)| {
            // SAFETY: each is NULL or a string, as the caller says.
            unsafe { key(*name, &format!("key_names[{i}]")) }
        });
        object.admit(keys.collect::<Result<_, CallError>>()?)
    })
}
