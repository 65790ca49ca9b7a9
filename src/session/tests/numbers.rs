//! Numbers in messages of a peer or a relay, at the ends of their range and beyond what was sent.

use super::*;
use crate::error::{ConfigError, Error, PeerError, TransportError};
use crate::wire::{Close, HelloFlags, ListenRsp, Tick};

/// A channel on which three octets, or three datagrams, were sent, and its end here.
fn spoken(kind: Kind) -> (Bench, ChannelId, ChannelRef) {
    let (mut bench, id, local) = Bench::connected(kind, WINDOW);
    let now = bench.now;
    match kind {
        Kind::Stream => assert_eq!(bench.session().write(now, id, b"abc"), Ok(3)),
        Kind::Datagram => {
            for octet in b"abc" {
                assert_eq!(bench.session().send_datagram(now, id, &[*octet]), Ok(true));
            }
        }
    }
    bench.exchange(Lane::Send, |answer| answer);
    (bench, id, local)
}

const KINDS: [Kind; 2] = [Kind::Stream, Kind::Datagram];
const PROTOCOL: Error = Error::Peer(PeerError::Protocol { acked: 0 });

#[test]
fn close_req_of_more_than_was_sent_is_protocol() {
    for kind in KINDS {
        for offset in [0, 3, 4, u64::MAX - 1, u64::MAX] {
            for status in [Status::Aborted, Status::Linger] {
                let (mut bench, id, local) = spoken(kind);
                let close = Message::CloseReq(Close { status, offset });
                bench.exchange(Lane::Park, |answer| answer.from(PEER, local).message(&close));
                let expected = match status {
                    _ if offset > 3 => PROTOCOL,
                    Status::Aborted => PeerError::Aborted { received: offset }.into(),
                    _ => PeerError::GaveUp { received: offset }.into(),
                };
                let now = bench.now;
                let told = bench.session().connected(id);
                assert_eq!(told, Err(expected), "{kind:?} {status:?} {offset}");
                // The channel is over: the peer hears CLOSE_RSP, and no CLOSE_REQ.
                let send = bench.exchange(Lane::Send, |answer| answer);
                let closed = crate::wire::Closed { status: Status::Closed, channel: local };
                assert!(send.says(&Message::CloseRsp(closed)));
                bench.session().release(now, id);
                assert!(bench.begin(Lane::Send).is_none());
            }
        }
    }
}

#[test]
fn close_req_tells_datagrams_by_their_number() {
    let (mut bench, id, local) = Bench::connected(Kind::Datagram, WINDOW);
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).datagram(6, b"hello"));
    let now = bench.now;
    bench.session().abort(now, id);
    let send = bench.exchange(Lane::Send, |answer| answer);
    assert!(send.says(&Message::CloseReq(Close { status: Status::Aborted, offset: 7 })));
}

#[test]
fn window_of_more_than_was_sent_is_protocol() {
    for kind in KINDS {
        for (ack, overflow, fits) in [
            (3, 0, true),
            (0, 1, true),
            (0, 3, true),
            (4, 0, false),
            (u64::MAX, 0, false),
            (0, 4, false),
            (0, u64::MAX, false),
        ] {
            let (mut bench, id, local) = spoken(kind);
            let window = Window { ack, overflow, limit: WINDOW, ..Window::default() };
            bench.exchange(Lane::Park, |answer| answer.from(PEER, local).window(window));
            if fits {
                assert_eq!(bench.session().connected(id), Ok(true), "{kind:?} {window:?}");
                continue;
            }
            assert_eq!(bench.session().connected(id), Err(PROTOCOL), "{kind:?} {window:?}");
            assert_eq!(bench.session().take_overflow(id), Ok(None));
            assert_eq!(bench.session().stats().overflows, 0);
            assert_eq!(bench.events(), []);
            let send = bench.exchange(Lane::Send, |answer| answer);
            let close = Close { status: Status::Protocol, offset: 0 };
            assert!(send.says(&Message::CloseReq(close)), "the peer is told");
        }
    }
}

