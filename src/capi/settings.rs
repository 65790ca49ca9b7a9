//! Settings of a configuration as C gives them.

use std::ffi::c_char;

use super::args::{optional_text, slice, text};
use super::byway_error;
use super::config::{BYWAY_SHARED_SECRET_SIZE, byway_config};
use super::last::CallError;
use crate::client::Security;
use crate::secure::Secret;
use crate::session::Pace;
use crate::transport::{Proxy, Token};

impl byway_config {
    /// # Safety
    /// The pointers are NULL or valid as their fields' comments say.
    pub(super) unsafe fn token(&self) -> Result<Option<Token>, CallError> {
        // SAFETY: as the caller says.
        let value = unsafe { optional_text(self.token, "token") }?;
        // SAFETY: as the caller says.
        let file = unsafe { optional_text(self.token_file, "token_file") }?;
        let token = match (value, file) {
            (Some(_), Some(_)) => {
                return Err(setting("config.token and config.token_file: only one may be given"));
            }
            (Some(value), None) => Token::value(value),
            (None, Some(path)) => Token::file(path),
            (None, None) => return Ok(None),
        };
        match self.token_over_http {
            0 => Ok(Some(token)),
            1 => Ok(Some(token.over_plain_http(true))),
            _ => Err(setting("config.token_over_http must be 0 or 1")),
        }
    }
}

pub(super) fn setting(line: &'static str) -> CallError {
    CallError::new(byway_error::Setting, line)
}

/// Whether to encrypt, as C says it.
pub(super) fn security(plain: u32) -> Result<Security, CallError> {
    match plain {
        0 => Ok(Security::Encrypted),
        1 => Ok(Security::Plain),
        _ => Err(setting("config.plain must be 0 or 1")),
    }
}

/// The shared secret, if there is one. One that is too short, or empty memory, is a fault of the program, and
/// would let in whom the secret is to keep out.
///
/// # Safety
/// `octets` is NULL or points to `len` octets.
pub(super) unsafe fn shared_secret(
    octets: *const u8,
    len: usize,
) -> Result<Option<Secret>, CallError> {
    if octets.is_null() && len == 0 {
        return Ok(None);
    }
    // SAFETY: the same is asked of the caller.
    let octets = unsafe { slice(octets, len, "shared_secret") }?;
    let secret = <[u8; BYWAY_SHARED_SECRET_SIZE]>::try_from(octets)
        .map(Secret::new)
        .map_err(|_| setting("config.shared_secret must have 32 octets, as its length must say"))?;
    match secret == Secret::new([0; BYWAY_SHARED_SECRET_SIZE]) {
        true => Err(setting("config.shared_secret has no octet but zero: give random ones")),
        false => Ok(Some(secret)),
    }
}

/// A pace as C names it.
pub(super) fn pace(kind: u32) -> Result<Pace, CallError> {
    Ok(match kind {
        0 => Pace::Streaming,
        1 => Pace::LongPoll,
        2 => Pace::Battery,
        _ => return Err(setting("config.pace must be one of enum byway_pace")),
    })
}

/// A proxy as C names it.
///
/// # Safety
/// `url` is NULL or a string.
pub(super) unsafe fn proxy(kind: u32, url: *const c_char) -> Result<Proxy, CallError> {
    match kind {
        0 => Ok(Proxy::Direct),
        1 => Ok(Proxy::Environment),
        // SAFETY: the same is asked of the caller.
        2 => Ok(Proxy::Url(unsafe { text(url, "proxy_url") }?.to_owned())),
        _ => Err(setting("proxy must be one of enum byway_proxy")),
    }
}
