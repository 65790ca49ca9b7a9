//! Tests of the server, over raw sockets.

mod chunked;
mod full;
mod limits;
mod probes;
mod proxy_protocol;
mod requests;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::places::{ConnectionPlaces, Limits};
use super::router::testing::{Body, Seen, parse};
use super::{Phase, Relay, RelayConfig, RouterConfig};
use crate::wire::{Hello, Status};

const DEADLINE: Duration = Duration::from_secs(10);

struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

fn dial(relay: &Relay) -> TcpStream {
    let stream = TcpStream::connect(relay.local_addr()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn post(stream: &mut TcpStream, body: &[u8]) {
    let head = format!(
        "POST /v1?n=1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
}

fn line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    let mut octet = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut octet).unwrap();
        line.push(octet[0]);
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

fn reply(stream: &mut TcpStream) -> Reply {
    let first = line(stream);
    let status = first.split(' ').nth(1).unwrap().parse().unwrap();
    let mut head = String::new();
    loop {
        let line = line(stream).to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        head.push_str(&line);
        head.push('\n');
    }
    let mut body = Vec::new();
    match head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
        Some(len) => {
            body.resize(len.parse().unwrap(), 0);
            stream.read_exact(&mut body).unwrap();
        }
        None => loop {
            let mut chunk = vec![0; usize::from_str_radix(&line(stream), 16).unwrap()];
            stream.read_exact(&mut chunk).unwrap();
            assert_eq!(line(stream), "");
            if chunk.is_empty() {
                break;
            }
            body.extend(chunk);
        },
    }
    Reply { status, head, body }
}

fn send(relay: &Relay, body: Body) -> Seen {
    let mut stream = dial(relay);
    post(&mut stream, &body.done());
    parse(&reply(&mut stream).body)
}

/// Parks and waits until the relay has it.
/// A park that stands; its hold is longer than a slow machine takes to see that.
fn park(relay: &Relay, body: Body) -> TcpStream {
    let before = relay.stats().parked;
    let mut stream = dial(relay);
    post(&mut stream, &body.done());
    while relay.stats().parked == before {
        std::thread::yield_now();
    }
    stream
}

fn raw(relay: &Relay, request: &str) -> Reply {
    let mut stream = dial(relay);
    stream.write_all(request.as_bytes()).unwrap();
    reply(&mut stream)
}

fn bound() -> Relay {
    Relay::bind(RelayConfig::default()).unwrap()
}

/// A relay that gives a body as long as a busy machine needs to read and write it.
fn unhurried() -> Relay {
    const LONG_MS: u64 = 60_000;
    let config = RelayConfig::default();
    let router = RouterConfig {
        silence_ms: LONG_MS,
        busy_wait_max_ms: LONG_MS,
        patience_ms: LONG_MS,
        ..config.router.clone()
    };
    Relay::bind(RelayConfig { router, ..config }).unwrap()
}

#[test]
fn a_message_crosses() {
    let relay = bound();
    let mut parked = park(&relay, Body::park(2, 1, 20_000));
    let seen = send(&relay, Body::send(1).to(2, 7).stream(0, b"hello"));
    assert_eq!(seen.verdicts(), [(2, Status::Delivered, 5)]);
    let reply = reply(&mut parked);
    assert_eq!(reply.status, 200);
    for header in
        ["content-type: application/octet-stream", "cache-control: no-store", "content-length:"]
    {
        assert!(reply.head.contains(header), "{header} in {}", reply.head);
    }
    assert!(!reply.head.contains("x-accel-buffering"), "{}", reply.head);
    assert_eq!(parse(&reply.body).stream(), b"hello");
}

#[test]
fn a_large_body_crosses_in_one_pass() {
    let relay = unhurried();
    let data: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let mut parked = park(&relay, Body::park(2, 1, 20_000));
    let body = Body::send(1).to(2, 7).stream(0, &data).done();
    let mut sender = dial(&relay);
    let sending = std::thread::spawn(move || {
        post(&mut sender, &body);
        parse(&reply(&mut sender).body)
    });
    let reply = reply(&mut parked);
    for header in ["transfer-encoding: chunked", "x-accel-buffering: no"] {
        assert!(reply.head.contains(header), "{header} in {}", reply.head);
    }
    assert!(parse(&reply.body).stream() == data);
    assert_eq!(sending.join().unwrap().verdicts(), [(2, Status::Delivered, 3_000_000)]);
    assert_eq!(relay.stats().held, 0);
}

#[test]
fn a_connection_serves_many_requests() {
    let relay = bound();
    let mut stream = dial(&relay);
    for _ in 0..3 {
        post(&mut stream, &Body::send(1).done());
        assert_eq!(parse(&reply(&mut stream).body).end(), Status::Ok);
    }
}

#[test]
fn a_park_whose_client_hangs_up_is_forgotten() {
    let relay = bound();
    drop(park(&relay, Body::park(2, 1, 20_000)));
    while relay.stats().exchanges > 0 {
        std::thread::yield_now();
    }
    assert_eq!(relay.stats().parked, 0);
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let config = RelayConfig { stall: Duration::from_millis(300), ..RelayConfig::default() };
    let mut router = config.router.clone();
    router.max_body = 64 << 20;
    let relay = Relay::bind(RelayConfig { router, ..config }).unwrap();
    let hello = Hello { seq: 1, hold_ms: 20_000, max_response: u32::MAX, ..Body::greeting(2) };
    let parked = park(&relay, Body::hello(hello));
    // More than the kernel's buffers take.
    let body = Body::send(1).to(2, 7);
    let body = (0..3).fold(body, |body, i| body.stream(i * (15 << 20), &vec![1; 15 << 20]));
    let seen = send(&relay, body);
    assert!(seen.verdicts().iter().any(|(_, status, _)| *status != Status::Delivered));
    while relay.stats().held > 0 {
        std::thread::yield_now();
    }
    drop(parked);
}

/// A request as it goes up.
fn request(body: Body) -> Vec<u8> {
    let body = body.done();
    let head = format!(
        "POST /v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

#[test]
fn octets_behind_the_park_of_a_single_socket_end_it() {
    let relay = bound();
    let mut stream = dial(&relay);
    // One octet, some, and all of the next request; before the park stands and after.
    for (seq, n) in (1..).zip([1, 2, 5, 40, usize::MAX]) {
        for late in [false, true] {
            let seq = 2 * seq + u64::from(late);
            let next = request(Body::send(1).to(2, 7).ack(seq, false));

            let (first, rest) = next.split_at(n.min(next.len()));
            let mut now = request(Body::single(1, seq));
            if late {
                stream.write_all(&now).unwrap();
                while relay.stats().parked == 0 {
                    std::thread::yield_now();
                }
                now.clear();
            }
            now.extend_from_slice(first);
            stream.write_all(&now).unwrap();
            let seen = parse(&reply(&mut stream).body);
            assert_eq!((seen.messages.len(), seen.end()), (2, Status::Ok), "{n} {late}");
            stream.write_all(rest).unwrap();
            let seen = parse(&reply(&mut stream).body);
            assert_eq!(seen.verdicts(), [(2, Status::Retry, 0)], "{n} {late}");
        }
    }
    // An answer that has begun ends by them as well.
    let mut upload = dial(&relay);
    let half = request(Body::send(3).to(1, 7).stream(0, &[1; 1_000]));
    stream.write_all(&request(Body::single(1, 100))).unwrap();
    upload.write_all(&half[..half.len() - 1]).unwrap();
    assert_eq!(line(&mut stream), "HTTP/1.1 200 OK");
    stream.write_all(b"P").unwrap();
    while relay.stats().parked > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn octets_behind_other_parks_end_nothing() {
    let relay = bound();
    let mut stream = park(&relay, Body::park(2, 1, 20_000));
    let next = request(Body::send(2));
    stream.write_all(&next[..5]).unwrap();
    let seen = send(&relay, Body::send(1).to(2, 7).stream(0, b"hello"));
    assert_eq!(seen.verdicts(), [(2, Status::Delivered, 5)]);
    assert_eq!(parse(&reply(&mut stream).body).stream(), b"hello");
    stream.write_all(&next[5..]).unwrap();
    assert_eq!(parse(&reply(&mut stream).body).end(), Status::Ok);
}

#[test]
fn a_single_socket_that_hangs_up_is_forgotten_with_what_it_says() {
    let relay = bound();
    let mut other = dial(&relay);
    post(&mut other, &Body::park(3, 1, 1).done());
    assert_eq!(parse(&reply(&mut other).body).end(), Status::Ok);
    for behind in [&b""[..], b"P"] {
        let before = relay.stats().parks;
        let mut stream = dial(&relay);
        let body = Body::single(2, 1).to(3, 7).stream(0, b"x");
        stream.write_all(&[&request(body), behind].concat()).unwrap();
        while relay.stats().parks == before {
            std::thread::yield_now();
        }
        drop(stream);
        while relay.stats().exchanges > 0 {
            std::thread::yield_now();
        }
        assert_eq!((relay.stats().parked, relay.stats().held), (0, 0));
    }
}

#[test]
fn a_hold_ends() {
    let relay = bound();
    let mut stream = dial(&relay);
    post(&mut stream, &Body::park(2, 1, 50).done());
    assert_eq!(parse(&reply(&mut stream).body).end(), Status::Ok);
}

#[test]
fn requests_other_than_exchanges_are_refused() {
    let relay = bound();
    let post = |path, headers: &str, body| {
        let octets = "Content-Type: application/octet-stream";
        format!("POST {path} HTTP/1.1\r\nHost: x\r\n{octets}\r\n{headers}\r\n\r\n{body}")
    };
    for (request, status) in [
        ("GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n".into(), 404),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".into(), 404),
        (post("/v2", "Content-Length: 0", ""), 404),
        ("GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n".into(), 405),
        ("POST /v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".into(), 415),
        (post("/v1", "Content-Length: 0", ""), 400),
        // A page whose name was made to lead here (DNS rebinding), or in a sandbox.
        (post("/v1", "Origin: http://rebound.example:8080\r\nContent-Length: 0", ""), 403),
        (post("/v1", "Origin: null\r\nContent-Length: 0", ""), 403),
        (post("/v1", "Content-Length: 5", "hello"), 400),
        (post("/v1", "Content-Length: 9999999", ""), 413),
        (post("/v1", "Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"), 400),
        (post("/v1", "Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"), 400),
    ] {
        let reply = raw(&relay, &request);
        assert_eq!(reply.status, status, "{request}");
        assert!(reply.body.ends_with(b"\n"), "{request}");
    }
}

#[test]
fn a_malformed_body_is_answered_at_once() {
    let relay = bound();
    let mut stream = dial(&relay);
    let body = Body::send(1).raw(&[0x7f, 0, 0, 0]).raw(&[0; 1000]).done();
    // Half of it: the answer does not wait for the rest.
    let head = format!(
        "POST /v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body[..100]].concat()).unwrap();
    let reply = reply(&mut stream);
    assert_eq!(reply.status, 200);
    assert_eq!(parse(&reply.body).end(), Status::Malformed);
}

#[test]
fn the_base_path_stands_before_the_version() {
    let config = RelayConfig { base: "/by/way/".into(), ..RelayConfig::default() };
    let relay = Relay::bind(config).unwrap();
    assert_eq!(relay.url(), format!("http://{}/by/way", relay.local_addr()));
    let mut stream = dial(&relay);
    let body = Body::send(1).done();
    let head = format!(
        "POST /by/way/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    assert_eq!(parse(&reply(&mut stream).body).end(), Status::Ok);
}

#[test]
fn get_of_the_base_path_is_200() {
    for (base, path) in [("", "/"), ("/by/way", "/by/way"), ("/by/way", "/by/way/?a=b")] {
        let relay = Relay::bind(RelayConfig { base: base.into(), ..RelayConfig::default() });
        let relay = relay.unwrap();
        // haproxy and others ask without a Host, by HTTP/1.0.
        for rest in ["HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.0\r\n\r\n"] {
            let reply = raw(&relay, &format!("GET {path} {rest}"));
            assert_eq!(
                (reply.status, &reply.body[..]),
                (200, &b"byway relay: here\n"[..]),
                "{path}"
            );
        }
        let mut stream = dial(&relay);
        let head = format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 200 ") && reply.ends_with("\r\n\r\n"), "{reply}");
        for (method, status) in [("POST", 404), ("OPTIONS", 404), ("DELETE", 404)] {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(raw(&relay, &request).status, status, "{method} {path}");
        }
        assert_eq!(raw(&relay, "GET /by HTTP/1.1\r\nHost: x\r\n\r\n").status, 404);
    }
}

#[test]
fn shutdown_answers_parks_that_wait() {
    let relay = bound();
    let idle = dial(&relay);
    let mut parked = park(&relay, Body::park(2, 1, 20_000));
    relay.shutdown(DEADLINE);
    assert_eq!(parse(&reply(&mut parked).body).end(), Status::Shutdown);
    drop(idle);
}

#[test]
fn drain_answers_parks_in_order_closes_their_connections_and_takes_no_more() {
    let relay = bound();
    let (address, monitor) = (relay.local_addr(), relay.monitor());
    let mut idle = dial(&relay);
    let mut parked = park(&relay, Body::park(2, 1, 20_000));
    assert_eq!((monitor.phase(), monitor.stats().connections.open), (Phase::Serving, 2));
    relay.drain(DEADLINE, DEADLINE);
    let answer = reply(&mut parked);
    assert_eq!(parse(&answer.body).end(), Status::Ok);
    assert!(answer.head.contains("connection: close"), "{}", answer.head);
    requests::wait_closed(&mut idle);
    let stats = monitor.stats();
    assert_eq!((stats.phase, stats.connections.open), (Phase::Ended, 0));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn traffic_counts_the_octets_of_sockets_and_answers_by_their_status() {
    let relay = bound();
    assert_eq!(raw(&relay, "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n").status, 404);
    let body = Body::send(1).raw(&[0; 1000]).done();
    let mut stream = dial(&relay);
    post(&mut stream, &body);
    let answer = reply(&mut stream);
    let stats = relay.traffic();
    assert!(stats.octets_in > 1000, "{stats:?}");
    assert!(stats.octets_out > (answer.head.len() + answer.body.len()) as u64, "{stats:?}");
    let answered: Vec<_> = stats.responses().filter(|(_, count)| *count > 0).collect();
    assert_eq!(answered, [(200, 1), (404, 1)]);
    assert_eq!(stats.connections, 2);
}

#[test]
fn after_an_abort_the_address_is_free_at_once() {
    let relay = bound();
    let listen = relay.local_addr();
    let mut parked = park(&relay, Body::park(2, 1, 20_000));
    relay.abort();
    let mut rest = Vec::new();
    // Closed without an answer: an end or a reset.
    assert_eq!(parked.read_to_end(&mut rest).unwrap_or(0), 0);
    for _ in 0..3 {
        let relay = Relay::bind(RelayConfig { listen, ..RelayConfig::default() }).unwrap();
        assert_eq!(relay.local_addr(), listen);
        let seen = send(&relay, Body::send(1).to(2, 7).stream(0, b"x"));
        assert_eq!(seen.verdicts(), [(2, Status::Retry, 0)]);
    }
}
