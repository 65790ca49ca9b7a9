//! A park whose body is whole takes its place.

use tracing::trace;

use super::ExchangeId;
use super::exchange::{Park, RequestKind, SingleMessages, Ticks};
use super::key::SessionKey;
use super::park_end::ParkEnd;
use super::tables::{Tables, Work};
use crate::wire::{Hello, HelloFlags, ListenReq, Status};

impl Tables {
    /// A park is whole: it takes its place, unless it is late. True: the park waits, or is being answered.
    pub(super) fn arrive(
        &mut self,
        now: u64,
        id: ExchangeId,
        hello: &Hello,
        claims: &[ListenReq],
    ) -> bool {
        let Some(peer) = self.session_of(id) else { return false };
        if let Some(status) = self.lateness(peer, hello.seq) {
            self.answer(now, id, status);
            return false;
        }
        let Some(session) = self.sessions.get_mut(&peer) else { return false };
        // The park that ends tells of this one.
        session.raise_highest(hello.seq);
        if let Some(before) = session.park() {
            self.end_park(now, before, ParkEnd::Newer);
        }
        let kind = RequestKind::of(hello);
        let hold_until =
            self.hold_until(now, u64::from(hello.hold_ms).min(self.config.max_hold_ms));
        let streams = hello.flags.has(HelloFlags::STREAM) && kind == RequestKind::Park;
        let ticks = streams.then_some(Ticks { began: now, due: now });
        let single = (kind == RequestKind::Single).then_some(SingleMessages::Spoke);
        self.exchanges.take_place(id, Park { hold_until, ticks, single });
        self.stats.streams += u64::from(streams);
        trace!(session = %peer, exchange = id, seq = hello.seq, hold_ms = hello.hold_ms, streams, "parked");
        let mut wake = None;
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.parks(now, id, hello.seq);
            wake = session.wake.take();
        }
        self.sessions.goes_on(peer);
        self.claim(now, id, peer, claims);
        self.exchanges.arm(id, Some(hold_until));
        if wake.is_some_and(|wake| hello.seq < wake) {
            self.end_park(now, id, ParkEnd::Wake);
        } else if streams {
            self.open(now, id, ParkEnd::Stream);
        }
        self.poke(now, peer);
        self.tell_wishers(now, peer);
        self.later(Work::Serve(peer));
        self.stands(id)
    }

    /// Whether the park of the exchange `id` waits, or is being answered.
    pub(super) fn stands(&self, id: ExchangeId) -> bool {
        self.exchanges.get(id).is_some_and(|exchange| exchange.park().is_some())
    }

    /// The status of a park that does not take its place.
    fn lateness(&self, peer: SessionKey, seq: u64) -> Option<Status> {
        let session = self.sessions.get(&peer)?;
        let waits = session
            .park()
            .and_then(|park| self.exchanges.get(park))
            .is_some_and(|exchange| exchange.is_parked());
        match session.highest() {
            Some(highest) if seq < highest => Some(Status::Stale),
            Some(highest) if seq == highest && !waits => Some(Status::Repeated),
            _ => None,
        }
    }
}
