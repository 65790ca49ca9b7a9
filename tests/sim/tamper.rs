//! A relay that changes what it passes on: nothing but errors, and no wrong octet at any application.

use std::cell::RefCell;
use std::rc::Rc;

use byway::Kind;
use byway::session::Profile;

use crate::app::{Finish, Plan};
use crate::attacks::{Attack, Hostile, is_clear};
use crate::rng::Rng;
use crate::seeds::{number, spread};
use crate::world::World;

fn attacked(attack: Attack, seed: u64) -> u32 {
    let mut w = World::new(seed);
    let profile = if w.rng.chance(500) { Profile::TINY } else { Profile::PHONE };
    w.flight.is_misled = attack == Attack::FlipHandshake;
    let (a, b) = (w.peer(profile), w.peer(profile));
    let mut kinds = vec![("b:1", Kind::Stream)];
    if profile.listeners > 1 {
        kinds.push(("b:2", Kind::Stream));
        if attack != Attack::Swap {
            kinds.push(("b:3", Kind::Datagram));
        }
    }
    for (at, kind) in &kinds {
        w.listen(b, at, *kind);
    }
    for _ in 0..3 {
        let (at, kind) = kinds[w.rng.below(kinds.len() as u64) as usize];
        let count = match kind {
            Kind::Stream => w.rng.below(20_000),
            Kind::Datagram => w.rng.below(40),
        };
        let plan = Plan { write: 700, read: 300, finish: Finish::Both, ..Plan::bytes(count) };
        w.connect(a, at, kind, b, [plan; 2]);
    }
    let often = [20, 200, 1000][w.rng.below(3) as usize];
    let hostile = Rc::new(RefCell::new(Hostile::new(attack, often, Rng::new(seed ^ 0xbad))));
    let relays = Rc::clone(&hostile);
    w.on_relay = Some(Box::new(move |peer, body| relays.borrow_mut().change(peer, body)));
    w.run(300_000);
    for (n, chan) in w.chans.iter().enumerate() {
        for (side, end) in chan.ends.iter().enumerate() {
            let which = format!("{attack:?} chan {n} side {side}: {end:?}");
            let other = &chan.ends[1 - side];
            if chan.kind == Kind::Stream {
                // An application that has failed drops its end, which ends its stream in order.
                let ends = other.finished || other.error.is_some();
                let is_right =
                    |written| end.read <= written && (!end.eof || ends && end.read == written);
                let mut all = other.tried.iter().copied().chain([other.written]);
                assert!(all.any(is_right), "{which}, of {other:?}");
            }
            assert!(end.error.is_none_or(is_clear), "{which}");
        }
    }
    hostile.borrow().struck
}

#[test]
fn changes_by_the_relay_are_errors_and_never_wrong_octets() {
    let seeds = match number("BYWAY_SIM_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("BYWAY_SIM_SEEDS").unwrap_or(1200) / 10,
    };
    let cases =
        Attack::ALL.iter().flat_map(|attack| seeds.clone().map(|seed| (*attack, seed))).collect();
    let ran = spread(cases, None, |&(attack, seed)| attacked(attack, seed));
    ran.check();
    for attack in Attack::ALL {
        let struck: u32 =
            ran.done.iter().filter(|((of, _), _)| *of == attack).map(|(_, struck)| struck).sum();
        println!("{attack:?}: {struck} strikes");
        assert!(struck > 0 || ran.done.len() == Attack::ALL.len(), "{attack:?} never struck");
    }
}
