//! Room for those who connect while every channel is taken: peers that are gone lose their places, and so
//! do channels that nobody uses, and peers that have more than their share.

use core::cmp::Reverse;

use super::{ChannelRecord, EndCause, HeldBy, State};
use crate::session::deadline::Deadline;
use crate::session::ids::ListenerId;
use crate::session::mode::Mode;
use crate::session::replies::ReplyKind;
use crate::session::view::Session;
use crate::trace::debug;
use crate::wire::{Address, Status};

/// How long places count as wanted after somebody found none, in ms: longer than it takes to find
/// out which peers are gone.
const WANTED_MS: u64 = 30_000;
/// How long those who connect are left to ask again before they are refused, in ms.
const UNDECIDED_MS: u64 = 18_000;
/// A peer that answers nothing for so long, in ms, and that the relay calls away, is gone: twice
/// the relay's grace, and longer than a client needs to go on after any change of its path.
const GONE_MS: u32 = 10_000;
/// A channel that is unused for so long, in ms, loses a place that is wanted: a peer that connects to use it
/// does so at once, or within a round trip of a slow path.
const UNUSED_MS: u64 = 2_000;
/// How long places are wanted, in ms, until peers that have no more than their share lose unused channels, too:
/// time for others to end, and short enough that newcomers are in within 3 s.
const PATIENCE_MS: u64 = 1_500;
/// A channel on which something came so recently, in ms, need not be asked for.
const HEARD_MS: u64 = 2_500;
/// The share of places that a peer keeps while others want some: this is its denominator.
const SHARE: usize = 4;
/// The smallest share: a channel, and another in which a peer goes on before the first has ended.
const LEAST_SHARE: usize = 2;
/// The least share beyond which a peer loses channels that it uses. With a smaller one, of a device with less than
/// 16 channels, a peer with three would lose a transfer.
const LEAST_SHARE_OF_USED: usize = 4;
/// Places are taken away no oftener, in ms, so that sessions made by the hundred do not clear a listener at
/// once, and to choose costs little.
const TAKE_MS: u64 = 250;
/// How long a place is kept for those who have less than their share, in ms: longer than the longest pause
/// between two CONNECT_REQ.
const KEPT_MS: u64 = 6_000;

/// What a session knows of those who found no place. All zeros: there are none.
#[derive(Debug)]
pub struct PlacesWanted {
    /// When somebody found none, lately.
    began: Deadline,
    /// Until then the next free place is for a peer with less than its share.
    kept: Deadline,
    /// When another place may be taken away.
    next: Deadline,
}

impl PlacesWanted {
    pub const NONE: Self =
        Self { began: Deadline::NONE, kept: Deadline::NONE, next: Deadline::NONE };

    fn since(&self, now: u64) -> Option<u64> {
        self.began.get().filter(|began| now < began + WANTED_MS)
    }
}

/// The places that a peer finds taken.
#[derive(Debug, Clone, Copy)]
pub(super) enum Places {
    Channels,
    /// Those of a listener's backlog, and how many it has.
    Backlog(ListenerId, u8),
}

impl Places {
    /// Whether the channel takes one of them, for a peer that came by itself.
    fn has(self, channel: &ChannelRecord) -> bool {
        match self {
            Self::Channels => {
                channel.listener.is_some()
                    && matches!(channel.state, State::Accepting | State::Established)
            }
            Self::Backlog(listener, _) => channel.waits_at(listener),
        }
    }
}

impl ChannelRecord {
    /// Whether neither side has written anything.
    fn is_unused(&self) -> bool {
        self.tx.written() == 0 && self.rx.received() == 0
    }

    /// Whether its peer has not used it for so long that it loses a place that is wanted, perhaps although the
    /// peer has no more than its share. For one that waits to be accepted the application here is to blame.
    fn is_wasted(&self, now: u64, within_share: bool) -> bool {
        let may_be = match self.state {
            State::Accepting => true,
            State::Established => within_share && self.held_by != HeldBy::Backlog,
            State::Free | State::Connecting { .. } | State::Aborting(_) | State::Ended(_) => false,
        };
        may_be && self.is_unused() && now >= self.heard_at + UNUSED_MS
    }
}

