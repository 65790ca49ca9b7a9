//! Tests of identities, public keys, key names and proofs.

mod noise;
mod vectors;

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::EdwardsPoint;
use proptest::prelude::*;
use sha2::{Digest, Sha512};

use super::{HostDigest, Identity, KeyError, KeyProof, PublicKey};
use crate::wire::{Address, Name, Proof};
use vectors::VECTORS;

fn octets<const N: usize>(hex: &str) -> [u8; N] {
    let octet = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hexadecimal");
    core::array::from_fn(octet)
}

fn name(text: &str) -> Name {
    Name::from_bytes(text.as_bytes()).expect("a valid name")
}

const SECRET: [u8; 16] = [7; 16];

fn proof(identity: &Identity) -> KeyProof {
    KeyProof::new(identity, &SECRET, HostDigest::of("relay.example.org"))
}

/// The octets of a proof's message, to be changed.
fn parts(proof: &KeyProof) -> ([u8; 32], [u8; 32], [u8; 64]) {
    let Proof { key, host, signature } = proof.message();
    (*key, *host, *signature)
}

fn of_parts((key, host, signature): &([u8; 32], [u8; 32], [u8; 64])) -> KeyProof {
    Proof { key, host, signature }.into()
}

#[test]
fn other_implementations_make_the_same_keys_names_and_signatures() {
    assert!(VECTORS.iter().any(|v| v.is_negated) && VECTORS.iter().any(|v| !v.is_negated));
    for vector in VECTORS {
        let identity = Identity::from_seed(vector.seed);
        let key = identity.public_key();
        assert_eq!(*key.as_bytes(), octets(vector.key));
        assert_eq!(key.name().as_str(), vector.name);
        assert_eq!(PublicKey::from_name(&name(vector.name)), Ok(key));
        assert_eq!(*identity.x25519_secret(), octets(vector.x25519_secret));
        assert_eq!(identity.x25519_public(), octets(vector.x25519_public));
        let session = octets(vector.session);
        let proof = KeyProof::new(&identity, &session, HostDigest::of(vector.host));
        assert_eq!(*proof.message().signature, octets(vector.signature));
        assert_eq!(proof.verify(&Address::of(&session)), Ok(key));
    }
}

proptest! {
    #[test]
    fn keys_names_and_x25519_keys_determine_each_other(seed: [u8; 32]) {
        let identity = Identity::from_seed(seed);
        let key = identity.public_key();
        prop_assert_eq!(key.as_bytes()[31] >> 7, 0);
        prop_assert_eq!(PublicKey::from_bytes(*key.as_bytes()), Ok(key));
        prop_assert_eq!(PublicKey::from_name(&key.name()), Ok(key));
        prop_assert_eq!(PublicKey::from_x25519(key.to_x25519()), Ok(key));
    }

    #[test]
    fn x25519_agrees_on_both_sides(a: [u8; 32], b: [u8; 32]) {
        use curve25519_dalek::MontgomeryPoint;
        let (a, b) = (Identity::from_seed(a), Identity::from_seed(b));
        let at_a = MontgomeryPoint(b.public_key().to_x25519()).mul_clamped(*a.x25519_secret());
        let at_b = MontgomeryPoint(a.x25519_public()).mul_clamped(*b.x25519_secret());
        prop_assert_eq!(at_a, at_b);
        prop_assert_eq!(
            MontgomeryPoint::mul_base_clamped(*a.x25519_secret()).to_bytes(),
            a.x25519_public()
        );
    }

    #[test]
    fn changed_proof_proves_nothing(at in 0_usize..128, bit in 0_u8..8) {
        let identity = Identity::from_seed([9; 32]);
        let mut changed = parts(&proof(&identity));
        let octet = match at {
            0..32 => &mut changed.0[at],
            32..64 => &mut changed.1[at - 32],
            _ => &mut changed.2[at - 64],
        };
        *octet ^= 1 << bit;
        prop_assert!(of_parts(&changed).verify(&Address::of(&SECRET)).is_err());
    }

    #[test]
    fn octets_from_outside_are_judged_without_panic(octets: [u8; 32], text in "k\\.[A-Za-z0-9_-]{0,46}") {
        if let Ok(key) = PublicKey::from_bytes(octets) {
            prop_assert_eq!(key.as_bytes(), &octets);
            prop_assert_eq!(PublicKey::from_x25519(key.to_x25519()), Ok(key));
        }
        if let Ok(key) = PublicKey::from_x25519(octets) {
            prop_assert_eq!(key.to_x25519(), octets);
        }
        let name = name(&text);
        if let Ok(key) = PublicKey::from_name(&name) {
            prop_assert_eq!(key.name(), name);
        }
    }
}

#[test]
fn recorded_proof_serves_no_other_session() {
    let identity = Identity::from_seed([9; 32]);
    let recorded = proof(&identity);
    assert_eq!(recorded.verify(&Address::of(&SECRET)), Ok(identity.public_key()));
    assert_eq!(recorded.verify(&Address::of(&[8; 16])), Err(KeyError::Unproved));
}

#[test]
fn proof_for_another_key_is_refused() {
    let mut forged = parts(&proof(&Identity::from_seed([9; 32])));
    forged.0 = *Identity::from_seed([10; 32]).public_key().as_bytes();
    assert_eq!(of_parts(&forged).verify(&Address::of(&SECRET)), Err(KeyError::Unproved));
}

