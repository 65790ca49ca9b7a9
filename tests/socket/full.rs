//! A relay that is full: its clients go on, and newcomers are refused.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use byway::Error;
use byway::client::{Client, Stream};
use byway::error::ResourceError;
use byway::relay::{Relay, RelayConfig};
use byway::wire::{Hello, HelloFlags, MAX_CONTROL, Message, VERSION};

use super::{LONG, config, pattern};

/// Pairs of clients that send to each other.
const PAIRS: usize = 20;

/// Connections that the relay takes.
const CONNECTIONS: usize = 200;

/// The pause between two echoes of a pair, and the number of its echoes.
const EVERY: Duration = Duration::from_millis(500);
const TIMES: usize = 10;

/// A request of a session of its own; a park if `hold` is not 0.
fn request(session: u64, hold_ms: u32) -> Vec<u8> {
    let mut secret = [0xee; 16];
    secret[..8].copy_from_slice(&session.to_be_bytes());
    let flags = HelloFlags::NONE;
    let hello = Hello { version: VERSION, flags, secret, seq: 1, hold_ms, max_response: 65_536 };
    let mut body = [0; MAX_CONTROL];
    let len = Message::Hello(hello).encode(&mut body).unwrap();
    let head = format!(
        "POST /v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: {len}\r\n\r\n",
    );
    [head.as_bytes(), &body[..len]].concat()
}

/// Makes one request, and gives the first octets of the answer.
fn ask(relay: SocketAddr, request: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&relay, LONG).ok()?;
    stream.set_read_timeout(Some(LONG)).ok()?;
    stream.write_all(request).ok()?;
    let mut answer = [0; 512];
    let n = stream.read(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer[..n]).into_owned())
}

/// A channel between two clients, from both sides.
fn joined([speaker, listener]: &[Client; 2], port: usize) -> (Stream, Stream) {
    let endpoint = format!("pair:{port}");
    let listening = listener.listen(endpoint.as_str()).unwrap();
    thread::scope(|scope| {
        let accepting = scope.spawn(|| listening.accept_timeout(LONG).unwrap());
        (speaker.connect(endpoint.as_str()).unwrap(), accepting.join().unwrap())
    })
}

/// Echoes again and again, and gives the longest time of an echo.
fn converse(
    pair: &[Client; 2],
    (here, there): (Stream, Stream),
) -> Result<Duration, std::io::Error> {
    let (mut here, mut there) = (&here, &there);
    let said = pattern(100);
    let mut longest = Duration::ZERO;
    let mut heard = vec![0; said.len()];
    for n in 0..TIMES {
        let begun = Instant::now();
        if n == TIMES / 2 {
            // The clients dial anew, and the relay knows them.
            pair.iter().for_each(Client::network_changed);
        }
        here.write_all(&said)?;
        there.read_exact(&mut heard)?;
        there.write_all(&heard)?;
        here.read_exact(&mut heard)?;
        assert_eq!(heard, said);
        longest = longest.max(begun.elapsed());
        thread::sleep(EVERY.saturating_sub(begun.elapsed()));
    }
    Ok(longest)
}

/// Newcomer `n` asks the relay again and again; gives how often it asked, was answered, and was
/// refused. Some newcomers send a request, some begin one, some send nothing.
fn knock(address: SocketAddr, n: u64, over: &AtomicBool) -> (u64, u64, u64) {
    let (mut asked, mut answered, mut refused) = (0, 0, 0);
    while !over.load(Relaxed) {
        let request = request(1_000 + n, 0);
        let len = [request.len(), request.len(), 30, 0][n as usize % 4];
        if len == request.len() {
            let answer = ask(address, &request).unwrap_or_default();
            // Now and then there is room for a moment.
            answered += u64::from(answer.starts_with("HTTP/1.1 "));
            refused += u64::from(answer.starts_with("HTTP/1.1 503"));
            asked += 1;
        } else if let Ok(mut stream) = TcpStream::connect(address) {
            // The relay may have closed the connection.
            let _ = stream.write_all(&request[..len]);
            thread::sleep(Duration::from_millis(50));
        }
        thread::sleep(Duration::from_millis(10));
    }
    (asked, answered, refused)
}

#[test]
fn pairs_go_on_beside_parked_clients_and_newcomers() {
    let max_connections = CONNECTIONS;
    let relay = Relay::bind(RelayConfig { max_connections, ..RelayConfig::default() }).unwrap();
    let pairs: Vec<_> =
        (0..PAIRS).map(|_| [(); 2].map(|()| Client::open(config(&relay)).unwrap())).collect();
    let joined: Vec<_> = pairs.iter().enumerate().map(|(n, pair)| joined(pair, n)).collect();
    let address = relay.local_addr();
    // Parks of other clients, until there is no room for a newcomer.
    let mut parked = Vec::new();
    let begun = Instant::now();
    while relay.connections().refused == 0 {
        assert!(begun.elapsed() < LONG, "{:?}", relay.connections());
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&request(parked.len() as u64, 120_000)).unwrap();
        parked.push(stream);
    }
    let over = AtomicBool::new(false);
    let (longest, answered) = thread::scope(|scope| {
        let newcomers: Vec<_> = (0..20)
            .map(|n| {
                let over = &over;
                scope.spawn(move || knock(address, n, over))
            })
            .collect();
        let talks: Vec<_> =
            pairs.iter().zip(joined).map(|(p, ends)| scope.spawn(|| converse(p, ends))).collect();
        let longest: Vec<_> = talks.into_iter().map(|talk| talk.join().unwrap()).collect();
        over.store(true, Relaxed);
        (
            longest,
            newcomers.into_iter().map(|newcomer| newcomer.join().unwrap()).collect::<Vec<_>>(),
        )
    });
    for longest in longest {
        // A connection that is closed while a request is on its way costs one repeat.
        assert!(longest.as_ref().is_ok_and(|longest| *longest < LONG / 10), "{longest:?}");
    }
    let sum = |of: fn(&(u64, u64, u64)) -> u64| answered.iter().map(of).sum::<u64>();
    assert_eq!(sum(|n| n.0), sum(|n| n.1), "each newcomer that asks is told: {answered:?}");
    assert!(sum(|n| n.2) > 0, "{answered:?}");
}

#[test]
fn newcomer_is_refused_by_a_full_relay_until_there_is_room() {
    let relay = Relay::bind(RelayConfig { max_connections: 8, ..RelayConfig::default() }).unwrap();
    let mut parked = Vec::new();
    for session in 0..7 {
        let mut stream = TcpStream::connect(relay.local_addr()).unwrap();
        stream.write_all(&request(session, 120_000)).unwrap();
        parked.push(stream);
    }
    while relay.stats().parked < 7 {
        thread::yield_now();
    }
    let refused = Client::open(config(&relay)).unwrap_err();
    assert_eq!(refused, Error::Resource(ResourceError::Full { seconds: 5 }));
    // A newcomer that waits is asked to come back.
    let waiting = Client::start(config(&relay)).unwrap();
    let waits = waiting.wait_open(Duration::from_secs(1)).unwrap_err();
    assert_eq!(waits, refused);
    drop(parked);
    waiting.wait_open(LONG).unwrap();
}
