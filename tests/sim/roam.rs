//! Devices that change their address, and paths that go dark.

use byway::Kind;
use byway::error::{PeerError, TransportError};
use byway::session::{Pace, Profile};

use crate::path::Dialling;
use crate::world::World;

const PACES: [Pace; 2] = [Pace::LongPoll, Pace::Streaming];
/// The bounds that the protocol promises, in ms.
const NOTICED_BUSY: u64 = 8_000;
const NOTICED_IDLE: u64 = 28_000 + 5_000;
const RECOVERED: u64 = 8_000;
/// The bound for an application that tells its client of the change, in ms: the client dials at
/// once, and repeats what was lost on the way.
const RECOVERED_TOLD: u64 = 1_000 + 1_000;

/// The linger time that the tests configure, in ms: the shortest one.
const LINGER: u32 = 66_000;

/// Two clients with a stream that both keep.
fn pair(seed: u64, pace: Pace, keeps: bool) -> (World, usize) {
    pair_with(seed, pace, keeps, 180_000)
}

fn pair_with(seed: u64, pace: Pace, keeps: bool, linger_ms: u32) -> (World, usize) {
    let mut w = World::new(seed);
    for _ in 0..2 {
        let n = w.peer_with(Profile::PHONE, |settings| {
            settings.pace = pace;
            settings.linger_ms = linger_ms;
        });
        w.peers[n].path.keeps = keeps;
        let (least, more) = (w.rng.range(1, 40), w.rng.below(60));
        w.peers[n].latency = (least, least + more);
    }
    w.listen(1, "b:1", Kind::Stream);
    let n = w.hold(0, 1);
    (w, n)
}

/// What the applications do meanwhile.
#[derive(Debug, Clone, Copy)]
enum Talk {
    /// Both sides send as much as they can.
    Bulk,
    /// Both sides send a little now and then.
    Chat,
}

/// Has both sides send for ever.
fn talk(w: &mut World, n: usize, talk: Talk) {
    for side in 0..2 {
        let plan = &mut w.chans[n].ends[side].plan;
        match talk {
            Talk::Bulk => (plan.write, plan.write_pause) = (8000, 5),
            Talk::Chat => (plan.write, plan.write_pause) = (100, 400),
        }
        w.say(n, side, 1 << 40);
    }
}

/// Ends a conversation: every byte written arrives.
fn fall_silent(w: &mut World, n: usize) {
    for side in 0..2 {
        let end = &mut w.chans[n].ends[side];
        end.plan.count = end.written;
    }
    w.hang_up(n);
    w.finish(60_000);
}

/// The time until both sides have read a new byte.
#[track_caller]
fn flows_again(w: &mut World, n: usize, within: u64, what: &str) -> u64 {
    let since = w.now;
    let before = [0, 1].map(|side| w.chans[n].ends[side].read);
    w.run_until(within, what, |w| (0..2).all(|side| w.chans[n].ends[side].read > before[side]));
    w.now - since
}

/// The clients whose address changes, or whose path goes dark.
const SIDES: [&[usize]; 3] = [&[0], &[1], &[0, 1]];

#[test]
fn forty_roams_in_a_transfer_lose_nothing() {
    for pace in PACES {
        for (case, sides) in SIDES.into_iter().enumerate() {
            for told in [true, false] {
                let (mut w, n) = pair(100 + case as u64, pace, true);
                talk(&mut w, n, Talk::Bulk);
                for _ in 0..40 {
                    let pause = w.rng.range(0, if told { 1_000 } else { 10_000 });
                    w.run(pause);
                    sides.iter().for_each(|&peer| w.move_away(peer, told));
                }
                fall_silent(&mut w, n);
                assert!(
                    w.longest_hang.iter().all(|&ms| ms <= NOTICED_BUSY),
                    "{:?}",
                    w.longest_hang
                );
            }
        }
    }
}

