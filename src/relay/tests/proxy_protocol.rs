//! Connections whose proxy tells by the PROXY protocol whose they are.

use super::*;
use crate::relay::{Access, Rate};

/// A relay behind proxies of this network.
fn behind(network: &str, config: RelayConfig) -> Relay {
    let trusted_proxies = vec![network.parse().unwrap()];
    let access = Access::Open;
    Relay::bind(RelayConfig { trusted_proxies, access, proxy_protocol: true, ..config }).unwrap()
}

fn few_requests() -> RelayConfig {
    let config = RelayConfig::default();
    let requests = Some(Rate::new(1, 3));
    let router = RouterConfig { requests, request_wait_ms: 0, ..config.router.clone() };
    RelayConfig { router, ..config }
}

/// A connection that begins with these octets.
fn begun(relay: &Relay, header: &[u8]) -> TcpStream {
    let mut stream = dial(relay);
    stream.write_all(header).unwrap();
    stream
}

fn version_1(address: &str) -> Vec<u8> {
    format!("PROXY TCP4 {address} 192.0.2.1 40000 80\r\n").into()
}

fn version_2(address: [u8; 4]) -> Vec<u8> {
    let fixed = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
    [&fixed[..], &address, &[192, 0, 2, 1, 0x9c, 0x40, 0, 80]].concat()
}

fn status(mut stream: TcpStream, fields: &str) -> u16 {
    let body = Body::send(1).done();
    let head = format!(
        "POST /v1 HTTP/1.1\r\nHost: x\r\n{fields}Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    reply(&mut stream).status
}

#[test]
fn connection_counts_for_the_address_that_the_proxy_tells() {
    let relay = behind("127.0.0.1/32", few_requests());
    let headers = [version_1("203.0.113.7"), version_2([203, 0, 113, 7])];
    let ask = |n: usize| status(begun(&relay, &headers[n % 2]), "");
    let refused = (0..1_000).map(ask).find(|status| *status != 200);
    assert_eq!(refused, Some(503));
    // What its client says of addresses is not believed.
    let refused = (0..1_000)
        .map(|_| status(begun(&relay, &headers[0]), "X-Forwarded-For: 203.0.113.9\r\n"))
        .find(|status| *status != 200);
    assert_eq!(refused, Some(503));
    assert_eq!(status(begun(&relay, &version_1("203.0.113.8")), ""), 200);
    assert_eq!(relay.stats().requests_refused, 2);
}

#[test]
fn loopback_address_that_a_proxy_tells_is_not_exempt() {
    let relay = behind("127.0.0.1/32", few_requests());
    let ask = |_| status(begun(&relay, &version_1("127.0.0.9")), "");
    assert_eq!((0..1_000).map(ask).find(|status| *status != 200), Some(503));
}

#[test]
fn connections_share_places_by_the_address_that_the_proxy_tells() {
    let max_connections_per_address = std::num::NonZeroUsize::new(2);
    let config = RelayConfig { max_connections_per_address, ..RelayConfig::default() };
    let relay = behind("127.0.0.1/32", config);
    let idle: Vec<_> = (0..3).map(|_| begun(&relay, &version_2([203, 0, 113, 7]))).collect();
    // The address gives one up for its third.
    let is_closed = |mut stream: &TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        matches!(stream.read(&mut [0; 1]), Ok(0))
    };
    let until = std::time::Instant::now() + DEADLINE;
    while !idle.iter().any(is_closed) {
        assert!(std::time::Instant::now() < until, "none is closed");
    }
    assert_eq!(idle.iter().filter(|stream| is_closed(stream)).count(), 1);
    assert_eq!(relay.connections().evicted, 1);
    assert_eq!(status(begun(&relay, &version_2([203, 0, 113, 8])), ""), 200);
}

#[test]
fn connection_of_a_named_proxy_without_a_header_is_refused_with_the_remedy() {
    let relay = behind("127.0.0.1/32", RelayConfig::default());
    let mut stream = dial(&relay);
    post(&mut stream, &Body::send(1).done());
    let reply = reply(&mut stream);
    assert_eq!(reply.status, 400);
    let text = String::from_utf8(reply.body).unwrap();
    assert!(text.contains("header of the PROXY protocol"), "{text}");
    assert_eq!(relay.connections().headless, 1);
    // One of the proxy's own checks says that it is none of a client.
    assert_eq!(status(begun(&relay, b"PROXY UNKNOWN\r\n"), ""), 200);
}

#[test]
fn header_of_an_address_that_is_not_named_is_refused() {
    let relay = behind("192.0.2.0/24", few_requests());
    assert_eq!(status(begun(&relay, &version_1("203.0.113.7")), ""), 400);
    let mut stream = begun(&relay, &version_2([203, 0, 113, 7]));
    assert_eq!(reply(&mut stream).status, 400);
    assert_eq!(status(dial(&relay), ""), 200);
}
