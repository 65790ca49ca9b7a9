//! The ureq transport over TLS, against rustls with certificates made on the spot.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::client::LANE_STACK;

/// An HTTPS server for `name` that answers every request with its body, and its authority's PEM.
fn serve(name: &str) -> (u16, String) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            // A client that trusts nobody hangs up.
            let _ = echo(StreamOwned::new(connection, stream.unwrap()));
        }
    });
    (port, authority.as_ref().pem())
}

fn echo(mut stream: impl Read + Write) -> std::io::Result<()> {
    let (mut seen, mut buf) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut buf)?;
        if n == 0 {
            return Ok(());
        }
        seen.extend_from_slice(&buf[..n]);
        let Some(end) = seen.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&seen[..end]).to_lowercase();
        let (_, len) = head.split_once("content-length: ").unwrap();
        let len: usize = len.lines().next().unwrap().parse().unwrap();
        if seen.len() < end + 4 + len {
            continue;
        }
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {len}\r\n\r\n"
        )?;
        stream.write_all(&seen[end + 4..end + 4 + len])?;
        seen.drain(..end + 4 + len);
    }
}

fn exchange(transport: &mut HttpTransport, mut body: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut got = Vec::new();
    transport.exchange(
        &Request { seq: 1, len: body.len(), silence_ms: 5_000, max_response: 1 << 20 },
        &mut |out| body.read(out).unwrap(),
        &mut |bytes| {
            got.extend_from_slice(bytes);
            Ok(false)
        },
    )?;
    Ok(got)
}

fn transport(port: u16, pem: &str) -> HttpTransport {
    let mut config = HttpConfig::new(format!("https://localhost:{port}"));
    config.roots_pem = pem.as_bytes().to_vec();
    HttpTransport::new(&config).unwrap()
}

/// Half a lane's stack is enough, even without optimization.
#[test]
fn exchanges_over_tls_fit_the_stack_of_a_lane() {
    let (port, pem) = serve("localhost");
    thread::Builder::new()
        .stack_size(LANE_STACK / 2)
        .spawn(move || {
            let mut transport = transport(port, &pem);
            let body: Vec<u8> = (0..200_000_u32).map(|i| (i >> 3) as u8).collect();
            for len in [1, 500, body.len()] {
                assert!(exchange(&mut transport, &body[..len]).unwrap() == body[..len]);
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn who_cannot_be_trusted_is_refused() {
    let (port, pem) = serve("localhost");
    let failure = exchange(&mut transport(port, ""), b"x").unwrap_err();
    assert_eq!((failure.cause, failure.sent), (Blocked::Tls, false), "{failure:?}");
    assert!(failure.seen.contains("UnknownIssuer"), "{failure:?}");

    let (other, _) = serve("elsewhere.example");
    let failure = exchange(&mut transport(other, &pem), b"x").unwrap_err();
    assert_eq!((failure.cause, failure.sent), (Blocked::Tls, false), "{failure:?}");
}
