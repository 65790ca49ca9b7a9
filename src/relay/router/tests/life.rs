//! Whether sessions go on, and what their peers are told.

use crate::relay::router::testing::{Body, Lab, Request, Seen, peer};
use crate::wire::{HelloFlags, Message, Status};

/// How long a session that lost its name may take for its next park, in ms.
const DOUBT: u64 = 1_500;

/// Which sessions a response says are over.
fn gone(seen: &Seen) -> Vec<crate::wire::Address> {
    let gone = seen.messages.iter().filter_map(|message| match message {
        Message::Gone(address) => Some(*address),
        _ => None,
    });
    gone.collect()
}

/// Session `n` parks with a claim of `camera` by the owner 7.
fn claim(lab: &mut Lab, n: u8, seq: u64, epoch: u64, heard: Option<Status>) -> Request {
    lab.post(Body::park(n, seq, 5_000).claim(u32::from(n), "camera", 7, epoch, heard))
}

/// Sessions 1, which holds a name, and 2, its peer, both parked.
fn acquainted(lab: &mut Lab) -> [Request; 2] {
    lab.post(Body::park(2, 1, 25_000));
    lab.post(Body::park(1, 1, 25_000));
    assert_eq!(lab.send(Body::send(2).to(1, 3).ack(1, true)).verdicts()[0].1, Status::Delivered);
    [claim(lab, 1, 2, 10, Some(Status::Ok)), lab.post(Body::park(2, 2, 25_000))]
}

#[test]
fn peers_are_told_at_bye() {
    let mut lab = Lab::new();
    let [_, mut park] = acquainted(&mut lab);
    assert!(lab.waits(&mut park));
    lab.send(Body::flagged(1, HelloFlags::BYE));
    assert_eq!(gone(&lab.answer(&mut park)), [peer(1)]);
}

#[test]
fn strangers_are_not_told() {
    let mut lab = Lab::new();
    acquainted(&mut lab);
    let mut stranger = lab.post(Body::park(3, 1, 25_000));
    lab.send(Body::flagged(1, HelloFlags::BYE));
    assert!(lab.waits(&mut stranger));
}

#[test]
fn messages_to_a_session_that_is_over_are_answered_gone_each_time() {
    let mut lab = Lab::new();
    let [_, park] = acquainted(&mut lab);
    lab.drop(park);
    lab.send(Body::flagged(1, HelloFlags::BYE));
    for seq in 3..6 {
        let seen = lab.send(Body::send(2).to(1, 3).probe(5).ack(1, true));
        let mut park = lab.post(Body::park(2, seq, 25_000));
        assert_eq!(gone(&lab.answer(&mut park)), [peer(1)]);
        assert!(seen.verdicts().iter().all(|verdict| verdict.1 == Status::Away));
    }
}

