//! Answers that are cut short, that break the protocol, or that no relay wrote.

use super::*;
use crate::error::{ConfigError, Error};
use crate::wire::{ChannelKind, Close, HelloFlags, Name, kind};

const BYTES: &[u8] = b"the bytes of a stream";

/// The answer to a park with every message that may go to a connected stream.
fn rich(exchange: &Exchange, local: ChannelRef) -> Vec<u8> {
    Answer::to(exchange)
        .from(PEER, local)
        .window(Window { limit: 300, ..Window::default() })
        .message(&Message::Ready(PEER))
        .message(&Message::Pad(3))
        .raw(b"pad")
        .stream(0, &BYTES[..9])
        .stream(9, &BYTES[9..])
        .ok()
}

#[test]
fn answer_cut_at_any_octet_is_lost_but_for_a_prefix() {
    let (mut bench, _, local) = Bench::connected(Kind::Stream, WINDOW);
    let park = bench.begin(Lane::Park).unwrap();
    let whole = rich(&park.exchange, local).len();
    for cut in 0..whole {
        let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
        let park = bench.begin(Lane::Park).unwrap();
        bench.feed(Lane::Park, &rich(&park.exchange, local)[..cut]).unwrap();
        let cause = bench.finish(Lane::Park).unwrap_err();
        assert!(matches!(cause, Blocked::Cut | Blocked::Foreign), "{cut}: {cause:?}");
        let got = bench.read(id);
        assert_eq!(got, BYTES[..got.len()], "{cut}");
        // The channel goes on: the session tells the peer of the loss, and the peer repeats.
        bench.pass(2_000);
        let park = bench.begin(Lane::Park).unwrap();
        let window = park.windows()[0];
        assert_eq!((window.ack, window.losses, window.now), (got.len() as u64, 1, true), "{cut}");
        bench.answer(Lane::Park, &rich(&park.exchange, local));
        assert_eq!([got, bench.read(id)].concat(), BYTES, "{cut}");
    }
}

/// Checks that an answer with `octets` behind its WELCOME is not believed.
fn is_foreign(octets: &[u8]) {
    for step in [1, octets.len()] {
        let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
        let park = bench.begin(Lane::Park).unwrap();
        let head = Answer::to(&park.exchange).from(PEER, local).0;
        bench.feed(Lane::Park, &head).unwrap();
        let mut pieces = octets.chunks(step);
        let cause = pieces.find_map(|piece| bench.feed(Lane::Park, piece).err());
        assert_eq!(cause, Some(Blocked::Foreign), "{octets:02x?}");
        bench.fail(Lane::Park, Blocked::Foreign);
        assert_eq!(bench.read(id), b"");
    }
}

