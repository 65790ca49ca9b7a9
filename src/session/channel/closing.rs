//! The end of channels, as messages in an answer tell it.

use super::{EndCause, State};
use crate::session::ids;
use crate::session::mode::Mode;
use crate::session::replies::ReplyKind;
use crate::session::state::Phase;
use crate::session::view::Session;
use crate::wire::{Address, ChannelRef, Close, Closed, Place, Route, Status};

impl<M: Mode> Session<'_, M> {
    pub(in crate::session) fn on_close_req(&mut self, now: u64, from: &Route, close: &Close) {
        let (slot, _) = ids::slot(from.channel.id);
        self.core.reply(ReplyKind::Close, Status::Closed, from.peer, from.channel);
        if slot >= self.channels.len() || self.local(slot) != from.channel {
            return self.settle_tombstones(&from.peer, from.channel);
        }
        let channel = &mut self.channels[slot];
        match channel.state {
            // The listener had accepted it and gave it up before its answer came. Asking goes on, by
            // another token: a repeat of the answer to this must not end what comes of it.
            State::Connecting { .. } => {
                channel.token = self.core.random();
                #[cfg(feature = "secure")]
                self.begin_handshake_anew(slot);
            }
            _ if channel.peer != from.peer => {}
            State::Aborting(_) => self.settle(now, slot),
            State::Free | State::Accepting | State::Established | State::Ended(_) => {
                let fits = close.status.fits(Place::CloseReq) && channel.tx.has_sent(close.offset);
                let status = if fits { close.status } else { Status::Protocol };
                let offset = if fits { close.offset } else { channel.tx.acked() };
                channel.end_offset = channel.octets_before(self.rings.transmit(slot), offset);
                self.end(now, slot, EndCause::Peer(status), false);
            }
        }
    }

    /// The session of `peer` is over: it answers nothing any more.
    pub(in crate::session) fn on_gone(&mut self, now: u64, peer: &Address) {
        for slot in 0..self.channels.len() {
            if self.channels[slot].peer == *peer {
                self.ended_by_peer(now, slot, Status::Unknown);
            }
        }
        self.settle_tombstones(peer, ChannelRef::NONE);
    }

    pub(in crate::session) fn on_close_rsp(&mut self, now: u64, from: &Route, closed: &Closed) {
        let Some(slot) = self.channels.iter().position(|c| c.is_with(from.peer, closed.channel))
        else {
            return self.settle_tombstones(&from.peer, closed.channel);
        };
        let fits = closed.status.fits(Place::CloseRsp);
        self.ended_by_peer(now, slot, if fits { closed.status } else { Status::Protocol });
    }

    /// There is no such channel at the peer, for this reason.
    fn ended_by_peer(&mut self, now: u64, slot: usize, status: Status) {
        let channel = &mut self.channels[slot];
        match channel.state {
            State::Aborting(_) => self.settle(now, slot),
            // The peer acknowledged every byte and ended its own stream: all that is missing is
            // its word that it saw the end of this one.
            State::Established if status == Status::Unknown && channel.is_all_but_done() => {
                channel.tx.confirm();
                self.watch(now, slot);
                self.wake_channel(slot);
                self.finish_if_done(now, slot);
            }
            State::Accepting | State::Established => {
                self.end(now, slot, EndCause::Peer(status), false);
            }
            State::Free | State::Connecting { .. } | State::Ended(_) => {}
        }
    }

    /// Whether a peer may still wait for the final acknowledgement of its stream.
    pub(in crate::session) fn owes_final(&self) -> bool {
        self.tombstones.iter().any(|t| t.is_owed(self.core.clock))
    }

    /// A session that closes says its final acknowledgements again, and asks for an answer, by which
    /// it knows that the peers have them. A peer that does not would ask by itself.
    pub(in crate::session) fn ask_finals(&mut self) {
        let clock = self.core.clock;
        if self.core.phase == Phase::Closing {
            self.tombstones.iter_mut().filter(|t| t.is_owed(clock)).for_each(|t| t.answer());
        }
    }

    /// A peer needs nothing more of the channels that were; or of the one with this end here or there.
    #[inline(never)]
    pub(in crate::session) fn settle_tombstones(&mut self, peer: &Address, end: ChannelRef) {
        self.tombstones.iter_mut().filter(|t| t.is_meant(peer, end)).for_each(|t| t.forgive());
        // It may say BYE now.
        self.core.wakes.send |= self.core.phase == Phase::Closing;
    }
}
