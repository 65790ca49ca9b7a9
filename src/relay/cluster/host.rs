//! Exchanges of other relays' connections, at this relay's router.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::super::admission::Grant;
use super::super::router::{Answer, ExchangeId, Origin, Router, Shortage};
use super::frame::{
    Down, DownFrame, Envelope, Frames, PipeId, Refusal, RelayId, Term, Up, UpFrame,
};
use super::front::{DOWN_WINDOW, TELL};
use super::lane::{Arrived, Lane, LaneId, SILENCE};

/// How long the lane of a silent relay is remembered, in milliseconds: longer than that relay remembers it.
const FORGET: u64 = 120_000;

/// Decides about the bearer of a token, for a request of this origin: what the request may do, or that the token
/// is not known. Without a token: whether this relay has no policy either.
pub type Admit<'a> = &'a mut dyn FnMut(Option<&[u8]>, &Origin) -> Result<Option<Arc<Grant>>, ()>;

#[derive(Debug)]
struct Hosted {
    lane: LaneId,
    pipe: PipeId,
    /// Octets of the body that the router did not take yet.
    pending: VecDeque<Bytes>,
    body: HostedBody,
    /// Octets taken since the other side was told.
    taken: u32,
    /// Octets of the response that the other side did not say it drained. They are held, as those in the router are.
    out: usize,
    has_answer: bool,
    is_admitted: bool,
}

/// How far a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HostedBody {
    Arrives,
    /// All of it is here.
    Whole,
    /// The router knows.
    Told,
}

#[derive(Debug)]
struct HostLane {
    lane: Lane<DownFrame>,
    pipes: FxHashMap<PipeId, ExchangeId>,
}

/// All exchanges of others.
#[derive(Debug, Default)]
pub(in crate::relay) struct Host {
    exchanges: FxHashMap<ExchangeId, Hosted>,
    lanes: BTreeMap<LaneId, HostLane>,
    gaps: Vec<(RelayId, Envelope)>,
}

impl Host {
    pub fn len(&self) -> usize {
        self.exchanges.len()
    }

    /// A message of a relay with connections; `term`: in which this relay has the router.
    pub fn handle(
        &mut self,
        now: u64,
        router: &mut Router,
        own: (RelayId, Option<Term>),
        envelope: Envelope,
        admit: Admit<'_>,
    ) {
        let Envelope { from, term, incarnation, count, frames } = envelope;
        let Frames::Up(frames) = frames else { return };
        let id = LaneId { peer: from, term };
        let at = self.lanes.entry(id).or_insert_with(|| HostLane {
            lane: Lane::following(now),
            pipes: FxHashMap::default(),
        });
        match at.lane.arrive(now, incarnation, count) {
            Arrived::Stale => return,
            Arrived::Gap => {
                let gap = at.lane.gap(own.0, term);
                self.gaps.push((from, gap));
                return self.drop_all(now, router, id);
            }
            Arrived::Anew => self.drop_all(now, router, id),
            Arrived::Next => {}
        }
        let is_mine = own.1 == Some(term);
        for frame in frames {
            self.hear(now, router, id, frame, is_mine, admit);
        }
    }

    fn hear(
        &mut self,
        now: u64,
        router: &mut Router,
        lane: LaneId,
        UpFrame { pipe, what }: UpFrame,
        is_mine: bool,
        admit: Admit<'_>,
    ) {
        let Some(at) = self.lanes.get_mut(&lane) else { return };
        if let Up::Open { source, token, is_full } = what {
            let refuse = |at: &mut HostLane, why| {
                at.lane.push(DownFrame { pipe, what: Down::Refused(why) });
            };
            if !is_mine {
                return refuse(at, Refusal::Broken);
            }
            let origin = source.origin();
            let Ok(grant) = admit(token.as_deref(), &origin) else {
                return refuse(at, Refusal::BadToken);
            };
            let origin = match &grant {
                Some(grant) => Origin::Subject(Arc::clone(grant.holder())),
                None => origin,
            };
            let id = router.handle_open_for(now, &origin);
            if is_full {
                router.refuse_strangers(id);
            }
            if let Some(grant) = grant {
                router.confine(id, grant);
            }
            at.pipes.insert(pipe, id);
            let hosted = Hosted {
                lane,
                pipe,
                pending: VecDeque::new(),
                body: HostedBody::Arrives,
                taken: 0,
                out: 0,
                has_answer: false,
                is_admitted: false,
            };
            self.exchanges.insert(id, hosted);
            return;
        }
        let Some(id) = at.pipes.get(&pipe).copied() else { return };
        let Some(hosted) = self.exchanges.get_mut(&id) else { return };
        match what {
            Up::Open { .. } => {}
            Up::Body(octets) => hosted.pending.push_back(octets),
            Up::BodyEnd => {
                if hosted.body == HostedBody::Arrives {
                    hosted.body = HostedBody::Whole;
                }
            }
            Up::Behind => router.handle_behind(now, id),
            Up::Drained(octets) => {
                let drained = hosted.out.min(octets as usize);
                hosted.out -= drained;
                router.release_out(id, drained);
            }
            Up::EndWithin(within) => return router.end_hold_within(now, id, within.into()),
            Up::Gone => {
                self.forget(router, id);
                return router.handle_gone(now, id);
            }
        }
        self.serve(now, router, id);
    }

