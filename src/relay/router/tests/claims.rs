//! Names: who gets them, keeps them, and loses them.

use crate::Kind;
use crate::relay::router::RouterConfig;
use crate::relay::router::testing::{Body, Lab, Request, Seen};
use crate::wire::{Hello, Status};

const OK: Option<Status> = Some(Status::Ok);

/// Session `n` parks with a claim of `camera`.
fn claim(lab: &mut Lab, n: u8, seq: u64, owner: u8, epoch: u64, heard: Option<Status>) -> Request {
    lab.post(Body::park(n, seq, 5_000).claim(u32::from(n), "camera", owner, epoch, heard))
}

fn connect(lab: &mut Lab) -> Status {
    let seen = lab.send(Body::send(99).connect("camera", Kind::Stream));
    seen.verdicts()[0].1
}

fn told(seen: &Seen) -> (Status, u64) {
    let [(_, status, epoch)] = seen.listens()[..] else { panic!("{seen:?}") };
    (status, epoch)
}

#[test]
fn claim_is_answered_until_its_status_was_heard() {
    let mut lab = Lab::new();
    let mut park = claim(&mut lab, 1, 1, 1, 10, None);
    let seen = lab.answer(&mut park);
    assert_eq!(seen.listens(), [(1, Status::Ok, 10)]);
    for seq in 2..5 {
        let mut park = claim(&mut lab, 1, seq, 1, 10, OK);
        lab.pass(4_999);
        assert!(lab.waits(&mut park));
    }
}

#[test]
fn another_owner_has_to_wait() {
    let mut lab = Lab::new();
    claim(&mut lab, 1, 1, 1, 10, OK);
    let mut other = claim(&mut lab, 2, 1, 2, 99, None);
    assert_eq!(told(&lab.answer(&mut other)), (Status::InUse, 10));
    let mut other = claim(&mut lab, 2, 2, 2, 99, Some(Status::InUse));
    assert!(lab.waits(&mut other));
}

#[test]
fn claim_left_out_of_a_park_ends() {
    let mut lab = Lab::new();
    claim(&mut lab, 1, 1, 1, 10, OK);
    lab.post(Body::park(1, 2, 5_000));
    assert_eq!(connect(&mut lab), Status::NoListener);
    let mut other = claim(&mut lab, 2, 1, 2, 5, None);
    assert_eq!(told(&lab.answer(&mut other)), (Status::Ok, 5));
}

#[test]
fn a_claim_that_moves_beyond_the_limit_ends() {
    let mut lab = Lab::with(RouterConfig { claims: 2, ..RouterConfig::default() });
    claim(&mut lab, 1, 1, 1, 10, OK);
    let body = Body::park(1, 2, 5_000).claim(2, "b", 1, 10, OK).claim(3, "c", 1, 10, OK);
    let mut park = lab.post(body.claim(1, "camera", 1, 10, OK));
    assert_eq!(told(&lab.answer(&mut park)), (Status::Limited, 0));
    assert_eq!(lab.router.stats().names, 2);
    assert_eq!(connect(&mut lab), Status::NoListener);
}

#[test]
fn a_new_listener_of_the_same_session_takes_its_old_name() {
    let mut lab = Lab::new();
    lab.post(Body::park(1, 1, 5_000).claim(1, "camera", 1, 10, OK));
    let mut park = lab.post(Body::park(1, 2, 5_000).claim(2, "camera", 1, 10, None));
    assert_eq!(lab.answer(&mut park).listens(), [(2, Status::Ok, 10)]);
    let twice = Body::park(1, 3, 5_000).claim(2, "camera", 1, 10, OK);
    let mut park = lab.post(twice.claim(3, "camera", 1, 10, None));
    assert_eq!(lab.answer(&mut park).listens(), [(3, Status::InUse, 10)]);
}

