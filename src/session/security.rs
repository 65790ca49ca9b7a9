//! What a session needs to encrypt its channels.

use sha2::{Digest, Sha256};

use crate::secure::noise::MAX_PAYLOAD;
use crate::secure::{Identity, Secret};

/// The flag of a payload that says that the identity is the same the next time.
const KEPT: u8 = 1;

/// What an end tells the other within a handshake.
pub(super) struct Payload {
    len: usize,
    octets: [u8; MAX_PAYLOAD],
}

impl Payload {
    /// A payload of which `fill` writes the octets, and gives their number.
    pub fn read(fill: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<Self> {
        let mut octets = [0; MAX_PAYLOAD];
        let len = fill(&mut octets)?;
        (1..=MAX_PAYLOAD).contains(&len).then_some(Self { len, octets })
    }

    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.len]
    }

    pub fn greeting(&self) -> &[u8] {
        &self.octets[1..self.len]
    }

    /// Whether the end's identity is the same the next time.
    pub fn is_kept(&self) -> bool {
        self.octets[0] & KEPT != 0
    }
}

/// Whom a session is, and what its channels are encrypted with.
#[derive(Debug, Clone)]
pub struct Security {
    /// The X25519 secret of the static key.
    pub(super) identity: Secret,
    /// What peers were given to have in common; all zeros: nothing.
    pub(super) shared: Secret,
    /// What the keys of single handshakes are made of.
    entropy: Secret,
    /// The flags of payloads. Not a `bool`, by whose spare values no security would not be all zeros.
    flags: u8,
}

impl Security {
    /// The security of a session with that identity. `entropy` are 256 random bits, which nobody else has
    /// and no other start of the program: the keys of the session's channels are made of them, so that they
    /// cannot be found out later by somebody who gets hold of the identity.
    pub fn new(identity: &Identity, entropy: Secret) -> Self {
        let identity = Secret::new(*identity.x25519_secret());
        Self { identity, shared: Secret::NONE, entropy, flags: KEPT }
    }

    /// The identity is for this run alone: peers are told so, and do not remember its key.
    #[must_use]
    pub fn with_fleeting_identity(mut self) -> Self {
        self.flags &= !KEPT;
        self
    }

    /// Only peers with the same secret can have a channel with the session. It should have 256 random bits:
    /// a peer can check guesses of it after a single try to have a channel, as many as it likes.
    #[must_use]
    pub fn with_shared_secret(mut self, shared: Secret) -> Self {
        self.shared = shared;
        self
    }

    /// What this end tells within a handshake: flags, then a greeting.
    pub(super) fn payload(&self, greeting: &[u8]) -> Payload {
        let mut payload = Payload { len: 0, octets: [0; MAX_PAYLOAD] };
        payload.octets[0] = self.flags;
        let n = greeting.len().min(MAX_PAYLOAD - 1);
        payload.octets[1..=n].copy_from_slice(&greeting[..n]);
        payload.len = n + 1;
        payload
    }

    /// The secret of a key for a single handshake, after which what it was made of is forgotten.
    pub(crate) fn ephemeral(&mut self) -> Secret {
        let make = |label: &[u8]| {
            let hash = Sha256::new().chain_update(label).chain_update(self.entropy.octets());
            Secret::new(hash.finalize().into())
        };
        let ephemeral = make(b"byway ephemeral\0");
        self.entropy = make(b"byway entropy\0");
        ephemeral
    }
}
