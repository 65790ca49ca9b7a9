//! A response that grows while an upload arrives.

use crate::relay::router::testing::{Body, Lab, Request};
use crate::relay::router::{Answer, RouterConfig};
use crate::wire::{DataFlags, Status};

const UNDRAINED: usize = 64 * 1024;
/// Octets of HELLO, ROUTE and the head of data.
const HEAD: usize = 34 + 4 + 32 + 13;

fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i % 251) as u8).collect()
}

/// Offers and takes by turns until the upload is taken.
fn pump(lab: &mut Lab, send: &mut Request, park: &mut Request) {
    while !lab.offer(send) {
        assert!(lab.take(park), "stuck");
    }
}

#[test]
fn slices_leave_before_the_message_is_whole() {
    let mut lab = Lab::new();
    let data = pattern(30_000);
    let flags = DataFlags::FIN.with(DataFlags::ACK_NOW);
    let mut park = lab.post(Body::park(2, 1, 5_000));
    let mut send = lab.open(Body::send(1).to(2, 7).data(1_000, flags, &data));
    lab.give(&mut send, 10_000);
    assert!(lab.woken(&park));
    assert!(lab.take(&mut park));
    assert_eq!(lab.router.complete_len(park.id), None);
    lab.give(&mut send, 10_000);
    lab.offer(&mut send);
    let seen = lab.answer(&mut park);
    assert_eq!(seen.stream(), data);
    assert_eq!(seen.data()[0].offset, 1_000);
    let slices: Vec<_> = seen.data().iter().map(|data| data.flags).collect();
    assert_eq!(slices, [DataFlags::NONE, DataFlags::NONE, flags]);
    assert_eq!(lab.answer(&mut send).verdicts(), [(2, Status::Delivered, 30_000)]);
}

#[test]
fn large_slices_are_not_copied() {
    let mut lab = Lab::new();
    let park = lab.post(Body::park(2, 1, 5_000));
    let head = Body::send(1).to(2, 7).stream(0, &[7; 50_000]).done();
    let mut chunk = bytes::Bytes::from(head);
    let body = chunk.slice(chunk.len() - 50_000..);
    let id = lab.router.handle_open(lab.now);
    lab.router.handle_body(lab.now, id, &mut chunk);
    let mut same = false;
    while let Answer::Bytes(piece) = lab.router.poll_response(lab.now, park.id) {
        same |= piece.as_ptr() == body.as_ptr() && piece.len() == body.len();
    }
    assert!(same);
}

#[test]
fn response_ends_with_the_upload() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, 5_000));
    let mut send = lab.open(Body::send(1).to(2, 7).stream(0, b"x"));
    let all = HEAD + 1;
    lab.give(&mut send, all);
    assert!(lab.response(&mut park).is_none());
    lab.offer(&mut send);
    assert_eq!(lab.answer(&mut park).end(), Status::Ok);
}

#[test]
fn response_ends_when_the_upload_turns_to_another_peer() {
    let mut lab = Lab::new();
    let mut two = lab.post(Body::park(2, 1, 5_000));
    let mut three = lab.post(Body::park(3, 1, 5_000));
    let body = Body::send(1).to(2, 7).stream(0, b"a").to(3, 7).stream(0, b"b").to(2, 7);
    let first = body.clone().stream(1, b"c").to(3, 7).done().len();
    let mut send = lab.open(body.stream(1, b"c").to(3, 7).stream(1, b"d"));
    lab.give(&mut send, first);
    // Within what arrived at once, turning away ends nothing.
    assert!(lab.response(&mut two).is_none());
    lab.offer(&mut send);
    assert_eq!(lab.answer(&mut two).stream(), b"ac");
    lab.pass(100);
    assert_eq!(lab.answer(&mut three).stream(), b"b");
}

#[test]
fn silence_ends_the_response_and_the_rest_takes_the_next() {
    let mut lab = Lab::new();
    let data = pattern(3_000);
    let mut park = lab.post(Body::park(2, 1, 5_000));
    let mut send = lab.open(Body::send(1).to(2, 7).stream(0, &data));
    lab.give(&mut send, 1_000);
    lab.pass(60);
    lab.give(&mut send, 1_000);
    lab.pass(99);
    assert!(lab.response(&mut park).is_none());
    lab.pass(1);
    let mut got = lab.answer(&mut park).stream();
    let mut park = lab.post(Body::park(2, 2, 5_000));
    assert!(lab.waits(&mut park));
    lab.offer(&mut send);
    got.extend(lab.answer(&mut park).stream());
    assert_eq!(got, data);
    assert_eq!(lab.answer(&mut send).verdicts(), [(2, Status::Delivered, 3_000)]);
}

#[test]
fn a_silent_upload_keeps_no_response_open_whatever_else_is_written() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, 5_000));
    let mut dark = lab.open(Body::send(1).to(2, 7).stream(0, &[1; 500]));
    lab.give(&mut dark, 200);
    for n in 1..=4 {
        lab.pass(50);
        lab.send(Body::send(3).to(2, 8).ack(n, false));
    }
    let seen = lab.answer(&mut park);
    assert_eq!((seen.stream().len(), seen.end()), (200 - HEAD, Status::Ok));
}

