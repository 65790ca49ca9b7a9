//! Messages: writing them into a buffer, and taking a body apart.

use std::hint::black_box;

use byway::Kind;
use byway::wire::{
    Address, ChannelKind, ChannelRef, Connect, Data, DataFlags, Decoder, Hello, HelloFlags,
    MAX_CONTROL, Message, Name, Piece, Route, VERSION, Window,
};

use super::case::{Case, Work};

pub const CASES: [Case; 7] = [
    Case::new("encode-ack", 0, |_| encode(&ack())),
    Case::new("encode-connect", 0, |_| encode(&connect())),
    Case::new("encode-send", 0, |_| encode(&send(64))),
    Case::new("decode-ack", 0, |_| decode(&ack(), 0)),
    Case::new("decode-connect", 0, |_| decode(&connect(), 0)),
    Case::new("decode-send-64", 64, |n| decode(&send(n), n)),
    Case::new("decode-send-64K", 64 << 10, |n| decode(&send(n), n)),
];

/// Octets of the pieces in which a body comes: what a TCP segment on Ethernet carries.
const PIECE: usize = 1448;
/// Most messages in the bodies here.
const MESSAGES: usize = 3;

/// The first message of every body.
pub fn hello(secret: u8) -> Hello {
    Hello {
        version: VERSION,
        flags: HelloFlags::NONE,
        secret: [secret; 16],
        seq: 1,
        hold_ms: 0,
        max_response: 16 << 20,
    }
}

/// The messages of a body that sends `n` octets to `peer`, which follow them.
pub fn send_to(peer: Address, n: usize) -> [Message<'static>; MESSAGES] {
    [
        Message::Hello(hello(1)),
        Message::Route(Route { peer, channel: ChannelRef { id: 1, token: 1 } }),
        Message::SendReq(Data { offset: 1 << 40, flags: DataFlags::NONE, len: n as u32 }),
    ]
}

fn send(n: usize) -> Vec<Message<'static>> {
    send_to(Address([2; 16]), n).into()
}

fn ack() -> Vec<Message<'static>> {
    let [hello, route, _] = send_to(Address([2; 16]), 0);
    let window = Window { ack: 1 << 40, limit: 1 << 41, ..Window::default() };
    vec![hello, route, Message::ReceiveReq(window)]
}

fn connect() -> Vec<Message<'static>> {
    let connect = Connect {
        channel: ChannelRef { id: 1, token: 1 },
        kind: ChannelKind::plain(Kind::Stream),
        port: 1,
        limit: 256 << 10,
        linger_ms: 180_000,
        name: Name::from_bytes(b"camera").expect("a name"),
        greeting: b"hello",
    };
    vec![Message::Hello(hello(1)), Message::ConnectReq(connect)]
}

/// Writes messages into `out`, and gives the number of octets.
pub fn write(messages: &[Message<'_>], out: &mut [u8]) -> usize {
    messages.iter().fold(0, |at, message| at + message.encode(&mut out[at..]).expect("it fits"))
}

fn encode(messages: &[Message<'static>]) -> Box<dyn Work> {
    let messages = messages.to_vec();
    let mut out = [0; MESSAGES * MAX_CONTROL];
    Box::new(move || {
        write(black_box(&messages), &mut out);
        black_box(&out);
    })
}

/// A body of these messages and `bytes` of data.
pub fn body(messages: &[Message<'_>], bytes: usize) -> Vec<u8> {
    let mut body = vec![0; MESSAGES * MAX_CONTROL];
    let head = write(messages, &mut body);
    body.truncate(head);
    body.resize(head + bytes, 7);
    body
}

fn decode(messages: &[Message<'static>], bytes: usize) -> Box<dyn Work> {
    let body = body(messages, bytes);
    let expected = messages.len();
    let mut decoder = Decoder::new();
    Box::new(move || {
        let mut got = 0;
        for mut piece in black_box(&body).chunks(PIECE) {
            while let Some(found) = decoder.next(&mut piece).expect("whole messages") {
                got += usize::from(matches!(black_box(found), Piece::Message(_)));
            }
        }
        assert_eq!(got, expected);
    })
}
