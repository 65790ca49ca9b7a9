//! Requests that are none: an answer that says so, and nothing else.

use bytes::Bytes;
use proptest::prelude::*;

use crate::Kind;
use crate::relay::router::testing::{Body, Lab, channel};
use crate::relay::router::{Answer, Router, RouterConfig};
use crate::wire::{
    Accept, ChannelKind, ChannelRef, Close, Closed, DataFlags, End, Hello, HelloFlags, ListenReq,
    ListenRsp, Message, Name, Route, Status, Verdict, Window,
};

#[test]
fn without_hello_there_is_no_answer() {
    for body in [
        Body::empty(),
        Body::empty().raw(b"<html>"),
        Body::empty().raw(&[0; 100]),
        Body::empty().to(2, 7),
        Body::empty().raw(&Body::send(1).done()[..20]),
        Body::empty().raw(&[1, 0xff, 0xff, 0xff, 1]),
    ] {
        let mut lab = Lab::new();
        let mut request = lab.post(body);
        assert_eq!(lab.router.complete_len(request.id), Some(0));
        assert!(lab.unanswered(&mut request));
        assert_eq!(lab.router.stats().malformed, 1);
        assert_eq!(lab.router.stats().exchanges, 0);
    }
}

#[test]
fn wrong_messages_are_malformed() {
    let hello = Message::Hello(Body::greeting(1));
    let foreign = [
        hello,
        Message::From(Route::default()),
        Message::SendRsp(Window::default()),
        Message::ListenRsp(ListenRsp { claim: 1, status: Status::Ok, epoch: 0 }),
        Message::Verdict(Verdict { index: 1, status: Status::Ok, bytes: 0 }),
        Message::End(End { status: Status::Ok, highest: 0 }),
        Message::Ready(crate::wire::Address::RELAY),
        Message::Tick(crate::wire::Tick { age_ms: 0, next_ms: 0 }),
    ];
    let foreign = foreign.iter().map(|message| Body::send(1).message(message));
    let others = [
        // No ROUTE before.
        Body::send(1).stream(0, b"x"),
        Body::send(1).ack(0, false),
        Body::send(1).accept(),
        // Unknown, and lengths that lie.
        Body::send(1).raw(&[0x7f, 0, 0, 0]),
        Body::send(1).raw(&[0x04, 0, 0, 1, 0]),
        Body::send(1).raw(&[0x12, 0xff, 0xff, 0xff]),
        Body::send(1).to(2, 7).raw(&[0x20, 0, 0, 3, 0, 0, 0]),
        // Cut.
        Body::send(1).raw(&[0x04, 0]),
        Body::send(1).to(2, 7).raw(&[0x20, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        // Data in a park.
        Body::park(1, 1, 5_000).to(2, 7).stream(0, b"x"),
        Body::park(1, 1, 5_000).to(2, 7).stream(0, b""),
        Body::park(1, 1, 5_000).to(2, 7).data(0, DataFlags::FIN, b""),
        Body::park(1, 1, 5_000).to(2, 7).datagram(0, b"x"),
    ];
    for body in foreign.chain(others) {
        let mut lab = Lab::new();
        let seen = lab.send(body);
        assert_eq!(seen.end(), Status::Malformed);
        let stats = lab.router.stats();
        assert_eq!((stats.held, stats.exchanges, stats.parked), (0, 0, 0));
    }
}

/// That the request is answered MALFORMED, and leaves nothing behind.
fn is_malformed(body: Body, why: &str) {
    let mut lab = Lab::new();
    let mut listener = lab.post(Body::park(2, 1, 5_000).claim(1, "camera", 1, 1, Some(Status::Ok)));
    let mut request = lab.post(body);
    let seen = lab.answer(&mut request);
    assert_eq!(seen.end(), Status::Malformed, "{why}");
    assert!(lab.waits(&mut listener), "{why}");
    assert_eq!((lab.router.stats().held, lab.router.stats().names), (0, 1), "{why}");
}

#[test]
fn probe_has_neither_fin_nor_datagram() {
    for other in [DataFlags::FIN, DataFlags::DATAGRAM, DataFlags::FIN.with(DataFlags::DATAGRAM)] {
        let flags = DataFlags::PROBE.with(other);
        let why = format!("{flags:?}");
        is_malformed(Body::send(1).to(2, 7).data(0, flags, b""), &why);
        is_malformed(Body::park(1, 1, 5_000).to(2, 7).data(0, flags, b""), &why);
        is_malformed(Body::single(1, 1).to(2, 7).data(0, flags, b""), &why);
    }
    is_malformed(
        Body::send(1).to(2, 7).data(0, DataFlags::DATAGRAM.with(DataFlags::FIN), b""),
        "a datagram has no FIN",
    );
}

#[test]
fn claims_have_an_id_a_backlog_and_a_status_of_listen_rsp() {
    let claim = ListenReq {
        claim: 1,
        kind: ChannelKind::plain(Kind::Stream),
        port: 1,
        owner: [1; 16],
        epoch: 1,
        backlog: 1,
        heard: None,
        name: Name::from_bytes(b"door").unwrap(),
    };
    let heard = |status: &Status| ListenReq { heard: Some(*status), ..claim };
    let listens = [
        Status::Ok,
        Status::InUse,
        Status::Taken,
        Status::Prove,
        Status::Unproved,
        Status::Limited,
        Status::Forbidden,
        Status::Retry,
    ];
    let others = Status::ALL.iter().filter(|status| !listens.contains(status)).map(heard);
    let wrong = [ListenReq { backlog: 0, ..claim }, ListenReq { claim: 0, ..claim }];
    for claim in wrong.into_iter().chain(others) {
        let why = format!("{claim:?}");
        is_malformed(Body::park(1, 1, 5_000).message(&Message::ListenReq(claim)), &why);
        is_malformed(Body::single(1, 1).message(&Message::ListenReq(claim)), &why);
    }
    for claim in listens.iter().map(heard) {
        let mut lab = Lab::new();
        let mut park = lab.post(Body::park(1, 1, 1).message(&Message::ListenReq(claim)));
        lab.pass(1);
        assert_eq!(lab.answer(&mut park).end(), Status::Ok, "{claim:?}");
    }
}

#[test]
fn ends_of_channels_are_named() {
    is_malformed(Body::send(1).connect_from(0, "camera", Kind::Stream), "CONNECT_REQ");
    let accept = |status, id| {
        let channel = ChannelRef { id, token: 5 };
        Message::AcceptRsp(Accept { status, channel, limit: 1, linger_ms: 1, greeting: b"" })
    };
    let of = |message: &Message<'_>| Body::send(1).to(2, 7).message(message);
    is_malformed(of(&accept(Status::Ok, 0)), "ACCEPT_RSP names its end");
    is_malformed(of(&accept(Status::BacklogFull, 1)), "a refusal has none");
}

#[test]
fn clients_say_statuses_only_where_they_belong() {
    let accept = |status, id| {
        let channel = ChannelRef { id, token: 0 };
        Message::AcceptRsp(Accept { status, channel, limit: 0, linger_ms: 0, greeting: b"" })
    };
    for &status in Status::ALL {
        let end = channel(9);
        let accepts = [
            Status::Ok,
            Status::NoListener,
            Status::BacklogFull,
            Status::WrongKind,
            Status::WrongSecurity,
            Status::Handshake,
        ];
        let closes = [
            Status::Closed,
            Status::Aborted,
            Status::Linger,
            Status::Protocol,
            Status::Handshake,
            Status::WrongKey,
            Status::Tampered,
        ];
        let closed = [Status::Closed, Status::Unknown];
        for (message, fits) in [
            (accept(status, u32::from(status == Status::Ok)), accepts.contains(&status)),
            (Message::CloseReq(Close { status, offset: 0 }), closes.contains(&status)),
            (Message::CloseRsp(Closed { status, channel: end }), closed.contains(&status)),
        ] {
            let mut lab = Lab::new();
            let seen = lab.send(Body::send(1).to(2, 7).message(&message));
            let expected = if fits { Status::Ok } else { Status::Malformed };
            assert_eq!(seen.end(), expected, "{message:?}");
        }
    }
}

#[test]
fn flags_of_hello_fit_sends_and_parks() {
    use HelloFlags as F;
    let (wake, bye, stream, single) = (F::WAKE, F::BYE, F::STREAM, F::SINGLE);
    for (flags, hold_ms, fits) in [
        (wake, 0, true),
        (bye.with(wake), 0, true),
        (stream, 0, false),
        (stream.with(wake), 0, false),
        // With hold 0 it means nothing.
        (single.with(bye), 0, true),
        (wake, 100, false),
        (bye, 100, false),
        (stream.with(bye), 100, false),
        (stream, 100, true),
        (single.with(wake), 100, true),
        (single.with(bye), 100, true),
    ] {
        let mut lab = Lab::new();
        let hello = Hello { flags, hold_ms, seq: 1, ..Body::greeting(1) };
        let mut request = lab.post(Body::hello(hello));
        lab.pass(200);
        let expected = if fits { Status::Ok } else { Status::Malformed };
        assert_eq!(lab.answer(&mut request).end(), expected, "{flags:?}, hold {hold_ms}");
    }
    // Unknown flags are ignored.
    let mut body = Body::send(1).done();
    body[5] |= 0xf0;
    assert_eq!(Lab::new().send(Body::empty().raw(&body)).end(), Status::Ok);
}

#[test]
fn fields_of_any_value_do_no_harm() {
    let most = Hello { seq: u64::MAX, max_response: u32::MAX, ..Body::greeting(1) };
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, u32::MAX));
    let window = Window {
        ack: u64::MAX,
        limit: u64::MAX,
        losses: u32::MAX,
        overflow: u64::MAX,
        now: true,
        done: true,
        ask: true,
    };
    let body = Body::hello(most).to(2, 7).stream(u64::MAX - 2, b"x").probe(u64::MAX - 1);
    let body = body.datagram(u64::MAX - 2, b"y").message(&Message::ReceiveReq(window));
    let seen = lab.send(
        body.message(&Message::CloseReq(Close { status: Status::Aborted, offset: u64::MAX })),
    );
    assert_eq!(seen.end(), Status::Ok);
    assert!(seen.verdicts().iter().all(|(_, status, _)| *status == Status::Delivered));
    assert_eq!(lab.answer(&mut park).acks(), [u64::MAX]);
    // The highest number of a park: every other is late from then on, and nothing else.
    let mut last = lab.post(Body::hello(Hello { hold_ms: u32::MAX, ..most }));
    assert!(lab.waits(&mut last));
    let seen = lab.send(Body::park(1, u64::MAX - 1, 5_000));
    assert_eq!(seen.end(), Status::Stale);
    lab.pass(300_000);
    assert_eq!(lab.answer(&mut last).end(), Status::Ok);
}

