//! Probes, over raw sockets.

use std::io::Write;

use super::{Relay, RelayConfig, Reply, dial, reply};
use crate::relay::Access;

fn probe(relay: &Relay, path: &str, fields: &str, body: &[u8]) -> Reply {
    let mut stream = dial(relay);
    let head = format!(
        "POST /v1/probe/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    );
    // A request that is refused may be answered before its end.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
    reply(&mut stream)
}

#[test]
fn echo_tells_what_arrived_and_no_secret() {
    // By Via the request is a front's.
    let config = RelayConfig { access: Access::Open, ..RelayConfig::default() };
    let relay = Relay::bind(config).unwrap();
    let octets: Vec<u8> = (0..=255).collect();
    let secrets = "Authorization: Bearer secret-1\r\nByway-Token: secret-2\r\nCookie: secret-3\r\nX-Own: secret-4\r\n";
    let answer = probe(&relay, "echo?n=1", &format!("{secrets}Via: 1.1 proxy\r\n"), &octets);
    assert_eq!(answer.status, 200);
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(answer.body.ends_with(&octets), "{text}");
    // By sha256sum.
    let digest = "sha256 40aff2e9d2d8922e47afd4648e6967497158785fbd1da870e7110266bf944880\n";
    for part in [
        "byway probe 1\n",
        "length 256\n",
        "framing counted\n",
        digest,
        "field via: 1.1 proxy\n",
        "hidden x-own: 8 octets\n",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn stream_comes_in_so_many_pieces() {
    let relay = Relay::bind(RelayConfig::default()).unwrap();
    let answer = probe(&relay, "stream?pieces=3&ms=20", "", b"");
    assert_eq!((answer.status, answer.body.len()), (200, 3 * 64));
    assert!(answer.head.contains("x-accel-buffering: no"));
    assert!(answer.body.starts_with(b"piece "));
}

#[test]
fn web_pages_and_unknown_kinds_get_no_probe() {
    let relay = Relay::bind(RelayConfig::default()).unwrap();
    assert_eq!(probe(&relay, "echo", "Origin: http://x\r\n", b"").status, 403);
    assert_eq!(probe(&relay, "other", "", b"").status, 404);
    assert_eq!(probe(&relay, "", "", b"").status, 404);
}

#[test]
fn body_of_a_probe_is_as_long_as_that_of_an_exchange() {
    let mut config = RelayConfig::default();
    config.router.max_body = 1000;
    let relay = Relay::bind(config).unwrap();
    assert_eq!(probe(&relay, "echo", "", &[0; 1000]).status, 200);
    assert_eq!(probe(&relay, "echo", "", &[0; 1001]).status, 413);
}
