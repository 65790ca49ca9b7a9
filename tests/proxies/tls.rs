//! A device's link by TLS, written like one over a microcontroller's TLS.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use byway::device::Link;
use embedded_io::{ErrorType, Read, ReadReady, Write};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

pub struct Tls {
    port: u16,
    config: Arc<ClientConfig>,
    line: Option<(ClientConnection, TcpStream)>,
    /// The number of handshakes that were begun.
    pub dialled: usize,
}

impl Tls {
    /// A link to `localhost` that trusts one certificate in PEM. Each connection makes a whole
    /// handshake: no session is resumed.
    pub fn new(port: u16, trusted: &str) -> Self {
        let mut roots = RootCertStore::empty();
        let trusted = CertificateDer::from_pem_slice(trusted.as_bytes()).expect("a certificate");
        roots.add(trusted).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Self { port, config: Arc::new(config), line: None, dialled: 0 }
    }

    fn line(&mut self) -> io::Result<(&mut ClientConnection, &mut TcpStream)> {
        let line = self.line.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok((&mut line.0, &mut line.1))
    }
}

fn take(tls: &mut ClientConnection, from: &mut TcpStream) -> io::Result<usize> {
    let n = tls.read_tls(from)?;
    tls.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(n)
}

impl ErrorType for Tls {
    type Error = io::Error;
}

impl Read for Tls {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let (tls, from) = self.line()?;
        loop {
            match tls.reader().read(out) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => take(tls, from)?,
                read => return read,
            };
        }
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (tls, to) = self.line()?;
        let n = tls.writer().write(bytes)?;
        while tls.wants_write() {
            tls.write_tls(to)?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ReadReady for Tls {
    /// Tickets and other records without data give no octets to read.
    fn read_ready(&mut self) -> io::Result<bool> {
        let (tls, from) = self.line()?;
        from.set_nonblocking(true)?;
        let taken = loop {
            match take(tls, from) {
                Ok(1..) => {}
                Ok(0) => break Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        from.set_nonblocking(false)?;
        taken?;
        let there = tls.reader().fill_buf().map(|_| ());
        Ok(!there.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock))
    }
}

impl Link for Tls {
    fn dial(&mut self) -> io::Result<()> {
        self.line = None;
        self.dialled += 1;
        let mut to = TcpStream::connect(("127.0.0.1", self.port))?;
        to.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(Arc::clone(&self.config), name);
        let mut tls = tls.map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut to)?;
        }
        self.line = Some((tls, to));
        Ok(())
    }
}
