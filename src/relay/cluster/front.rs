//! The pipes of this relay's connections to the relay that has the router: they are driven as exchanges are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::super::router::Answer;
use super::frame::{
    Down, DownFrame, Envelope, Frames, PipeId, Refusal, RelayId, Source, Term, Up, UpFrame,
};
use super::lane::{Arrived, Lane, LaneId};

/// Octets of a body that the other relay did not take into its router: what it holds for an upload whose
/// messages wait. A bus takes milliseconds there and back, and a quarter of this would be 30 MB a second.
pub const UP_WINDOW: usize = 256 * 1024;

/// Octets of a response under way to this relay and in it, for the same reason.
pub const DOWN_WINDOW: usize = 256 * 1024;

/// After how many octets the other side is told that they were taken: an eighth of the window, so that short
/// bodies and responses need no such frame.
pub const TELL: u32 = 32 * 1024;

/// How long a lane without pipes is remembered, in milliseconds.
const FORGET: u64 = 60_000;

/// A request that is to be opened at the router.
#[derive(Debug)]
pub(in crate::relay) struct Opening {
    pub source: Source,
    pub token: Option<Bytes>,
    pub is_full: bool,
}

/// How far a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    /// More may come.
    Open,
    /// All of it is here.
    Whole,
    Refused(Refusal),
}

#[derive(Debug)]
struct Pipe {
    lane: LaneId,
    /// What the router's relay is told with the first octets: both go in one message.
    opening: Option<Opening>,
    /// Octets of the body that are under way.
    under_way: usize,
    response: VecDeque<Bytes>,
    /// Octets in `response`.
    queued: usize,
    /// Octets taken of the response since the other side was told.
    drained: u32,
    reply: Reply,
    is_admitted: bool,
    is_behind: bool,
}

#[derive(Debug)]
struct FrontLane {
    lane: Lane<UpFrame>,
    pipes: BTreeSet<PipeId>,
    idle_since: u64,
}

/// All pipes of a relay.
#[derive(Debug, Default)]
pub(in crate::relay) struct Front {
    pipes: FxHashMap<PipeId, Pipe>,
    lanes: BTreeMap<LaneId, FrontLane>,
    next: PipeId,
    wakes: VecDeque<PipeId>,
    /// When the holds of all parks end at the latest, once the relay leaves.
    holds_end: Option<u64>,
    /// Pipes broken since the start.
    pub broken: u64,
    /// Pipes refused for their token since the start.
    pub tokens_unknown: u64,
}

impl Front {
    /// Opens a pipe to the router of that relay.
    pub fn open(&mut self, now: u64, lane: LaneId, opening: Opening) -> PipeId {
        let id = self.next;
        self.next += 1;
        let pipe = Pipe {
            lane,
            opening: Some(opening),
            under_way: 0,
            response: VecDeque::new(),
            queued: 0,
            drained: 0,
            reply: Reply::Open,
            is_admitted: false,
            is_behind: false,
        };
        self.pipes.insert(id, pipe);
        let at = self.lanes.entry(lane).or_insert_with(|| FrontLane {
            lane: Lane::beginning(now),
            pipes: BTreeSet::new(),
            idle_since: now,
        });
        if at.pipes.is_empty() {
            at.lane.wakes(now);
        }
        at.pipes.insert(id);
        id
    }

    pub fn len(&self) -> usize {
        self.pipes.len()
    }

    fn say(&mut self, pipe: PipeId, what: Up) {
        let Some(Pipe { lane, opening, .. }) = self.pipes.get_mut(&pipe) else { return };
        let Some(at) = self.lanes.get_mut(lane) else { return };
        if let Some(Opening { source, token, is_full }) = opening.take() {
            at.lane.push(UpFrame { pipe, what: Up::Open { source, token, is_full } });
        }
        at.lane.push(UpFrame { pipe, what });
    }

