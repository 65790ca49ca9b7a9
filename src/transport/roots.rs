//! The certificates and keys that are trusted.
//!
//! The system's certificates come by rustls-native-certs, which reads them once, into the checks below:
//! these take a self-signed certificate that is trusted itself, tell every fault from the others, and
//! are the same on every system. rustls-platform-verifier would ask the system itself, which knows
//! revocations and what users distrust on Windows, macOS, iOS and Android; but on Linux it reads the same
//! files, on Android it needs a Java component in the app, and it has none of the above.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::Roots;
use crate::error::ConfigError;
use crate::pin::{KeyPin, sha256};

/// Checks certificates by webpki against those that are trusted. A server's own certificate that is
/// itself trusted is taken as well, which webpki alone would refuse: such a certificate may be marked as an
/// authority, may be of an issuer that is not trusted, and may have its name as common name alone, as
/// `openssl req -x509` makes them.
///
/// With pins nothing but the key counts.
#[derive(Debug)]
pub(super) struct Verifier {
    trusted: Trusted,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Trusted {
    Certificates(TrustedCertificates),
    Keys(Vec<KeyPin>),
}

#[derive(Debug)]
struct TrustedCertificates {
    /// Those that may issue others.
    authorities: RootCertStore,
    /// All.
    own: Vec<Fingerprint>,
}

/// The server has another key than those that are pinned.
#[derive(Debug, thiserror::Error)]
#[error("the server's key is not pinned; its pin is {0}")]
pub(super) struct NotPinned(KeyPin);

/// The SHA-256 of a certificate.
#[derive(PartialEq, Eq)]
struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        sha256(certificate).map(Self)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl Verifier {
    pub fn new(roots: &Roots, provider: &Arc<CryptoProvider>) -> Result<Self, ConfigError> {
        const NO_PEM: ConfigError = ConfigError::Setting(
            "the trusted roots (--roots) are no certificates in PEM; give a file with BEGIN CERTIFICATE in it",
        );
        const NO_SYSTEM: ConfigError = ConfigError::Setting(
            "the system has no trusted roots that can be read; install them (ca-certificates), look at SSL_CERT_FILE and SSL_CERT_DIR, or give a file",
        );
        const NO_PIN: ConfigError =
            ConfigError::Setting("no key is pinned; give the pin that byway relay prints");
        let algorithms = provider.signature_verification_algorithms;
        let certificates = match roots {
            Roots::Pins(pins) if pins.is_empty() => return Err(NO_PIN),
            Roots::Pins(pins) => {
                return Ok(Self { trusted: Trusted::Keys(pins.clone()), algorithms });
            }
            Roots::Pem(pem) => {
                let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>();
                store(certificates.map_err(|_| NO_PEM)?).ok_or(NO_PEM)?
            }
            Roots::System => system().ok_or(NO_SYSTEM)?,
            Roots::Web => web(),
            Roots::SystemOrWeb if is_named() => system().ok_or(NO_SYSTEM)?,
            Roots::SystemOrWeb => system().unwrap_or_else(web),
        };
        Ok(Self { trusted: Trusted::Certificates(certificates), algorithms })
    }
}

impl TrustedCertificates {
    fn has(&self, certificate: &CertificateDer<'_>) -> bool {
        Fingerprint::of(certificate).is_some_and(|it| self.own.contains(&it))
    }
}

/// Checks the key of a certificate, and nothing else of it.
fn verify_key(certificate: &CertificateDer<'_>, pins: &[KeyPin]) -> Result<(), Error> {
    let pin = KeyPin::of(certificate).ok_or(CertificateError::BadEncoding)?;
    match pin.is_among(pins) {
        true => Ok(()),
        false => Err(CertificateError::Other(OtherError(Arc::new(NotPinned(pin)))).into()),
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let trusted = match &self.trusted {
            Trusted::Certificates(trusted) => trusted,
            Trusted::Keys(pins) => {
                return verify_key(end_entity, pins).map(|()| ServerCertVerified::assertion());
            }
        };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let (authorities, algorithms) = (&trusted.authorities, self.algorithms.all);
        let issued = verify_server_cert_signed_by_trust_anchor(
            &certificate,
            authorities,
            intermediates,
            now,
            algorithms,
        );
        let named = || verify_server_name(&certificate, name);
        match issued.and_then(|()| named()) {
            Err(_) if trusted.has(end_entity) => {
                kind(&certificate, now)?;
                match named() {
                    Err(_) if is_common_name(end_entity, &name.to_str()) => {}
                    named => named?,
                }
            }
            verified => verified?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// What a certificate is by its basicConstraints (RFC 5280 section 4.2.1.9).
#[derive(Debug, PartialEq, Eq)]
enum CertificateKind {
    Authority,
    EndEntity,
}

/// Tells what a certificate is, if it is valid now and, unless it is an authority's, for a server. The
/// check goes against no authority at all, which webpki finds fault with only after the dates.
fn kind(certificate: &ParsedCertificate<'_>, now: UnixTime) -> Result<CertificateKind, Error> {
    let nobody = RootCertStore::empty();
    let refusal =
        match verify_server_cert_signed_by_trust_anchor(certificate, &nobody, &[], now, &[]) {
            Ok(()) => return Ok(CertificateKind::EndEntity),
            Err(refusal) => refusal,
        };
    match &refusal {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            Ok(CertificateKind::EndEntity)
        }
        Error::InvalidCertificate(CertificateError::Other(other))
            if other.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity) =>
        {
            Ok(CertificateKind::Authority)
        }
        _ => Err(refusal),
    }
}

/// Whether a certificate may issue others, whatever its dates, which do not count in an authority. Those
/// of X.509 version 1, which do not say, may, and so may those that only webpki's reader of authorities
/// can read.
fn is_authority(certificate: &CertificateDer<'_>) -> bool {
    let Ok(certificate) = ParsedCertificate::try_from(certificate) else { return true };
    let epoch = UnixTime::since_unix_epoch(Duration::ZERO);
    let found = match kind(&certificate, epoch) {
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before, ..
        })) => kind(&certificate, not_before),
        found => found,
    };
    found == Ok(CertificateKind::Authority)
}

