//! Whose certificates are trusted.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, hash, ring::cipher_suite::TLS13_AES_128_GCM_SHA256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedCipherSuite,
};

use super::Roots;
use crate::error::ConfigError;

/// Trusted certificates, checked by webpki. What it does not take and others do is a server's own
/// certificate that is among them: such a one may be marked as an authority, and may have its name as
/// common name alone, as `openssl req -x509` makes them.
#[derive(Debug)]
pub(super) struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    trusted: Vec<Fingerprint>,
}

/// The SHA-256 of a certificate.
struct Fingerprint(hash::Output);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        match TLS13_AES_128_GCM_SHA256 {
            SupportedCipherSuite::Tls13(suite) => {
                Some(Self(suite.common.hash_provider.hash(certificate)))
            }
            SupportedCipherSuite::Tls12(_) => None,
        }
    }
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_ref() == other.0.as_ref()
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().iter().try_for_each(|octet| write!(f, "{octet:02x}"))
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
        let (store, trusted) = match roots {
            Roots::Pem(pem) => {
                let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>();
                store(certificates.map_err(|_| NO_PEM)?).ok_or(NO_PEM)?
            }
            Roots::System => system().ok_or(NO_SYSTEM)?,
            Roots::Web => web(),
            Roots::SystemOrWeb if is_named() => system().ok_or(NO_SYSTEM)?,
            Roots::SystemOrWeb => system().unwrap_or_else(web),
        };
        let webpki =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
        // It fails for an empty store alone, which none of these is.
        Ok(Self { webpki: webpki.build().map_err(|_| NO_PEM)?, trusted })
    }

    /// Whether a certificate that webpki refuses for this reason is to be taken, being trusted itself.
    /// It looks at the dates before it looks for an authority, and at the name last.
    fn is_taken(
        &self,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
        refusal: &Error,
    ) -> Result<bool, Error> {
        let Error::InvalidCertificate(refusal) = refusal else { return Ok(false) };
        let is_excused = match refusal {
            CertificateError::Other(other) => other
                .0
                .downcast_ref::<webpki::Error>()
                .is_some_and(|error| *error == webpki::Error::CaUsedAsEndEntity),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                true
            }
            _ => false,
        };
        if !is_excused || Fingerprint::of(certificate).is_none_or(|it| !self.trusted.contains(&it))
        {
            return Ok(false);
        }
        let named =
            rustls::client::verify_server_name(&ParsedCertificate::try_from(certificate)?, name);
        match named {
            Ok(()) => Ok(true),
            Err(_) if is_common_name(certificate, &name.to_str()) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.webpki.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        match verified {
            Err(refusal) if self.is_taken(end_entity, name, &refusal)? => {
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// The certificates that can be trusted; `None`: there is none.
fn store(certificates: Vec<CertificateDer<'_>>) -> Option<(RootCertStore, Vec<Fingerprint>)> {
    let mut store = RootCertStore::empty();
    let mut trusted = Vec::new();
    for certificate in certificates {
        let fingerprint = Fingerprint::of(&certificate);
        // Stores of systems have some that nobody can read.
        if store.add(certificate).is_ok() {
            trusted.extend(fingerprint);
        }
    }
    (!store.is_empty()).then_some((store, trusted))
}

/// What the operating system trusts, or what SSL_CERT_FILE and SSL_CERT_DIR name instead.
fn system() -> Option<(RootCertStore, Vec<Fingerprint>)> {
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

fn web() -> (RootCertStore, Vec<Fingerprint>) {
    let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
    (RootCertStore { roots }, Vec::new())
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
