//! A peer's secret, and the key pair made of it.

use core::fmt;

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use sha2::{Digest, Sha512};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{PublicKey, x25519};

/// What stands before the seed where it is hashed. So a seed that is used elsewhere, too, makes another
/// key there: with RFC 8032's own hash, the same scalar in both signs would sign with the same nonces,
/// and two signatures of a message would tell it.
const LABEL: &[u8] = b"byway identity 1\0";

/// The identity of a peer: 32 secret octets, and the key pair made of them.
///
/// The pair serves two purposes: signatures by Ed25519 (RFC 8032), which prove the key to a relay, and
/// key agreement by X25519 (RFC 7748). Its public key always has the sign bit 0, so that the X25519 key
/// and the Ed25519 key determine each other; XEdDSA (Perrin 2016, "The XEdDSA and VXEdDSA Signature
/// Schemes", section 2.3) has its keys so, too. That a pair may serve both is shown by Thormarker
/// ("On using the same key pair for Ed25519 and an X25519 based KEM", 2021).
///
/// ```text
/// k, prefix = SHA-512("byway identity 1" ‖ 0x00 ‖ seed), of 32 octets each
/// a         = k, clamped as RFC 7748 has it: the X25519 secret
/// A         = a·B, or −a·B if a·B has the sign bit 1: the public key
/// r         = SHA-512(prefix ‖ message): the nonce of a signature, as RFC 8032 has it
/// ```
///
/// The memory of a secret is overwritten when it is dropped. Two identities are compared in constant
/// time.
#[derive(Clone)]
pub struct Identity {
    seed: [u8; 32],
    public: PublicKey,
}

impl Identity {
    /// Makes the identity of 32 octets that nobody else has or can guess. The same seed always makes
    /// the same identity.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let (secret, _) = expand(&seed);
        Self { seed, public: PublicKey::of(x25519::public(&secret)) }
    }

    /// The seed, to be kept where nobody else reads it.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The public key.
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// The X25519 secret (RFC 7748), clamped.
    pub fn x25519_secret(&self) -> Zeroizing<[u8; 32]> {
        expand(&self.seed).0
    }

    /// The X25519 public key of [`x25519_secret`](Self::x25519_secret): the public key's own.
    pub fn x25519_public(&self) -> [u8; 32] {
        self.public.to_x25519()
    }

    /// Signs by Ed25519 (RFC 8032, section 5.1.6).
    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let (secret, prefix) = expand(&self.seed);
        let scalar = Zeroizing::new(Scalar::from_bytes_mod_order(*secret));
        let point = EdwardsPoint::mul_base(&scalar);
        let sign = Choice::from(point.compress().to_bytes()[31] >> 7);
        let key = ExpandedSecretKey {
            scalar: Scalar::conditional_select(&scalar, &-*scalar, sign),
            hash_prefix: *prefix,
        };
        raw_sign::<Sha512>(&key, message, &VerifyingKey::from(self.public.point())).to_bytes()
    }
}

/// The clamped scalar and the prefix of the nonces.
fn expand(seed: &[u8; 32]) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
    let mut digest = Sha512::new().chain_update(LABEL).chain_update(seed).finalize();
    let mut halves = [Zeroizing::new([0; 32]), Zeroizing::new([0; 32])];
    for (half, octets) in halves.iter_mut().zip(digest.chunks_exact(32)) {
        half.copy_from_slice(octets);
    }
    digest.as_mut_slice().zeroize();
    let [scalar, prefix] = halves;
    (Zeroizing::new(clamp_integer(*scalar)), prefix)
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.seed.ct_eq(&other.seed).into()
    }
}

impl Eq for Identity {}

impl Drop for Identity {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

impl ZeroizeOnDrop for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("public_key", &self.public).finish_non_exhaustive()
    }
}
