//! The proof of a key to a relay.

use sha2::{Digest, Sha256};

use super::{Identity, KeyError, PublicKey};
use crate::wire::{Address, Proof};

/// What stands before all that PROOF signs, so that no other use of the key signs the same.
const LABEL: &[u8] = b"byway proof of a key 1\0";

/// Length of the message signed: the label, the session's address, the host's digest.
const MESSAGE_LEN: usize = LABEL.len() + 16 + 32;

/// A relay's host, as PROOF names it: SHA-256 of the host in its URL, in lower case and without a dot at
/// its end. So each host has one digest, and all digests have the same length.
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

/// The proof that a session holds the secret of a key, as the session tells it to a relay, and the relay
/// checks it. It is no secret: another session can do nothing with it, nor can this one at a relay with
/// another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyProof {
    key: [u8; 32],
    host: HostDigest,
    signature: [u8; 64],
}

impl KeyProof {
    /// Proves the identity's key, for the session that has that secret, to the relay at that host. It
    /// takes two multiplications of a point: milliseconds on a small processor.
    pub fn new(identity: &Identity, session_secret: &[u8; 16], host: HostDigest) -> Self {
        let signed = message(&Address::of(session_secret), &host);
        Self { key: *identity.public_key().as_bytes(), host, signature: identity.sign(&signed) }
    }

    /// The host of the relay that the proof is for.
    pub fn host(&self) -> HostDigest {
        self.host
    }

    /// The octets of the key that is proved.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The key, if the proof is of the session with that address. It takes three multiplications of
    /// points.
    ///
    /// # Errors
    /// The octets are no key, or the key did not sign this address and host.
    pub fn verify(&self, address: &Address) -> Result<PublicKey, KeyError> {
        let key = PublicKey::from_bytes(self.key)?;
        let signed = message(address, &self.host);
        if key.verifies(&signed, &self.signature) { Ok(key) } else { Err(KeyError::Unproved) }
    }

    /// The proof as a message.
    pub fn message(&self) -> Proof<'_> {
        Proof { key: &self.key, host: &self.host.0, signature: &self.signature }
    }
}

impl From<Proof<'_>> for KeyProof {
    fn from(proof: Proof<'_>) -> Self {
        let Proof { key, host, signature } = proof;
        Self { key: *key, host: HostDigest(*host), signature: *signature }
    }
}

impl Address {
    /// The address of the session that has that secret.
    #[inline(never)]
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
