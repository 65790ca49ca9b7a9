//! Streams: acknowledgements, windows, overflow, and messages to no channel.

use super::*;
use crate::error::PeerError;
use crate::session::Half;
use crate::wire::{Close, Closed};

fn write(bench: &mut Bench, id: ChannelId, bytes: &[u8]) -> usize {
    let now = bench.now;
    bench.session().write(now, id, bytes).unwrap()
}

fn acked(ack: u64) -> Window {
    Window { ack, limit: WINDOW, ..Window::default() }
}

#[test]
fn acknowledgement_beyond_what_was_sent_ends_that_channel_only() {
    let (mut bench, first, local) = Bench::connected(Kind::Stream, WINDOW);
    let second = bench.connect(Kind::Stream);
    bench.dial(Status::Ok, WINDOW);
    write(&mut bench, first, b"abc");
    bench.exchange(Lane::Send, |answer| answer);
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).window(acked(4)));
    let error = PeerError::Protocol { acked: 0 }.into();
    assert_eq!(bench.session().connected(first), Err(error));
    assert_eq!(bench.session().connected(second), Ok(true));
    let send = bench.exchange(Lane::Send, |answer| answer);
    assert!(send.says(&Message::CloseReq(Close { status: Status::Protocol, offset: 0 })));
}

#[test]
fn acknowledgements_free_the_ring() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
    assert_eq!(write(&mut bench, id, &[1; 300]), 256);
    assert_eq!(bench.session().can_write(id), Ok(false));
    let send = bench.exchange(Lane::Send, |answer| answer);
    assert_eq!(send.bytes, [1; 256]);
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).window(acked(100)));
    assert_eq!(write(&mut bench, id, &[2; 300]), 100);
    assert_eq!(bench.session().acked(id), Ok(false));
}

#[test]
fn messages_to_no_channel_are_answered_unknown() {
    let (_, _, local) = Bench::connected(Kind::Stream, WINDOW);
    let other = STRANGER;
    for (peer, channel) in [
        (PEER, ChannelRef { id: 1 << 24 | 1, ..local }),
        (PEER, ChannelRef { id: 200 << 24 | 1, ..local }),
        (PEER, ChannelRef { id: local.id + 1, ..local }),
        (PEER, ChannelRef { token: local.token ^ 1, ..local }),
        (other, local),
    ] {
        let (mut bench, id, _) = Bench::connected(Kind::Stream, WINDOW);
        bench.exchange(Lane::Park, |answer| {
            answer.from(peer, channel).stream(0, b"astray").window(acked(9))
        });
        assert_eq!(bench.read(id), b"");
        assert_eq!(bench.session().connected(id), Ok(true));
        let send = bench.exchange(Lane::Send, |answer| answer);
        assert!(send.says(&Message::Route(Route { peer, channel: ChannelRef::NONE })));
        let closed = Closed { status: Status::Unknown, channel };
        let said = send.messages.iter().filter(|m| **m == Message::CloseRsp(closed)).count();
        assert_eq!(said, 1, "once, not for each message");
    }
}

#[test]
fn message_to_a_former_generation_is_answered_unknown() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
    let now = bench.now;
    bench.session().abort(now, id);
    let closed = Message::CloseRsp(Closed { status: Status::Closed, channel: REMOTE });
    bench.exchange(Lane::Send, |answer| answer);
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).message(&closed));
    let next = bench.connect(Kind::Stream);
    assert_eq!(next.slot(), id.slot());
    bench.dial(Status::Ok, WINDOW);
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).stream(0, b"late"));
    assert_eq!(bench.read(next), b"");
    let send = bench.exchange(Lane::Send, |answer| answer);
    assert!(send.says(&Message::CloseRsp(Closed { status: Status::Unknown, channel: local })));
}

#[test]
fn gap_in_the_data_is_one_loss() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
    bench.exchange(Lane::Park, |answer| {
        answer.from(PEER, local).stream(0, b"ab").stream(4, b"ef").stream(6, b"gh")
    });
    let park = bench.exchange(Lane::Park, |answer| {
        // The repeat overlaps bytes that arrived already.
        answer.from(PEER, local).stream(1, b"bcdef").stream(0, b"abc")
    });
    let window = park.windows()[0];
    assert_eq!((window.ack, window.losses), (2, 1));
    assert_eq!(bench.read(id), b"abcdef");
}

#[test]
fn bytes_beyond_the_window_are_dropped_and_told_to_the_sender() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).stream(0, &[1; 300]));
    let park = bench.exchange(Lane::Park, |answer| answer);
    let window = park.windows()[0];
    assert_eq!((window.ack, window.overflow, window.now), (256, 257, true));
    assert_eq!(bench.read(id), [1; 256]);
    bench.exchange(Lane::Send, |answer| answer);
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).stream(256, &[2; 44]));
    assert_eq!(bench.read(id), [2; 44]);
}

