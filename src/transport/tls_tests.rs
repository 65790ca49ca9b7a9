//! The ureq transport over TLS, against rustls with certificates made on the spot.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::client::LANE_STACK;
use crate::error::TlsFault;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// What a certificate says of a host, within its years.
fn params(name: &str, years: (i32, i32)) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    params
}

const NOW: (i32, i32) = (2020, 4000);

/// What `openssl req -x509` makes: marked as an authority, its name perhaps the common name alone.
fn self_signed(name: &str, has_alternative: bool, years: (i32, i32)) -> (Certificate, KeyPair) {
    let mut params = params(name, years);
    if !has_alternative {
        params.subject_alt_names.clear();
    }
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap(), key)
}

/// An HTTPS server that answers every request with its body; with `clients`, to those of theirs alone.
fn serve_as(certificate: &Certificate, key: &KeyPair, clients: Option<&Authority>) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
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
    port
}

/// One of an authority, for a name and within years; and the authority's PEM.
fn serve(name: &str, years: (i32, i32)) -> (u16, String) {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let certificate = params(name, years).signed_by(&key, &authority).unwrap();
    (serve_as(&certificate, &key, None), authority.as_ref().pem())
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

fn exchange(transport: &mut HttpTransport, mut body: &[u8]) -> Result<Vec<u8>, ExchangeFailure> {
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

fn transport(port: u16, roots: Roots) -> HttpTransport {
    let mut config = HttpConfig::new(format!("https://localhost:{port}"));
    config.roots = roots;
    HttpTransport::new(&config).unwrap()
}

fn trusting(port: u16, pem: &str) -> HttpTransport {
    transport(port, Roots::Pem(pem.into()))
}

/// Half a lane's stack is enough, even without optimization.
#[test]
fn exchanges_over_tls_fit_the_stack_of_a_lane() {
    let (port, pem) = serve("localhost", NOW);
    thread::Builder::new()
        .stack_size(LANE_STACK / 2)
        .spawn(move || {
            let mut transport = trusting(port, &pem);
            let body: Vec<u8> = (0..200_000_u32).map(|i| (i >> 3) as u8).collect();
            for len in [1, 500, body.len()] {
                assert!(exchange(&mut transport, &body[..len]).unwrap() == body[..len]);
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

fn fault(mut transport: HttpTransport) -> TlsFault {
    let failure = exchange(&mut transport, b"x").unwrap_err();
    match failure.cause {
        Blocked::Tls(fault) => {
            // A server says only after the handshake that it wanted a certificate.
            assert_eq!(failure.sent, fault == TlsFault::ClientCertificate, "{failure:?}");
            assert!(!failure.seen.is_empty(), "{failure:?}");
            fault
        }
        _ => panic!("{failure:?}"),
    }
}

#[test]
fn each_fault_of_a_certificate_is_told_from_the_others() {
    let (port, pem) = serve("localhost", NOW);
    assert_eq!(exchange(&mut trusting(port, &pem), b"x").unwrap(), b"x");
    assert_eq!(fault(transport(port, Roots::Web)), TlsFault::UnknownIssuer);
    let (_, other) = serve("localhost", NOW);
    assert_eq!(fault(trusting(port, &other)), TlsFault::UnknownIssuer);
    for (name, years, cause) in [
        ("elsewhere.example", NOW, TlsFault::WrongName),
        ("localhost", (2020, 2021), TlsFault::Expired),
        ("localhost", (3000, 4000), TlsFault::NotYetValid),
    ] {
        let (port, pem) = serve(name, years);
        assert_eq!(fault(trusting(port, &pem)), cause, "{name} in {years:?}");
    }
}

#[test]
fn a_server_that_wants_a_client_certificate_is_named() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let certificate = params("localhost", NOW).signed_by(&key, &authority).unwrap();
    let port = serve_as(&certificate, &key, Some(&authority));
    let pem = authority.as_ref().pem();
    assert_eq!(fault(trusting(port, &pem)), TlsFault::ClientCertificate);
}

#[test]
fn a_self_signed_certificate_is_taken_if_it_is_trusted_itself() {
    for has_alternative in [true, false] {
        let (certificate, key) = self_signed("localhost", has_alternative, NOW);
        let port = serve_as(&certificate, &key, None);
        assert_eq!(exchange(&mut trusting(port, &certificate.pem()), b"x").unwrap(), b"x");
        // Of another key, though it says the same.
        let (other, _) = self_signed("localhost", has_alternative, NOW);
        assert_eq!(fault(trusting(port, &other.pem())), TlsFault::UnknownIssuer);
        assert_eq!(fault(transport(port, Roots::Web)), TlsFault::UnknownIssuer);
    }
}

#[test]
fn a_trusted_self_signed_certificate_counts_within_its_dates_and_for_its_name() {
    for (name, has_alternative, years, cause) in [
        ("localhost", true, (2020, 2021), TlsFault::Expired),
        ("localhost", true, (3000, 4000), TlsFault::NotYetValid),
        ("localhost", false, (2020, 2021), TlsFault::Expired),
        ("elsewhere.example", true, NOW, TlsFault::WrongName),
        ("elsewhere.example", false, NOW, TlsFault::WrongName),
        ("localhost.example", false, NOW, TlsFault::WrongName),
    ] {
        let (certificate, key) = self_signed(name, has_alternative, years);
        let port = serve_as(&certificate, &key, None);
        let found = fault(trusting(port, &certificate.pem()));
        assert_eq!(found, cause, "{name} in {years:?}, {has_alternative}");
    }
}

/// A certificate that is no authority's and is trusted, with what its key has signed.
#[test]
fn a_trusted_certificate_that_is_no_authority_issues_none() {
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let mut own = params("elsewhere.example", NOW);
        own.is_ca = is_ca;
        own.distinguished_name.push(DnType::CommonName, "elsewhere.example");
        let issuer = CertifiedIssuer::self_signed(own, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = params("localhost", NOW).signed_by(&key, &issuer).unwrap();
        let port = serve_as(&leaf, &key, None);
        let pem = issuer.as_ref().pem();
        assert_eq!(fault(trusting(port, &pem)), TlsFault::UnknownIssuer, "{is_ca:?}");
        // Nor does an authority beside it make it one.
        let pem = pem + &authority().as_ref().pem();
        assert_eq!(fault(trusting(port, &pem)), TlsFault::UnknownIssuer, "{is_ca:?}");
        // For itself it counts.
        let mut own = params("localhost", NOW);
        own.is_ca = is_ca;
        let certificate = own.self_signed(&key).unwrap();
        let port = serve_as(&certificate, &key, None);
        assert_eq!(exchange(&mut trusting(port, &certificate.pem()), b"x").unwrap(), b"x");
    }
}

/// As an expired root in the stores of systems: nobody looks at the dates of an authority.
#[test]
fn an_authority_issues_whatever_its_dates() {
    for years in [(2020, 2021), (3000, 4000)] {
        let mut own = params("authority.example", years);
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(own, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = params("localhost", NOW).signed_by(&key, &authority).unwrap();
        let port = serve_as(&leaf, &key, None);
        let pem = authority.as_ref().pem();
        assert_eq!(exchange(&mut trusting(port, &pem), b"x").unwrap(), b"x", "{years:?}");
    }
}

#[test]
fn an_issued_certificate_that_is_trusted_itself_is_taken_within_its_dates_and_for_its_name() {
    for (name, years, cause) in [
        ("localhost", NOW, None),
        ("localhost", (2020, 2021), Some(TlsFault::Expired)),
        ("localhost", (3000, 4000), Some(TlsFault::NotYetValid)),
        ("elsewhere.example", NOW, Some(TlsFault::WrongName)),
    ] {
        let issuer = authority();
        let key = KeyPair::generate().unwrap();
        let certificate = params(name, years).signed_by(&key, &issuer).unwrap();
        let port = serve_as(&certificate, &key, None);
        // Alone, and beside an authority of the issuer's name and another key.
        for pem in [certificate.pem(), certificate.pem() + &authority().as_ref().pem()] {
            let mut transport = trusting(port, &pem);
            match cause {
                None => assert_eq!(exchange(&mut transport, b"x").unwrap(), b"x"),
                Some(cause) => assert_eq!(fault(transport), cause, "{name} in {years:?}"),
            }
        }
        // Another of the same issuer and name.
        let other = params(name, years).signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        let cause = cause.filter(|&cause| cause != TlsFault::WrongName);
        let cause = cause.unwrap_or(TlsFault::UnknownIssuer);
        assert_eq!(fault(trusting(port, &other.pem())), cause, "{name} in {years:?}");
    }
}

/// Where a certificate has a subjectAltName, a common name does not count.
#[test]
fn a_common_name_beside_other_names_is_none() {
    let mut params = params("elsewhere.example", NOW);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "localhost");
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let port = serve_as(&certificate, &key, None);
    assert_eq!(fault(trusting(port, &certificate.pem())), TlsFault::WrongName);
}

#[test]
fn a_handshake_that_is_cut_is_no_fault_that_lasts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().for_each(drop));
    let found = fault(transport(port, Roots::Web));
    assert_eq!(found, TlsFault::Broken);
    assert!(!Blocked::Tls(found).is_lasting());
    assert!(Blocked::Tls(TlsFault::Expired).is_lasting());
}

/// Both lanes of a client, which share what the first learned of the server.
#[test]
fn a_twin_trusts_the_same_and_has_a_connection_of_its_own() {
    let (port, pem) = serve("localhost", NOW);
    let mut one = trusting(port, &pem);
    let mut other = one.twin();
    for transport in [&mut one, &mut other] {
        // The server serves one connection after the other.
        assert_eq!(exchange(transport, b"x").unwrap(), b"x");
        transport.canceller().disconnect();
    }
}
