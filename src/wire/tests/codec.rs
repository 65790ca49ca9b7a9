//! Messages survive encoding and decoding, and bodies may come in any pieces.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn addresses() -> impl Strategy<Value = Address> {
    any::<[u8; 16]>().prop_map(Address)
}

fn channels() -> impl Strategy<Value = ChannelRef> {
    any::<(u32, u64)>().prop_map(|(id, token)| ChannelRef { id, token })
}

fn statuses() -> impl Strategy<Value = Status> {
    select(Status::ALL)
}

fn kinds() -> impl Strategy<Value = Kind> {
    select(&[Kind::Stream, Kind::Datagram][..])
}

fn names() -> impl Strategy<Value = Name> {
    "[A-Za-z0-9._-]{1,48}".prop_map(|text| name(&text))
}

fn greetings() -> impl Strategy<Value = &'static [u8]> {
    (0..MAX_GREETING, 0..=MAX_GREETING).prop_map(|(at, n)| &OCTETS[at..at + n])
}

fn routes() -> impl Strategy<Value = Route> {
    (addresses(), channels()).prop_map(|(peer, channel)| Route { peer, channel })
}

fn hellos() -> impl Strategy<Value = Hello> {
    any::<(u8, u8, [u8; 16], u64, u32, u32)>().prop_map(|fields| {
        let (version, bits, secret, seq, hold_ms, max_response) = fields;
        let flags = HelloFlags::from_bits(bits);
        Hello { version, flags, secret, seq, hold_ms, max_response }
    })
}

fn welcomes() -> impl Strategy<Value = Welcome> {
    (any::<(u8, u64, u32)>(), addresses()).prop_map(|((version, seq, max_body), address)| Welcome {
        version,
        seq,
        address,
        max_body,
    })
}

fn listens() -> impl Strategy<Value = ListenReq> {
    let numbers = any::<(u32, u16, [u8; 16], u64, u8)>();
    (numbers, kinds(), proptest::option::of(statuses()), names()).prop_map(
        |((claim, port, owner, epoch, backlog), kind, heard, name)| ListenReq {
            claim,
            kind: ChannelKind::plain(kind),
            port,
            owner,
            epoch,
            backlog,
            heard,
            name,
        },
    )
}

fn connects() -> impl Strategy<Value = Connect<'static>> {
    (channels(), kinds(), any::<(u16, u64, u32)>(), names(), greetings()).prop_map(
        |(channel, kind, (port, limit, linger_ms), name, greeting)| Connect {
            channel,
            kind: ChannelKind::plain(kind),
            port,
            limit,
            linger_ms,
            name,
            greeting,
        },
    )
}

fn accepts() -> impl Strategy<Value = Accept<'static>> {
    (statuses(), channels(), any::<(u64, u32)>(), greetings()).prop_map(
        |(status, channel, (limit, linger_ms), greeting)| Accept {
            status,
            channel,
            limit,
            linger_ms,
            greeting,
        },
    )
}

fn proofs() -> impl Strategy<Value = Proof<'static>> {
    // The octets outlive the message.
    const KEYS: [[u8; 32]; 3] = [[0; 32], [0x5a; 32], [0xff; 32]];
    const SIGNATURES: [[u8; 64]; 3] = [[0; 64], [0xa5; 64], [0xff; 64]];
    (0..3_usize, 0..3_usize, 0..3_usize).prop_map(|(key, host, signature)| Proof {
        key: &KEYS[key],
        host: &KEYS[host],
        signature: &SIGNATURES[signature],
    })
}

fn windows() -> impl Strategy<Value = Window> {
    any::<(u64, u64, u32, u64, [bool; 3])>().prop_map(
        |(ack, limit, losses, overflow, [now, done, ask])| Window {
            ack,
            limit,
            losses,
            overflow,
            now,
            done,
            ask,
        },
    )
}

/// Data messages that the protocol allows: PROBE has no bytes, a datagram is short, and neither goes
/// with the other or with FIN.
fn data() -> impl Strategy<Value = Data> {
    let most = (MAX_MESSAGE - (DATA_HEADER_LEN - HEADER_LEN)) as u32;
    (0..u64::MAX - u64::from(most), any::<u8>(), 0..=most).prop_map(|(offset, bits, len)| {
        let flags = DataFlags::from_bits(bits);
        let probes = flags.has(DataFlags::PROBE);
        let flags = if probes { flags.without(DataFlags::DATAGRAM) } else { flags };
        let whole = flags.has(DataFlags::DATAGRAM);
        let flags = if whole || probes { flags.without(DataFlags::FIN) } else { flags };
        let len = if whole { len.min(MAX_DATAGRAM as u32) } else { len };
        Data { offset, flags, len: if flags.has(DataFlags::PROBE) { 0 } else { len } }
    })
}

