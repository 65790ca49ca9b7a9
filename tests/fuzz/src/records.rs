//! Sealed records that are changed, cut, split, repeated, reflected or moved on their way, at any place of
//! the rings: each end reads what the other wrote, in order, or is told clearly.
#![no_main]

#[path = "../../sim/attacks.rs"]
#[allow(dead_code)] // what a simulated relay does by itself
mod attacks;
mod pipe;
#[path = "../../sim/rng.rs"]
#[allow(dead_code)]
mod rng;

use std::collections::{BTreeSet, VecDeque};

use byway::Kind;
use byway::session::{ChannelId, Half};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

use attacks::{HEAD, RECEIVE_RSP, Raw, is_clear};
use pipe::{Pipe, public_key};

/// The most operations of an input: more reach no state that fewer do not.
const MOST_OPS: usize = 120;

/// The time in ms within which everything arrives if nothing was changed.
const CALM: u64 = 50_000;

#[derive(Debug, Arbitrary)]
enum Op {
    Write(bool, u16),
    Read(bool, u16),
    End(bool),
    Pump,
    Pass(u8),
    /// What becomes of the next data to a side.
    Change(bool, Change),
}

#[derive(Debug, Arbitrary)]
enum Change {
    /// Two messages in the place of one.
    Split(u16),
    Twice,
    /// Of any field, or of the bytes.
    Flip(u16, u8),
    Cut(u16, u16),
    Insert(u16, Vec<u8>),
    Replace(u16, Vec<u8>),
    /// Earlier data of either direction.
    Earlier(u8),
    /// Data go to another place than they are from.
    Move(i8),
    Flags(u8),
}

#[derive(Debug, Arbitrary)]
struct Input {
    datagrams: bool,
    /// Octets each way before anything is changed, so that records lie anywhere in the rings.
    before: [u16; 2],
    ops: Vec<Op>,
}

#[derive(Default)]
struct End {
    id: Option<ChannelId>,
    /// Octets, or the number of datagrams.
    written: u64,
    read: u64,
    numbers: BTreeSet<u64>,
    /// It wrote the end of its stream.
    ended: bool,
    saw_end: bool,
    failed: bool,
}

#[derive(Default)]
struct Relay {
    /// For each side.
    changes: [VecDeque<Change>; 2],
    earlier: Vec<Vec<u8>>,
    /// Whether anything else than a repeat or a split was done.
    struck: bool,
}

struct World {
    pipe: Pipe,
    kind: Kind,
    ends: [End; 2],
    relay: Relay,
}

