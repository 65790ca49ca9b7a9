//! What relays tell each other, and how it is written: in the format of the crate `postcard`.

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::super::router::Origin;

/// A relay's process: drawn at random when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RelayId(pub u64);

impl fmt::Display for RelayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Counts the relays that had the router, so that the later of two is known. It goes up with every move.
pub type Term = u64;

/// The number of an exchange at the relay that has its connection.
pub type PipeId = u64;

/// Frames from one relay to another, in a line: a lost message leaves a gap in `count`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Envelope {
    pub from: RelayId,
    /// The term in which the router's side of the lane has the router.
    pub term: Term,
    /// The fronts' side begins again with a higher number after a gap.
    pub incarnation: u64,
    /// Messages of this incarnation before this one, in this direction.
    pub count: u64,
    pub frames: Frames,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Frames {
    /// From a relay with connections to the relay with the router.
    Up(Vec<UpFrame>),
    /// And back.
    Down(Vec<DownFrame>),
    /// Back: something was lost, nothing of this incarnation counts any longer.
    Gap,
}

/// What is said to all relays of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Call {
    /// This relay has the router.
    Holds(RelayId, Term),
    /// This relay lets go of the router: another is to take it.
    LetsGo(RelayId, Term),
}

/// For whom an exchange counts, as the relay with the connection saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Source {
    Exempt,
    Address(IpAddr),
}

impl Source {
    /// The source of a request. One that counts for a token's subject is known by its token.
    pub fn of(origin: &Origin) -> Self {
        match origin {
            Origin::Address(address) => Self::Address(*address),
            Origin::Exempt | Origin::Subject(_) => Self::Exempt,
        }
    }

    pub fn origin(self) -> Origin {
        match self {
            Self::Exempt => Origin::Exempt,
            Self::Address(address) => Origin::Address(address),
        }
    }
}

/// Of a request, in the order in which the parts of the request come.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UpFrame {
    pub pipe: PipeId,
    pub what: Up,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Up {
    /// A request arrived.
    Open {
        source: Source,
        /// The bearer token by which the policy of the relay with the connection let the request in; `None`: that relay
        /// has no policy.
        token: Option<Bytes>,
        /// There is no place for sessions that the router does not know.
        is_full: bool,
    },
    Body(Bytes),
    BodyEnd,
    /// Octets came behind the request.
    Behind,
    /// So many octets of the response were taken since the last such frame.
    Drained(u32),
    /// The hold of the park ends within so many milliseconds.
    EndWithin(u32),
    /// The connection is gone.
    Gone,
}

/// Of a response.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DownFrame {
    pub pipe: PipeId,
    pub what: Down,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Down {
    /// The session counts the exchange.
    Admitted,
    /// So many octets of the body were taken since the last such frame.
    Taken(u32),
    Piece {
        octets: Bytes,
        /// Nothing comes behind this piece.
        is_last: bool,
    },
    /// There is no response.
    Refused(Refusal),
}

/// Why a pipe ends without a response of the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::relay) enum Refusal {
    /// There are no places for sessions that are not known.
    Full,
    /// The origin makes too many requests of these.
    TooMany,
    /// The body is no HELLO.
    NoHello,
    /// The relay with the router does not know the token: its policy is another one.
    BadToken,
    /// The response broke off, or the other relay has no router.
    Broken,
}

/// The version of all this: the first octet of every message. Relays of different versions do not understand each
/// other, and say so.
const VERSION: u8 = 1;

/// Encodes what goes to other relays.
pub(super) fn encode(what: &impl Serialize) -> Bytes {
    // Writing to memory fails for types alone that need to know their length beforehand, and none here does.
    postcard::to_extend(what, vec![VERSION]).map(Bytes::from).unwrap_or_default()
}

/// Decodes what another relay sent; `None`: it is of another version, or of another program.
pub(super) fn decode<'a, T: Deserialize<'a>>(octets: &'a [u8]) -> Option<T> {
    let (version, rest) = octets.split_first()?;
    if *version != VERSION {
        return None;
    }
    let (what, rest) = postcard::take_from_bytes(rest).ok()?;
    rest.is_empty().then_some(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelope_is_read_as_written() {
        let body = UpFrame { pipe: 3, what: Up::Body(Bytes::from_static(b"octets")) };
        let frames = Frames::Up(vec![body, UpFrame { pipe: 3, what: Up::BodyEnd }]);
        let envelope = Envelope { from: RelayId(7), term: 2, incarnation: 1, count: 9, frames };
        let read: Envelope = decode(&encode(&envelope)).expect("what was written");
        assert_eq!((read.from, read.term, read.incarnation, read.count), (RelayId(7), 2, 1, 9));
        let Frames::Up(frames) = read.frames else { panic!("other frames") };
        assert!(matches!(&frames[0].what, Up::Body(octets) if octets == "octets"));
        assert!(matches!(frames[1], UpFrame { pipe: 3, what: Up::BodyEnd }));
    }

    #[test]
    fn octets_of_another_program_are_no_envelope() {
        assert!(decode::<Envelope>(b"").is_none());
        assert!(decode::<Envelope>(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").is_none());
        assert!(decode::<Call>(b"\x01\x09").is_none());
        let mut octets = encode(&Call::Holds(RelayId(1), 1)).to_vec();
        assert!(decode::<Call>(&octets).is_some());
        octets.push(0);
        assert!(decode::<Call>(&octets).is_none(), "a longer message of another version");
        octets.pop();
        octets[0] = VERSION + 1;
        assert!(decode::<Call>(&octets).is_none(), "a message of another version");
    }
}
