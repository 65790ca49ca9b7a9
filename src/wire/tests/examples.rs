//! The page's worked examples, compared with the codec in both directions.

use sha2::{Digest, Sha256};

use super::*;

const LISTENER: [u8; 16] = *b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f";
const CONNECTOR: [u8; 16] = *b"\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f";
const LISTENER_END: ChannelRef = ChannelRef { id: 0x0200_0003, token: 0xd0d1_d2d3_d4d5_d6d7 };
const CONNECTOR_END: ChannelRef = ChannelRef { id: 0x0000_0001, token: 0xc0c1_c2c3_c4c5_c6c7 };
const EPOCH: u64 = 1_800_000_000_000;

fn address(secret: [u8; 16]) -> Address {
    let digest = Sha256::digest(secret);
    Address(digest[..16].try_into().expect("16 of 32 octets"))
}

fn hello(secret: [u8; 16], seq: u64, hold_ms: u32) -> Message<'static> {
    let flags = HelloFlags::NONE;
    Message::Hello(Hello { version: VERSION, flags, secret, seq, hold_ms, max_response: 16 << 20 })
}

fn welcome(secret: [u8; 16], seq: u64) -> Message<'static> {
    Message::Welcome(Welcome { version: VERSION, seq, address: address(secret), max_body: 4 << 20 })
}

fn end(highest: u64) -> Message<'static> {
    Message::End(End { status: Status::Ok, highest })
}

fn route(secret: [u8; 16], channel: ChannelRef) -> Message<'static> {
    Message::Route(Route { peer: address(secret), channel })
}

fn from(secret: [u8; 16], channel: ChannelRef) -> Message<'static> {
    Message::From(Route { peer: address(secret), channel })
}

fn listen(heard: Option<Status>) -> Message<'static> {
    Message::ListenReq(ListenReq {
        claim: 1,
        kind: ChannelKind::plain(Kind::Stream),
        port: 1,
        owner: std::array::from_fn(|i| 0xa0 + i as u8),
        epoch: EPOCH,
        backlog: 4,
        heard,
        name: name("camera"),
    })
}

fn verdict(index: u16, bytes: u32) -> Message<'static> {
    Message::Verdict(Verdict { index, status: Status::Delivered, bytes })
}

/// The messages of each block, in the page's order.
fn expected() -> Vec<Vec<Message<'static>>> {
    let connect = Connect {
        channel: CONNECTOR_END,
        kind: ChannelKind::plain(Kind::Stream),
        port: 1,
        limit: 262_144,
        linger_ms: 180_000,
        name: name("camera"),
        greeting: b"hi",
    };
    let accept = Accept {
        status: Status::Ok,
        channel: LISTENER_END,
        limit: 65_536,
        linger_ms: 180_000,
        greeting: b"",
    };
    let window = |ack, limit| Window { ack, limit, now: true, ..Window::default() };
    let (first, last) = (window(0, 262_144), window(6, 65_536));
    let data = Data { offset: 0, flags: DataFlags::FIN.with(DataFlags::ACK_NOW), len: 5 };
    let told = ListenRsp { claim: 1, status: Status::Ok, epoch: EPOCH };
    let close = Message::CloseReq(Close { status: Status::Aborted, offset: 6 });
    let closed = Message::CloseRsp(Closed { status: Status::Closed, channel: CONNECTOR_END });
    let (l, c) = (LISTENER, CONNECTOR);
    let (l_end, c_end) = (LISTENER_END, CONNECTOR_END);
    let heard = listen(Some(Status::Ok));
    vec![
        // Claiming a name
        vec![hello(l, 2, 25_000), listen(None)],
        vec![welcome(l, 2), Message::ListenRsp(told), end(2)],
        // Connecting
        vec![hello(c, 5, 0), Message::ConnectReq(connect)],
        vec![welcome(l, 3), from(c, ChannelRef::NONE), Message::AcceptReq(connect), end(3)],
        vec![welcome(c, 5), verdict(1, 0), end(4)],
        vec![hello(l, 5, 0), route(c, c_end), Message::AcceptRsp(accept)],
        vec![welcome(c, 4), from(l, c_end), Message::ConnectRsp(accept), end(4)],
        vec![hello(c, 7, 0), route(l, l_end), Message::ReceiveReq(first)],
        vec![welcome(l, 4), from(c, l_end), Message::SendRsp(first), end(4)],
        // Sending
        vec![hello(c, 8, 0), route(l, l_end), Message::SendReq(data)],
        vec![welcome(l, 6), from(c, l_end), Message::ReceiveRsp(data), end(6)],
        vec![welcome(c, 8), verdict(2, 5), end(6)],
        // Acknowledging
        vec![hello(l, 7, 5_000), heard, route(c, c_end), Message::ReceiveReq(last)],
        vec![welcome(c, 6), from(l, c_end), Message::SendRsp(last), end(6)],
        // Closing
        vec![hello(l, 8, 0), route(c, c_end), close],
        vec![welcome(c, 9), from(l, c_end), close, end(9)],
        vec![welcome(l, 8), verdict(2, 0), end(7)],
        vec![hello(c, 10, 0), route(l, ChannelRef::NONE), closed],
        vec![welcome(l, 7), from(c, ChannelRef::NONE), closed, end(7)],
    ]
}

