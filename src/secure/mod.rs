//! Keys: identities of peers, and the names that their public keys are.
//!
//! ```text
//!  seed ──▶ Identity ──▶ PublicKey ◀──▶ key name, "k." and the key in base64url
//!            │  │            ▲
//!            │  │            └──────▶ X25519 key, its Montgomery form
//!            │  └─ X25519 secret
//!            └──── PROOF: a signature over a session's address and the relay's host
//! ```
//!
//! Firmware chooses the feature `secure`. Built for thumbv7em with `opt-level = "z"`, a program that makes an
//! identity, proves its key and connects to a key name takes 57 KB of ROM more than without, 32 KB of which are
//! SHA-2 unrolled: `RUSTFLAGS='--cfg sha2_backend_soft="compact"'` takes these away and leaves 25 KB. The session
//! is 128 octets larger.

pub(crate) mod aead;
mod identity;
pub(crate) mod noise;
mod proof;
mod public_key;
mod secret;
#[cfg(all(test, feature = "std"))]
mod tests;
pub(crate) mod x25519;

pub use identity::Identity;
pub use proof::{HostDigest, KeyProof};
pub use public_key::{KeyError, PublicKey};
pub use secret::Secret;
