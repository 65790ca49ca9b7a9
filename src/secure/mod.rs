//! Keys: identities of peers, and the names that their public keys are.
//!
//! ```text
//!  seed ──▶ Identity ──▶ PublicKey ◀──▶ key name, "k." and the key in base64url
//!            │  │            ▲
//!            │  │            └──────▶ X25519 key, its Montgomery form
//!            │  └─ X25519 secret
//!            └──── PROOF: a signature over a session's address and the relay's host
//! ```

pub(crate) mod aead;
mod identity;
pub(crate) mod noise;
mod proof;
mod public_key;
mod secret;
#[cfg(all(test, feature = "std"))]
mod tests;

pub use identity::Identity;
pub use proof::{HostDigest, KeyProof};
pub use public_key::{KeyError, PublicKey};
pub use secret::Secret;
