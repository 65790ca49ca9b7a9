use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};

use super::super::tokens::base64url;
use super::*;
use crate::wire::Endpoint;

/// An issuer's key.
pub enum Key {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair, SystemRandom),
}

impl Key {
    pub fn ed(seed: u8) -> Self {
        Self::Ed(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    pub fn ec() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::Ec(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap(), random)
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed(_) => "EdDSA",
            Self::Ec(..) => "ES256",
        }
    }

    fn spki(&self) -> Vec<u8> {
        match self {
            Self::Ed(key) => [jwt::ED25519_PREFIX, key.public_key().as_ref()].concat(),
            Self::Ec(key, _) => [jwt::P256_PREFIX, key.public_key().as_ref()].concat(),
        }
    }

    /// The entry of a policy with this key.
    pub fn issuer(&self, rest: &str) -> String {
        let mut base64 = String::new();
        base64url(&self.spki(), &mut base64);
        let base64 = base64.replace('-', "+").replace('_', "/");
        let padding = "=".repeat((4 - base64.len() % 4) % 4);
        format!(
            "[[issuer]]\nissuer = \"https://id.example\"\naudience = \"byway\"\nkeys = [\"-----BEGIN PUBLIC KEY-----\\n{base64}{padding}\\n-----END PUBLIC KEY-----\"]\n{rest}"
        )
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
            Self::Ec(key, random) => key.sign(random, message).unwrap().as_ref().to_vec(),
        }
    }

    pub fn token(&self, claims: &str) -> String {
        self.headed(&format!("{{\"alg\":\"{}\",\"typ\":\"JWT\"}}", self.algorithm()), claims)
    }

    fn headed(&self, header: &str, claims: &str) -> String {
        let mut token = String::new();
        base64url(header.as_bytes(), &mut token);
        token.push('.');
        base64url(claims.as_bytes(), &mut token);
        let signature = self.sign(token.as_bytes());
        token.push('.');
        base64url(&signature, &mut token);
        token
    }
}

/// Claims of a subject that expire so many seconds from now.
pub fn claims(subject: &str, seconds: i64, more: &str) -> String {
    let exp = unix_seconds() as i64 + seconds;
    format!(
        "{{\"iss\":\"https://id.example\",\"aud\":\"byway\",\"sub\":\"{subject}\",\"exp\":{exp}{more}}}"
    )
}

#[test]
fn tokens_of_both_algorithms_are_verified_once() {
    for key in [Key::ed(1), Key::ec()] {
        let admission = admission(&key.issuer("listen = [\"{sub}:*\"]\n"));
        let token = key.token(&claims("camera-7", 3_600, ",\"nbf\":1"));
        for _ in 0..5 {
            let grant = admit(&admission, &token).unwrap();
            assert_eq!(&**grant.holder(), "https://id.example|camera-7");
            let may = |name| grant.may_listen(&Endpoint::try_from(name).unwrap());
            assert!(may("camera-7:1") && !may("camera-8:1") && !may("camera-77:1"));
        }
        assert_eq!(admission.stats().verified, 1);
    }
}

#[test]
fn subjects_are_no_patterns() {
    let key = Key::ed(1);
    let admission = admission(&key.issuer("listen = [\"{sub}:1\"]\n"));
    let grant = admit(&admission, &key.token(&claims("*", 3_600, ""))).unwrap();
    assert!(!grant.may_listen(&Endpoint::try_from("camera:1").unwrap()));
}

#[test]
fn tokens_with_wrong_claims_are_refused() {
    let key = Key::ed(1);
    let admission = admission(&key.issuer(""));
    let exp = unix_seconds() + 3_600;
    let soon = unix_seconds() + 600;
    let good = "\"iss\":\"https://id.example\",\"aud\":\"byway\",\"sub\":\"s\"";
    admit(&admission, &key.token(&format!("{{{good},\"exp\":{exp}}}"))).unwrap();
    for (claims, why) in [
        (claims("s", -120, ""), "expired"),
        (format!("{{{good}}}"), "without exp"),
        (format!("{{{good},\"exp\":\"{exp}\"}}"), "exp is text"),
        (format!("{{{good},\"exp\":{exp},\"nbf\":{soon}}}"), "not valid yet"),
        (format!("{{{good},\"exp\":{exp},\"nbf\":\"1\"}}"), "nbf is text"),
        (format!("{{{},\"exp\":{exp}}}", good.replace("byway", "other")), "another audience"),
        (format!("{{{},\"exp\":{exp}}}", good.replace("\"aud\":\"byway\",", "")), "no audience"),
        (format!("{{{},\"exp\":{exp}}}", good.replace("id.example", "id.evil")), "another issuer"),
        (format!("{{{},\"exp\":{exp}}}", good.replace(",\"sub\":\"s\"", "")), "no subject"),
        (claims("", 3_600, ""), "an empty subject"),
        (claims(&"s".repeat(200), 3_600, ""), "a long subject"),
        ("{}".into(), "no claims"),
        ("[".into(), "no JSON"),
    ] {
        assert_eq!(admit(&admission, &key.token(&claims)).unwrap_err(), Denial::BadToken, "{why}");
    }
}