impl<M: Mode> Session<'_, M> {
    fn taken(&self, places: Places, peer: &Address) -> usize {
        self.channels.iter().filter(|c| c.peer == *peer && places.has(c)).count()
    }

    fn share(&self, places: Places) -> usize {
        let all = match places {
            Places::Channels => self.channels.len(),
            Places::Backlog(_, most) => most.into(),
        };
        (all / SHARE).max(LEAST_SHARE).min(all)
    }

    /// Whether a peer has its share, so that it gets no more while others want some.
    pub(super) fn has_share(&self, places: Places, peer: &Address) -> bool {
        self.taken(places, peer) >= self.share(places)
    }

    /// Whether a free channel is for peers that have less than this one.
    pub(super) fn is_kept_from(&self, now: u64, peer: &Address) -> bool {
        let kept = self.core.full().and_then(|full| full.places.kept.get());
        kept.is_some_and(|until| now < until) && self.has_share(Places::Channels, peer)
    }

    /// A peer with less than its share got a channel.
    pub(super) fn got_place(&mut self) {
        if let Some(full) = self.core.full_mut() {
            full.places.kept = Deadline::NONE;
        }
    }

    /// A peer connects and finds no free channel: the peers of all quiet ones are asked whether
    /// they are there, and a channel is taken from those who do not use it, or have more than their share.
    /// Whether there may be room soon, for that or since it is still undecided for some.
    pub(super) fn want_place(&mut self, now: u64, peer: &Address) -> bool {
        let Some(full) = self.core.full_mut() else { return false };
        let began = full.places.since(now);
        if began.is_none() {
            full.places.began = Deadline::at(now);
        }
        let mut undecided = self.take_place(now, Places::Channels, peer);
        for slot in 0..self.channels.len() {
            let channel = &mut self.channels[slot];
            if !channel.is_established() || now < channel.heard_at + HEARD_MS {
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

    /// Takes a place away for a peer with less than its share: the channel that nobody uses, of the peer that
    /// has the most; else that of the peer with the most, if it has more than its share, on which nothing came
    /// for the longest time. Whether a place is on its way.
    pub(super) fn take_place(&mut self, now: u64, places: Places, newcomer: &Address) -> bool {
        if self.has_share(places, newcomer) {
            return false;
        }
        let Some(full) = self.core.full_mut() else { return false };
        if matches!(places, Places::Channels) {
            full.places.kept = Deadline::at(now + KEPT_MS);
        }
        if full.places.next.is_set() && !full.places.next.is_due(now) {
            return true;
        }
        let Some(slot) = self.worst(now, places) else { return false };
        let channel = &self.channels[slot];
        debug!("channel {:#x} gives its place up, which others want", self.channel_id(slot).0);
        if matches!(channel.state, State::Accepting) {
            let (peer, end) = (channel.peer, channel.remote);
            self.core.reply(ReplyKind::Refuse, Status::BacklogFull, peer, end);
        }
        self.end(now, slot, EndCause::Here(Status::Linger), false);
        if let Some(full) = self.core.full_mut() {
            full.places.next = Deadline::at(now + TAKE_MS);
        }
        true
    }

    /// The slot of the channel that gives its place up.
    fn worst(&self, now: u64, places: Places) -> Option<usize> {
        let share = self.share(places);
        let began = self.core.full().and_then(|full| full.places.since(now));
        let is_urgent = began.is_some_and(|began| now >= began + PATIENCE_MS);
        let rank = |slot: &usize| {
            let channel = &self.channels[*slot];
            let taken = self.taken(places, &channel.peer);
            let is_wasted = channel.is_wasted(now, is_urgent || taken > share);
            let is_beyond = taken > share
                && match places {
                    Places::Channels => share >= LEAST_SHARE_OF_USED || channel.is_unused(),
                    // What has come was acknowledged, and is to be accepted.
                    Places::Backlog(..) => channel.is_unused(),
                };
            (is_wasted || is_beyond).then_some((is_wasted, taken, Reverse(channel.heard_at)))
        };
        let taking = (0..self.channels.len()).filter(|slot| places.has(&self.channels[*slot]));
        let ranked = taking.filter_map(|slot| Some((rank(&slot)?, slot)));
        ranked.max_by_key(|(rank, _)| *rank).map(|(_, slot)| slot)
    }

    /// The relay has not seen the channel's peer within its grace: should its place be wanted, it
    /// is taken once the peer was quiet for long enough.
    pub(in crate::session) fn give_place_away(&mut self, now: u64, slot: usize) {
        let wanted = self.core.full().and_then(|full| full.places.since(now));
        if wanted.is_some() && self.channels[slot].is_quiet_for(now, GONE_MS) {
            debug!(
                "channel {:#x}: the peer was silent for {GONE_MS} ms, and its place is wanted",
                self.channel_id(slot).0
            );
            self.end(now, slot, EndCause::Here(Status::Linger), false);
        }
    }
}
