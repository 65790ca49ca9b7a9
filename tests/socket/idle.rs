//! The cost of a waiting client on the wire.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use byway::client::{Client, Config};
use byway::session::{Pace, Timers};

use super::{LONG, config, relay};

/// The most octets of HTTP, both ways, in an exchange of an idle client with a name claimed: with
/// one exchange in 25 s on average, that is 1,000 octets a minute.
const EXCHANGE: usize = 416;

/// Octets of an answer's body without news: WELCOME and END.
const NOTHING: usize = 36 + 13;

/// One HTTP message.
struct Message {
    octets: Vec<u8>,
    body: usize,
}

#[test]
fn idle_exchange_is_small() {
    let relay = relay();
    let (url, exchanges) = counted(relay.local_addr());
    // Shorter holds change nothing else.
    let mut timers = Timers::DEFAULT;
    (timers.hold_active_ms, timers.hold_idle_ms) = (20, 20);
    let config = Config { url, timers, pace: Pace::LongPoll, ..config(&relay) };
    let client = Client::open(config).unwrap();
    let _listener = client.listen("camera:1").unwrap();
    let claims = |request: &Message| request.octets.windows(6).any(|w| w == b"camera");
    loop {
        let (request, answer) = exchanges.recv_timeout(LONG).expect("an idle exchange");
        if claims(&request) && answer.body == NOTHING {
            let octets = request.octets.len() + answer.octets.len();
            let heads = [&request, &answer].map(|m| {
                String::from_utf8_lossy(&m.octets[..m.octets.len() - m.body]).into_owned()
            });
            assert!(octets <= EXCHANGE, "{octets} octets: {}", heads.concat());
            return;
        }
    }
}

/// A way to the relay that notes every exchange.
fn counted(relay: SocketAddr) -> (String, Receiver<(Message, Message)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tell = tell.clone();
            thread::spawn(move || connection(stream, relay, &tell));
        }
    });
    (url, told)
}

/// Ends with an error when either side hangs up.
fn connection(
    mut client: TcpStream,
    relay: SocketAddr,
    tell: &Sender<(Message, Message)>,
) -> io::Result<()> {
    let mut relay = TcpStream::connect(relay)?;
    loop {
        let request = pass(&mut client, &mut relay)?;
        let answer = pass(&mut relay, &mut client)?;
        // The test may have ended.
        let _ = tell.send((request, answer));
    }
}

/// Passes on one message with a Content-Length.
fn pass(from: &mut TcpStream, to: &mut TcpStream) -> io::Result<Message> {
    let mut octets = Vec::new();
    while !octets.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        from.read_exact(&mut octet)?;
        octets.extend(octet);
    }
    let head = String::from_utf8_lossy(&octets).to_lowercase();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let body = len.and_then(|len| len.trim().parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let at = octets.len();
    octets.resize(at + body, 0);
    from.read_exact(&mut octets[at..])?;
    to.write_all(&octets)?;
    Ok(Message { octets, body })
}
