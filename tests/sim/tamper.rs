//! A relay that changes what it passes on: nothing but errors, and no wrong octet at any application.

use std::cell::Cell;
use std::rc::Rc;

use byway::Kind;
use byway::error::{ConfigError, Error, PeerError, TransportError};
use byway::session::Profile;

use crate::app::{Finish, Plan};
use crate::rng::Rng;
use crate::seeds::{number, spread};
use crate::world::World;

/// Type octets of the messages that an answer brings.
const CONNECT_RSP: u8 = 0x13;
const ACCEPT_REQ: u8 = 0x14;
const CONFIRM: u8 = 0x17;
const SEND_RSP: u8 = 0x21;
const RECEIVE_RSP: u8 = 0x23;

/// Octets of RECEIVE_RSP's payload before its bytes.
const HEAD: usize = 9;

/// Flags of RECEIVE_RSP.
const FIN: u8 = 0x01;

/// What the relay does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attack {
    /// Changes a bit of data.
    FlipData,
    /// Changes a bit of a message of the handshake, or of the fields that go with it.
    FlipHandshake,
    /// Says CONFIRM, ACCEPT_REQ or CONNECT_RSP of an earlier channel in the place of a later one.
    RepeatHandshake,
    /// Gives earlier data again in the place of later data.
    RepeatData,
    /// Exchanges the data of two messages.
    Reorder,
    /// Gives a client its own data in the place of the peer's.
    Reflect,
    /// Leaves out a part of the data, and says that it is all.
    Cut,
    /// Ends a stream before its end.
    End,
    /// Adds octets to data.
    Splice,
    /// Strips the flag that says encrypted from requests for a channel.
    Strip,
    /// Tells a sender that everything has arrived.
    Acknowledge,
    /// Brings requests for one endpoint to the listener of another.
    Swap,
}

const ALL: [Attack; 12] = [
    Attack::FlipData,
    Attack::FlipHandshake,
    Attack::RepeatHandshake,
    Attack::RepeatData,
    Attack::Reorder,
    Attack::Reflect,
    Attack::Cut,
    Attack::End,
    Attack::Splice,
    Attack::Strip,
    Attack::Acknowledge,
    Attack::Swap,
];

/// A message: its type octet and its payload.
type Raw = (u8, Vec<u8>);

fn parse(mut body: &[u8]) -> Vec<Raw> {
    let mut messages = Vec::new();
    while let [kind, a, b, c, rest @ ..] = body {
        let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let (payload, rest) = rest.split_at(len.min(rest.len()));
        messages.push((*kind, payload.to_vec()));
        body = rest;
    }
    messages
}

fn join(messages: &[Raw]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, payload) in messages {
        body.extend((u32::from(*kind) << 24 | payload.len() as u32).to_be_bytes());
        body.extend(payload);
    }
    body
}

/// The hostile relay.
struct Hostile {
    attack: Attack,
    rng: Rng,
    /// How often it strikes, by the thousand.
    often: u64,
    struck: Rc<Cell<u32>>,
    /// What went to each client before, data or messages of handshakes.
    data: [Vec<Vec<u8>>; 2],
    handshakes: Vec<Raw>,
}

impl Hostile {
    fn strikes(&mut self) -> bool {
        let strikes = self.rng.chance(self.often);
        self.struck.set(self.struck.get() + u32::from(strikes));
        strikes
    }

    fn flip(&mut self, octets: &mut [u8]) {
        if !octets.is_empty() {
            let at = self.rng.below(octets.len() as u64) as usize;
            octets[at] ^= 1 << self.rng.below(8);
        }
    }

    fn change(&mut self, peer: usize, body: &mut Vec<u8>) {
        let mut messages = parse(body);
        if self.attack == Attack::Reorder {
            let data: Vec<_> = (0..messages.len())
                .filter(|&i| messages[i].0 == RECEIVE_RSP && messages[i].1.len() > HEAD)
                .collect();
            if let [first, .., last] = data[..]
                && self.strikes()
            {
                let (a, b) = (messages[first].1.split_off(HEAD), messages[last].1.split_off(HEAD));
                messages[first].1.extend(b);
                messages[last].1.extend(a);
            }
        }
        for (kind, payload) in &mut messages {
            match *kind {
                RECEIVE_RSP if payload.len() > HEAD => self.change_data(peer, payload),
                ACCEPT_REQ | CONNECT_RSP | CONFIRM => self.change_set_up(*kind, payload),
                SEND_RSP if self.attack == Attack::Acknowledge && self.strikes() => {
                    let more = self.rng.below(3000);
                    let ack = u64::from_be_bytes(payload[..8].try_into().unwrap()) + more;
                    payload[..8].copy_from_slice(&ack.to_be_bytes());
                }
                _ => {}
            }
        }
        *body = join(&messages);
    }