#[test]
fn the_last_acknowledgements_stand_before_gone() {
    let mut lab = Lab::new();
    let [_, mut park] = acquainted(&mut lab);
    // Not at once: it waits for company.
    lab.send(Body::flagged(1, HelloFlags::BYE).to(2, 1).ack(77, false));
    let seen = lab.answer(&mut park);
    assert_eq!((seen.acks(), gone(&seen)), (vec![77], vec![peer(1)]));
    let at = |is: fn(&Message<'_>) -> bool| seen.messages.iter().position(is);
    assert!(at(|m| matches!(m, Message::SendRsp(_))) < at(|m| matches!(m, Message::Gone(_))));
}

#[test]
fn a_session_that_does_not_park_after_a_newer_process_claims_is_over() {
    let mut lab = Lab::new();
    let [mut old, mut park] = acquainted(&mut lab);
    let newer = claim(&mut lab, 3, 1, 11, None);
    assert_eq!(lab.answer(&mut old).listens()[0].1, Status::Taken, "it is told, if it is there");
    lab.pass(DOUBT - 1);
    assert!(lab.waits(&mut park));
    lab.pass(1);
    assert_eq!(gone(&lab.answer(&mut park)), [peer(1)]);
    assert_eq!(lab.router.stats().lost, 1);
    drop(newer);
}

#[test]
fn a_session_whose_connection_died_is_over_as_soon() {
    let mut lab = Lab::new();
    let [old, mut park] = acquainted(&mut lab);
    lab.drop(old);
    claim(&mut lab, 3, 1, 11, None);
    lab.pass(DOUBT);
    assert_eq!(gone(&lab.answer(&mut park)), [peer(1)]);
}

#[test]
fn a_session_that_parks_again_goes_on_without_its_name() {
    let mut lab = Lab::new();
    let [_, mut park] = acquainted(&mut lab);
    claim(&mut lab, 3, 1, 11, None);
    lab.pass(DOUBT / 2);
    lab.post(Body::park(1, 3, 25_000));
    lab.pass(2 * DOUBT);
    assert!(lab.waits(&mut park));
    assert_eq!(lab.router.stats().lost, 0);
    let seen = lab.send(Body::send(2).to(1, 3).probe(5));
    assert_eq!(seen.verdicts()[0].1, Status::Delivered);
}

#[test]
fn a_session_absent_beyond_the_grace_is_over_when_its_owner_claims_anew() {
    let mut lab = Lab::new();
    let [old, mut park] = acquainted(&mut lab);
    lab.drop(old);
    lab.pass(6_000);
    assert!(lab.waits(&mut park));
    claim(&mut lab, 3, 1, 11, None);
    assert_eq!(gone(&lab.answer(&mut park)), [peer(1)]);
}

#[test]
fn a_session_is_succeeded_by_the_owner_of_a_name_that_it_gave_back() {
    let mut lab = Lab::new();
    let [_, mut park] = acquainted(&mut lab);
    let old = lab.post(Body::park(1, 3, 25_000));
    lab.drop(old);
    claim(&mut lab, 3, 1, 11, None);
    lab.pass(DOUBT);
    assert_eq!(gone(&lab.answer(&mut park)), [peer(1)]);
}

#[test]
fn names_given_back_are_remembered_as_far_as_there_may_be_claims() {
    let config = crate::relay::router::RouterConfig { claims: 2, ..Default::default() };
    let mut lab = Lab::with(config);
    for n in 0..20 {
        lab.post(Body::park(1, n, 25_000).claim(n as u32 + 1, &format!("name{n}"), 7, 10, None));
    }
    let last = lab.post(Body::park(1, 31, 25_000));
    lab.drop(last);
    lab.pass(10);
    lab.post(Body::park(2, 1, 25_000).claim(1, "name0", 7, 11, None));
    lab.pass(DOUBT);
    assert_eq!(lab.router.stats().lost, 0, "long forgotten");
    lab.post(Body::park(3, 1, 25_000).claim(1, "name19", 7, 11, None));
    lab.pass(DOUBT);
    assert_eq!(lab.router.stats().lost, 1);
}

#[test]
fn another_owner_that_gets_the_name_ends_no_session() {
    let mut lab = Lab::new();
    let [old, mut park] = acquainted(&mut lab);
    lab.drop(old);
    lab.pass(6_000);
    lab.post(Body::park(3, 1, 5_000).claim(3, "camera", 8, 11, None));
    lab.pass(2 * DOUBT);
    assert!(lab.waits(&mut park), "it may only be in the dark");
}

#[test]
fn a_session_that_was_over_and_parks_is_there_again() {
    let mut lab = Lab::new();
    let [old, _] = acquainted(&mut lab);
    lab.drop(old);
    claim(&mut lab, 3, 1, 11, None);
    lab.pass(DOUBT);
    lab.post(Body::park(1, 9, 25_000));
    let seen = lab.send(Body::send(2).to(1, 3).probe(5));
    assert_eq!((seen.verdicts()[0].1, gone(&seen)), (Status::Delivered, vec![]));
}

#[test]
fn the_number_of_peers_that_are_told_is_bounded() {
    let config = crate::relay::router::RouterConfig { peers: 3, ..Default::default() };
    let mut lab = Lab::with(config);
    lab.post(Body::park(1, 1, 25_000));
    let mut parks = Vec::new();
    for n in 10..20 {
        lab.send(Body::send(n).to(1, 3).ack(1, true));
        parks.push(lab.post(Body::park(n, 1, 25_000)));
        lab.post(Body::park(1, u64::from(n), 25_000));
    }
    lab.send(Body::flagged(1, HelloFlags::BYE));
    let told = parks.iter_mut().filter_map(|park| lab.response(park)).count();
    assert_eq!(told, 3);
}

#[test]
fn gone_does_not_overtake_data() {
    let mut lab = Lab::new();
    let park1 = lab.post(Body::park(1, 1, 25_000));
    let mut stream2 = lab.post(Body::streamed(2, 1, 1 << 20));
    lab.so_far(&mut stream2);
    // 1 says something, which 2's connection has not taken yet.
    let bytes = vec![7; 60_000];
    let mut send = lab.post(Body::send(1).to(2, 3).ack(1, true).stream(0, &bytes));
    let filler = vec![7; 60_000];
    let more = lab.post(Body::send(1).to(2, 3).stream(60_000, &filler));
    let _ = lab.response(&mut send);
    lab.drop(more);
    drop(park1);
    lab.send(Body::flagged(1, HelloFlags::BYE));
    // 2 acknowledges what it has read so far, by a send.
    let seen = lab.send(Body::send(2).to(9, 3).ack(5, true));
    assert_eq!(gone(&seen), [], "it stands behind data that are still to be read");
}

#[test]
fn old_gone_does_not_end_channels_made_after_the_return() {
    let mut lab = Lab::new();
    let [old, mut park] = acquainted(&mut lab);
    lab.drop(old);
    claim(&mut lab, 3, 1, 11, None);
    lab.pass(DOUBT - 10);
    // An upload of somebody else keeps 2's answer open.
    let mut feeding = lab.open(Body::send(4).to(2, 9).stream(0, &[1; 50_000]));
    lab.give(&mut feeding, 10_000);
    lab.pass(20);
    assert_eq!(lab.router.stats().lost, 1);
    // 1 was only slow: it parks again, and speaks to 2 anew.
    let _back = lab.post(Body::park(1, 9, 25_000));
    let seen = lab.send(Body::send(1).to(2, 5).accept());
    assert_eq!(seen.verdicts()[0].1, Status::Delivered);
    lab.offer(&mut feeding);
    let _ = lab.response(&mut park);
    let mut next = lab.post(Body::park(2, 3, 25_000));
    let seen = lab.response(&mut next);
    assert!(seen.is_none_or(|seen| gone(&seen).is_empty()), "1 is there, and has a new channel");
}
