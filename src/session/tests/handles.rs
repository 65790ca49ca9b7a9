//! Handles of released channels, slots that are used again, and clocks that go back.

use super::*;
use crate::error::{Error, ResourceError};
use crate::session::Half;
use crate::session::ids::MAX_GENERATION;

#[test]
fn released_channel_is_closed_to_every_call() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, 1000);
    let now = bench.now;
    let mut s = bench.session();
    s.release(now, id);
    let closed = Error::Closed;
    assert_eq!(s.connected(id), Err(closed));
    assert_eq!(s.write(now, id, b"x"), Err(closed));
    assert_eq!(s.read(now, id, &mut [0; 4]), Err(closed));
    assert_eq!(s.shutdown(now, id, Half::Both), Err(closed));
    assert_eq!(s.flushed(id), Err(closed));
    assert_eq!(s.acked(id), Err(closed));
    assert_eq!(s.can_read(id), Err(closed));
    assert_eq!(s.can_write(id), Err(closed));
    assert_eq!(s.peer(id), Err(closed));
    assert_eq!(s.take_overflow(id), Err(closed));
    assert_eq!(s.request_ack(now, id), Err(closed));
    assert_eq!(s.max_datagram(id), Err(closed));
    assert_eq!(s.channel_stats(id).err(), Some(closed));
    // A second release is harmless.
    s.release(now, id);
    s.abort(now, id);
}

#[test]
fn slot_used_again_has_another_id() {
    let mut bench = Bench::reached();
    let now = bench.now;
    let other = bench.connect(Kind::Stream);
    let mut seen = Vec::new();
    for _ in 0..20 {
        let id = bench.connect(Kind::Stream);
        assert!(!seen.contains(&id));
        for &old in &seen {
            assert_eq!(bench.session().write(now, old, b"x"), Err(Error::Closed));
            bench.session().release(now, old);
        }
        assert_eq!(bench.session().write(now, id, b"x"), Ok(1));
        bench.session().release(now, id);
        seen.push(id);
    }
    assert_eq!(bench.session().write(now, other, b"x"), Ok(1));
}

#[test]
fn slot_whose_generations_are_used_up_is_not_used_again() {
    let mut bench = Bench::reached();
    let now = bench.now;
    for channel in bench.session().channels.iter_mut() {
        channel.wear(MAX_GENERATION - 1);
    }
    for _ in 0..SMALL.channels {
        let id = bench.connect(Kind::Stream);
        bench.session().release(now, id);
    }
    let none = bench.session().connect(now, endpoint(), Kind::Stream, b"");
    assert_eq!(none, Err(ResourceError::Channels.into()));
}

#[test]
fn closed_session_refuses_calls_until_it_is_opened_again() {
    let mut bench = Bench::reached();
    let now = bench.now;
    bench.session().close(now);
    bench.exchange(Lane::Send, |answer| answer);
    assert!(bench.session().is_closed());
    let refused = bench.session().connect(now, endpoint(), Kind::Stream, b"");
    assert_eq!(refused, Err(Error::Closed));
    assert!(bench.begin(Lane::Send).is_none() && bench.begin(Lane::Park).is_none());
    assert_eq!(bench.session().poll_timeout(Lane::Send), None);
    bench.session().open(now, &Settings::new([8; 16], 4));
    assert!(bench.begin(Lane::Send).is_some());
}

#[test]
fn clock_that_goes_back_does_no_harm() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, 1000);
    bench.now -= 900;
    let now = bench.now;
    assert_eq!(bench.session().write(now, id, b"abc"), Ok(3));
    bench.session().handle_timeout(now);
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).stream(0, b"x"));
    bench.exchange(Lane::Send, |answer| answer);
    assert_eq!(bench.read(id), b"x");
}

#[test]
fn first_send_is_repeated_until_the_relay_answers() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        assert!(bench.begin(Lane::Send).is_some(), "another try");
        bench.fail(Lane::Send, Blocked::Connect);
        assert_eq!(bench.session().is_open(), Ok(false));
        bench.pass(3000);
    }
    bench.exchange(Lane::Send, |answer| answer);
    assert_eq!(bench.session().is_open(), Ok(true));
}
