//! What sessions learn of their paths: how long holds may be, and how large bodies.

use std::cell::RefCell;
use std::rc::Rc;

use byway::Kind;
use byway::session::{Lane, Pace, Profile, Settings};
use byway::wire::Message;

use crate::app::Plan;
use crate::fate::Fate;
use crate::world::World;

const PACES: [Pace; 2] = [Pace::LongPoll, Pace::Streaming];
/// How long the session trusts what it learnt, in ms.
const LEARNT: u64 = 600_000;
/// The longest time of a message that waits for no deadline, in ms.
const AT_ONCE: u64 = 300;

/// Two clients with a stream that both keep.
fn pair(seed: u64, profile: Profile, set: impl Fn(&mut Settings)) -> (World, usize) {
    let mut w = World::new(seed);
    for _ in 0..2 {
        let n = w.peer_with(profile, &set);
        w.peers[n].latency = (10, 20);
    }
    w.listen(1, "b:1", Kind::Stream);
    let n = w.hold(0, 1);
    (w, n)
}

/// The holds that a client asks for from now on, and when.
type Holds = Rc<RefCell<Vec<u64>>>;

fn holds(w: &mut World, peer: usize) -> Holds {
    let holds = Holds::default();
    let log = holds.clone();
    w.on_request = Some(Box::new(move |seen| {
        seen.has(|message| {
            if let (Message::Hello(hello), true) = (message, seen.of(peer, Lane::Park)) {
                log.borrow_mut().push(hello.hold_ms.into());
            }
            false
        });
        Fate::Pass
    }));
    holds
}

/// Carries a message, and gives how long that took.
#[track_caller]
fn message(w: &mut World, n: usize, side: usize) -> u64 {
    w.say(n, side, 100);
    w.arrives(n, 1 - side, 130_000)
}

#[test]
fn holds_fall_below_the_memory_of_a_translator() {
    for pace in PACES {
        for keeps in [false, true] {
            let (mut w, n) = pair(1, Profile::PHONE, |settings| settings.pace = pace);
            let asked = holds(&mut w, 1);
            for peer in &mut w.peers {
                peer.path.forgets = 12_000;
                peer.path.keeps = keeps;
            }
            // Idle clients lose two parks or three each, and shorten their holds.
            let begun = w.now;
            let mut first = 0;
            let mut later = 0;
            for round in 0..10 {
                // The idle park before a message is older than the memory of the translator.
                let pause = w.rng.range(50_000, 56_000);
                w.run(pause);
                asked.borrow_mut().clear();
                for side in 0..2 {
                    let took = message(&mut w, n, side);
                    let worst = if round < 7 { &mut first } else { &mut later };
                    *worst = took.max(*worst);
                }
            }
            println!(
                "{pace:?}: forgotten after 12 s: a message took {first} ms, then {later} ms \
                 (connections kept: {keeps})"
            );
            assert!(w.now - begun < LEARNT);
            assert!(first <= 28_000 + 5_000 + 1_000, "{first}");
            assert!(later <= AT_ONCE, "{later}");
            w.run(45_000);
            let hold = asked.borrow().last().copied().expect("parks");
            assert!(hold < 12_000, "{hold}");
            // Another network may have a longer memory.
            w.move_away(1, true);
            w.run(100);
            let hold = asked.borrow().last().copied();
            assert!(hold.is_some_and(|hold| (22_400..=28_000).contains(&hold)), "{hold:?}");
        }
    }
}

#[test]
fn holds_fall_below_the_patience_of_gateways() {
    // The patience of haproxy and of nginx.
    for cut in [50_000, 60_000] {
        let (mut w, n) = pair(2, Profile::PHONE, |settings| settings.pace = Pace::Battery);
        let asked = holds(&mut w, 1);
        for peer in &mut w.peers {
            peer.path.tires = Some((cut, 504));
        }
        w.run(6 * cut);
        let failed = w.peers[1].session().stats().failed;
        assert!((1..=2).contains(&failed), "{failed} parks were cut");
        let longest = asked.borrow().iter().max().copied();
        assert!(longest.is_some_and(|hold| (96_000..=120_000).contains(&hold)), "{longest:?}");
        let mut slowest = 0;
        asked.borrow_mut().clear();
        for _ in 0..5 {
            w.run(80_000);
            for side in 0..2 {
                slowest = message(&mut w, n, side).max(slowest);
            }
        }
        assert_eq!(w.peers[1].session().stats().failed, failed, "it knows by now");
        assert!(slowest <= AT_ONCE, "{slowest}");
        let idle = asked.borrow().iter().max().copied().expect("parks");
        println!("Battery: cut at {} s: {failed} cut, then holds of {idle} ms", cut / 1000);
        assert!((25_000..cut).contains(&idle), "{idle}");
    }
}

