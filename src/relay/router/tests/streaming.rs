//! Responses that stay open.

use crate::relay::router::RouterConfig;
use crate::relay::router::testing::{Body, Lab, peer};
use crate::wire::{HelloFlags, Status};

const LARGE: u32 = 4 << 20;

#[test]
fn stream_begins_at_once_and_ticks_until_its_hold_is_over() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::streamed(2, 1, LARGE));
    assert_eq!(lab.so_far(&mut park).ticks(), [0]);
    lab.pass(100);
    assert_eq!(lab.so_far(&mut park).ticks(), [0, 100]);
    lab.pass(1_000);
    assert_eq!(lab.so_far(&mut park).ticks(), [0, 100, 1_100]);
    lab.pass(2_000);
    assert_eq!(
        lab.so_far(&mut park).ticks(),
        [0, 100, 1_100, 2_100],
        "what is queued says as much"
    );
    lab.pass(1_899);
    assert_eq!(lab.router.stats().parked, 1);
    lab.pass(1);
    assert_eq!(lab.answer(&mut park).end(), Status::Ok);
    assert_eq!(lab.router.stats().parked, 0);
}

#[test]
fn streamed_answer_has_messages_as_they_come() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::streamed(2, 1, LARGE));
    for n in 1..=3 {
        let sent = lab.send(Body::send(1).to(2, 7).stream(n - 1, b"x").to(2, 7).ack(n, false));
        assert_eq!(sent.verdicts()[0], (2, Status::Delivered, 1));
        let seen = lab.so_far(&mut park);
        assert_eq!(seen.stream(), b"x".repeat(n as usize), "at once");
        assert_eq!(seen.acks().last(), Some(&n), "without the wait of a bare acknowledgement");
        lab.pass(50);
    }
    let sent = lab.send(Body::send(1).to(2, 7).probe(3));
    assert_eq!(sent.verdicts(), [(2, Status::Delivered, 0)]);
}

#[test]
fn streamed_answer_begins_with_kept_control() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, 5_000));
    lab.send(Body::flagged(2, HelloFlags::WAKE));
    lab.answer(&mut park);
    lab.send(Body::send(1).to(2, 7).ack(5, true));
    let mut park = lab.post(Body::streamed(2, 2, LARGE));
    assert_eq!(lab.so_far(&mut park).acks(), [5]);
}

#[test]
fn wake_bye_a_newer_park_and_max_response_end_a_streamed_answer() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::streamed(2, 1, LARGE));
    lab.send(Body::flagged(2, HelloFlags::WAKE));
    assert_eq!(lab.answer(&mut park).end(), Status::Ok);
    let mut park = lab.post(Body::streamed(2, 2, LARGE));
    let mut newer = lab.post(Body::streamed(2, 3, 600));
    assert_eq!(lab.answer(&mut park).end(), Status::Superseded);
    let mut send = lab.post(Body::send(1).to(2, 7).stream(0, &[1; 700]));
    let first = lab.answer(&mut newer);
    assert!(first.len <= 600 && !first.stream().is_empty(), "{first:?}");
    let mut next = lab.post(Body::streamed(2, 4, LARGE));
    lab.offer(&mut send);
    assert_eq!(lab.answer(&mut send).verdicts(), [(2, Status::Delivered, 700)]);
    assert_eq!(first.stream().len() + lab.so_far(&mut next).stream().len(), 700);
    lab.send(Body::flagged(2, HelloFlags::BYE));
    assert_eq!(lab.answer(&mut next).end(), Status::Ok);
}

#[test]
fn acknowledgements_beyond_max_response_end_a_streamed_answer_and_go_with_the_next() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::streamed(2, 1, 600));
    for id in 1..=20 {
        lab.send(Body::send(1).to(2, id).ack(id.into(), true));
    }
    let mut acks = lab.answer(&mut park).acks();
    assert!(!acks.is_empty());
    let mut next = lab.post(Body::streamed(2, 2, LARGE));
    acks.extend(lab.so_far(&mut next).acks());
    assert_eq!(acks, (1..=20).collect::<Vec<_>>());
}

#[test]
fn streamed_answer_that_is_not_taken_costs_no_memory_and_ready_follows_once_it_is() {
    let undrained = 4_096;
    let mut lab = Lab::with(RouterConfig { undrained, ..RouterConfig::default() });
    let mut park = lab.post(Body::streamed(2, 1, LARGE));
    let mut send = lab.post(Body::send(1).to(2, 7).stream(0, &[7; 20_000]));
    for n in 0..1_000 {
        lab.send(Body::send(1).to(2, 8).ack(n, false));
    }
    assert!(lab.router.stats().held <= undrained + 256, "{:?}", lab.router.stats());
    lab.pass(1_000);
    lab.offer(&mut send);
    let (_, status, bytes) = lab.answer(&mut send).verdicts()[0];
    assert_eq!(status, Status::Busy);
    let mut other = lab.post(Body::park(1, 1, 5_000));
    assert!(lab.waits(&mut other));
    let seen = lab.so_far(&mut park);
    assert_eq!((seen.stream().len() as u32, seen.acks()), (bytes, vec![999]));
    assert_eq!(lab.answer(&mut other).ready(), [peer(2)]);
}
