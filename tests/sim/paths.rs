//! Paths that go dark, addresses that change, relays that restart, proxies that repeat, and the
//! cost of idle peers.

use byway::Kind;
use byway::error::{PeerError, TransportError};
use byway::session::{Event, Lane, Profile};
use byway::wire::Message;

use crate::app::Plan;
use crate::fate::Fate;
use crate::world::World;

#[test]
fn idle_peers_make_no_exchange_but_their_holds() {
    let mut w = World::new(31);
    let (a, b, n) = w.connected(Profile::PHONE);
    w.say(n, 0, 3000);
    w.say(n, 1, 3000);
    w.run(2000);
    let before = [w.exchanges(a), w.exchanges(b)];
    w.run(600_000);
    for (peer, (parks, sends)) in [a, b].into_iter().zip(before) {
        let (parks_now, sends_now) = w.exchanges(peer);
        assert_eq!(sends_now, sends);
        // 30 s of holds of 5 s, then holds of 25 s.
        assert!(parks_now - parks <= 30 / 5 + 570 / 25 + 2, "{}", parks_now - parks);
    }
}

#[test]
fn claims_repeated_by_every_park_make_no_storm() {
    let mut w = World::new(32);
    let a = w.peer(Profile::PHONE);
    for port in 1..=4 {
        w.listen(a, &format!("a:{port}"), Kind::Stream);
    }
    w.run(1000);
    let (parks, sends) = w.exchanges(a);
    w.run(600_000);
    let (parks_now, sends_now) = w.exchanges(a);
    assert_eq!(sends_now, sends);
    assert!(parks_now - parks <= 30);
}

#[test]
fn dark_peer_does_not_delay_a_busy_one() {
    let mut slowest = [0; 2];
    for (case, slowest) in slowest.iter_mut().enumerate() {
        let mut w = World::new(33);
        let (a, b) = w.pair(Profile::PHONE);
        let dark = w.peer(Profile::PHONE);
        w.listen(dark, "dark:1", Kind::Stream);
        let busy = w.hold(a, b);
        let other = w.connect(a, "dark:1", Kind::Stream, dark, [Plan::HOLD; 2]);
        w.run(1000);
        if case == 1 {
            w.peers[dark].dark_until = w.now + 60_000;
        }
        for _ in 0..300 {
            w.say(other, 0, 300);
            w.say(busy, 0, 64);
            *slowest = w.arrives(busy, 1, 5000).max(*slowest);
            w.run(100);
        }
        w.arrives(other, 1, 90_000);
    }
    let [clean, dark] = slowest;
    assert!(dark <= clean + 5, "{dark} ms beside a dark peer, {clean} ms without");
}

#[test]
fn lost_ready_costs_no_more_than_a_probe() {
    let mut w = World::new(34);
    let (a, b, n) = w.connected(Profile::TINY);
    w.roam(b, false);
    w.peers[b].dark_until = w.now + 20_000;
    w.say(n, 0, 5000);
    let lost = w.lose_answers(1, |seen| seen.has(|m| matches!(m, Message::Ready(_))));
    w.run(20_000);
    let id = w.channel(n, 0);
    assert!(w.peers[a].events.contains(&Event::PeerAway(id)));
    w.arrives(n, 1, 10_000);
    assert_eq!(lost.get(), 1);
    assert!(w.peers[a].events.contains(&Event::PeerBack(id)));
}

#[test]
fn data_written_into_a_dead_park_are_sent_again() {
    let mut w = World::new(35);
    let (_, b, n) = w.connected(Profile::TINY);
    w.roam(b, false);
    w.say(n, 0, 1000);
    w.run(100);
    assert!(!w.has_all(n, 1), "the relay wrote it into the park that nobody hears");
    // The park counts as silent after its hold and 2 s.
    w.arrives(n, 1, 12_000);
}

#[test]
fn stream_survives_both_sides_roaming_at_once() {
    for told in [false, true] {
        let mut w = World::new(36);
        let (a, b, n) = w.connected(Profile::PHONE);
        w.say(n, 0, 100_000);
        w.say(n, 1, 100_000);
        w.run(30);
        w.roam(a, told);
        w.roam(b, told);
        let patience = if told { 3_000 } else { 15_000 };
        w.arrives(n, 0, patience);
        w.arrives(n, 1, patience);
        w.hang_up(n);
        w.finish(10_000);
    }
}

#[test]
fn lost_accept_rsp_is_repeated_to_a_roaming_connector() {
    let mut w = World::new(37);
    let (a, b) = w.pair(Profile::TINY);
    let lost = w.lose_answers(1, |seen| seen.has(|m| matches!(m, Message::ConnectRsp(_))));
    w.connect(a, "b:1", Kind::Stream, b, [Plan::bytes(100), Plan::bytes(100)]);
    w.run(22);
    w.roam(a, false);
    w.finish(30_000);
    assert_eq!((lost.get(), w.chans[0].attempts), (1, 1));
}