/// Sorts out the authorities among the certificates, and all that can be trusted; `None`: there are none.
fn store(certificates: Vec<CertificateDer<'_>>) -> Option<TrustedCertificates> {
    let mut authorities = RootCertStore::empty();
    let mut own = Vec::new();
    for certificate in certificates {
        let fingerprint = Fingerprint::of(&certificate);
        // Some certificates in the stores of systems cannot be read.
        if !is_authority(&certificate) || authorities.add(certificate).is_ok() {
            own.extend(fingerprint);
        }
    }
    (!own.is_empty()).then_some(TrustedCertificates { authorities, own })
}

/// Reads what the operating system trusts, or what SSL_CERT_FILE and SSL_CERT_DIR name instead.
fn system() -> Option<TrustedCertificates> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        log::warn!("a store of trusted roots cannot be read: {error}");
    }
    store(found.certs)
}

/// Whether the environment names roots: then others are not trusted in their place.
fn is_named() -> bool {
    ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| std::env::var_os(name).is_some())
}

fn web() -> TrustedCertificates {
    let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
    TrustedCertificates { authorities: RootCertStore { roots }, own: Vec::new() }
}

/// The object identifiers of a subject's common name and of the extension subjectAltName, as DER has
/// them (RFC 5280 appendix A).
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
const SUBJECT_ALT_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x11];

/// Whether a certificate without subjectAltName has this common name. Where there is that extension,
/// only it counts (RFC 6125 section 6.4.4).
fn is_common_name(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let has = |octets: &[u8], part: &[u8]| octets.windows(part.len()).any(|at| at == part);
    if has(certificate, SUBJECT_ALT_NAME) {
        return false;
    }
    let mut anchor = RootCertStore::empty();
    if anchor.add(certificate.clone().into_owned()).is_err() {
        return false;
    }
    anchor.roots.iter().any(|anchor| {
        let subject = anchor.subject.as_ref();
        let at = subject.windows(COMMON_NAME.len()).position(|part| part == COMMON_NAME);
        // Behind it are the tag of a string, its length, below 128 as a host name's is, and the text.
        let text = at.and_then(|at| {
            let (&[_, len], text) = subject[at + COMMON_NAME.len()..].split_first_chunk::<2>()?;
            text.get(..usize::from(len))
        });
        text.is_some_and(|text| text.eq_ignore_ascii_case(name.as_bytes()))
    })
}
