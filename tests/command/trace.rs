//! What `-vvv` tells of a client: why, and neither its secret nor data.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Sender};
use std::thread;

use byway::wire::{
    Address, Decoder, End, Hello, MAX_CONTROL, Message, Piece, Status, VERSION, Verdict, Welcome,
};

use crate::process::{Byway, Relay};

/// Octets as text in hexadecimal digits, and as `Debug` writes them.
fn spellings(octets: &[u8]) -> [String; 2] {
    let digits = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    [digits, format!("{octets:?}")]
}

/// The body of the next request of a connection; `None` at its end.
fn request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    loop {
        let head = octets.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&octets[..head]).to_lowercase();
            let (_, len) = text.split_once("content-length:").expect("a length");
            let len: usize = len.lines().next()?.trim().parse().expect("a number");
            if octets.len() >= head + len {
                return Some(octets.split_off(head));
            }
        }
        let mut more = [0; 4096];
        match stream.read(&mut more) {
            Ok(0) => return None,
            Ok(n) => octets.extend_from_slice(&more[..n]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Takes a request as a relay that is at a limit: the answer, or `None` if it is a park. The secret and
/// the token of the channel go to `seen`.
fn limited(body: &[u8], seen: &Sender<Vec<u8>>) -> Option<Vec<u8>> {
    let (mut rest, mut decoder) = (body, Decoder::new());
    let (mut index, mut verdict) = (0, None);
    let mut hello: Option<Hello> = None;
    while let Some(piece) = decoder.next(&mut rest).expect("a sound request") {
        match piece {
            Piece::Message(Message::Hello(h)) => hello = Some(h),
            Piece::Message(Message::ConnectReq(connect)) => {
                seen.send(connect.channel.token.to_be_bytes().to_vec()).expect("listened to");
                verdict = Some(Verdict { index, status: Status::Limited, bytes: 0 });
            }
            _ => {}
        }
        index += 1;
    }
    let hello = hello.expect("a request begins with HELLO");
    seen.send(hello.secret.to_vec()).expect("listened to");
    if hello.hold_ms > 1 {
        return None;
    }
    let address = Address([1; 16]);
    let welcome = Welcome { version: VERSION, seq: hello.seq, address, max_body: 1 << 20 };
    let end = Message::End(End { status: Status::Ok, highest: 0 });
    let messages = [Some(Message::Welcome(welcome)), verdict.map(Message::Verdict), Some(end)];
    let mut answer = Vec::new();
    for message in messages.iter().flatten() {
        let mut octets = [0; MAX_CONTROL];
        let len = message.encode(&mut octets).expect("it fits");
        answer.extend_from_slice(&octets[..len]);
    }
    Some(answer)
}

/// Serves a connection until its client ends it.
fn serve(mut stream: TcpStream, seen: &Sender<Vec<u8>>) {
    while let Some(body) = request(&mut stream) {
        let Some(answer) = limited(&body, seen) else { continue };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        // The client may be gone.
        let _ = stream.write_all(&[head.as_bytes(), &answer].concat());
    }
}

#[test]
fn very_verbose_client_tells_why_it_is_limited_and_no_secret() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (give, seen) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, give) = (stream.expect("a connection"), give.clone());
            thread::spawn(move || serve(stream, &give));
        }
    });
    let mut connect = Byway::start(["connect", "camera:1", "-vvv", "--relay", &url]);
    drop(connect.stdin());
    connect.wait_told("channel 0x1: Connect not delivered: LIMITED");
    connect.wait_told("channel 0x1: ended by a refusal with LIMITED");
    let ended = connect.end();
    ended.expect_code(3);
    let mut secrets: Vec<Vec<u8>> = seen.try_iter().collect();
    secrets.dedup();
    assert!(secrets.len() >= 2, "a secret and a token");
    for secret in secrets.iter().flat_map(|octets| spellings(octets)) {
        assert!(!ended.told.iter().any(|line| line.contains(&secret)), "{:?}", ended.told);
    }
}

#[test]
fn very_verbose_client_tells_why_its_channel_died_and_no_data() {
    const DATA: &str = "confidential";
    let relay = Relay::start();
    let listen = ["listen", "one:1", "--owner", "me", "--relay", &relay.url];
    let mut listener = Byway::start(listen);
    listener.wait_told("listening");
    let mut connector = Byway::start(["connect", "one:1", "-vvv", "--relay", &relay.url]);
    let mut stdin = connector.stdin();
    stdin.write_all(DATA.as_bytes()).expect("taken");
    let mut heard = [0; DATA.len()];
    listener.stdout().read_exact(&mut heard).expect("it came");
    listener.kill();
    let mut again = Byway::start(listen);
    connector.wait_told("channel 0x1: ended by the peer with UNKNOWN");
    let ended = connector.end();
    ended.expect_code(1);
    assert!(!ended.told.iter().any(|line| line.contains(DATA)), "{:?}", ended.told);
    again.wait_told("listening");
    drop(stdin);
}