#[test]
fn late_duplicate_of_a_park_does_no_harm() {
    for last in [false, true] {
        let mut w = World::new(38);
        let again = Fate::Repeat { times: 1, after: 1500, last };
        w.befall(20, again, |seen| seen.lane == Lane::Park);
        let (a, b) = w.pair(Profile::TINY);
        w.connect(a, "b:1", Kind::Stream, b, [Plan::bytes(3000), Plan::bytes(3000)]);
        w.finish(120_000);
    }
}

#[test]
fn posts_repeated_late_by_a_proxy_lose_nothing() {
    for last in [false, true] {
        for after in [0, 40, 700, 6000] {
            let mut w = World::new(39);
            // If the client always got the last answer, no exchange would ever succeed.
            let times = if last { 40 } else { u32::MAX };
            w.befall(times, Fate::Repeat { times: 4, after, last }, |_| true);
            let (a, b) = w.pair(Profile::PHONE);
            w.connect(a, "b:1", Kind::Stream, b, [Plan::bytes(60_000), Plan::bytes(60_000)]);
            w.connect(a, "b:2", Kind::Datagram, b, [Plan::bytes(20), Plan::bytes(20)]);
            w.finish(900_000);
        }
    }
}

#[test]
fn connect_survives_a_restart_before_the_listener_is_back() {
    for down in [0, 500, 4000] {
        let mut w = World::new(40);
        let (a, b) = w.pair(Profile::TINY);
        w.run(1000);
        w.peers[b].latency = (600, 800);
        w.connect(a, "b:1", Kind::Stream, b, [Plan::bytes(2000), Plan::bytes(2000)]);
        w.run(5);
        w.restart_relay(down);
        w.finish(120_000);
        assert_eq!(w.chans[0].attempts, 1, "a young relay refuses nobody");
    }
}

#[test]
fn relay_killed_every_second_loses_nothing() {
    let mut w = World::new(41);
    let (_, _, n) = w.connected(Profile::PHONE);
    w.say(n, 0, 1_000_000);
    w.say(n, 1, 1_000_000);
    for _ in 0..30 {
        w.run(1000);
        w.restart_relay(50);
    }
    w.hang_up(n);
    w.finish(120_000);
}

#[test]
fn jump_of_the_clock_counts_as_a_change_of_network() {
    let mut w = World::new(42);
    let (a, b, n) = w.connected(Profile::TINY);
    for _ in 0..5 {
        w.say(n, 0, 3000);
        w.say(n, 1, 3000);
        w.run(20);
        // The device sleeps: exchanges under way are over when it wakes.
        w.now += 100_000;
        w.roam(a, true);
        w.roam(b, true);
        w.run(5000);
    }
    w.hang_up(n);
    w.finish(60_000);
}

#[test]
fn linger_names_the_offset_at_both_ends() {
    let mut w = World::new(43);
    let (_, b, n) = w.connected(Profile::TINY);
    w.say(n, 0, 300);
    w.arrives(n, 1, 1000);
    w.run(1000);
    w.roam(b, false);
    w.peers[b].dark_until = w.now + 200_000;
    w.say(n, 0, 700);
    w.say(n, 1, 50);
    w.run(190_000);
    let gave_up = w.chans[n].ends[0].error;
    assert_eq!(gave_up, Some(TransportError::Linger { acked: 300 }.into()));
    w.run(20_000);
    let told = w.chans[n].ends[1].error;
    // The end has failed by its own linger time, or by the message of the other end.
    let own = Some(TransportError::Linger { acked: 0 }.into());
    let word = Some(PeerError::GaveUp { received: 0 }.into());
    assert!(told == own || told == word, "{told:?}");
}

#[test]
fn silent_end_learns_that_the_other_gave_up() {
    let mut w = World::new(44);
    let (_, b, n) = w.connected(Profile::TINY);
    w.roam(b, false);
    w.peers[b].dark_until = w.now + 200_000;
    w.say(n, 0, 700);
    w.run(230_000);
    let word = PeerError::GaveUp { received: 0 };
    assert_eq!(w.chans[n].ends[1].error, Some(word.into()));
}

#[test]
fn keepalive_finds_a_dead_peer() {
    let mut w = World::new(45);
    let a = w.peer_with(Profile::TINY, |settings| settings.keepalive_ms = 60_000);
    let b = w.peer(Profile::TINY);
    w.listen(b, "b:1", Kind::Stream);
    let n = w.hold(a, b);
    w.run(600_000);
    assert_eq!(w.chans[n].ends[0].error, None);
    let (_, sends) = w.exchanges(a);
    assert!(sends <= 16, "{sends}");
    w.peers[b].dark_until = u64::MAX / 2;
    w.run(300_000);
    assert_eq!(w.chans[n].ends[0].error, Some(TransportError::Linger { acked: 0 }.into()));
}
