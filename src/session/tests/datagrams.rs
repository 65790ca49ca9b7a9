//! Datagrams: each is delivered whole and at most once, or is lost.

use super::*;
use crate::error::ConfigError;
use crate::wire::Closed;

fn receive(bench: &mut Bench, id: ChannelId) -> Option<Vec<u8>> {
    let now = bench.now;
    let mut out = vec![0; 1 << 10];
    let n = bench.session().recv_datagram(now, id, &mut out).unwrap()?;
    out.truncate(n);
    Some(out)
}

fn send(bench: &mut Bench, id: ChannelId, bytes: &[u8]) -> bool {
    let now = bench.now;
    bench.session().send_datagram(now, id, bytes).unwrap()
}

#[test]
fn datagram_number_is_delivered_once_and_at_most_64_behind() {
    let (mut bench, id, local) = Bench::connected(Kind::Datagram, WINDOW);
    for (number, comes) in
        [(0, true), (0, false), (100, true), (37, true), (37, false), (36, false), (101, true)]
    {
        bench.exchange(Lane::Park, |answer| answer.from(PEER, local).datagram(number, b"x"));
        assert_eq!(receive(&mut bench, id).is_some(), comes, "{number}");
    }
    assert_eq!(bench.session().channel_stats(id).unwrap().datagrams_dropped, 0);
}

#[test]
fn datagram_that_does_not_fit_is_dropped_whole_without_notice() {
    let (mut bench, id, local) = Bench::connected(Kind::Datagram, WINDOW);
    bench.exchange(Lane::Park, |answer| {
        let answer = answer.from(PEER, local).datagram(0, &[1; 200]);
        answer.datagram(1, &[2; 100]).datagram(2, &[3; 1000]).datagram(3, b"")
    });
    assert_eq!(receive(&mut bench, id), Some(vec![1; 200]));
    assert_eq!(receive(&mut bench, id), Some(vec![]));
    assert_eq!(receive(&mut bench, id), None);
    assert_eq!(bench.session().channel_stats(id).unwrap().datagrams_dropped, 2);
    assert_eq!(bench.session().stats().datagrams_lost, 2);
    assert_eq!(bench.events(), []);
    assert!(bench.begin(Lane::Send).is_none());
    assert_eq!(bench.begin(Lane::Park).unwrap().windows(), []);
}

#[test]
fn datagram_stays_behind_a_buffer_that_is_too_small() {
    let (mut bench, id, local) = Bench::connected(Kind::Datagram, WINDOW);
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).datagram(0, b"four"));
    let now = bench.now;
    let small = bench.session().recv_datagram(now, id, &mut [0; 3]);
    assert_eq!(small, Err(ConfigError::BufferTooSmall { len: 4 }.into()));
    assert_eq!(receive(&mut bench, id), Some(b"four".to_vec()));
}

#[test]
fn smaller_ring_bounds_the_length_of_a_datagram() {
    let (mut bench, id, _) = Bench::connected(Kind::Datagram, 100);
    assert_eq!(bench.session().max_datagram(id), Ok(94));
    let now = bench.now;
    let long = bench.session().send_datagram(now, id, &[0; 95]);
    assert_eq!(long, Err(ConfigError::DatagramTooLong { max: 94 }.into()));
    assert!(bench.session().write(now, id, b"x").is_err());
    assert!(send(&mut bench, id, &[0; 94]) && send(&mut bench, id, &[0; 94]));
    assert!(!send(&mut bench, id, &[0; 94]), "no room");
}

#[test]
fn datagram_that_waits_too_long_expires() {
    let (mut bench, id, _) = Bench::connected(Kind::Datagram, WINDOW);
    send(&mut bench, id, b"old");
    bench.pass(1_500);
    send(&mut bench, id, b"new");
    bench.pass(1_000);
    let request = bench.exchange(Lane::Send, |answer| answer);
    assert_eq!(request.bytes, b"new");
    assert_eq!(request.data()[0].1.offset, 1, "numbers count what expired");
    assert_eq!(bench.session().channel_stats(id).unwrap().datagrams_expired, 1);
}

#[test]
fn undelivered_datagram_is_repeated_with_its_number() {
    let (mut bench, id, _) = Bench::connected(Kind::Datagram, WINDOW);
    for bytes in [b"a", b"b", b"c"] {
        send(&mut bench, id, bytes);
    }
    let request = bench.begin(Lane::Send).unwrap();
    let [a, b, _] = request.data()[..] else { panic!("{request:?}") };
    let answer = Answer::to(&request.exchange).verdict(a.0, Status::Delivered, 1);
    bench.answer(Lane::Send, &answer.verdict(b.0, Status::Busy, 0).ok());
    bench.exchange(Lane::Park, |answer| answer.message(&Message::Ready(PEER)));
    let request = bench.exchange(Lane::Send, |answer| answer);
    assert_eq!(request.bytes, b"bc");
    assert_eq!(request.data()[0].1.offset, 1);
}

