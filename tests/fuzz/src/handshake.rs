//! Any octets in the handshake's messages, in both directions, and valid ones that are changed, cut, repeated
//! or exchanged: no side has a channel but with the other's key, greeting and keys; else both are told clearly.
#![no_main]

#[path = "../../sim/attacks.rs"]
#[allow(dead_code)] // what a simulated relay does by itself
mod attacks;
mod pipe;
#[path = "../../sim/rng.rs"]
#[allow(dead_code)]
mod rng;

use byway::Kind;
use byway::session::ChannelId;
use byway::wire::{Accept, Confirm, Connect, MAX_CONTROL, MAX_GREETING, Message};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

use attacks::{ACCEPT_REQ, CONFIRM, CONNECT_RSP, Raw, is_clear};
use pipe::{ANSWER, Pipe, public_key};

/// Connections made, one after the other.
const CONNECTIONS: usize = 3;

/// Messages that are lost, at most: each is said again, ever more seldom.
const MOST_LOST: u32 = 4;

/// The time in ms within which a connection is made whatever is lost.
const CALM: u64 = 50_000;

/// Time in ms between looks whether it is: longer than a message that was lost takes to be said again.
const STEP: u64 = 10_000;

/// What each side says on a channel.
const SAYS: [&[u8]; 2] = [b"the listener's octets", b"what the connector says"];

/// Which handshake octets stand in the place of others.
#[derive(Debug, Arbitrary)]
enum Change {
    None,
    Lose,
    Twice,
    /// Of any field of the message.
    Flip(u8, u8),
    /// Octets of the handshake's message, at a place.
    Write(u8, Vec<u8>),
    Cut(u8),
    Extend(Vec<u8>),
    /// Octets in the place of the handshake's.
    Replace(Vec<u8>),
    /// Those of an earlier message, of the same type or another.
    Earlier(u8),
}

#[derive(Debug, Arbitrary)]
struct Input {
    datagrams: bool,
    /// Whether both ends have the same shared secret.
    same_secret: bool,
    greeting: u8,
    changes: Vec<Change>,
}

/// The relay between the two.
struct Relay<'a> {
    changes: std::slice::Iter<'a, Change>,
    earlier: Vec<Vec<u8>>,
    lost: u32,
    /// Whether anything else than a loss or a repeat was done.
    struck: bool,
}

/// The octets of the handshake in a message.
fn handshake(message: &Message<'_>) -> Option<Vec<u8>> {
    match message {
        Message::AcceptReq(connect) => Some(connect.greeting.to_vec()),
        Message::ConnectRsp(accept) => Some(accept.greeting.to_vec()),
        Message::Confirm(confirm) => Some(confirm.handshake.to_vec()),
        _ => None,
    }
}

/// The message with other octets of the handshake; nothing if they are too many.
fn with(message: &Message<'_>, octets: &[u8]) -> Option<Raw> {
    let message = match *message {
        Message::AcceptReq(connect) => Message::AcceptReq(Connect { greeting: octets, ..connect }),
        Message::ConnectRsp(accept) => Message::ConnectRsp(Accept { greeting: octets, ..accept }),
        Message::Confirm(_) => Message::Confirm(Confirm { handshake: octets }),
        _ => return None,
    };
    let mut out = [0; MAX_CONTROL];
    let n = message.encode(&mut out)?;
    Some((out[0], out[byway::wire::HEADER_LEN..n].to_vec()))
}

impl Relay<'_> {
    fn change(&mut self, messages: &mut Vec<Raw>) {
        let mut changed = Vec::new();
        for raw in messages.drain(..) {
            match raw.0 {
                ACCEPT_REQ | CONNECT_RSP | CONFIRM => self.change_one(raw, &mut changed),
                _ => changed.push(raw),
            }
        }
        *messages = changed;
    }

    fn change_one(&mut self, mut raw: Raw, out: &mut Vec<Raw>) {
        let (kind, payload) = raw.clone();
        let Some(message) = Message::decode(kind, &payload).ok() else { return out.push(raw) };
        let Some(before) = handshake(&message) else { return out.push(raw) };
        let mut octets = before.clone();
        match self.changes.next() {
            None | Some(Change::None) => {}
            Some(Change::Lose) if self.lost < MOST_LOST => {
                self.lost += 1;
                return;
            }
            Some(Change::Lose) => {}
            Some(Change::Twice) => out.push(raw.clone()),
            Some(Change::Flip(at, bit)) => {
                let at = usize::from(*at) % raw.1.len().max(1);
                if let Some(octet) = raw.1.get_mut(at) {
                    *octet ^= 1 << (bit % 8);
                    self.struck = true;
                }
            }
            Some(Change::Write(at, with)) => {
                let to = octets.iter_mut().skip((*at).into());
                to.zip(with).for_each(|(to, with)| *to = *with);
            }
            Some(Change::Cut(at)) => octets.truncate((*at).into()),
            Some(Change::Extend(by)) => octets.extend(by),
            Some(Change::Replace(by)) => octets.clone_from(by),
            Some(Change::Earlier(n)) => {
                if let Some(earlier) = self.earlier.iter().rev().nth((*n).into()) {
                    octets.clone_from(earlier);
                }
            }
        }
        if octets != before
            && let Some(changed) = with(&message, &octets)
        {
            self.struck = true;
            raw = changed;
        }
        self.earlier.push(before);
        out.push(raw);
    }
}