#[test]
fn messages_before_a_malformed_one_have_verdicts() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(2, 1, 5_000));
    let body = Body::send(1).to(2, 7).stream(0, b"x").raw(&[0x7f, 0, 0, 0]);
    let seen = lab.send(body);
    assert_eq!(seen.verdicts(), [(2, Status::Delivered, 1)]);
    assert_eq!(seen.end(), Status::Malformed);
    assert_eq!(lab.answer(&mut park).stream(), b"x");
}

#[test]
fn pad_and_unknown_types_are_skipped() {
    let mut lab = Lab::new();
    let body = Body::send(1).raw(&[0x81, 0, 0, 2, 1, 2]).message(&Message::Pad(3)).raw(&[0; 3]);
    assert_eq!(lab.send(body).end(), Status::Ok);
}

#[test]
fn too_large_a_body_is_limited() {
    let config = RouterConfig { max_body: 10_000, max_messages: 100, ..RouterConfig::default() };
    let mut lab = Lab::with(config);
    lab.post(Body::park(2, 1, 5_000));
    let seen = lab.send(Body::send(1).to(2, 7).stream(0, &[0; 10_000]));
    assert_eq!(seen.end(), Status::Limited);
    let mut body = Body::send(1);
    for _ in 0..101 {
        body = body.to(2, 7);
    }
    assert_eq!(lab.send(body).end(), Status::Limited);
}