    /// More of the body arrived; what stays of it is to be offered again.
    pub fn handle_body(&mut self, id: PipeId, chunk: &mut Bytes) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return chunk.clear() };
        if pipe.reply != Reply::Open {
            return chunk.clear();
        }
        let taken = chunk.split_to(chunk.len().min(UP_WINDOW.saturating_sub(pipe.under_way)));
        pipe.under_way += taken.len();
        if !taken.is_empty() {
            self.say(id, Up::Body(taken));
        }
    }

    /// The whole body was given and taken.
    pub fn handle_body_end(&mut self, now: u64, id: PipeId) {
        if self.pipes.get(&id).is_some_and(|pipe| pipe.reply == Reply::Open) {
            self.say(id, Up::BodyEnd);
            if let Some(end) = self.holds_end {
                self.say(id, Up::EndWithin(within(end.saturating_sub(now))));
            }
        }
    }

    /// Octets came behind the request.
    pub fn handle_behind(&mut self, id: PipeId) {
        if let Some(pipe) = self.pipes.get_mut(&id)
            && !std::mem::replace(&mut pipe.is_behind, true)
        {
            self.say(id, Up::Behind);
        }
    }

    /// The connection is gone, or the response complete.
    pub fn handle_gone(&mut self, now: u64, id: PipeId) {
        if self
            .pipes
            .get(&id)
            .is_some_and(|pipe| pipe.reply == Reply::Open && pipe.opening.is_none())
        {
            self.say(id, Up::Gone);
        }
        self.forget(now, id);
    }

    fn forget(&mut self, now: u64, id: PipeId) {
        let Some(pipe) = self.pipes.remove(&id) else { return };
        if let Some(at) = self.lanes.get_mut(&pipe.lane) {
            at.pipes.remove(&id);
            at.idle_since = now;
        }
    }

    /// Whether the session of the HELLO counts the exchange.
    pub fn is_admitted(&self, id: PipeId) -> bool {
        self.pipes.get(&id).is_some_and(|pipe| pipe.is_admitted)
    }

    /// Why there is no response, or no more of it.
    pub fn refusal(&self, id: PipeId) -> Option<Refusal> {
        match self.pipes.get(&id)?.reply {
            Reply::Refused(why) => Some(why),
            Reply::Open | Reply::Whole => None,
        }
    }

    /// Octets of the rest of the response, if all of it is here.
    pub fn complete_len(&self, id: PipeId) -> Option<usize> {
        let pipe = self.pipes.get(&id)?;
        (pipe.reply != Reply::Open).then_some(pipe.queued)
    }

    /// The next piece of the response.
    pub fn poll_response(&mut self, now: u64, id: PipeId) -> Answer {
        let Some(pipe) = self.pipes.get_mut(&id) else { return Answer::End };
        let Some(piece) = pipe.response.pop_front() else {
            if pipe.reply == Reply::Open {
                return Answer::Pending;
            }
            self.forget(now, id);
            return Answer::End;
        };
        pipe.queued -= piece.len();
        pipe.drained += piece.len() as u32;
        if pipe.drained >= TELL && pipe.reply == Reply::Open {
            let drained = std::mem::take(&mut pipe.drained);
            self.say(id, Up::Drained(drained));
        }
        Answer::Bytes(piece)
    }

    /// A pipe whose driver must look again.
    pub fn poll_wake(&mut self) -> Option<PipeId> {
        self.wakes.pop_front()
    }

    /// Ends the holds of all parks within `spread` milliseconds, evenly, the oldest first.
    pub fn drain(&mut self, now: u64, spread: u64) {
        self.holds_end = Some(now + spread);
        let mut ids: Vec<_> = self.pipes.keys().copied().collect();
        ids.sort_unstable();
        let most = ids.len() as u64;
        for (turn, id) in (1..).zip(ids) {
            let after = (spread.min(most) * turn).div_ceil(most.max(1));
            self.say(id, Up::EndWithin(within(after)));
        }
    }

    /// What is under way to relays that had the router in earlier terms is over.
    pub fn break_before(&mut self, now: u64, term: Term) {
        let earlier: Vec<_> = self.lanes.keys().filter(|id| id.term < term).copied().collect();
        earlier.into_iter().for_each(|id| self.break_lane(now, id));
    }

    /// A message of the relay that has the router.
    pub fn handle(&mut self, now: u64, envelope: Envelope) {
        let Envelope { from, term, incarnation, count, frames } = envelope;
        let id = LaneId { peer: from, term };
        let Some(at) = self.lanes.get_mut(&id) else { return };
        let frames = match frames {
            Frames::Down(frames) => frames,
            Frames::Gap if at.lane.is_of(incarnation) => return self.break_lane(now, id),
            Frames::Gap | Frames::Up(_) => return,
        };
        if !at.lane.is_of(incarnation) {
            return;
        }
        match at.lane.arrive(now, incarnation, count) {
            Arrived::Stale => {}
            Arrived::Gap | Arrived::Anew => self.break_lane(now, id),
            Arrived::Next => frames.into_iter().for_each(|frame| self.hear(frame)),
        }
    }

    fn hear(&mut self, DownFrame { pipe: id, what }: DownFrame) {
        let Some(pipe) = self.pipes.get_mut(&id).filter(|pipe| pipe.reply == Reply::Open) else {
            return;
        };
        match what {
            Down::Admitted => pipe.is_admitted = true,
            Down::Taken(octets) => {
                pipe.under_way = pipe.under_way.saturating_sub(octets as usize);
            }
            Down::Piece { octets, is_last } => {
                pipe.queued += octets.len();
                if !octets.is_empty() {
                    pipe.response.push_back(octets);
                }
                if is_last {
                    pipe.reply = Reply::Whole;
                }
            }
            Down::Refused(why) => {
                pipe.reply = Reply::Refused(why);
                match why {
                    Refusal::Broken => self.broken += 1,
                    Refusal::BadToken => self.tokens_unknown += 1,
                    Refusal::Full | Refusal::TooMany | Refusal::NoHello => {}
                }
            }
        }
        self.wakes.push_back(id);
    }

    /// What is under way in a lane is over.
    fn break_lane(&mut self, now: u64, id: LaneId) {
        let Some(at) = self.lanes.get_mut(&id) else { return };
        at.lane.begin_anew(now);
        for id in &at.pipes {
            if let Some(pipe) = self.pipes.get_mut(id)
                && pipe.reply == Reply::Open
            {
                pipe.reply = Reply::Refused(Refusal::Broken);
                // A part of a response is not to look like all of it.
                pipe.response.clear();
                pipe.queued = 0;
                self.broken += 1;
                self.wakes.push_back(*id);
            }
        }
    }

    /// The next message for another relay.
    pub fn poll_message(&mut self, now: u64, from: RelayId) -> Option<(RelayId, Envelope)> {
        self.lanes.iter_mut().find_map(|(id, at)| {
            let beats = !at.pipes.is_empty();
            Some((id.peer, at.lane.poll_message(now, from, id.term, beats)?))
        })
    }

    pub fn has_messages(&self) -> bool {
        self.lanes.values().any(|at| at.lane.has_frames())
    }

    pub fn poll_timeout(&self) -> Option<u64> {
        let looks = self.lanes.values().map(|at| match at.pipes.is_empty() {
            true => at.idle_since + FORGET,
            false => at.lane.next_look(),
        });
        looks.min()
    }

    /// Breaks lanes whose other end is silent, and forgets those that idle. Beats are due by
    /// [`poll_message`](Self::poll_message).
    pub fn handle_timeout(&mut self, now: u64) {
        let silent: Vec<_> = self
            .lanes
            .iter()
            .filter(|(_, at)| !at.pipes.is_empty() && at.lane.is_silent(now))
            .map(|(id, _)| *id)
            .collect();
        silent.into_iter().for_each(|id| self.break_lane(now, id));
        self.lanes.retain(|_, at| !at.pipes.is_empty() || now < at.idle_since + FORGET);
    }
}

/// So many milliseconds, as a frame says them.
fn within(ms: u64) -> u32 {
    u32::try_from(ms).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_the_other_relay_are_counted_by_their_cause() {
        let (own, peer) = (RelayId(1), RelayId(2));
        let mut front = Front::default();
        let refusals = [Refusal::Broken, Refusal::BadToken, Refusal::Full, Refusal::Broken];
        let pipes = refusals.map(|_| {
            let opening = Opening { source: Source::Exempt, token: None, is_full: false };
            let pipe = front.open(0, LaneId { peer, term: 1 }, opening);
            front.handle_body(pipe, &mut Bytes::from_static(b"hello"));
            pipe
        });
        let (to, sent) = front.poll_message(0, own).expect("bodies wait");
        assert_eq!(to, peer);
        let said = pipes.into_iter().zip(refusals);
        let frames = said.map(|(pipe, why)| DownFrame { pipe, what: Down::Refused(why) });
        let frames = Frames::Down(frames.collect());
        front.handle(1, Envelope { from: peer, count: 0, frames, ..sent });
        assert_eq!(pipes.map(|pipe| front.refusal(pipe)), refusals.map(Some));
        assert_eq!((front.broken, front.tokens_unknown), (2, 1));
    }
}