#[test]
fn a_trickle_holds_no_response_open_beyond_its_hold() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, 5_000));
    let mut send = lab.open(Body::send(1).to(2, 7).stream(0, &[1; 500]));
    lab.give(&mut send, HEAD + 1);
    for _ in 0..54 {
        lab.pass(90);
        lab.give(&mut send, 1);
        assert!(lab.response(&mut park).is_none());
    }
    lab.pass(300);
    assert_eq!(lab.answer(&mut park).end(), Status::Ok);
}

#[test]
fn an_upload_that_fell_silent_keeps_no_response_open() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, 5_000));
    let mut dark = lab.open(Body::send(1).to(2, 7).stream(0, &[1; 500]));
    lab.give(&mut dark, 200);
    lab.pass(100);
    lab.answer(&mut park);
    let mut park = lab.post(Body::park(2, 2, 5_000));
    lab.send(Body::send(3).to(2, 8).stream(0, b"x"));
    assert_eq!(lab.answer(&mut park).stream(), b"x");
    // Until it speaks again.
    let mut park = lab.post(Body::park(2, 3, 5_000));
    lab.give(&mut dark, 100);
    lab.give(&mut dark, 100);
    assert!(lab.response(&mut park).is_none());
    lab.offer(&mut dark);
    assert_eq!(lab.answer(&mut park).data().len(), 3);
}

#[test]
fn the_upload_is_read_only_as_fast_as_the_response_drains() {
    let mut lab = Lab::new();
    let data = pattern(1 << 20);
    let mut park = lab.post(Body::park(2, 1, 5_000));
    let mut send = lab.open(Body::send(1).to(2, 7).stream(0, &data));
    assert!(!lab.offer(&mut send));
    let held = lab.router.stats().held;
    assert!(held > UNDRAINED - 512 && held <= UNDRAINED, "{held}");
    assert!(lab.woken(&park));
    assert!(!lab.woken(&send));
    while lab.take(&mut park) {}
    assert!(lab.woken(&send));
    pump(&mut lab, &mut send, &mut park);
    assert!(lab.answer(&mut park).stream() == data);
    assert_eq!(lab.answer(&mut send).verdicts(), [(2, Status::Delivered, 1 << 20)]);
    assert_eq!(lab.router.stats().held, 0);
}

#[test]
fn a_response_that_does_not_drain_makes_its_peer_busy() {
    let mut lab = Lab::new();
    let data = pattern(200_000);
    let mut park = lab.post(Body::park(2, 1, 5_000));
    let mut send = lab.post(Body::send(1).to(2, 7).stream(0, &data));
    lab.pass(999);
    assert!(!lab.offer(&mut send));
    lab.pass(1);
    assert!(lab.offer(&mut send));
    let [(2, Status::Busy, bytes)] = lab.answer(&mut send).verdicts()[..] else { panic!() };
    assert_eq!(lab.answer(&mut park).stream(), data[..bytes as usize]);
}

#[test]
fn octets_held_for_all_sessions_are_bounded() {
    let config = RouterConfig { max_held: 100_000, ..RouterConfig::default() };
    let mut lab = Lab::with(config);
    let mut parks: Vec<_> = (10..14).map(|n| lab.post(Body::park(n, 1, 5_000))).collect();
    let bodies = (10..14).map(|n| Body::send(n + 50).to(n, 7).stream(0, &pattern(60_000)));
    let mut sends: Vec<_> = bodies.map(|body| lab.post(body)).collect();
    assert!(lab.router.stats().held <= 101_000);
    for _ in 0..10 {
        for park in &mut parks {
            while lab.take(park) {}
        }
        for send in &mut sends {
            lab.offer(send);
        }
    }
    for (mut park, mut send) in parks.into_iter().zip(sends) {
        assert_eq!(lab.answer(&mut park).stream(), pattern(60_000));
        assert_eq!(lab.answer(&mut send).verdicts(), [(2, Status::Delivered, 60_000)]);
    }
}

#[test]
fn max_response_splits_a_stream() {
    let mut lab = Lab::new();
    let data = pattern(10_000);
    let mut park = lab.post(Body::small(2, 1, 3_000));
    let mut send = lab.post(Body::send(1).to(2, 7).data(0, DataFlags::FIN, &data));
    let mut got = Vec::new();
    for seq in 2.. {
        let seen = lab.answer(&mut park);
        assert!(seen.len <= 3_000, "{}", seen.len);
        got.extend(seen.stream());
        assert_eq!(seen.data()[0].flags.has(DataFlags::FIN), got.len() == data.len());
        if got.len() == data.len() {
            break;
        }
        assert!(seen.len > 2_700, "{}", seen.len);
        park = lab.post(Body::small(2, seq, 3_000));
        lab.offer(&mut send);
    }
    assert_eq!(got, data);
    assert_eq!(lab.answer(&mut send).verdicts(), [(2, Status::Delivered, 10_000)]);
}

