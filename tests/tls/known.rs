//! Which server a client takes for its relay.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use byway::KeyPin;
use byway::client::{Client, Config};
use byway::error::{Blocked, Error, TlsFault, TransportError};
use byway::transport::Roots;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};

use crate::process::Byway;
use crate::{Files, Pair, carry, client, command, https, join, pattern};

fn fault(port: u16, roots: Roots) -> TlsFault {
    match Client::open(Config { roots, ..Config::new(https(port)) }) {
        Err(Error::Transport(TransportError::Blocked(Blocked::Tls(fault)))) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn relay_with_another_key_is_not_taken() {
    let (pair, other) = (Pair::new(), Pair::new());
    let relay = pair.relay();
    let port = relay.local_addr().port();
    assert_eq!(fault(port, other.pinned()), TlsFault::OtherKey);
    assert_eq!(fault(port, other.roots()), TlsFault::UnknownIssuer);
    assert_eq!(fault(port, Roots::Web), TlsFault::UnknownIssuer);
    // Each octet of a pin counts.
    let pin = pair.load().pin();
    for at in 0..32 {
        let mut digest = *pin.digest();
        digest[at] ^= 1;
        assert_eq!(fault(port, Roots::Pins(vec![KeyPin::new(digest)])), TlsFault::OtherKey, "{at}");
    }
}

#[test]
fn pin_takes_the_key_whatever_its_certificate_says() {
    for (name, years, cause) in [
        ("localhost", (2020, 2021), TlsFault::Expired),
        ("localhost", (3000, 4000), TlsFault::NotYetValid),
        ("elsewhere.example", (2020, 4000), TlsFault::WrongName),
    ] {
        let pair = Pair::of(name, years);
        let relay = pair.relay();
        let port = relay.local_addr().port();
        assert_eq!(fault(port, pair.roots()), cause, "{name} in {years:?}");
        // A pin of a key to come does not stand in the way.
        let pins = vec![Pair::new().load().pin(), pair.load().pin()];
        let one = client(&https(port), Roots::Pins(pins));
        let (a, b) = join(&one, &client(&https(port), pair.pinned()));
        carry(&a, &b, &pattern(10_000), || ());
    }
}

/// Gives a certificate that anybody can have read, with a key of its own.
#[derive(Debug)]
struct Thief(Arc<CertifiedKey>);

impl ResolvesServerCert for Thief {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[test]
fn certificate_without_its_key_is_worth_nothing() {
    let (pair, own) = (Pair::new(), Pair::new());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        let stolen = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("one");
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("a key");
        let key = provider.key_provider.load_private_key(key).expect("a key");
        let thief = Thief(Arc::new(CertifiedKey::new(vec![stolen], key)));
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .expect("TLS")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(thief));
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut session = ServerConnection::new(Arc::clone(&config)).expect("a session");
                // The client hangs up.
                let _ = session.complete_io(&mut stream);
            }
        });
        for roots in [pair.pinned(), pair.roots()] {
            let found = fault(port, roots);
            assert!(matches!(found, TlsFault::UnknownIssuer | TlsFault::Certificate), "{found:?}");
        }
    }
}

#[test]
fn command_pins_what_its_relay_prints() {
    let files = Files::new(&Pair::of("elsewhere.example", (2020, 2021)));
    let (mut relay, url, _) = command(files.at.path());
    assert_eq!(relay.times_told("--roots pin:sha256/"), 1);
    let pin = format!(
        "pin:{}",
        Pair::load(&Pair {
            certificate: std::fs::read_to_string(files.path("certificate")).expect("a file"),
            key: std::fs::read_to_string(files.path("key")).expect("a file"),
        })
        .pin()
    );
    relay.wait_told(&pin);
    let mut listening = Byway::start(["listen", "x:1", "--relay", &url, "--roots", &pin]);
    listening.wait_told("listening on x:1");
    let mut connecting = Byway::start(["connect", "x:1", "--relay", &url, "--roots", &pin]);
    std::io::Write::write_all(&mut connecting.stdin(), b"hello").expect("writes");
    let mut heard = String::new();
    drop(listening.stdin());
    std::io::Read::read_to_string(&mut listening.stdout(), &mut heard).expect("reads");
    assert_eq!(heard, "hello");
    connecting.end().expect_code(0);
    listening.end().expect_code(0);
    let wrong = format!("pin:{}", Pair::new().load().pin());
    let connecting = Byway::start(["connect", "x:1", "--relay", &url, "--roots", &wrong]);
    connecting
        .end()
        .expect_code(4)
        .expect_line(&["its key is not the pinned one", "get the new pin"]);
    let connecting = Byway::start(["connect", "x:1", "--relay", &url, "--roots", "pin:sha256/x"]);
    connecting.end().expect_code(2).expect_line(&["44 characters of base64"]);
}