#[test]
fn gateways_cut_no_hold_of_the_other_paces() {
    for pace in PACES {
        let (mut w, n) = pair(3, Profile::PHONE, |settings| settings.pace = pace);
        for peer in &mut w.peers {
            peer.path.tires = Some((50_000, 504));
        }
        for _ in 0..36 {
            w.run(100_000);
            assert!(message(&mut w, n, 0) <= AT_ONCE);
        }
        assert_eq!(w.peers[0].session().stats().failed, 0);
        assert_eq!(w.peers[1].session().stats().failed, 0);
    }
}

#[test]
fn bodies_fall_below_the_limit_of_a_gateway_and_grow_after_ten_minutes() {
    for pace in PACES {
        let profile = Profile { ring: 4 << 20, ..Profile::PC };
        let (mut w, n) = pair(4, profile, |settings| {
            settings.pace = pace;
            settings.max_body = 4 << 20;
        });
        for peer in &mut w.peers {
            peer.path.most_body = 1 << 20;
        }
        let transfer = |w: &mut World| {
            w.peers[0].path.bodies.clear();
            w.say(n, 0, 32 << 20);
            w.arrives(n, 1, 120_000);
            std::mem::take(&mut w.peers[0].path.bodies)
        };
        let bodies = transfer(&mut w);
        let refused = bodies.iter().filter(|&&body| body > 1 << 20).count();
        let settled = bodies.iter().rev().take(10).max().copied().expect("bodies");
        println!("{pace:?}: 413 above 1 MiB: {refused} refused, then bodies of {settled}");
        assert!((1..=2).contains(&refused), "{refused}");
        assert!((1 << 18..=1 << 20).contains(&settled), "{settled}");
        // The limit is gone, and no client is told.
        w.peers[0].path.most_body = usize::MAX;
        assert!(transfer(&mut w).iter().all(|&body| body <= 1 << 20));
        w.run(LEARNT);
        let largest = transfer(&mut w).into_iter().max().expect("bodies");
        assert!(largest > 1 << 20, "{largest}");
    }
}

/// Echoes one octet each 300 ms for this long, in ms, and gives how long each echo took.
fn typing(w: &mut World, n: usize, ms: u64) -> Vec<u64> {
    let until = w.now + ms;
    let mut took = Vec::new();
    while w.now < until {
        let begun = w.now;
        for side in [0, 1] {
            w.say(n, side, 1);
            w.arrives(n, 1 - side, 10_000);
        }
        took.push(w.now - begun);
        w.run(300_u64.saturating_sub(w.now - begun));
    }
    took
}

/// So does a relay that a crowd keeps busy.
#[test]
fn answers_stay_open_where_exchanges_take_longer_than_they_did() {
    let mut w = World::new(9);
    for _ in 0..2 {
        w.peer_with(Profile::PC, |settings| settings.pace = Pace::Streaming);
    }
    let set = |w: &mut World, latency| w.peers.iter_mut().for_each(|p| p.latency = latency);
    set(&mut w, (2, 4));
    w.listen(1, "b:1", Kind::Stream);
    let n = w.hold(0, 1);
    typing(&mut w, n, 5_000);
    set(&mut w, (350, 400));
    // The first sends tell how long exchanges take.
    typing(&mut w, n, 5_000);
    let count = |w: &mut World| -> (u64, u64) {
        let stats = w.peers.iter_mut().map(|peer| peer.session().stats());
        stats.fold((0, 0), |(late, parks), stats| (late + stats.late, parks + stats.parks))
    };
    let (late, parks) = count(&mut w);
    typing(&mut w, n, 60_000);
    let after = count(&mut w);
    let (late, parks) = (after.0 - late, after.1 - parks);
    println!("a minute of exchanges of 0.7 to 0.8 s: {late} late answers, {parks} parks");
    assert_eq!(late, 0);
    // Two clients, ten answers a minute each; by long polls there would be a park for each message.
    assert!(parks <= 24, "{parks}");
}