#[test]
fn a_datagram_is_never_split() {
    let mut lab = Lab::new();
    let datagram = pattern(65_535);
    let mut park = lab.post(Body::park(2, 1, 5_000));
    let mut send = lab.open(Body::send(1).to(2, 7).datagram(3, &datagram));
    lab.give(&mut send, 60_000);
    assert!(lab.waits(&mut park));
    assert!(lab.router.stats().held > 50_000);
    lab.offer(&mut send);
    let seen = lab.answer(&mut park);
    assert_eq!(seen.bytes, std::slice::from_ref(&datagram));
    assert_eq!(seen.data()[0].offset, 3);
    assert_eq!(lab.answer(&mut send).verdicts(), [(2, Status::Delivered, 65_535)]);
    // What is left of a response is not enough, so it takes the next one.
    let mut park = lab.post(Body::small(2, 2, 3_000));
    let body =
        Body::send(1).to(2, 7).datagram(4, &datagram[..2_000]).datagram(5, &datagram[..2_000]);
    let mut send = lab.post(body.datagram(6, &datagram));
    assert_eq!(lab.answer(&mut park).bytes, [&datagram[..2_000]]);
    let mut park = lab.post(Body::small(2, 3, 3_000));
    lab.offer(&mut send);
    assert_eq!(lab.answer(&mut park).bytes, [&datagram[..2_000]]);
    // Nor is any response enough for the last one.
    let mut park = lab.post(Body::small(2, 4, 3_000));
    lab.offer(&mut send);
    assert!(lab.waits(&mut park));
    let verdicts = lab.answer(&mut send).verdicts();
    assert_eq!(verdicts[2], (4, Status::Limited, 0));
    assert_eq!(lab.router.stats().held, 0);
}

#[test]
fn an_upload_that_dies_leaves_what_was_delivered() {
    let mut lab = Lab::new();
    let data = pattern(30_000);
    let mut park = lab.post(Body::park(2, 1, 5_000));
    let mut send = lab.open(Body::send(1).to(2, 7).datagram(0, b"whole").stream(0, &data));
    lab.give(&mut send, 10_000);
    let mut other = lab.open(Body::send(3).to(2, 7).datagram(0, &data));
    lab.give(&mut other, 10_000);
    lab.drop(send);
    lab.drop(other);
    let seen = lab.answer(&mut park);
    assert_eq!(seen.bytes[0], b"whole");
    assert_eq!(seen.data().len(), 2);
    assert_eq!(seen.bytes[1], data[..seen.bytes[1].len()]);
    assert_eq!(lab.router.stats().held, 0);
    assert_eq!(lab.router.stats().exchanges, 0);
}

#[test]
fn uploads_for_the_same_session_share_a_response() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, 5_000));
    let mut one = lab.open(Body::send(1).to(2, 7).stream(0, &[1; 9_000]));
    let mut two = lab.open(Body::send(3).to(2, 8).stream(0, &[2; 9_000]));
    for _ in 0..3 {
        lab.give(&mut one, 3_000);
        lab.give(&mut two, 3_000);
    }
    lab.offer(&mut one);
    assert!(lab.response(&mut park).is_none());
    lab.offer(&mut two);
    let seen = lab.answer(&mut park);
    let all = seen.bytes.concat();
    assert_eq!(all.iter().filter(|b| **b == 1).count(), 9_000);
    assert_eq!(all.iter().filter(|b| **b == 2).count(), 9_000);
}

#[test]
fn a_park_that_dies_lets_the_upload_take_the_next() {
    let mut lab = Lab::new();
    let data = pattern(100_000);
    let park = lab.post(Body::park(2, 1, 5_000));
    let mut send = lab.post(Body::send(1).to(2, 7).stream(0, &data));
    lab.drop(park);
    let mut park = lab.post(Body::park(2, 2, 5_000));
    assert!(lab.woken(&send));
    pump(&mut lab, &mut send, &mut park);
    let seen = lab.answer(&mut park);
    let first = seen.data()[0].offset as usize;
    assert!(first > 0);
    assert_eq!(seen.stream(), data[first..]);
    assert_eq!(lab.answer(&mut send).verdicts(), [(2, Status::Delivered, 100_000)]);
}

#[test]
fn many_small_messages_share_few_pieces() {
    let mut lab = Lab::with(RouterConfig { max_messages: u16::MAX, ..RouterConfig::default() });
    let mut park = lab.post(Body::park(2, 1, 5_000));
    let mut body = Body::send(1).to(2, 7);
    for i in 0..20_000 {
        body = body.stream(i, b"x");
    }
    let mut send = lab.open(body);
    let mut pieces = 0;
    while !lab.offer(&mut send) {
        while lab.take(&mut park) {
            pieces += 1;
        }
    }
    assert_eq!(lab.answer(&mut park).stream().len(), 20_000);
    assert_eq!(lab.answer(&mut send).verdicts().len(), 20_000);
    assert!(pieces < 20, "{pieces}");
}
