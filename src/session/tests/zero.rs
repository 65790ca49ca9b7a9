//! A clock may begin with 0: no time means none by being zero.

use super::*;
use crate::error::{Error, TransportError};

/// A session whose clock stands at 0, and that the relay has answered.
fn at_zero() -> Bench {
    let mut storage = HeapStorage::new(&SMALL).unwrap();
    storage.session().open(0, &Settings::new([1; 16], 5));
    Bench { storage, now: 0 }.reach()
}

#[test]
fn connection_at_time_zero_is_asked_for_and_made() {
    let (bench, ..) = at_zero().join(Kind::Stream, WINDOW);
    assert_eq!(bench.now, 0);
}

#[test]
fn data_written_at_time_zero_is_sent_and_probed_for() {
    let (mut bench, id, _) = at_zero().join(Kind::Stream, WINDOW);
    assert_eq!(bench.session().write(0, id, b"abc"), Ok(3));
    assert_eq!(
        bench.exchange(Lane::Send, |answer| answer.verdict(2, Status::Delivered, 3)).bytes,
        b"abc"
    );
    let due = bench.session().poll_timeout(Lane::Send).expect("a probe");
    bench.pass(due);
    let probe = bench.begin(Lane::Send).expect("a probe");
    assert!(probe.messages.iter().any(|message| matches!(message, Message::SendReq(_))));
}

#[test]
fn silence_from_time_zero_on_ends_a_channel_after_linger() {
    let (mut bench, id, _) = at_zero().join(Kind::Stream, WINDOW);
    assert_eq!(bench.session().write(0, id, b"abc"), Ok(3));
    let linger = u64::from(Settings::new([1; 16], 5).linger_ms);
    bench.pass(linger - 1);
    assert_eq!(bench.session().connected(id), Ok(true));
    bench.pass(1);
    let lingered: Error = TransportError::Linger { acked: 0 }.into();
    assert_eq!(bench.session().connected(id), Err(lingered));
}

#[test]
fn datagram_queued_at_time_zero_expires() {
    let (mut bench, id, _) = at_zero().join(Kind::Datagram, WINDOW);
    assert_eq!(bench.session().send_datagram(0, id, b"abc"), Ok(true));
    let life = u64::from(crate::session::Timers::DEFAULT.datagram_life_ms);
    bench.pass(life - 1);
    assert_eq!(bench.session().channel_stats(id).unwrap().datagrams_expired, 0);
    bench.pass(1);
    assert_eq!(bench.session().channel_stats(id).unwrap().datagrams_expired, 1);
}

#[test]
fn failure_at_time_zero_is_followed_by_a_pause_and_another_try() {
    let mut bench = at_zero();
    bench.connect(Kind::Stream);
    bench.begin(Lane::Send).expect("a CONNECT_REQ");
    bench.fail(Lane::Send, Blocked::Cut);
    let due = bench.session().poll_timeout(Lane::Send).expect("the end of the pause");
    assert!(due > 0 && bench.begin(Lane::Send).is_none());
    bench.pass(due);
    assert!(bench.begin(Lane::Send).expect("a CONNECT_REQ").connect().is_some());
}