/// Haproxy does so with its defaults. Long polls are not held back.
#[test]
fn answers_held_back_are_given_up_at_once_and_tried_in_quiet() {
    let mut w = World::new(7);
    for _ in 0..2 {
        let n = w.peer_with(Profile::PC, |settings| settings.pace = Pace::Streaming);
        w.peers[n].latency = (1, 3);
        w.peers[n].path.corks = 200;
    }
    w.listen(1, "b:1", Kind::Stream);
    let n = w.hold(0, 1);
    let slow = |took: &[u64]| took.iter().filter(|took| **took > 100).count();
    // The number of echoes until the last slow one, of a new client and in a new network.
    for _ in 0..2 {
        let first = typing(&mut w, n, 15_000);
        let noticed = first.iter().rposition(|took| *took > 100).map_or(0, |last| last + 1);
        println!("held back for 200 ms: {noticed} echoes were late: {first:?}");
        assert!(noticed <= 4, "{noticed}");
        for peer in 0..2 {
            w.move_away(peer, true);
        }
    }
    typing(&mut w, n, 15_000);
    // Half an hour with a pause now and then: the tries fall into the pauses.
    let mut later = Vec::new();
    for _ in 0..90 {
        later.extend(typing(&mut w, n, 15_000));
        w.run(5_000);
    }
    let streams = |w: &mut World| w.peers.iter_mut().map(|p| p.session().stats().streams).max();
    let tries = streams(&mut w);
    println!("later {} of {} echoes were slow, {tries:?} tries", slow(&later), later.len());
    assert!(slow(&later) <= 2, "{}", slow(&later));
    // Without a pause each try costs an echo.
    let busy = typing(&mut w, n, 1_800_000);
    println!("{} of {} where it is never quiet", slow(&busy), busy.len());
    assert!(slow(&busy) <= 12, "{}", slow(&busy));
    // The gateway is replaced, and no client is told: within ten minutes answers stream again.
    for peer in &mut w.peers {
        peer.path.corks = 0;
    }
    typing(&mut w, n, 660_000);
    let before = w.peers.iter_mut().map(|p| p.session().stats()).collect::<Vec<_>>();
    let rounds = typing(&mut w, n, 60_000).len() as u64;
    for (peer, before) in w.peers.iter_mut().zip(before) {
        let parks = peer.session().stats().parks - before.parks;
        assert!(parks < rounds / 2, "{parks} parks in {rounds} echoes");
    }
}

/// The median of the last few bodies, in octets.
fn typical(w: &World) -> u64 {
    let mut last: Vec<_> = w.peers[0].path.bodies.iter().rev().take(9).copied().collect();
    last.sort_unstable();
    last[last.len() / 2] as u64
}

fn set_uplink(w: &mut World, rate: u64) {
    w.peers[0].path.uplink = rate;
    // The kernel takes octets for 10 ms at a time, or a packet.
    w.peers[0].chunk = (rate / 100).clamp(1460, 64 << 10) as usize;
}

#[test]
fn bodies_follow_the_uplink() {
    for pace in PACES {
        for rate in [8_000, 20_000, 200_000, 10_000_000] {
            for then in [rate / 10, rate * 10] {
                let profile = Profile { ring: 4 << 20, ..Profile::PC };
                let (mut w, n) = pair(5, profile, |settings| settings.pace = pace);
                let mut settled = [0; 2];
                w.say(n, 0, 1 << 40);
                for (rate, settled) in [rate, then].into_iter().zip(&mut settled) {
                    set_uplink(&mut w, rate);
                    w.run(60_000);
                    *settled = typical(&w);
                    let wanted = (rate / 4).clamp(4 << 10, (1 << 20) - (20 << 10));
                    let ms = *settled * 1000 / rate;
                    println!("{pace:?}: {rate} octets/s: bodies of {settled}, {ms} ms");
                    assert!(
                        (wanted / 2..=wanted * 2).contains(settled),
                        "{settled} octets at {rate} a second, not {wanted}"
                    );
                }
            }
        }
    }
}

#[test]
fn message_is_not_delayed_by_a_bulk_transfer() {
    for pace in PACES {
        for rate in [20_000, 200_000, 10_000_000] {
            let (mut w, n) = pair(6, Profile::PC, |settings| settings.pace = pace);
            set_uplink(&mut w, rate);
            let other = w.connect(0, "b:1", Kind::Stream, 1, [Plan::HOLD; 2]);
            w.run(5_000);
            w.say(n, 0, 1 << 40);
            w.run(15_000);
            let mut slowest = 0;
            for _ in 0..50 {
                slowest = message(&mut w, other, 0).max(slowest);
                let pause = w.rng.below(2_000);
                w.run(pause);
            }
            println!("{pace:?}: {rate} octets/s: a message beside a transfer took {slowest} ms");
            // The body under way, and the body of the message itself.
            assert!(slowest <= 1_000, "{slowest}");
        }
    }
}
