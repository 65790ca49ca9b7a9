//! What the counters tell.

use std::time::Duration;

use crate::relay::router::RouterConfig;
use crate::relay::router::testing::{Body, Lab};
use crate::wire::Status;

#[test]
fn parks_are_counted_from_their_place_to_their_end() {
    let mut lab = Lab::new();
    let parked = |lab: &Lab| lab.router.stats().parked;
    let [one, two] = [1, 2].map(|n| lab.post(Body::park(n, 1, 5_000)));
    let three = lab.post(Body::streamed(3, 1, 1 << 20));
    let send = lab.post(Body::send(4).to(9, 7).stream(0, b"x"));
    assert_eq!(parked(&lab), 3);
    lab.drop(one);
    assert_eq!(parked(&lab), 2);
    lab.post(Body::park(2, 2, 5_000));
    assert_eq!(parked(&lab), 2);
    lab.drop(three);
    lab.drop(send);
    assert_eq!(parked(&lab), 1);
    lab.pass(5_000);
    lab.drop(two);
    assert_eq!(parked(&lab), 0);
}

#[test]
fn handover_is_the_time_from_a_messages_arrival_to_its_first_octet_written() {
    let mut lab = Lab::new();
    let park = lab.post(Body::park(2, 1, 5_000));
    lab.send(Body::send(1).to(2, 7).stream(0, b"at once"));
    lab.drop(park);
    let mut send = lab.post(Body::send(1).to(2, 7).stream(7, b"waits"));
    lab.pass(70);
    lab.post(Body::park(2, 2, 5_000));
    assert!(lab.offer(&mut send));
    assert_eq!(lab.answer(&mut send).verdicts(), [(2, Status::Delivered, 5)]);
    let stats = lab.router.stats();
    assert_eq!((stats.messages_in, stats.waits.count()), (2, 2));
    assert_eq!(stats.waits.sum(), Duration::from_millis(70));
    let full = stats.waits.buckets().filter(|(_, count)| *count > 0);
    let bounds: Vec<_> = full.map(|(bound, _)| bound.map(|bound| bound.as_millis())).collect();
    assert_eq!(bounds, [Some(1), Some(100)]);
}

#[test]
fn message_that_nobody_takes_is_no_handover() {
    let mut lab = Lab::new();
    let seen = lab.send(Body::send(1).to(2, 7).stream(0, b"x"));
    assert_eq!(seen.verdicts(), [(2, Status::Away, 0)]);
    let stats = lab.router.stats();
    assert_eq!((stats.messages_in, stats.waits.count()), (1, 0));
}

#[test]
fn limit_that_ends_a_request_is_counted_by_its_name() {
    let mut lab = Lab::with(RouterConfig { max_messages: 2, ..RouterConfig::default() });
    let body = Body::send(1).to(2, 7).stream(0, b"x").to(3, 7).stream(0, b"x").stream(1, b"x");
    assert_eq!(lab.send(body).end(), Status::Limited);
    let limits = lab.router.stats().limits;
    assert_eq!((limits.get("max_messages"), limits.get("max_body")), (1, 0));
    assert_eq!(limits.iter().map(|(_, times)| times).sum::<u64>(), 1);
}
