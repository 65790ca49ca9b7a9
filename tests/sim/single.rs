//! Clients with one connection, with each other and with clients with two.

use byway::Kind;
use byway::session::Profile;
use byway::wire::Message;

use crate::app::Plan;
use crate::fate::{Fate, Fault, Faults};
use crate::seeds::{number, spread};
use crate::world::{TINY_RINGS, World};

/// The clients with one connection: 0 is the connector, 1 the listener.
const SINGLES: [&[usize]; 3] = [&[0], &[1], &[0, 1]];

/// The time in ms within which a lost exchange with messages is made up for: its hold, the grace,
/// and a probe.
const NOTICED: u64 = 12_000;

/// How single clients send while their park waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By octets behind the request, which reach the relay.
    Behind,
    /// By octets behind the request, which a gateway keeps back.
    KeptBack,
    /// By hanging up.
    HangUp,
}

const WAYS: [Way; 3] = [Way::Behind, Way::KeptBack, Way::HangUp];

fn world(seed: u64, single: &[usize], way: Way) -> World {
    let mut w = World::new(seed);
    w.single = single.to_vec();
    for _ in 0..2 {
        let n = w.peer(Profile::TINY);
        w.peers[n].speech.by_proxy = way == Way::HangUp;
        w.peers[n].speech.kept_back = way == Way::KeptBack;
    }
    w.listen(1, "b:1", Kind::Stream);
    w
}

fn each(mut test: impl FnMut(&[usize], Way)) {
    for single in SINGLES {
        for way in WAYS {
            test(single, way);
        }
    }
}

#[test]
fn idle_single_clients_make_no_exchange_but_their_holds() {
    each(|single, way| {
        let mut w = world(601, single, way);
        let n = w.hold(0, 1);
        for side in 0..2 {
            w.say(n, side, 3000);
            w.arrives(n, 1 - side, 10_000);
        }
        // Traffic counts for 30 s.
        w.run(35_000);
        let before = [w.exchanges(0), w.exchanges(1)];
        w.run(600_000);
        for (peer, (parks, sends)) in before.into_iter().enumerate() {
            let (parks_now, sends_now) = w.exchanges(peer);
            assert_eq!(sends_now, sends);
            let count = parks_now - parks;
            println!("{single:?} {way:?}: peer {peer}: {count} exchanges in 600 s");
            assert!((600 / 25 - 1..=600 / 25 + 1).contains(&count), "{count}");
        }
    });
}

#[test]
fn single_clients_answer_each_other_promptly() {
    each(|single, way| {
        let mut w = world(602, single, way);
        let n = w.hold(0, 1);
        w.run(60_000);
        let (before, begun) = ([w.exchanges(0), w.exchanges(1)], w.now);
        let mut worst = 0;
        for turn in 0..100 {
            w.say(n, turn % 2, 50);
            worst = w.arrives(n, 1 - turn % 2, 10_000).max(worst);
        }
        let took = w.now - begun;
        let count = [0, 1].map(|n| w.exchanges(n).0 + w.exchanges(n).1 - before[n].0 - before[n].1);
        println!(
            "{single:?} {way:?}: 100 messages in {took} ms, {worst} ms at most, exchanges {count:?}"
        );
        assert!(worst <= 1_000, "{worst}");
    });
}

#[test]
fn single_clients_that_send_at_once_under_loss_lose_nothing() {
    let seeds = number("BYWAY_SIM_SEEDS").map_or(20, |n| n.div_ceil(100));
    for single in SINGLES {
        for way in WAYS {
            let ran = spread((0..seeds).collect(), None, |&seed| {
                let mut w = world(seed, single, way);
                w.faults = Faults::each(
                    &[Fault::LoseRequest, Fault::LoseAnswer, Fault::CutAnswer, Fault::CutRequest],
                    50,
                    4000,
                );
                w.connect(0, "b:1", Kind::Stream, 1, [Plan::bytes(20_000); 2]);
                w.finish(1_800_000);
                w.chans[0].ends.iter().map(|end| end.stall).max().unwrap_or(0)
            });
            let worst = ran.done.iter().max_by_key(|(_, stall)| *stall);
            println!("{single:?} {way:?}: longest stall (seed, ms) {worst:?}");
            ran.check();
        }
    }
}

#[test]
fn lost_exchange_is_made_up_for_soon() {
    for fate in [Fate::Lost, Fate::CutDown(0), Fate::Swallowed, Fate::Mute, Fate::LateUp(3000)] {
        let mut worst = 0;
        each(|single, way| {
            for nth in 0..12 {
                let mut w = world(603, single, way);
                let n = w.hold(0, 1);
                let mut at = 0;
                w.on_request = Some(Box::new(move |_| {
                    at += 1;
                    if at == nth + 1 { fate } else { Fate::Pass }
                }));
                for turn in 0..6 {
                    w.say(n, turn % 2, 700);
                    worst = w.arrives(n, 1 - turn % 2, 60_000).max(worst);
                }
            }
        });
        println!("{fate:?}: {worst} ms");
        assert!(worst <= 10_000, "{fate:?}: {worst} ms");
    }
}

#[test]
fn full_window_opens_again() {
    each(|single, way| {
        let mut w = world(604, single, way);
        let n = w.hold(0, 1);
        for side in 0..2 {
            w.pause_reading(n, side, 60_000);
            w.say(n, side, 50_000);
        }
        let before = [w.exchanges(0), w.exchanges(1)];
        w.run(59_000);
        for (peer, (parks, sends)) in before.into_iter().enumerate() {
            let end = &w.chans[n].ends[peer];
            assert_eq!((end.written, end.read), (TINY_RINGS, 0));
            let (parks_now, sends_now) = w.exchanges(peer);
            println!(
                "{single:?} {way:?}: peer {peer}: {} exchanges in 60 s at zero window",
                parks_now + sends_now - parks - sends
            );
            assert!(parks_now + sends_now - parks - sends < 80);
        }
        let took = [w.arrives(n, 0, 60_000), w.arrives(n, 1, 60_000)];
        println!("{single:?} {way:?}: 2 x 50,000 octets {took:?} ms");
        w.hang_up(n);
        w.finish(10_000);
    });
}