#[test]
fn limits_and_losses_of_any_size_do_no_harm() {
    for limit in [0, 1, 1 << 40, u64::MAX] {
        let (mut bench, id, local) = Bench::connected(Kind::Stream, limit);
        let window = Window { limit: u64::MAX, losses: u32::MAX, ..Window::default() };
        bench.exchange(Lane::Park, |answer| answer.from(PEER, local).window(window));
        let now = bench.now;
        assert_eq!(bench.session().write(now, id, &[1; 300]), Ok(256), "no more than the ring");
        let mut all = Vec::new();
        while let Some(send) = bench.begin(Lane::Send) {
            let verdicts = send.data();
            let answer = Answer::to(&send.exchange);
            let answer = verdicts.iter().fold(answer, |answer, (index, data)| {
                answer.verdict(*index, Status::Delivered, data.len)
            });
            bench.answer(Lane::Send, &answer.ok());
            all.extend(send.bytes);
        }
        assert_eq!(all, [1; 256]);
        // A lower limit is an old one, and ignored.
        let window = Window { ack: 256, limit: 0, ..Window::default() };
        bench.exchange(Lane::Park, |answer| answer.from(PEER, local).window(window));
        assert_eq!(bench.session().acked(id), Ok(true));
        assert_eq!(bench.session().channel_stats(id).unwrap().window, u64::MAX);
    }
}

#[test]
fn offsets_at_the_end_of_the_range_do_no_harm() {
    let most = u64::MAX - 1;
    let flags = [DataFlags::NONE, DataFlags::FIN, DataFlags::PROBE, DataFlags::ACK_NOW];
    for flags in flags {
        let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
        bench.exchange(Lane::Park, |answer| {
            let answer = answer.from(PEER, local).data(most, flags, b"");
            answer.stream(most - 1, b"x").data(most - 1, DataFlags::FIN, b"x").stream(0, b"good")
        });
        assert_eq!(bench.read(id), b"good", "{flags:?}");
        assert_eq!(bench.session().connected(id), Ok(true));
    }
    let (mut bench, id, local) = Bench::connected(Kind::Datagram, WINDOW);
    bench.exchange(Lane::Park, |answer| {
        let answer = answer.from(PEER, local).datagram(most, b"").datagram(most, b"");
        answer.datagram(most - 9, b"late").data(most, DataFlags::PROBE, b"")
    });
    let now = bench.now;
    let mut out = [0; 16];
    assert_eq!(bench.session().recv_datagram(now, id, &mut out), Ok(Some(0)));
    assert_eq!(bench.session().recv_datagram(now, id, &mut out), Ok(Some(4)));
    assert_eq!(bench.session().recv_datagram(now, id, &mut out), Ok(None));
    bench.pass(200);
    assert_eq!(bench.begin(Lane::Park).unwrap().windows()[0].ack, u64::MAX);
}

#[test]
fn lingers_of_any_length_are_bounded() {
    for linger_ms in [0, 1, u32::MAX] {
        let mut bench = Bench::reached();
        let id = bench.connect(Kind::Stream);
        let request = bench.begin(Lane::Send).unwrap();
        let (_, local) = request.connect().unwrap();
        let accept =
            Accept { status: Status::Ok, channel: REMOTE, limit: WINDOW, linger_ms, greeting: b"" };
        let answer = Answer::to(&request.exchange).from(PEER, local);
        bench.answer(Lane::Send, &answer.message(&Message::ConnectRsp(accept)).ok());
        let now = bench.now;
        assert_eq!(bench.session().write(now, id, b"x"), Ok(1));
        let mut silent = 0;
        while bench.session().connected(id).is_ok() && silent < 400_000 {
            if bench.begin(Lane::Send).is_some() {
                bench.fail(Lane::Send, Blocked::Dns);
            }
            bench.pass(1_000);
            silent += 1_000;
        }
        let error = TransportError::Linger { acked: 0 }.into();
        assert_eq!(bench.session().connected(id), Err(error), "{linger_ms}");
        assert!((60_000..260_000).contains(&silent), "{linger_ms}: {silent}");
    }
}

#[test]
fn verdicts_of_any_index_and_length_free_nothing_more() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, WINDOW);
    let now = bench.now;
    assert_eq!(bench.session().write(now, id, b"abc"), Ok(3));
    let request = bench.begin(Lane::Send).unwrap();
    let (index, _) = request.data()[0];
    let mut answer = Answer::to(&request.exchange);
    for other in [0, 1, 3, 4, 100, usize::from(u16::MAX)] {
        assert_ne!(other, index);
        answer = answer.verdict(other, Status::Delivered, u32::MAX);
    }
    // The verdict says more bytes than the message had.
    bench.answer(Lane::Send, &answer.verdict(index, Status::Limited, u32::MAX).ok());
    assert_eq!(bench.session().flushed(id), Ok(true));
    assert_eq!(bench.session().acked(id), Ok(false));
    assert_eq!(bench.session().channel_stats(id).unwrap().acked, 0);
}

