//! Clients of one socket, whose parks are their sends as well.

use crate::Kind;
use crate::relay::router::RouterConfig;
use crate::relay::router::testing::{Body, Lab, Request, peer};
use crate::wire::{DataFlags, Hello, HelloFlags, MAX_SINGLE_BODY, Message, Status};

/// Lets session `n` be between two parks.
fn between_parks(lab: &mut Lab, n: u8) {
    let mut park = lab.post(Body::park(n, 1, 1));
    lab.pass(1);
    assert_eq!(lab.answer(&mut park).end(), Status::Ok);
}

#[test]
fn single_without_messages_to_be_judged_waits_like_a_park() {
    let mut lab = Lab::new();
    let mut other = lab.post(Body::park(2, 1, 20_000));
    let mut park =
        lab.post(Body::single(1, 1).claim(1, "a", 1, 1, Some(Status::Ok)).to(2, 7).ack(9, true));
    assert_eq!(lab.answer(&mut other).acks(), [9]);
    assert_eq!(lab.router.stats().names, 1);
    lab.pass(4_999);
    assert!(lab.waits(&mut park));
    lab.pass(1);
    let seen = lab.answer(&mut park);
    assert_eq!((seen.verdicts(), seen.end()), (vec![(2 + 1, Status::Delivered, 0)], Status::Ok));
}

#[test]
fn single_ends_once_all_verdicts_are_known() {
    let mut lab = Lab::new();
    let mut near = lab.post(Body::park(2, 1, 5_000));
    between_parks(&mut lab, 3);
    let body =
        Body::single(1, 1).to(2, 7).stream(0, b"near").to(3, 7).stream(0, b"far").ack(1, true);
    let mut park = lab.post(body);
    assert_eq!(lab.answer(&mut near).stream(), b"near");
    assert!(lab.waits(&mut park));
    let mut far = lab.post(Body::park(3, 2, 5_000));
    assert_eq!(lab.answer(&mut far).stream(), b"far");
    assert!(lab.woken(&park));
    let delivered = |index, bytes| (index, Status::Delivered, bytes);
    assert_eq!(
        lab.answer(&mut park).verdicts(),
        [delivered(2, 4), delivered(4, 3), delivered(5, 0)]
    );
}

#[test]
fn single_may_carry_all_messages_of_a_send() {
    let mut lab = Lab::new();
    let mut listener = lab.post(Body::park(2, 1, 5_000).claim(1, "camera", 2, 1, Some(Status::Ok)));
    let body = Body::single(1, 1)
        .connect("camera", Kind::Stream)
        .connect("nobody", Kind::Stream)
        .to(2, 7)
        .accept()
        .datagram(0, b"datagram")
        .data(0, DataFlags::FIN, b"")
        .probe(3);
    let mut park = lab.post(body);
    let seen = lab.answer(&mut park);
    let statuses: Vec<_> = seen.verdicts().iter().map(|v| (v.0, v.1)).collect();
    let delivered = Status::Delivered;
    assert_eq!(
        statuses,
        [
            (1, delivered),
            (2, Status::NoListener),
            (4, delivered),
            (5, delivered),
            (6, delivered),
            (7, delivered)
        ]
    );
    assert_eq!(lab.answer(&mut listener).data().len(), 3);
}

#[test]
fn single_with_a_busy_peer_ends_after_the_wait_of_a_send_and_ready_follows() {
    let mut lab = Lab::new();
    between_parks(&mut lab, 2);
    let mut park = lab.post(Body::single(1, 1).to(2, 7).stream(0, b"x"));
    lab.pass(199);
    assert!(lab.waits(&mut park));
    lab.pass(1);
    assert_eq!(lab.answer(&mut park).verdicts(), [(2, Status::Busy, 0)]);
    let mut park = lab.post(Body::single(1, 2));
    lab.post(Body::single(2, 2));
    assert_eq!(lab.answer(&mut park).ready(), [peer(2)]);
}

#[test]
fn data_end_a_single_and_a_later_verdict_is_in_the_answer() {
    let mut lab = Lab::new();
    between_parks(&mut lab, 3);
    let mut park = lab.post(Body::single(1, 1).to(3, 7).stream(0, b"x"));
    lab.send(Body::send(2).to(1, 7).stream(0, b"first"));
    assert_eq!(lab.so_far(&mut park).stream(), b"first");
    lab.pass(50);
    lab.post(Body::park(3, 2, 5_000));
    let seen = lab.answer(&mut park);
    assert_eq!(seen.verdicts(), [(2, Status::Delivered, 1)]);
}

