//! Answers that are wrong: never a panic, never data of it in a stream, and the next goes well.

use super::*;
use crate::error::{ConfigError, Error, PeerError, TransportError};
use crate::wire::{Close, Closed, Hello, HelloFlags, Verdict};

/// A stream, and a park under way that waits for an answer with `said`.
fn parked() -> (Rig, ChannelId, Route, u64) {
    let mut rig = Rig::new(&Profile::TINY);
    let (id, route) = rig.connect();
    let (exchange, _) = rig.begin(Lane::Park).expect("a park");
    (rig, id, route, exchange.seq)
}

/// The session goes on: the same bytes come by the next park.
fn recovers(rig: &mut Rig, id: ChannelId, route: Route, bytes: &[u8], already: &[u8]) {
    rig.now += 5000;
    let said = [from(route), Said::Data(0, DataFlags::NONE, bytes)];
    rig.exchange(Lane::Park, &said);
    assert_eq!(rig.session().connected(id), Ok(true));
    assert_eq!([already, &rig.read(id)].concat(), bytes);
}

#[test]
fn an_answer_cut_at_any_octet() {
    let bytes = b"some bytes of a stream, of which a part may come";
    let (_, _, route, seq) = parked();
    let answer = framed(seq, &[from(route), Said::Data(0, DataFlags::NONE, bytes)], Status::Ok);
    for at in 0..answer.len() {
        for piece in [1, 7, answer.len()] {
            let (mut rig, id, route, _) = parked();
            for chunk in answer[..at].chunks(piece) {
                rig.feed(Lane::Park, chunk).expect("good so far");
            }
            let cause = rig.finish(Lane::Park).expect_err("it has no END");
            assert!(matches!(cause, Blocked::Cut | Blocked::Foreign));
            let got = rig.read(id);
            assert!(bytes.starts_with(&got));
            recovers(&mut rig, id, route, bytes, &got);
        }
    }
}

/// Feeds an answer that is wrong somewhere.
fn refused(said: impl Fn(Route, u64) -> Vec<u8>) {
    let (mut rig, id, route, seq) = parked();
    match rig.feed(Lane::Park, &said(route, seq)) {
        Ok(()) => drop(rig.finish(Lane::Park).expect_err("wrong")),
        Err(cause) => {
            let now = rig.now;
            rig.session().handle_failure(now, Lane::Park, cause, true);
        }
    }
    assert_eq!(rig.read(id), b"");
    recovers(&mut rig, id, route, b"abc", b"");
}

#[test]
fn a_foreign_page() {
    refused(|_, _| b"<!DOCTYPE html><html><title>Welcome to our hotel</title>".to_vec());
    refused(|_, _| vec![0; 100]);
    refused(|_, _| vec![0xff; 1000]);
}

#[test]
fn another_request_s_answer() {
    refused(|route, seq| {
        framed(seq - 1, &[from(route), Said::Data(0, DataFlags::NONE, b"old")], Status::Ok)
    });
}

#[test]
fn messages_before_welcome() {
    refused(|route, _| encoded(&[from(route), Said::Data(0, DataFlags::NONE, b"x")]));
    refused(|_, seq| encoded(&[end(Status::Ok, seq)]));
}

#[test]
fn a_second_welcome() {
    refused(|_, seq| encoded(&[welcome(seq), welcome(seq)]));
}

#[test]
fn what_only_clients_say() {
    let hello = Hello {
        version: VERSION,
        flags: HelloFlags::NONE,
        secret: [0; 16],
        seq: 1,
        hold_ms: 0,
        max_response: 0,
    };
    let data = Data { offset: 0, flags: DataFlags::NONE, len: 0 };
    let wrong = [Message::Hello(hello), Message::SendReq(data), Message::ReceiveReq(window(0))];
    for message in wrong {
        refused(|route, seq| encoded(&[welcome(seq), from(route), Said::Plain(message)]));
    }
}