#[test]
fn change_of_address_is_a_bounded_pause() {
    for pace in PACES {
        let (mut recovered, mut hung) = ([0; 2], 0);
        for seed in 0..300 {
            for (told, recovered) in [false, true].into_iter().zip(&mut recovered) {
                let (mut w, n) = pair(1000 + seed, pace, seed % 2 == 0);
                talk(&mut w, n, if seed % 4 < 2 { Talk::Bulk } else { Talk::Chat });
                let phase = w.rng.below(12_000);
                w.run(phase);
                let sides = *w.rng.pick(&SIDES);
                sides.iter().for_each(|&peer| w.move_away(peer, told));
                let took = flows_again(&mut w, n, 60_000, "bytes");
                *recovered = took.max(*recovered);
                w.run(3_000);
                fall_silent(&mut w, n);
                hung = w.longest_hang.into_iter().max().expect("2 lanes").max(hung);
            }
        }
        let [unaware, told] = recovered;
        println!("{pace:?}: roam: noticed {hung} ms, recovered {unaware} ms, told {told} ms");
        assert!(hung <= NOTICED_BUSY, "{hung}");
        assert!(unaware <= RECOVERED, "{unaware}");
        assert!(told <= RECOVERED_TOLD, "{told}");
    }
}

#[test]
fn idle_client_notices_a_roam_within_its_hold_and_five_seconds() {
    for pace in PACES {
        let mut hung = 0;
        for seed in 0..100 {
            let (mut w, n) = pair(2000 + seed, pace, seed % 2 == 0);
            w.say(n, 0, 1000);
            let phase = 40_000 + w.rng.below(60_000);
            w.run(phase);
            let sides = *w.rng.pick(&SIDES);
            sides.iter().for_each(|&peer| w.move_away(peer, false));
            w.run(NOTICED_IDLE + 1_000);
            assert!(w.trips.values().all(|trip| !trip.hung), "{}", w.dump());
            hung = hung.max(w.longest_hang[0]);
            w.say(n, 0, 500);
            w.say(n, 1, 500);
            w.arrives(n, 0, 5_000);
            w.arrives(n, 1, 5_000);
        }
        println!("{pace:?}: idle roam: noticed {hung} ms");
        // Silence counts from when the request has gone up.
        assert!(hung <= NOTICED_IDLE + 200, "{hung}");
    }
}

#[test]
fn question_after_an_unnoticed_roam_is_answered_soon() {
    for pace in PACES {
        let (mut worst, mut hung) = (0, 0);
        for seed in 0..100 {
            let (mut w, n) = pair(3000 + seed, pace, seed % 2 == 0);
            w.say(n, 0, 1000);
            let phase = 40_000 + w.rng.below(60_000);
            w.run(phase);
            let side = w.rng.below(2) as usize;
            w.move_away(side, false);
            let pause = w.rng.below(20_000);
            w.run(pause);
            // A question, and its answer.
            let begun = w.now;
            w.say(n, side, 100);
            w.arrives(n, 1 - side, 60_000);
            w.say(n, 1 - side, 100);
            w.arrives(n, side, 60_000);
            worst = worst.max(w.now - begun);
            hung = hung.max(w.longest_hang[0]);
        }
        println!("{pace:?}: question after an idle roam: answered {worst} ms, noticed {hung} ms");
        assert!(worst <= NOTICED_BUSY, "{worst}");
    }
}

#[test]
fn bytes_flow_within_eight_seconds_of_a_dark_path_coming_back() {
    for pace in PACES {
        for dark in [1_000, 5_000, 30_000, 120_000] {
            let mut worst = 0;
            for seed in 0..400 {
                let (mut w, n) = pair(4000 + seed, pace, seed % 2 == 0);
                talk(&mut w, n, if seed % 4 < 2 { Talk::Bulk } else { Talk::Chat });
                let phase = w.rng.below(12_000);
                w.run(phase);
                let dialling = *w.rng.pick(&[Dialling::Refused, Dialling::Unanswered]);
                let sides = *w.rng.pick(&SIDES);
                let odd = w.rng.below(2_000);
                sides.iter().for_each(|&peer| w.go_dark(peer, dark + odd, dialling));
                w.run(dark + odd);
                let what = format!("bytes, {sides:?} dark for {dark} ms, {dialling:?}");
                worst = flows_again(&mut w, n, 60_000, &what).max(worst);
                fall_silent(&mut w, n);
            }
            println!("{pace:?}: dark for {} s: recovered {worst} ms", dark / 1000);
            assert!(worst <= RECOVERED, "{worst} ms after {dark} ms");
        }
    }
}

/// Runs until an end has failed, and gives how long that took.
#[track_caller]
fn ends(w: &mut World, n: usize, side: usize, within: u64) -> u64 {
    w.run_until(within, "end", |w| w.chans[n].ends[side].error.is_some())
}