#[test]
fn single_that_is_being_answered_does_not_wait_long_for_its_own_messages() {
    let mut lab = Lab::new();
    between_parks(&mut lab, 3);
    let mut park = lab.post(Body::single(1, 1).to(3, 7).stream(0, b"x").ack(0, true));
    lab.send(Body::send(2).to(1, 7).stream(0, b"first"));
    lab.pass(100);
    let seen = lab.answer(&mut park);
    assert_eq!((seen.verdicts(), seen.end()), (vec![], Status::Ok));
    // Nothing of it is left to come: the peer gets neither.
    let mut late = lab.post(Body::park(3, 2, 5_000));
    assert!(lab.waits(&mut late));
    assert_eq!(lab.router.stats().held, 0);
}

/// A body under way both ways, as by two clients who begin to speak at once.
fn both_speak(lab: &mut Lab, seq: u64, n: usize) -> [Request; 2] {
    let offset = (seq - 1) * n as u64;
    let body = |from: u8, to: u8| Body::single(from, seq).to(to, 7).stream(offset, &vec![from; n]);
    [lab.post(body(1, 2)), lab.post(body(2, 1))]
}

#[test]
fn singles_that_speak_to_each_other_at_once_do_not_wait() {
    const LEN: usize = 8 * 1024;
    let mut lab = Lab::new();
    between_parks(&mut lab, 1);
    between_parks(&mut lab, 2);
    let began = lab.now;
    for seq in 2..=50 {
        for (mut request, from) in both_speak(&mut lab, seq, LEN).into_iter().zip([2, 1]) {
            let seen = lab.answer(&mut request);
            assert_eq!(seen.verdicts().len(), 1, "{seq}");
            let (_, status, bytes) = seen.verdicts()[0];
            assert_eq!((status, bytes), (Status::Delivered, LEN as u32), "{seq}");
            assert_eq!(seen.stream(), vec![from; LEN], "{seq}");
        }
    }
    // No deadline was needed.
    assert_eq!((lab.now, lab.router.stats().held), (began, 0));
}

#[test]
fn singles_whose_bodies_arrive_by_turns_do_not_wait() {
    let mut lab = Lab::new();
    between_parks(&mut lab, 1);
    between_parks(&mut lab, 2);
    let body = |from: u8, to: u8| Body::single(from, 2).to(to, 7).stream(0, &[from; 30_000]);
    let mut both = [lab.open(body(1, 2)), lab.open(body(2, 1))];
    for _ in 0..30 {
        for request in &mut both {
            lab.give(request, 1_000);
        }
    }
    assert_eq!(lab.router.stats().parked, 0, "a body is dealt with when it is whole");
    for request in &mut both {
        assert!(lab.offer(request));
    }
    for (request, from) in both.iter_mut().zip([2, 1]) {
        let seen = lab.answer(request);
        assert_eq!(seen.verdicts(), [(2, Status::Delivered, 30_000)]);
        assert_eq!(seen.stream(), vec![from; 30_000]);
    }
}

#[test]
fn octets_behind_a_single_end_it() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::single(1, 1));
    lab.router.handle_behind(lab.now, park.id);
    assert!(lab.woken(&park));
    let seen = lab.answer(&mut park);
    assert_eq!((seen.messages.len(), seen.end()), (2, Status::Ok));
    // What it says was sent before; what waits is said again.
    let mut near = lab.post(Body::park(2, 1, 5_000));
    between_parks(&mut lab, 3);
    let mut park =
        lab.post(Body::single(1, 2).to(2, 7).stream(0, b"near").to(3, 7).stream(0, b"far"));
    assert_eq!(lab.answer(&mut near).stream(), b"near");
    lab.router.handle_behind(lab.now, park.id);
    assert_eq!(lab.answer(&mut park).verdicts(), [(2, Status::Delivered, 4)]);
}

#[test]
fn octets_behind_other_requests_end_nothing() {
    let mut lab = Lab::new();
    let mut park = lab.post(Body::park(1, 1, 5_000));
    let mut streamed = lab.post(Body::streamed(2, 1, 4 << 20));
    let mut half = lab.open(Body::single(3, 1).to(1, 7));
    lab.give(&mut half, 60);
    for id in [park.id, streamed.id, half.id] {
        lab.router.handle_behind(lab.now, id);
    }
    assert!(lab.waits(&mut park));
    lab.so_far(&mut streamed);
    assert!(lab.waits(&mut half));
}

