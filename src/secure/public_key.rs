//! A peer's public key: as a name, and for key agreement.

use core::fmt;
use core::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::montgomery::MontgomeryPoint;
use ed25519_dalek::{Signature, VerifyingKey};

use super::x25519;
use crate::wire::{KEY_NAME_PREFIX, Name};

/// Length of a key name in octets: the prefix, and 32 octets in base64.
const KEY_NAME_LEN: usize = KEY_NAME_PREFIX.len() + 43;

/// The public key of an [`Identity`](super::Identity): an Ed25519 key with the sign bit 0, in the
/// subgroup of prime order, written in the canonical way. A value of this type always is such a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

/// Why octets or a name are no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name is an ordinary one.
    #[error("no key name: it begins with k., as the key name that `byway id show` prints")]
    NoKeyName,
    /// The name begins as a key name, but holds no key.
    #[error("the name begins with k. but holds no key: copy the whole of the key name")]
    Damaged,
    /// The key did not sign this session's address and this relay's host.
    #[error("the proof is not of this key, session and relay")]
    Unproved,
}

impl PublicKey {
    /// Makes the key of an X25519 key that is known to be one of a key.
    pub(super) fn of(x25519: [u8; 32]) -> Self {
        let point = MontgomeryPoint(x25519).to_edwards(0);
        debug_assert!(point.is_some(), "it is known to be on the curve");
        Self(point.unwrap_or_default().compress().to_bytes())
    }

    /// Checks the octets of an Ed25519 key (RFC 8032, section 5.1.2).
    ///
    /// # Errors
    /// The octets are no point of the subgroup of prime order, or not written in the canonical way, or
    /// have the sign bit 1.
    pub fn from_bytes(octets: [u8; 32]) -> Result<Self, KeyError> {
        let point = CompressedEdwardsY(octets).decompress().ok_or(KeyError::Damaged)?;
        let is_key = octets[31] >> 7 == 0
            && point.compress().to_bytes() == octets
            && x25519::is_key(&point.to_montgomery().to_bytes());
        if is_key { Ok(Self(octets)) } else { Err(KeyError::Damaged) }
    }

    /// The key's octets.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key as a name of endpoints: `k.` and 43 characters of base64url (RFC 4648, section 5).
    pub fn name(&self) -> Name {
        let mut octets = [0; KEY_NAME_LEN];
        octets[..KEY_NAME_PREFIX.len()].copy_from_slice(KEY_NAME_PREFIX);
        let written = URL_SAFE_NO_PAD.encode_slice(self.0, &mut octets[KEY_NAME_PREFIX.len()..]);
        debug_assert_eq!(written, Ok(43));
        Name::from_bytes(&octets).unwrap_or(Name::EMPTY)
    }

    /// The key that a name is.
    ///
    /// # Errors
    /// The name is an ordinary one, or begins as a key name and holds no key.
    pub fn from_name(name: &Name) -> Result<Self, KeyError> {
        let text = name.as_bytes().strip_prefix(KEY_NAME_PREFIX).ok_or(KeyError::NoKeyName)?;
        // The decoder asks for room for whole groups of three octets.
        let mut octets = [0; 33];
        let len = URL_SAFE_NO_PAD.decode_slice(text, &mut octets).map_err(|_| KeyError::Damaged)?;
        let key = octets[..len].try_into().map_err(|_| KeyError::Damaged)?;
        Self::from_bytes(key)
    }

    /// The X25519 key (RFC 7748) of the same pair: the point's Montgomery form.
    pub fn to_x25519(&self) -> [u8; 32] {
        self.point().to_montgomery().to_bytes()
    }

    /// The key of which that is the X25519 key: there is at most one, since the sign bit is 0.
    ///
    /// # Errors
    /// The octets are the X25519 key of no such key, or not written in the canonical way.
    pub fn from_x25519(octets: [u8; 32]) -> Result<Self, KeyError> {
        if x25519::is_key(&octets) { Ok(Self::of(octets)) } else { Err(KeyError::Damaged) }
    }

    /// Whether that is this key's signature of the message (RFC 8032, section 5.1.7), in the one form
    /// that has no other: with a canonical S, and an R in the subgroup's own coset.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from(self.point())
            .verify_strict(message, &Signature::from_bytes(signature))
            .is_ok()
    }

    /// The key's point.
    pub(super) fn point(&self) -> EdwardsPoint {
        let point = CompressedEdwardsY(self.0).decompress();
        debug_assert!(point.is_some(), "a key is checked when it is made");
        point.unwrap_or_default()
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    /// The key of a key name as text, which has no port.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        if !text.as_bytes().starts_with(KEY_NAME_PREFIX) {
            return Err(KeyError::NoKeyName);
        }
        Name::from_bytes(text.as_bytes())
            .map_err(|_| KeyError::Damaged)
            .and_then(|name| Self::from_name(&name))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().as_str())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
