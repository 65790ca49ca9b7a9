//! Bodies that break the protocol.

use super::*;

/// One message with a payload of our own.
fn raw(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut octets = (u32::from(kind) << 24 | payload.len() as u32).to_be_bytes().to_vec();
    octets.extend(payload);
    octets
}

fn error(body: &[u8]) -> Option<WireError> {
    decode([body]).1.err()
}

/// Every sample with its octets.
fn all() -> impl Iterator<Item = (&'static str, Message<'static>, Vec<u8>)> {
    samples(6, 3).into_iter().map(|(name, message)| (name, message, encoded(&message)))
}

fn carries_bytes(message: &Message<'_>) -> bool {
    matches!(message, Message::SendReq(_) | Message::ReceiveRsp(_) | Message::Pad(_))
}

#[test]
fn truncated_message_is_incomplete_at_every_octet() {
    for (name, message, octets) in all() {
        for n in 0..octets.len() {
            let (found, end) = decode([&octets[..n]]);
            assert_eq!((found, end), (vec![], Ok(n == 0)), "{name} at {n}");
            if n >= HEADER_LEN && !carries_bytes(&message) {
                let kind = message.kind();
                let length = (n - HEADER_LEN) as u32;
                let decoded = Message::decode(kind, &octets[HEADER_LEN..n]);
                assert_eq!(decoded, Err(WireError::Length { kind, length }), "{name} at {n}");
            }
        }
    }
}

#[test]
fn missing_bytes_leave_the_body_incomplete() {
    let data = Data { offset: 0, flags: DataFlags::NONE, len: 5 };
    for message in [Message::SendReq(data), Message::ReceiveRsp(data), Message::Pad(5)] {
        let mut octets = encoded(&message);
        octets.extend(b"hell");
        assert_eq!(decode([&octets[..]]).1, Ok(false));
        octets.push(b'o');
        assert_eq!(decode([&octets[..]]).1, Ok(true));
    }
}

#[test]
fn wrong_lengths_are_refused() {
    for (name, message, octets) in all() {
        let kind = message.kind();
        let payload = octets.len() - HEADER_LEN;
        if carries_bytes(&message) {
            continue;
        }
        for length in 0..=MAX_CONTROL {
            if length == payload {
                continue;
            }
            let mut lying = octets.clone();
            lying.resize(HEADER_LEN + length, 0);
            lying[1..HEADER_LEN].copy_from_slice(&(length as u32).to_be_bytes()[1..]);
            let expected = WireError::Length { kind, length: length as u32 };
            assert_eq!(error(&lying), Some(expected), "{name} of {length}");
        }
        // Too long to be held: refused at once, nothing of the payload is awaited.
        let endless = [kind, 0xff, 0xff, 0xff];
        let expected = WireError::Length { kind, length: MAX_MESSAGE as u32 };
        assert_eq!(error(&endless), Some(expected), "{name}");
    }
    for kind in [layout::kind::SEND_REQ, layout::kind::RECEIVE_RSP] {
        for length in 0..9 {
            let expected = WireError::Length { kind, length };
            assert_eq!(error(&[kind, 0, 0, length as u8]), Some(expected));
        }
    }
}

#[test]
fn wrong_lengths_of_fields_are_refused() {
    let (_, message) = samples(6, 3).into_iter().find(|s| s.0 == "CONNECT_REQ").expect("a sample");
    let kind = message.kind();
    let good = encoded(&message);
    let (n_at, g_at) = (31, 32 + 6);
    for wrong in 0..=u8::MAX {
        for at in [n_at, g_at] {
            let mut lying = good.clone();
            if lying[at] == wrong {
                continue;
            }
            lying[at] = wrong;
            // The name's length moves where the greeting's is read, which may be anywhere.
            let error = error(&lying).expect("no such message");
            let length = (good.len() - HEADER_LEN) as u32;
            assert!(
                matches!(error, WireError::Field { kind: k } if k == kind)
                    || error == WireError::Length { kind, length }
            );
        }
    }
    let mut long = good[HEADER_LEN..g_at].to_vec();
    long.push(MAX_GREETING as u8 + 1);
    long.extend([0; MAX_GREETING + 1]);
    assert_eq!(error(&raw(kind, &long)), Some(WireError::Field { kind }));
}

