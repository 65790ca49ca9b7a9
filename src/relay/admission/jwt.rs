//! Tokens that an issuer signed: JWTs (RFC 7519), by EdDSA with Ed25519 (RFC 8037) or by ES256 (RFC 7518,
//! section 3.4). The key says which: no token chooses its algorithm.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, new_error};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, signature};
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;

use super::policy::Rules;

/// How far the clocks of issuers and relay may be apart, in seconds.
const LEEWAY: u64 = 60;

/// Most keys of an issuer: each is tried.
const MAX_KEYS: usize = 8;

/// Most octets of a subject, which stands in logs.
const MAX_SUBJECT: usize = 128;

/// What stands before the 32 octets of an Ed25519 key (RFC 8410, section 4).
pub(super) const ED25519_PREFIX: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// What stands before the 65 octets of an uncompressed P-256 key (RFC 5480, section 2).
pub(super) const P256_PREFIX: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

/// An issuer of tokens.
pub(super) struct Issuer {
    name: String,
    audience: String,
    /// The keys as the policy has them.
    pems: Vec<String>,
    keys: Vec<IssuerKey>,
    rules: Arc<Rules>,
}

struct IssuerKey {
    key: DecodingKey,
    validation: Validation,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Who bears a token that is good.
#[derive(Debug)]
pub(super) struct Bearer {
    /// Issuer and subject: no name of a static token has a `|`.
    pub holder: String,
    pub subject: String,
    pub rules: Arc<Rules>,
    /// The place of the issuer in the policy.
    pub issuer: usize,
    /// Until when the token is good, in seconds since 1970.
    pub until: u64,
}

/// Why a token is not good.
#[derive(Debug)]
pub(super) enum TokenError {
    /// No issuer of the policy has its `iss`, or it is no JWT.
    Issuer,
    /// It has `crit` in its header (RFC 7515, section 4.1.11), of which nothing is known here.
    Critical,
    /// Its subject is empty or too long.
    Subject,
    /// The signature or a claim is wrong.
    Wrong(jsonwebtoken::errors::Error),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer => f.write_str("no issuer of the policy"),
            Self::Critical => f.write_str("its header has crit"),
            Self::Subject => f.write_str("sub is empty or too long"),
            // The kinds alone: some errors show parts of the token.
            Self::Wrong(error) => match error.kind() {
                ErrorKind::InvalidSignature => f.write_str("wrong signature"),
                ErrorKind::ExpiredSignature => f.write_str("expired"),
                ErrorKind::ImmatureSignature => f.write_str("not valid yet"),
                ErrorKind::InvalidAudience => f.write_str("for another audience"),
                ErrorKind::InvalidIssuer => f.write_str("of another issuer"),
                ErrorKind::InvalidAlgorithm => f.write_str("signed by another algorithm"),
                ErrorKind::MissingRequiredClaim(claim) => write!(f, "without {claim}"),
                ErrorKind::InvalidClaimFormat(claim) => write!(f, "{claim} cannot be read"),
                _ => f.write_str("it cannot be read"),
            },
        }
    }
}

/// The claims that the relay looks at beside those that are validated.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds since 1970, perhaps with a fraction.
    exp: f64,
}

#[derive(Deserialize)]
struct IssuerClaim {
    iss: String,
}

impl Issuer {
    pub fn new(
        name: String,
        audience: String,
        pems: Vec<String>,
        rules: Rules,
    ) -> Result<Self, String> {
        install_ring();
        if name.is_empty() || audience.is_empty() {
            return Err("issuer and audience are not empty".into());
        }
        if pems.is_empty() || pems.len() > MAX_KEYS {
            return Err(format!("it has 1 to {MAX_KEYS} keys"));
        }
        let keys = pems.iter().map(|pem| {
            let (algorithm, key) = read_key(pem)?;
            let mut validation = Validation::new(algorithm);
            validation.leeway = LEEWAY;
            validation.validate_nbf = true;
            validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
            validation.set_audience(&[&audience]);
            validation.set_issuer(&[&name]);
            Ok(IssuerKey { key, validation })
        });
        let keys = keys.collect::<Result<_, String>>()?;
        Ok(Self { name, audience, pems, keys, rules: Arc::new(rules) })
    }

