//! The octets of request bodies.

use super::*;
use crate::session::Half;
use crate::wire::kind;

/// A session whose next send has every kind of message.
fn talkative() -> (Bench, ChannelId) {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
    let now = bench.now;
    bench.session().listen(now, endpoint(), Kind::Stream, 1).unwrap();
    bench.session().write(now, id, &[1; 200]).unwrap();
    bench.connect(Kind::Datagram);
    bench.exchange(Lane::Park, |answer| {
        let strange = ChannelRef { id: 9, token: 9 };
        let answer = answer.from(PEER, strange).stream(0, b"astray");
        let answer = answer.arrival(strange, "other:1".parse().unwrap(), Kind::Stream);
        answer.from(PEER, local).stream(0, b"dropped").message(&Message::Ready(PEER))
    });
    bench.session().shutdown(now, id, Half::Read).unwrap();
    (bench, id)
}

#[test]
fn body_taken_in_any_pieces_is_the_same() {
    let (mut bench, _) = talkative();
    let whole = bench.begin(Lane::Send).unwrap();
    for kind in [
        kind::ROUTE,
        kind::CONNECT_REQ,
        kind::ACCEPT_RSP,
        kind::SEND_REQ,
        kind::RECEIVE_REQ,
        kind::CLOSE_RSP,
    ] {
        assert!(whole.messages.iter().any(|m| m.kind() == kind), "{kind:#04x} in {whole:?}");
    }
    for size in [1, 2, 13, 64] {
        let (mut bench, _) = talkative();
        let now = bench.now;
        let exchange = bench.session().poll_exchange(now, Lane::Send).unwrap();
        let mut body = Vec::new();
        let mut out = vec![0; size];
        loop {
            let n = bench.session().poll_body(0, Lane::Send, &mut out);
            body.extend_from_slice(&out[..n]);
            if n == 0 {
                break;
            }
        }
        let request = Request::parse(exchange, &body);
        assert_eq!(request.messages, whole.messages, "in pieces of {size}");
        assert_eq!(request.bytes, whole.bytes);
    }
}

#[test]
fn channel_that_ends_while_the_body_goes_up_is_padded() {
    let (mut bench, id) = talkative();
    let now = bench.now;
    let exchange = bench.session().poll_exchange(now, Lane::Send).unwrap();
    let mut body = vec![0; exchange.len + 1];
    let n = bench.session().poll_body(0, Lane::Send, &mut body[..1]);
    bench.session().abort_all(now);
    let n = n + bench.session().poll_body(0, Lane::Send, &mut body[1..]);
    let request = Request::parse(exchange, &body[..n]);
    assert!(request.messages.iter().any(|m| matches!(m, Message::Pad(_))), "{request:?}");
    assert!(request.connect().is_none());
    assert!(bench.session().channel_stats(id).is_err());
}

#[test]
fn early_answer_ends_the_body_and_the_rest_goes_again() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, WINDOW);
    let now = bench.now;
    bench.session().write(now, id, b"abcdef").unwrap();
    let exchange = bench.session().poll_exchange(now, Lane::Send).unwrap();
    let mut body = [0; 40];
    assert_eq!(bench.session().poll_body(0, Lane::Send, &mut body), 40);
    bench.answer(Lane::Send, &Answer::to(&exchange).ok());
    assert_eq!(bench.session().poll_body(0, Lane::Send, &mut body), 0);
    assert_eq!(bench.exchange(Lane::Send, |answer| answer).bytes, b"abcdef");
}

#[test]
fn idle_session_makes_no_exchange() {
    let mut bench = Bench::reached();
    assert_eq!(bench.session().poll_body(0, Lane::Send, &mut [0; 8]), 0);
    assert!(bench.begin(Lane::Send).is_none());
    assert!(bench.begin(Lane::Park).is_none());
    assert_eq!(bench.session().poll_timeout(Lane::Send), None);
}

/// Octets of a path's rate in a ms, and its shortest exchange in ms.
const THIN: (u32, u64) = (250, 300);
/// A limit that no test reaches.
const FAR: u64 = 8 << 20;
/// Rings that such a path does not fill.
const LONG: Profile = Profile { ring: 1 << 20, ..SMALL };

/// Writes `bytes`, and makes a send with data over the thin path, whose data the peer acknowledges;
/// gives their octets.
fn thin_send(bench: &mut Bench, id: ChannelId, local: ChannelRef, bytes: &[u8]) -> u32 {
    let now = bench.now;
    bench.session().write(now, id, bytes).unwrap();
    let request = bench.begin(Lane::Send).expect("data");
    let (place, data) = request.data()[0];
    bench.now += THIN.1 + u64::from(data.len / THIN.0);
    let ack = data.offset + u64::from(data.len);
    let window = Window { ack, limit: ack + FAR, ..Window::default() };
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).window(window));
    let answer = Answer::to(&request.exchange).verdict(place, Status::Delivered, data.len);
    bench.answer(Lane::Send, &answer.ok());
    data.len
}

#[test]
fn body_is_short_while_another_channel_has_traffic_and_long_after() {
    let (mut bench, bulk, local) = Bench::of(&LONG).reach().join(Kind::Stream, FAR);
    let other = bench.connect(Kind::Stream);
    let other_local = bench.dial(Status::Ok, FAR);
    bench.exchange(Lane::Send, |answer| answer);
    // What the set-up told of the path is no longer so.
    let now = bench.now;
    bench.session().network_changed(now);
    thin_send(&mut bench, bulk, local, &[1]);
    bench.pass(5_000);
    let bytes = vec![1; 1 << 20];
    let settled = (0..12).map(|_| thin_send(&mut bench, bulk, local, &bytes)).last().unwrap();
    assert!((250_000..=300_000).contains(&settled), "{settled}");
    bench.exchange(Lane::Park, |answer| answer.from(PEER, other_local).stream(0, b"typed"));
    let beside = thin_send(&mut bench, bulk, local, &bytes);
    assert!((55_000..=62_500).contains(&beside), "{beside}");
    assert_eq!(bench.read(other), b"typed");
    let after = (0..4).map(|_| thin_send(&mut bench, bulk, local, &bytes));
    let alone = after.last().unwrap();
    assert!(alone > 3 * beside, "{alone} behind {beside}");
}
