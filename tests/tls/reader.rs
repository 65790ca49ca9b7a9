//! Readers that take nothing, over TLS.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use byway::relay::{Relay, RelayConfig};

use crate::{DEADLINE, Pair, ask, line};

/// Says requests until the relay takes no more, since nothing of its answers is taken; gives whether the
/// relay then ended the connection.
fn say_and_take_nothing(stream: &mut impl Write) -> bool {
    let began = Instant::now();
    loop {
        match stream.write_all(&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100)) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return true,
        }
        if began.elapsed() > DEADLINE {
            return false;
        }
    }
}

fn stall() -> RelayConfig {
    RelayConfig { stall: Duration::from_secs(1), ..RelayConfig::default() }
}

fn is_given_up(relay: &Relay, mut stream: impl Write) {
    assert!(say_and_take_nothing(&mut stream), "{:?}", relay.connections());
    let began = Instant::now();
    while relay.connections().open > 0 {
        assert!(began.elapsed() < DEADLINE, "{:?}", relay.connections());
        std::thread::yield_now();
    }
}

#[test]
fn reader_that_takes_nothing_is_given_up_over_tls_as_without() {
    let plain = Relay::bind(stall()).expect("a port");
    let socket = TcpStream::connect(plain.local_addr()).expect("connects");
    socket.set_write_timeout(Some(Duration::from_millis(100))).expect("not zero");
    is_given_up(&plain, socket);

    let pair = Pair::new();
    let relay = pair.relay_with(stall());
    let mut line = line(relay.local_addr().port(), &pair);
    ask(&mut line);
    line.sock.set_write_timeout(Some(Duration::from_millis(100))).expect("not zero");
    is_given_up(&relay, line);
}
