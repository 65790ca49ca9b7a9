//! Any calls and answers to a session: no call panics or loops, no stream goes beyond its window,
//! and the bytes read are those written.
#![no_main]

mod hostile;
#[path = "../keys.rs"]
#[allow(dead_code)] // of the other target
mod keys;
mod pair;
mod trip;

use byway::Kind;
use byway::session::{Half, Session};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

/// Octets of each ring of [`Profile::TINY`](byway::session::Profile::TINY).
const RING: u64 = 1 << 10;

/// The most operations of an input: more reach no state that fewer do not.
const MOST_OPS: usize = 300;

/// The most wakes of a session between two looks: two lanes, events, the session, two channels and
/// a listener, each once.
const MOST_WAKES: usize = 7;

#[derive(Debug, Arbitrary)]
enum Input {
    /// A relay and peers that send any messages.
    Hostile(Vec<hostile::Op>),
    /// Two sessions with a router between them, which reach states that arbitrary messages seldom
    /// reach.
    Pair([pair::Side; 2], Vec<pair::Op>),
}

/// Octet `at` of the content of a stream, or of every octet of datagram `at`.
fn octet(key: u64, at: u64) -> u8 {
    (key.wrapping_mul(31).wrapping_add(at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

fn octets(key: u64, at: u64, len: u64) -> Vec<u8> {
    (at..at + len).map(|at| octet(key, at)).collect()
}

fn half(n: u8) -> Half {
    [Half::Read, Half::Write, Half::Both][usize::from(n) % 3]
}

fn kind(datagrams: bool) -> Kind {
    if datagrams { Kind::Datagram } else { Kind::Stream }
}

fn take_wakes(session: &mut Session<'_>) {
    let woken: Vec<_> = std::iter::from_fn(|| session.poll_wake()).take(MOST_WAKES + 1).collect();
    assert!(woken.len() <= MOST_WAKES, "{woken:?}");
    while session.poll_event().is_some() {}
}

fuzz_target!(|input: Input| {
    match input {
        Input::Hostile(ops) => hostile::run(&ops[..ops.len().min(MOST_OPS)]),
        Input::Pair(sides, ops) => pair::run(&sides, &ops[..ops.len().min(MOST_OPS)]),
    }
});
