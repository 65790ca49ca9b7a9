//! Windows, rings that are full, and datagrams.

use std::cell::Cell;
use std::rc::Rc;

use byway::Kind;
use byway::session::{Lane, Profile};
use byway::wire::Message;

use crate::app::{Finish, Plan};
use crate::fate::Fate;
use crate::seen::Seen;
use crate::world::{TINY_RINGS, World};

/// Octets of messages around the payload that the relay may hold besides.
const FRAMES: usize = 512;

#[test]
fn reader_of_one_byte_a_second_gets_every_byte() {
    let mut w = World::new(71);
    let (a, b, n) = w.connected(Profile::TINY);
    w.chans[n].ends[1].plan.read = 1;
    w.chans[n].ends[1].plan.read_pause = 1000;
    w.say(n, 0, 20_000);
    let (parks, sends) = w.exchanges(a);
    for _ in 0..600 {
        w.run(1000);
        assert!(w.router.stats().held <= FRAMES, "{:?}", w.router.stats());
        let id = w.channel(n, 1);
        let stats = w.peers[b].session().channel_stats(id).expect("open");
        assert!(stats.received - stats.read <= 1024, "the window is kept");
    }
    assert!((595..=605).contains(&w.chans[n].ends[1].read));
    assert_eq!(w.peers[a].session().stats().overflows, 0);
    assert_eq!(w.peers[a].session().stats().retransmitted, 0);
    let (parks_now, sends_now) = w.exchanges(a);
    // Windows open by a quarter of the ring; besides, the sender probes every 5 s.
    assert!(sends_now - sends <= 600 / 5 + 10, "{}", sends_now - sends);
    assert!(parks_now - parks <= 600 / 5 * 2 + 10, "{}", parks_now - parks);
    w.chans[n].ends[1].plan.read = 5000;
    w.chans[n].ends[1].plan.read_pause = 0;
    w.hang_up(n);
    w.finish(60_000);
}

#[test]
fn lost_window_update_is_made_up_for() {
    for times in 1..4 {
        let mut w = World::new(72);
        let (_, b, n) = w.connected(Profile::TINY);
        w.pause_reading(n, 1, 5000);
        w.say(n, 0, 4000);
        w.run(4000);
        let opens = move |seen: &Seen<'_>| {
            seen.peer == b && seen.has(|m| matches!(m, Message::ReceiveReq(w) if w.limit > 1024))
        };
        let lost = w.befall(times, Fate::Lost, opens);
        w.arrives(n, 1, 30_000);
        assert_eq!(lost.get(), times);
    }
}

#[test]
fn window_update_lost_with_its_answer_is_made_up_for() {
    let mut w = World::new(73);
    let (a, _, n) = w.connected(Profile::TINY);
    w.pause_reading(n, 1, 5000);
    w.say(n, 0, 4000);
    w.run(4000);
    let lost = w.lose_answers(3, move |seen| {
        seen.of(a, Lane::Park) && seen.has(|m| matches!(m, Message::SendRsp(w) if w.limit > 1024))
    });
    w.arrives(n, 1, 30_000);
    assert_eq!(lost.get(), 3);
}

#[test]
fn full_windows_in_both_directions_do_not_block() {
    let mut w = World::new(74);
    let (a, b, n) = w.connected(Profile::TINY);
    for side in 0..2 {
        w.pause_reading(n, side, 60_000);
    }
    w.say(n, 0, 50_000);
    w.say(n, 1, 50_000);
    w.run(59_000);
    for side in 0..2 {
        let end = &w.chans[n].ends[side];
        assert_eq!((end.written, end.read), (TINY_RINGS, 0), "a ring at each end");
    }
    let probes = w.exchanges(a).1 + w.exchanges(b).1;
    assert!(probes < 80, "{probes}");
    w.arrives(n, 0, 30_000);
    w.arrives(n, 1, 30_000);
    w.hang_up(n);
    w.finish(10_000);
}

