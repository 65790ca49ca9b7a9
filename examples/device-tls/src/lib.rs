//! TLS 1.3 for a device: a [`Link`] by embedded-tls over another link, which knows its relay by a
//! pinned key.
//!
//! Checked is that the certificate has the pinned key, and that the relay signed the handshake by it. The
//! certificate's names, dates and issuer do not count, so that the device needs neither a clock nor a list
//! of authorities. The key must be of ECDSA with the curve P-256: it is the curve that embedded-tls has
//! for the handshake anyway.
//!
//! Nothing allocates. The longest record must fit the buffer for reading, since relays by rustls do not
//! take part in the negotiation of shorter records (RFC 6066 section 4).
#![no_std]

mod lower;
mod pin;

use core::cell::RefCell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use byway::device::Link;
use embedded_io::{BufRead, Error, ErrorKind, ErrorType, Read, ReadReady, Write};
use embedded_tls::blocking::TlsConnection;
use embedded_tls::{
    Aes128GcmSha256, CryptoProvider, CryptoRngCore, TlsConfig, TlsContext, TlsError, TlsVerifier,
};
use p256::ecdsa::DerSignature;

pub use lower::Lower;
use lower::{LowerError, QUIET};
pub use pin::PinVerifier;

/// Octets of the buffer for reading: the longest record of TLS 1.3 (RFC 8446 section 5.2).
pub const READ_BUFFER: usize = 16_640;

/// Octets of the buffer for writing: a record of them goes at once, and the first message must fit.
pub const WRITE_BUFFER: usize = 1_024;

/// TLS over a link. `R` gives randomness, of the quality that keys need.
pub struct TlsLink<'b, L: Link, R> {
    lower: &'b RefCell<Lower<L>>,
    line: Option<Connection<'b, L>>,
    read: NonNull<[u8]>,
    write: NonNull<[u8]>,
    lent: PhantomData<&'b mut [u8]>,
    random: R,
    pin: [u8; 32],
}

/// The link below, which TLS has while there is a connection.
struct Shared<'b, L>(&'b RefCell<Lower<L>>);

/// Why there is no TLS.
#[derive(Debug)]
pub enum Fault<E> {
    /// The link below has no connection.
    Link(E),
    /// The handshake failed, or what came is no TLS.
    Tls(TlsError),
    /// The server's key is not the pinned one, or the server does not have it. Get the pin that the relay
    /// prints at its start.
    OtherKey,
    /// Nothing is dialled.
    Down,
}

impl<E> From<TlsError> for Fault<E> {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::InvalidCertificate
            | TlsError::InvalidSignature
            | TlsError::InvalidSignatureScheme => Self::OtherKey,
            error => Self::Tls(error),
        }
    }
}

impl<E: Error> Error for Fault<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Link(error) => error.kind(),
            Self::Tls(error) => error.kind(),
            // Such a fault does not pass by itself: the device dials less and less often.
            Self::OtherKey => ErrorKind::InvalidData,
            Self::Down => ErrorKind::NotConnected,
        }
    }
}

impl<E: Error> fmt::Display for Fault<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl<E: Error> core::error::Error for Fault<E> {}

impl<'b, L: Link, R> TlsLink<'b, L, R> {
    /// Makes a link that dials by `lower`, with buffers of [`READ_BUFFER`] and [`WRITE_BUFFER`] octets. `pin` is
    /// the SHA-256 of the relay's SubjectPublicKeyInfo: what the relay prints, without its base64.
    pub fn new(
        lower: &'b RefCell<Lower<L>>,
        read: &'b mut [u8; READ_BUFFER],
        write: &'b mut [u8; WRITE_BUFFER],
        random: R,
        pin: [u8; 32],
    ) -> Self {
        let (read, write) = (NonNull::from(&mut read[..]), NonNull::from(&mut write[..]));
        Self { lower, line: None, read, write, lent: PhantomData, random, pin }
    }

    fn line(&mut self) -> Result<&mut Connection<'b, L>, Fault<L::Error>> {
        self.line.as_mut().ok_or(Fault::Down)
    }
}

type Connection<'b, L> = TlsConnection<'b, Shared<'b, L>, Aes128GcmSha256>;

impl<L: Link, R> ErrorType for TlsLink<'_, L, R> {
    type Error = Fault<L::Error>;
}

impl<L: Link, R> Read for TlsLink<'_, L, R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Self::Error> {
        match self.line()?.read(out) {
            Err(TlsError::ConnectionClosed) => Ok(0),
            read => Ok(read?),
        }
    }
}

impl<L: Link, R> Write for TlsLink<'_, L, R> {
    fn write(&mut self, octets: &[u8]) -> Result<usize, Self::Error> {
        let line = self.line()?;
        let n = line.write(octets)?;
        // The device says nothing more until an answer has come.
        line.flush()?;
        Ok(n)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(self.line()?.flush()?)
    }
}

impl<L: Link, R> ReadReady for TlsLink<'_, L, R> {
    /// Tickets and other records without data give no octets to read.
    fn read_ready(&mut self) -> Result<bool, Self::Error> {
        let lower = self.lower;
        let line = self.line()?;
        lower.borrow_mut().waits = false;
        let found = line.fill_buf().map(|_| ());
        lower.borrow_mut().waits = true;
        Ok(!matches!(found, Err(TlsError::Io(QUIET))))
    }
}

impl<L: Link, R: CryptoRngCore> Link for TlsLink<'_, L, R> {
    fn dial(&mut self) -> Result<(), Self::Error> {
        self.line = None;
        let mut lower = self.lower.borrow_mut();
        lower.restart();
        lower.link.dial().map_err(Fault::Link)?;
        drop(lower);
        // SAFETY: the buffers are borrowed for 'b by this link alone, and the only other reference to them
        // was the connection's, which is dropped.
        let (read, write) = unsafe { (self.read.as_mut(), self.write.as_mut()) };
        let mut line = TlsConnection::new(Shared(self.lower), read, write);
        let mut provider =
            Provider { random: &mut self.random, verifier: PinVerifier::new(self.pin) };
        let config = TlsConfig::new();
        line.open(TlsContext::new(&config, &mut provider))?;
        // Whatever the handshake was: without the key's signature it is nobody's.
        if !provider.verifier.is_satisfied() {
            return Err(Fault::OtherKey);
        }
        self.line = Some(line);
        Ok(())
    }
}

/// What a handshake needs.
struct Provider<'r, R> {
    random: &'r mut R,
    verifier: PinVerifier,
}

impl<R: CryptoRngCore> CryptoProvider for Provider<'_, R> {
    type CipherSuite = Aes128GcmSha256;
    type Signature = DerSignature;

    fn rng(&mut self) -> impl CryptoRngCore {
        &mut *self.random
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<Aes128GcmSha256>, TlsError> {
        Ok(&mut self.verifier)
    }
}

impl<L: Read + ReadReady> ErrorType for Shared<'_, L> {
    type Error = LowerError<L::Error>;
}

impl<L: Read + ReadReady> Read for Shared<'_, L> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Self::Error> {
        self.0.borrow_mut().read(out)
    }
}

impl<L: Read + Write + ReadReady> Write for Shared<'_, L> {
    fn write(&mut self, octets: &[u8]) -> Result<usize, Self::Error> {
        self.0.borrow_mut().write(octets)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.0.borrow_mut().flush()
    }
}
