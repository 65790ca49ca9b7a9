//! The proof of a key to a relay.

use sha2::{Digest, Sha256};

use super::{Identity, KeyError, PublicKey};
use crate::wire::{Address, Proof};

/// What stands before all that PROOF signs, so that no other use of the key signs the same.
const LABEL: &[u8] = b"byway proof of a key 1\0";

/// Length of the message signed: the label, the session's address, the host's digest.
const MESSAGE_LEN: usize = LABEL.len() + 16 + 32;

/// A relay's host, as PROOF names it: SHA-256 of the host in its URL, in lower case and without a dot at
/// its end, so that each host has one digest and all have the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostDigest(pub [u8; 32]);

impl HostDigest {
    /// Makes the digest of a host: a name of DNS or an IP address, without port, user or brackets.
    pub fn of(host: &str) -> Self {
        let mut digest = Sha256::new();
        for octet in host.strip_suffix('.').unwrap_or(host).bytes() {
            digest.update([octet.to_ascii_lowercase()]);
        }
        Self(digest.finalize().into())
    }
}

impl Proof {
    /// Proves the identity's key for the session that has that secret, to the relay at that host.
    pub fn new(identity: &Identity, session_secret: &[u8; 16], host: &HostDigest) -> Self {
        let signed = message(&Address::of(session_secret), host);
        Self {
            key: *identity.public_key().as_bytes(),
            host: host.0,
            signature: identity.sign(&signed),
        }
    }

    /// The key that is proved to be that of the session with that address.
    ///
    /// # Errors
    /// The octets are no key, or did not sign this address and host.
    pub fn verify(&self, address: &Address) -> Result<PublicKey, KeyError> {
        let key = PublicKey::from_bytes(self.key)?;
        let signed = message(address, &HostDigest(self.host));
        if key.verifies(&signed, &self.signature) { Ok(key) } else { Err(KeyError::Unproved) }
    }
}

impl Address {
    /// The address of the session that has that secret.
    pub fn of(secret: &[u8; 16]) -> Self {
        let digest = Sha256::digest(secret);
        Self(core::array::from_fn(|i| digest[i]))
    }
}

fn message(address: &Address, host: &HostDigest) -> [u8; MESSAGE_LEN] {
    let mut message = [0; MESSAGE_LEN];
    let (label, rest) = message.split_at_mut(LABEL.len());
    let (session, relay) = rest.split_at_mut(address.0.len());
    label.copy_from_slice(LABEL);
    session.copy_from_slice(&address.0);
    relay.copy_from_slice(&host.0);
    message
}