#[test]
fn unknown_types_are_refused_below_0x80_and_skipped_above() {
    let known: Vec<u8> = samples(1, 0).iter().map(|(_, message)| message.kind()).collect();
    for kind in 0..=u8::MAX {
        if known.contains(&kind) {
            continue;
        }
        let mut body = raw(kind, &[7; 300]);
        body.extend(encoded(&Message::Pad(0)));
        let (found, end) = decode(body.chunks(7));
        if kind < layout::kind::GONE {
            assert_eq!(error(&raw(kind, &[])), Some(WireError::Unknown { kind }));
            assert_eq!(error(&raw(kind, &[7; 20])), Some(WireError::Unknown { kind }));
            assert!(end.is_err() && found.is_empty(), "{kind:#04x}");
        } else {
            assert_eq!((found.len(), end), (1, Ok(true)), "{kind:#04x}");
        }
    }
}

#[test]
fn values_out_of_range_are_refused() {
    // Where in which message there is a status, a kind, a magic.
    let places = [
        ("WELCOME", 5),
        ("END", 4),
        ("LISTEN_REQ", 8),
        ("LISTEN_REQ", 36),
        ("LISTEN_RSP", 8),
        ("CONNECT_REQ", 16),
        ("ACCEPT_REQ", 16),
        ("CONNECT_RSP", 4),
        ("ACCEPT_RSP", 4),
        ("CLOSE_REQ", 4),
        ("CLOSE_RSP", 4),
        ("VERDICT", 6),
    ];
    for (name, at) in places {
        let (_, message, mut octets) = all().find(|sample| sample.0 == name).expect("a sample");
        octets[at] = 0x7e;
        assert_eq!(error(&octets), Some(WireError::Field { kind: message.kind() }), "{name} {at}");
    }
    for text in ["", "a b", "a:b", "é", "a\0"] {
        let (_, message, octets) = all().find(|sample| sample.0 == "LISTEN_REQ").expect("a sample");
        let mut payload = octets[HEADER_LEN..37].to_vec();
        payload.push(text.len() as u8);
        payload.extend(text.as_bytes());
        let kind = message.kind();
        assert_eq!(error(&raw(kind, &payload)), Some(WireError::Field { kind }), "{text}");
    }
}

#[test]
fn impossible_data_messages_are_refused() {
    let kind = layout::kind::SEND_REQ;
    let body = |offset: u64, flags: DataFlags, bytes: usize| {
        let mut payload = offset.to_be_bytes().to_vec();
        payload.push(flags.bits());
        payload.resize(9 + bytes, 0);
        raw(kind, &payload)
    };
    let length = |bytes: u32| Some(WireError::Length { kind, length: 9 + bytes });
    let field = Some(WireError::Field { kind });
    let (none, probe) = (DataFlags::NONE, DataFlags::PROBE);
    assert_eq!(error(&body(0, probe, 1)), length(1));
    assert_eq!(error(&body(0, probe, 0)), None);
    assert_eq!(error(&body(0, DataFlags::DATAGRAM, MAX_DATAGRAM)), None);
    assert_eq!(error(&body(0, DataFlags::DATAGRAM, MAX_DATAGRAM + 1)), length(1 << 16));
    assert_eq!(error(&body(0, DataFlags::DATAGRAM.with(DataFlags::FIN), 0)), field);
    assert_eq!(error(&body(u64::MAX, none, 0)), field);
    assert_eq!(error(&body(u64::MAX - 5, none, 5)), field);
    assert_eq!(error(&body(u64::MAX - 6, none, 5)), None);
}

#[test]
fn unknown_flags_are_ignored() {
    for (name, at, known) in [("HELLO", 5, 0x0f), ("SEND_REQ", 12, 0x1f), ("RECEIVE_REQ", 32, 0x07)]
    {
        let (_, message, mut octets) = all().find(|sample| sample.0 == name).expect("a sample");
        octets[at] |= !known;
        let expected = vec![Found::Message(format!("{message:?}"))];
        assert_eq!(decode([&octets[..]]), (expected, Ok(true)), "{name}");
    }
}

#[test]
fn foreign_pages_are_no_bodies() {
    for page in [
        "<!DOCTYPE html><html><body>Log in</body></html>",
        "<html>",
        "{\"error\":\"no\"}",
        "HTTP/1.1 200 OK\r\n\r\n",
        "Not found",
    ] {
        let (found, end) = decode([page.as_bytes()]);
        assert!(found.is_empty() && end != Ok(true), "{page}");
    }
}
