//! A short session, cut at each of its octets.

use byway::Kind;
use byway::session::Profile;

use crate::app::Plan;
use crate::fault::Fate;
use crate::world::World;

/// Which way and which of a client's exchanges (in the order they begin) is cut, where.
#[derive(Debug, Clone, Copy)]
struct Cut {
    peer: usize,
    nth: u64,
    fate: Fate,
}

/// Connect, a message each way, close; gives the octets of each exchange of each client.
fn session(cut: Option<Cut>) -> World {
    let mut w = World::new(7);
    let mut begun = [0; 2];
    w.on_request = Some(Box::new(move |seen| {
        let nth = begun[seen.peer];
        begun[seen.peer] += 1;
        match cut {
            Some(cut) if cut.peer == seen.peer && cut.nth == nth => cut.fate,
            _ => Fate::Pass,
        }
    }));
    let (a, b) = w.pair(Profile::TINY);
    w.connect(a, "b:1", Kind::Stream, b, [Plan::bytes(40), Plan::bytes(50)]);
    w.finish(120_000);
    w
}

/// The largest request and answer of this session, in octets; a cut behind the end is none.
const LONGEST: usize = 420;

fn every_position(fate: fn(usize) -> Fate) {
    let clean = session(None);
    for peer in 0..2 {
        let exchanges = clean.peers[peer].begun.iter().sum();
        assert!(clean.longest <= LONGEST, "{}", clean.longest);
        for nth in 0..exchanges {
            for at in 0..=clean.longest {
                session(Some(Cut { peer, nth, fate: fate(at) }));
            }
        }
    }
}

#[test]
fn a_request_may_be_cut_at_any_octet() {
    every_position(Fate::CutUp);
}

#[test]
fn an_answer_may_be_cut_at_any_octet() {
    every_position(Fate::CutDown);
}

#[test]
fn a_proxy_may_pass_on_any_part_of_a_request() {
    every_position(Fate::Truncated);
}
