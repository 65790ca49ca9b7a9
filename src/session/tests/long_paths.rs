//! Where an exchange takes long, what misses it by a hair waits for the next.

use super::*;

/// A limit that no test reaches.
const FAR: u64 = 1 << 20;
/// How long an exchange takes, in ms.
const EXCHANGE_MS: u64 = 80;
/// How long acknowledgements and little data wait for company, in ms: an eighth.
const COMPANY_MS: u64 = 10;

/// A stream, of whose octets the first is sent and acknowledged, and an answer that stays open.
fn joined(ring: usize) -> (Bench, ChannelId, ChannelRef) {
    let profile = Profile { ring, ..SMALL };
    let (mut bench, id, local) = Bench::of(&profile).reach().join(Kind::Stream, FAR);
    let now = bench.now;
    // The session forgets what it measured of the path.
    bench.session().network_changed(now);
    bench.session().write(now, id, b"x").unwrap();
    let request = bench.begin(Lane::Send).expect("data");
    let (place, _) = request.data()[0];
    bench.pass(EXCHANGE_MS);
    let answer = Answer::to(&request.exchange).verdict(place, Status::Delivered, 1);
    bench.answer(Lane::Send, &answer.ok());
    bench.stream();
    hear(&mut bench, local, |answer| answer.window(acked(1)));
    (bench, id, local)
}

const fn acked(ack: u64) -> Window {
    Window { ack, limit: FAR, losses: 0, overflow: 0, now: false, done: false, ask: false }
}

/// The answer that stays open goes on.
fn hear(bench: &mut Bench, local: ChannelRef, make: impl FnOnce(Answer) -> Answer) {
    let answer = make(Answer(Vec::new()).from(PEER, local));
    bench.feed(Lane::Park, &answer.0).unwrap();
}

/// Makes a send, whose data the relay delivers; gives the length of its data.
fn deliver(bench: &mut Bench) -> Option<u32> {
    let request = bench.begin(Lane::Send)?;
    let (place, Data { len, .. }) = request.data()[0];
    bench.pass(EXCHANGE_MS);
    let answer = Answer::to(&request.exchange).verdict(place, Status::Delivered, len);
    bench.answer(Lane::Send, &answer.ok());
    Some(len)
}

#[test]
fn every_exchange_acknowledges_all_octets() {
    let (mut bench, _, local) = joined(2 << 20);
    let sixteenth = vec![1; 128 << 10];
    hear(&mut bench, local, |answer| answer.stream(0, &sixteenth[1..]));
    assert!(bench.begin(Lane::Send).is_none());
    let at = sixteenth.len() as u64 - 1;
    hear(&mut bench, local, |answer| answer.stream(at, b"x"));
    assert!(bench.begin(Lane::Send).is_none(), "an eighth is left for company");
    bench.pass(COMPANY_MS);
    assert_eq!(bench.exchange(Lane::Send, |answer| answer).windows()[0].ack, at + 1);
}

#[test]
fn ack_now_waits_for_the_last_octet_and_for_the_application_to_read() {
    for reads in [true, false] {
        let (mut bench, id, local) = joined(256);
        let answer = Answer(Vec::new()).from(PEER, local).data(0, DataFlags::ACK_NOW, &[1; 100]);
        let (first, last) = answer.0.split_at(answer.0.len() - 50);
        bench.feed(Lane::Park, first).unwrap();
        assert_eq!(bench.read(id).len(), 50);
        assert!(bench.begin(Lane::Send).is_none());
        bench.feed(Lane::Park, last).unwrap();
        assert!(bench.begin(Lane::Send).is_none());
        let limit = if reads {
            assert_eq!(bench.read(id).len(), 50);
            256 + 100
        } else {
            bench.pass(COMPANY_MS - 1);
            assert!(bench.begin(Lane::Send).is_none());
            bench.pass(1);
            256
        };
        let window = bench.exchange(Lane::Send, |answer| answer).windows()[0];
        assert_eq!((window.ack, window.limit, window.now), (100, limit, true));
    }
}

#[test]
fn window_that_was_used_up_is_told_as_a_whole() {
    let (mut bench, id, local) = joined(256);
    hear(&mut bench, local, |answer| answer.stream(0, &[1; 256]));
    let now = bench.now;
    bench.session().read(now, id, &mut [0; 128]).unwrap();
    assert!(bench.begin(Lane::Send).is_none(), "the rest is about to be read");
    bench.session().read(now, id, &mut [0; 128]).unwrap();
    let window = bench.exchange(Lane::Send, |answer| answer).windows()[0];
    assert_eq!((window.ack, window.limit, window.now), (256, 512, true));
}

#[test]
fn acknowledgement_that_an_exchange_has_is_due_no_more() {
    let (mut bench, id, local) = joined(256);
    hear(&mut bench, local, |answer| answer.stream(0, &[1; 10]));
    bench.pass(100);
    let now = bench.now;
    let exchange = bench.session().poll_exchange(now, Lane::Send).expect("an acknowledgement");
    // These octets set a time, and go along.
    hear(&mut bench, local, |answer| answer.stream(10, &[1; 10]));
    let mut body = vec![0; exchange.len + 1];
    let n = bench.session().poll_body(now, Lane::Send, &mut body);
    assert_eq!(Request::parse(exchange, &body[..n]).windows()[0].ack, 20);
    bench.pass(100);
    let over = Answer::to(&exchange).ok();
    // What comes as the lane is free again has its own time.
    hear(&mut bench, local, |answer| answer.stream(20, &[1; 10]));
    bench.answer(Lane::Send, &over);
    assert!(bench.begin(Lane::Send).is_none());
    assert_eq!(bench.read(id).len(), 30);
}

#[test]
fn little_data_wait_for_more_while_most_of_the_window_is_under_way() {
    let (mut bench, id, local) = joined(256);
    let write = |bench: &mut Bench, octets: usize| {
        let now = bench.now;
        assert_eq!(bench.session().write(now, id, &[1; 256][..octets]).unwrap(), octets);
    };
    write(&mut bench, 200);
    assert_eq!(deliver(&mut bench), Some(200));
    write(&mut bench, 40);
    assert_eq!(deliver(&mut bench), None);
    bench.pass(COMPANY_MS - 1);
    assert_eq!(deliver(&mut bench), None);
    // More comes.
    hear(&mut bench, local, |answer| answer.window(acked(201)));
    write(&mut bench, 100);
    assert_eq!(deliver(&mut bench), Some(140));
    // No more does.
    write(&mut bench, 40);
    assert_eq!(deliver(&mut bench), None);
    bench.pass(COMPANY_MS - 1);
    let at = bench.now + 1;
    assert_eq!(bench.session().poll_timeout(Lane::Send), Some(at));
    bench.pass(1);
    assert_eq!(deliver(&mut bench), Some(40));
    // This is the end.
    write(&mut bench, 20);
    let now = bench.now;
    bench.session().shutdown(now, id, crate::session::Half::Write).unwrap();
    assert_eq!(deliver(&mut bench), Some(20));
}

#[test]
fn little_data_go_at_once_where_little_is_under_way() {
    let (mut bench, id, _) = joined(256);
    for octets in [1, 20, 40, 1] {
        let now = bench.now;
        bench.session().write(now, id, &[1; 256][..octets]).unwrap();
        assert_eq!(deliver(&mut bench), Some(octets as u32));
    }
}