#[test]
fn lengths_that_lie_and_types_that_nobody_knows() {
    for kind in 0..=0x7f_u8 {
        for length in [0xff_ffff_u32, 250, 1] {
            let (mut rig, id, route, seq) = parked();
            let mut answer = encoded(&[welcome(seq), from(route)]);
            answer.extend((u32::from(kind) << 24 | length).to_be_bytes());
            answer.extend([0xff; 300]);
            // Whatever it is taken for, the stream is not touched by it.
            let cause = match rig.feed(Lane::Park, &answer) {
                Ok(()) => rig.finish(Lane::Park).expect_err("no END"),
                Err(cause) => cause,
            };
            let now = rig.now;
            rig.session().handle_failure(now, Lane::Park, cause, true);
            assert_eq!(rig.read(id), b"");
            recovers(&mut rig, id, route, b"abc", b"");
        }
    }
}

#[test]
fn optional_types_are_skipped_and_octets_behind_end_ignored() {
    let (mut rig, id, route, seq) = parked();
    let mut answer = encoded(&[welcome(seq), from(route)]);
    answer.extend([0x85, 0, 0, 5, 1, 2, 3, 4, 5]);
    answer.extend(encoded(&[Said::Data(0, DataFlags::NONE, b"abc"), end(Status::Ok, seq)]));
    answer.extend(b"trailing octets of a proxy");
    rig.feed(Lane::Park, &answer).expect("good");
    rig.finish(Lane::Park).expect("good");
    assert_eq!(rig.read(id), b"abc");
}

#[test]
fn what_is_addressed_to_nobody_is_answered_so() {
    let (mut rig, id, route, seq) = parked();
    let channel = route.channel;
    let strangers = [
        Route { peer: PEER, channel: Channel { id: channel.id + 1, ..channel } },
        Route { peer: PEER, channel: Channel { token: channel.token + 1, ..channel } },
        Route { peer: Address([3; 16]), channel },
        Route { peer: PEER, channel: Channel { id: u32::MAX, token: 0 } },
    ];
    for stranger in strangers {
        let said = [from(stranger), Said::Data(0, DataFlags::NONE, b"not yours")];
        rig.feed(Lane::Park, &encoded(&[welcome(seq)][..usize::from(stranger == strangers[0])]))
            .expect("good");
        rig.feed(Lane::Park, &encoded(&said)).expect("good");
    }
    rig.feed(Lane::Park, &encoded(&[end(Status::Ok, seq)])).expect("good");
    rig.finish(Lane::Park).expect("good");
    assert_eq!(rig.read(id), b"");
    let mut told = Vec::new();
    messages(&rig.exchange(Lane::Send, &[]), |message| {
        if let Message::CloseRsp(closed) = message {
            told.push((closed.status, closed.channel));
        }
    });
    let expected: Vec<_> = strangers.iter().map(|s| (Status::Unknown, s.channel)).collect();
    assert_eq!(told, expected);
}

#[test]
fn acknowledging_what_was_never_sent_ends_that_channel_only() {
    let mut rig = Rig::new(&Profile::TINY);
    let (good, good_route) = rig.connect();
    let (bad, bad_route) = rig.connect();
    let ack = Said::Plain(Message::SendRsp(window(1)));
    let said = [from(bad_route), ack, from(good_route), Said::Data(0, DataFlags::NONE, b"ok")];
    rig.exchange(Lane::Park, &said);
    let now = rig.now;
    let error = PeerError::Protocol { acked: 0 };
    assert_eq!(rig.session().write(now, bad, b"x"), Err(error.into()));
    assert_eq!(rig.read(good), b"ok");
    let mut closed = false;
    messages(&rig.exchange(Lane::Send, &[]), |message| {
        closed |= matches!(message, Message::CloseReq(Close { status: Status::Protocol, .. }));
    });
    assert!(closed, "the peer is told");
}

#[test]
fn a_datagram_on_a_stream_ends_it() {
    let (mut rig, id, route, seq) = parked();
    let said = [from(route), Said::Data(0, DataFlags::DATAGRAM, b"x")];
    rig.feed(Lane::Park, &framed(seq, &said, Status::Ok)).expect("good");
    rig.finish(Lane::Park).expect("good");
    let error = PeerError::Protocol { acked: 0 };
    assert_eq!(rig.session().connected(id), Err(error.into()));
}

