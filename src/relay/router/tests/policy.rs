//! What the bearers of tokens may do.

use std::sync::Arc;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::Kind;
use crate::relay::Access;
use crate::relay::admission::{Admission, Grant, NewToken, Policy};
use crate::relay::router::testing::{Body, Lab, Seen};
use crate::relay::router::{Origin, Rate, RouterConfig};
use crate::wire::{Hello, HelloFlags, Status};

/// A grant by a policy whose token has these lines.
fn grant(name: &str, lines: &str) -> Arc<Grant> {
    let token = NewToken::new(name, &[7; 32]);
    let head: Vec<_> = token.policy().lines().take(3).collect();
    let policy = Policy::parse(&format!("{}\n{lines}", head.join("\n"))).unwrap();
    let admission = Admission::new(&Access::Policy(Arc::new(policy)));
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(&format!("Bearer {}", token.token())).unwrap();
    headers.insert(AUTHORIZATION, value);
    admission.admit(&headers, &Origin::Exempt).unwrap().unwrap()
}

const ALL: &str = "listen = [\"*\"]\nconnect = [\"*\"]\n";

fn claim(n: u8, seq: u64, heard: Option<Status>) -> Body {
    Body::park(n, seq, 5_000).claim(u32::from(n), "camera", n, 1, heard)
}

fn verdict(seen: &Seen) -> Status {
    seen.verdicts()[0].1
}

#[test]
fn names_beyond_the_policy_are_forbidden() {
    let mut lab = Lab::new();
    let none = grant("none", "listen = [\"door\"]\nconnect = [\"door\"]\n");
    let all = grant("all", ALL);
    let mut park = lab.post_as(&none, claim(1, 1, None));
    assert_eq!(lab.answer(&mut park).listens(), [(1, Status::Forbidden, 0)]);
    assert_eq!(lab.router.stats().names, 0);
    let mut listener = lab.post_as(&all, claim(2, 1, Some(Status::Ok)));
    assert!(lab.waits(&mut listener));
    let seen = lab.send_as(&none, Body::send(3).connect("camera", Kind::Stream));
    assert_eq!(verdict(&seen), Status::Forbidden);
    assert!(lab.waits(&mut listener), "nothing of it came to the listener");
    // A name that nobody has is told no other thing: names cannot be listed.
    let seen = lab.send_as(&none, Body::send(3).connect("nobody", Kind::Stream));
    assert_eq!(verdict(&seen), Status::Forbidden);
    let seen = lab.send_as(&all, Body::send(4).connect("camera", Kind::Stream));
    assert_eq!(verdict(&seen), Status::Delivered);
    assert_eq!(lab.router.stats().forbidden, 3);
}

#[test]
fn forbidden_is_told_until_it_was_heard() {
    let mut lab = Lab::new();
    let none = grant("none", "");
    for seq in 1..3 {
        let mut park = lab.post_as(&none, claim(1, seq, None));
        assert_eq!(lab.answer(&mut park).listens(), [(1, Status::Forbidden, 0)]);
    }
    let mut park = lab.post_as(&none, claim(1, 3, Some(Status::Forbidden)));
    assert!(lab.waits(&mut park));
}

#[test]
fn session_of_version_1_is_told_limited_where_the_policy_forbids() {
    let mut lab = Lab::new();
    let none = grant("none", "");
    let hello = |seq, hold_ms| Hello { version: 1, seq, hold_ms, ..Body::greeting(1) };
    let park = |seq, heard| Body::hello(hello(seq, 5_000)).claim(1, "camera", 1, 1, heard);
    let mut refused = lab.post_as(&none, park(1, None));
    assert_eq!(lab.answer(&mut refused).listens(), [(1, Status::Limited, 0)]);
    let mut refused = lab.post_as(&none, park(2, Some(Status::Limited)));
    assert!(lab.waits(&mut refused), "it was heard");
    let connect = Body::hello(hello(0, 0)).connect("camera", Kind::Stream);
    assert_eq!(verdict(&lab.send_as(&none, connect)), Status::Limited);
    let stats = lab.router.stats();
    assert_eq!((stats.names, stats.forbidden, stats.limited), (0, 2, 0));
}

#[test]
fn a_policy_that_changes_takes_names_back() {
    let mut lab = Lab::new();
    let (before, after) = (grant("x", ALL), grant("x", "connect = [\"*\"]\n"));
    let mut park = lab.post_as(&before, claim(1, 1, None));
    assert_eq!(lab.answer(&mut park).listens(), [(1, Status::Ok, 1)]);
    let mut park = lab.post_as(&after, claim(1, 2, Some(Status::Ok)));
    assert_eq!(lab.answer(&mut park).listens(), [(1, Status::Forbidden, 0)]);
    assert_eq!(lab.router.stats().names, 0);
    let mut other = lab.post_as(&before, claim(2, 1, None));
    assert_eq!(lab.answer(&mut other).listens(), [(2, Status::Ok, 1)], "another may have it");
}

