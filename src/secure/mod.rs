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
//! Firmware chooses the feature `secure`; `examples/firmware` has it as a choice, too, and its README says what that
//! takes: a seed, entropy, and `RUSTFLAGS='--cfg sha2_backend_soft="compact"'`, without which SHA-2 is 32 KB larger.
//! What it takes of ROM and RAM is in `memory-budget.md`. A program that listens at its key name has signatures linked,
//! too: 18 KB of ROM more (thumbv7em, `opt-level = "z"`).

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
