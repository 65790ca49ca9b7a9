//! What a misbehaving proxy does to an exchange: the kinds of fault, and the fates drawn from them.

use crate::rng::Rng;

/// The fate of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Pass,
    /// No connection is made.
    Refused,
    /// The server to which the client dials does not answer.
    #[allow(dead_code)] // by gateways of the simulation alone
    Unanswered,
    /// The proxy answers in the relay's place with this status.
    Status(u16),
    /// The proxy answers with this status, and asks the client to come back after this many
    /// seconds.
    #[allow(dead_code)] // the same
    Later(u16, u8),
    /// A portal answers with status 200.
    Portal,
    /// A cache answers with the client's last answer.
    Cached,
    /// The connection ends before the relay sees an octet.
    Lost,
    /// The connection ends for both sides when this many octets of the request have passed.
    CutUp(usize),
    /// The connection ends for both sides when this many octets of the answer have passed.
    CutDown(usize),
    /// The answer comes as HTTP/1.0, which ends with the connection: a cut behind this many octets
    /// looks like its end.
    Http10(Option<usize>),
    /// The connections of both sides are reset after this many ms.
    Reset(u64),
    /// The relay gets this many octets of the request, as if they were all.
    Truncated(usize),
    /// The request vanishes: neither relay nor client sees anything.
    Swallowed,
    /// The relay acts, and the client sees nothing.
    Mute,
    /// The relay acts, and the proxy replaces the answer.
    StatusAfter(u16),
    /// The request passes only when it is whole.
    BufferUp,
    /// The answer passes only when it is whole.
    BufferDown,
    /// The answer passes in bundles, one every so many ms.
    HoldDown(u64),
    /// The request reaches the relay this many ms late.
    LateUp(u64),
    /// Every part of the answer reaches the client this many ms late.
    LateDown(u64),
    /// The request reaches the relay again and again, each time this many ms later. The client gets
    /// the answer to the first, or to the last.
    Repeat {
        times: u64,
        after: u64,
        last: bool,
    },
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    RepeatAtOnce,
    RepeatLate,
    LoseRequest,
    LoseAnswer,
    CutRequest,
    CutAnswer,
    Reset,
    BufferRequest,
    BufferAnswer,
    HoldAnswer,
    Http10,
    StatusBefore,
    StatusAfter,
    Portal,
    DelayRequest,
    DelayAnswer,
    Refuse,
    Cache,
    Truncate,
}

/// The statuses that proxies and gateways give by themselves.
const STATUSES: [u16; 6] = [407, 413, 429, 502, 503, 504];

/// An answer is cut behind this many octets at most; cuts near its beginning are as likely.
const LATEST_CUT: u64 = 1 << 19;

impl Fault {
    /// The faults of one proxy; the others are faults of other things on the way.
    pub const OF_A_PROXY: &[Self] = Self::ALL.split_at(16).0;

    pub const ALL: [Self; 19] = [
        Self::RepeatAtOnce,
        Self::RepeatLate,
        Self::LoseRequest,
        Self::LoseAnswer,
        Self::CutRequest,
        Self::CutAnswer,
        Self::Reset,
        Self::BufferRequest,
        Self::BufferAnswer,
        Self::HoldAnswer,
        Self::Http10,
        Self::StatusBefore,
        Self::StatusAfter,
        Self::Portal,
        Self::DelayRequest,
        Self::DelayAnswer,
        Self::Refuse,
        Self::Cache,
        Self::Truncate,
    ];

    /// Draws a fate of this kind for a request of `len` octets; delays are `longest` ms at most.
    pub fn draw(self, rng: &mut Rng, len: usize, longest: u64) -> Fate {
        let at = |rng: &mut Rng| rng.below(len as u64 + 1) as usize;
        let either = |rng: &mut Rng, one, other| if rng.chance(500) { one } else { other };
        match self {
            Self::RepeatAtOnce => repeat(rng, 0),
            Self::RepeatLate => {
                let after = 1 + rng.scale(longest);
                repeat(rng, after)
            }
            Self::LoseRequest => either(rng, Fate::Lost, Fate::Swallowed),
            Self::LoseAnswer => either(rng, Fate::CutDown(0), Fate::Mute),
            Self::CutRequest => Fate::CutUp(at(rng)),
            Self::CutAnswer => Fate::CutDown(rng.scale(LATEST_CUT) as usize),
            Self::Reset => Fate::Reset(rng.scale(longest)),
            Self::BufferRequest => Fate::BufferUp,
            Self::BufferAnswer => Fate::BufferDown,
            Self::HoldAnswer => Fate::HoldDown(1 + rng.scale(longest)),
            Self::Http10 => {
                let cut = rng.scale(LATEST_CUT) as usize;
                Fate::Http10(rng.chance(500).then_some(cut))
            }
            Self::StatusBefore => Fate::Status(*rng.pick(&STATUSES)),
            Self::StatusAfter => Fate::StatusAfter(*rng.pick(&STATUSES)),
            Self::Portal => Fate::Portal,
            Self::DelayRequest => Fate::LateUp(1 + rng.scale(longest)),
            Self::DelayAnswer => Fate::LateDown(1 + rng.scale(longest)),
            Self::Refuse => Fate::Refused,
            Self::Cache => Fate::Cached,
            Self::Truncate => Fate::Truncated(at(rng)),
        }
    }
}

fn repeat(rng: &mut Rng, after: u64) -> Fate {
    Fate::Repeat { times: rng.range(1, 3), after, last: rng.chance(500) }
}

/// How likely each fault is, in per mille of the exchanges.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub odds: [u64; Fault::ALL.len()],
    /// When the faults end, in ms.
    pub until: u64,
    /// The longest delay of a fault, in ms.
    pub longest: u64,
}

impl Faults {
    /// These faults, each as likely as `per_mille` says, at all times.
    pub fn each(faults: &[Fault], per_mille: u64, longest: u64) -> Self {
        let odds = Fault::ALL.map(|fault| if faults.contains(&fault) { per_mille } else { 0 });
        Self { odds, until: u64::MAX, longest }
    }

    /// Draws the fate of a request of `len` octets.
    pub fn draw(&self, now: u64, rng: &mut Rng, len: usize) -> Fate {
        if now >= self.until {
            return Fate::Pass;
        }
        let mut die = rng.below(1000);
        for (fault, odds) in Fault::ALL.into_iter().zip(self.odds) {
            if die < odds {
                return fault.draw(rng, len, self.longest);
            }
            die -= odds;
        }
        Fate::Pass
    }
}
