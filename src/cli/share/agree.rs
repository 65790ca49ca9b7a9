//! How the two ends come to know that they have the same code, by SPAKE2 (RFC 9382's predecessor, as the crate
//! `spake2` has it), before any name of a file is said.
//!
//! The channel is encrypted between two keys that nobody vouches for. Both go into the agreement as its identities, so that
//! a relay that stands between with keys of its own cannot pass it on. The receiver proves its key first: a stranger who
//! leaves before has learnt nothing, and a stranger who proves it wrong has used the only guess.

use std::fmt;

use byway::client::Stream;
use byway::secure::PublicKey;
use spake2::{Ed25519Group, Identity, Password, Spake2};

use super::code::Code;
use super::message::{Lost, Message, Reader, Secret, Stop, VERSION, say, stop};

/// The keys of the channel's ends.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    pub receiver: PublicKey,
    pub sender: PublicKey,
}

/// By what the receiver shows that it is the right one.
pub enum Credential<'a> {
    Words(&'a Code),
    Secret(Secret),
}

/// How an agreement fails.
#[derive(Debug)]
pub enum Refused {
    /// The other end had another code, or somebody stands between.
    WrongCode,
    /// The other end said that it stops.
    Stopped(Stop),
    /// The other end went away, or does not keep to the protocol: nothing was learnt by it.
    Lost(Lost),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongCode => f.write_str("it has another code"),
            Self::Stopped(_) => f.write_str("it gave up"),
            Self::Lost(lost) => lost.fmt(f),
        }
    }
}

impl From<Lost> for Refused {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        Self::Lost(error.into())
    }
}

/// A side of the agreement, in what its proofs are made of.
#[derive(Debug, Clone, Copy)]
enum Side {
    Receiver,
    Sender,
}

/// The proof of one side: of a key, or of the secret, for the channel between these two keys.
fn proof(key: &[u8; 32], side: Side, keys: &Keys) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(match side {
        Side::Receiver => b"byway receive",
        Side::Sender => b"byway send   ",
    });
    hasher.update(keys.receiver.as_bytes()).update(keys.sender.as_bytes());
    hasher.finalize()
}

fn identities(keys: &Keys) -> (Identity, Identity) {
    let of = |side: &[u8], key: &PublicKey| Identity::new(&[side, key.as_bytes()].concat());
    (of(b"byway receive", &keys.receiver), of(b"byway send", &keys.sender))
}

fn key(octets: Vec<u8>) -> [u8; 32] {
    blake3::derive_key("byway 2026-11 key of a transfer's code", &octets)
}

/// The receiver's part; gives the transfer's secret.
pub fn receive<R: std::io::Read>(
    stream: &Stream,
    reader: &mut Reader<R>,
    keys: &Keys,
    credential: &Credential<'_>,
) -> Result<Secret, Refused> {
    let key = match credential {
        Credential::Secret(secret) => {
            let proof = *proof(&secret.0, Side::Receiver, keys).as_bytes();
            say(stream, &Message::Again { version: VERSION, proof })?;
            secret.0
        }
        Credential::Words(code) => {
            let (receiver, sender) = identities(keys);
            let (state, element) = Spake2::<Ed25519Group>::start_a(
                &Password::new(code.password()),
                &receiver,
                &sender,
            );
            say(stream, &Message::Words { version: VERSION, element })?;
            let element = match reader.message()? {
                Message::Element(element) => element,
                other => return Err(unexpected(other)),
            };
            let key = key(state.finish(&element).map_err(|_| Refused::WrongCode)?);
            say(stream, &Message::Proof(*proof(&key, Side::Receiver, keys).as_bytes()))?;
            key
        }
    };
    match reader.message()? {
        // `Hash` compares in constant time.
        Message::Welcome { proof: theirs, secret } if proof(&key, Side::Sender, keys) == theirs => {
            Ok(secret)
        }
        Message::Welcome { .. } => Err(Refused::WrongCode),
        other => Err(unexpected(other)),
    }
}

/// The sender's part. No code is right any more once its words are used up.
pub fn send<R: std::io::Read>(
    stream: &Stream,
    reader: &mut Reader<R>,
    keys: &Keys,
    code: Option<&Code>,
    secret: &Secret,
) -> Result<(), Refused> {
    let first = reader.message()?;
    if let Message::Words { version, .. } | Message::Again { version, .. } = first
        && version != VERSION
    {
        stop(stream, Stop::Version(VERSION));
        return Err(Lost::Protocol("the receiver speaks another version").into());
    }
    let key = match first {
        Message::Again { proof: theirs, .. }
            if proof(&secret.0, Side::Receiver, keys) == theirs =>
        {
            secret.0
        }
        Message::Again { .. } => {
            stop(stream, Stop::WrongCode);
            // 256 bits are not guessed, so that the words stay good.
            return Err(Lost::Protocol("the secret of another transfer").into());
        }
        Message::Words { element: theirs, .. } => {
            let Some(code) = code else {
                stop(stream, Stop::WrongCode);
                return Err(Refused::WrongCode);
            };
            let (receiver, sender) = identities(keys);
            let (state, element) = Spake2::<Ed25519Group>::start_b(
                &Password::new(code.password()),
                &receiver,
                &sender,
            );
            let key = key(state.finish(&theirs).map_err(|_| Lost::Protocol("no element"))?);
            say(stream, &Message::Element(element))?;
            match reader.message()? {
                Message::Proof(theirs) if proof(&key, Side::Receiver, keys) == theirs => key,
                Message::Proof(_) => {
                    stop(stream, Stop::WrongCode);
                    return Err(Refused::WrongCode);
                }
                other => return Err(unexpected(other)),
            }
        }
        other => return Err(unexpected(other)),
    };
    let proof = *proof(&key, Side::Sender, keys).as_bytes();
    say(stream, &Message::Welcome { proof, secret: *secret })?;
    Ok(())
}

fn unexpected(message: Message) -> Refused {
    match message {
        Message::Stop(Stop::WrongCode) => Refused::WrongCode,
        Message::Stop(why) => Refused::Stopped(why),
        _ => Lost::Protocol("a message out of turn").into(),
    }
}
