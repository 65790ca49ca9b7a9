//! Key agreement by X25519 (RFC 7748). All of it is one multiplication, so that firmware has no other.

use curve25519_dalek::MontgomeryPoint;

/// Octets of a public key.
pub const KEY: usize = 32;

/// 5ℓ − 1, where ℓ is the order of the subgroup of prime order; little-endian. It is a multiple of 8, and
/// clamped as it is.
const MINUS_ONE: [u8; 32] = [
    0xa0, 0x23, 0xcd, 0xd0, 0x83, 0xef, 0x5b, 0xb8, 0x2f, 0x10, 0xd6, 0x2e, 0x59, 0xe1, 0x5a, 0x68,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50,
];

/// The u of the base point.
const BASE: [u8; KEY] = {
    let mut base = [0; KEY];
    base[0] = 9;
    base
};

/// The multiple of a public key by a secret, which is clamped.
#[inline(never)]
pub fn multiply(secret: &[u8; 32], public: &[u8; KEY]) -> [u8; KEY] {
    MontgomeryPoint(*public).mul_clamped(*secret).to_bytes()
}

/// The public key of a secret.
pub fn public(secret: &[u8; 32]) -> [u8; KEY] {
    if cfg!(feature = "std") {
        // By tables, and so three times as fast.
        MontgomeryPoint::mul_base_clamped(*secret).to_bytes()
    } else {
        multiply(secret, &BASE)
    }
}

/// Whether these octets are a point of the curve in the subgroup of prime order, but not 0, and written in the
/// canonical way.
///
/// 5ℓ − 1 times a point P + T, P in the subgroup and T of an order that divides 8, is −P: that has the same u as
/// P + T only without T, or where both are 0. Of the curve's twist, whose own order is four times a prime that
/// divides neither 5ℓ nor 5ℓ − 2, no point but 0 comes back.
pub fn is_key(octets: &[u8; KEY]) -> bool {
    *octets != [0; KEY] && multiply(&MINUS_ONE, octets) == *octets
}
