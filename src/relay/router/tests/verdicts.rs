//! What becomes of a message whose peer is not there.

use crate::Kind;
use crate::relay::router::testing::{Body, Lab, peer};
use crate::relay::router::{Router, RouterConfig};
use crate::wire::{Message, Status};

fn one(status: Status) -> Vec<(u16, Status, u32)> {
    vec![(2, status, 0)]
}

/// Session `n` parked once and was answered.
fn was_here(lab: &mut Lab, n: u8) {
    let mut park = lab.post(Body::park(n, 1, 1));
    lab.pass(1);
    lab.answer(&mut park);
}

#[test]
fn a_send_without_messages_is_answered_at_once() {
    let mut lab = Lab::new();
    let seen = lab.send(Body::send(1));
    assert_eq!((seen.end(), seen.messages.len()), (Status::Ok, 2));
}

#[test]
fn session_that_never_parked_is_away() {
    let mut lab = Lab::new();
    assert_eq!(lab.send(Body::send(1).to(2, 7).stream(0, b"x")).verdicts(), one(Status::Away));
    // A send is no park.
    lab.send(Body::send(2));
    assert_eq!(lab.send(Body::send(1).to(2, 7).stream(0, b"x")).verdicts(), one(Status::Away));
}

#[test]
fn away_begins_when_the_grace_is_over() {
    let mut lab = Lab::new();
    let grace = RouterConfig::default().grace_ms;
    was_here(&mut lab, 2);
    lab.pass(grace);
    let body = Body::send(1).to(2, 7).stream(0, b"x");
    let mut send = lab.post(body.clone());
    assert!(lab.waits(&mut send));
    lab.pass(200);
    lab.offer(&mut send);
    assert_eq!(lab.answer(&mut send).verdicts(), one(Status::Busy));
    assert_eq!(lab.send(body).verdicts(), one(Status::Away));
}

#[test]
fn a_young_relay_says_retry() {
    let config = RouterConfig::default();
    let grace = config.grace_ms;
    let mut lab = Lab { router: Router::new(config, 0), now: 0, origin: Default::default() };
    let body = Body::send(1).to(2, 7).stream(0, b"x").ack(1, false).connect("camera", Kind::Stream);
    let expected = |status| vec![(2, status, 0), (3, status, 0)];
    lab.pass(grace - 1);
    let mut verdicts = lab.send(body.clone()).verdicts();
    assert_eq!(verdicts.pop(), Some((4, Status::Retry, 0)));
    assert_eq!(verdicts, expected(Status::Retry));
    lab.pass(1);
    let mut verdicts = lab.send(body).verdicts();
    assert_eq!(verdicts.pop(), Some((4, Status::NoListener, 0)));
    assert_eq!(verdicts, expected(Status::Away));
}

#[test]
fn a_message_waits_for_its_peers_next_park() {
    let mut lab = Lab::new();
    was_here(&mut lab, 2);
    let mut send = lab.post(Body::send(1).to(2, 7).stream(0, b"abc"));
    lab.pass(199);
    assert!(lab.waits(&mut send));
    let mut park = lab.post(Body::park(2, 2, 5_000));
    assert!(lab.woken(&send));
    lab.offer(&mut send);
    assert_eq!(lab.answer(&mut send).verdicts(), [(2, Status::Delivered, 3)]);
    assert_eq!(lab.answer(&mut park).stream(), b"abc");
}

#[test]
fn a_control_message_needs_no_driver_to_go_on() {
    let mut lab = Lab::new();
    was_here(&mut lab, 2);
    let mut send = lab.post(Body::send(1).to(2, 7).accept());
    assert!(lab.waits(&mut send));
    let mut park = lab.post(Body::park(2, 2, 5_000));
    assert_eq!(lab.answer(&mut send).verdicts(), [(2, Status::Delivered, 0)]);
    assert!(matches!(lab.answer(&mut park).messages[2], Message::ConnectRsp(_)));
}

#[test]
fn wait_for_a_peer_is_twice_its_last_gap() {
    for (gap, wait) in [(0, 200), (50, 200), (150, 300), (400, 800), (700, 1_000), (4_000, 1_000)] {
        let mut lab = Lab::new();
        was_here(&mut lab, 2);
        lab.pass(gap);
        let mut park = lab.post(Body::park(2, 2, 1));
        lab.pass(1);
        lab.answer(&mut park);
        let mut send = lab.post(Body::send(1).to(2, 7).stream(0, b"x"));
        lab.pass(wait - 1);
        assert!(lab.waits(&mut send), "gap {gap}");
        lab.pass(1);
        assert!(lab.woken(&send));
        lab.offer(&mut send);
        assert_eq!(lab.answer(&mut send).verdicts(), one(Status::Busy), "gap {gap}");
    }
}