#[test]
fn after_linger_both_ends_name_the_offset() {
    for pace in PACES {
        for (seed, sides) in SIDES.into_iter().enumerate() {
            let (mut w, n) = pair_with(5000 + seed as u64, pace, true, LINGER);
            for (side, bytes) in [(0, 3000), (1, 2000)] {
                w.say(n, side, bytes);
                w.arrives(n, 1 - side, 1_000);
            }
            w.run(2_000);
            sides.iter().for_each(|&peer| w.go_dark(peer, 1 << 40, Dialling::Unanswered));
            w.say(n, 0, 700);
            w.say(n, 1, 50);
            let linger = u64::from(LINGER);
            let first = ends(&mut w, n, 0, linger + 5_000);
            let second = first + ends(&mut w, n, 1, linger + 5_000);
            // Deadlines are met between sends, and the last send hangs.
            assert!((linger..linger + 4_500).contains(&first), "{first}");
            assert!((linger..linger + 4_500).contains(&second), "{second}");
            for (end, acked) in w.chans[n].ends.iter().zip([3000, 2000]) {
                assert_eq!(end.error, Some(TransportError::Linger { acked }.into()));
            }
        }
    }
}

#[test]
fn end_without_bytes_outstanding_hears_the_offset_of_the_other() {
    for pace in PACES {
        for dark in 0..2 {
            for speaks in 0..2 {
                let (mut w, n) = pair_with(5100, pace, true, LINGER);
                for (side, bytes) in [(0, 3000), (1, 2000)] {
                    w.say(n, side, bytes);
                    w.arrives(n, 1 - side, 1_000);
                }
                w.run(2_000);
                // The path is back while CLOSE_REQ is repeated, which lasts as long again.
                w.go_dark(dark, 90_000, Dialling::Unanswered);
                w.say(n, speaks, 700);
                ends(&mut w, n, speaks, 90_000);
                w.run_until(110_000, "word of the end", |w| w.chans[n].ends[1 - speaks].done);
                let sent = [3000, 2000];
                let linger = TransportError::Linger { acked: sent[speaks] };
                let word = PeerError::GaveUp { received: sent[1 - speaks] };
                assert_eq!(w.chans[n].ends[speaks].error, Some(linger.into()));
                assert_eq!(w.chans[n].ends[1 - speaks].error, Some(word.into()));
            }
        }
    }
}

#[test]
fn linger_in_a_transfer_names_an_offset_that_the_other_has() {
    for pace in PACES {
        for seed in 0..60 {
            let (mut w, n) = pair_with(5200 + seed, pace, seed % 2 == 0, LINGER);
            talk(&mut w, n, Talk::Bulk);
            let phase = 1_000 + w.rng.below(8_000);
            w.run(phase);
            let sides = *w.rng.pick(&SIDES);
            sides.iter().for_each(|&peer| w.go_dark(peer, 1 << 40, Dialling::Refused));
            let both = |w: &mut World| w.chans[n].ends.iter().all(|end| end.error.is_some());
            let took = w.run_until(u64::from(LINGER) + 10_000, "ends", both);
            assert!(took >= u64::from(LINGER) - 2_000, "{took}");
            for side in 0..2 {
                let [end, other] = [side, 1 - side].map(|side| &w.chans[n].ends[side]);
                let Some(byway::error::Error::Transport(TransportError::Linger { acked })) =
                    end.error
                else {
                    panic!("{:?}", end.error)
                };
                let ring = Profile::PHONE.ring as u64;
                assert!((1..=other.read).contains(&acked), "{acked} of {}", other.read);
                assert!(other.read - acked <= ring, "{acked} of {}", other.read);
            }
        }
    }
}

#[test]
fn window_lost_with_a_park_is_asked_for_at_once() {
    for pace in PACES {
        let (mut w, n) = pair(5300, pace, false);
        let ring = Profile::PHONE.ring as u64;
        w.pause_reading(n, 1, 30_000);
        w.say(n, 0, 3 * ring);
        w.run(29_500);
        assert_eq!(w.chans[n].ends[1].read, 0);
        // The window opens, and is told into a park that is dead.
        w.move_away(0, false);
        w.run_until(8_000, "notice", |w| w.longest_hang[0] > 0);
        let took = w.arrives(n, 1, 8_000);
        assert!(took < 1_000, "{took}");
    }
}
