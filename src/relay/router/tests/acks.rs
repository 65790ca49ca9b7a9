//! RECEIVE_REQ: kept, the newest of each route, until a response of its session.

use crate::relay::router::testing::{Body, Lab, channel, peer};
use crate::wire::{Message, Route, Status, Window};

#[test]
fn acknowledgement_alone_ends_a_park_after_ack_delay() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, 5_000));
    let seen = lab.send(Body::send(1).to(2, 7).ack(5, false));
    assert_eq!(seen.verdicts(), [(2, Status::Delivered, 0)]);
    lab.pass(99);
    assert!(lab.waits(&mut park));
    lab.pass(1);
    let seen = lab.answer(&mut park);
    let from = Route { peer: peer(1), channel: channel(7) };
    assert_eq!(seen.messages[1], Message::From(from));
    assert_eq!(seen.acks(), [5]);
}

#[test]
fn acknowledgement_with_now_ends_a_park_at_once() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, 5_000));
    lab.send(Body::send(1).to(2, 7).ack(5, false).to(2, 8).ack(6, true));
    assert_eq!(lab.answer(&mut park).acks(), [5, 6]);
}

#[test]
fn acknowledgement_goes_along_with_other_control() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, 5_000));
    lab.send(Body::send(1).to(2, 7).ack(5, false));
    lab.send(Body::send(3).to(2, 7).stream(0, b"x"));
    let seen = lab.answer(&mut park);
    assert_eq!((seen.acks(), seen.stream()), (vec![5], b"x".to_vec()));
    assert!(seen.messages.iter().position(|m| matches!(m, Message::SendRsp(_))).unwrap() < 3);
    // And the answer to a send of the session.
    let mut park = lab.post(Body::park(2, 2, 5_000));
    lab.send(Body::send(1).to(2, 7).ack(6, false));
    assert_eq!(lab.send(Body::send(2)).acks(), [6]);
    lab.pass(4_000);
    assert!(lab.waits(&mut park));
}

#[test]
fn newest_acknowledgement_of_a_route_is_kept_and_never_goes_back() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, 1));
    lab.pass(1);
    lab.answer(&mut park);
    for ack in [5, 9, 7] {
        lab.send(Body::send(1).to(2, 7).ack(ack, false));
    }
    let overflow = Window { overflow: 4, losses: 2, ..Window::default() };
    lab.send(Body::send(1).to(2, 7).message(&Message::ReceiveReq(overflow)));
    lab.send(Body::send(3).to(2, 7).ack(1, false));
    let mut park = lab.post(Body::park(2, 2, 5_000));
    lab.pass(100);
    let seen = lab.answer(&mut park);
    assert_eq!(seen.acks(), [9, 1]);
    let windows = seen.messages.iter().find_map(|m| match m {
        Message::SendRsp(window) => Some((window.overflow, window.losses)),
        _ => None,
    });
    assert_eq!(windows, Some((4, 2)));
}

#[test]
fn acknowledgement_kept_between_parks_ends_the_next_park_when_due() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, 1));
    lab.pass(1);
    lab.answer(&mut park);
    lab.send(Body::send(1).to(2, 7).ack(5, false));
    lab.pass(60);
    let mut park = lab.post(Body::park(2, 2, 5_000));
    lab.pass(39);
    assert!(lab.waits(&mut park));
    lab.pass(1);
    assert_eq!(lab.answer(&mut park).acks(), [5]);
    lab.send(Body::send(1).to(2, 7).ack(6, true));
    let mut park = lab.post(Body::park(2, 3, 5_000));
    assert_eq!(lab.answer(&mut park).acks(), [6]);
}

#[test]
fn kept_acknowledgements_are_bounded_and_the_oldest_goes() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, 5_000));
    let mut body = Body::send(1);
    for id in 1..=300 {
        body = body.to(2, id).ack(u64::from(id), false);
    }
    lab.send(body);
    lab.pass(100);
    assert_eq!(lab.answer(&mut park).acks(), (45..=300).collect::<Vec<_>>());
    assert_eq!(lab.router.stats().acks_dropped, 44);
}

#[test]
fn acknowledgements_beyond_max_response_go_with_the_next_response() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::small(2, 1, 512));
    let mut body = Body::send(1);
    for id in 1..=20 {
        body = body.to(2, id).ack(u64::from(id), false);
    }
    lab.send(body);
    lab.pass(100);
    let mut acks = Vec::new();
    for seq in 2.. {
        let seen = lab.answer(&mut park);
        assert!(seen.len <= 512);
        acks.extend(seen.acks());
        if acks.len() == 20 {
            break;
        }
        park = lab.post(Body::small(2, seq, 512));
    }
    assert_eq!(acks, (1..=20).collect::<Vec<_>>());
}

#[test]
fn receive_req_in_a_park_does_not_end_that_park() {
    let mut lab = Lab::new();
    let mut one = lab.post(Body::park(1, 1, 5_000).to(2, 7).ack(1, true));
    let mut two = lab.post(Body::park(2, 1, 5_000).to(1, 7).ack(2, false));
    assert!(lab.waits(&mut two));
    lab.pass(100);
    assert_eq!(lab.answer(&mut one).acks(), [2]);
    assert!(lab.waits(&mut two));
}

#[test]
fn acknowledgement_joins_a_response_that_is_being_written() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, 5_000));
    let mut send = lab.open(Body::send(1).to(2, 7).stream(0, &[1; 1_000]));
    lab.give(&mut send, 500);
    lab.send(Body::send(3).to(2, 9).ack(4, false));
    lab.offer(&mut send);
    let seen = lab.answer(&mut park);
    assert_eq!((seen.acks(), seen.stream().len()), (vec![4], 1_000));
}
