//! A relay that drains: sessions leave one after the other.

use crate::relay::router::testing::{Body, Lab};
use crate::wire::Status;

/// How many of the requests are answered by now, all in order.
fn left(lab: &mut Lab, parks: &mut [crate::relay::router::testing::Request]) -> usize {
    let ends = parks.iter_mut().filter_map(|park| lab.response(park));
    ends.inspect(|seen| assert_eq!(seen.end(), Status::Ok)).count()
}

#[test]
fn sessions_leave_evenly_over_the_time_of_the_drain() {
    let mut lab = Lab::new();
    let mut parks: Vec<_> = (1..=100)
        .map(|n| match n % 2 {
            0 => lab.post(Body::park(n, 1, 300_000)),
            _ => lab.post(Body::streamed(n, 1, 1 << 20)),
        })
        .collect();
    lab.router.drain(lab.now, 50);
    let mut before = 0;
    for passed in 1..=10 {
        lab.pass(5);
        let gone = before + left(&mut lab, &mut parks[before..]);
        assert_eq!(gone, 10 * passed);
        before = gone;
    }
    assert_eq!(lab.router.stats().parked, 0);
}

#[test]
fn few_sessions_leave_within_as_many_milliseconds() {
    let mut lab = Lab::new();
    let mut parks: Vec<_> = (1..=3).map(|n| lab.post(Body::park(n, 1, 300_000))).collect();
    lab.router.drain(lab.now, 3_600_000);
    lab.pass(3);
    assert_eq!(left(&mut lab, &mut parks), 3);
}

#[test]
fn park_that_arrives_while_the_relay_drains_waits_no_longer_than_the_others() {
    let mut lab = Lab::new();
    let mut first: Vec<_> = (1..=20).map(|n| lab.post(Body::park(n, 1, 300_000))).collect();
    lab.router.drain(lab.now, 20);
    lab.pass(10);
    let mut late = lab.post(Body::park(50, 1, 300_000));
    assert!(lab.waits(&mut late));
    lab.pass(10);
    assert_eq!(lab.answer(&mut late).end(), Status::Ok);
    assert_eq!(left(&mut lab, &mut first), 20);
    lab.pass(1_000);
    let mut later = lab.post(Body::park(51, 1, 300_000));
    lab.pass(0);
    assert_eq!(lab.answer(&mut later).end(), Status::Ok);
}

#[test]
fn draining_relay_brings_what_comes_for_a_session_that_is_still_there() {
    let mut lab = Lab::new();
    let mut parks: Vec<_> = (1..=10).map(|n| lab.post(Body::park(n, 1, 300_000))).collect();
    lab.router.drain(lab.now, 10);
    lab.pass(5);
    let seen = lab.send(Body::send(1).to(9, 7).stream(0, b"still here"));
    assert_eq!(seen.verdicts(), [(2, Status::Delivered, 10)]);
    assert_eq!(lab.answer(&mut parks[8]).stream(), b"still here");
}
