//! Many clients at a relay that stands still, or is started again: together they must not do what
//! each does alone.

use byway::Kind;
use byway::session::{Pace, Profile};

use crate::app::Plan;
use crate::world::World;

const CLIENTS: usize = 200;

/// Clients in pairs whose answers stay open, and their channels.
fn streaming(seed: u64) -> (World, Vec<usize>) {
    let mut w = World::new(seed);
    w.pace = Pace::Streaming;
    let mut channels = Vec::new();
    for pair in 0..CLIENTS / 2 {
        let (a, b) = (w.peer(Profile::TINY), w.peer(Profile::TINY));
        let name = format!("b{pair}:1");
        w.listen(b, &name, Kind::Stream);
        let n = w.connect(a, &name, Kind::Stream, b, [Plan::HOLD; 2]);
        w.run_until(30_000, "connection", |w| w.chans[n].ends[1].id.is_some());
        channels.push(n);
    }
    (w, channels)
}

/// Every client sends a message, so that answers stay open for the next half minute.
fn talk(w: &mut World, channels: &[usize]) {
    for &n in channels {
        w.say(n, 0, 10);
        w.say(n, 1, 10);
    }
    w.run(1_000);
}

/// The number of late answers of all clients so far.
fn late(w: &mut World) -> u64 {
    w.peers.iter_mut().map(|peer| peer.session().stats().late).sum()
}

/// The relay stands still: gives how many answers are broken off, and within how many ms.
fn stand_still(w: &mut World, ms: u64) -> (u64, u64) {
    w.relay_stands_until = w.now + ms;
    let mut breaks = Vec::new();
    for at in 0..ms + 1_500 {
        let before = late(w);
        w.run(1);
        breaks.extend((before..late(w)).map(|_| at));
    }
    let spread = breaks.last().zip(breaks.first()).map_or(0, |(last, first)| last - first);
    (breaks.len() as u64, spread)
}

#[test]
fn relay_that_stands_still_for_a_moment_loses_few_streams_briefly() {
    let (mut w, channels) = streaming(80);
    talk(&mut w, &channels);
    let (broken, _) = stand_still(&mut w, 300);
    println!("stood still for 300 ms: {broken} of {CLIENTS} streams broken off");
    assert!(broken <= CLIENTS as u64 / 200, "{broken}");
    // Two pauses that are longer: some answers are late twice in a row.
    talk(&mut w, &channels);
    let (broken, spread) = stand_still(&mut w, 700);
    let (again, _) = stand_still(&mut w, 700);
    println!("twice for 700 ms: {broken} within {spread} ms, then {again}");
    assert!(broken > 10 && spread >= 300, "{broken} within {spread} ms");
    w.run(60_000);
    talk(&mut w, &channels);
    let before: Vec<_> = w.peers.iter_mut().map(|peer| peer.session().stats().streams).collect();
    w.run(12_000);
    let after = w.peers.iter_mut().map(|peer| peer.session().stats().streams);
    let streams = after.zip(before).filter(|(after, before)| after > before).count();
    println!("a minute later: {streams} of {CLIENTS} stream");
    assert_eq!(streams, CLIENTS);
}

#[test]
fn idle_clients_spread_their_parks_after_a_restart() {
    let mut w = World::new(81);
    for n in 0..CLIENTS {
        let peer = w.peer(Profile::TINY);
        w.listen(peer, &format!("b{n}:1"), Kind::Stream);
    }
    w.run(60_000);
    w.restart_relay(0);
    // The first parks behind the restart come together.
    w.run(15_000);
    let parks = |w: &World| (0..CLIENTS).map(|peer| w.exchanges(peer).0).sum::<u64>();
    let mut most = 0;
    let begun = parks(&w);
    for _ in 0..1_200 {
        let before = parks(&w);
        w.run(1_000);
        most = most.max(parks(&w) - before);
    }
    let all = parks(&w) - begun;
    let minute = all as f64 / CLIENTS as f64 / 20.0;
    println!("{CLIENTS} idle clients: {most} parks a second at most, {minute:.2} a minute each");
    assert!(most <= CLIENTS as u64 / 4, "{most}");
    // The most exchanges of an idle client.
    assert!(minute <= 2.4, "{minute}");
}
