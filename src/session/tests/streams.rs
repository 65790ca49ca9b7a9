//! Streams: acknowledgements, windows, overflow, and what belongs to no channel.

use super::*;
use crate::error::PeerError;
use crate::session::Half;
use crate::wire::{Close, Closed};

fn write(bench: &mut Bench, id: ChannelId, bytes: &[u8]) -> usize {
    let now = bench.now;
    bench.session().write(now, id, bytes).unwrap()
}

fn acked(ack: u64) -> Window {
    Window { ack, limit: 256, ..Window::default() }
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_ends_that_channel_only() {
    let (mut bench, first, local) = Bench::connected(Kind::Stream, 256);
    let second = bench.connect(Kind::Stream);
    bench.dial(Status::Ok, 256);
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
    let (mut bench, id, local) = Bench::connected(Kind::Stream, 256);
    assert_eq!(write(&mut bench, id, &[1; 300]), 256);
    assert_eq!(bench.session().can_write(id), Ok(false));
    let send = bench.exchange(Lane::Send, |answer| answer);
    assert_eq!(send.bytes, [1; 256]);
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).window(acked(100)));
    assert_eq!(write(&mut bench, id, &[2; 300]), 100);
    assert_eq!(bench.session().acked(id), Ok(false));
}

#[test]
fn what_belongs_to_no_channel_is_answered_and_not_delivered() {
    let (_, _, local) = Bench::connected(Kind::Stream, 256);
    let other = Address([8; 16]);
    for (peer, channel) in [
        (PEER, Channel { id: 1 << 24 | 1, ..local }),
        (PEER, Channel { id: 200 << 24 | 1, ..local }),
        (PEER, Channel { id: local.id + 1, ..local }),
        (PEER, Channel { token: local.token ^ 1, ..local }),
        (other, local),
    ] {
        let (mut bench, id, _) = Bench::connected(Kind::Stream, 256);
        bench.exchange(Lane::Park, |answer| {
            answer.from(peer, channel).stream(0, b"astray").window(acked(9))
        });
        assert_eq!(bench.read(id), b"");
        assert_eq!(bench.session().connected(id), Ok(true));
        let send = bench.exchange(Lane::Send, |answer| answer);
        assert!(send.says(&Message::Route(Route { peer, channel: Channel::NONE })));
        let closed = Closed { status: Status::Unknown, channel };
        let said = send.messages.iter().filter(|m| **m == Message::CloseRsp(closed)).count();
        assert_eq!(said, 1, "once, not for each message");
    }
}

#[test]
fn a_channel_released_is_a_stale_generation() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, 256);
    let now = bench.now;
    bench.session().abort(now, id);
    let closed = Message::CloseRsp(Closed { status: Status::Closed, channel: REMOTE });
    bench.exchange(Lane::Send, |answer| answer);
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).message(&closed));
    let next = bench.connect(Kind::Stream);
    assert_eq!(next.slot(), id.slot());
    bench.dial(Status::Ok, 256);
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).stream(0, b"late"));
    assert_eq!(bench.read(next), b"");
    let send = bench.exchange(Lane::Send, |answer| answer);
    assert!(send.says(&Message::CloseRsp(Closed { status: Status::Unknown, channel: local })));
}

#[test]
fn data_out_of_order_is_a_loss_once() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, 256);
    bench.exchange(Lane::Park, |answer| {
        answer.from(PEER, local).stream(0, b"ab").stream(4, b"ef").stream(6, b"gh")
    });
    let park = bench.exchange(Lane::Park, |answer| {
        // Sent again with some of what is there already.
        answer.from(PEER, local).stream(1, b"bcdef").stream(0, b"abc")
    });
    let window = park.windows()[0];
    assert_eq!((window.ack, window.losses), (2, 1));
    assert_eq!(bench.read(id), b"abcdef");
}

#[test]
fn bytes_beyond_the_window_are_dropped_and_the_sender_told() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, 256);
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
fn an_overflow_is_told_once_with_its_offset() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, 256);
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
    // What did not fit goes out again.
    let send = bench.exchange(Lane::Send, |answer| answer);
    assert_eq!((send.data()[0].1.offset, send.bytes.len()), (100, 100));
}

#[test]
fn windows_are_never_silly() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, 256);
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
                assert!(window.limit == told || window.limit >= told + 64, "{window:?}");
                told = window.limit;
            }
        }
        let park = bench.begin(Lane::Park).unwrap();
        for window in park.windows() {
            assert!(window.limit == told || window.limit >= told + 64, "{window:?}");
            told = window.limit;
        }
        bench.answer(Lane::Park, &Answer::to(&park.exchange).ok());
    }
    assert!(told > 1000, "it went on: {told}");
}

#[test]
fn a_partial_verdict_sends_the_rest_again() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, 256);
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
fn halves_end_apart() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, 256);
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