/// The lines of each hex block: the octets, and the name in the comment.
fn blocks() -> Vec<Vec<(Vec<u8>, &'static str)>> {
    let fenced = PAGE.split("```hex\n").skip(1);
    fenced
        .map(|text| {
            let block = text.split("```").next().expect("split gives one");
            block.lines().map(line).collect()
        })
        .collect()
}

fn line(text: &'static str) -> (Vec<u8>, &'static str) {
    let (hex, comment) = text.split_once("  # ").expect("hex, two blanks, a comment");
    let digits: String = hex.split(' ').collect();
    let octets = (0..digits.len()).step_by(2).map(|i| {
        let pair = digits.get(i..i + 2).expect("two digits for each octet");
        u8::from_str_radix(pair, 16).expect("hexadecimal digits")
    });
    (octets.collect(), comment.split(':').next().unwrap_or_default())
}

#[test]
fn examples_decode_and_encode_as_the_page_has_them() {
    let (blocks, expected) = (blocks(), expected());
    assert_eq!(blocks.len(), expected.len());
    let names = samples(1, 0);
    for (lines, messages) in blocks.iter().zip(&expected) {
        assert_eq!(lines.len(), messages.len(), "{lines:02x?}");
        for ((octets, comment), message) in lines.iter().zip(messages) {
            let bytes: &[u8] = match message {
                Message::SendReq(_) | Message::ReceiveRsp(_) => b"hello",
                _ => b"",
            };
            let mut found = vec![Found::Message(format!("{message:?}"))];
            if !bytes.is_empty() {
                found.push(Found::Bytes(bytes.to_vec()));
            }
            assert_eq!(decode([&octets[..]]), (found, Ok(true)), "{comment}");
            assert_eq!(*octets, [&encoded(message)[..], bytes].concat(), "{comment}");
            let (name, _) = names
                .iter()
                .find(|(_, sample)| sample.kind() == message.kind())
                .expect("a sample of each type");
            assert_eq!(name, comment);
        }
        // A block is a body.
        let body: Vec<u8> = lines.iter().flat_map(|(octets, _)| octets.clone()).collect();
        assert_eq!(decode([&body[..]]).1, Ok(true));
        let is_request = matches!(messages[0], Message::Hello(_));
        let is_response = matches!(messages[0], Message::Welcome(_))
            && matches!(messages[messages.len() - 1], Message::End(_));
        assert!(is_request || is_response);
    }
}

/// The relay forwards a payload as it is, and changes the type octet only.
#[test]
fn forwarded_payloads_are_equal() {
    let lines: Vec<_> = blocks().into_iter().flatten().collect();
    for (sent, got) in [
        ("CONNECT_REQ", "ACCEPT_REQ"),
        ("ACCEPT_RSP", "CONNECT_RSP"),
        ("SEND_REQ", "RECEIVE_RSP"),
        ("RECEIVE_REQ", "SEND_RSP"),
    ] {
        let of = |name| lines.iter().filter(move |line| line.1 == name).map(|line| &line.0[1..]);
        assert!(of(sent).count() > 0);
        assert!(of(sent).eq(of(got)), "{sent} and {got}");
        let row = format!("| {sent} | {got} |");
        assert!(PAGE.contains(&row), "{row}");
    }
}