#[test]
fn relay_numbers_of_any_size_do_no_harm() {
    for max_body in [0, 1, 511, u32::MAX] {
        let (mut bench, id, local) = Bench::connected(Kind::Stream, u64::MAX);
        let park = bench.begin(Lane::Park).unwrap();
        let welcome = Welcome {
            version: VERSION,
            seq: park.exchange.seq,
            address: Address([1; 16]),
            max_body,
        };
        let answer = Answer(Vec::new()).message(&Message::Welcome(welcome));
        let tick = Message::Tick(Tick { age_ms: u32::MAX, next_ms: u32::MAX });
        let answer = answer.message(&tick).message(&tick).from(PEER, local).stream(0, b"x");
        bench.answer(Lane::Park, &answer.ok());
        assert_eq!(bench.read(id), b"x");
        let now = bench.now;
        assert_eq!(bench.session().write(now, id, b"abc"), Ok(3));
        let send = bench.exchange(Lane::Send, |answer| answer);
        assert_eq!(send.bytes, b"abc", "max_body {max_body}");
        bench.pass(2_000);
        bench.exchange(Lane::Park, |answer| answer);
    }
}

#[test]
fn highest_seq_that_was_never_given_ends_the_session() {
    for status in [Status::Ok, Status::Superseded, Status::Stale] {
        let (mut bench, _, _) = Bench::connected(Kind::Stream, WINDOW);
        let park = bench.begin(Lane::Park).unwrap();
        bench.answer(Lane::Park, &Answer::to(&park.exchange).end_at(status, u64::MAX).0);
        assert_eq!(bench.session().is_open(), Err(TransportError::SecretShared.into()));
        bench.pass(10_000);
        assert!(bench.begin(Lane::Send).is_none());
    }
}

#[test]
fn a_highest_above_the_newest_park_ends_the_session_though_a_send_had_that_number() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, 256);
    let park = bench.begin(Lane::Park).unwrap().exchange.seq;
    let now = bench.now;
    assert_eq!(bench.session().write(now, id, b"abc"), Ok(3));
    let send = bench.begin(Lane::Send).unwrap();
    assert!(send.exchange.seq > park);
    bench.answer(Lane::Send, &Answer::to(&send.exchange).end_at(Status::Ok, park).0);
    assert_eq!(bench.session().is_open(), Ok(true));
    bench.pass(10_000);
    let send = bench.begin(Lane::Send).unwrap();
    bench.answer(Lane::Send, &Answer::to(&send.exchange).end_at(Status::Ok, park + 1).0);
    assert_eq!(bench.session().is_open(), Err(TransportError::SecretShared.into()));
}

#[test]
fn a_highest_that_is_the_number_of_bye_is_of_the_session_itself() {
    for status in [Status::Ok, Status::Limited] {
        let mut bench = Bench::reached();
        let park = bench.begin(Lane::Park).map_or(0, |park| park.exchange.seq);
        let now = bench.now;
        bench.session().close(now);
        let bye = bench.begin(Lane::Send).unwrap();
        assert!(bye.exchange.seq > park);
        let Message::Hello(hello) = bye.messages[0] else { panic!("{:?}", bye.messages) };
        assert!(hello.flags.has(HelloFlags::BYE));
        let end = Answer::to(&bye.exchange).end_at(status, bye.exchange.seq);
        bench.answer(Lane::Send, &end.0);
        assert_eq!(bench.session().is_closed(), status == Status::Ok);
        bench.pass(10_000);
        let again = bench.begin(Lane::Send);
        assert_eq!(again.is_some(), status != Status::Ok, "{again:?}");
    }
}

#[test]
fn claim_taken_by_the_highest_epoch_is_lost() {
    let mut bench = Bench::reached();
    let now = bench.now;
    let id = bench.session().listen(now, endpoint(), Kind::Stream, 1).unwrap();
    let taken = |epoch| Message::ListenRsp(ListenRsp { claim: id.0, status: Status::Taken, epoch });
    bench.exchange(Lane::Park, |answer| answer.message(&taken(u64::MAX - 1)));
    assert_eq!(bench.session().listening(id), Ok(false));
    bench.exchange(Lane::Park, |answer| answer.message(&taken(u64::MAX)));
    assert_eq!(bench.session().listening(id), Err(ConfigError::Taken.into()));
}
