//! Peers whose session is over, channels that silence ended, and sessions that wait before they close.

use super::*;
use crate::error::{Error, PeerError, TransportError};
use crate::session::Half;
use crate::wire::Close;

/// The linger time of the tests' channels in ms.
const LINGER: u64 = 180_000;

/// A stream on which the peer has sent its FIN, and this side [`SENT`] bytes and FIN, of which the peer
/// has acknowledged `acked` offsets.
fn ended(acked: u64) -> (Bench, ChannelId, ChannelRef) {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
    let now = bench.now;
    bench.session().write(now, id, &[1; 10]).unwrap();
    bench.session().shutdown(now, id, Half::Write).unwrap();
    bench.exchange(Lane::Send, |answer| answer.verdict(FIRST, Status::Delivered, 10));
    let window = Window { ack: acked, limit: WINDOW, ..Window::default() };
    bench.exchange(Lane::Park, |answer| {
        answer.from(PEER, local).data(0, DataFlags::FIN, b"").window(window)
    });
    (bench, id, local)
}

fn gone(bench: &mut Bench) {
    bench.exchange(Lane::Park, |answer| answer.message(&Message::Gone(PEER)));
}

/// The messages of the send that is due, which the relay answers; empty if none is due.
fn said(bench: &mut Bench) -> Vec<Message<'static>> {
    match bench.begin(Lane::Send) {
        Some(request) => {
            bench.answer(Lane::Send, &Answer::to(&request.exchange).ok());
            request.messages
        }
        None => Vec::new(),
    }
}

fn has_bye(messages: &[Message<'_>]) -> bool {
    use crate::wire::HelloFlags;
    matches!(messages.first(), Some(Message::Hello(hello)) if hello.flags.has(HelloFlags::BYE))
}

#[test]
fn gone_ends_the_channels_of_that_peer_with_what_was_acknowledged() {
    let (mut bench, id, _) = ended(4);
    bench.exchange(Lane::Park, |answer| answer.message(&Message::Gone(STRANGER)));
    assert_eq!(bench.session().acked(id), Ok(false), "another peer");
    gone(&mut bench);
    let error = PeerError::Unknown { acked: 4 };
    assert_eq!(bench.session().acked(id), Err(error.into()));
}

#[test]
fn gone_behind_all_but_the_acknowledgement_of_fin_ends_in_order() {
    let (mut bench, id, _) = ended(10);
    assert_eq!(bench.session().acked(id), Ok(false));
    gone(&mut bench);
    assert_eq!(bench.session().acked(id), Ok(true));
    let now = bench.now;
    bench.session().release(now, id);
    bench.session().close(now);
    assert!(has_bye(&said(&mut bench)), "at once");
}

#[test]
fn gone_ends_an_idle_channel() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, WINDOW);
    gone(&mut bench);
    let mut out = [0; 8];
    let now = bench.now;
    let error = PeerError::Unknown { acked: 0 };
    assert_eq!(bench.session().read(now, id, &mut out), Err(error.into()));
}

#[test]
fn linger_behind_all_but_the_acknowledgement_of_fin_says_so() {
    for (acked, error) in [
        (10, TransportError::EndUnconfirmed { acked: 10 }),
        (9, TransportError::Linger { acked: 9 }),
    ] {
        let (mut bench, id, _) = ended(acked);
        bench.pass(LINGER + 1);
        assert_eq!(bench.session().acked(id), Err(error.into()));
    }
}

/// A channel with bytes unacknowledged that silence has ended.
fn silenced() -> (Bench, ChannelId) {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, WINDOW);
    let now = bench.now;
    bench.session().write(now, id, &[1; 10]).unwrap();
    bench.exchange(Lane::Send, |answer| answer.verdict(FIRST, Status::Away, 0));
    bench.pass(LINGER + 1);
    let error = TransportError::Linger { acked: 0 };
    assert_eq!(bench.session().connected(id), Err(error.into()));
    (bench, id)
}

#[test]
fn channel_that_silence_ended_frees_its_slot_when_the_application_lets_go() {
    for abort in [false, true] {
        let (mut bench, id) = silenced();
        let now = bench.now;
        match abort {
            true => bench.session().abort(now, id),
            false => bench.session().release(now, id),
        }
        assert_eq!(bench.session().unacked().count(), 0);
        for _ in 0..SMALL.channels {
            bench.session().connect(now, endpoint(), Kind::Stream, b"").expect("a free channel");
        }
    }
}