fn messages() -> impl Strategy<Value = Message<'static>> {
    let end = (statuses(), any::<u64>()).prop_map(|(status, highest)| End { status, highest });
    let told = (any::<(u32, u64)>(), statuses()).prop_map(|((claim, epoch), status)| ListenRsp {
        claim,
        status,
        epoch,
    });
    let close = (statuses(), any::<u64>()).prop_map(|(status, offset)| Close { status, offset });
    let closed = (statuses(), channels()).prop_map(|(status, channel)| Closed { status, channel });
    let verdict = (any::<(u16, u32)>(), statuses()).prop_map(|((index, bytes), status)| Verdict {
        index,
        status,
        bytes,
    });
    prop_oneof![
        hellos().prop_map(Message::Hello),
        welcomes().prop_map(Message::Welcome),
        end.prop_map(Message::End),
        routes().prop_map(Message::Route),
        routes().prop_map(Message::From),
        proofs().prop_map(Message::Proof),
        listens().prop_map(Message::ListenReq),
        told.prop_map(Message::ListenRsp),
        connects().prop_map(Message::ConnectReq),
        accepts().prop_map(Message::ConnectRsp),
        connects().prop_map(Message::AcceptReq),
        accepts().prop_map(Message::AcceptRsp),
        data().prop_map(Message::SendReq),
        windows().prop_map(Message::SendRsp),
        windows().prop_map(Message::ReceiveReq),
        data().prop_map(Message::ReceiveRsp),
        close.prop_map(Message::CloseReq),
        closed.prop_map(Message::CloseRsp),
        verdict.prop_map(Message::Verdict),
        addresses().prop_map(Message::Ready),
        addresses().prop_map(Message::Gone),
        any::<(u32, u32)>().prop_map(|(age_ms, next_ms)| Message::Tick(Tick { age_ms, next_ms })),
        (0..=MAX_MESSAGE as u32).prop_map(Message::Pad),
    ]
}