#[test]
fn direction_of_a_stream_may_end_long_before_the_other() {
    let mut w = World::new(75);
    let (a, b) = w.pair(Profile::TINY);
    let slow = Plan { write: 100, write_pause: 2000, ..Plan::bytes(5000) };
    let n = w.connect(a, "b:1", Kind::Stream, b, [Plan::bytes(10), slow]);
    w.run(20_000);
    assert!(w.chans[n].ends[1].eof && !w.chans[n].ends[0].eof);
    w.finish(200_000);
}

#[test]
fn many_small_writes_share_exchanges() {
    let mut w = World::new(76);
    let (a, _, n) = w.connected(Profile::PC);
    let before = w.exchanges(a).1;
    for _ in 0..1000 {
        w.say(n, 0, 10);
        w.run(1);
    }
    w.arrives(n, 1, 1000);
    let sends = w.exchanges(a).1 - before;
    assert!(sends <= 1000 / 15 + 5, "{sends} for 1,000 writes in a second, 15 ms an exchange");
}

#[test]
fn datagrams_within_the_ring_are_not_lost_on_a_clean_path() {
    let mut w = World::new(77);
    let (a, b) = w.pair(Profile::PHONE);
    let many = Plan { write: 800, write_pause: 3, ..Plan::bytes(400) };
    w.connect(a, "b:2", Kind::Datagram, b, [many, many]);
    w.finish(60_000);
    for end in &w.chans[0].ends {
        assert_eq!(end.read, 400);
    }
    for peer in [a, b] {
        assert_eq!(w.peers[peer].session().stats().datagrams_lost, 0);
    }
}

#[test]
fn lost_datagrams_are_counted() {
    let mut w = World::new(78);
    let (a, b) = w.pair(Profile::PHONE);
    let keep = Plan { write: 800, finish: Finish::Hold, ..Plan::bytes(100) };
    let n = w.connect(a, "b:2", Kind::Datagram, b, [keep, Plan { count: 0, ..keep }]);
    w.run_until(2000, "datagrams", |w| w.chans[n].ends[1].read == 100);
    w.run(1000);
    w.roam(b, false);
    w.peers[b].dark_until = w.now + 30_000;
    w.say(n, 0, 10);
    w.run(100);
    // The dead park has taken these datagrams; those sent now expire.
    w.say(n, 0, 10);
    w.run(20_000);
    w.run(30_000);
    w.say(n, 0, 10);
    w.run(5000);
    let id = w.channel(n, 0);
    let stats = w.peers[a].session().channel_stats(id).expect("open");
    assert_eq!(stats.datagrams_expired, 10);
    assert_eq!(w.chans[n].ends[1].read, 110);
}

#[test]
fn channels_share_the_path() {
    let mut w = World::new(79);
    let (a, b) = w.pair(Profile::PHONE);
    let channels: Vec<_> = (0..4).map(|_| w.hold(a, b)).collect();
    for &n in &channels {
        w.say(n, 0, 500_000);
    }
    w.run(3000);
    let read: Vec<_> = channels.iter().map(|&n| w.chans[n].ends[1].read).collect();
    let (least, most) = (read.iter().min().expect("4"), read.iter().max().expect("4"));
    assert!(*least > 0 && most - least <= most / 4, "{read:?}");
}

#[test]
fn body_refused_as_too_large_shrinks_and_grows_after_ten_minutes() {
    let mut w = World::new(79);
    let (a, _, n) = w.connected(Profile::PC);
    let most = Rc::new(Cell::new(40_000));
    let largest = Rc::new(Cell::new(0));
    let is_refused = {
        let (most, largest) = (Rc::clone(&most), Rc::clone(&largest));
        move |seen: &Seen<'_>| {
            let len = if seen.peer == a { seen.body.len() } else { 0 };
            let refused = len > most.get();
            if !refused {
                largest.set(largest.get().max(len));
            }
            refused
        }
    };
    let refused = w.befall(u32::MAX, Fate::Status(413), is_refused);
    w.say(n, 0, 2_000_000);
    w.arrives(n, 1, 120_000);
    assert!((1..=3).contains(&refused.get()), "{}", refused.get());
    assert!(largest.get() > 16_000, "{}", largest.get());
    most.set(usize::MAX);
    w.run(600_000);
    w.say(n, 0, 2_000_000);
    w.arrives(n, 1, 120_000);
    assert!(largest.get() > 60_000, "{}", largest.get());
}
