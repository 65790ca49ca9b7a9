//! Identities.

use std::ffi::c_char;

use zeroize::Zeroizing;

use super::args::{put_text, slice};
use super::guard::entry;
use super::last::CallError;
use crate::secure::Identity;

/// Octets of an identity.
pub const BYWAY_IDENTITY_SIZE: usize = 32;

/// Octets of a key name with its NUL.
pub const BYWAY_KEY_NAME_SIZE: usize = 46;

/// The identity that C gives; `None` where all its octets are zero.
pub(super) fn identity(octets: &[u8; BYWAY_IDENTITY_SIZE]) -> Option<Identity> {
    (*octets != [0; BYWAY_IDENTITY_SIZE]).then(|| Identity::from_seed(*octets))
}

/// Puts the key name of an identity into buffer, with a NUL: "k." and 43 characters, which stand for its public
/// key. A client of that identity (byway_config) listens there, as in "k.OJmJ...:1"; nobody else can, and
/// those who connect there reach it or nobody. identity has BYWAY_IDENTITY_SIZE octets: random ones that
/// nobody can guess, made once and kept secret. size is that of the buffer; BYWAY_KEY_NAME_SIZE is always
/// enough.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT (also if all octets are zero),
/// BYWAY_ERROR_BUFFER_TOO_SMALL (detail: octets needed), or what every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_identity_name(
    identity: *const u8,
    buffer: *mut c_char,
    size: usize,
) -> i32 {
    entry(|| {
        // SAFETY: the caller gave so many octets.
        let octets = unsafe { slice(identity, BYWAY_IDENTITY_SIZE, "identity") }?;
        let mut seed = Zeroizing::new([0; BYWAY_IDENTITY_SIZE]);
        seed.copy_from_slice(octets);
        let identity = self::identity(&seed).ok_or_else(|| {
            CallError::argument("identity has no octet but zero: give random ones".to_owned())
        })?;
        // SAFETY: the caller gave a buffer of this size.
        unsafe { put_text(buffer, size, identity.public_key().name().as_str()) }
    })
}