#[test]
fn a_higher_epoch_of_the_same_owner_takes_over() {
    let mut lab = Lab::new();
    let mut old = claim(&mut lab, 1, 1, 1, 10, OK);
    let mut new = claim(&mut lab, 2, 1, 1, 11, None);
    assert_eq!(told(&lab.answer(&mut new)), (Status::Ok, 11));
    assert_eq!(told(&lab.answer(&mut old)), (Status::Taken, 11));
    // The loser does not get it back by asking, nor does its ghost keep the name busy.
    let mut old = claim(&mut lab, 1, 2, 1, 10, OK);
    assert_eq!(told(&lab.answer(&mut old)), (Status::Taken, 11));
    let mut again = claim(&mut lab, 1, 3, 1, 12, None);
    assert_eq!(told(&lab.answer(&mut again)), (Status::Ok, 12));
}

#[test]
fn a_lost_name_is_told_with_the_answer_to_a_send_too() {
    let mut lab = Lab::new();
    let mut old = claim(&mut lab, 1, 1, 1, 10, OK);
    lab.pass(5_000);
    lab.answer(&mut old);
    claim(&mut lab, 2, 1, 1, 11, OK);
    assert_eq!(told(&lab.send(Body::send(1))), (Status::Taken, 11));
}

#[test]
fn a_claim_outlives_its_park_by_the_grace() {
    let mut lab = Lab::new();
    let grace = RouterConfig::default().grace_ms;
    let mut old = claim(&mut lab, 1, 1, 1, 10, OK);
    lab.pass(5_000);
    lab.answer(&mut old);
    lab.pass(grace);
    let mut other = claim(&mut lab, 2, 1, 2, 5, None);
    assert_eq!(told(&lab.answer(&mut other)), (Status::InUse, 10));
    lab.pass(1);
    let mut other = claim(&mut lab, 2, 2, 2, 5, Some(Status::InUse));
    assert_eq!(told(&lab.answer(&mut other)), (Status::Ok, 5));
    // The first one comes back.
    let mut old = claim(&mut lab, 1, 2, 1, 10, OK);
    assert_eq!(told(&lab.answer(&mut old)), (Status::InUse, 5));
}

#[test]
fn a_park_that_died_leaves_the_claim_for_the_grace() {
    let mut lab = Lab::new();
    let old = claim(&mut lab, 1, 1, 1, 10, OK);
    lab.drop(old);
    let mut other = claim(&mut lab, 2, 1, 2, 5, None);
    assert_eq!(told(&lab.answer(&mut other)), (Status::InUse, 10));
    let mut heir = claim(&mut lab, 3, 1, 1, 11, None);
    assert_eq!(told(&lab.answer(&mut heir)), (Status::Ok, 11));
}

#[test]
fn a_forgotten_session_has_no_names() {
    let mut lab = Lab::new();
    let mut park = claim(&mut lab, 1, 1, 1, 10, OK);
    lab.pass(5_000);
    lab.answer(&mut park);
    lab.pass(RouterConfig::default().forget_ms);
    assert_eq!(lab.router.stats().names, 0);
    assert_eq!(connect(&mut lab), Status::NoListener);
}

#[test]
fn claims_are_limited() {
    let mut lab = Lab::new();
    let mut body = Body::park(1, 1, 5_000);
    for claim in 1..21 {
        body = body.claim(claim, &format!("camera-{claim}"), 1, 10, OK);
    }
    let mut park = lab.post(body);
    let expected: Vec<_> = (17..21).map(|claim| (claim, Status::Limited, 0)).collect();
    assert_eq!(lab.answer(&mut park).listens(), expected);
    assert_eq!(lab.router.stats().names, 16);
}

#[test]
fn a_claim_in_a_send_is_malformed() {
    let mut lab = Lab::new();
    let hello = Hello { hold_ms: 0, ..Body::greeting(1) };
    let seen = lab.send(Body::hello(hello).claim(1, "camera", 1, 10, OK));
    assert_eq!(seen.end(), Status::Malformed);
    assert_eq!(lab.router.stats().names, 0);
}