#[test]
fn overflow_is_told_once_with_its_offset() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
    write(&mut bench, id, &[1; 200]);
    bench.exchange(Lane::Send, |answer| answer);
    let notice = Window { overflow: 101, ..acked(100) };
    for _ in 0..3 {
        bench.exchange(Lane::Park, |answer| answer.from(PEER, local).window(notice));
    }
    assert_eq!(bench.events(), [Event::Overflow { channel: id, offset: 100 }]);
    assert_eq!(bench.session().take_overflow(id), Ok(Some(100)));
    assert_eq!(bench.session().take_overflow(id), Ok(None));
    assert_eq!(bench.session().channel_stats(id).unwrap().overflows, 1);
    // The bytes that did not fit go out again.
    let send = bench.exchange(Lane::Send, |answer| answer);
    assert_eq!((send.data()[0].1.offset, send.bytes.len()), (100, 100));
}

#[test]
fn window_rises_by_a_quarter_of_the_ring_at_least() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
    let (mut sent, mut told) = (0, 256);
    for step in 0..200 {
        let free = told - sent;
        let n = free.min(step % 11 + 1) as usize;
        bench.exchange(Lane::Park, |answer| answer.from(PEER, local).stream(sent, &[1; 11][..n]));
        sent += n as u64;
        let now = bench.now;
        let mut out = [0; 7];
        bench.session().read(now, id, &mut out).unwrap();
        while let Some(request) = bench.begin(Lane::Send) {
            bench.answer(Lane::Send, &Answer::to(&request.exchange).ok());
            for window in request.windows() {
                assert!(window.limit == told || window.limit >= told + WINDOW / 4, "{window:?}");
                told = window.limit;
            }
        }
        let park = bench.begin(Lane::Park).unwrap();
        for window in park.windows() {
            assert!(window.limit == told || window.limit >= told + WINDOW / 4, "{window:?}");
            told = window.limit;
        }
        bench.answer(Lane::Park, &Answer::to(&park.exchange).ok());
    }
    assert!(told > 1000, "it went on: {told}");
}

#[test]
fn partial_verdict_sends_the_rest_again() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
    write(&mut bench, id, b"abcdef");
    let send = bench.begin(Lane::Send).unwrap();
    let (index, _) = send.data()[0];
    let answer = Answer::to(&send.exchange).verdict(index, Status::Busy, 2);
    bench.answer(Lane::Send, &answer.ok());
    assert!(bench.begin(Lane::Send).is_none(), "nothing but PROBE until the peer is heard of");
    bench.exchange(Lane::Park, |answer| answer.message(&Message::Ready(PEER)));
    let send = bench.exchange(Lane::Send, |answer| answer);
    assert!(send.bytes.ends_with(b"cdef") && !send.bytes.contains(&b'a'), "{send:?}");
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).window(acked(6)));
    assert_eq!(bench.session().acked(id), Ok(true));
}

#[test]
fn directions_of_a_stream_end_independently() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
    let now = bench.now;
    write(&mut bench, id, b"last");
    bench.session().shutdown(now, id, Half::Write).unwrap();
    assert!(bench.session().write(now, id, b"x").is_err());
    let send = bench.exchange(Lane::Send, |answer| answer);
    assert!(send.data()[0].1.flags.has(DataFlags::FIN));
    bench.exchange(Lane::Park, |answer| {
        let answer = answer.from(PEER, local).window(acked(5)).stream(0, b"still");
        answer.data(5, DataFlags::FIN, b"").data(5, DataFlags::FIN, b"")
    });
    assert_eq!(bench.session().acked(id), Ok(true));
    assert_eq!(bench.read(id), b"still");
    let mut out = [0; 8];
    assert_eq!(bench.session().read(now, id, &mut out), Ok(Some(0)));
    assert_eq!(bench.exchange(Lane::Park, |answer| answer).windows()[0].ack, 6);
}

#[test]
fn round_trip_is_measured_by_the_acknowledgement_that_tells_a_loss() {
    const TOOK_MS: u64 = 100;
    let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
    let now = bench.now;
    assert_eq!(bench.session().write(now, id, b"hello"), Ok(5));
    bench.exchange(Lane::Send, |answer| answer.verdict(FIRST, Status::Delivered, 0));
    bench.pass(TOOK_MS);
    let window = Window {
        ack: 5,
        limit: WINDOW,
        losses: 1,
        overflow: 0,
        now: false,
        done: false,
        ask: false,
    };
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).window(window));
    assert_eq!(u64::from(bench.session().stats().srtt_ms), TOOK_MS);
}