    /// Whether both entries of policies say the same.
    pub fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.audience == other.audience
            && self.pems == other.pems
            && *self.rules == *other.rules
    }
}

/// Reads a public key. Its kind is the only algorithm that it is used for.
fn read_key(pem: &str) -> Result<(Algorithm, DecodingKey), String> {
    let spki = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(
        |_| "a key is no public key in PEM (BEGIN PUBLIC KEY), as `openssl pkey -pubout` writes it",
    )?;
    if let Some(key) = spki.strip_prefix(ED25519_PREFIX)
        && key.len() == 32
    {
        return Ok((Algorithm::EdDSA, DecodingKey::from_ed_der(key)));
    }
    if let Some(key) = spki.strip_prefix(P256_PREFIX)
        && key.len() == 65
    {
        return Ok((Algorithm::ES256, DecodingKey::from_ec_der(key)));
    }
    Err("a key is neither of Ed25519 (for EdDSA) nor of P-256 (for ES256)".into())
}

/// Whether the text has the form of a JWT: three parts.
pub(super) fn may_be_one(token: &[u8]) -> bool {
    token.split(|octet| *octet == b'.').count() == 3
}

/// Who bears the token, if one of the issuers signed it.
pub(super) fn verify(issuers: &[Issuer], token: &[u8]) -> Result<Bearer, TokenError> {
    // Nothing of this is believed: it chooses the keys that are tried.
    let claimed: IssuerClaim =
        jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| TokenError::Issuer)?;
    let at = issuers.iter().position(|issuer| issuer.name == claimed.iss);
    let at = at.ok_or(TokenError::Issuer)?;
    let issuer = &issuers[at];
    let mut wrong = TokenError::Issuer;
    for IssuerKey { key, validation } in &issuer.keys {
        match jsonwebtoken::decode::<Claims>(token, key, validation) {
            Ok(data) if data.header.crit.is_some() => return Err(TokenError::Critical),
            Ok(data) => return bearer(at, issuer, data.claims),
            // Another key may have signed it; nothing else changes with the key.
            Err(error) => wrong = TokenError::Wrong(error),
        }
    }
    Err(wrong)
}

fn bearer(at: usize, issuer: &Issuer, claims: Claims) -> Result<Bearer, TokenError> {
    let Claims { sub, exp } = claims;
    if sub.is_empty() || sub.len() > MAX_SUBJECT {
        return Err(TokenError::Subject);
    }
    Ok(Bearer {
        holder: format!("{}|{sub}", issuer.name),
        subject: sub,
        rules: Arc::clone(&issuer.rules),
        issuer: at,
        until: (exp as u64).saturating_add(LEEWAY),
    })
}

/// A signature's verifier by ring.
struct RingVerifier {
    algorithm: Algorithm,
    key: Vec<u8>,
}

impl signature::Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], given: &Vec<u8>) -> Result<(), signature::Error> {
        let algorithm: &'static dyn ring::signature::VerificationAlgorithm = match self.algorithm {
            Algorithm::EdDSA => &ED25519,
            Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED,
            _ => return Err(signature::Error::new()),
        };
        let key = UnparsedPublicKey::new(algorithm, &self.key);
        key.verify(message, given).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// Has `jsonwebtoken` verify by ring, unless the program chose something else for it before.
fn install_ring() {
    static RING: CryptoProvider = CryptoProvider {
        signer_factory: |_, _| Err(new_error(ErrorKind::InvalidAlgorithm)),
        verifier_factory: |algorithm, key| match algorithm {
            Algorithm::EdDSA | Algorithm::ES256 => {
                let key = key.try_get_as_bytes()?.to_vec();
                Ok(Box::new(RingVerifier { algorithm: *algorithm, key }))
            }
            _ => Err(new_error(ErrorKind::InvalidAlgorithm)),
        },
        key_utils: KeyUtils::new_unimplemented(),
    };
    // An error means that there is one, which does as well.
    let _ = RING.install_default();
}