#[test]
fn messages_behind_busy_for_the_same_peer_are_dropped() {
    let mut lab = Lab::new();
    was_here(&mut lab, 2);
    let mut other = lab.post(Body::park(3, 1, 5_000));
    let body = Body::send(1).to(2, 7).stream(0, &[1; 9_000]).stream(9_000, &[2; 9_000]);
    let body = body.accept().ack(5, false).to(3, 7).stream(0, b"y").to(2, 8).datagram(0, b"z");
    let mut send = lab.post(body);
    lab.pass(200);
    assert!(lab.offer(&mut send));
    let (busy, delivered) = (Status::Busy, Status::Delivered);
    let expected = [
        (2, busy, 0),
        (3, busy, 0),
        (4, busy, 0),
        // Kept for the next park, so it need not be said again.
        (5, delivered, 0),
        (7, delivered, 1),
        (9, busy, 0),
    ];
    assert_eq!(lab.answer(&mut send).verdicts(), expected);
    assert_eq!(lab.answer(&mut other).stream(), b"y");
    assert_eq!(lab.router.stats().held, 0);
}

#[test]
fn a_send_does_not_wait_for_many_peers_in_turn() {
    let mut lab = Lab::new();
    let mut body = Body::send(1);
    for n in 10..30 {
        was_here(&mut lab, n);
        body = body.to(n, 7).accept();
    }
    let mut send = lab.post(body);
    for _ in 0..RouterConfig::default().patience_ms / 200 {
        assert!(!lab.offer(&mut send));
        lab.pass(200);
    }
    assert!(lab.offer(&mut send));
    let verdicts = lab.answer(&mut send).verdicts();
    assert_eq!(verdicts.len(), 20);
    assert!(verdicts.iter().all(|(_, status, _)| *status == Status::Busy));
}

#[test]
fn a_probes_verdict_is_immediate() {
    let mut lab = Lab::new();
    was_here(&mut lab, 2);
    assert_eq!(lab.send(Body::send(1).to(2, 7).probe(9)).verdicts(), one(Status::Busy));
    let mut park = lab.post(Body::park(2, 2, 5_000));
    let seen = lab.send(Body::send(1).to(2, 7).probe(9));
    assert_eq!(seen.verdicts(), one(Status::Delivered));
    let seen = lab.answer(&mut park);
    assert_eq!((seen.data()[0].offset, seen.data()[0].len), (9, 0));
}

#[test]
fn control_in_a_park_gets_an_immediate_verdict() {
    let mut lab = Lab::new();
    was_here(&mut lab, 2);
    let mut park = lab.post(Body::park(1, 1, 5_000).to(2, 7).accept().probe(0));
    // Which does not end the park: the session is told with what comes next.
    assert!(lab.waits(&mut park));
    lab.send(Body::send(3).to(1, 7).stream(0, b"x"));
    let verdicts = lab.answer(&mut park).verdicts();
    assert_eq!(verdicts, [(2, Status::Busy, 0), (3, Status::Busy, 0)]);
}

#[test]
fn ready_is_told_once_when_the_peer_parks() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(1, 1, 5_000));
    lab.send(Body::send(1).to(2, 7).stream(0, b"x").to(3, 7).stream(0, b"y"));
    let mut peers = lab.post(Body::park(2, 1, 5_000));
    let seen = lab.answer(&mut park);
    assert_eq!((seen.ready(), seen.end()), (vec![peer(2)], Status::Ok));
    // Between two parks it is kept, and goes with the next answer to a send as well.
    lab.post(Body::park(3, 1, 5_000));
    assert_eq!(lab.send(Body::send(1)).ready(), [peer(3)]);
    assert!(lab.send(Body::send(1)).ready().is_empty());
    lab.pass(5_000);
    lab.answer(&mut peers);
    let mut park = lab.post(Body::park(1, 2, 5_000));
    lab.post(Body::park(2, 2, 5_000));
    assert!(lab.waits(&mut park));
}

#[test]
fn wishes_are_bounded_and_the_oldest_goes() {
    let mut lab = Lab::new();
    for n in 10..40 {
        lab.send(Body::send(1).to(n, 7).probe(0));
    }
    for n in 10..40 {
        lab.post(Body::park(n, 1, 5_000));
    }
    let mut expected: Vec<_> = (24..40).map(peer).collect();
    expected.sort();
    assert_eq!(lab.send(Body::send(1)).ready(), expected);
}

#[test]
fn connect_reaches_the_listener() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, 5_000).claim(1, "camera", 1, 1, Some(Status::Ok)));
    let verdict = |seen: crate::relay::router::testing::Seen| seen.verdicts()[0].1;
    assert_eq!(verdict(lab.send(Body::send(1).connect("door", Kind::Stream))), Status::NoListener);
    assert_eq!(
        verdict(lab.send(Body::send(1).connect("camera", Kind::Datagram))),
        Status::WrongKind
    );
    let seen = lab.send(Body::send(1).connect("camera", Kind::Stream));
    assert_eq!(verdict(seen), Status::Delivered);
    let seen = lab.answer(&mut park);
    assert!(matches!(seen.messages[1], Message::From(from) if from.peer == peer(1)
        && from.channel == crate::wire::ChannelRef::NONE));
    assert!(matches!(seen.messages[2], Message::AcceptReq(_)));
    lab.pass(RouterConfig::default().grace_ms + 1);
    let seen = lab.send(Body::send(1).connect("camera", Kind::Stream));
    assert_eq!(verdict(seen), Status::Away);
}

#[test]
fn a_session_can_reach_itself() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(1, 1, 5_000));
    let seen = lab.send(Body::send(1).to(1, 7).stream(0, b"x"));
    assert_eq!(seen.verdicts(), [(2, Status::Delivered, 1)]);
    assert_eq!(lab.answer(&mut park).stream(), b"x");
}
