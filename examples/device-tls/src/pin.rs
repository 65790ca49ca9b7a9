//! The relay's key: that it is the pinned one, and that the relay has it.

use embedded_tls::{
    Aes128GcmSha256, CertificateEntryRef, CertificateRef, CertificateVerifyRef, SignatureScheme,
    TlsError, TlsVerifier,
};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{DerSignature, VerifyingKey};
use sha2::{Digest, Sha256};

/// What a SubjectPublicKeyInfo of P-256 begins with (RFC 5480 section 2); the point follows.
const HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Octets of a point that is not compressed.
const POINT: usize = 65;

/// What stands before the hash that a server signs (RFC 8446 section 4.4.3).
const CONTEXT: &[u8; 34] = b"TLS 1.3, server CertificateVerify\0";

/// Checks a server by the SHA-256 of its SubjectPublicKeyInfo.
pub struct PinVerifier {
    pin: [u8; 32],
    progress: Progress,
}

enum Progress {
    Nothing,
    /// The certificate has the pinned key.
    Certified(VerifyingKey, Sha256),
    /// The server signed by it.
    Signed,
}

impl PinVerifier {
    /// Takes the pin that `byway relay` prints, without its base64.
    pub fn new(pin: [u8; 32]) -> Self {
        Self { pin, progress: Progress::Nothing }
    }

    /// Whether a handshake was signed by the pinned key. A handshake that ended without that is
    /// nobody's.
    pub fn is_satisfied(&self) -> bool {
        matches!(self.progress, Progress::Signed)
    }

    /// The pinned key, wherever in the certificate. A certificate can be made that holds it elsewhere than
    /// as its own: of use is that to nobody, since the signature must be by this key.
    fn find(&self, certificate: &[u8]) -> Option<VerifyingKey> {
        let infos = certificate.windows(HEAD.len() + POINT);
        let mut own = infos.filter(|info| info.starts_with(&HEAD));
        // A pin is public: the comparison tells nothing by its time.
        let info = own.find(|info| Sha256::digest(info)[..] == self.pin)?;
        VerifyingKey::from_sec1_bytes(&info[HEAD.len()..]).ok()
    }
}

impl TlsVerifier<Aes128GcmSha256> for PinVerifier {
    fn set_hostname_verification(&mut self, _: &str) -> Result<(), TlsError> {
        Ok(())
    }

    fn verify_certificate(
        &mut self,
        transcript: &Sha256,
        certificate: CertificateRef<'_>,
    ) -> Result<(), TlsError> {
        let key = match certificate.entries.first() {
            Some(CertificateEntryRef::X509(own)) => self.find(own),
            Some(CertificateEntryRef::RawPublicKey(_)) | None => None,
        };
        let key = key.ok_or(TlsError::InvalidCertificate)?;
        self.progress = Progress::Certified(key, transcript.clone());
        Ok(())
    }

    fn verify_signature(&mut self, verify: CertificateVerifyRef<'_>) -> Result<(), TlsError> {
        let Progress::Certified(key, transcript) = &self.progress else {
            return Err(TlsError::InvalidSignature);
        };
        if verify.signature_scheme != SignatureScheme::EcdsaSecp256r1Sha256 {
            return Err(TlsError::InvalidSignatureScheme);
        }
        let mut signed = [0x20; 64 + CONTEXT.len() + 32];
        signed[64..64 + CONTEXT.len()].copy_from_slice(CONTEXT);
        signed[64 + CONTEXT.len()..].copy_from_slice(&transcript.clone().finalize());
        let signature = DerSignature::from_bytes(verify.signature);
        let signature = signature.map_err(|_| TlsError::InvalidSignature)?;
        key.verify(&signed, &signature).map_err(|_| TlsError::InvalidSignature)?;
        self.progress = Progress::Signed;
        Ok(())
    }
}
