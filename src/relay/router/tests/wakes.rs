//! How often sessions are woken by those that they want nothing of.

use super::limits::{at, hello, origin, send};
use crate::Kind;
use crate::relay::router::RouterConfig;
use crate::relay::router::drive::address;
use crate::relay::router::testing::{Body, Lab};
use crate::wire::{
    ChannelKind, ChannelRef, Close, Closed, Confirm, Connect, Hello, HelloFlags, ListenReq,
    Message, Name, Route, Status,
};

/// An idle session 2 parks again as often as it is answered, for ten seconds, and answers what comes so;
/// how often it was woken.
fn wakes(lab: &mut Lab, each_ms: u64, answer: fn(Body) -> Body) -> u64 {
    let (mut seq, mut woken) = (1, 0);
    lab.origin = origin(2);
    let mut park = lab.post(Body::park(2, seq, 300_000));
    let until = lab.now + 10_000;
    let mut sends = Vec::new();
    let mut number = 0;
    while lab.now < until {
        lab.origin = origin(1);
        number += 1;
        sends.push(lab.post(send(1).to(2, 7).stream(number, b"x")));
        lab.pass(each_ms);
        if lab.response(&mut park).is_some() {
            woken += 1;
            seq += 1;
            lab.origin = origin(2);
            let source = address(&hello(1, 0, 0, HelloFlags::NONE).secret);
            let route = Route { peer: source, channel: ChannelRef { id: 1, token: 1 } };
            let mut answered = lab.post(answer(Body::send(2).message(&Message::Route(route))));
            if lab.response(&mut answered).is_none() {
                lab.drop(answered);
            }
            park = lab.post(Body::park(2, seq, 300_000));
        }
        // Their senders give up.
        if sends.len() > 3 {
            let send = sends.remove(0);
            lab.drop(send);
        }
    }
    woken
}

/// What becomes of channels that a stranger asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    ForPlain,
    ForEncrypted,
    /// And goes on with the handshake, which fails.
    AndFails,
    /// And goes on with the handshake, which does not fail.
    AndConfirms,
}

/// Session 1 asks session 2 for a channel each 10 ms, for ten seconds, and hears that it has it; how often session
/// 2, which is idle else, was woken.
fn wakes_by_connecting(asks: Asks) -> u64 {
    let encrypted = asks != Asks::ForPlain;
    let mut lab = at(2);
    let kind = ChannelKind { kind: Kind::Stream, encrypted };
    let claim = |seq, heard| {
        Body::park(2, seq, 300_000).message(&Message::ListenReq(ListenReq {
            claim: 1,
            kind,
            port: 1,
            owner: [2; 16],
            epoch: 1,
            backlog: 255,
            heard,
            name: Name::from_bytes(b"phone").unwrap(),
        }))
    };
    let mut park = lab.post(claim(1, None));
    lab.answer(&mut park);
    let (mut seq, mut woken) = (2, 0);
    let mut park = lab.post(claim(seq, Some(Status::Ok)));
    lab.origin = origin(1);
    let stranger = |seq| Body::hello(hello(1, seq, 300_000, HelloFlags::NONE));
    let mut its_park = lab.post(stranger(1));
    let mut sends = Vec::new();
    for n in 1..=1_000 {
        let channel = ChannelRef { id: n, token: u64::from(n) };
        sends.push(lab.post(send(1).message(&Message::ConnectReq(Connect {
            channel,
            kind,
            port: 1,
            limit: 1_000,
            linger_ms: 180_000,
            name: Name::from_bytes(b"phone").unwrap(),
            greeting: b"",
        }))));
        lab.pass(10);
        if lab.response(&mut park).is_some() {
            woken += 1;
            seq += 1;
            lab.origin = origin(2);
            let source = address(&hello(1, 0, 0, HelloFlags::NONE).secret);
            let route = Message::Route(Route { peer: source, channel });
            let mut accepted = Body::send(2).message(&route).accept();
            if asks == Asks::AndFails {
                accepted = ended(accepted, Status::Handshake);
            }
            let mut accepted = lab.post(accepted);
            park = lab.post(claim(seq, Some(Status::Ok)));
            lab.origin = origin(1);
            lab.pass(1);
            if lab.response(&mut accepted).is_none() {
                lab.drop(accepted);
            }
            if lab.response(&mut its_park).is_some() {
                its_park = lab.post(stranger(u64::from(n) + 1));
                if matches!(asks, Asks::AndFails | Asks::AndConfirms) {
                    let confirm = Message::Confirm(Confirm { handshake: &[1; 64] });
                    sends.push(lab.post(send(1).to(2, 7).message(&confirm)));
                }
            }
        }
        // They are given up.
        while sends.len() > 3 {
            let send = sends.remove(0);
            lab.drop(send);
        }
    }
    woken
}

