//! TLS in the relay itself: its certificate, and the handshake of each connection.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{Error as RustlsError, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::refusal::{drain, refusal};
use super::router::{Bucket, Rate};
use super::stall::LINGER;
use crate::pin::KeyPin;

/// The first octet of a record with a handshake (RFC 8446 section 5.1), with which TLS begins.
pub(super) const HANDSHAKE: [u8; 1] = [22];

/// Octets that TLS holds of a client that takes them slowly, beside those of HTTP: as many as HTTP does,
/// so that TLS adds no more than that to what is neither with the sender nor the receiver's kernel.
const BUFFER: usize = 32 * 1024;

/// Refusals that take a handshake. A handshake takes up to a thousandth of a second of a core, so that a flood of
/// connections costs a twentieth of one.
const REFUSALS: Rate = Rate::new(50, 64);

/// A certificate with its chain and its private key, for a relay that speaks TLS itself.
#[derive(Clone)]
pub struct Certificate {
    config: Arc<ServerConfig>,
    pin: KeyPin,
}

/// Why a relay can do nothing with a certificate or its key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFault {
    /// A file cannot be read.
    #[error("cannot read {}: {error}; give files in PEM that the relay may read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        error: io::Error,
    },
    /// There is no certificate in the text.
    #[error("there is no certificate in PEM; give a file with BEGIN CERTIFICATE in it")]
    NoCertificate,
    /// There is no private key in the text.
    #[error(
        "there is no private key in PEM; give a file with BEGIN PRIVATE KEY in it, not encrypted by a password"
    )]
    NoKey,
    /// The key is of another certificate.
    #[error(
        "the private key is not the certificate's; give both of one making, the server's certificate before its issuer's"
    )]
    Mismatch,
    /// The certificate or the key is of a kind that cannot be used.
    #[error(
        "TLS cannot use the certificate or its key ({0}); make an X.509 certificate of version 3 with a key of ECDSA, Ed25519 or RSA"
    )]
    Unusable(String),
}

impl Certificate {
    /// Takes the server's certificate, behind it those of its issuers, if any, and its private key
    /// (PKCS #8, SEC 1 or PKCS #1), each as PEM.
    ///
    /// # Errors
    /// There is none, they do not belong together, or TLS cannot use them.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateFault> {
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|_| CertificateFault::NoCertificate)?;
        let own = chain.first().ok_or(CertificateFault::NoCertificate)?;
        let pin = KeyPin::of(own).ok_or_else(|| {
            CertificateFault::Unusable("the certificate cannot be read".to_owned())
        })?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateFault::NoKey)?;
        let unusable = |error: RustlsError| CertificateFault::Unusable(error.to_string());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| match error {
                RustlsError::InconsistentKeys(_) => CertificateFault::Mismatch,
                error => unusable(error),
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), pin })
    }

    /// Reads the two from files, which may be one.
    ///
    /// # Errors
    /// A file cannot be read, or what [`from_pem`](Self::from_pem) says.
    pub fn read(chain: &Path, key: &Path) -> Result<Self, CertificateFault> {
        let read = |path: &Path| {
            std::fs::read(path)
                .map_err(|error| CertificateFault::File { path: path.to_owned(), error })
        };
        Self::from_pem(&read(chain)?, &read(key)?)
    }

    /// The pin by which clients may know the key.
    pub fn pin(&self) -> KeyPin {
        self.pin
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("pin", &self.pin).finish_non_exhaustive()
    }
}

/// Makes connections speak TLS.
pub(super) struct TlsServer {
    current: RwLock<Arc<ServerConfig>>,
    refusals: Mutex<Bucket>,
    begun: Instant,
}

impl TlsServer {
    pub fn new(certificate: Certificate) -> Self {
        Self {
            current: RwLock::new(certificate.config),
            refusals: Mutex::default(),
            begun: Instant::now(),
        }
    }

    /// Has later handshakes use this certificate. What clients may resume is kept with the certificate, so
    /// that nothing of an old key is resumed.
    pub fn set_certificate(&self, certificate: Certificate) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = certificate.config;
    }

    /// Makes the handshake, which may take `timeout`.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        timeout: Duration,
    ) -> io::Result<TlsStream<S>> {
        let current = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let shaken = TlsAcceptor::from(current)
            .accept_with(stream, |session| session.set_buffer_limit(Some(BUFFER)));
        tokio::time::timeout(timeout, shaken).await?
    }

    /// Whether another connection may be refused by [`refuse`](Self::refuse), which takes a handshake.
    pub fn may_refuse(&self) -> bool {
        let now = self.begun.elapsed().as_millis() as u64;
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.take(now, REFUSALS, 1, 0).is_ok()
    }

    /// Answers a connection without having read a request. All of it takes [`LINGER`] at most.
    pub async fn refuse(&self, stream: TcpStream, answer: &[u8]) {
        let refused = async {
            let mut stream = self.accept(stream, LINGER).await?;
            stream.write_all(answer).await?;
            stream.shutdown().await?;
            drain(stream).await
        };
        // The client comes back, whether it read the answer or not.
        let _ = tokio::time::timeout(LINGER, refused).await;
    }
}

/// Answers a client that does not speak TLS.
pub(super) async fn refuse_plain(mut stream: TcpStream) {
    const WHY: &str = "byway relay: this port speaks TLS; write https:// in the URL\n";
    let answer = refusal("400 Bad Request", "", WHY);
    let refused = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        drain(stream).await
    };
    // What is no HTTP does not wait for an answer in HTTP.
    let _ = tokio::time::timeout(LINGER, refused).await;
}
