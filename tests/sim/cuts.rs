//! A short session, cut at each of its octets.

use byway::Kind;
use byway::session::{Pace, Profile};

use crate::app::Plan;
use crate::fate::Fate;
use crate::seeds::spread;
use crate::world::World;

/// The pace of the clients, and the numbers of those with one connection.
#[derive(Debug, Clone, Copy)]
struct Clients {
    pace: Pace,
    single: &'static [usize],
}

const FULL: [Clients; 2] =
    [Clients { pace: Pace::LongPoll, single: &[] }, Clients { pace: Pace::Streaming, single: &[] }];
const SINGLE: [Clients; 3] = [
    Clients { pace: Pace::LongPoll, single: &[0] },
    Clients { pace: Pace::LongPoll, single: &[1] },
    Clients { pace: Pace::LongPoll, single: &[0, 1] },
];

/// The exchange of a client, counted in the order in which they begin, and its fate.
#[derive(Debug, Clone, Copy)]
struct Cut {
    clients: Clients,
    peer: usize,
    nth: usize,
    fate: Fate,
}

/// Connects, sends three messages there and back, and closes.
fn session(clients: Clients, cut: Option<Cut>) -> World {
    let mut w = World::new(7);
    w.single = clients.single.to_vec();
    let mut begun = [0; 2];
    w.on_request = Some(Box::new(move |seen| {
        let nth = begun[seen.peer];
        begun[seen.peer] += 1;
        match cut {
            Some(cut) if cut.peer == seen.peer && cut.nth == nth => cut.fate,
            _ => Fate::Pass,
        }
    }));
    let [a, b] =
        [0; 2].map(|_| w.peer_with(Profile::TINY, |settings| settings.pace = clients.pace));
    w.listen(b, "b:1", Kind::Stream);
    let n = w.connect(a, "b:1", Kind::Stream, b, [Plan::HOLD; 2]);
    for (side, bytes) in [(0, 40), (1, 50), (0, 30)] {
        w.say(n, side, bytes);
        w.arrives(n, 1 - side, 60_000);
    }
    w.hang_up(n);
    w.finish(120_000);
    w
}

/// Every position in the requests (0) or answers (1), and the one behind the last octet.
fn every_position(way: usize, fate: fn(usize) -> Fate) {
    let mut cuts = Vec::new();
    for clients in FULL.into_iter().chain(SINGLE) {
        let mut clean = session(clients, None);
        // The lengths by client, in the order in which the exchanges began.
        clean.carried.sort_unstable();
        for peer in 0..2 {
            let of_peer = clean.carried.iter().filter(|(id, _)| World::peer_of(*id) == peer);
            for (nth, (_, octets)) in of_peer.enumerate() {
                let fates = (0..=octets[way]).map(fate);
                cuts.extend(fates.map(|fate| Cut { clients, peer, nth, fate }));
            }
        }
    }
    println!("{} cuts", cuts.len());
    spread(cuts, None, |cut| drop(session(cut.clients, Some(*cut)))).check();
}

#[test]
fn request_cut_at_any_octet_loses_nothing() {
    every_position(0, Fate::CutUp);
}

#[test]
fn answer_cut_at_any_octet_loses_nothing() {
    every_position(1, Fate::CutDown);
}

#[test]
fn cut_answer_that_looks_complete_loses_nothing() {
    every_position(1, |at| Fate::Http10(Some(at)));
}

#[test]
fn request_passed_on_in_part_loses_nothing() {
    every_position(0, Fate::Truncated);
}
