//! What a session needs to encrypt its channels.

use sha2::{Digest, Sha256};

use crate::secure::{Identity, Secret};

/// Whom a session is, and what its channels are encrypted with.
#[derive(Debug, Clone)]
pub struct Security {
    /// The X25519 secret of the static key.
    pub(super) identity: Secret,
    /// What peers were given to have in common; all zeros: nothing.
    pub(super) shared: Secret,
    /// What the keys of single handshakes are made of.
    entropy: Secret,
}

impl Security {
    /// The security of a session with that identity. `entropy` are 256 random bits, which nobody else has
    /// and no other start of the program: the keys of the session's channels are made of them, so that they
    /// cannot be found out later by somebody who gets hold of the identity.
    pub fn new(identity: &Identity, entropy: Secret) -> Self {
        let identity = Secret::new(*identity.x25519_secret());
        Self { identity, shared: Secret::NONE, entropy }
    }

    /// Only peers with the same secret can have a channel with the session. It should have 256 random bits:
    /// a peer can try guesses of it, one with each connection that it makes or is asked for.
    #[must_use]
    pub fn with_shared_secret(mut self, shared: Secret) -> Self {
        self.shared = shared;
        self
    }

    /// The secret of a key for a single handshake, after which what it was made of is forgotten.
    pub(super) fn ephemeral(&mut self) -> Secret {
        let make = |label: &[u8]| {
            let hash = Sha256::new().chain_update(label).chain_update(self.entropy.octets());
            Secret::new(hash.finalize().into())
        };
        let ephemeral = make(b"byway ephemeral\0");
        self.entropy = make(b"byway entropy\0");
        ephemeral
    }
}