#[test]
fn single_body_beyond_max_single_body_is_malformed() {
    let mut lab = Lab::new();
    let frame = Body::single(1, 1).to(2, 7).stream(0, b"").done().len();
    let mut other = lab.post(Body::park(2, 1, 5_000));
    let full = vec![7; MAX_SINGLE_BODY - frame];
    let mut park = lab.post(Body::single(1, 1).to(2, 7).stream(0, &full));
    assert_eq!(lab.answer(&mut park).end(), Status::Ok);
    assert_eq!(lab.answer(&mut other).stream(), full);
    let more = vec![7; full.len() + 1];
    let mut park = lab.post(Body::single(1, 2).to(2, 7).stream(0, &more));
    assert_eq!(lab.answer(&mut park).end(), Status::Malformed);
    assert_eq!(lab.router.stats().held, 0);
}

#[test]
fn malformed_single_does_what_stands_before_the_fault_at_most() {
    let mut lab = Lab::new();
    let mut other = lab.post(Body::park(2, 1, 5_000));
    // Where even its messages cannot be told apart, nothing of it is done.
    let mut park = lab.post(Body::single(1, 1).to(2, 7).stream(0, b"x").raw(&[0x7f, 0, 0, 0]));
    assert_eq!(lab.answer(&mut park).end(), Status::Malformed);
    let mut park = lab.post(Body::single(1, 2).to(2, 7).raw(&[0x20, 0, 0, 20, 0]));
    assert_eq!(lab.answer(&mut park).end(), Status::Malformed);
    assert!(lab.waits(&mut other));
    // A message in the wrong place ends it there.
    let foreign = Message::Hello(Body::greeting(1));
    let mut park = lab.post(Body::single(1, 3).to(2, 7).stream(0, b"x").message(&foreign));
    let seen = lab.answer(&mut park);
    assert_eq!((seen.verdicts(), seen.end()), (vec![(2, Status::Delivered, 1)], Status::Malformed));
    assert_eq!(lab.answer(&mut other).stream(), b"x");
    let stats = lab.router.stats();
    assert_eq!((stats.held, stats.exchanges, stats.parked), (0, 0, 0));
}

#[test]
fn stale_and_repeated_singles_say_nothing() {
    let mut lab = Lab::new();
    let mut other = lab.post(Body::park(2, 1, 5_000));
    let say = |seq| Body::single(1, seq).to(2, 7).stream(0, b"x");
    lab.send(say(5));
    assert_eq!(lab.answer(&mut other).stream(), b"x");
    let mut other = lab.post(Body::park(2, 2, 5_000));
    assert_eq!(lab.send(say(5)).end(), Status::Repeated);
    assert_eq!(lab.send(say(4)).end(), Status::Stale);
    assert!(lab.waits(&mut other));
    assert_eq!(lab.router.stats().held, 0);
}

#[test]
fn newer_single_supersedes_and_its_messages_go() {
    let mut lab = Lab::new();
    between_parks(&mut lab, 2);
    let say = |seq, bytes| Body::single(1, seq).to(2, 7).stream(0, bytes);
    let mut old = lab.post(say(1, b"old"));
    let mut new = lab.post(say(2, b"new"));
    let seen = lab.answer(&mut old);
    assert_eq!((seen.verdicts(), seen.end()), (vec![], Status::Superseded));
    let mut other = lab.post(Body::park(2, 2, 5_000));
    assert_eq!(lab.answer(&mut other).stream(), b"new");
    assert_eq!(lab.answer(&mut new).verdicts(), [(2, Status::Delivered, 3)]);
}

#[test]
fn messages_of_a_single_go_with_its_connection() {
    let mut lab = Lab::new();
    between_parks(&mut lab, 2);
    let park = lab.post(Body::single(1, 1).to(2, 7).stream(0, b"x"));
    lab.drop(park);
    let half = lab.open(Body::single(1, 2).to(2, 7).stream(0, b"x"));
    let mut half = half;
    lab.give(&mut half, 80);
    lab.drop(half);
    let mut other = lab.post(Body::park(2, 2, 5_000));
    assert!(lab.waits(&mut other));
    let stats = lab.router.stats();
    assert_eq!((stats.held, stats.exchanges), (0, 1));
}