    /// The router names an exchange; false if the exchange is none of another relay's.
    pub fn serve(&mut self, now: u64, router: &mut Router, id: ExchangeId) -> bool {
        let Some(hosted) = self.exchanges.get_mut(&id) else { return false };
        let Some(at) = self.lanes.get_mut(&hosted.lane) else { return true };
        let pipe = hosted.pipe;
        let mut say = |what| at.lane.push(DownFrame { pipe, what });
        hosted.feed(now, router, id, &mut say);
        if hosted.drain(now, router, id, &mut say) {
            self.forget(router, id);
        }
        true
    }

    fn forget(&mut self, router: &mut Router, id: ExchangeId) {
        let Some(hosted) = self.exchanges.remove(&id) else { return };
        router.release_out(id, hosted.out);
        if let Some(at) = self.lanes.get_mut(&hosted.lane) {
            at.pipes.remove(&hosted.pipe);
        }
    }

    /// What is under way in a lane is over.
    fn drop_all(&mut self, now: u64, router: &mut Router, id: LaneId) {
        let Some(at) = self.lanes.get_mut(&id) else { return };
        let mut gone: Vec<_> = at.pipes.drain().map(|(_, exchange)| exchange).collect();
        gone.sort_unstable();
        for exchange in gone {
            self.forget(router, exchange);
            router.handle_gone(now, exchange);
        }
    }

    /// The router begins anew: what is under way is over.
    pub fn begin_anew(&mut self, now: u64, router: &mut Router) {
        let lanes: Vec<_> = self.lanes.keys().copied().collect();
        for id in lanes {
            if let Some(at) = self.lanes.get_mut(&id).filter(|at| !at.pipes.is_empty()) {
                at.lane.break_off();
            }
            self.drop_all(now, router, id);
        }
    }

    /// The next message for another relay.
    pub fn poll_message(&mut self, now: u64, from: RelayId) -> Option<(RelayId, Envelope)> {
        if let Some(gap) = self.gaps.pop() {
            return Some(gap);
        }
        self.lanes.iter_mut().find_map(|(id, at)| {
            let beats = !at.pipes.is_empty();
            Some((id.peer, at.lane.poll_message(now, from, id.term, beats)?))
        })
    }

    pub fn has_messages(&self) -> bool {
        !self.gaps.is_empty() || self.lanes.values().any(|at| at.lane.has_frames())
    }

    pub fn poll_timeout(&self) -> Option<u64> {
        let looks = self.lanes.values().map(|at| match at.pipes.is_empty() {
            true => at.lane.silent_since() + FORGET,
            false => at.lane.next_look(),
        });
        looks.min()
    }

    /// Gives up the exchanges of relays that are silent, and forgets those relays.
    pub fn handle_timeout(&mut self, now: u64, router: &mut Router) {
        let silent: Vec<_> =
            self.lanes.iter().filter(|(_, at)| at.lane.is_silent(now)).map(|(id, _)| *id).collect();
        for id in silent {
            // A relay that was only late hears by its next message that this is over.
            if let Some(at) = self.lanes.get_mut(&id).filter(|at| !at.pipes.is_empty()) {
                at.lane.break_off();
            }
            self.drop_all(now, router, id);
        }
        self.lanes.retain(|_, at| now < at.lane.silent_since() + FORGET);
    }
}

const _: () = assert!(SILENCE < FORGET);

impl Hosted {
    /// Gives the router what it takes of the body.
    fn feed(&mut self, now: u64, router: &mut Router, id: ExchangeId, say: &mut impl FnMut(Down)) {
        while let Some(mut chunk) = self.pending.pop_front() {
            let before = chunk.len();
            router.handle_body(now, id, &mut chunk);
            self.taken += (before - chunk.len()) as u32;
            if !chunk.is_empty() {
                self.pending.push_front(chunk);
                break;
            }
        }
        if self.pending.is_empty() && self.body == HostedBody::Whole {
            self.body = HostedBody::Told;
            router.handle_body_end(now, id);
        }
        if self.taken >= TELL && self.body == HostedBody::Arrives {
            say(Down::Taken(std::mem::take(&mut self.taken)));
        }
        if !self.is_admitted && router.is_admitted(id) {
            self.is_admitted = true;
            say(Down::Admitted);
        }
    }

    /// Passes on what there is of the response; true if that was all of it.
    fn drain(
        &mut self,
        now: u64,
        router: &mut Router,
        id: ExchangeId,
        say: &mut impl FnMut(Down),
    ) -> bool {
        while self.out < DOWN_WINDOW {
            let whole = router.complete_len(id);
            let refused = router.refusal(id);
            if whole == Some(0) {
                // The router is about to forget the exchange.
                router.release_out(id, std::mem::take(&mut self.out));
            }
            match router.poll_response(now, id) {
                Answer::Pending => return false,
                Answer::Bytes(octets) => {
                    let is_last = whole == Some(octets.len());
                    self.has_answer = true;
                    let len = octets.len();
                    say(Down::Piece { octets, is_last });
                    if is_last {
                        router.release_out(id, std::mem::take(&mut self.out));
                        let end = router.poll_response(now, id);
                        debug_assert_eq!(end, Answer::End, "the piece was all there is");
                        return true;
                    }
                    self.out += len;
                    router.hold_out(id, len);
                }
                Answer::End if self.has_answer => {
                    say(Down::Piece { octets: Bytes::new(), is_last: true });
                    return true;
                }
                Answer::End => {
                    say(Down::Refused(match refused {
                        Some(Shortage::Places) => Refusal::Full,
                        Some(Shortage::Rate) => Refusal::TooMany,
                        None => Refusal::NoHello,
                    }));
                    return true;
                }
            }
        }
        false
    }
}