#[test]
fn stranger_seldom_wakes_a_phone_that_accepts_its_encrypted_channels_by_itself() {
    let rate = RouterConfig::default().wakes.expect("there is one");
    let most = u64::from(rate.burst.get() + 12 * rate.per_second.get()) + 1;
    let woken = wakes_by_connecting(Asks::ForEncrypted);
    assert!((u64::from(rate.burst.get())..=most).contains(&woken), "{woken}");
    // Between a CONFIRM and the answer to that a wake or two are free.
    let woken = wakes_by_connecting(Asks::AndFails);
    assert!(woken <= 3 * most, "{woken}");
    assert!(wakes_by_connecting(Asks::AndConfirms) > 900);
    // Whether a plain channel is wanted shows by the acceptance alone.
    assert!(wakes_by_connecting(Asks::ForPlain) > 900);
}

#[test]
fn sessions_of_its_own_do_not_let_an_origin_wake_others_oftener() {
    const OWN: u32 = 1_200;
    let mut lab = at(1);
    for n in 0..OWN {
        let streams = hello(1_000 + n, 1, 300_000, HelloFlags::STREAM);
        lab.post(Body::hello(Hello { max_response: 1 << 20, ..streams }));
    }
    let mut woken = 0;
    for seq in 1..=200_u64 {
        lab.origin = origin(2);
        let mut park = lab.post(Body::park(2, seq, 300_000));
        lab.origin = origin(1);
        let woke = lab.post(send(1).to(2, 7).stream(seq, b"x"));
        lab.pass(10);
        woken += u64::from(lab.response(&mut park).is_some());
        lab.drop(woke);
        // Each of these is burdened, and remembered for it.
        for from in (0..OWN).step_by(400).filter(|_| seq % 20 == 0) {
            let mut body = send(1);
            for n in from..from + 400 {
                let peer = address(&hello(1_000 + n, 0, 0, HelloFlags::NONE).secret);
                let route = Route { peer, channel: ChannelRef { id: 7, token: 7 } };
                body = body.message(&Message::Route(route)).ack(seq, true);
            }
            lab.send(body);
        }
    }
    let rate = RouterConfig::default().wakes.expect("there is one");
    let most = u64::from(rate.burst.get() + 3 * rate.per_second.get()) + 1;
    assert!((1..=most).contains(&woken), "{woken}");
}

fn unknown(body: Body) -> Body {
    let channel = ChannelRef { id: 7, token: 7 };
    body.message(&Message::CloseRsp(Closed { status: Status::Unknown, channel }))
}

fn ended(body: Body, status: Status) -> Body {
    body.message(&Message::CloseReq(Close { status, offset: 0 }))
}

#[test]
fn stranger_wakes_an_idle_session_seldom() {
    let rate = RouterConfig::default().wakes.expect("there is one");
    let most = u64::from(rate.burst.get() + 10 * rate.per_second.get()) + 1;
    for answer in [|body: Body| body, unknown] {
        let woken = wakes(&mut at(1), 10, answer);
        assert!(woken <= most, "{woken}");
    }
}

#[test]
fn peer_with_a_channel_wakes_as_often_as_it_likes_until_that_is_unknown() {
    let park = |lab: &mut Lab| {
        lab.origin = origin(1);
        lab.post(Body::hello(hello(1, 1, 300_000, HelloFlags::NONE)))
    };
    let mut lab = at(1);
    park(&mut lab);
    assert!(wakes(&mut lab, 10, |body| body.ack(1, false)) > 900);
    let mut lab = at(1);
    park(&mut lab);
    let woken = wakes(&mut lab, 10, |body| unknown(body.ack(1, false)));
    assert!(woken < 100, "{woken}");
    // So it is if the channel is ended since its peer is not wanted.
    let turned_away: [fn(Body) -> Body; 3] = [
        |body| ended(body.ack(1, false), Status::Handshake),
        |body| ended(body.ack(1, false), Status::WrongKey),
        |body| ended(body.ack(1, false), Status::Aborted),
    ];
    for answer in turned_away {
        let mut lab = at(1);
        park(&mut lab);
        let woken = wakes(&mut lab, 10, answer);
        assert!(woken < 100, "{woken}");
    }
}

#[test]
fn unasked_acknowledgements_into_an_open_answer_are_bounded() {
    let mut lab = at(2);
    lab.post(Body::streamed(2, 1, 1 << 30));
    lab.origin = origin(1);
    let mut delivered = 0;
    for _ in 0..100 {
        let mut body = Body::send(1);
        for id in 0..400 {
            body = body.to(2, id + 1).ack(5, true);
        }
        let verdicts = lab.send(body).verdicts();
        delivered += verdicts.iter().filter(|(_, s, _)| *s == Status::Delivered).count();
    }
    let rate = RouterConfig::default().acks_unasked.expect("there is one");
    assert_eq!(delivered, rate.burst.get() as usize);
    assert_eq!(lab.router.stats().junk_held_back, 40_000 - delivered as u64);
}