#[test]
fn bye_of_a_single_ends_the_session_behind_its_messages() {
    let mut lab = Lab::new();
    between_parks(&mut lab, 2);
    let flags = HelloFlags::SINGLE.with(HelloFlags::BYE);
    let hello = Hello { seq: 1, hold_ms: 5_000, flags, ..Body::greeting(1) };
    let mut park = lab.post(Body::hello(hello).to(2, 7).stream(0, b"last"));
    assert!(lab.waits(&mut park));
    let mut other = lab.post(Body::park(2, 2, 5_000));
    assert_eq!(lab.answer(&mut other).stream(), b"last");
    let seen = lab.answer(&mut park);
    assert_eq!((seen.verdicts().len(), seen.end()), (1, Status::Ok));
    assert_eq!(lab.send(Body::send(2).to(1, 7).stream(0, b"x")).verdicts()[0].1, Status::Away);
    // Also if that is not to be waited for.
    let mut park =
        lab.post(Body::hello(Hello { seq: 2, hold_ms: 50, ..hello }).to(2, 7).stream(0, b"x"));
    lab.pass(50);
    assert_eq!(lab.answer(&mut park).end(), Status::Ok);
    assert_eq!(lab.send(Body::send(2).to(1, 7).stream(0, b"x")).verdicts()[0].1, Status::Away);
}

#[test]
fn messages_of_a_single_do_not_go_behind_the_bye_of_a_send() {
    let mut lab = Lab::new();
    between_parks(&mut lab, 2);
    let mut send = lab.post(Body::flagged(1, HelloFlags::BYE).to(2, 7).accept());
    let mut park = lab.post(Body::single(1, 1).to(2, 8).stream(0, b"late"));
    assert!(lab.waits(&mut send) && lab.waits(&mut park));
    // The peer takes both at once, but the first ends the session.
    let mut other = lab.post(Body::park(2, 2, 5_000));
    assert_eq!(lab.answer(&mut send).verdicts(), [(2, Status::Delivered, 0)]);
    let seen = lab.answer(&mut park);
    assert_eq!((seen.verdicts(), seen.end()), (vec![], Status::Ok));
    assert_eq!(lab.answer(&mut other).data(), []);
    assert_eq!(lab.router.stats().held, 0);
}

#[test]
fn single_is_never_streamed_and_its_wake_does_not_end_itself() {
    let mut lab = Lab::new();
    let flags = HelloFlags::SINGLE.with(HelloFlags::STREAM).with(HelloFlags::WAKE);
    let mut park =
        lab.post(Body::hello(Hello { seq: 1, hold_ms: 5_000, flags, ..Body::greeting(1) }));
    lab.pass(4_000);
    assert!(lab.waits(&mut park));
    assert_eq!(lab.router.stats().streams, 0);
}

#[test]
fn single_without_a_hold_is_a_send() {
    let mut lab = Lab::new();
    let hello = Hello { flags: HelloFlags::SINGLE, ..Body::greeting(1) };
    let seen = lab.send(Body::hello(hello).to(2, 7).stream(0, &[0; MAX_SINGLE_BODY]));
    assert_eq!((seen.verdicts()[0].1, seen.end()), (Status::Away, Status::Ok));
    let claim = Body::hello(hello).claim(1, "a", 1, 1, None);
    assert_eq!(lab.send(claim).end(), Status::Malformed);
    assert_eq!(lab.router.stats().parks, 0);
}

#[test]
fn shutdown_answers_a_single() {
    let mut lab = Lab::new();
    between_parks(&mut lab, 2);
    let mut park = lab.post(Body::single(1, 1).to(2, 7).stream(0, b"x"));
    lab.router.shutdown(lab.now);
    assert_eq!(lab.answer(&mut park).end(), Status::Shutdown);
    let stats = lab.router.stats();
    assert_eq!((stats.held, stats.exchanges), (0, 0));
}

/// Opens a request and gives all of its body but the last octet.
fn half_way(lab: &mut Lab, body: Body) -> Request {
    let mut request = lab.open(body);
    let most = request.rest.len() - 1;
    lab.give(&mut request, most);
    request
}

#[test]
fn newer_single_ends_an_older_that_is_not_whole() {
    let mut lab = Lab::new();
    let say = |seq, bytes: &[u8]| Body::single(1, seq).to(2, 7).stream(0, bytes);
    let mut other = lab.post(Body::park(2, 1, 5_000));
    let mut old = half_way(&mut lab, say(1, &[7; 30_000]));
    assert!(lab.waits(&mut old));
    let mut new = half_way(&mut lab, say(2, b"new"));
    assert!(lab.woken(&old));
    assert_eq!(lab.answer(&mut old).end(), Status::Stale);
    assert_eq!(lab.router.stats().held, MAX_SINGLE_BODY);
    assert!(lab.offer(&mut new));
    assert_eq!(lab.answer(&mut other).stream(), b"new");
    assert_eq!(lab.answer(&mut new).verdicts(), [(2, Status::Delivered, 3)]);
    assert_eq!(lab.router.stats().held, 0);
}