#[test]
fn a_token_cannot_choose_its_algorithm() {
    let (ed, ec, other) = (Key::ed(1), Key::ec(), Key::ed(2));
    let by_ed = admission(&ed.issuer(""));
    let by_ec = admission(&ec.issuer(""));
    let claims = claims("s", 3_600, "");
    let unsigned = {
        let mut token = String::new();
        base64url(b"{\"alg\":\"none\"}", &mut token);
        token.push('.');
        base64url(claims.as_bytes(), &mut token);
        token + "."
    };
    // An HMAC whose secret is the issuer's public key, as it stands in the policy or raw.
    let by_mac = |secret: &[u8]| {
        let mut token = String::new();
        base64url(b"{\"alg\":\"HS256\"}", &mut token);
        token.push('.');
        base64url(claims.as_bytes(), &mut token);
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let mac = ring::hmac::sign(&key, token.as_bytes());
        token.push('.');
        base64url(mac.as_ref(), &mut token);
        token
    };
    let mut cut = ed.token(&claims);
    cut.truncate(cut.rfind('.').unwrap() + 1);
    let mut longer = ed.token(&claims);
    longer.push('A');
    for (admission, token, why) in [
        (&by_ed, unsigned.clone(), "none"),
        (&by_ec, unsigned, "none"),
        (&by_ed, by_mac(&ed.spki()), "HMAC with the key"),
        (&by_ed, by_mac(&ed.spki()[12..]), "HMAC with the raw key"),
        (&by_ec, by_mac(&ec.spki()), "HMAC with the key"),
        (&by_ed, other.token(&claims), "another key"),
        (&by_ed, ec.token(&claims), "a key of another kind"),
        (&by_ec, ed.token(&claims), "a key of another kind"),
        (&by_ed, ed.headed("{\"alg\":\"ES256\"}", &claims), "the other algorithm's name"),
        (&by_ec, ec.headed("{\"alg\":\"EdDSA\"}", &claims), "the other algorithm's name"),
        (&by_ed, ed.headed("{\"alg\":\"EdDSA\",\"crit\":[\"x\"]}", &claims), "crit"),
        (&by_ed, cut, "no signature"),
        (&by_ed, longer, "a longer signature"),
        (&by_ed, "..".into(), "nothing"),
    ] {
        assert_eq!(admit(admission, &token).unwrap_err(), Denial::BadToken, "{why}: {token}");
    }
}

#[test]
fn verified_tokens_are_forgotten_with_the_policy() {
    let (key, other) = (Key::ed(1), Key::ed(2));
    let admission = admission(&key.issuer(""));
    let token = key.token(&claims("s", 3_600, ""));
    admit(&admission, &token).unwrap();
    admission.set_policy(Arc::new(Policy::parse(&other.issuer("")).unwrap()));
    assert_eq!(admit(&admission, &token).unwrap_err(), Denial::BadToken);
}

#[test]
fn verified_tokens_expire_and_are_bounded() {
    let key = Key::ed(1);
    let admission = admission(&key.issuer(""));
    let grant = admit(&admission, &key.token(&claims("s", 3_600, ""))).unwrap();
    let mut verified = cache::VerifiedTokens::default();
    let digest = |n: u32| Digest::of(&n.to_be_bytes());
    verified.insert(digest(0), Arc::clone(&grant), 100, 50);
    assert!(verified.get(&digest(0), 99).is_some() && verified.get(&digest(0), 100).is_none());
    for n in 0..20_000 {
        verified.insert(digest(n), Arc::clone(&grant), 100, 50);
    }
    assert_eq!(verified.len(), 10_000);
    verified.insert(digest(30_000), Arc::clone(&grant), 200, 100);
    assert_eq!(verified.len(), 1, "what has expired goes first");
}

#[test]
fn verified_tokens_of_issuers_that_stay_as_they_are_outlive_a_reload() {
    let key = Key::ed(1);
    let token = key.token(&claims("camera-7", 3_600, ""));
    let issuer = key.issuer("listen = [\"{sub}:*\"]\n");
    let admission = admission(&issuer);
    let grant = admit(&admission, &token).unwrap();
    let other = NewToken::new("other", &[7; 32]);
    let same = format!("{}{issuer}", other.policy());
    admission.set_policy(Arc::new(Policy::parse(&same).unwrap()));
    admit(&admission, &token).unwrap();
    assert_eq!(admission.stats().verified, 1, "it is known");
    assert!(!grant.is_revoked());
    admission.set_policy(Arc::new(Policy::parse(&key.issuer("")).unwrap()));
    assert!(grant.is_revoked());
    admit(&admission, &token).unwrap();
    assert_eq!(admission.stats().verified, 2, "the issuer's tokens may do something else now");
}
