//! A relay with more work than it can do, and its end.

use std::io::{Read, Write};
use std::net::TcpStream;

use byway::wire::{
    Address, ChannelRef, Data, DataFlags, Decoder, Hello, HelloFlags, MAX_CONTROL, Message, Piece,
    Route, VERSION,
};

use crate::process::Byway;

/// Octets of a message, and the number of messages: more than the kernel's buffers take on the way.
const PIECE: usize = 4_000_000;
const PIECES: usize = 4;

fn put(body: &mut Vec<u8>, message: Message<'_>) {
    let mut octets = [0; MAX_CONTROL];
    let len = message.encode(&mut octets).expect("it fits");
    body.extend_from_slice(&octets[..len]);
}

fn hello(session: u8, seq: u64, hold_ms: u32, flags: HelloFlags) -> Vec<u8> {
    let secret = [session; 16];
    let hello = Hello { version: VERSION, flags, secret, seq, hold_ms, max_response: u32::MAX };
    let mut body = Vec::new();
    put(&mut body, Message::Hello(hello));
    body
}

fn post(stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    let head = format!(
        "POST /v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())
}

/// The address of a session, as WELCOME gives it.
fn address(stream: &mut TcpStream, session: u8) -> Address {
    post(stream, &hello(session, 1, 0, HelloFlags::NONE)).expect("sent");
    let mut answer = Vec::new();
    loop {
        let mut octets = [0; 1024];
        let n = stream.read(&mut octets).expect("an answer");
        answer.extend_from_slice(&octets[..n]);
        let Some(head) = answer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let mut body = &answer[head + 4..];
        if let Ok(Some(Piece::Message(Message::Welcome(w)))) = Decoder::new().next(&mut body) {
            return w.address;
        }
    }
}

#[test]
fn second_signal_ends_the_relay_at_once() {
    let mut relay = Byway::start(["relay", "--listen", "127.0.0.1:0", "-v"]);
    let (url, _stdout) = relay.announced();
    let dial = || TcpStream::connect(&url["http://".len()..]).expect("connects");
    // A response whose client does not read holds the relay for seconds.
    let mut parked = dial();
    let peer = address(&mut parked, 1);
    post(&mut parked, &hello(1, 2, 300_000, HelloFlags::STREAM)).expect("sent");
    let mut sender = dial();
    let mut body = hello(2, 1, 0, HelloFlags::NONE);
    put(&mut body, Message::Route(Route { peer, channel: ChannelRef { id: 1, token: 1 } }));
    let flags = DataFlags::NONE;
    put(&mut body, Message::SendReq(Data { offset: 0, flags, len: PIECE as u32 }));
    body.resize(body.len() + PIECE, 0);
    for _ in 0..PIECES {
        post(&mut sender, &body).expect("taken, and dropped in the end");
    }
    relay.signal("TERM");
    relay.wait_told("stopping on signal 15");
    relay.signal("INT");
    relay.end().expect_code(130);
}

#[test]
fn very_verbose_relay_tells_why_a_request_is_limited_and_no_data() {
    const MOST_MESSAGES: usize = 1_024;
    const CLIENT: u8 = 7;
    const DATA: &str = "confidential";
    let mut relay = Byway::start(["relay", "--listen", "127.0.0.1:0", "-vvv"]);
    let (url, _stdout) = relay.announced();
    let mut stream = TcpStream::connect(&url["http://".len()..]).expect("connects");
    let session = address(&mut stream, CLIENT);
    let mut body = hello(CLIENT, 2, 0, HelloFlags::NONE);
    let absent = Route { peer: Address([1; 16]), channel: ChannelRef { id: 1, token: 1 } };
    put(&mut body, Message::Route(absent));
    let (flags, len) = (DataFlags::NONE, DATA.len() as u32);
    put(&mut body, Message::SendReq(Data { offset: 0, flags, len }));
    body.extend_from_slice(DATA.as_bytes());
    for _ in 0..MOST_MESSAGES {
        put(&mut body, Message::Pad(0));
    }
    post(&mut stream, &body).expect("sent");
    // Of the young relay: the peer may be on its way back.
    relay.wait_told(&format!("session={session} exchange=1 index=2 bytes=0 verdict=\"RETRY\""));
    relay.wait_told(&format!("session={session} exchange=1 limit=max_messages"));
    relay.signal("TERM");
    let ended = relay.end();
    ended.expect_code(0);
    let secret: String = [CLIENT; 16].iter().map(|octet| format!("{octet:02x}")).collect();
    let listed = format!("{:?}", [CLIENT; 16]);
    for line in &ended.told {
        assert!(!line.contains(&secret) && !line.contains(&listed), "a secret in {line:?}");
        assert!(!line.contains(DATA), "data in {line:?}");
    }
}

#[test]
fn half_open_connections_do_not_keep_clients_out() {
    let mut relay = Byway::start_with_descriptors(200, ["relay", "--listen", "127.0.0.1:0"]);
    let (url, _stdout) = relay.announced();
    let begun: Vec<_> = (0..500)
        .map(|n| {
            let mut stream = TcpStream::connect(&url["http://".len()..]).expect("connects");
            // The relay may have closed the connection.
            let _ = stream.write_all(&b"POST"[..n % 5]);
            stream
        })
        .collect();
    let mut listen = Byway::start(["listen", "few:1", "--relay", &url]);
    listen.wait_told("listening on few:1");
    let mut connect = Byway::start(["connect", "few:1", "--relay", &url]);
    drop((listen.stdin(), connect.stdin()));
    listen.end().expect_code(0);
    connect.end().expect_code(0);
    drop(begun);
    relay.signal("TERM");
    relay.end().expect_code(0).expect_line(&["fewer connections than wanted", "ulimit -n"]);
}