#[test]
fn verdicts_out_of_order_lose_nothing() {
    let (mut bench, id, _) = Bench::connected(Kind::Datagram, WINDOW);
    send(&mut bench, id, &[1; 3]);
    send(&mut bench, id, &[2; 90]);
    let request = bench.begin(Lane::Send).unwrap();
    let [first, second] = request.data()[..] else { panic!("{request:?}") };
    let answer = Answer::to(&request.exchange).verdict(second.0, Status::Delivered, 90);
    bench.answer(Lane::Send, &answer.verdict(first.0, Status::Delivered, 3).ok());
    let request = bench.exchange(Lane::Send, |answer| answer);
    assert_eq!(request.bytes, [&[1; 3][..], &[2; 90]].concat());
}

/// The slot's next channel gets no octet of a datagram that was arriving when the last one ended.
#[test]
fn half_a_datagram_does_not_outlive_its_channel() {
    for kind in [Kind::Stream, Kind::Datagram] {
        let (mut bench, id, local) = Bench::connected(Kind::Datagram, WINDOW);
        let park = bench.begin(Lane::Park).unwrap();
        let answer = Answer::to(&park.exchange).from(PEER, local).datagram(0, &[1; 100]).ok();
        let (begun, rest) = answer.split_at(answer.len() - 50);
        bench.feed(Lane::Park, begun).unwrap();
        let now = bench.now;
        bench.session().abort(now, id);
        let closed = Message::CloseRsp(Closed { status: Status::Closed, channel: REMOTE });
        bench.exchange(Lane::Send, |answer| answer.from(PEER, local).message(&closed));
        let next = bench.connect(kind);
        assert_eq!(next.slot(), id.slot());
        bench.feed(Lane::Park, rest).unwrap();
        assert_eq!(bench.session().channel_stats(next).unwrap().received, 0);
        assert_eq!(bench.session().can_read(next), Ok(false));
    }
}

/// Only parks bring data: the answers of two lanes would mix their octets.
#[test]
fn data_in_the_answer_to_a_send_is_foreign() {
    let (mut bench, id, local) = Bench::connected(Kind::Datagram, WINDOW);
    let park = bench.begin(Lane::Park).unwrap();
    let one = Answer::to(&park.exchange).from(PEER, local).datagram(0, &[1; 150]).ok();
    send(&mut bench, id, b"x");
    let request = bench.begin(Lane::Send).unwrap();
    let two = Answer::to(&request.exchange).from(PEER, local).datagram(1, &[2; 150]).ok();
    bench.feed(Lane::Park, &one[..one.len() - 50]).unwrap();
    assert_eq!(bench.feed(Lane::Send, &two), Err(Blocked::Foreign));
    bench.feed(Lane::Park, &one[one.len() - 50..]).unwrap();
    assert_eq!(receive(&mut bench, id), Some(vec![1; 150]));
    assert_eq!(receive(&mut bench, id), None);
}

#[test]
fn peer_that_only_hears_datagrams_is_asked_before_the_linger_time_is_over() {
    let (mut bench, id, local) = Bench::connected(Kind::Datagram, WINDOW);
    let linger_ms = u64::from(bench.session().channels[id.slot()].linger_ms());
    let began = bench.now;
    let mut asked = 0;
    send(&mut bench, id, b"x");
    while bench.now < began + 2 * linger_ms {
        let Some(request) = bench.begin(Lane::Send) else {
            bench.pass(100);
            continue;
        };
        // More is there whenever the timers are looked at.
        assert!(send(&mut bench, id, b"x"), "{} ms", bench.now - began);
        bench.pass(1_000);
        let mut answer = Answer::to(&request.exchange);
        let mut asks = false;
        for (place, data) in request.data() {
            answer = answer.verdict(place, Status::Delivered, data.len);
            asks |= data.flags.has(DataFlags::PROBE);
        }
        bench.answer(Lane::Send, &answer.ok());
        if asks {
            asked += 1;
            bench.exchange(Lane::Park, |answer| answer.from(PEER, local).window(Window::default()));
        }
    }
    assert!((2..=20).contains(&asked), "{asked}");
}
