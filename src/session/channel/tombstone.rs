//! What is left of channels that were: tombstones, which tell their peers what those may not have
//! heard.

use super::{ChannelRecord, EndCause};
use crate::session::deadline::Deadline;
use crate::wire::{self, Address, Close, Message, Route, Status, Window};

/// How a channel ended that left a tombstone, and what its peer is to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing: the peer ended it, or is told UNKNOWN.
    Nothing = 0,
    /// The peer's stream had come whole: the final acknowledgement.
    Whole,
    /// The application here closed the channel and wanted no more: CLOSED.
    Closed,
    /// Silence ended it: CLOSE_REQ(LINGER), as soon as the peer is heard of.
    Dead,
}

/// What is left of a channel that was. All zeros: free.
#[derive(Debug)]
#[repr(C)]
pub struct Tombstone {
    left: Left,
    /// What is left is to be sent.
    due: bool,
    losses: u32,
    /// First offset not received.
    ack: u64,
    expires: u64,
    /// Until then the session does not say BYE, as the peer may still wait for the final
    /// acknowledgement; none once it is known to have that.
    owed_until: Deadline,
    local: wire::ChannelRef,
    remote: wire::ChannelRef,
    peer: Address,
}

impl Tombstone {
    pub const fn new() -> Self {
        Self {
            left: Left::Nothing,
            due: false,
            losses: 0,
            ack: 0,
            expires: 0,
            owed_until: Deadline::NONE,
            local: wire::ChannelRef::NONE,
            remote: wire::ChannelRef::NONE,
            peer: Address::RELAY,
        }
    }

    /// What is left of a channel whose end here was `local`.
    pub fn of(
        channel: &ChannelRecord,
        local: wire::ChannelRef,
        now: u64,
        rto_max: u32,
        single: bool,
    ) -> Self {
        let left = match channel.ending() {
            Some(EndCause::InOrder) if channel.rx.has_fin() => Left::Whole,
            Some(EndCause::Here(Status::Closed)) => Left::Closed,
            Some(EndCause::Here(Status::Linger)) if !single => Left::Dead,
            None
            | Some(
                EndCause::InOrder | EndCause::Refused(_) | EndCause::Here(_) | EndCause::Peer(_),
            ) => Left::Nothing,
        };
        let due = match left {
            Left::Nothing | Left::Closed => false,
            Left::Whole => channel.rx.owes_ack(),
            Left::Dead => true,
        };
        let is_owed = left == Left::Whole && !channel.tx.is_peer_done();
        // As long as the slowest probe of the peer may take.
        let until = Deadline::at(now + u64::from(rto_max));
        Self {
            left,
            due,
            losses: channel.rx.losses(),
            ack: if left == Left::Dead { channel.end_offset() } else { channel.rx.received() },
            expires: now + u64::from(channel.linger_ms()),
            owed_until: if is_owed { until } else { Deadline::NONE },
            local,
            remote: channel.remote,
            peer: channel.peer,
        }
    }

    pub const fn left(&self) -> Left {
        self.left
    }

    /// When it need not be kept any more.
    pub const fn expires_at(&self) -> u64 {
        self.expires
    }

    /// Until when the session does not say BYE for its sake.
    pub const fn owed_until(&self) -> Deadline {
        self.owed_until
    }

    /// Whether the peer may still wait for the final acknowledgement.
    #[inline(never)]
    pub fn is_owed(&self, now: u64) -> bool {
        self.owed_until.is_set() && !self.owed_until.is_due(now)
    }

    /// The place that is taken for another tombstone.
    pub fn next_place(places: &mut [Self], now: u64) -> Option<&mut Self> {
        let mut next: Option<&mut Self> = None;
        for place in places {
            if next.as_ref().is_none_or(|before| place.goes_before(before, now)) {
                next = Some(place);
            }
        }
        next
    }

    /// Whether this place is taken before `other`'s: the peer that is owed may still ask.
    #[inline(never)]
    fn goes_before(&self, other: &Self, now: u64) -> bool {
        let (is_owed, is_other_owed) = (self.is_owed(now), other.is_owed(now));
        if is_owed == is_other_owed { self.expires < other.expires } else { is_other_owed }
    }

    /// The peer is known to have the final acknowledgement, or need not have it.
    pub fn forgive(&mut self) {
        self.owed_until = Deadline::NONE;
    }

    /// Whether what is left is to be sent.
    pub const fn is_due(&self) -> bool {
        self.due
    }

    /// What is left is to be sent.
    pub fn answer(&mut self) {
        self.due = true;
    }

    /// A request has what is left.
    pub fn answered(&mut self) {
        self.due = false;
    }

    /// Whether it is of that channel of that peer, by its end here.
    pub fn is_of(&self, peer: &Address, local: wire::ChannelRef) -> bool {
        self.local == local && self.peer == *peer
    }

    /// Whether it is of that channel of that peer, by its end there.
    pub fn was_with(&self, peer: &Address, remote: wire::ChannelRef) -> bool {
        self.remote == remote && self.peer == *peer
    }

    /// Whether it is of a channel of that peer that has this end, here or there; none means all.
    pub fn is_meant(&self, peer: &Address, end: wire::ChannelRef) -> bool {
        // Tokens tell channels apart.
        let is_end = |token| end.token == token;
        (is_end(0) || is_end(self.local.token) || is_end(self.remote.token)) && self.peer == *peer
    }

    /// Whether silence ended the channel with this peer, lately.
    pub fn is_dead_with(&self, peer: &Address, now: u64) -> bool {
        self.left == Left::Dead && self.peer == *peer && now < self.expires
    }

    /// What is left as a message; `asks` is whether the peer is to answer the final acknowledgement.
    pub fn message(&self, asks: bool, single: bool) -> (Route, Message<'static>) {
        let message = if !single && self.left == Left::Dead {
            Message::CloseReq(Close { status: Status::Linger, offset: self.ack })
        } else {
            Message::ReceiveReq(Window {
                ack: self.ack,
                // Nothing stands behind the end of a stream.
                limit: self.ack,
                losses: self.losses,
                overflow: 0,
                now: true,
                done: self.left == Left::Whole,
                ask: asks,
            })
        };
        (Route { peer: self.peer, channel: self.remote }, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use crate::session::Full;
    use crate::session::channel::State;

    #[test]
    fn dead_datagram_channel_tells_the_number_that_its_peer_knows() {
        let mut ring = [0; 256];
        let mut channel = ChannelRecord::new();
        channel.kind = Kind::Datagram;
        channel.state = State::Established;
        channel.rx.begin_datagram(&mut ring, 4, 100);
        channel.rx.end_datagram(4, 100);
        channel.end::<Full>(EndCause::Here(Status::Linger), false);
        let tombstone = Tombstone::of(&channel, channel.local(0), 0, 0, false);
        let (_, message) = tombstone.message(false, false);
        assert_eq!(message, Message::CloseReq(Close { status: Status::Linger, offset: 5 }));
    }
}
