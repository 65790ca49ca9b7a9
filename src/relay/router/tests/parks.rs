//! What a park waits for, and what becomes of late and repeated ones.

use crate::relay::router::park_end::ParkEnd;
use crate::relay::router::testing::{Body, Lab, peer};
use crate::relay::router::{Router, RouterConfig};
use crate::wire::{Hello, HelloFlags, Message, Status, VERSION};

#[test]
fn a_park_is_answered_when_its_hold_is_over() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(1, 7, 5_000));
    lab.pass(4_999);
    assert!(lab.waits(&mut park));
    lab.pass(1);
    assert!(lab.woken(&park));
    let seen = lab.answer(&mut park);
    assert_eq!(seen.messages.len(), 2);
    let Message::Welcome(welcome) = seen.messages[0] else { panic!("{seen:?}") };
    assert_eq!((welcome.seq, welcome.address, welcome.version), (7, peer(1), VERSION));
    assert!(matches!(seen.messages[1], Message::End(end) if end.highest == 7));
    assert_eq!(seen.end(), Status::Ok);
}

#[test]
fn data_ends_a_park_at_once() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, 5_000));
    let seen = lab.send(Body::send(1).to(2, 7).stream(40, b"abc"));
    assert_eq!(seen.verdicts(), [(2, Status::Delivered, 3)]);
    let seen = lab.answer(&mut park);
    assert!(matches!(seen.messages[1], Message::From(from) if from.peer == peer(1)
        && from.channel == crate::relay::router::testing::channel(7)));
    assert_eq!((seen.data()[0].offset, seen.stream()), (40, b"abc".to_vec()));
}

#[test]
fn the_length_of_a_complete_answer_is_known() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, 5_000));
    assert_eq!(lab.router.complete_len(park.id), None);
    lab.send(Body::send(1).to(2, 7).stream(0, &[1; 10_000]));
    let len = lab.router.complete_len(park.id);
    assert_eq!(len, Some(lab.answer(&mut park).len));
}

#[test]
fn a_newer_park_supersedes() {
    let mut lab = Lab::new();
    let mut old = lab.post(Body::park(1, 1, 5_000));
    let mut new = lab.post(Body::park(1, 2, 5_000));
    let seen = lab.answer(&mut old);
    assert_eq!(seen.end(), Status::Superseded);
    assert!(matches!(seen.messages.last(), Some(Message::End(end)) if end.highest == 2));
    assert!(lab.waits(&mut new));
}

#[test]
fn the_same_number_takes_over_while_it_waits() {
    let mut lab = Lab::new();
    let mut old = lab.post(Body::park(1, 1, 5_000));
    let mut new = lab.post(Body::park(1, 1, 5_000));
    assert_eq!(lab.answer(&mut old).end(), Status::Superseded);
    lab.send(Body::send(2).to(1, 7).stream(0, b"x"));
    assert_eq!(lab.answer(&mut new).stream(), b"x");
}

#[test]
fn the_same_number_answered_is_repeated() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(1, 1, 5_000));
    lab.pass(5_000);
    lab.answer(&mut park);
    for _ in 0..3 {
        let mut late = lab.post(Body::park(1, 1, 5_000));
        assert_eq!(lab.answer(&mut late).end(), Status::Repeated);
    }
}

#[test]
fn a_lower_number_is_stale_and_changes_nothing() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(1, 9, 5_000).claim(1, "camera", 1, 1, Some(Status::Ok)));
    let mut late = lab.post(Body::park(1, 8, 5_000));
    let seen = lab.answer(&mut late);
    assert_eq!(seen.end(), Status::Stale);
    assert!(matches!(seen.messages.last(), Some(Message::End(end)) if end.highest == 9));
    assert!(lab.waits(&mut park));
    assert_eq!(lab.router.stats().names, 1);
}

#[test]
fn wake_answers_the_sessions_park() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(1, 1, 5_000));
    let mut other = lab.post(Body::park(2, 1, 5_000));
    assert_eq!(lab.send(Body::flagged(1, HelloFlags::WAKE)).end(), Status::Ok);
    assert_eq!(lab.answer(&mut park).end(), Status::Ok);
    assert!(lab.waits(&mut other));
}

