//! Handles that are over, and slots that are used again.

use super::super::Half;
use super::*;
use crate::error::{Error, ResourceError};

#[test]
fn a_released_channel_is_closed_to_every_call() {
    let mut rig = Rig::new(&Profile::TINY);
    let (id, _) = rig.connect();
    let now = rig.now;
    let mut s = rig.session();
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
    // Again is harmless.
    s.release(now, id);
    s.abort(now, id);
}

#[test]
fn a_slot_used_again_has_another_id_and_does_not_hear_the_old_one() {
    let mut rig = Rig::new(&Profile { channels: 1, ..Profile::TINY });
    let now = rig.now;
    let mut seen = Vec::new();
    for _ in 0..20 {
        let id = rig.session().connect(now, endpoint(), Kind::Stream, b"").expect("room");
        assert!(!seen.contains(&id));
        for &old in &seen {
            assert_eq!(rig.session().write(now, old, b"x"), Err(Error::Closed));
            rig.session().release(now, old);
        }
        assert_eq!(rig.session().write(now, id, b"x"), Ok(1));
        let full = rig.session().connect(now, endpoint(), Kind::Stream, b"");
        assert_eq!(full, Err(ResourceError::Channels.into()));
        rig.session().release(now, id);
        seen.push(id);
    }
}

#[test]
fn a_slot_whose_generations_are_used_up_is_not_used_again() {
    let mut rig = Rig::new(&Profile { channels: 1, ..Profile::TINY });
    let now = rig.now;
    rig.session().channels[0].generation = super::super::MAX_GENERATION - 1;
    let id = rig.session().connect(now, endpoint(), Kind::Stream, b"").expect("the last");
    rig.session().release(now, id);
    let none = rig.session().connect(now, endpoint(), Kind::Stream, b"");
    assert_eq!(none, Err(ResourceError::Channels.into()));
}

#[test]
fn a_closed_listener_is_closed_to_every_call() {
    let mut rig = Rig::new(&Profile::TINY);
    let now = rig.now;
    let mut s = rig.session();
    let first = s.listen(now, endpoint(), Kind::Stream, 1).expect("room");
    let other = s.listen(now, "camera:2".parse().expect("valid"), Kind::Stream, 1);
    assert_eq!(other, Err(ResourceError::Listeners.into()));
    s.unlisten(now, first);
    assert_eq!(s.listening(first), Err(Error::Closed));
    assert_eq!(s.accept(now, first), Err(Error::Closed));
    assert_eq!(s.listener_endpoint(first), Err(Error::Closed));
    let second = s.listen(now, endpoint(), Kind::Stream, 1).expect("room again");
    assert_ne!(first, second);
    s.unlisten(now, first);
    assert_eq!(s.listening(second), Ok(false));
}

#[test]
fn a_closed_session_takes_nothing_more() {
    let mut rig = Rig::new(&Profile::TINY);
    let now = rig.now;
    rig.session().close(now);
    rig.exchange(Lane::Send, &[]);
    assert!(rig.session().is_closed());
    assert_eq!(rig.session().connect(now, endpoint(), Kind::Stream, b""), Err(Error::Closed));
    assert!(rig.begin(Lane::Send).is_none() && rig.begin(Lane::Park).is_none());
    assert_eq!(rig.session().poll_timeout(Lane::Send), None);
    // It may be opened for another life.
    rig.session().open(now, &Settings::new([8; 16], 4));
    assert!(rig.begin(Lane::Send).is_some());
}

#[test]
fn the_clock_may_stand_still_or_go_back() {
    let mut rig = Rig::new(&Profile::TINY);
    let (id, route) = rig.connect();
    rig.now -= 900;
    let now = rig.now;
    assert_eq!(rig.session().write(now, id, b"abc"), Ok(3));
    rig.session().handle_timeout(now);
    let said = [from(route), Said::Data(0, DataFlags::NONE, b"x")];
    rig.exchange(Lane::Park, &said);
    rig.exchange(Lane::Send, &[]);
    assert_eq!(rig.read(id), b"x");
}
