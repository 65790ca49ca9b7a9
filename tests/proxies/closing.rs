//! A front that closes each connection when its next request is on the way, without a notice.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use byway::client::{ClientEvent, Config};
use byway::session::{Pace, Timers};

use crate::{DEADLINE, carry, client, http, join, relay};

fn front(server: SocketAddr) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // A peer that hangs up is no fault of the front.
            thread::spawn(move || serve(connection, server));
        }
    });
    port
}

fn serve(mut client: TcpStream, server: SocketAddr) -> io::Result<()> {
    let mut request = Vec::new();
    let mut octets = [0; 64 << 10];
    let at = loop {
        let n = client.read(&mut octets)?;
        if n == 0 {
            return Ok(());
        }
        request.extend_from_slice(&octets[..n]);
        let Some(at) = request.windows(4).position(|part| part == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..at]).to_lowercase();
        let (_, len) = head.split_once("content-length: ").expect("a length");
        let len: usize = len.lines().next().and_then(|len| len.parse().ok()).expect("a number");
        if request.len() == at + 4 + len {
            break at;
        }
    };
    let mut upstream = TcpStream::connect(server)?;
    upstream.write_all(&request[..at])?;
    upstream.write_all(b"\r\nConnection: close")?;
    upstream.write_all(&request[at..])?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    let close = b"connection: close\r\n";
    if let Some(at) = answer.windows(close.len()).position(|part| part == close) {
        answer.drain(at..at + close.len());
    }
    client.write_all(&answer)?;
    // Now the end of the connection and the next request cross.
    client.peek(&mut [0]).map(drop)
}

/// A pause would take longer than the test has time.
#[test]
fn requests_that_cross_the_end_of_their_connection_go_again_without_a_pause() {
    let relay = relay();
    let port = front(relay.local_addr());
    let mut timers = Timers::DEFAULT;
    (timers.retry_min_ms, timers.retry_max_ms) = (1 << 24, 1 << 24);
    let config = || Config { timers, open_timeout: DEADLINE, ..Config::new(http(port)) };
    let (one, other) = (client(Pace::LongPoll, config()), client(Pace::LongPoll, config()));
    let (a, b) = join(&one, &other);
    for _ in 0..20 {
        carry(&a, &b, 1_000);
    }
    let failed = one.stats().failed + other.stats().failed;
    assert!(failed > 10, "{failed} requests crossed, and the test shows nothing");
    while let Some(event) = one.next_event(Duration::ZERO) {
        assert!(!matches!(event, ClientEvent::PathBlocked { .. }), "the path is not to blame");
    }
}