#[test]
fn sessions_of_a_bearer_are_limited_and_idle_ones_give_way() {
    let mut lab = Lab::new();
    let two = grant("two", &format!("{ALL}sessions = 2\n"));
    let mut parks: Vec<_> = (1..3).map(|n| lab.post_as(&two, Body::park(n, 1, 60_000))).collect();
    let mut third = lab.post_as(&two, Body::park(3, 1, 60_000));
    assert_eq!(lab.answer(&mut third).end(), Status::Limited);
    assert_eq!(lab.router.stats().overloaded, 1);
    // Another bearer has its own.
    let other = grant("other", &format!("{ALL}sessions = 2\n"));
    let mut park = lab.post_as(&other, Body::park(4, 1, 60_000));
    assert!(lab.waits(&mut park));
    // A session that goes on is no new one.
    let mut again = lab.post_as(&two, Body::park(2, 2, 60_000));
    assert!(lab.waits(&mut again));
    // BYE makes room at once, a session that is gone after the grace.
    lab.send_as(&two, Body::flagged(2, HelloFlags::BYE));
    let mut third = lab.post_as(&two, Body::park(3, 2, 60_000));
    assert!(lab.waits(&mut third));
    let first = parks.remove(0);
    lab.drop(first);
    let mut fifth = lab.post_as(&two, Body::park(5, 1, 60_000));
    assert_eq!(lab.answer(&mut fifth).end(), Status::Limited, "it may be between two parks");
    lab.pass(6_000);
    let mut fifth = lab.post_as(&two, Body::park(5, 2, 60_000));
    assert!(lab.waits(&mut fifth));
}

#[test]
fn connections_begun_in_a_second_are_limited() {
    let mut lab = Lab::new();
    let rate = grant("rate", &format!("{ALL}connects_per_second = 3\n"));
    let connect = |lab: &mut Lab, n: u8| {
        verdict(&lab.send_as(&rate, Body::send(n).connect("nobody", Kind::Stream)))
    };
    lab.pass(10_000);
    for n in 1..4 {
        assert_eq!(connect(&mut lab, n), Status::NoListener);
    }
    // Sessions do not matter: the bearer's are one.
    for n in 4..100 {
        assert_eq!(connect(&mut lab, n), Status::Limited);
    }
    assert_eq!(lab.router.stats().limited, 96);
    lab.pass(334);
    assert_eq!(connect(&mut lab, 9), Status::NoListener);
    assert_eq!(connect(&mut lab, 9), Status::Limited);
}

#[test]
fn connections_to_many_endpoints_by_one_channel_count_each() {
    let mut lab = Lab::new();
    let rate = grant("rate", &format!("{ALL}connects_per_second = 3\n"));
    let listens = |lab: &mut Lab, n: u8, seq: u64| {
        let name = format!("camera-{n}");
        let park = Body::park(n, seq, 60_000).claim(1, &name, n, 1, Some(Status::Ok));
        lab.post(park)
    };
    let connect = |lab: &mut Lab, n: u8| {
        let body = Body::send(99).connect_from(7, &format!("camera-{n}"), Kind::Stream);
        verdict(&lab.send_as(&rate, body))
    };
    for n in 1..9 {
        listens(&mut lab, n, 1);
    }
    for n in 1..4 {
        assert_eq!(connect(&mut lab, n), Status::Delivered, "camera-{n}");
    }
    for n in 4..9 {
        assert_eq!(connect(&mut lab, n), Status::Limited, "camera-{n}");
    }
    // A repeat to the same listener begins nothing.
    listens(&mut lab, 1, 2);
    assert_eq!(connect(&mut lab, 1), Status::Delivered);
}

#[test]
fn connections_that_the_policy_forbids_are_retry_beyond_the_rate_of_misses() {
    let mut lab = Lab::with(RouterConfig { misses: Some(Rate::new(1, 5)), ..Default::default() });
    lab.origin = Origin::of([203, 0, 113, 7].into());
    let none = grant("none", "");
    let connect =
        |lab: &mut Lab| verdict(&lab.send_as(&none, Body::send(1).connect("camera", Kind::Stream)));
    for _ in 0..5 {
        assert_eq!(connect(&mut lab), Status::Forbidden);
    }
    assert_eq!(connect(&mut lab), Status::Retry);
    assert_eq!(lab.router.stats().misses_refused, 1);
    lab.pass(1_000);
    assert_eq!(connect(&mut lab), Status::Forbidden);
}
