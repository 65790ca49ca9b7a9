//! Whether a response is a relay's answer, going by its head.

use super::request::MEDIA_TYPE;
use super::same;
use crate::error::Blocked;

/// What a response is whose head cannot be read. [`detail::unreadable`](super::detail::unreadable) tells
/// more.
pub(crate) const UNREADABLE: Blocked = Blocked::Foreign;

/// Why a response is no relay's answer, going by its status and its header fields; `None`: it may be one.
///
/// A redirect is a status like any other, since none is followed. A login portal's page has another media
/// type. `by_proxy`: the request named the relay in full, for a proxy; only then is a demand for a proxy's
/// password meant for this client.
pub(crate) fn refusal<'f>(
    status: u16,
    fields: impl Iterator<Item = (&'f str, &'f [u8])>,
    by_proxy: bool,
) -> Option<Blocked> {
    if status != 200 {
        let wants_password = status == 407 && by_proxy;
        return Some(if wants_password { Blocked::ProxyAuth } else { Blocked::Http(status) });
    }
    let (mut is_binary, mut is_encoded) = (false, false);
    for (name, value) in fields {
        let name = name.as_bytes();
        if same(name, b"content-type") {
            let media_type = value.split(|octet| *octet == b';').next().unwrap_or(value);
            is_binary = same(media_type, MEDIA_TYPE.as_bytes());
        } else if same(name, b"content-encoding") {
            is_encoded = !same(value, b"identity");
        }
    }
    if !is_binary {
        Some(Blocked::Foreign)
    } else if is_encoded {
        Some(Blocked::Compressed)
    } else {
        None
    }
}

/// The relay's challenge to a client without a token (RFC 6750 section 3). A device has no ROM to tell it
/// from another 401.
#[cfg(any(feature = "client", feature = "relay"))]
pub(crate) const CHALLENGE: &str = "Bearer realm=\"byway\"";

/// The relay's word in `Byway-Status` for a client that a front passed on to a relay for its own machine alone.
#[cfg(any(feature = "client", feature = "relay"))]
pub(crate) const BEYOND: &str = "beyond";

/// The relay's challenge to a client whose token is not valid.
#[cfg(feature = "relay")]
pub(crate) const REFUSAL: &str = "Bearer realm=\"byway\", error=\"invalid_token\"";

#[cfg(test)]
mod tests {
    use super::*;

    const BINARY: (&str, &str) = ("Content-Type", MEDIA_TYPE);

    #[test]
    fn answers_are_binary_without_encoding_and_of_status_200() {
        for (status, fields, by_proxy, cause) in [
            (200, &[BINARY][..], false, None),
            (200, &[("content-type", " APPLICATION/octet-stream ; x=y")], false, None),
            (200, &[BINARY, ("Content-Encoding", "Identity")], true, None),
            (200, &[BINARY, ("Content-Encoding", "gzip")], false, Some(Blocked::Compressed)),
            (200, &[], false, Some(Blocked::Foreign)),
            (200, &[("Content-Type", "text/html")], false, Some(Blocked::Foreign)),
            (200, &[("Content-Type", "application/octet-streams")], true, Some(Blocked::Foreign)),
            (201, &[BINARY], false, Some(Blocked::Http(201))),
            (302, &[BINARY, ("Location", "/")], true, Some(Blocked::Http(302))),
            (407, &[], false, Some(Blocked::Http(407))),
            (407, &[], true, Some(Blocked::ProxyAuth)),
            (503, &[BINARY], false, Some(Blocked::Http(503))),
        ] {
            let told = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
            assert_eq!(refusal(status, told, by_proxy), cause, "{status} {fields:?}");
        }
    }
}