/// What the connector says with a connection: its number, and octets.
fn greeting(n: usize, len: u8) -> Vec<u8> {
    let mut greeting = vec![0x5a; 1 + usize::from(len) % MAX_GREETING];
    greeting[0] = n as u8;
    greeting
}

/// Checks a channel that its side takes as made: it is with the other, and carries what the other says.
fn check(pipe: &mut Pipe, side: usize, id: ChannelId, kind: Kind) -> bool {
    if pipe.session(side).connected(id) != Ok(true) {
        return false;
    }
    let key = pipe.session(side).peer_key(id).expect("connected");
    assert_eq!(key, Some(public_key(1 - side)), "another key");
    let (now, says, mut out) = (pipe.now, SAYS[1 - side], [0; 64]);
    let mut session = pipe.session(side);
    let heard = match kind {
        Kind::Stream => session.read(now, id, &mut out),
        Kind::Datagram => session.recv_datagram(now, id, &mut out),
    };
    match heard {
        Ok(Some(n)) => assert_eq!(&out[..n], says),
        Ok(None) => {}
        Err(error) => assert!(is_clear(error), "{error:?}"),
    }
    true
}

fn say(pipe: &mut Pipe, side: usize, id: ChannelId, kind: Kind) {
    let (now, mut session) = (pipe.now, pipe.session(side));
    let _ = match kind {
        Kind::Stream => session.write(now, id, SAYS[side]).map(|_| ()),
        Kind::Datagram => session.send_datagram(now, id, SAYS[side]).map(|_| ()),
    };
}

fuzz_target!(|input: Input| {
    let kind = if input.datagrams { Kind::Datagram } else { Kind::Stream };
    let mut pipe = Pipe::new(kind, [7, if input.same_secret { 7 } else { 8 }]);
    let mut relay =
        Relay { changes: input.changes.iter(), earlier: Vec::new(), lost: 0, struck: false };
    let mut accepted = [None; CONNECTIONS];
    let mut asked = [None; CONNECTIONS];
    for (n, asked) in asked.iter_mut().enumerate() {
        *asked = pipe.connect(kind, &greeting(n, input.greeting));
        let asked = asked.expect("a free channel");
        let until = pipe.now + CALM;
        let mut has_said = false;
        let mut look = |pipe: &mut Pipe| {
            if !has_said && pipe.session(1).connected(asked) == Ok(true) {
                say(pipe, 1, asked, kind);
                has_said = true;
                return true;
            }
            let Some(id) = pipe.accept() else { return false };
            assert!(input.same_secret, "a channel without the shared secret");
            let said = pipe.session(0).greeting(id).expect("accepted").to_vec();
            let which = usize::from(said[0]);
            assert_eq!(said, greeting(which, input.greeting), "another greeting");
            assert_eq!(accepted[which].replace(id), None, "accepted a second time");
            say(pipe, 0, id, kind);
            true
        };
        // What is made, or refused, stays so.
        while pipe.now < until {
            let is_settled = pipe.session(1).connected(asked) != Ok(false);
            pipe.pass(STEP, &mut |_, messages| relay.change(messages), &mut look);
            if is_settled {
                break;
            }
        }
    }
    for (asked, accepted) in asked.iter().zip(accepted) {
        let id = asked.expect("asked");
        let is_made = check(&mut pipe, 1, id, kind);
        if is_made {
            let said = pipe.session(1).greeting(id).expect("connected").to_vec();
            assert_eq!(said, ANSWER, "another greeting");
        }
        if let Err(error) = pipe.session(1).connected(id) {
            assert!(is_clear(error), "{error:?}");
        }
        let is_accepted = accepted.is_some_and(|id| check(&mut pipe, 0, id, kind));
        let both = is_made && is_accepted;
        assert!(both || relay.struck || !input.same_secret, "no channel, and nothing was changed");
    }
});