/// Octet `at` of the content of a side.
fn octet(side: usize, at: u64) -> u8 {
    let n = at.wrapping_mul(2).wrapping_add(side as u64 + 1);
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

fn octets(side: usize, at: u64, len: u64) -> Vec<u8> {
    (at..at + len).map(|at| octet(side, at)).collect()
}

fn datagram(side: usize, number: u64) -> Vec<u8> {
    [&number.to_be_bytes(), &octets(side, number << 20, number * 37 % 300)[..]].concat()
}

fn offset(payload: &[u8]) -> u64 {
    u64::from_be_bytes(payload[..8].try_into().expect("the offset"))
}

/// Data at a place, with these flags and bytes.
fn data(at: u64, flags: u8, bytes: &[u8]) -> Raw {
    (RECEIVE_RSP, [&at.to_be_bytes(), &[flags][..], bytes].concat())
}

impl Relay {
    fn change(&mut self, to: usize, messages: &mut Vec<Raw>) {
        let mut changed = Vec::new();
        for raw in messages.drain(..) {
            match raw.0 == RECEIVE_RSP && raw.1.len() > HEAD {
                true => self.change_data(to, raw, &mut changed),
                false => changed.push(raw),
            }
        }
        *messages = changed;
    }

    fn change_data(&mut self, to: usize, (kind, mut payload): Raw, out: &mut Vec<Raw>) {
        let before = payload.clone();
        let (at, flags, bytes) = (offset(&before), before[HEAD - 1], &before[HEAD..]);
        let place = |n: u16| HEAD + usize::from(n) % bytes.len();
        match self.changes[to].pop_front() {
            None => {}
            Some(Change::Split(n)) => {
                let n = usize::from(n) % bytes.len();
                // Behind a datagram, or the end, nothing comes.
                if flags == 0 && n > 0 {
                    out.push(data(at, flags, &bytes[..n]));
                    out.push(data(at + n as u64, flags, &bytes[n..]));
                    return;
                }
            }
            Some(Change::Twice) => out.push((kind, payload.clone())),
            Some(Change::Flip(n, bit)) => {
                let n = usize::from(n) % payload.len();
                payload[n] ^= 1 << (bit % 8);
            }
            Some(Change::Cut(from, to)) => {
                let (from, to) = (place(from), place(to));
                payload.drain(from.min(to)..=from.max(to));
            }
            Some(Change::Insert(n, octets)) => {
                let n = place(n);
                payload.splice(n..n, octets);
            }
            Some(Change::Replace(n, octets)) => {
                let to = payload.iter_mut().skip(place(n));
                to.zip(octets).for_each(|(to, with)| *to = with);
            }
            Some(Change::Earlier(n)) => {
                if let Some(earlier) = self.earlier.iter().rev().nth(n.into()) {
                    payload.truncate(HEAD);
                    payload.extend(earlier);
                }
            }
            Some(Change::Move(by)) => {
                let at = at.saturating_add_signed(by.into());
                payload[..8].copy_from_slice(&at.to_be_bytes());
            }
            Some(Change::Flags(flags)) => payload[HEAD - 1] = flags,
        }
        self.struck |= payload != before;
        self.earlier.push(bytes.to_vec());
        out.push((kind, payload));
    }
}

impl World {
    fn new(kind: Kind) -> Self {
        let mut pipe = Pipe::new(kind, [7; 2]);
        let asked = pipe.connect(kind, b"hi");
        pipe.pump(&mut |_, _| {});
        let ids = [pipe.accept(), asked];
        assert!(ids.iter().all(Option::is_some), "no channel");
        for (side, id) in ids.iter().enumerate() {
            let key = id.map(|id| pipe.session(side).peer_key(id));
            assert_eq!(key, Some(Ok(Some(public_key(1 - side)))));
        }
        let ends = ids.map(|id| End { id, ..End::default() });
        Self { pipe, kind, ends, relay: Relay::default() }
    }

    fn id(&self, side: usize) -> ChannelId {
        self.ends[side].id.expect("connected")
    }

    fn write(&mut self, side: usize, len: u64) {
        let (now, id, at) = (self.pipe.now, self.id(side), self.ends[side].written);
        let mut session = self.pipe.session(side);
        let written = match self.kind {
            Kind::Stream => session.write(now, id, &octets(side, at, len)),
            Kind::Datagram => session.send_datagram(now, id, &datagram(side, at)).map(usize::from),
        };
        if let Ok(written) = written {
            self.ends[side].written += written as u64;
        }
    }

    /// True if there was something.
    fn read(&mut self, side: usize, len: usize) -> bool {
        let (now, id) = (self.pipe.now, self.id(side));
        let [listener, connector] = &mut self.ends;
        let (to, from) = if side == 0 { (listener, connector) } else { (connector, listener) };
        if to.saw_end || to.failed || len == 0 {
            return false;
        }
        let mut out = vec![0; len];
        let mut session = self.pipe.session(side);
        let heard = match self.kind {
            Kind::Stream => session.read(now, id, &mut out),
            Kind::Datagram => session.recv_datagram(now, id, &mut out),
        };
        let n = match heard {
            Ok(Some(n)) => n,
            Ok(None) => return false,
            Err(byway::Error::Config(byway::error::ConfigError::BufferTooSmall { .. })) => {
                return false;
            }
            Err(error) => {
                assert!(is_clear(error), "{error:?}");
                to.failed = true;
                return true;
            }
        };
        if self.kind == Kind::Datagram {
            let number = out[..n].first_chunk().map(|octets| u64::from_be_bytes(*octets));
            let number = number.expect("a number");
            assert!(number < from.written, "datagram {number} was not sent");
            assert!(out[..n] == datagram(1 - side, number)[..], "datagram {number} is another");
            assert!(to.numbers.insert(number), "datagram {number} again");
            to.read += 1;
            return true;
        }
        if n == 0 {
            // An end that failed, or was told of the other's failure, ends its stream as well.
            assert_eq!(to.read, from.written, "ended before its end");
            assert!(from.ended || from.failed, "ended by the relay");
            to.saw_end = true;
            return true;
        }
        assert!(out[..n] == octets(1 - side, to.read, n as u64)[..], "others at {}", to.read);
        to.read += n as u64;
        assert!(to.read <= from.written, "more than was written");
        true
    }

    fn end(&mut self, side: usize) {
        let (now, id) = (self.pipe.now, self.id(side));
        if self.kind == Kind::Stream
            && self.pipe.session(side).shutdown(now, id, Half::Write).is_ok()
        {
            self.ends[side].ended = true;
        }
    }

    fn pump(&mut self) {
        let relay = &mut self.relay;
        self.pipe.pump(&mut |to, messages| relay.change(to, messages));
    }

    fn act(&mut self, op: Op) {
        match op {
            Op::Write(side, len) => self.write(side.into(), u64::from(len) % 3000),
            Op::Read(side, len) => {
                self.read(side.into(), usize::from(len) % 3000);
            }
            Op::End(side) => self.end(side.into()),
            Op::Pump => self.pump(),
            Op::Pass(ms) => {
                let relay = &mut self.relay;
                let change = &mut |to, messages: &mut Vec<Raw>| relay.change(to, messages);
                self.pipe.pass(u64::from(ms) * 20, change, &mut |_| false);
            }
            Op::Change(side, change) => self.relay.changes[usize::from(side)].push_back(change),
        }
    }

    /// Everything written arrives, unless something was changed.
    fn finish(&mut self) {
        let until = self.pipe.now + CALM;
        let mut is_last = false;
        while self.pipe.now < until && !is_last {
            // Once more behind the last octet: nothing is to come.
            is_last = (0..2).all(|side| self.has_all(side) || self.ends[side].failed);
            self.pump();
            let mut moved = false;
            for side in 0..2 {
                while self.read(side, 4096) {
                    moved = true;
                }
            }
            if !moved {
                let relay = &mut self.relay;
                let change = &mut |to, messages: &mut Vec<Raw>| relay.change(to, messages);
                self.pipe.pass(CALM / 10, change, &mut |_| false);
            }
        }
        for side in 0..2 {
            // Datagrams that nobody reads give way to others.
            let is_whole = self.has_all(side) || self.kind == Kind::Datagram;
            let is_right = is_whole && !self.ends[side].failed;
            assert!(is_right || self.relay.struck, "not all, and nothing was changed");
        }
    }

    /// Whether a side has read everything.
    fn has_all(&self, side: usize) -> bool {
        let [to, from] = [&self.ends[side], &self.ends[1 - side]];
        to.read == from.written && (to.saw_end || !from.ended)
    }
}

fuzz_target!(|input: Input| {
    let kind = if input.datagrams { Kind::Datagram } else { Kind::Stream };
    let mut world = World::new(kind);
    for side in 0..2 {
        let before = u64::from(input.before[side]) % 3000;
        let count = |world: &World| world.ends[side].written;
        while kind == Kind::Stream && count(&world) < before {
            let left = before - count(&world);
            world.write(side, left);
            world.pump();
            while world.read(1 - side, 4096) {}
        }
    }
    for op in input.ops.into_iter().take(MOST_OPS) {
        world.act(op);
    }
    world.finish();
});