#[test]
fn wake_before_the_park_that_it_means_is_not_lost() {
    let mut lab = Lab::new();
    let wake = Hello { seq: 9, ..Body::greeting(1) };
    lab.send(Body::hello(Hello { flags: HelloFlags::WAKE, ..wake }));
    let mut park = lab.post(Body::park(1, 8, 5_000));
    assert_eq!(lab.answer(&mut park).end(), Status::Ok);
    let mut park = lab.post(Body::park(1, 10, 5_000));
    assert!(lab.waits(&mut park));
    lab.send(Body::hello(Hello { flags: HelloFlags::WAKE, seq: 11, ..wake }));
    lab.answer(&mut park);
    let mut park = lab.post(Body::park(1, 12, 5_000));
    assert!(lab.waits(&mut park));
}

#[test]
fn bye_forgets_the_session() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(1, 1, 5_000).claim(1, "camera", 1, 1, Some(Status::Ok)));
    assert_eq!(lab.router.stats().names, 1);
    assert_eq!(lab.send(Body::flagged(1, HelloFlags::BYE)).end(), Status::Ok);
    assert_eq!(lab.answer(&mut park).end(), Status::Ok);
    assert_eq!(lab.router.stats().names, 0);
    let seen = lab.send(Body::send(2).to(1, 7).stream(0, b"x"));
    assert_eq!(seen.verdicts(), [(2, Status::Away, 0)]);
    // A repeat of the last park does not bring its names back.
    let mut late = lab.post(Body::park(1, 1, 5_000).claim(1, "camera", 1, 1, None));
    assert_eq!(lab.answer(&mut late).end(), Status::Repeated);
    assert_eq!(lab.router.stats().names, 0);
}

#[test]
fn shutdown_answers_everything() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(1, 1, 5_000));
    let mut half = lab.open(Body::send(2).to(1, 7).stream(0, b"x"));
    lab.give(&mut half, 80);
    let mut fresh = lab.open(Body::park(3, 1, 5_000));
    lab.router.shutdown(lab.now);
    assert_eq!(lab.answer(&mut park).end(), Status::Shutdown);
    assert_eq!(lab.answer(&mut half).end(), Status::Shutdown);
    lab.offer(&mut fresh);
    assert_eq!(lab.answer(&mut fresh).end(), Status::Shutdown);
    assert_eq!(lab.router.stats().exchanges, 0);
}

#[test]
fn a_session_has_few_sends_at_once() {
    let mut lab = Lab::new();
    let body = Body::send(1).to(2, 7);
    let mut open: Vec<_> = (0..5).map(|_| lab.open(body.clone())).collect();
    for request in &mut open {
        lab.give(request, 50);
    }
    assert_eq!(lab.answer(&mut open[4]).end(), Status::Limited);
    for mut request in open.drain(..4) {
        lab.offer(&mut request);
        assert_eq!(lab.answer(&mut request).end(), Status::Ok);
    }
    assert_eq!(lab.send(body).end(), Status::Ok);
}

#[test]
fn a_send_ends_those_that_its_client_gave_up_before() {
    let mut lab = Lab::new();
    let body = |seq| Body::hello(Hello { seq, ..Body::greeting(1) }).to(2, 7).stream(0, b"abc");
    lab.post(Body::park(2, 1, 5_000));
    // Each network change leaves one behind, and a late one does no harm.
    let mut dark: Vec<_> = [3, 4, 5, 6, 7, 8, 2].map(|seq| lab.open(body(seq))).into();
    for request in &mut dark {
        lab.give(request, 85);
    }
    for request in &mut dark[..5] {
        assert_eq!(lab.answer(request).end(), Status::Stale);
    }
    for mut request in dark.drain(5..) {
        lab.offer(&mut request);
        assert_eq!(lab.answer(&mut request).verdicts(), [(2, Status::Delivered, 3)]);
    }
}

#[test]
fn sessions_are_bounded_and_forgotten() {
    let config = RouterConfig { max_sessions: 2, ..RouterConfig::default() };
    let (grace, forget) = (config.grace_ms, config.forget_ms);
    let mut lab = Lab::with(config);
    let mut parks = [1, 2].map(|name| lab.post(Body::park(name, 1, 1_000)));
    lab.pass(1_000);
    for park in &mut parks {
        assert_eq!(lab.answer(park).end(), Status::Ok);
    }
    assert_eq!(lab.send(Body::send(3)).end(), Status::Limited);
    lab.pass(grace + 1);
    assert_eq!(lab.send(Body::send(3)).end(), Status::Ok);
    assert_eq!(lab.router.stats().sessions, 2);
    // One that never parked goes at once: a flood of them shuts nobody out.
    assert_eq!(lab.send(Body::send(4)).end(), Status::Ok);
    assert_eq!(lab.send(Body::send(5)).end(), Status::Ok);
    assert_eq!(lab.router.stats().sessions, 2);
    lab.pass(forget);
    assert_eq!(lab.router.stats().sessions, 0);
    assert_eq!(lab.router.poll_timeout(), None);
}