/// `body` cut at `cuts`, which need neither be in order nor within it.
fn split<'b>(body: &'b [u8], cuts: &[usize]) -> Vec<&'b [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|at| at % (body.len() + 1)).collect();
    cuts.extend([0, body.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|ends| &body[ends[0]..ends[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn encoded_len_is_the_length_encoded(message in messages()) {
        let octets = encoded(&message).len();
        prop_assert_eq!(octets, message.encoded_len());
        // What is said of a message before there is one.
        let planned = match message {
            Message::Hello(_) => Hello::LEN,
            Message::Welcome(_) => Welcome::LEN,
            Message::End(_) => End::LEN,
            Message::Route(_) | Message::From(_) => Route::LEN,
            Message::Proof(_) => Proof::LEN,
            Message::ListenReq(m) => ListenReq::len_with(&m.name),
            Message::ListenRsp(_) => ListenRsp::LEN,
            Message::ConnectReq(m) | Message::AcceptReq(m) => Connect::len_with(&m.name, m.greeting),
            Message::ConnectRsp(m) | Message::AcceptRsp(m) => Accept::len_with(m.greeting),
            Message::Confirm(m) => Confirm::len_with(m.handshake.len()),
            Message::SendReq(_) | Message::ReceiveRsp(_) => Data::LEN,
            Message::SendRsp(_) | Message::ReceiveReq(_) => Window::LEN,
            Message::CloseReq(_) => Close::LEN,
            Message::CloseRsp(_) => Closed::LEN,
            Message::Verdict(_) => Verdict::LEN,
            Message::Tick(_) => Tick::LEN,
            Message::Ready(_) | Message::Gone(_) | Message::Pad(_) => octets,
        };
        prop_assert_eq!(octets, planned);
    }

    #[test]
    fn message_survives_encoding_and_decoding(message in messages(), room in 0..MAX_CONTROL) {
        let octets = encoded(&message);
        let mut input = &octets[..];
        let mut decoder = Decoder::new();
        prop_assert_eq!(decoder.next(&mut input), Ok(Some(Piece::Message(message))));
        prop_assert!(input.is_empty());
        let mut out = [0; MAX_CONTROL];
        let fits = message.encode(&mut out[..room]);
        prop_assert_eq!(fits, (room >= octets.len()).then_some(octets.len()));
    }

    #[test]
    fn body_decodes_alike_in_any_pieces(
        messages in proptest::collection::vec(messages(), 0..12),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
    ) {
        let mut body = Vec::new();
        for message in &messages {
            // As many bytes as there are: what is promised beyond them would swallow the rest.
            let trailing = bytes.len() as u32;
            let message = match *message {
                Message::SendReq(d) => Message::SendReq(Data { len: d.len.min(trailing), ..d }),
                Message::ReceiveRsp(d) => Message::ReceiveRsp(Data { len: d.len.min(trailing), ..d }),
                Message::Pad(n) => Message::Pad(n.min(trailing)),
                other => other,
            };
            body.extend(encoded(&message));
            if let Message::SendReq(Data { len, .. })
            | Message::ReceiveRsp(Data { len, .. })
            | Message::Pad(len) = message
            {
                body.extend(&bytes[..len as usize]);
            }
        }
        let whole = decode([&body[..]]);
        prop_assert_eq!(whole.1, Ok(true));
        let found = whole.0.iter().filter(|f| matches!(f, Found::Message(_))).count();
        prop_assert_eq!(found, messages.len());
        prop_assert_eq!(decode(split(&body, &cuts)), whole);
    }

    #[test]
    fn arbitrary_octets_decode_alike_in_any_pieces(
        body in proptest::collection::vec(any::<u8>(), 0..600),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
    ) {
        prop_assert_eq!(decode(split(&body, &cuts)), decode([&body[..]]));
    }

    /// Octets that get further: types and lengths that exist, with anything inside.
    #[test]
    fn damaged_messages_decode_alike_in_any_pieces(
        parts in proptest::collection::vec((0..20_usize, any::<[u8; 4]>(), any::<u16>()), 1..10),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
    ) {
        let samples = samples(9, 5);
        let mut body = Vec::new();
        for (which, noise, at) in parts {
            let mut octets = encoded(&samples[which].1);
            for (i, octet) in noise.into_iter().enumerate() {
                let len = octets.len();
                octets[(usize::from(at) * (i + 1)) % len] ^= octet;
            }
            body.extend(octets);
        }
        prop_assert_eq!(decode(split(&body, &cuts)), decode([&body[..]]));
    }
}

#[test]
fn body_decodes_octet_by_octet() {
    let mut body = Vec::new();
    for (_, message) in samples(MAX_NAME, MAX_GREETING) {
        body.extend(encoded(&message));
    }
    let (found, end) = decode(body.chunks(1));
    assert_eq!(end, Ok(true));
    let expected: Vec<_> = samples(MAX_NAME, MAX_GREETING)
        .iter()
        .map(|(_, message)| Found::Message(format!("{message:?}")))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn max_control_is_the_longest_control_message() {
    let most =
        samples(MAX_NAME, MAX_GREETING).iter().map(|(_, message)| encoded(message).len()).max();
    let handshake = &[0; MAX_HANDSHAKE];
    let accept = Message::AcceptRsp(Accept {
        status: Status::Ok,
        channel: ChannelRef::NONE,
        limit: 0,
        linger_ms: 0,
        greeting: handshake,
    });
    let confirm = Message::Confirm(Confirm { handshake });
    let longest = [&accept, &confirm].map(|message| encoded(message).len());
    assert_eq!(most.into_iter().chain(longest).max(), Some(MAX_CONTROL));
}

#[test]
fn undecodable_messages_are_not_encoded() {
    let mut out = [0; 2 * MAX_CONTROL];
    for (greeting, long) in [
        (MAX_GREETING + 1, &["CONNECT_REQ", "ACCEPT_REQ"] as &[_]),
        (MAX_HANDSHAKE + 1, &["CONNECT_REQ", "ACCEPT_REQ", "CONNECT_RSP", "ACCEPT_RSP", "CONFIRM"]),
    ] {
        for (name, message) in samples(1, greeting) {
            assert_eq!(message.encode(&mut out).is_none(), long.contains(&name), "{name}");
        }
    }
    let most = (MAX_MESSAGE - (DATA_HEADER_LEN - HEADER_LEN)) as u32;
    let data = |len| Message::SendReq(Data { offset: 0, flags: DataFlags::NONE, len });
    assert_eq!(data(most).encode(&mut out), Some(DATA_HEADER_LEN));
    assert_eq!(data(most + 1).encode(&mut out), None);
    assert_eq!(Message::Pad(MAX_MESSAGE as u32).encode(&mut out), Some(HEADER_LEN));
    assert_eq!(Message::Pad(MAX_MESSAGE as u32 + 1).encode(&mut out), None);
}
