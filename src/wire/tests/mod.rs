//! Tests of the codec, by itself and against the protocol page beside it.

mod codec;
mod endpoint;
mod examples;
mod hostile;
mod page;
mod role;

use super::*;
use crate::Kind;

/// The protocol page.
const PAGE: &str = include_str!("../README.md");

/// Where greetings in tests come from.
static OCTETS: [u8; 2 * MAX_GREETING + 8] = {
    let mut octets = [0; 2 * MAX_GREETING + 8];
    let mut i = 0;
    while i < octets.len() {
        octets[i] = i as u8;
        i += 1;
    }
    octets
};

/// A message of each type with the name that the page gives it; names have `n` octets, greetings `g`.
fn samples(n: usize, g: usize) -> Vec<(&'static str, Message<'static>)> {
    let channel = ChannelRef { id: 0x0200_0003, token: 0xd0d1_d2d3_d4d5_d6d7 };
    let peer = Address(*b"0123456789abcdef");
    let name = name(&"n".repeat(n));
    let greeting = &OCTETS[..g];
    let route = Route { peer, channel };
    let (kind, port, limit, linger_ms) = (Kind::Datagram, 0x1234, 1 << 40, 180_000);
    let connect =
        Connect { channel, kind: ChannelKind::plain(kind), port, limit, linger_ms, name, greeting };
    let accept = Accept { status: Status::Ok, channel, limit, linger_ms, greeting };
    let data = Data { offset: 1 << 33, flags: DataFlags::FIN, len: 0 };
    let window =
        Window { ack: 1, limit, losses: 3, overflow: 4, now: true, done: true, ask: false };
    let claim = 0x0100_0002;
    let (owner, epoch, heard) = (peer.0, 1 << 41, Some(Status::Taken));
    let listen = ListenReq {
        claim,
        kind: ChannelKind::plain(kind),
        port,
        owner,
        epoch,
        backlog: 9,
        heard,
        name,
    };
    let proof = Proof { key: &[0xa1; 32], host: &[0xa2; 32], signature: &[0xa3; 64] };
    let flags = HelloFlags::WAKE;
    let (secret, seq, hold_ms, max_response) = (peer.0, 1 << 50, 25_000, 1 << 24);
    let hello = Hello { version: VERSION, flags, secret, seq, hold_ms, max_response };
    let welcome = Welcome { version: VERSION, seq, address: peer, max_body: 1 << 22 };
    let close = Close { status: Status::Linger, offset: 77 };
    let verdict = Verdict { index: 0x0203, status: Status::Busy, bytes: 0x0405_0607 };
    vec![
        ("HELLO", Message::Hello(hello)),
        ("WELCOME", Message::Welcome(welcome)),
        ("END", Message::End(End { status: Status::Stale, highest: 1 << 51 })),
        ("ROUTE", Message::Route(route)),
        ("FROM", Message::From(route)),
        ("PROOF", Message::Proof(proof)),
        ("LISTEN_REQ", Message::ListenReq(listen)),
        ("LISTEN_RSP", Message::ListenRsp(ListenRsp { claim, status: Status::InUse, epoch })),
        ("CONNECT_REQ", Message::ConnectReq(connect)),
        ("CONNECT_RSP", Message::ConnectRsp(accept)),
        ("ACCEPT_REQ", Message::AcceptReq(connect)),
        ("ACCEPT_RSP", Message::AcceptRsp(accept)),
        ("CONFIRM", Message::Confirm(Confirm { handshake: greeting })),
        ("SEND_REQ", Message::SendReq(data)),
        ("SEND_RSP", Message::SendRsp(window)),
        ("RECEIVE_REQ", Message::ReceiveReq(window)),
        ("RECEIVE_RSP", Message::ReceiveRsp(data)),
        ("CLOSE_REQ", Message::CloseReq(close)),
        ("CLOSE_RSP", Message::CloseRsp(Closed { status: Status::Unknown, channel })),
        ("VERDICT", Message::Verdict(verdict)),
        ("READY", Message::Ready(peer)),
        ("GONE", Message::Gone(peer)),
        ("TICK", Message::Tick(Tick { age_ms: 0x0102_0304, next_ms: 0x0506_0708 })),
        ("PAD", Message::Pad(0)),
    ]
}

fn name(text: &str) -> Name {
    Name::from_bytes(text.as_bytes()).expect("a valid name")
}

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut out = vec![0; MAX_CONTROL];
    let n = message.encode(&mut out).expect("it fits");
    out.truncate(n);
    out
}

/// A piece that a decoder found, in a form that outlives it; bytes that follow each other are joined.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Message(String),
    Bytes(Vec<u8>),
}

/// The pieces of a body, and whether the body may end there.
fn decode<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (Vec<Found>, Result<bool, WireError>) {
    let mut decoder = Decoder::new();
    let mut found = Vec::new();
    let mut left = 0;
    for mut input in pieces {
        loop {
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Piece::Message(message))) => {
                    assert_eq!(left, 0, "a message amid the bytes of another");
                    if let Message::SendReq(data) | Message::ReceiveRsp(data) = message {
                        left = data.len;
                    }
                    found.push(Found::Message(format!("{message:?}")));
                }
                Ok(Some(Piece::Bytes(bytes, rest))) => {
                    assert!(!bytes.is_empty());
                    left -= bytes.len() as u32;
                    assert_eq!(rest, left);
                    match found.last_mut() {
                        Some(Found::Bytes(all)) => all.extend_from_slice(bytes),
                        _ => found.push(Found::Bytes(bytes.to_vec())),
                    }
                }
                Err(error) => return (found, Err(error)),
            }
        }
        assert!(input.is_empty(), "None only when the input is used up");
    }
    (found, Ok(decoder.at_boundary()))
}
