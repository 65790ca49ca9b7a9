//! Probes, over raw sockets.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::{DEADLINE, Relay, RelayConfig, Reply, dial, reply};
use crate::relay::{Access, NewToken, Policy};

fn probe(relay: &Relay, path: &str, fields: &str, body: &[u8]) -> Reply {
    reply(&mut ask(relay, path, fields, body))
}

/// Sends a probe, whose answer is still to come.
fn ask(relay: &Relay, path: &str, fields: &str, body: &[u8]) -> TcpStream {
    let mut stream = dial(relay);
    let head = format!(
        "POST /v1/probe/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    );
    // A request that is refused may be answered before its end.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
    stream
}

/// Probes until one has this status.
fn probe_until(relay: &Relay, status: u16) -> Reply {
    let began = Instant::now();
    loop {
        let answer = probe(relay, "echo", "", b"");
        if answer.status == status {
            return answer;
        }
        assert!(began.elapsed() < DEADLINE, "{} instead of {status}", answer.status);
        thread::sleep(Duration::from_millis(10));
    }
}

fn assert_told_to_come_back(answer: &Reply) {
    assert_eq!(answer.status, 503);
    for header in ["retry-after: ", "byway-status: full\n", "connection: close\n"] {
        assert!(answer.head.contains(header), "{header} in {}", answer.head);
    }
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

#[test]
fn probes_beyond_the_places_are_refused_until_others_hang_up() {
    let relay = Relay::bind(RelayConfig::default()).unwrap();
    // More than there are places, since those that look whether all are taken take one, too.
    let held: Vec<_> = (0..80).map(|_| ask(&relay, "hold?ms=300000", "", b"")).collect();
    assert_told_to_come_back(&probe_until(&relay, 503));
    drop(held);
    probe_until(&relay, 200);
}

#[test]
fn probes_count_for_the_rate_of_a_bearer() {
    let token = NewToken::new("few", &[1; 32]);
    let policy = Policy::parse(&format!("{}requests_per_second = 1\n", token.policy())).unwrap();
    let access = Access::Policy(Arc::new(policy));
    let mut config = RelayConfig { access, ..RelayConfig::default() };
    config.router.request_wait_ms = 0;
    let relay = Relay::bind(config).unwrap();
    let field = format!("Authorization: Bearer {}\r\n", token.token());
    let mut answers = (0..1_000).map(|_| probe(&relay, "echo", &field, b""));
    assert_eq!(answers.next().map(|answer| answer.status), Some(200));
    assert_told_to_come_back(&answers.find(|answer| answer.status != 200).expect("a refusal"));
    assert_eq!(probe(&relay, "echo", "", b"").status, 401, "without the token");
}