#[test]
fn another_version_is_told_ours() {
    let mut lab = Lab::new();
    let hello = Hello { version: 9, seq: 5, ..Body::greeting(1) };
    let seen = lab.send(Body::hello(hello));
    assert_eq!(seen.end(), Status::Version);
    assert!(matches!(seen.messages[0], Message::Welcome(w) if w.version == VERSION && w.seq == 5));
    // Whatever a later version's HELLO looks like.
    assert_eq!(lab.send(Body::hello(hello).raw(&[0; 40])).end(), Status::Version);
    let longer = [&[1, 0, 1, 44, 9][..], &[0; 299]].concat();
    assert_eq!(lab.send(Body::empty().raw(&longer)).end(), Status::Version);
}

#[test]
fn a_fresh_router_takes_any_number() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(1, 900, 5_000));
    assert!(lab.waits(&mut park));
    lab.router = Router::new(RouterConfig::default(), lab.now);
    let mut park = lab.post(Body::park(1, 3, 5_000));
    assert!(lab.waits(&mut park));
}

const REASONS: [ParkEnd; 19] = [
    ParkEnd::Data,
    ParkEnd::Control,
    ParkEnd::Acknowledgement,
    ParkEnd::Peer,
    ParkEnd::Claim,
    ParkEnd::Wake,
    ParkEnd::Bye,
    ParkEnd::Newer,
    ParkEnd::Hold,
    ParkEnd::Shutdown,
    ParkEnd::Revoked,
    ParkEnd::HungUp,
    ParkEnd::Verdicts,
    ParkEnd::Unfit(Status::Malformed),
    ParkEnd::Behind,
    ParkEnd::Stream,
    ParkEnd::Delivered,
    ParkEnd::Silence,
    ParkEnd::Full,
];

/// The number that a reason has in the list of the protocol's page, and words of that line; `None`: it
/// is one for which an answer that has begun ends, or an answer with STREAM begins.
fn line_of(reason: ParkEnd) -> Option<(usize, &'static str)> {
    Some(match reason {
        ParkEnd::Data => (1, "data for the session, or a PROBE"),
        ParkEnd::Control => (2, "ACCEPT_REQ, CONNECT_RSP, CLOSE_REQ, CLOSE_RSP"),
        ParkEnd::Acknowledgement => (3, "SEND_RSP"),
        ParkEnd::Peer => (4, "READY, or GONE"),
        ParkEnd::Claim => (5, "a claim"),
        ParkEnd::Wake | ParkEnd::Bye => (6, "WAKE or BYE"),
        ParkEnd::Newer => (7, "a newer park"),
        ParkEnd::Hold => (8, "its hold"),
        ParkEnd::Shutdown => (9, "SHUTDOWN"),
        ParkEnd::HungUp => (10, "the client closing the connection"),
        ParkEnd::Verdicts | ParkEnd::Unfit(_) => (11, "its verdicts"),
        ParkEnd::Revoked => (12, "policy"),
        ParkEnd::Behind => (11, "octets behind the request"),
        ParkEnd::Stream | ParkEnd::Delivered | ParkEnd::Silence | ParkEnd::Full => return None,
    })
}

#[test]
fn park_end_has_the_reasons_of_the_protocols_page() {
    let page = include_str!("../../../wire/README.md");
    let list = page.split_once("**What ends a park.**").expect("the list's title").1;
    let list = list.split("\n\n").nth(1).expect("the list");
    let lines: Vec<_> = list.lines().collect();
    for (place, line) in lines.iter().enumerate() {
        let number = place + 1;
        assert!(line.starts_with(&format!("{number}. ")), "{line}");
        let has_reason = |reason: &ParkEnd| line_of(*reason).is_some_and(|(n, _)| n == number);
        assert!(REASONS.iter().any(has_reason), "no ParkEnd for: {line}");
    }
    for (number, words) in REASONS.into_iter().filter_map(line_of) {
        assert!(lines[number - 1].contains(words), "{words:?} in {:?}", lines[number - 1]);
    }
}
