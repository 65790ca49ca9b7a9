//! Processes that vanish without a word, and processes that take their place.

use byway::Kind;
use byway::error::{Error, PeerError, TransportError};
use byway::session::{Pace, Profile};

use crate::app::Plan;
use crate::path::Dialling;
use crate::world::{Happens, World};

const OWNER: [u8; 16] = [9; 16];
const PACES: [Pace; 3] = [Pace::LongPoll, Pace::Streaming, Pace::Battery];

/// How the relay learns that a process has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// The process's system closes its connections.
    Killed,
    /// The machine is not heard any more.
    PowerLost,
}

impl World {
    fn vanish(&mut self, peer: usize, death: Death) {
        let under_way = self.peers[peer].trips;
        self.go_dark(peer, u64::MAX / 4, Dialling::Unanswered);
        for id in under_way.into_iter().flatten() {
            if let Some(link) = self.trips.get(&id).and_then(|trip| trip.link)
                && death == Death::Killed
            {
                self.schedule(self.now + 1, Happens::Gone(link));
            }
        }
    }

    fn process(&mut self, profile: Profile, pace: Pace) -> usize {
        self.peer_with(profile, |settings| {
            settings.owner = OWNER;
            settings.pace = pace;
        })
    }
}

#[test]
fn peers_of_a_restarted_process_are_told_within_two_seconds() {
    let mut worst = 0;
    for death in [Death::Killed, Death::PowerLost] {
        for pace in PACES {
            for single in [&[][..], &[0], &[1], &[0, 1, 2]] {
                for idle in [500, 100_000] {
                    for restart_after in [4, 2_000, 20_000] {
                        let mut w = World::new(91);
                        w.single = single.to_vec();
                        let a = w.process(Profile::PHONE, pace);
                        let b = w.process(Profile::PHONE, pace);
                        w.listen(b, "b:1", Kind::Stream);
                        let n = w.hold(a, b);
                        w.run(idle);
                        w.vanish(b, death);
                        w.run(restart_after);
                        let c = w.process(Profile::PHONE, pace);
                        w.listen(c, "b:1", Kind::Stream);
                        let took = w.run_until(2_000, "word of the restart", |w| {
                            w.chans[n].ends[0].error.is_some()
                        });
                        let error = w.chans[n].ends[0].error;
                        let told = matches!(error, Some(Error::Peer(PeerError::Unknown { .. })));
                        assert!(told, "{error:?}");
                        worst = worst.max(took);
                        // The new process is reached, too.
                        w.connect(a, "b:1", Kind::Stream, c, [Plan::bytes(10); 2]);
                        w.run_until(20_000, "exchange", |w| w.chans[1].ends[0].eof);
                    }
                }
            }
        }
    }
    println!("told after {worst} ms at most");
}

#[test]
fn living_process_keeps_its_channels_when_another_takes_its_name() {
    for pace in PACES {
        for single in [&[][..], &[0], &[1]] {
            let mut w = World::new(92);
            w.single = single.to_vec();
            let a = w.process(Profile::PHONE, pace);
            let b = w.process(Profile::PHONE, pace);
            w.listen(b, "b:1", Kind::Stream);
            let n = w.hold(a, b);
            w.run(100_000);
            let c = w.process(Profile::PHONE, pace);
            w.listen(c, "b:1", Kind::Stream);
            w.run(10_000);
            w.say(n, 0, 500);
            w.say(n, 1, 500);
            w.arrives(n, 0, 20_000);
            w.arrives(n, 1, 20_000);
        }
    }
}

#[test]
fn slots_of_vanished_peers_are_free_soon_after_they_are_wanted() {
    let mut worst = 0;
    for death in [Death::Killed, Death::PowerLost] {
        for pace in [Pace::LongPoll, Pace::Streaming] {
            for idle in [1_000, 200_000] {
                let mut w = World::new(93);
                let a = w.process(Profile::PHONE, pace);
                // The profile has two channels.
                let b = w.process(Profile::TINY, pace);
                w.listen(b, "b:1", Kind::Stream);
                let held = [w.hold(a, b), w.hold(a, b)];
                w.run(idle);
                w.vanish(a, death);
                w.run(3_000);
                let c = w.process(Profile::PHONE, pace);
                let anew = [0; 2].map(|_| w.connect(c, "b:1", Kind::Stream, b, [Plan::HOLD; 2]));
                let took = w.run_until(30_000, "places", |w| {
                    anew.iter().all(|&n| w.chans[n].ends[1].id.is_some())
                });
                worst = worst.max(took);
                for n in held {
                    let linger = TransportError::Linger { acked: 0 };
                    assert_eq!(w.chans[n].ends[1].error, Some(linger.into()), "{death:?} {pace:?}");
                }
            }
        }
    }
    println!("places after {worst} ms at most");
    assert!(worst <= 18_000, "{worst}");
}

#[test]
fn slots_of_living_peers_are_not_given_away() {
    let mut w = World::new(94);
    let a = w.process(Profile::PHONE, Pace::Streaming);
    let b = w.process(Profile::TINY, Pace::Streaming);
    w.listen(b, "b:1", Kind::Stream);
    let held = [w.hold(a, b), w.hold(a, b)];
    w.run(200_000);
    let c = w.process(Profile::PHONE, Pace::Streaming);
    let refused = w.connect(c, "b:1", Kind::Stream, b, [Plan::HOLD; 2]);
    w.run_until(30_000, "refusal", |w| w.chans[refused].attempts > 1);
    for n in held {
        w.say(n, 0, 100);
        w.arrives(n, 1, 10_000);
    }
}
