//! How channels and clients end, with each exchange of the ending going wrong in turn.

use byway::Kind;
use byway::error::{Error, PeerError};
use byway::session::{Half, Pace, Profile};

use crate::app::Finish;
use crate::fate::Fate;
use crate::seeds::spread;
use crate::world::World;

/// The pace of the clients, and the numbers of those with one connection.
#[derive(Debug, Clone, Copy)]
struct Clients {
    pace: Pace,
    single: &'static [usize],
}

const CLIENTS: [Clients; 5] = [
    Clients { pace: Pace::LongPoll, single: &[] },
    Clients { pace: Pace::Streaming, single: &[] },
    Clients { pace: Pace::LongPoll, single: &[0] },
    Clients { pace: Pace::LongPoll, single: &[1] },
    Clients { pace: Pace::LongPoll, single: &[0, 1] },
];

/// How the applications end. Side 0 connected, side 1 accepted; each closes its client as soon as
/// it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// This side has ended its stream, which was acknowledged. Now the other side ends its own.
    FirstBy(usize),
    /// Both sides end their streams at once.
    Together,
    /// This side writes, ends its stream and closes its client at once.
    Leaves(usize),
    /// This side aborts the channel.
    Aborts(usize),
}

const ENDINGS: [Ending; 7] = [
    Ending::FirstBy(0),
    Ending::FirstBy(1),
    Ending::Together,
    Ending::Leaves(0),
    Ending::Leaves(1),
    Ending::Aborts(0),
    Ending::Aborts(1),
];

/// The fates of an exchange: it is lost on the way there or back, with or without a notice.
const FATES: [Fate; 4] = [Fate::Lost, Fate::CutDown(0), Fate::Swallowed, Fate::Mute];

#[derive(Debug, Clone, Copy)]
struct Case {
    clients: Clients,
    ending: Ending,
    struck: Option<Struck>,
}

/// The exchange that goes wrong.
#[derive(Debug, Clone, Copy)]
enum Struck {
    /// The park of this client that is under way when the ending begins: the rest of its answer is
    /// lost, and the client may be told or not.
    Park(usize, bool),
    /// The exchange of this client with this place among those that begin in the ending.
    Begun(usize, usize, Fate),
}

/// The result of an ending.
#[derive(Debug)]
struct Outcome {
    /// The time until both clients were closed, in ms.
    took: u64,
    /// The exchanges of each client that began meanwhile.
    begun: [usize; 2],
}

/// Has an exchange go wrong, now or when it begins.
fn strike(w: &mut World, struck: Option<Struck>) {
    let mut begun = [0; 2];
    w.on_request = Some(Box::new(move |seen| {
        let nth = begun[seen.peer];
        begun[seen.peer] += 1;
        match struck {
            Some(Struck::Begun(peer, at, fate)) if peer == seen.peer && at == nth => fate,
            _ => Fate::Pass,
        }
    }));
    if let Some(Struck::Park(peer, told)) = struck
        && let Some(trip) = w.peers[peer].trips[0].and_then(|id| w.trips.get_mut(&id))
    {
        trip.fate = if told { Fate::CutDown(trip.got) } else { Fate::Mute };
    }
}

