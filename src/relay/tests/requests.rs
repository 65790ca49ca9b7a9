//! Requests that are slow, incomplete or not HTTP as it should be.

use std::time::Instant;

use super::*;
use crate::relay::Access;

/// A relay that gives heads up soon.
fn hasty() -> Relay {
    let head_timeout = Duration::from_millis(200);
    Relay::bind(RelayConfig { head_timeout, ..RelayConfig::default() }).unwrap()
}

/// Until the relay closes it, which it does long before its time for idle connections.
pub(super) fn wait_closed(stream: &mut TcpStream) {
    let ended = stream.read(&mut [0]);
    assert!(matches!(ended, Ok(0)), "{ended:?}");
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let relay = hasty();
    wait_closed(&mut dial(&relay));
}

#[test]
fn a_head_that_has_begun_is_given_up_and_an_idle_connection_is_not() {
    let relay = hasty();
    let next = request(Body::send(1));
    for behind in [1, 60] {
        let mut stream = dial(&relay);
        stream.write_all(&next).unwrap();
        assert_eq!(parse(&reply(&mut stream).body).end(), Status::Ok);
        std::thread::sleep(Duration::from_millis(600));
        stream.write_all(&next).unwrap();
        assert_eq!(parse(&reply(&mut stream).body).end(), Status::Ok);
        stream.write_all(&next[..behind]).unwrap();
        wait_closed(&mut stream);
        // Also one that came with the request before it.
        let mut stream = dial(&relay);
        stream.write_all(&[&next[..], &next[..behind]].concat()).unwrap();
        assert_eq!(parse(&reply(&mut stream).body).end(), Status::Ok);
        wait_closed(&mut stream);
    }
    let mut stream = dial(&relay);
    stream.write_all(&next[..1]).unwrap();
    wait_closed(&mut stream);
}

#[test]
fn octets_that_trickle_do_not_prolong_a_head() {
    let relay = hasty();
    let mut stream = dial(&relay);
    let begun = Instant::now();
    while begun.elapsed() < DEADLINE {
        if stream.write_all(b"P").is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("a head of a letter each 20 ms is still awaited");
}

#[test]
fn a_hold_outlasts_the_time_for_heads() {
    let relay = hasty();
    let mut parked = park(&relay, Body::park(2, 1, 700));
    let seen = parse(&reply(&mut parked).body);
    assert_eq!(seen.end(), Status::Ok);
}

#[test]
fn incomplete_requests_do_not_delay_shutdown() {
    let relay = bound();
    let next = request(Body::send(1));
    let mut halves = Vec::new();
    for n in [0, 1, 60, next.len() - 1] {
        let mut fresh = dial(&relay);
        fresh.write_all(&next[..n]).unwrap();
        let mut kept = dial(&relay);
        kept.write_all(&next).unwrap();
        assert_eq!(parse(&reply(&mut kept).body).end(), Status::Ok);
        kept.write_all(&next[..n]).unwrap();
        halves.extend([fresh, kept]);
    }
    let begun = Instant::now();
    relay.shutdown(Duration::from_secs(60));
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
}

#[test]
fn missing_double_and_invalid_hosts_are_400() {
    let relay = bound();
    let octets = "Content-Type: application/octet-stream\r\nContent-Length: 0";
    let status = |version: &str, hosts: &str| {
        raw(&relay, &format!("POST /v2 HTTP/{version}\r\n{hosts}{octets}\r\n\r\n")).status
    };
    for hosts in ["", "Host: x\r\nHost: x\r\n", "Host: a b\r\n", "Host: u@x\r\n", "Host: x/y\r\n"] {
        assert_eq!(status("1.1", hosts), 400, "{hosts}");
    }
    for hosts in ["Host: x\r\n", "Host: x:80\r\n", "Host: [::1]:80\r\n", "Host:\r\n"] {
        assert_eq!(status("1.1", hosts), 404, "{hosts}");
    }
    assert_eq!(status("1.0", ""), 404);
}

#[test]
fn an_answer_before_the_end_of_the_request_says_that_it_closes() {
    let relay = bound();
    let octets = "Content-Type: application/octet-stream";
    for (head, status) in [
        (format!("POST /v1 HTTP/1.1\r\nHost: x\r\n{octets}"), 200),
        (format!("POST /v2 HTTP/1.1\r\nHost: x\r\n{octets}"), 404),
        (format!("PUT /v1 HTTP/1.1\r\nHost: x\r\n{octets}"), 405),
        ("POST /v1 HTTP/1.1\r\nHost: x".into(), 415),
    ] {
        let body = Body::send(1).raw(&[0x7f, 0, 0, 0]).done();
        let mut stream = dial(&relay);
        let head = format!("{head}\r\nContent-Length: 1000000\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
        // What is still on its way does not cost the answer.
        stream.write_all(&vec![0; 500_000]).unwrap();
        let early = reply(&mut stream);
        assert_eq!(early.status, status);
        assert!(early.head.contains("connection: close"), "{}", early.head);
        wait_closed(&mut stream);
        // A request that was read whole is no reason to close.
        let mut stream = dial(&relay);
        let head = head.replace("1000000", "0");
        stream.write_all(head.as_bytes()).unwrap();
        assert!(!reply(&mut stream).head.contains("connection: close"));
    }
}

#[test]
fn messages_cross_between_workers() {
    let relay = Relay::bind(RelayConfig { workers: 3, ..RelayConfig::default() }).unwrap();
    let mut parked: Vec<_> = (1..=6).map(|n| park(&relay, Body::park(n, 1, 20_000))).collect();
    for n in 1..=6 {
        let seen = send(&relay, Body::send(9).to(n, 7).stream(0, b"hello"));
        assert_eq!(seen.verdicts(), [(2, Status::Delivered, 5)]);
        let stream = &mut parked[usize::from(n) - 1];
        assert_eq!(parse(&reply(stream).body).stream(), b"hello");
    }
    let waits = park(&relay, Body::park(7, 1, 20_000));
    relay.shutdown(DEADLINE);
    assert_eq!(parse(&reply(&mut { waits }).body).end(), Status::Shutdown);
}

#[test]
fn a_second_relay_cannot_take_the_address() {
    let relay = Relay::bind(RelayConfig { workers: 2, ..RelayConfig::default() }).unwrap();
    let listen = relay.local_addr();
    let second = Relay::bind(RelayConfig { listen, ..RelayConfig::default() });
    assert_eq!(second.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn connection_is_closed_behind_its_answer_where_a_proxy_opens_another_for_each_request() {
    let config = RelayConfig { access: Access::Open, ..RelayConfig::default() };
    let relay = Relay::bind(config).unwrap();
    let begun = Instant::now();
    let ask = |fields: &str| {
        let next = request(Body::send(1));
        let end = next.windows(4).position(|part| part == b"\r\n\r\n").expect("a head") + 2;
        let mut stream = dial(&relay);
        stream.write_all(&[&next[..end], fields.as_bytes(), &next[end..]].concat()).unwrap();
        let closes = reply(&mut stream).head.contains("connection: close");
        (stream, closes)
    };
    let via = "Via: 1.1 proxy.example (squid/5.7)\r\n";
    let mut single = 0;
    let mut closed = loop {
        let (stream, closes) = ask(via);
        if closes {
            break stream;
        }
        single += 1;
        assert!(begun.elapsed() < DEADLINE, "kept after {single} connections");
    };
    wait_closed(&mut closed);
    assert!(single >= 8, "closed after {single} connections");
    assert!(!ask("").1, "a client that comes by itself");
}