    fn change_data(&mut self, peer: usize, payload: &mut Vec<u8>) {
        let bytes = payload[HEAD..].to_vec();
        let attack = self.attack;
        let other = match attack {
            Attack::RepeatData => &self.data[peer],
            _ => &self.data[1 - peer],
        };
        let most = bytes.len() as u64;
        let earlier = match other.len() {
            0 => None,
            n => Some(other[self.rng.below(n as u64) as usize].clone()),
        };
        match attack {
            Attack::FlipData if self.strikes() => self.flip(&mut payload[HEAD..]),
            Attack::RepeatData | Attack::Reflect => {
                if let Some(earlier) = earlier
                    && self.strikes()
                {
                    let n = earlier.len().min(bytes.len());
                    payload[HEAD..HEAD + n].copy_from_slice(&earlier[..n]);
                }
            }
            Attack::Cut if self.strikes() => {
                let at = HEAD + self.rng.below(most) as usize;
                payload.remove(at);
            }
            Attack::End if self.strikes() => {
                payload.truncate(HEAD + self.rng.below(most) as usize);
                payload[HEAD - 1] |= FIN;
            }
            Attack::Splice if self.strikes() => {
                let at = HEAD + self.rng.below(most) as usize;
                payload.insert(at, 0x5a);
            }
            _ => {}
        }
        self.data[peer].push(bytes);
    }

    fn change_set_up(&mut self, kind: u8, payload: &mut Vec<u8>) {
        let attack = self.attack;
        match attack {
            Attack::FlipHandshake if self.strikes() => self.flip(payload),
            Attack::Strip if kind == ACCEPT_REQ && self.strikes() => payload[12] &= 1,
            Attack::Swap if kind == ACCEPT_REQ && self.strikes() => payload[14] ^= 3,
            Attack::RepeatHandshake => {
                let kept: Vec<_> = self.handshakes.iter().filter(|(k, _)| *k == kind).collect();
                let earlier = match kept.len() {
                    0 => None,
                    n => Some(kept[self.rng.below(n as u64) as usize].1.clone()),
                };
                self.handshakes.push((kind, payload.clone()));
                if let Some(earlier) = earlier
                    && earlier.len() == payload.len()
                    && self.strikes()
                {
                    *payload = earlier;
                }
            }
            _ => {}
        }
    }
}

/// Whether an application may be told so by a session behind a hostile relay.
fn is_clear(error: Error) -> bool {
    match error {
        Error::Peer(error) => matches!(
            error,
            PeerError::Handshake
                | PeerError::WrongKey
                | PeerError::NoListener
                | PeerError::BacklogFull
                | PeerError::Closed
                | PeerError::Aborted { .. }
                | PeerError::Unknown { .. }
                | PeerError::GaveUp { .. }
                | PeerError::Protocol { .. }
        ),
        Error::Transport(error) => matches!(
            error,
            TransportError::Tampered { .. }
                | TransportError::TamperedThere { .. }
                | TransportError::Truncated
                | TransportError::Linger { .. }
                | TransportError::EndUnconfirmed { .. }
        ),
        Error::Config(error) => {
            matches!(error, ConfigError::PeerPlain | ConfigError::WrongKind)
        }
        _ => false,
    }
}

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
    let struck = Rc::new(Cell::new(0));
    let often = [20, 200, 1000][w.rng.below(3) as usize];
    let (rng, counted) = (Rng::new(seed ^ 0xbad), Rc::clone(&struck));
    let mut hostile = Hostile {
        attack,
        rng,
        often,
        struck: counted,
        data: Default::default(),
        handshakes: Vec::new(),
    };
    w.on_relay = Some(Box::new(move |peer, body| hostile.change(peer, body)));
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
    struck.get()
}

#[test]
fn changes_by_the_relay_are_errors_and_never_wrong_octets() {
    let seeds = match number("BYWAY_SIM_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("BYWAY_SIM_SEEDS").unwrap_or(1200) / 10,
    };
    let cases = ALL.iter().flat_map(|attack| seeds.clone().map(|seed| (*attack, seed))).collect();
    let ran = spread(cases, None, |&(attack, seed)| attacked(attack, seed));
    ran.check();
    for attack in ALL {
        let struck: u32 =
            ran.done.iter().filter(|((of, _), _)| *of == attack).map(|(_, struck)| struck).sum();
        println!("{attack:?}: {struck} strikes");
        assert!(struck > 0 || ran.done.len() == ALL.len(), "{attack:?} never struck");
    }
}
