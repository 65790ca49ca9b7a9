//! CONNECT_RSP comes from who got the CONNECT_REQ.

use crate::Kind;
use crate::relay::router::RouterConfig;
use crate::relay::router::testing::{Body, Lab, Request, peer};
use crate::wire::{HelloFlags, Message, Status};

/// The sessions: who connects, who listens, who listens next, and a stranger.
const CONNECTOR: u8 = 1;
const LISTENER: u8 = 2;
const SUCCESSOR: u8 = 3;
const STRANGER: u8 = 4;

/// Session `n` holds the name, as the process of this epoch, and parks.
fn listens(lab: &mut Lab, n: u8, seq: u64, epoch: u64) -> Request {
    lab.post(Body::park(n, seq, 5_000).claim(1, "camera", 1, epoch, Some(Status::Ok)))
}

fn connects(lab: &mut Lab) -> Status {
    lab.send(Body::send(CONNECTOR).connect("camera", Kind::Stream)).verdicts()[0].1
}

/// What session `n` hears of its answer to the connection.
fn answers(lab: &mut Lab, n: u8) -> Status {
    lab.send(Body::send(n).to(CONNECTOR, 1).accept()).verdicts()[0].1
}

fn waits(lab: &mut Lab, seq: u64) -> Request {
    lab.post(Body::park(CONNECTOR, seq, 5_000))
}

#[test]
fn accept_rsp_of_a_session_that_was_not_asked_is_refused() {
    let mut lab = Lab::new();
    listens(&mut lab, LISTENER, 1, 1);
    let mut park = waits(&mut lab, 1);
    assert_eq!(connects(&mut lab), Status::Delivered);
    assert_eq!(answers(&mut lab, STRANGER), Status::NoListener);
    // Neither may the connector answer in the listener's place.
    assert_eq!(answers(&mut lab, CONNECTOR), Status::NoListener);
    assert!(lab.waits(&mut park), "nothing of it reaches the connector");
    assert_eq!(answers(&mut lab, LISTENER), Status::Delivered);
    let seen = lab.answer(&mut park);
    assert!(matches!(seen.messages[1], Message::From(from) if from.peer == peer(LISTENER)));
    assert!(matches!(seen.messages[2], Message::ConnectRsp(_)));
    // A repeat passes, the stranger does not.
    waits(&mut lab, 2);
    assert_eq!(answers(&mut lab, STRANGER), Status::NoListener);
    assert_eq!(answers(&mut lab, LISTENER), Status::Delivered);
}

#[test]
fn accept_rsp_passes_by_its_token_after_a_restart() {
    let mut lab = Lab::new();
    listens(&mut lab, LISTENER, 1, 1);
    assert_eq!(connects(&mut lab), Status::Delivered);
    let mut lab = Lab::new();
    waits(&mut lab, 2);
    assert_eq!(answers(&mut lab, LISTENER), Status::Delivered);
}

#[test]
fn old_and_new_holder_of_a_name_may_answer() {
    let mut lab = Lab::new();
    listens(&mut lab, LISTENER, 1, 1);
    assert_eq!(connects(&mut lab), Status::Delivered);
    listens(&mut lab, SUCCESSOR, 1, 2);
    assert_eq!(connects(&mut lab), Status::Delivered);
    for (seq, n) in [(1, LISTENER), (2, SUCCESSOR), (3, LISTENER)] {
        waits(&mut lab, seq);
        assert_eq!(answers(&mut lab, n), Status::Delivered, "session {n}");
    }
    assert_eq!(answers(&mut lab, STRANGER), Status::NoListener);
}

#[test]
fn asked_sessions_are_bounded_and_end_with_bye() {
    let mut lab = Lab::with(RouterConfig { asked: 1, ..RouterConfig::default() });
    listens(&mut lab, LISTENER, 1, 1);
    assert_eq!(connects(&mut lab), Status::Delivered);
    assert_eq!(answers(&mut lab, STRANGER), Status::NoListener);
    // Another channel pushes it out: then the token alone must do.
    listens(&mut lab, LISTENER, 2, 1);
    let other = Body::send(CONNECTOR).connect_from(5, "camera", Kind::Stream);
    assert_eq!(lab.send(other).verdicts()[0].1, Status::Delivered);
    waits(&mut lab, 1);
    assert_eq!(answers(&mut lab, STRANGER), Status::Delivered);
    lab.send(Body::flagged(CONNECTOR, HelloFlags::BYE));
    waits(&mut lab, 2);
    let stranger = Body::send(STRANGER).to(CONNECTOR, 5).accept();
    assert_eq!(lab.send(stranger).verdicts()[0].1, Status::Delivered);
}

#[test]
fn messages_behind_a_refused_answer_are_dealt_with() {
    let mut lab = Lab::new();
    listens(&mut lab, LISTENER, 1, 1);
    connects(&mut lab);
    let mut park = waits(&mut lab, 1);
    let body = Body::send(STRANGER).to(CONNECTOR, 1).accept().stream(0, b"x");
    let expected = [(2, Status::NoListener, 0), (3, Status::Delivered, 1)];
    assert_eq!(lab.send(body).verdicts(), expected);
    assert_eq!(lab.answer(&mut park).stream(), b"x");
}
