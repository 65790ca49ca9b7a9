//! The ends of exchanges, and the events that tell of them.

use super::*;
use crate::error::{ConfigError, TransportError};

/// A connected stream after a park that ended with this status, and its next park.
fn park_after(status: Status, highest: u64) -> (Bench, Request) {
    let (mut bench, _, _) = Bench::connected(Kind::Stream, WINDOW);
    let park = bench.begin(Lane::Park).unwrap();
    let answer = Answer::to(&park.exchange).end_at(status, highest).0;
    bench.answer(Lane::Park, &answer);
    // A pause follows, as a proxy may repeat every park.
    bench.now += 1_000;
    let next = bench.begin(Lane::Park).expect("another park");
    (bench, next)
}

#[test]
fn answer_that_went_to_another_park_counts_as_a_loss() {
    for status in [Status::Repeated, Status::Superseded] {
        let (_, next) = park_after(status, 0);
        let window = next.windows()[0];
        assert_eq!((window.losses, window.now), (1, true), "{status:?}");
    }
    let (_, next) = park_after(Status::Ok, 0);
    assert_eq!(next.windows(), []);
}

#[test]
fn stale_continues_behind_the_highest_seq_told() {
    let (mut bench, next) = park_after(Status::Stale, 2);
    assert!(next.exchange.seq > 2);
    assert_eq!(bench.session().is_open(), Ok(true));
}

#[test]
fn stale_by_a_seq_never_used_means_a_shared_secret() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, WINDOW);
    let park = bench.begin(Lane::Park).unwrap();
    let answer = Answer::to(&park.exchange).end_at(Status::Stale, park.exchange.seq + 1).0;
    bench.answer(Lane::Park, &answer);
    let error = TransportError::SecretShared.into();
    assert_eq!(bench.session().is_open(), Err(error));
    assert_eq!(bench.session().connected(id), Err(error));
    assert!(bench.begin(Lane::Park).is_none());
}

#[test]
fn limited_and_shutdown_are_tried_again() {
    for status in [Status::Limited, Status::Shutdown] {
        let mut bench = Bench::new();
        let first = bench.begin(Lane::Send).unwrap();
        bench.answer(Lane::Send, &Answer::to(&first.exchange).end(status).0);
        assert_eq!(bench.session().blocked(), Some(Blocked::Relay(status)));
        assert_eq!(bench.session().is_open(), Ok(false));
        bench.connect(Kind::Stream);
        assert!(bench.begin(Lane::Send).is_none(), "after a pause");
        let due = bench.session().poll_timeout(Lane::Send).expect("a deadline");
        let pause = due - bench.now;
        assert!((1..=2_000).contains(&pause), "{pause}");
        bench.pass(pause);
        bench.exchange(Lane::Send, |answer| answer);
        assert_eq!(bench.session().blocked(), None);
        assert_eq!(bench.session().is_open(), Ok(true));
    }
}

/// Makes `n` exchanges that the relay calls malformed.
fn malformed(bench: &mut Bench, n: usize) {
    for _ in 0..n {
        bench.pass(PAUSE);
        let request = bench.begin(Lane::Send).unwrap();
        bench.answer(Lane::Send, &Answer::to(&request.exchange).end(Status::Malformed).0);
    }
}

#[test]
fn malformed_is_fatal_only_before_the_first_success() {
    let mut bench = Bench::new();
    bench.connect(Kind::Stream);
    malformed(&mut bench, 2);
    assert_eq!(bench.session().is_open(), Ok(false), "may have been cut on the way");
    malformed(&mut bench, 1);
    assert_eq!(bench.session().is_open(), Err(ConfigError::Malformed.into()));

    let mut bench = Bench::reached();
    bench.connect(Kind::Stream);
    malformed(&mut bench, 10);
    assert_eq!(bench.session().is_open(), Ok(true));
}

/// Makes an exchange that fails for `cause`, and gives the events.
fn failed(bench: &mut Bench, cause: Blocked) -> Vec<Event> {
    bench.pass(PAUSE);
    bench.begin(Lane::Send).expect("a try");
    bench.fail(Lane::Send, cause);
    bench.events()
}