fn run(case: &Case) -> Outcome {
    let mut w = World::new(9);
    w.single = case.clients.single.to_vec();
    for _ in 0..2 {
        w.peer_with(Profile::TINY, |settings| settings.pace = case.clients.pace);
    }
    w.listen(1, "b:1", Kind::Stream);
    let n = w.hold(0, 1);
    for (side, bytes) in [(0, 40), (1, 50)] {
        w.say(n, side, bytes);
        w.arrives(n, 1 - side, 60_000);
    }
    let mut closing = [false; 2];
    if let Ending::FirstBy(side) = case.ending {
        let id = w.channel(n, side);
        w.with(side, |s, now| s.shutdown(now, id, Half::Write)).expect("open");
        w.chans[n].ends[side].finished = true;
        w.run_until(10_000, "acknowledgement", |w| w.with(side, |s, _| s.acked(id)) == Ok(true));
    }
    w.run(200);
    let before = [0, 1].map(|peer| exchanges(&w, peer));
    strike(&mut w, case.struck);
    let began = w.now;
    match case.ending {
        Ending::FirstBy(_) | Ending::Together => w.hang_up(n),
        Ending::Leaves(side) => {
            w.say(n, side, 30);
            w.chans[n].ends[1 - side].plan.finish = Finish::Both;
            w.chans[n].ends[side].done = true;
            closing[side] = true;
            w.with(side, |s, now| s.close(now));
        }
        Ending::Aborts(side) => w.abort(n, side),
    }
    w.run_until(60_000, "closed clients", |w| {
        for (peer, closing) in closing.iter_mut().enumerate() {
            if w.chans[n].ends[peer].done && !*closing {
                *closing = true;
                w.with(peer, |s, now| s.close(now));
            }
        }
        (0..2).all(|peer| w.with(peer, |s, _| s.is_closed()))
    });
    let begun = [0, 1].map(|peer| exchanges(&w, peer) - before[peer]);
    check(&w, n, case);
    Outcome { took: w.now - began, begun }
}

fn exchanges(w: &World, peer: usize) -> usize {
    let (parks, sends) = w.exchanges(peer);
    (parks + sends) as usize
}

/// Checks that an application that succeeded was told so.
fn check(w: &World, n: usize, case: &Case) {
    let ends = &w.chans[n].ends;
    let whole = |side: usize| ends[side].read == ends[1 - side].written && ends[side].eof;
    match case.ending {
        Ending::FirstBy(_) | Ending::Together => {
            for (side, end) in ends.iter().enumerate() {
                assert_eq!(end.error, None, "{case:?} side {side}");
                assert!(whole(side), "{case:?} side {side}");
            }
        }
        Ending::Leaves(side) => {
            let other = &ends[1 - side];
            assert_eq!(other.read, ends[side].written, "{case:?}");
            let closed = matches!(other.error, None | Some(Error::Peer(PeerError::Closed)));
            assert!(closed, "{case:?}: {:?}", other.error);
        }
        Ending::Aborts(side) => {
            let told = matches!(
                ends[1 - side].error,
                Some(Error::Peer(PeerError::Aborted { .. } | PeerError::Unknown { .. }))
            );
            assert!(told, "{case:?}: {:?}", ends[1 - side].error);
        }
    }
}

/// A silent park is noticed after its active hold and the grace, 7 s, and made up for by a repeat;
/// no side waits for linger, which is 180 s.
const MOST: u64 = 12_000;

#[test]
fn ending_survives_the_loss_of_each_exchange() {
    for ending in ENDINGS {
        for clients in CLIENTS {
            let clean = run(&Case { clients, ending, struck: None });
            let mut struck = Vec::new();
            for peer in 0..2 {
                struck.extend([true, false].map(|told| Struck::Park(peer, told)));
                for nth in 0..clean.begun[peer] {
                    struck.extend(FATES.map(|fate| Struck::Begun(peer, nth, fate)));
                }
            }
            let case = |struck| Case { clients, ending, struck: Some(struck) };
            let ran = spread(struck.into_iter().map(case).collect(), None, run);
            ran.check();
            let worst = ran.done.iter().max_by_key(|(_, outcome)| outcome.took);
            let (case, outcome) = worst.expect("exchanges");
            println!(
                "{ending:?} {clients:?}: {} ms; {} cases, at most {} ms: {:?}",
                clean.took,
                ran.done.len(),
                outcome.took,
                case.struck
            );
            assert!(clean.took <= 1_000, "{}", clean.took);
            assert!(outcome.took <= MOST, "{case:?} {}", outcome.took);
        }
    }
}
