//! What a hostile relay does to the answers that clients get, and what the applications behind it may be told.

use byway::error::{ConfigError, Error, PeerError, TransportError};
use byway::wire::HEADER_LEN;

use crate::rng::Rng;

/// Type octets of the messages that an answer brings.
pub const CONNECT_RSP: u8 = 0x13;
pub const ACCEPT_REQ: u8 = 0x14;
pub const CONFIRM: u8 = 0x17;
const SEND_RSP: u8 = 0x21;
pub const RECEIVE_RSP: u8 = 0x23;

/// Octets of RECEIVE_RSP's payload before its bytes.
pub const HEAD: usize = 9;

/// Flags of RECEIVE_RSP.
const FIN: u8 = 0x01;

/// What the relay does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
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
    /// Leaves out a part of the data, which may be whole records, and says that it is all.
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

impl Attack {
    pub const ALL: [Self; 12] = [
        Self::FlipData,
        Self::FlipHandshake,
        Self::RepeatHandshake,
        Self::RepeatData,
        Self::Reorder,
        Self::Reflect,
        Self::Cut,
        Self::End,
        Self::Splice,
        Self::Strip,
        Self::Acknowledge,
        Self::Swap,
    ];
}

/// A message: its type octet and its payload.
pub type Raw = (u8, Vec<u8>);

/// Takes the whole messages from the front of `octets`.
#[allow(dead_code)] // on sockets alone
pub fn take_whole(octets: &mut Vec<u8>) -> Vec<u8> {
    let mut end = 0;
    while let [_, a, b, c, rest @ ..] = &octets[end..] {
        let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if len > rest.len() {
            break;
        }
        end += HEADER_LEN + len;
    }
    let rest = octets.split_off(end);
    std::mem::replace(octets, rest)
}

pub fn parse(mut body: &[u8]) -> Vec<Raw> {
    let mut messages = Vec::new();
    while let [kind, a, b, c, rest @ ..] = body {
        let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let (payload, rest) = rest.split_at(len.min(rest.len()));
        messages.push((*kind, payload.to_vec()));
        body = rest;
    }
    messages
}

pub fn join(messages: &[Raw]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, payload) in messages {
        body.extend((u32::from(*kind) << 24 | payload.len() as u32).to_be_bytes());
        body.extend(payload);
    }
    body
}

/// The hostile relay.
pub struct Hostile {
    attack: Attack,
    rng: Rng,
    /// How often it strikes, by the thousand.
    often: u64,
    /// How often it did.
    pub struck: u32,
    /// What went to each client before, data or messages of handshakes.
    data: [Vec<Vec<u8>>; 2],
    handshakes: Vec<Raw>,
}

impl Hostile {
    /// Strikes `often` times of a thousand.
    pub fn new(attack: Attack, often: u64, rng: Rng) -> Self {
        let (data, handshakes) = (Default::default(), Vec::new());
        Self { attack, rng, often, struck: 0, data, handshakes }
    }

    fn strikes(&mut self) -> bool {
        let strikes = self.rng.chance(self.often);
        self.struck += u32::from(strikes);
        strikes
    }

    fn flip(&mut self, octets: &mut [u8]) {
        if !octets.is_empty() {
            let at = self.rng.below(octets.len() as u64) as usize;
            octets[at] ^= 1 << self.rng.below(8);
        }
    }

    /// Changes messages on their way to one of two clients.
    pub fn change(&mut self, peer: usize, body: &mut Vec<u8>) {
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
                let (from, to) = (self.rng.below(most), self.rng.below(most));
                let at = |n: u64| HEAD + n as usize;
                payload.drain(at(from.min(to))..=at(from.max(to)));
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
pub fn is_clear(error: Error) -> bool {
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
