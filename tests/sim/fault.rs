//! What happens to HTTP exchanges.

use byway::session::Lane;
use byway::wire::{Decoder, Message, Piece};

use crate::rng::Rng;

/// What becomes of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Pass,
    /// No connection.
    Refused,
    /// None either, and the client gives up by itself.
    Unanswered,
    /// The proxy answers in the relay's place.
    Status(u16),
    /// So does a portal, with status 200.
    Portal,
    /// So does a cache, with the client's last answer.
    Cached,
    /// The connection ends before the relay sees anything.
    Lost,
    /// It ends for both when so many octets of the request have passed,
    CutUp(usize),
    /// or of the answer; the client may take that for its end.
    CutDown(usize),
    /// The relay gets so many octets of the request, as if they were all.
    Truncated(usize),
    /// The relay sees nothing, the client neither.
    Swallowed,
    /// The relay acts, the client sees nothing.
    Mute,
    /// The relay acts, and the proxy replaces the answer.
    StatusAfter(u16),
    /// The request reaches the relay so many ms later.
    Late(u64),
    /// The request reaches the relay again and again, each time so many ms later. The client gets
    /// the answer to the first, or to the last.
    Repeat {
        times: u64,
        after: u64,
        last: bool,
    },
}

/// A request or an answer that passes by.
#[derive(Debug)]
pub struct Seen<'a> {
    pub peer: usize,
    pub lane: Lane,
    pub body: &'a [u8],
}

impl Seen<'_> {
    /// Whether a message of the body is like this.
    pub fn has(&self, is: impl Fn(&Message<'_>) -> bool) -> bool {
        self.count(is) > 0
    }

    /// How many messages of the body are like this.
    pub fn count(&self, is: impl Fn(&Message<'_>) -> bool) -> usize {
        let mut decoder = Decoder::new();
        let mut input = self.body;
        let mut count = 0;
        while let Ok(Some(piece)) = decoder.next(&mut input) {
            if let Piece::Message(message) = piece {
                count += usize::from(is(&message));
            }
        }
        count
    }
}

/// Decides what becomes of a request.
pub type RequestHook = Box<dyn FnMut(&Seen<'_>) -> Fate>;
/// Decides whether an answer is lost.
pub type AnswerHook = Box<dyn FnMut(&Seen<'_>) -> bool>;

/// How likely each fate is, in per mille of the exchanges.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub refused: u64,
    pub status: u64,
    pub foreign: u64,
    pub lost: u64,
    pub cut: u64,
    pub silent: u64,
    pub repeat: u64,
    pub late: u64,
    /// No more of them from then on, in ms.
    pub until: u64,
}

impl Faults {
    /// Some kinds of fault, each more or less likely.
    pub fn random(rng: &mut Rng, until: u64) -> Self {
        let mut one = || if rng.chance(500) { rng.scale(150) } else { 0 };
        Self {
            refused: one(),
            status: one(),
            foreign: one(),
            lost: one(),
            cut: one(),
            silent: one() / 4,
            repeat: one(),
            late: one(),
            until,
        }
    }

    /// The fate of a request of `len` octets.
    pub fn draw(&self, now: u64, rng: &mut Rng, len: usize) -> Fate {
        if now >= self.until {
            return Fate::Pass;
        }
        let mut die = rng.below(1000);
        let mut hit = |per_mille: u64| {
            let hit = die < per_mille;
            die = die.saturating_sub(per_mille);
            hit || { false }
        };
        let statuses = [502, 503, 413, 407];
        if hit(self.refused) {
            Fate::Refused
        } else if hit(self.status) {
            let status = *rng.pick(&statuses);
            if rng.chance(500) { Fate::Status(status) } else { Fate::StatusAfter(status) }
        } else if hit(self.foreign) {
            if rng.chance(500) { Fate::Portal } else { Fate::Cached }
        } else if hit(self.lost) {
            if rng.chance(500) { Fate::Lost } else { Fate::CutDown(0) }
        } else if hit(self.cut) {
            match rng.below(4) {
                0 => Fate::Truncated(rng.below(len as u64 + 1) as usize),
                1 => Fate::CutUp(rng.below(len as u64 + 1) as usize),
                _ => Fate::CutDown(rng.scale(1 << 16) as usize),
            }
        } else if hit(self.silent) {
            if rng.chance(500) { Fate::Swallowed } else { Fate::Mute }
        } else if hit(self.repeat) {
            let times = rng.range(1, 3);
            Fate::Repeat { times, after: rng.scale(4000), last: rng.chance(500) }
        } else if hit(self.late) {
            Fate::Late(rng.scale(4000))
        } else {
            Fate::Pass
        }
    }
}