#[test]
fn an_upload_that_stalls_is_given_up() {
    let mut lab = Lab::new();
    let idle = RouterConfig::default().upload_idle_ms;
    let mut dumb = lab.open(Body::empty());
    let mut half = lab.open(Body::send(1).to(2, 7));
    lab.give(&mut half, 50);
    lab.pass(idle - 1);
    lab.give(&mut half, 1);
    lab.pass(1);
    assert!(lab.unanswered(&mut dumb));
    assert!(lab.waits(&mut half));
    lab.pass(idle);
    assert_eq!(lab.answer(&mut half).end(), Status::Malformed);
}

/// A few sessions, channels, names: so that random requests meet.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let one = |body: Body| body.done();
    let flags = (0_u8..16).prop_map(DataFlags::from_bits);
    let data = (flags, 0_usize..3_000).prop_map(move |(flags, n)| {
        let probe = flags.has(DataFlags::PROBE);
        one(Body::empty().data(0, flags, &vec![1; if probe { 0 } else { n }]))
    });
    let claim =
        (0_u32..3, 0_u8..2, 0_u64..3, any::<bool>()).prop_map(move |(id, owner, epoch, ok)| {
            let heard = ok.then_some(Status::Ok);
            one(Body::empty().claim(id, if id == 0 { "a" } else { "b" }, owner, epoch, heard))
        });
    prop_oneof![
        3 => (0_u8..4, 0_u32..3).prop_map(move |(n, id)| one(Body::empty().to(n, id))),
        3 => data,
        1 => claim,
        2 => (0_u64..9, any::<bool>()).prop_map(move |(ack, now)| one(Body::empty().ack(ack, now))),
        1 => Just(one(Body::empty().accept())),
        1 => any::<bool>().prop_map(move |a| {
            one(Body::empty().connect(if a { "a" } else { "b" }, Kind::Stream))
        }),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
        1 => Just(one(Body::empty().message(&Message::CloseRsp(crate::wire::Closed {
            status: Status::Closed, channel: ChannelRef::NONE })))),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Open(Vec<u8>),
    Feed(usize, usize),
    Take(usize),
    Gone(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let hello = (0_u8..4, 0_u64..6, 0_u32..3, 0_u8..4, 0_u32..70_000).prop_map(
        |(n, seq, hold, flags, max)| {
            let flags = crate::wire::HelloFlags::from_bits(flags * u8::from(flags < 3));
            Body::hello(Hello {
                seq,
                hold_ms: hold * 100,
                flags,
                max_response: max,
                ..Body::greeting(n)
            })
        },
    );
    let request = (hello, proptest::collection::vec(message(), 0..8))
        .prop_map(|(hello, messages)| Step::Open(hello.raw(&messages.concat()).done()));
    prop_oneof![
        4 => request,
        1 => proptest::collection::vec(any::<u8>(), 0..100).prop_map(Step::Open),
        6 => (0_usize..8, 1_usize..4_000).prop_map(|(i, n)| Step::Feed(i, n)),
        4 => (0_usize..8).prop_map(Step::Take),
        1 => (0_usize..8).prop_map(Step::Gone),
        2 => (0_u64..400).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn no_input_makes_the_router_panic_or_leak(steps in proptest::collection::vec(step(), 1..60)) {
        let config = RouterConfig { max_sessions: 3, acks: 2, wishes: 2, undrained: 4_096,
            max_held: 40_000, ..RouterConfig::default() };
        let mut lab = Lab { router: Router::new(config, 0), now: 0, origin: Default::default() };
        let mut open: Vec<(u64, Bytes, bool)> = Vec::new();
        for step in steps {
            match step {
                Step::Open(body) => {
                    open.push((lab.router.handle_open(lab.now), body.into(), false));
                }
                Step::Feed(i, n) => {
                    if let Some((id, rest, ended)) = open.get_mut(i) {
                        let mut chunk = rest.split_to(rest.len().min(n));
                        lab.router.handle_body(lab.now, *id, &mut chunk);
                        let left = [&chunk[..], &rest[..]].concat();
                        *rest = left.into();
                        if rest.is_empty() && !*ended {
                            *ended = true;
                            lab.router.handle_body_end(lab.now, *id);
                        }
                    }
                }
                Step::Take(i) => {
                    if let Some((id, ..)) = open.get(i).cloned()
                        && lab.router.poll_response(lab.now, id) == Answer::End
                    {
                        open.remove(i);
                    }
                }
                Step::Gone(i) => {
                    if i < open.len() {
                        lab.router.handle_gone(lab.now, open.remove(i).0);
                    }
                }
                Step::Pass(ms) => lab.pass(ms),
            }
            while lab.router.poll_wake().is_some() {}
        }
        for (id, ..) in open {
            lab.router.handle_gone(lab.now, id);
        }
        let stats = lab.router.stats();
        prop_assert_eq!((stats.held, stats.exchanges, stats.parked), (0, 0, 0));
        lab.pass(1_000_000);
        let stats = lab.router.stats();
        prop_assert_eq!((stats.sessions, stats.names), (0, 0));
        prop_assert_eq!(lab.router.poll_timeout(), None);
    }
}
