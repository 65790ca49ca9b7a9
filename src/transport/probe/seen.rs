//! What a server shows of itself in a TLS handshake.

use std::sync::{Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use super::Shown;
use crate::transport::roots::Verifier;

/// Checks certificates as a client does, and remembers what it saw.
#[derive(Debug)]
pub(super) struct Observer {
    trusted: Verifier,
    public: Verifier,
    shown: Mutex<Shown>,
}

impl Observer {
    /// `trusted` decides, `public` tells whether the public web trusts the certificate, too.
    pub fn new(trusted: Verifier, public: Verifier) -> Self {
        Self { trusted, public, shown: Mutex::default() }
    }

    /// What was seen last.
    pub fn take(&self) -> Shown {
        std::mem::take(&mut *self.shown.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ServerCertVerifier for Observer {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = [own].into_iter().chain(issuers).map(|certificate| certificate.to_vec());
        let is_public = self.public.verify_server_cert(own, issuers, name, ocsp, now).is_ok();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) =
            Shown { chain: chain.collect(), is_public };
        self.trusted.verify_server_cert(own, issuers, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trusted.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trusted.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trusted.supported_verify_schemes()
    }
}
