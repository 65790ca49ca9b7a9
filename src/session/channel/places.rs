//! Room for those who connect while every channel is taken: peers that are gone lose their places.

use super::EndCause;
use crate::session::deadline::Deadline;
use crate::session::mode::Mode;
use crate::session::view::Session;
use crate::trace::debug;
use crate::wire::Status;

/// How long places count as wanted after somebody found none, in ms: longer than it takes to find
/// out which peers are gone.
const WANTED_MS: u64 = 30_000;
/// How long those who connect are left to ask again before they are refused, in ms.
const UNDECIDED_MS: u64 = 18_000;
/// A peer that answers nothing for so long, in ms, and that the relay calls away, is gone: twice
/// the relay's grace, and longer than a client needs to go on after any change of its path.
const GONE_MS: u32 = 10_000;
/// A channel that came before places were wanted, and is unused while they are for so long, in ms, loses its
/// place: a peer that connects to use it does so at once, or within a round trip of a slow path.
const UNUSED_MS: u64 = 5_000;
/// A channel on which something came so recently, in ms, need not be asked for.
const HEARD_MS: u64 = 2_500;

impl<M: Mode> Session<'_, M> {
    /// A peer connects and finds no free channel: the peers of all quiet ones are asked whether
    /// they are there, and a channel that came before and that neither side has used is ended. Whether there
    /// may be room soon, for that or since it is still undecided for some.
    pub(super) fn want_place(&mut self, now: u64) -> bool {
        let arrivals = self.core.arrivals;
        let Some(full) = self.core.full_mut() else { return false };
        let began = full.places_wanted.get().filter(|began| now < began + WANTED_MS);
        if began.is_none() {
            full.places_wanted = Deadline::at(now);
            full.arrivals_then = arrivals;
        }
        let then = full.arrivals_then;
        let is_due = began.is_some_and(|began| now >= began + UNUSED_MS);
        let mut undecided = false;
        for slot in 0..self.channels.len() {
            let channel = &mut self.channels[slot];
            if !channel.is_established() {
                continue;
            }
            // Else a stranger would take all of them for nothing, and for good.
            let is_unused = channel.tx.written() == 0 && channel.rx.received() == 0;
            let came_before = then.wrapping_sub(channel.arrival) < u32::MAX / 2;
            if is_due && is_unused && came_before && channel.listener.is_some() {
                debug!("channel {:#x} is unused, and its place is wanted", self.channel_id(slot).0);
                self.end(now, slot, EndCause::Here(Status::Linger), false);
                return true;
            }
            if now < channel.heard_at + HEARD_MS {
                continue;
            }
            undecided = true;
            if channel.prober.ask() {
                self.watch(now, slot);
                self.core.wakes.send = true;
            }
        }
        undecided && now < began.unwrap_or(now) + UNDECIDED_MS
    }

    /// The relay has not seen the channel's peer within its grace: should its place be wanted, it
    /// is taken once the peer was quiet for long enough.
    pub(in crate::session) fn give_place_away(&mut self, now: u64, slot: usize) {
        let wanted = self.core.full().and_then(|full| full.places_wanted.get());
        if wanted.is_some_and(|began| now < began + WANTED_MS)
            && self.channels[slot].is_quiet_for(now, GONE_MS)
        {
            debug!(
                "channel {:#x}: the peer was silent for {GONE_MS} ms, and its place is wanted",
                self.channel_id(slot).0
            );
            self.end(now, slot, EndCause::Here(Status::Linger), false);
        }
    }
}
