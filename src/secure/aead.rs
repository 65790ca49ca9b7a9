//! ChaCha20-Poly1305 (RFC 8439) over octets that lie in two pieces, as those of a ring do.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use poly1305::Poly1305;
use poly1305::universal_hash::{KeyInit, UniversalHash};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::Secret;

/// Octets of the tag that stands behind what is sealed.
pub const TAG: usize = 16;

/// Octets of a block of Poly1305.
const BLOCK: usize = 16;

/// Encrypts both pieces in place, and gives the tag over them and `ad`. A nonce is used once with a key.
pub fn seal(key: &Secret, nonce: u64, ad: &[u8], [a, b]: [&mut [u8]; 2]) -> [u8; TAG] {
    #[cfg(feature = "tls")]
    if b.is_empty() {
        return whole::seal(key, nonce, ad, a);
    }
    let (mut cipher, mac) = begin(key, nonce);
    cipher.apply_keystream(a);
    cipher.apply_keystream(b);
    tag(mac, ad, a, b)
}

/// Decrypts both pieces in place if the tag is right for them and `ad`; else leaves them as they are.
#[must_use]
pub fn open(key: &Secret, nonce: u64, ad: &[u8], [a, b]: [&mut [u8]; 2], with: &[u8; TAG]) -> bool {
    #[cfg(feature = "tls")]
    if b.is_empty() {
        return whole::open(key, nonce, ad, a, with);
    }
    let (mut cipher, mac) = begin(key, nonce);
    let is_right = tag(mac, ad, a, b).ct_eq(with).into();
    if is_right {
        cipher.apply_keystream(a);
        cipher.apply_keystream(b);
    }
    is_right
}

/// The nonce of a number, as Noise has it (revision 34, section 12.3).
fn iv(nonce: u64) -> [u8; 12] {
    let mut iv = [0; 12];
    iv[4..].copy_from_slice(&nonce.to_le_bytes());
    iv
}

/// The cipher, about to encrypt, and what makes the tag.
fn begin(key: &Secret, nonce: u64) -> (ChaCha20, Poly1305) {
    let mut cipher = ChaCha20::new(key.octets().into(), &iv(nonce).into());
    // What is encrypted begins with the next block, whatever of this one is the tag's key.
    let mut block = [0; 64];
    cipher.apply_keystream(&mut block);
    let mac = Poly1305::new(block[..32].try_into().expect("half a block is a key"));
    block.zeroize();
    (cipher, mac)
}

/// The tag, as RFC 8439 has it in section 2.8.
fn tag(mut mac: Poly1305, ad: &[u8], a: &[u8], b: &[u8]) -> [u8; TAG] {
    mac.update_padded(ad);
    let (whole, rest) = a.split_at(a.len() / BLOCK * BLOCK);
    mac.update_padded(whole);
    // A block may lie in both pieces.
    let (over, b_rest) = b.split_at(b.len().min((BLOCK - rest.len()) % BLOCK));
    let mut block = [0; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    block[rest.len()..rest.len() + over.len()].copy_from_slice(over);
    mac.update_padded(&block[..rest.len() + over.len()]);
    mac.update_padded(b_rest);
    let mut lengths = [0; BLOCK];
    lengths[..8].copy_from_slice(&(ad.len() as u64).to_le_bytes());
    lengths[8..].copy_from_slice(&((a.len() + b.len()) as u64).to_le_bytes());
    mac.update_padded(&lengths);
    mac.finalize().into()
}

/// The same by `ring`, which is twice as fast, and takes one piece.
#[cfg(feature = "tls")]
mod whole {
    use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

    use super::{Secret, TAG, iv};

    fn key_of(key: &Secret) -> LessSafeKey {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.octets());
        LessSafeKey::new(key.expect("a key of 32 octets is a key"))
    }

    pub fn seal(key: &Secret, nonce: u64, ad: &[u8], text: &mut [u8]) -> [u8; TAG] {
        let nonce = Nonce::assume_unique_for_key(iv(nonce));
        let sealed = key_of(key).seal_in_place_separate_tag(nonce, Aad::from(ad), text);
        let tag = sealed.expect("a record is shorter than 256 GiB");
        core::array::from_fn(|i| tag.as_ref()[i])
    }

    pub fn open(key: &Secret, nonce: u64, ad: &[u8], text: &mut [u8], with: &[u8; TAG]) -> bool {
        let nonce = Nonce::assume_unique_for_key(iv(nonce));
        let (ad, tag) = (Aad::from(ad), Tag::from(*with));
        key_of(key).open_in_place_separate_tag(nonce, ad, tag, text, 0..).is_ok()
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    /// RFC 8439, section 2.8.2, with Noise's nonce in place of its own, by another implementation.
    #[test]
    fn pieces_are_sealed_as_the_whole() {
        use chacha20poly1305::aead::{AeadInOut, KeyInit};
        let key = Secret::new(core::array::from_fn(|i| i as u8));
        let other = chacha20poly1305::ChaCha20Poly1305::new(key.octets().into());
        for len in 0..100 {
            let text: Vec<u8> = (0..len).map(|i| i as u8 ^ 0x5a).collect();
            let mut expected = text.clone();
            let nonce = 1 << 40 | len as u64;
            let tag = other
                .encrypt_inout_detached(&iv(nonce).into(), b"ad", expected.as_mut_slice().into())
                .expect("short");
            for cut in 0..=len {
                let mut sealed = text.clone();
                let (a, b) = sealed.split_at_mut(cut);
                let got = seal(&key, nonce, b"ad", [a, b]);
                assert_eq!((got.as_slice(), &sealed), (tag.as_slice(), &expected), "{len} {cut}");
                let (a, b) = sealed.split_at_mut(cut);
                assert!(open(&key, nonce, b"ad", [a, b], &got));
                assert_eq!(sealed, text);
            }
        }
    }

    #[test]
    fn changed_octets_do_not_open() {
        let key = Secret::new([7; 32]);
        let text = *b"twenty octets of it.";
        let mut sealed = text;
        let (a, b) = sealed.split_at_mut(9);
        let tag = seal(&key, 5, b"ad", [a, b]);
        let opens = |key: &Secret, nonce, ad: &[u8], mut sealed: [u8; 20], tag: &[u8; TAG]| {
            [0, 9, 20].map(|cut| {
                let (a, b) = sealed.split_at_mut(cut);
                open(key, nonce, ad, [a, b], tag)
            })
        };
        for bit in 0..20 * 8 {
            let mut other = sealed;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opens(&key, 5, b"ad", other, &tag), [false; 3]);
        }
        for bit in 0..TAG * 8 {
            let mut other = tag;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opens(&key, 5, b"ad", sealed, &other), [false; 3]);
        }
        assert_eq!(opens(&key, 6, b"ad", sealed, &tag), [false; 3]);
        assert_eq!(opens(&key, 5, b"a", sealed, &tag), [false; 3]);
        assert_eq!(opens(&Secret::new([8; 32]), 5, b"ad", sealed, &tag), [false; 3]);
    }
}
