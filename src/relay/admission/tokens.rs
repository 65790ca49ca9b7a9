//! Tokens of which the policy has the SHA-256.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::policy::Rules;

/// Random octets of a new token: nobody guesses 256 bits.
const TOKEN_OCTETS: usize = 32;

/// The SHA-256 of a token.
#[derive(Clone, Copy)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut octets = [0; 32];
        if digits.len() != 2 * octets.len() {
            return None;
        }
        for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [pair[0], pair[1]].map(|digit| (digit as char).to_digit(16));
            *octet = (high? << 4 | low?) as u8;
        }
        Some(Self(octets))
    }

    /// Whether both are the same, in a time that does not depend on where they differ.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// A number by which digests are looked up: of a hash with a secret, so that the time of a look-up says nothing
    /// of the digests that are there.
    pub fn bucket(&self, secret: &RandomState) -> u64 {
        secret.hash_one(self.0)
    }
}

/// Does not show the digest, by which a weak token could be guessed.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// The static tokens of a policy.
#[derive(Debug, Default)]
pub(super) struct StaticTokens {
    tokens: Vec<StaticToken>,
    secret: RandomState,
    buckets: HashMap<u64, Vec<usize>>,
}

#[derive(Debug)]
struct StaticToken {
    holder: String,
    digest: Digest,
    rules: Arc<Rules>,
}

impl StaticTokens {
    /// False if the token is there already.
    pub fn add(&mut self, holder: String, digest: Digest, rules: Arc<Rules>) -> bool {
        if self.find(&digest).is_some() {
            return false;
        }
        let bucket = digest.bucket(&self.secret);
        self.buckets.entry(bucket).or_default().push(self.tokens.len());
        self.tokens.push(StaticToken { holder, digest, rules });
        true
    }

    /// The place of the token with this digest.
    pub fn find(&self, digest: &Digest) -> Option<usize> {
        let bucket = self.buckets.get(&digest.bucket(&self.secret))?;
        bucket.iter().copied().find(|&at| self.tokens[at].digest.is(digest))
    }

    /// Digest, name and rules of each token, in their order.
    pub fn entries(&self) -> impl Iterator<Item = (&Digest, &str, &Arc<Rules>)> {
        self.tokens.iter().map(|token| (&token.digest, token.holder.as_str(), &token.rules))
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }
}

/// Writes octets as base64url without padding (RFC 4648, section 5).
pub(super) fn base64url(octets: &[u8], text: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for chunk in octets.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, octet| bits << 8 | u32::from(*octet));
        let bits = bits << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(DIGITS[(bits >> (18 - 6 * place) & 63) as usize] as char);
        }
    }
}

/// A token, and the lines by which a policy knows it.
pub struct NewToken {
    token: Zeroizing<String>,
    policy: String,
}

impl NewToken {
    /// Makes a token of random octets, as text, and the lines of a policy that let its bearer listen and connect
    /// everywhere.
    pub fn new(name: &str, random: &[u8; TOKEN_OCTETS]) -> Self {
        let mut token = Zeroizing::new(String::from("byway_"));
        base64url(random, &mut token);
        let policy = Self::lines(name, token.as_bytes());
        Self { token, policy }
    }

    /// The lines of a policy for a token that is there already.
    pub fn lines(name: &str, token: &[u8]) -> String {
        use std::fmt::Write;
        let mut sha256 = String::new();
        for octet in Digest::of(token).0 {
            // A string takes whatever is written.
            let _ = write!(sha256, "{octet:02x}");
        }
        format!(
            "[[token]]\nname = \"{}\"\nsha256 = \"{sha256}\"\nlisten = [\"*\"]\nconnect = [\"*\"]\n",
            name.escape_default()
        )
    }

    /// The token itself, for its bearer.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The lines for the policy.
    pub fn policy(&self) -> &str {
        &self.policy
    }
}

/// Does not show the token.
impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewToken(..)")
    }
}