#[test]
fn sends_and_singles_do_not_supersede_each_other() {
    let mut lab = Lab::new();
    let send = |seq| Body::hello(Hello { seq, ..Body::greeting(1) }).to(9, 7).stream(0, b"x");
    let mut first = half_way(&mut lab, send(1));
    let mut park = half_way(&mut lab, Body::single(1, 2).to(9, 7).stream(0, b"x"));
    let mut second = half_way(&mut lab, send(3));
    assert_eq!(lab.answer(&mut first).end(), Status::Stale);
    for request in [&mut park, &mut second] {
        assert!(lab.offer(request));
        assert_eq!(lab.answer(request).verdicts(), [(2, Status::Away, 0)]);
    }
}

#[test]
fn singles_that_are_not_whole_are_limited_like_sends() {
    let mut lab = Lab::new();
    let most = RouterConfig::default().sends as usize;
    let body = || Body::single(1, 5).to(9, 7).stream(0, &[7; 30_000]);
    let mut requests: Vec<_> = (0..most).map(|_| half_way(&mut lab, body())).collect();
    assert_eq!(lab.router.stats().held, most * MAX_SINGLE_BODY);
    let mut more = half_way(&mut lab, body());
    assert_eq!(lab.answer(&mut more).end(), Status::Limited);
    let mut late = half_way(&mut lab, Body::single(1, 4).to(9, 7));
    assert_eq!(lab.answer(&mut late).end(), Status::Limited);
    assert_eq!(lab.router.stats().held, most * MAX_SINGLE_BODY);
    // One that is whole makes room for another, and so does one whose connection died.
    let mut whole = requests.remove(0);
    assert!(lab.offer(&mut whole));
    assert_eq!(lab.answer(&mut whole).verdicts(), [(2, Status::Away, 0)]);
    lab.drop(requests.remove(0));
    assert_eq!(lab.router.stats().held, (most - 2) * MAX_SINGLE_BODY);
    requests.push(half_way(&mut lab, body()));
    requests.push(half_way(&mut lab, body()));
    for request in &mut requests {
        assert!(lab.waits(request));
        assert!(lab.offer(request));
        assert_eq!(lab.answer(request).end(), Status::Repeated);
    }
    assert_eq!(lab.router.stats().held, 0);
}

#[test]
fn single_that_is_never_whole_keeps_room_only_for_upload_idle() {
    let mut lab = Lab::new();
    let mut half = half_way(&mut lab, Body::single(1, 1).to(9, 7).stream(0, b"x"));
    lab.pass(RouterConfig::default().upload_idle_ms);
    assert_eq!(lab.answer(&mut half).end(), Status::Malformed);
    assert_eq!(lab.router.stats().held, 0);
}

#[test]
fn single_is_limited_without_room_for_its_whole_body() {
    // For two bodies, and the answers.
    let max_held = 2 * MAX_SINGLE_BODY + 1_024;
    let mut lab = Lab::with(RouterConfig { max_held, ..RouterConfig::default() });
    let data = vec![5; 30_000];
    let body = |n: u8, seq| Body::single(n, seq).to(9, 7).stream(0, &data);
    let mut first = half_way(&mut lab, body(1, 1));
    let second = half_way(&mut lab, body(2, 1));
    let mut third = lab.post(body(3, 1));
    let seen = lab.answer(&mut third);
    assert_eq!((seen.verdicts(), seen.end()), (vec![], Status::Limited));
    assert_eq!(lab.router.stats().held, 2 * MAX_SINGLE_BODY);
    // A newer one of the same session has the room of the older.
    let mut newer = half_way(&mut lab, body(2, 2));
    lab.drop(second);
    assert!(lab.waits(&mut newer));
    // Those that were begun are not in each other's way.
    for request in [&mut first, &mut newer] {
        assert!(lab.offer(request));
        assert_eq!(lab.answer(request).verdicts(), [(2, Status::Away, 0)]);
    }
    let mut third = lab.post(body(3, 2));
    assert_eq!(lab.answer(&mut third).verdicts(), [(2, Status::Away, 0)]);
    assert_eq!(lab.router.stats().held, 0);
}

#[test]
fn octets_held_of_a_single_do_not_keep_its_own_data_from_going() {
    let config = RouterConfig { max_held: MAX_SINGLE_BODY, ..RouterConfig::default() };
    let mut lab = Lab::with(config);
    let mut other = lab.post(Body::park(9, 1, 5_000));
    let data = vec![6; MAX_SINGLE_BODY - 200];
    let mut park = lab.post(Body::single(3, 1).to(9, 7).stream(0, &data));
    assert_eq!(lab.answer(&mut other).stream(), data);
    assert_eq!(lab.answer(&mut park).verdicts()[0].1, Status::Delivered);
    assert_eq!(lab.router.stats().held, 0);
}