#[test]
fn session_closes_at_once_behind_a_channel_that_silence_ended() {
    let (mut bench, id) = silenced();
    let now = bench.now;
    bench.session().abort(now, id);
    bench.session().close(now);
    let messages = said(&mut bench);
    let word = Message::CloseReq(Close { status: Status::Linger, offset: 0 });
    assert!(has_bye(&messages) && messages.contains(&word), "{messages:?}");
    assert!(bench.session().is_closed());
}

#[test]
fn close_req_of_silence_is_repeated_for_nine_seconds() {
    let (mut bench, _) = silenced();
    let mut times = Vec::new();
    let began = bench.now;
    for _ in 0..60_000 / 50 {
        let messages = said(&mut bench);
        if messages.iter().any(|m| matches!(m, Message::CloseReq(_))) {
            times.push(bench.now - began);
        }
        bench.pass(50);
    }
    assert!(times.len() >= 4 && times.iter().all(|&at| at <= 9_000), "{times:?}");
}

#[test]
fn peer_that_comes_back_is_told_of_the_silence_although_the_slot_is_free() {
    let (mut bench, id) = silenced();
    let now = bench.now;
    bench.session().release(now, id);
    said(&mut bench);
    let word = Message::CloseReq(Close { status: Status::Linger, offset: 0 });
    bench.exchange(Lane::Park, |answer| answer.message(&Message::Ready(PEER)));
    assert!(said(&mut bench).contains(&word));
    assert!(!said(&mut bench).contains(&word), "once");
}

/// A session that closes behind a stream that ended in order, and that has sent its last
/// acknowledgement.
fn closing() -> (Bench, ChannelRef) {
    let (mut bench, id, local) = ended(11);
    let now = bench.now;
    bench.session().release(now, id);
    bench.session().close(now);
    let messages = said(&mut bench);
    let asks = |m: &Message<'_>| matches!(m, Message::ReceiveReq(w) if w.ask && w.done);
    assert!(messages.iter().any(asks) && !has_bye(&messages), "{messages:?}");
    assert_eq!(bench.session().unconfirmed(), 1);
    (bench, local)
}

#[test]
fn bye_waits_until_the_peer_has_the_last_acknowledgement() {
    let (mut bench, local) = closing();
    bench.exchange(Lane::Park, |answer| {
        answer.from(PEER, local).window(Window { ack: 11, ..Window::default() })
    });
    assert!(!has_bye(&said(&mut bench)), "that may be older");
    bench.exchange(Lane::Park, |answer| {
        answer.from(PEER, local).window(Window { ack: 11, done: true, ..Window::default() })
    });
    assert!(has_bye(&said(&mut bench)));
}

#[test]
fn bye_waits_for_five_seconds_at_most() {
    let (mut bench, _) = closing();
    let due = bench.session().poll_timeout(Lane::Send).expect("a deadline");
    assert_eq!(due, bench.now + 5_000);
    bench.pass(4_999);
    assert!(!has_bye(&said(&mut bench)));
    bench.pass(1);
    assert!(has_bye(&said(&mut bench)));
}

#[test]
fn bye_does_not_wait_for_a_peer_that_is_gone() {
    let (mut bench, _) = closing();
    gone(&mut bench);
    assert!(has_bye(&said(&mut bench)));
}

#[test]
fn tombstone_answers_a_window_that_asks_for_done() {
    let (mut bench, id, local) = ended(11);
    let now = bench.now;
    bench.session().release(now, id);
    said(&mut bench);
    bench.exchange(Lane::Park, |answer| {
        answer.from(PEER, local).window(Window { ack: 11, ..Window::default() })
    });
    assert!(bench.begin(Lane::Send).is_none(), "an acknowledgement is not answered");
    bench.exchange(Lane::Park, |answer| {
        let window = Window { ack: 11, done: true, ask: true, ..Window::default() };
        answer.from(PEER, local).window(window)
    });
    let done = |m: &Message<'_>| matches!(m, Message::ReceiveReq(w) if w.done && !w.ask);
    assert!(said(&mut bench).iter().any(done));
}

#[test]
fn abort_of_all_channels_closes_at_once() {
    let (mut bench, _) = closing();
    let now = bench.now;
    bench.session().abort_all(now);
    assert!(has_bye(&said(&mut bench)));
}

