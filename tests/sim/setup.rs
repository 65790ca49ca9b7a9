//! Setting a channel up and ending it, when exactly that exchange goes wrong.

use byway::Kind;
use byway::error::{Error, PeerError};
use byway::session::{Half, Lane, Profile};
use byway::wire::Message;

use crate::app::Plan;
use crate::fate::Fate;
use crate::seen::Seen;
use crate::world::{TINY_RINGS, World};

/// The fates of an exchange that carries a certain message.
const FATES: [Fate; 8] = [
    Fate::Lost,
    Fate::CutDown(0),
    Fate::Swallowed,
    Fate::Mute,
    Fate::LateUp(3000),
    Fate::Repeat { times: 1, after: 0, last: false },
    Fate::Repeat { times: 4, after: 1500, last: false },
    Fate::Repeat { times: 1, after: 2000, last: true },
];

/// Runs a short session for each fate of the requests, and of the answers, that `is` picks.
fn survives(is: fn(&Seen<'_>) -> bool) {
    for fate in FATES {
        let mut w = World::new(11);
        let struck = w.befall(1, fate, is);
        converse(&mut w);
        assert!(struck.get() > 0, "{fate:?} befell nothing");
    }
    let mut w = World::new(12);
    let struck = w.lose_answers(2, is);
    converse(&mut w);
    assert!(struck.get() > 0, "no answer was lost");
}

fn converse(w: &mut World) {
    let (a, b) = w.pair(Profile::TINY);
    w.connect(a, "b:1", Kind::Stream, b, [Plan::bytes(300), Plan::bytes(200)]);
    w.finish(60_000);
    assert_eq!(w.chans[0].attempts, 1);
}

#[test]
fn connect_req_may_be_lost_repeated_or_late() {
    survives(|seen| seen.has(|m| matches!(m, Message::ConnectReq(_) | Message::AcceptReq(_))));
}

#[test]
fn accept_rsp_may_be_lost_repeated_or_late() {
    survives(|seen| seen.has(|m| matches!(m, Message::AcceptRsp(_) | Message::ConnectRsp(_))));
}

#[test]
fn first_acknowledgement_may_be_lost_repeated_or_late() {
    survives(|seen| seen.has_ack(0));
}

#[test]
fn fin_may_be_lost_repeated_or_late() {
    survives(|seen| seen.has_fin());
}

#[test]
fn acknowledgement_of_fin_may_be_lost_repeated_or_late() {
    survives(|seen| seen.has_ack(201));
}

#[test]
fn close_req_may_be_lost_repeated_or_late() {
    for fate in FATES {
        let mut w = World::new(13);
        let (_, _, n) = w.connected(Profile::TINY);
        w.say(n, 0, 100);
        w.arrives(n, 1, 1000);
        let struck = w.befall(1, fate, |seen| seen.has(|m| matches!(m, Message::CloseReq(_))));
        w.abort(n, 0);
        w.run_until(20_000, "word of the end", |w| w.chans[n].ends[1].done);
        let error = w.chans[n].ends[1].error;
        assert_eq!(error, Some(PeerError::Aborted { received: 0 }.into()), "{fate:?}");
        assert_eq!(struck.get(), 1);
    }
}

#[test]
fn connect_req_repeated_after_the_channel_is_over_makes_no_other() {
    let mut w = World::new(14);
    let again = Fate::Repeat { times: 3, after: 8000, last: false };
    let is = |seen: &Seen<'_>| seen.has(|m| matches!(m, Message::ConnectReq(_)));
    let struck = w.befall(1, again, is);
    let (a, b) = w.pair(Profile::TINY);
    w.connect(a, "b:1", Kind::Stream, b, [Plan::bytes(10), Plan::bytes(10)]);
    w.run_until(5000, "end", |w| w.chans[0].ends.iter().all(|end| end.done));
    w.run(40_000);
    assert_eq!(struck.get(), 1);
    let listener = w.peers[b].listens[0].id;
    let accepted = w.with(b, |s, now| s.accept(now, listener));
    assert_eq!(accepted, Ok(None));
    // Both slots of a tiny client are free.
    for _ in 0..2 {
        w.hold(a, b);
    }
}

#[test]
fn slot_used_again_takes_no_data_of_the_former_peer() {
    let mut w = World::new(15);
    let one = Profile { channels: 1, ..Profile::TINY };
    let (old, new) = (w.peer(Profile::TINY), w.peer(Profile::TINY));
    let b = w.peer(one);
    w.listen(b, "b:1", Kind::Stream);
    let n = w.hold(old, b);
    w.say(n, 0, 100);
    w.arrives(n, 1, 1000);
    // The old peer's data are late from now on; meanwhile the slot gets another channel.
    let struck = w.befall(8, Fate::LateUp(3000), move |seen| seen.of(old, Lane::Send));
    w.say(n, 0, 900);
    w.abort(n, 1);
    let m = w.hold(new, b);
    w.say(m, 0, 2000);
    w.say(m, 1, 2000);
    w.arrives(m, 0, 10_000);
    w.arrives(m, 1, 10_000);
    w.run(20_000);
    assert!(struck.get() > 0);
    assert!(matches!(w.chans[n].ends[0].error, Some(Error::Peer(_))));
    w.hang_up(m);
    w.run_until(10_000, "end", |w| w.chans[m].ends.iter().all(|end| end.done));
    w.check_chan(m);
}

#[test]
fn listener_may_send_first() {
    let mut w = World::new(16);
    let (a, b) = w.pair(Profile::TINY);
    let n = w.connect(a, "b:1", Kind::Stream, b, [Plan::HOLD, Plan { count: 500, ..Plan::HOLD }]);
    assert!(w.arrives(n, 0, 2000) < 100);
}

#[test]
fn channel_never_accepted_ends_after_linger_at_both_ends() {
    let mut w = World::new(17);
    let (a, b) = (w.peer(Profile::TINY), w.peer(Profile::TINY));
    w.listen_with(b, "b:1", Kind::Stream, 1, false);
    let n = w.connect(a, "b:1", Kind::Stream, b, [Plan::HOLD; 2]);
    let id = w.channel(n, 0);
    w.run_until(1000, "connection", |w| w.peers[a].session().connected(id) == Ok(true));
    w.run_until(200_000, "end", |w| w.chans[n].ends[0].done);
    assert!(matches!(w.chans[n].ends[0].error, Some(Error::Peer(PeerError::GaveUp { .. }))));
}

#[test]
fn full_backlog_refuses_until_there_is_room() {
    let mut w = World::new(18);
    let (a, b) = (w.peer(Profile::PHONE), w.peer(Profile::PHONE));
    let listener = w.listen_with(b, "b:1", Kind::Stream, 2, false);
    let first: Vec<_> =
        (0..2).map(|_| w.connect(a, "b:1", Kind::Stream, b, [Plan::HOLD; 2])).collect();
    w.run(500);
    let third = w.with(a, |s, now| s.connect(now, crate::app::endpoint("b:1"), Kind::Stream, &[]));
    let third = third.expect("a slot");
    w.run(500);
    let refused = w.with(a, |s, _| s.connected(third));
    assert_eq!(refused, Err(PeerError::BacklogFull.into()));
    w.with(a, |s, now| s.release(now, third));
    w.peers[b].listens[0].accepts = true;
    w.run_listener(b, listener.slot());
    w.hold(a, b);
    assert!(first.iter().all(|&n| w.chans[n].ends[1].id.is_some()));
}

#[test]
fn client_may_close_right_after_the_last_fin() {
    for losses in 0..4 {
        let mut w = World::new(19);
        let (a, b, n) = w.connected(Profile::TINY);
        w.say(n, 0, 5000);
        w.say(n, 1, 5000);
        w.arrives(n, 0, 10_000);
        w.arrives(n, 1, 10_000);
        let struck = w.lose_answers(losses, |seen| seen.has_fin());
        for side in 0..2 {
            let (peer, id) = (w.chans[n].ends[side].peer, w.channel(n, side));
            w.with(peer, |s, now| {
                let _ = s.shutdown(now, id, Half::Write);
                s.close(now);
            });
        }
        w.run_until(30_000, "both closed", |w| {
            [a, b].into_iter().all(|p| w.peers[p].session().is_closed())
        });
        assert_eq!(w.peers[a].session().unacked().count(), 0);
        assert_eq!(w.peers[b].session().unacked().count(), 0);
        assert!(struck.get() <= losses);
    }
}

#[test]
fn closing_waits_for_bytes_unacknowledged() {
    let mut w = World::new(20);
    let (a, b, n) = w.connected(Profile::TINY);
    w.pause_reading(n, 1, 20_000);
    w.say(n, 0, 1800);
    w.run(2000);
    assert!(w.peers[a].session().unacked().count() == 1, "the reader's ring holds half of it");
    w.with(a, |s, now| s.close(now));
    w.chans[n].ends[0].done = true;
    w.run(10_000);
    assert!(!w.peers[a].session().is_closed());
    w.arrives(n, 1, 30_000);
    w.run_until(5000, "closed", |w| w.peers[a].session().is_closed());
    assert!(!w.peers[b].session().is_closed());
}

#[test]
fn aborting_with_bytes_unacknowledged_names_the_offset() {
    let mut w = World::new(21);
    let (a, _, n) = w.connected(Profile::TINY);
    w.say(n, 1, 100);
    w.arrives(n, 0, 1000);
    w.pause_reading(n, 1, 60_000);
    w.say(n, 0, 2000);
    w.run(2000);
    let unacked: Vec<_> = w.peers[a].session().unacked().collect();
    assert_eq!(unacked, [(w.channel(n, 0), TINY_RINGS / 2)]);
    w.with(a, |s, now| s.abort_all(now));
    w.run_until(5000, "closed", |w| w.peers[a].session().is_closed());
    w.run(1000);
    let id = w.channel(n, 1);
    let b = w.chans[n].ends[1].peer;
    let error = w.with(b, |s, now| s.write(now, id, b"x"));
    assert_eq!(error, Err(PeerError::Aborted { received: 100 }.into()));
}

#[test]
fn connector_learns_that_the_listener_gave_up() {
    let mut w = World::new(22);
    let (a, b) = w.pair(Profile::TINY);
    // The listener hears no answer of the connector while it waits for one.
    let lost = w.lose_answers(u32::MAX, move |seen| seen.of(b, Lane::Park) && seen.has_ack(0));
    let n = w.connect(a, "b:1", Kind::Stream, b, [Plan::HOLD; 2]);
    w.run(25_000);
    assert!(lost.get() > 0);
    w.on_answer = None;
    w.run_until(60_000, "word of it", |w| {
        let [connector, listener] = &w.chans[n].ends;
        connector.done || connector.id.is_none() || listener.id.is_some()
    });
}
