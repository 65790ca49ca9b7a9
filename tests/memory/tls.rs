//! A front of the relay that speaks TLS: one message up, one message down, and so on.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Serves `https://localhost:PORT` for a relay at `relay`; gives the port, and the certificate as
/// PEM.
pub fn serve(relay: SocketAddr) -> (u16, String) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .expect("a certificate");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a port").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            thread::spawn(move || connection(config, stream, relay));
        }
    });
    (port, certificate.pem())
}

/// Ends with an error when either side hangs up.
fn connection(config: Arc<ServerConfig>, client: TcpStream, relay: SocketAddr) -> io::Result<()> {
    client.set_nodelay(true)?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut client = StreamOwned::new(connection, client);
    let mut relay = TcpStream::connect(relay)?;
    relay.set_nodelay(true)?;
    loop {
        forward(&mut client, &mut relay, str::to_owned)?;
        forward(&mut relay, &mut client, str::to_owned)?;
    }
}

/// Passes on one HTTP message as it comes, with the head that `edit` makes.
pub fn forward(
    from: &mut impl Read,
    to: &mut impl Write,
    edit: impl Fn(&str) -> String,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut seen = Vec::new();
    let mut body: Option<(usize, Option<usize>)> = None;
    loop {
        match body {
            Some((at, Some(len))) if seen.len() >= at + len => return Ok(()),
            // The body is chunked.
            Some((_, None)) if seen.ends_with(b"\r\n0\r\n\r\n") => return Ok(()),
            _ => {}
        }
        let n = from.read(&mut buffer)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        seen.extend_from_slice(&buffer[..n]);
        if body.is_some() {
            to.write_all(&buffer[..n])?;
        } else if let Some(end) = seen.windows(4).position(|w| w == b"\r\n\r\n") {
            let at = end + 4;
            let head = String::from_utf8_lossy(&seen[..at]).into_owned();
            let lower = head.to_lowercase();
            let len = lower.split_once("content-length: ").and_then(|(_, len)| {
                len.lines().next().unwrap_or_default().trim().parse::<usize>().ok()
            });
            to.write_all(&[edit(&head).as_bytes(), &seen[at..]].concat())?;
            body = Some((at, len));
        }
        to.flush()?;
    }
}
