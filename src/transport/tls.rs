//! TLS over a connection, by rustls.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Error as RustlsError,
    SignatureScheme, StreamOwned,
};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, Transport, TransportAdapter,
};

use super::buffer::FixedBuffers;
use super::gather::is_end;
use super::roots::{NotPinned, Verifier};
use super::url::Host;
use super::{Obstacle, Roots};
use crate::error::{Blocked, ConfigError, TlsFault};

/// Puts TLS around the connection. Without settings the relay is asked for without TLS.
#[derive(Debug, Clone, Default)]
pub(super) struct TlsConnector {
    settings: Option<TlsSettings>,
    /// Octets of each of the two buffers.
    pub buffer: usize,
}

/// What a handshake with the relay takes.
#[derive(Debug, Clone)]
pub(super) struct TlsSettings {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    nobody: Arc<Nobody>,
}

impl TlsSettings {
    /// Settings for TLS with `host`, whose certificate is checked by `verifier`.
    pub fn new(host: &Host, verifier: Arc<dyn ServerCertVerifier>) -> Result<Self, ConfigError> {
        let name = ServerName::try_from(host.without_zone().to_owned())
            .map_err(|_| ConfigError::RelayUrl("its host is no name that a certificate has"))?;
        let nobody = Arc::new(Nobody::default());
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| ConfigError::Setting("TLS has no version that can be used"))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::clone(&nobody) as Arc<dyn ResolvesClientCert>);
        Ok(Self { config: Arc::new(config), name, nobody })
    }

    /// Makes the handshake.
    pub fn shake<S: Read + Write>(
        &self,
        mut socket: S,
    ) -> Result<StreamOwned<ClientConnection, S>, Error> {
        self.nobody.was_asked.store(false, Relaxed);
        let mut session = ClientConnection::new(Arc::clone(&self.config), self.name.clone())
            .map_err(|fault| refusal(&fault, false))?;
        match session.complete_io(&mut socket) {
            Ok(_) => Ok(StreamOwned::new(session, socket)),
            Err(error) => Err(explain(error, &self.nobody, true)),
        }
    }
}

impl TlsConnector {
    /// Reads the trusted roots for TLS with `host`.
    pub fn new(host: &Host, roots: &Roots, buffer: usize) -> Result<Self, ConfigError> {
        let verifier = Verifier::new(roots, &Arc::new(ring::default_provider()))?;
        let settings = TlsSettings::new(host, Arc::new(verifier))?;
        Ok(Self { settings: Some(settings), buffer })
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, Tls<In>>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let Some(connection) = chained else { return Ok(None) };
        let Some(settings) = &self.settings else { return Ok(Some(Either::A(connection))) };
        let nobody = Arc::clone(&settings.nobody);
        let mut socket = TransportAdapter::new(connection, Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        let stream = settings.shake(socket)?;
        let buffers = FixedBuffers::new(self.buffer);
        Ok(Some(Either::B(Tls { stream, buffers, nobody })))
    }
}

/// A connection with TLS.
pub(super) struct Tls<T: Transport> {
    stream: StreamOwned<ClientConnection, TransportAdapter<T>>,
    buffers: FixedBuffers,
    nobody: Arc<Nobody>,
}

impl<T: Transport> fmt::Debug for Tls<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(self.stream.sock.inner()).finish()
    }
}

impl<T: Transport> Transport for Tls<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.sock.set_timeout(timeout);
        let written = self.stream.write_all(&self.buffers.output()[..amount]);
        written.map_err(|error| explain(error, &self.nobody, false))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.sock.set_timeout(timeout);
        let read = self.stream.read(self.buffers.input_append_buf());
        let amount = read.map_err(|error| explain(error, &self.nobody, false))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// A client without a certificate, which remembers whether the server asked for one.
#[derive(Debug, Default)]
struct Nobody {
    was_asked: AtomicBool,
}

impl ResolvesClientCert for Nobody {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Turns an error of TLS or of the connection below it into ureq's. `within_handshake`: whether there is
/// no TLS yet.
fn explain(error: io::Error, nobody: &Nobody, within_handshake: bool) -> Error {
    let fault = error.get_ref().and_then(|inner| inner.downcast_ref::<RustlsError>());
    if let Some(fault) = fault {
        return refusal(fault, nobody.was_asked.load(Relaxed));
    }
    match Error::from(error) {
        Error::Io(error) if within_handshake && is_end(&error) => {
            Obstacle::error(Blocked::Tls(TlsFault::Broken), error)
        }
        error => error,
    }
}

/// Turns an error of rustls into an obstacle. `was_asked`: the server wants a client's certificate.
fn refusal(fault: &RustlsError, was_asked: bool) -> Error {
    let cause = match fault {
        RustlsError::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                TlsFault::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsFault::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFault::WrongName
            }
            // A bad signature is that of an issuer of the same name with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                TlsFault::UnknownIssuer
            }
            CertificateError::Other(other) if other.0.downcast_ref::<NotPinned>().is_some() => {
                TlsFault::OtherKey
            }
            // A self-signed certificate that is marked as an authority, and is not trusted itself.
            CertificateError::Other(other)
                if other.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity) =>
            {
                TlsFault::UnknownIssuer
            }
            _ => TlsFault::Certificate,
        },
        RustlsError::InvalidMessage(_) => TlsFault::NotTls,
        RustlsError::AlertReceived(AlertDescription::CertificateRequired) => {
            TlsFault::ClientCertificate
        }
        RustlsError::AlertReceived(_) if was_asked => TlsFault::ClientCertificate,
        RustlsError::AlertReceived(_) | RustlsError::PeerIncompatible(_) => TlsFault::Refused,
        _ => TlsFault::Broken,
    };
    Obstacle::error(Blocked::Tls(cause), fault)
}
