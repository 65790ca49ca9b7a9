//! Claims: which client holds a name.

use byway::Kind;
use byway::error::{ConfigError, Error};
use byway::session::{Event, ListenerId, Profile};

use crate::app::{Plan, endpoint};
use crate::world::World;

fn owned(w: &mut World, owner: u8, epoch: u64) -> usize {
    w.peer_with(Profile::TINY, |settings| {
        settings.owner = [owner; 16];
        settings.epoch = epoch;
    })
}

fn listening(w: &mut World, peer: usize, id: ListenerId) -> Result<bool, Error> {
    w.with(peer, |s, _| s.listening(id))
}

#[test]
fn restarted_app_has_its_name_at_once_within_the_grace() {
    let mut w = World::new(51);
    let a = w.peer(Profile::TINY);
    let ghost = owned(&mut w, 9, 1);
    w.listen(ghost, "b:1", Kind::Stream);
    w.hold(a, ghost);
    // The process vanishes without a word, and its park still waits at the relay.
    w.roam(ghost, false);
    w.peers[ghost].dark_until = u64::MAX / 2;
    w.run(500);
    let heir = owned(&mut w, 9, 2);
    let id = w.listen(heir, "b:1", Kind::Stream);
    w.run_until(100, "claim", |w| listening(w, heir, id) == Ok(true));
    let n = w.connect(a, "b:1", Kind::Stream, heir, [Plan::bytes(10), Plan::bytes(10)]);
    w.run_until(2000, "end", |w| w.chans[n].ends.iter().all(|end| end.done));
    w.check_chan(n);
}

#[test]
fn newer_process_of_an_owner_takes_the_name() {
    let mut w = World::new(52);
    let old = owned(&mut w, 9, 1000);
    let first = w.listen(old, "b:1", Kind::Stream);
    w.run(500);
    let new = owned(&mut w, 9, 2000);
    let second = w.listen(new, "b:1", Kind::Stream);
    w.run(500);
    assert_eq!(listening(&mut w, new, second), Ok(true));
    assert_eq!(listening(&mut w, old, first), Err(ConfigError::Taken.into()));
    assert!(w.peers[old].events.contains(&Event::ListenerLost(first)));
    let parks = [w.exchanges(old).0, w.exchanges(new).0];
    w.run(60_000);
    assert_eq!(listening(&mut w, new, second), Ok(true));
    assert!(w.exchanges(new).0 - parks[1] < 12, "they do not fight");
    assert!(w.exchanges(old).0 - parks[0] < 12);
}

#[test]
fn epoch_of_a_wrong_clock_does_no_harm() {
    let mut w = World::new(53);
    let old = owned(&mut w, 9, 9_000_000);
    let first = w.listen(old, "b:1", Kind::Stream);
    w.run(500);
    let new = owned(&mut w, 9, 5);
    let second = w.listen(new, "b:1", Kind::Stream);
    w.run(1000);
    assert_eq!(listening(&mut w, new, second), Ok(true));
    assert_eq!(listening(&mut w, old, first), Err(ConfigError::Taken.into()));
}

#[test]
fn name_in_use_is_refused_to_another_owner() {
    let mut w = World::new(54);
    let holder = owned(&mut w, 1, 1);
    let first = w.listen(holder, "b:1", Kind::Stream);
    w.run(500);
    let other = owned(&mut w, 2, 2);
    let second = w.listen(other, "b:1", Kind::Stream);
    w.run(500);
    assert_eq!(listening(&mut w, other, second), Err(ConfigError::InUse.into()));
    assert_eq!(listening(&mut w, holder, first), Ok(true));
    // A name that was given up is free at once.
    w.with(holder, |s, now| s.unlisten(now, first));
    w.with(other, |s, now| s.unlisten(now, second));
    w.run(500);
    let third = w.listen(other, "b:1", Kind::Stream);
    w.run(500);
    assert_eq!(listening(&mut w, other, third), Ok(true));
}

#[test]
fn connect_to_a_name_of_the_other_kind_is_refused() {
    let mut w = World::new(55);
    let (a, b) = w.pair(Profile::PHONE);
    w.run(500);
    let id = w.with(a, |s, now| s.connect(now, endpoint("b:1"), Kind::Datagram, &[]));
    let id = id.expect("a slot");
    w.run(500);
    assert_eq!(w.with(a, |s, _| s.connected(id)), Err(ConfigError::WrongKind.into()));
    let duplicate = w.with(b, |s, now| s.listen(now, endpoint("b:1"), Kind::Stream, 1));
    assert_eq!(duplicate, Err(ConfigError::Duplicate.into()));
}

#[test]
fn listener_closed_and_opened_again_is_not_blocked_by_itself() {
    let mut w = World::new(56);
    let (a, b) = (w.peer(Profile::TINY), w.peer(Profile::TINY));
    for _ in 0..10 {
        let id = w.listen(b, "b:1", Kind::Stream);
        w.run_until(200, "claim", |w| listening(w, b, id) == Ok(true));
        let n = w.connect(a, "b:1", Kind::Stream, b, [Plan::bytes(10), Plan::bytes(10)]);
        w.run_until(2000, "end", |w| w.chans[n].ends.iter().all(|end| end.done));
        w.with(b, |s, now| s.unlisten(now, id));
    }
}
