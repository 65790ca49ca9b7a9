//! Scripts for tests: fates of certain exchanges, and channels driven by hand.

use std::cell::Cell;
use std::rc::Rc;

use byway::Kind;
use byway::session::{ChannelId, Lane, Profile};
use byway::wire::Message;

use crate::app::{Finish, Plan};
use crate::fate::Fate;
use crate::seen::Seen;
use crate::world::World;

/// Counts how often a fate was given to an exchange.
pub type Count = Rc<Cell<u32>>;

impl Plan {
    /// Writes the octets of [`World::say`], and keeps the channel until [`World::hang_up`].
    pub const HOLD: Self = Self { finish: Finish::Hold, ..Self::bytes(0) };
}

impl World {
    /// Gives this fate to the first `times` requests for which `is` holds.
    pub fn befall(
        &mut self,
        times: u32,
        fate: Fate,
        is: impl Fn(&Seen<'_>) -> bool + 'static,
    ) -> Count {
        let count = Count::default();
        let counted = count.clone();
        self.on_request = Some(Box::new(move |seen| {
            if counted.get() < times && is(seen) {
                counted.set(counted.get() + 1);
                fate
            } else {
                Fate::Pass
            }
        }));
        count
    }

    /// Loses the first `times` answers for which `is` holds.
    pub fn lose_answers(&mut self, times: u32, is: impl Fn(&Seen<'_>) -> bool + 'static) -> Count {
        let count = Count::default();
        let counted = count.clone();
        self.on_answer = Some(Box::new(move |seen| {
            let lost = counted.get() < times && is(seen);
            counted.set(counted.get() + u32::from(lost));
            lost
        }));
        count
    }

    /// Two clients, of which the second listens at `b:1` (streams) and, if it has listeners enough,
    /// at `b:2` (datagrams).
    pub fn pair(&mut self, profile: Profile) -> (usize, usize) {
        let (a, b) = (self.peer(profile), self.peer(profile));
        self.listen(b, "b:1", Kind::Stream);
        if profile.listeners > 1 {
            self.listen(b, "b:2", Kind::Datagram);
        }
        (a, b)
    }

    /// Two clients with a stream that both keep; its set-up is over.
    pub fn connected(&mut self, profile: Profile) -> (usize, usize, usize) {
        let (a, b) = self.pair(profile);
        let n = self.hold(a, b);
        self.run(1000);
        (a, b, n)
    }

    /// A stream from `a` to `b` that both keep, and whose set-up is over.
    pub fn hold(&mut self, a: usize, b: usize) -> usize {
        let n = self.connect(a, "b:1", Kind::Stream, b, [Plan::HOLD; 2]);
        self.run_until(30_000, "connection", |w| w.chans[n].ends[1].id.is_some());
        n
    }

    pub fn channel(&self, n: usize, side: usize) -> ChannelId {
        self.chans[n].ends[side].id.expect("open")
    }

    /// Has an application write this many bytes more.
    pub fn say(&mut self, n: usize, side: usize, bytes: u64) {
        self.chans[n].ends[side].plan.count += bytes;
        self.run_end(n, side);
        self.settle();
    }

    /// Has an application abort the channel.
    pub fn abort(&mut self, n: usize, side: usize) {
        let (peer, id) = (self.chans[n].ends[side].peer, self.channel(n, side));
        self.chans[n].ends[side].done = true;
        self.with(peer, |s, now| s.abort(now, id));
    }

    /// Has both applications end the channel when everything has arrived.
    pub fn hang_up(&mut self, n: usize) {
        for side in 0..2 {
            self.chans[n].ends[side].plan.finish = Finish::Both;
            self.run_end(n, side);
        }
        self.settle();
    }

    /// Whether the end has read everything that was written for it.
    pub fn has_all(&self, n: usize, side: usize) -> bool {
        self.chans[n].ends[side].read == self.chans[n].ends[1 - side].plan.count
    }

    /// Waits until the end has read everything, and gives how long that took.
    #[track_caller]
    pub fn arrives(&mut self, n: usize, side: usize, within: u64) -> u64 {
        self.run_until(within, "arrival", |w| w.has_all(n, side))
    }

    /// The number of parks and of sends of a client so far.
    pub fn exchanges(&self, peer: usize) -> (u64, u64) {
        let [parks, sends] = self.peers[peer].begun;
        (parks, sends)
    }
}

impl Seen<'_> {
    /// Whether the request is an exchange of this client and lane.
    pub fn of(&self, peer: usize, lane: Lane) -> bool {
        self.peer == peer && self.lane == lane
    }

    /// Whether the request has a data message with FIN.
    pub fn has_fin(&self) -> bool {
        use byway::wire::DataFlags;
        self.has(|m| match m {
            Message::SendReq(data) | Message::ReceiveRsp(data) => data.flags.has(DataFlags::FIN),
            _ => false,
        })
    }

    /// Whether the request has an acknowledgement of at least `from`.
    pub fn has_ack(&self, from: u64) -> bool {
        self.has(|m| match m {
            Message::ReceiveReq(window) | Message::SendRsp(window) => window.ack >= from,
            _ => false,
        })
    }
}