#[test]
fn single_clients_survive_each_fault_of_a_proxy() {
    let seeds = number("BYWAY_SIM_SEEDS").map_or(4, |n| n.div_ceil(500));
    for &fault in Fault::OF_A_PROXY {
        let mut cases = Vec::new();
        each(|single, way| cases.extend((0..seeds).map(|seed| (single.to_vec(), way, seed))));
        let ran = spread(cases, None, |(single, way, seed)| {
            let mut w = world(*seed, single, *way);
            w.faults = Faults::each(&[fault], 200, 5_000);
            w.connect(0, "b:1", Kind::Stream, 1, [Plan::bytes(20_000); 2]);
            w.finish(3_600_000);
            w.chans[0].ends.iter().map(|end| end.stall).max().unwrap_or(0)
        });
        let worst = ran.done.iter().max_by_key(|(_, stall)| *stall);
        println!("{fault:?}: longest stall {worst:?}");
        ran.check();
    }
}

#[test]
fn posts_repeated_late_by_a_proxy_lose_nothing() {
    let mut worst = 0;
    for after in [10, 40, 700, 6000] {
        each(|single, way| {
            let mut w = world(605, single, way);
            w.peers.iter_mut().for_each(|peer| peer.latency = (1, 20));
            w.befall(u32::MAX, Fate::Repeat { times: 4, after, last: false }, |_| true);
            w.connect(0, "b:1", Kind::Stream, 1, [Plan::bytes(20_000); 2]);
            w.finish(900_000);
            worst = w.chans[0].ends.iter().map(|end| end.stall).fold(worst, u64::max);
        });
    }
    println!("every POST repeated: stood {worst} ms at most");
    assert!(worst <= 20_000, "{worst}");
}

#[test]
fn relay_killed_every_second_loses_nothing() {
    each(|single, way| {
        let mut w = world(606, single, way);
        let n = w.hold(0, 1);
        w.say(n, 0, 50_000);
        w.say(n, 1, 50_000);
        for _ in 0..30 {
            w.run(1000);
            w.restart_relay(50);
        }
        w.hang_up(n);
        w.finish(120_000);
    });
}

#[test]
fn roams_lose_nothing() {
    for told in [true, false] {
        let mut worst = 0;
        each(|single, way| {
            for seed in 0..10 {
                let mut w = world(700 + seed, single, way);
                w.peers.iter_mut().for_each(|peer| peer.path.keeps = seed % 2 == 0);
                let n = w.hold(0, 1);
                for side in 0..2 {
                    w.chans[n].ends[side].plan.write_pause = 100;
                    w.chans[n].ends[side].plan.write = 200;
                    w.say(n, side, 1 << 40);
                }
                for _ in 0..10 {
                    let pause = w.rng.range(0, 10_000);
                    w.run(pause);
                    let peer = w.rng.below(2) as usize;
                    w.move_away(peer, told);
                    let before = [0, 1].map(|side| w.chans[n].ends[side].read);
                    let took = w.run_until(60_000, "bytes", |w| {
                        (0..2).all(|side| w.chans[n].ends[side].read > before[side])
                    });
                    worst = took.max(worst);
                }
                for side in 0..2 {
                    let end = &mut w.chans[n].ends[side];
                    end.plan.count = end.written;
                }
                w.hang_up(n);
                w.finish(60_000);
            }
        });
        println!("told {told}: recovered {worst} ms");
        assert!(worst <= if told { 3_000 } else { 10_000 }, "{told} {worst}");
    }
}

#[test]
fn message_lost_after_an_idle_time_is_repeated_soon() {
    each(|single, way| {
        let idle = |side: usize| {
            let mut w = world(608, single, way);
            let n = w.hold(0, 1);
            w.pause_reading(n, 1 - side, 120_000);
            w.pause_reading(n, side, 120_000);
            w.say(n, 1 - side, 2_000);
            w.run(100_000);
            (w, n)
        };
        for &side in single {
            // The message that the window is open again.
            let (mut w, n) = idle(side);
            let lost = w.befall(1, Fate::Swallowed, move |seen| {
                seen.peer == side
                    && seen.has(|m| matches!(m, Message::ReceiveReq(w) if w.limit > 1024))
            });
            w.pause_reading(n, side, 0);
            let took = w.arrives(n, side, 60_000);
            assert_eq!(lost.get(), 1);
            println!("{single:?} {way:?}: window {took} ms");
            assert!(took <= NOTICED, "{took}");
            // The message that the channel is given up.
            let (mut w, n) = idle(side);
            let lost = w.befall(1, Fate::Swallowed, move |seen| {
                seen.peer == side && seen.has(|m| matches!(m, Message::CloseReq(_)))
            });
            w.abort(n, side);
            let id = w.channel(n, 1 - side);
            let other = w.chans[n].ends[1 - side].peer;
            let took = w.run_until(60_000, "word of the end", |w| {
                w.with(other, |s, _| s.acked(id)).is_err()
            });
            assert_eq!(lost.get(), 1);
            println!("{single:?} {way:?}: end {took} ms");
            assert!(took <= NOTICED, "{took}");
        }
    });
}
