//! Certificates that are read again, and files that cannot be used.

use std::time::{Duration, Instant};

use byway::client::{Client, Config};
use byway::transport::Roots;

use crate::daemon::write;
use crate::process::{Byway, Ended};
use crate::{
    Files, Pair, ask, carry, client, command, https, join, line, line_by, pattern, trusting,
};
use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::sync::Arc;

/// Octets of the transfer, in which a dozen reloads fall.
const LEN: usize = 24 << 20;

#[test]
fn reload_ends_no_connection_and_newcomers_see_the_new_key() {
    let (old, new) = (Pair::new(), Pair::new());
    let files = Files::new(&old);
    let (mut relay, _, port) = command(files.at.path());
    let pins = || Roots::Pins(vec![old.load().pin(), new.load().pin()]);
    let (one, other) = (client(&https(port), pins()), client(&https(port), pins()));
    let (a, b) = join(&one, &other);
    let mut standing = line(port, &old);
    ask(&mut standing);
    let octets = pattern(LEN);
    carry(&a, &b, &octets, || {
        for turn in 1..=12 {
            files.write(if turn % 2 == 0 { &old } else { &new });
            relay.signal("HUP");
            let until = Instant::now() + crate::DEADLINE;
            while relay.times_told("the certificate was read again") < turn {
                assert!(Instant::now() < until, "not read again");
                std::thread::sleep(Duration::from_millis(5));
            }
            // The connection that there was, and a new one.
            ask(&mut standing);
            ask(&mut line(port, if turn % 2 == 0 { &old } else { &new }));
        }
    });
    let (one, other) = (one.stats(), other.stats());
    assert_eq!((one.failed, other.failed), (0, 0), "exchanges that failed");
    let told = relay.times_told(&new.load().pin().to_string());
    assert_eq!(told, 6, "times that the new pin was told");
    relay.signal("TERM");
    relay.end().expect_code(0);
}

#[test]
fn files_that_cannot_be_used_leave_the_old_certificate() {
    let (pair, other) = (Pair::new(), Pair::new());
    let files = Files::new(&pair);
    let (mut relay, _, port) = command(files.at.path());
    let at = files.at.path();
    let mut expected = 0;
    for (name, text, cause) in [
        ("key", other.key.as_str(), "the private key is not the certificate's"),
        ("key", "", "there is no private key"),
        ("certificate", "no certificate", "there is no certificate"),
        (
            "certificate",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "cannot use",
        ),
    ] {
        files.write(&pair);
        write(at, name, text);
        relay.signal("HUP");
        relay.wait_told(cause);
        expected += 1;
        assert_eq!(relay.times_told("the old certificate stays"), expected);
        ask(&mut line(port, &pair));
    }
    std::fs::remove_file(files.path("key")).expect("was there");
    relay.signal("HUP");
    relay.wait_told("cannot read");
    ask(&mut line(port, &pair));
    files.write(&other);
    relay.signal("HUP");
    relay.wait_told("the certificate was read again");
    ask(&mut line(port, &other));
}

#[test]
fn relay_does_not_start_with_files_that_cannot_be_used() {
    let (pair, other) = (Pair::new(), Pair::new());
    let files = Files::new(&pair);
    let start = |certificate: &str, key: &str| -> Ended {
        let path = |name| files.path(name).to_string_lossy().into_owned();
        let (certificate, key) = (path(certificate), path(key));
        super::start(&certificate, &key).end()
    };
    start("nowhere", "key").expect_code(2).expect_line(&["cannot read", "nowhere", "give files"]);
    start("key", "key").expect_code(2).expect_line(&["there is no certificate in PEM"]);
    start("certificate", "certificate").expect_code(2).expect_line(&["there is no private key"]);
    write(files.at.path(), "key", &other.key);
    start("certificate", "key").expect_code(2).expect_line(&["not the certificate's"]);
    let half = Byway::start(["relay", "--listen", "127.0.0.1:0", "--tls-key", "x"]).end();
    half.expect_code(2).expect_line(&["--tls-cert"]);
}

/// Sessions of TLS that began with the old key are not taken up again with it.
#[test]
fn replaced_key_is_not_resumed() {
    let (old, new) = (Pair::new(), Pair::new());
    let relay = old.relay();
    let port = relay.local_addr().port();
    // One configuration for all: it has the tickets of the connections before, which skip the check of the key.
    let config = Arc::new(trusting(&[&old, &new]));
    let shake = || {
        let mut line = line_by(port, Arc::clone(&config));
        ask(&mut line);
        let key = line.conn.peer_certificates().map(|chain| chain[0].to_vec());
        (line.conn.handshake_kind().expect("it is made"), key.expect("a certificate"))
    };
    let der = |pair: &Pair| {
        CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("a certificate").to_vec()
    };
    assert_eq!(shake(), (HandshakeKind::Full, der(&old)));
    assert_eq!(shake(), (HandshakeKind::Resumed, der(&old)), "else this test shows nothing");
    relay.set_certificate(new.load()).expect("a relay of TLS");
    assert_eq!(shake(), (HandshakeKind::Full, der(&new)));
    let url = https(port);
    let config = Config { roots: old.pinned(), ..Config::new(url.as_str()) };
    assert!(Client::open(config).is_err());
    client(&url, new.pinned());
}

#[test]
fn relay_without_tls_takes_no_certificate() {
    let relay = byway::relay::Relay::bind(Default::default()).expect("a port");
    let error = relay.set_certificate(Pair::new().load()).expect_err("no TLS");
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
}

/// What is told of a certificate holds no key.
#[test]
fn debug_of_a_certificate_has_no_key() {
    let pair = Pair::new();
    let told = format!("{:?}", pair.load());
    assert_eq!(told, format!("Certificate {{ pin: {}, .. }}", pair.load().pin()));
}