#[test]
fn small_order_keys_prove_nothing() {
    // With a key of small order, a signature of zeros verifies for many messages where nothing is checked.
    for point in EIGHT_TORSION {
        let mut forged = parts(&proof(&Identity::from_seed([9; 32])));
        forged.0 = point.compress().to_bytes();
        forged.2 = [0; 64];
        forged.2[0] = 1;
        assert_eq!(of_parts(&forged).verify(&Address::of(&SECRET)), Err(KeyError::Damaged));
        assert_eq!(PublicKey::from_bytes(forged.0), Err(KeyError::Damaged));
        assert_eq!(
            PublicKey::from_x25519(point.to_montgomery().to_bytes()),
            Err(KeyError::Damaged)
        );
    }
}

#[test]
fn keys_outside_the_subgroup_are_refused() {
    let key = Identity::from_seed([9; 32]).public_key();
    for torsion in &EIGHT_TORSION[1..] {
        let other: EdwardsPoint = key.point() + torsion;
        assert_eq!(PublicKey::from_bytes(other.compress().to_bytes()), Err(KeyError::Damaged));
        assert_eq!(
            PublicKey::from_x25519(other.to_montgomery().to_bytes()),
            Err(KeyError::Damaged)
        );
    }
}

#[test]
fn sign_bit_is_refused() {
    let mut octets = *Identity::from_seed([9; 32]).public_key().as_bytes();
    octets[31] |= 0x80;
    assert_eq!(PublicKey::from_bytes(octets), Err(KeyError::Damaged));
}

#[test]
fn octets_beyond_the_field_are_refused() {
    // 2²⁵⁵ − 19 + y for the y below 19 that fit 255 bits: other octets of points that have canonical ones.
    for low in 0xed..=0xff_u8 {
        let mut octets = [0xff; 32];
        (octets[0], octets[31]) = (low, 0x7f);
        assert_eq!(PublicKey::from_bytes(octets), Err(KeyError::Damaged));
        assert_eq!(PublicKey::from_x25519(octets), Err(KeyError::Damaged));
    }
    let mut octets = Identity::from_seed([9; 32]).x25519_public();
    octets[31] |= 0x80;
    assert_eq!(PublicKey::from_x25519(octets), Err(KeyError::Damaged));
}

#[test]
fn key_name_is_taken_whole_or_not_at_all() {
    let key = Identity::from_seed([1; 32]).public_key();
    let text = key.name();
    let text = text.as_str();
    assert_eq!(text.len(), 45);
    assert_eq!(PublicKey::from_name(&name("camera")), Err(KeyError::NoKeyName));
    for damaged in [&text[..44], &text[..2], &format!("{text}A"), &format!("{text}A-_")] {
        assert_eq!(PublicKey::from_name(&name(damaged)), Err(KeyError::Damaged), "{damaged}");
        assert!(name(damaged).is_key_name());
    }
    // The last character holds four bits of the key, and two that are zero.
    assert!(text.ends_with('w'));
    for last in ['x', 'y', 'z'] {
        let damaged = format!("{}{last}", &text[..44]);
        assert_eq!(PublicKey::from_name(&name(&damaged)), Err(KeyError::Damaged));
    }
    // A dot is allowed in names, but is no base64.
    let damaged = format!("k..{}", &text[3..]);
    assert_eq!(PublicKey::from_name(&name(&damaged)), Err(KeyError::Damaged));
}

#[test]
fn host_has_one_digest() {
    let host = HostDigest::of("relay.example.org");
    assert_eq!(HostDigest::of("Relay.Example.ORG."), host);
    assert_ne!(HostDigest::of("relay.example.com"), host);
}

#[test]
fn seed_makes_another_key_here_than_by_rfc_8032() {
    let seed = [9; 32];
    let theirs = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key();
    assert_ne!(theirs.to_montgomery().to_bytes(), Identity::from_seed(seed).x25519_public());
    let digest: [u8; 64] = Sha512::digest(seed).into();
    assert_ne!(digest[..32], *Identity::from_seed(seed).x25519_secret());
}

#[test]
fn debug_tells_no_secret() {
    let identity = Identity::from_seed([0xab; 32]);
    let text = format!("{identity:?} {identity:#?}");
    assert!(text.contains(identity.public_key().name().as_str()));
    for secret in [&identity.seed()[..], &identity.x25519_secret()[..]] {
        for form in [format!("{secret:?}"), format!("{secret:x?}"), hex(secret)] {
            assert!(!text.contains(&form[1..form.len() - 1]));
        }
    }
    assert!(!text.contains("171"), "an octet of the seed in decimal");
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn identities_are_equal_by_their_seeds() {
    let identity = Identity::from_seed([1; 32]);
    assert_eq!(identity, Identity::from_seed([1; 32]));
    assert_eq!(identity, identity.clone());
    let mut seed = [1; 32];
    seed[31] ^= 0x80;
    assert_ne!(identity, Identity::from_seed(seed));
}

#[test]
fn seed_is_overwritten_when_dropped() {
    fn overwritten<T: zeroize::ZeroizeOnDrop>() {}
    overwritten::<Identity>();
    assert!(std::mem::needs_drop::<Identity>());
}