#[test]
fn verdicts_and_closes_of_nothing() {
    let (mut rig, id, route, seq) = parked();
    let verdict = |index| {
        let (status, bytes) = (Status::Delivered, u32::MAX);
        Said::Plain(Message::Verdict(Verdict { index, status, bytes }))
    };
    let closed = Closed { status: Status::Unknown, channel: Channel { id: 1, token: 2 } };
    let said = [
        verdict(0),
        verdict(1),
        verdict(u16::MAX),
        from(route),
        Said::Plain(Message::CloseRsp(closed)),
        Said::Plain(Message::Ready(Address([8; 16]))),
    ];
    rig.feed(Lane::Park, &framed(seq, &said, Status::Ok)).expect("good");
    rig.finish(Lane::Park).expect("good");
    assert_eq!(rig.session().connected(id), Ok(true));
}

#[test]
fn repeated_is_a_loss() {
    let (mut rig, _, _, seq) = parked();
    rig.feed(Lane::Park, &framed(seq, &[], Status::Repeated)).expect("good");
    rig.finish(Lane::Park).expect("good");
    rig.now += 1000;
    let body = rig.exchange(Lane::Park, &[]);
    assert_eq!(windows(&body).first().map(|w| (w.losses, w.now)), Some((1, true)));
}

#[test]
fn stale_is_fatal_only_if_somebody_else_was_ahead() {
    let (mut rig, id, _, seq) = parked();
    let stale = |highest| encoded(&[welcome(seq), end(Status::Stale, highest)]);
    rig.feed(Lane::Park, &stale(seq)).expect("good");
    rig.finish(Lane::Park).expect("good");
    assert_eq!(rig.session().is_open(), Ok(true));
    let (exchange, _) = rig.begin(Lane::Park).expect("a park");
    let ahead = encoded(&[welcome(exchange.seq), end(Status::Stale, exchange.seq + 5)]);
    rig.feed(Lane::Park, &ahead).expect("good");
    rig.finish(Lane::Park).expect("good");
    let shared: Error = TransportError::SecretShared.into();
    assert_eq!(rig.session().is_open(), Err(shared));
    assert_eq!(rig.session().connected(id), Err(shared));
    assert!(rig.begin(Lane::Park).is_none() && rig.begin(Lane::Send).is_none());
}

#[test]
fn another_version_is_fatal_and_named() {
    let mut storage = HeapStorage::new(&Profile::TINY).expect("valid");
    storage.session().open(1000, &Settings::new([7; 16], 3));
    let mut rig = Rig { storage, now: 1000 };
    let (exchange, _) = rig.begin(Lane::Send).expect("the first");
    let welcome = Welcome { version: 9, seq: exchange.seq, address: Address::RELAY, max_body: 0 };
    let answer = encoded(&[Said::Plain(Message::Welcome(welcome)), end(Status::Version, 0)]);
    let now = rig.now;
    match rig.feed(Lane::Send, &answer) {
        Ok(()) => drop(rig.finish(Lane::Send)),
        Err(cause) => rig.session().handle_failure(now, Lane::Send, cause, true),
    }
    assert_eq!(rig.session().is_open(), Err(ConfigError::Version { relay: 9 }.into()));
}

#[test]
fn malformed_is_fatal_if_it_is_all_that_ever_comes() {
    let mut storage = HeapStorage::new(&Profile::TINY).expect("valid");
    storage.session().open(1000, &Settings::new([7; 16], 3));
    let mut rig = Rig { storage, now: 1000 };
    for _ in 0..3 {
        assert_eq!(rig.session().is_open(), Ok(false));
        rig.now += 5000;
        let (exchange, _) = rig.begin(Lane::Send).expect("another try");
        rig.feed(Lane::Send, &framed(exchange.seq, &[], Status::Malformed)).expect("good");
        rig.finish(Lane::Send).expect("dealt with");
    }
    assert_eq!(rig.session().is_open(), Err(ConfigError::Malformed.into()));

    let (mut rig, id, route, seq) = parked();
    rig.feed(Lane::Park, &framed(seq, &[], Status::Malformed)).expect("good");
    rig.finish(Lane::Park).expect("dealt with");
    recovers(&mut rig, id, route, b"abc", b"");
}
