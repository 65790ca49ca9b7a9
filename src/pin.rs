//! Pins: the keys by which a relay is known without an authority.

use core::fmt;
use core::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::ConfigError;

/// The algorithm of every pin. curl writes a second slash behind it.
const ALGORITHM: &str = "sha256/";

/// A key of TLS, by the SHA-256 of its SubjectPublicKeyInfo (RFC 7469 section 2.4): the key outlives the
/// certificates that are made of it. As text `sha256/` and 44 characters of base64.
///
/// A pin is public: it lets a client know a relay, and nobody be one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyPin([u8; 32]);

impl KeyPin {
    /// Makes a pin of the SHA-256 itself.
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The SHA-256.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(any(feature = "tls", feature = "relay-tls"))]
impl KeyPin {
    /// The pin of the key in a certificate; `None`: the certificate cannot be read.
    pub(crate) fn of(certificate: &rustls::pki_types::CertificateDer<'_>) -> Option<Self> {
        let certificate = rustls::server::ParsedCertificate::try_from(certificate).ok()?;
        sha256(&certificate.subject_public_key_info()).map(Self)
    }

    /// Whether this is one of `pins`. Takes the same time whichever octets differ.
    #[cfg(feature = "tls")]
    pub(crate) fn is_among(&self, pins: &[Self]) -> bool {
        use subtle::{Choice, ConstantTimeEq};
        let found = pins.iter().map(|pin| pin.0.ct_eq(&self.0));
        found.fold(Choice::from(0), |found, equal| found | equal).into()
    }
}

/// SHA-256 by the library that does it for TLS.
#[cfg(any(feature = "tls", feature = "relay-tls"))]
pub(crate) fn sha256(octets: &[u8]) -> Option<[u8; 32]> {
    use rustls::{SupportedCipherSuite, crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256};
    match TLS13_AES_128_GCM_SHA256 {
        SupportedCipherSuite::Tls13(suite) => {
            suite.common.hash_provider.hash(octets).as_ref().try_into().ok()
        }
        SupportedCipherSuite::Tls12(_) => None,
    }
}

impl FromStr for KeyPin {
    type Err = ConfigError;

    /// # Errors
    /// [`ConfigError::Setting`]: the text is no pin.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        const WRONG: ConfigError = ConfigError::Setting(
            "a pinned key (--roots pin:…) is sha256/ and 44 characters of base64, as byway relay prints it when it starts; several are apart by commas",
        );
        // As the relay prints it, also where several stand behind each other.
        let text = text.strip_prefix("pin:").unwrap_or(text);
        let digest = text.strip_prefix(ALGORITHM).ok_or(WRONG)?;
        let digest = STANDARD.decode(digest.strip_prefix('/').unwrap_or(digest));
        digest.ok().and_then(|digest| digest.try_into().ok()).map(Self).ok_or(WRONG)
    }
}

impl fmt::Display for KeyPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ALGORITHM)?;
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for KeyPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pin_is_read_as_it_is_written_and_as_curl_writes_it() {
        let pin = KeyPin::new(core::array::from_fn(|i| 7 * i as u8));
        let text = pin.to_string();
        assert_eq!(text.parse(), Ok(pin));
        assert_eq!(text.replacen('/', "//", 1).parse(), Ok(pin));
        for wrong in [
            "",
            "sha256/",
            "sha1/AAAA",
            &text[..text.len() - 4],
            &text[1..],
            &format!("{text}AAAA"),
        ] {
            assert!(wrong.parse::<KeyPin>().is_err(), "{wrong}");
        }
    }
}