#[test]
fn given_up_bytes_are_not_counted_as_unacknowledged() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, WINDOW);
    let now = bench.now;
    bench.session().write(now, id, &[1; 10]).unwrap();
    assert_eq!(bench.session().unacked().collect::<Vec<_>>(), [(id, 0)]);
    bench.session().abort(now, id);
    assert_eq!(bench.session().unacked().count(), 0);
    assert_eq!(bench.session().acked(id), Err(Error::Closed));
}

#[test]
fn gone_by_the_other_lane_drops_no_bytes_on_their_way() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
    let park = bench.begin(Lane::Park).unwrap();
    let whole =
        Answer::to(&park.exchange).from(PEER, local).data(0, DataFlags::FIN, b"0123456789").ok();
    let half = whole.len() - 12 - 5;
    bench.feed(Lane::Park, &whole[..half]).unwrap();
    let now = bench.now;
    bench.session().write(now, id, &[1; 10]).unwrap();
    bench.exchange(Lane::Send, |answer| {
        answer.verdict(FIRST, Status::Away, 0).message(&Message::Gone(PEER))
    });
    bench.feed(Lane::Park, &whole[half..]).unwrap();
    bench.finish(Lane::Park).unwrap();
    assert_eq!(bench.read(id), b"0123456789");
}

#[test]
fn close_tells_of_bytes_lost_while_it_waits() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, WINDOW);
    let now = bench.now;
    bench.session().write(now, id, &[1; 10]).unwrap();
    bench.session().close(now);
    bench.exchange(Lane::Send, |answer| answer.verdict(FIRST, Status::Delivered, 10));
    gone(&mut bench);
    said(&mut bench);
    assert!(bench.session().is_closed());
    assert_eq!(bench.session().unacked().count(), 1);
}

#[test]
fn unknown_behind_all_but_the_acknowledgement_of_fin_ends_in_order() {
    let (mut bench, id, _) = ended(10);
    let closed = crate::wire::Closed { status: Status::Unknown, channel: REMOTE };
    bench.exchange(Lane::Park, |a| {
        a.from(PEER, ChannelRef::NONE).message(&Message::CloseRsp(closed))
    });
    assert_eq!(bench.session().acked(id), Ok(true));
}

#[test]
fn peers_that_are_owed_keep_their_tombstones() {
    // One slot has two tombstones.
    let profile = Profile { channels: 1, ..SMALL };
    let mut bench = Bench::of(&profile).reach();
    let whole = |bench: &mut Bench, peer_linger: u32| {
        let id = bench.connect(Kind::Stream);
        let request = bench.begin(Lane::Send).unwrap();
        let (_, local) = request.connect().unwrap();
        let accept = Accept {
            status: Status::Ok,
            channel: ChannelRef { token: u64::from(peer_linger), ..REMOTE },
            limit: 1000,
            linger_ms: peer_linger,
            greeting: b"",
        };
        let answer =
            Answer::to(&request.exchange).from(PEER, local).message(&Message::ConnectRsp(accept));
        bench.answer(Lane::Send, &answer.ok());
        bench.exchange(Lane::Send, |answer| answer);
        let now = bench.now;
        bench.session().shutdown(now, id, Half::Write).unwrap();
        bench.exchange(Lane::Send, |answer| answer.verdict(FIRST, Status::Delivered, 0));
        (id, local)
    };
    let end = |bench: &mut Bench, (id, local): (ChannelId, ChannelRef), done: bool| {
        bench.exchange(Lane::Park, |answer| {
            answer.from(PEER, local).data(0, DataFlags::FIN, b"").window(Window {
                ack: 1,
                limit: 1000,
                done,
                ..Window::default()
            })
        });
        let now = bench.now;
        bench.session().release(now, id);
    };
    // Two channels are settled and linger long. Then one with a short linger is owed DONE, and another
    // channel is settled.
    for _ in 0..2 {
        let channel = whole(&mut bench, 180_000);
        end(&mut bench, channel, true);
    }
    let owed = whole(&mut bench, 70_000);
    end(&mut bench, owed, false);
    assert_eq!(bench.session().unconfirmed(), 1);
    let last = whole(&mut bench, 180_001);
    end(&mut bench, last, true);
    assert_eq!(bench.session().unconfirmed(), 1, "its peer may still ask");
}