#[test]
fn blocked_path_is_told_once_per_cause_and_its_end_once() {
    let mut bench = Bench::reached();
    bench.connect(Kind::Stream);
    assert_eq!(failed(&mut bench, Blocked::Silence), [], "a single one is everyday life");
    bench.pass(PAUSE);
    bench.exchange(Lane::Send, |answer| answer);
    assert_eq!(bench.events(), [], "nothing was told, so nothing is taken back");

    assert_eq!(failed(&mut bench, Blocked::Silence), []);
    let told = |cause| [Event::PathBlocked(cause)];
    assert_eq!(failed(&mut bench, Blocked::Silence), told(Blocked::Silence));
    assert_eq!(failed(&mut bench, Blocked::Silence), []);
    assert_eq!(failed(&mut bench, Blocked::Dns), told(Blocked::Dns));
    assert_eq!(failed(&mut bench, Blocked::Dns), []);
    assert_eq!(bench.session().blocked(), Some(Blocked::Dns));
    bench.pass(PAUSE);
    bench.exchange(Lane::Send, |answer| answer);
    assert_eq!(bench.events(), [Event::PathRestored]);
    bench.pass(PAUSE);
    bench.exchange(Lane::Send, |answer| answer);
    assert_eq!(bench.events(), []);
}

#[test]
fn long_retry_after_is_told_at_once() {
    let mut bench = Bench::reached();
    bench.connect(Kind::Stream);
    assert_eq!(failed(&mut bench, Blocked::Later(429, 1)), [], "nobody would notice");
    bench.pass(PAUSE);
    bench.exchange(Lane::Send, |answer| answer);
    let maintenance = Blocked::Later(503, 30);
    assert_eq!(failed(&mut bench, maintenance), [Event::PathBlocked(maintenance)]);
    bench.pass(29_000);
    assert!(bench.begin(Lane::Send).is_none());
    bench.pass(PAUSE);
    assert!(bench.begin(Lane::Send).is_some());
}

#[test]
fn full_relay_is_left_alone_for_as_long_as_it_asks() {
    let mut bench = Bench::reached();
    bench.connect(Kind::Stream);
    bench.begin(Lane::Send).expect("a try");
    bench.fail(Lane::Send, Blocked::Full(7));
    bench.pass(6_999);
    assert!(bench.begin(Lane::Send).is_none());
    bench.pass(2_000);
    assert!(bench.begin(Lane::Send).is_some());
}

#[test]
fn obstacle_stays_once_it_was_met_twice_in_a_row() {
    let mut bench = Bench::new();
    for (cause, stays) in [
        (Blocked::ProxyAuth, None),
        (Blocked::Silence, None),
        (Blocked::Silence, None),
        (Blocked::ProxyAuth, None),
        (Blocked::ProxyAuth, Some(Blocked::ProxyAuth)),
        (Blocked::ProxyAuth, Some(Blocked::ProxyAuth)),
        (Blocked::Cut, None),
    ] {
        failed(&mut bench, cause);
        assert_eq!(bench.session().stays_blocked(), stays, "behind {cause:?}");
    }
}

#[test]
fn before_the_first_success_the_first_failure_is_told() {
    let mut bench = Bench::new();
    assert_eq!(bench.events(), [Event::Connecting]);
    assert_eq!(failed(&mut bench, Blocked::Dns), [Event::PathBlocked(Blocked::Dns)]);
    bench.pass(PAUSE);
    bench.exchange(Lane::Send, |answer| answer);
    assert_eq!(bench.events(), [Event::PathRestored, Event::Opened]);
}

#[test]
fn opening_is_told_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.events(), [Event::Connecting]);
    bench.exchange(Lane::Send, |answer| answer);
    assert_eq!(bench.session().is_open(), Ok(true));
    assert_eq!(bench.events(), [Event::Opened]);
    let now = bench.now;
    bench.session().network_changed(now);
    bench.connect(Kind::Stream);
    bench.exchange(Lane::Send, |answer| answer);
    assert_eq!(bench.events(), [Event::Connecting], "it was open all the time");
}

#[test]
fn exchange_broken_by_a_change_of_network_counts_as_no_failure() {
    let (mut bench, _, _) = Bench::connected(Kind::Stream, WINDOW);
    bench.begin(Lane::Park).unwrap();
    let now = bench.now;
    bench.session().network_changed(now);
    bench.fail(Lane::Park, Blocked::Cut);
    assert_eq!(bench.events(), [Event::Connecting]);
    assert_eq!(bench.session().blocked(), None);
    let window = bench.begin(Lane::Park).expect("at once").windows()[0];
    assert_eq!(window.losses, 1);
}

#[test]
fn events_left_untaken_push_out_the_oldest() {
    let mut bench = Bench::reached();
    for _ in 0..20 {
        let now = bench.now;
        bench.session().network_changed(now);
    }
    assert_eq!(bench.session().stats().events_lost, 12);
    assert_eq!(bench.events().len(), 8);
}