#[test]
fn lengths_that_lie_are_foreign() {
    is_foreign(&[kind::END, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    is_foreign(&[kind::END, 0xff, 0xff, 0xff]);
    is_foreign(&[&[kind::FROM, 0, 0, 27][..], &[0; 27]].concat());
    is_foreign(&[&[kind::VERDICT, 0, 0, 8][..], &[0; 8]].concat());
    // Data shorter than its fields; a PROBE with a byte; a datagram with FIN; an offset past the end.
    let (probe, datagram_fin) =
        (DataFlags::PROBE.bits(), DataFlags::DATAGRAM.with(DataFlags::FIN).bits());
    is_foreign(&[kind::RECEIVE_RSP, 0, 0, 8]);
    is_foreign(&[kind::RECEIVE_RSP, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, probe, 0]);
    is_foreign(&[kind::RECEIVE_RSP, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, datagram_fin]);
    is_foreign(&[kind::RECEIVE_RSP, 0, 0, 9, 255, 255, 255, 255, 255, 255, 255, 255, 0]);
    // END with an unknown status.
    is_foreign(&[kind::END, 0, 0, 9, 0xee, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn unknown_types_are_foreign_below_0x80_and_skipped_above() {
    for kind in [0x00, 0x06, 0x16, 0x26, 0x32, 0x41, 0x7f] {
        is_foreign(&[kind, 0, 0, 0]);
    }
    for kind in [0x81, 0xc3, 0xff] {
        let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
        let long = [&[kind, 0, 3, 0][..], &[0x23; 768]].concat();
        bench.exchange(Lane::Park, |answer| {
            let answer = answer.raw(&long).from(PEER, local).raw(&[kind, 0, 0, 0]);
            answer.stream(0, b"ab").raw(&long).stream(2, b"cd")
        });
        assert_eq!(bench.read(id), b"abcd");
    }
}

#[test]
fn messages_that_only_clients_send_are_foreign() {
    let name = Name::from_bytes(b"camera").unwrap();
    let hello = crate::wire::Hello {
        version: VERSION,
        flags: HelloFlags::NONE,
        secret: [1; 16],
        seq: 1,
        hold_ms: 0,
        max_response: 1,
    };
    let connect = Connect {
        channel: REMOTE,
        kind: ChannelKind::plain(Kind::Stream),
        port: 1,
        limit: 1,
        linger_ms: 1,
        name,
        greeting: b"",
    };
    let accept =
        Accept { status: Status::Ok, channel: REMOTE, limit: 1, linger_ms: 1, greeting: b"" };
    let listen = crate::wire::ListenReq {
        claim: 1,
        kind: ChannelKind::plain(Kind::Stream),
        port: 1,
        owner: [1; 16],
        epoch: 1,
        backlog: 1,
        heard: None,
        name,
    };
    let welcome = Welcome { version: VERSION, seq: 1, address: PEER, max_body: 1 };
    for message in [
        Message::Hello(hello),
        Message::Route(Route::default()),
        Message::ListenReq(listen),
        Message::ConnectReq(connect),
        Message::AcceptRsp(accept),
        Message::SendReq(Data { offset: 0, flags: DataFlags::NONE, len: 0 }),
        Message::ReceiveReq(Window::default()),
        // WELCOME may stand at the beginning only.
        Message::Welcome(welcome),
    ] {
        is_foreign(&Answer(Vec::new()).message(&message).0);
    }
}

#[test]
fn answer_without_the_welcome_to_this_exchange_is_foreign() {
    let page = b"<!DOCTYPE html><html><body>Please log in</body></html>".to_vec();
    let (_, _, local) = Bench::connected(Kind::Stream, WINDOW);
    let data = |answer: Answer| answer.from(PEER, local).stream(0, b"not ours").ok();
    let bare = data(Answer(Vec::new()));
    let magic = data(Answer(Answer::welcome(VERSION, 4).0.iter().map(|b| b ^ 0x20).collect()));
    let close = Message::CloseReq(Close { status: Status::Closed, offset: 0 });
    let close = Answer(Vec::new()).from(PEER, local).message(&close).ok();
    for octets in [page, bare, magic, close, data(Answer::welcome(VERSION, 1 << 40))] {
        let (mut bench, id, same) = Bench::connected(Kind::Stream, WINDOW);
        assert_eq!(same, local, "the seed is the same");
        bench.begin(Lane::Park).unwrap();
        assert_eq!(bench.feed(Lane::Park, &octets), Err(Blocked::Foreign));
        bench.fail(Lane::Park, Blocked::Foreign);
        assert_eq!(bench.read(id), b"");
        assert_eq!(bench.session().connected(id), Ok(true));
    }
}

#[test]
fn empty_answer_is_foreign() {
    let mut bench = Bench::reached();
    bench.connect(Kind::Stream);
    bench.begin(Lane::Send).unwrap();
    assert_eq!(bench.finish(Lane::Send), Err(Blocked::Foreign));
    assert_eq!(bench.session().blocked(), Some(Blocked::Foreign));
}

#[test]
fn another_version_ends_the_session() {
    let mut bench = Bench::new();
    let id = bench.connect(Kind::Stream);
    let request = bench.begin(Lane::Send).unwrap();
    let answer = Answer::welcome(9, request.exchange.seq).end(Status::Version).0;
    let cause = bench.feed(Lane::Send, &answer).unwrap_err();
    assert_eq!(cause, Blocked::Relay(Status::Version));
    bench.fail(Lane::Send, cause);
    let error = Error::from(ConfigError::Version { relay: 9 });
    assert_eq!(bench.session().is_open(), Err(error));
    assert_eq!(bench.session().connected(id), Err(error));
    bench.pass(60_000);
    assert!(bench.begin(Lane::Send).is_none());
    assert!(bench.begin(Lane::Park).is_none());
}

#[test]
fn messages_behind_end_are_ignored() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
    let park = bench.begin(Lane::Park).unwrap();
    let answer = Answer::to(&park.exchange).from(PEER, local).end(Status::Ok).stream(0, b"late");
    bench.answer(Lane::Park, &answer.0);
    assert_eq!(bench.read(id), b"");
}
