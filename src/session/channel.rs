//! A channel: its states, and the one place where they change.

use super::state::Phase;
use super::stream::{Rx, Tx};
use super::tombstone::{Left, Tombstone};
use super::{ChannelId, ListenerId, Mode, Session};
use crate::Kind;
use crate::error::Error;
use crate::wire::{self, Address, Endpoint, MAX_GREETING, Status};

/// State of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The slot is free.
    Free = 0,
    /// CONNECT_REQ is repeated until CONNECT_RSP comes.
    Connecting,
    /// ACCEPT_RSP is repeated until the connector's first message comes.
    Accepting,
    /// Both ends know each other.
    Established,
    /// CLOSE_REQ is repeated until CLOSE_RSP comes: DELIVERED may have been into a response that was
    /// lost. What ended the channel is in `end`.
    Aborting,
    /// Over; the slot waits for its owner, and for the exchange under way, to let go of it.
    Ended,
}

/// Asking the peer how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    None = 0,
    /// By a PROBE, which does not wait at the relay.
    AtOnce,
    /// By a message without bytes, which does: one that arrives between the short parks of a busy
    /// peer each time would never get through.
    Patient,
}

/// What ended a channel. All zeros: nothing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It goes on.
    None = 0,
    /// The connection was refused.
    Refused,
    /// This end gave up.
    Here,
    /// The peer said so.
    Peer,
}

/// A channel. All zeros is its initial state.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Channel {
    pub state: State,
    pub kind: Kind,
    /// The application holds it, or may still accept it.
    pub owned: bool,
    /// The application was given it.
    pub accepted: bool,
    /// Both ends knew each other.
    pub met: bool,
    pub wake: bool,
    /// The relay could not deliver: nothing but PROBE goes out until READY or an acknowledgement.
    pub blocked: bool,
    pub away_reported: bool,
    /// The keep-alive's PROBE was not answered yet.
    pub asked: bool,
    pub probe: Probe,
    /// Doublings of the probe timer.
    pub backoff: u8,
    pub end: End,
    /// Status code that goes with `end`, or last heard while connecting.
    pub status: u8,
    /// Messages of it are in the body of the send under way.
    pub flying: bool,
    greeting_len: u8,
    pub tx: Tx,
    pub generation: u32,
    /// The listener it came from, 0 if it was made by connect.
    pub claim: u32,
    pub arrival: u32,
    pub linger_ms: u32,
    pub token: u64,
    /// When the message that sets up or ends the channel is due again; 0: not.
    pub due: u64,
    /// When the present state is given up; 0: never.
    pub give_up_at: u64,
    /// When the probe timer fires; 0: it is off.
    pub probe_at: u64,
    /// Since when something is outstanding and nothing was heard; 0: nothing is outstanding.
    pub quiet_since: u64,
    pub heard_at: u64,
    /// First offset not received here, when the channel ended; or not received there, if the peer said.
    pub end_offset: u64,
    pub peer: Address,
    pub remote: wire::Channel,
    pub endpoint: Endpoint,
    greeting: [u8; MAX_GREETING],
    pub rx: Rx,
}

impl Channel {
    pub const fn new() -> Self {
        Self {
            state: State::Free,
            kind: Kind::Stream,
            owned: false,
            accepted: false,
            met: false,
            wake: false,
            blocked: false,
            away_reported: false,
            asked: false,
            probe: Probe::None,
            backoff: 0,
            end: End::None,
            status: 0,
            flying: false,
            generation: 0,
            claim: 0,
            arrival: 0,
            linger_ms: 0,
            token: 0,
            peer: Address::RELAY,
            remote: wire::Channel::NONE,
            endpoint: Endpoint::EMPTY,
            greeting_len: 0,
            greeting: [0; MAX_GREETING],
            due: 0,
            give_up_at: 0,
            probe_at: 0,
            quiet_since: 0,
            heard_at: 0,
            end_offset: 0,
            tx: Tx::new(),
            rx: Rx::new(),
        }
    }

    pub fn greeting(&self) -> &[u8] {
        self.greeting.get(..self.greeting_len.into()).unwrap_or_default()
    }

    pub fn set_greeting(&mut self, greeting: &[u8]) {
        let n = greeting.len().min(MAX_GREETING);
        self.greeting[..n].copy_from_slice(&greeting[..n]);
        self.greeting_len = n as u8;
    }

    /// Whether that listener's `accept` may give it.
    pub fn is_offered_to<M: Mode>(&self, listener: ListenerId) -> bool {
        self.claim == listener.0
            && !self.accepted
            && (self.state == State::Established || !M::SINGLE && self.outlives_its_end())
    }

    /// Whether its peer ended it before it was accepted, and what was acknowledged is still to be
    /// read: as of TCP connections, accepting gives those, too.
    pub fn outlives_its_end(&self) -> bool {
        self.state == State::Ended && self.owned
    }

    /// When silence ends it; 0: nothing is outstanding.
    pub fn lingered_at(&self) -> u64 {
        if self.quiet_since == 0 { 0 } else { self.quiet_since + u64::from(self.linger_ms) }
    }

    /// Whether the peer is expected to answer something.
    pub fn is_outstanding<M: Mode>(&self) -> bool {
        match self.state {
            State::Established if self.blocked || self.asked => true,
            State::Established => match M::kind(self.kind) {
                Kind::Stream => self.tx.una < self.tx.goal(),
                Kind::Datagram => {
                    self.tx.una < self.tx.end || self.tx.acked_number < self.tx.sent_number
                }
            },
            _ => false,
        }
    }

    /// Whether silence ended it: nothing more is to be hoped for.
    pub fn is_dead(&self) -> bool {
        self.end == End::Here && self.status == Status::Linger as u8
    }

    /// Whether the application still counts on what it wrote.
    pub fn is_awaited(&self) -> bool {
        match self.state {
            State::Free => false,
            State::Connecting | State::Accepting | State::Established => true,
            State::Aborting | State::Ended => self.owned || self.is_lost(),
        }
    }

    /// Whether it ended with bytes unacknowledged, and not because the application gave it up.
    pub fn is_lost(&self) -> bool {
        let by_application = match self.end {
            End::None | End::Refused => true,
            End::Here => [Status::Closed as u8, Status::Aborted as u8].contains(&self.status),
            End::Peer => false,
        };
        !by_application && self.tx.una < self.tx.end
    }

    /// Whether all that is missing is that the peer acknowledges the end of the stream.
    pub fn is_all_but_done(&self) -> bool {
        self.rx.fin && self.tx.high > self.tx.end && self.tx.una >= self.tx.end
    }

    /// Whether both directions of a stream are over for this end.
    pub fn is_done(&self) -> bool {
        self.rx.fin && self.tx.fin && self.tx.una == self.tx.goal()
    }

    /// Whether something written was not sent yet, or is to be sent again.
    pub fn has_unsent(&self) -> bool {
        self.tx.next < self.tx.goal()
    }
}

impl<M: Mode> Session<'_, M> {
    /// Takes a free slot, or `None`.
    pub(super) fn open_channel(&mut self, now: u64, kind: Kind, state: State) -> Option<usize> {
        let slot = self
            .channels
            .iter()
            .position(|c| c.state == State::Free && c.generation < super::MAX_GENERATION)?;
        let ring = self.ring_len() as u64;
        let token = self.core.random();
        let channel = &mut self.channels[slot];
        // The rest of a free one is as it was made.
        channel.state = state;
        channel.kind = kind;
        channel.owned = true;
        channel.generation += 1;
        channel.linger_ms = self.core.settings.linger_ms;
        channel.token = token;
        channel.heard_at = now;
        channel.due = now;
        channel.rx.told = ring;
        self.core.traffic(now);
        self.core.wake_lanes();
        Some(slot)
    }

    /// A channel enters the state in which both ends know each other.
    pub(super) fn establish(&mut self, now: u64, slot: usize) {
        let channel = &mut self.channels[slot];
        channel.state = State::Established;
        channel.met = true;
        channel.due = 0;
        channel.give_up_at = 0;
        if M::LISTENS && channel.claim != 0 && !channel.accepted {
            // What nobody accepts ends after linger.
            channel.give_up_at = now + u64::from(channel.linger_ms);
            let (claim, _) = super::slot(channel.claim);
            if claim < self.claims.len() {
                self.wake_claim(claim);
            }
        }
        self.heard(now, slot);
        self.wake_channel(slot);
        self.core.wakes.send = true;
    }

    /// Something came from the channel's peer.
    pub(super) fn heard(&mut self, now: u64, slot: usize) {
        let channel = &mut self.channels[slot];
        channel.heard_at = now;
        channel.asked = false;
        channel.quiet_since = 0;
        self.watch(now, slot);
        let channel = &mut self.channels[slot];
        if channel.blocked {
            // It speaks, but may not hear: its sends may pass while its park is gone.
            let soon = now + u64::from(self.core.timers().rto_min_ms);
            channel.backoff = 0;
            if soon < channel.probe_at {
                channel.probe_at = soon;
                self.core.wake_send();
            }
        }
    }

    /// The peer takes data again.
    pub(super) fn unblock(&mut self, now: u64, slot: usize) {
        let channel = &mut self.channels[slot];
        channel.blocked = false;
        if core::mem::take(&mut channel.away_reported) {
            let id = self.channel_id(slot);
            self.core.event(super::Event::PeerBack(id));
        }
        self.watch(now, slot);
        self.wake_channel(slot);
    }

    /// Starts or stops the linger and probe timers, as something is outstanding or not.
    pub(super) fn watch(&mut self, now: u64, slot: usize) {
        let rto = self.core.rto();
        let channel = &mut self.channels[slot];
        if !channel.is_outstanding::<M>() {
            channel.quiet_since = 0;
            channel.probe_at = 0;
            channel.backoff = 0;
            return;
        }
        if channel.quiet_since == 0 {
            channel.quiet_since = now;
        }
        if channel.probe_at == 0 {
            channel.probe_at = now + rto;
        }
    }

    /// The channel ends: with CLOSE_REQ to the peer if `status` is given, else silently.
    pub(super) fn end(&mut self, now: u64, slot: usize, end: End, status: Status, tell: bool) {
        let channel = &mut self.channels[slot];
        if matches!(channel.state, State::Free | State::Aborting | State::Ended) {
            return;
        }
        let bound = channel.remote != wire::Channel::NONE;
        if channel.end == End::None {
            channel.end = end;
            channel.status = status as u8;
            if end != End::Peer {
                channel.end_offset = match M::kind(channel.kind) {
                    Kind::Stream => channel.rx.next,
                    Kind::Datagram => channel.rx.number,
                };
            }
        }
        // What has ended is not accepted any more, unless its peer was told that bytes are here.
        let holds = || channel.rx.fin || channel.rx.readable() > 0;
        channel.owned &= channel.accepted || !M::SINGLE && end == End::Peer && holds();
        channel.quiet_since = 0;
        channel.probe_at = 0;
        channel.probe = Probe::None;
        channel.rx.urgent = false;
        if tell && bound {
            self.tell_end(now, slot);
        } else {
            self.settle(now, slot);
        }
    }

    /// The peer is told that the channel has ended, again and again for a while.
    fn tell_end(&mut self, now: u64, slot: usize) {
        let abort_for = u64::from(self.core.timers().abort_for_ms);
        let channel = &mut self.channels[slot];
        channel.state = State::Aborting;
        channel.backoff = 0;
        channel.due = now;
        channel.give_up_at = now + abort_for;
        self.core.wakes.send = true;
        self.wake_channel(slot);
    }

    /// The channel is over: the slot is freed as soon as nobody holds it.
    pub(super) fn settle(&mut self, now: u64, slot: usize) {
        let channel = &mut self.channels[slot];
        channel.state = State::Ended;
        channel.due = 0;
        channel.give_up_at = 0;
        self.wake_channel(slot);
        self.reap(now, slot);
    }

    /// Frees the slot of a channel that is over and held by nobody.
    pub(super) fn reap(&mut self, now: u64, slot: usize) {
        let rto_max = self.core.timers().rto_max_ms;
        let channel = &mut self.channels[slot];
        if channel.state != State::Ended || channel.owned || channel.flying {
            return;
        }
        if !M::SINGLE && self.core.phase == Phase::Closing && channel.is_lost() {
            // It is kept, for `unacked` to tell.
            self.core.wakes.send = true;
            return;
        }
        let (generation, wake) = (channel.generation, channel.wake);
        // Who never was answered may still connect.
        if channel.met
            // The peers of those that are owed may still ask.
            && let Some(oldest) =
                self.tombstones.iter_mut().min_by_key(|t| (t.is_owed(now), t.expires))
        {
            let local = wire::Channel { id: super::id(slot, generation), token: channel.token };
            *oldest = Tombstone::of(channel, local, now, rto_max, M::SINGLE);
            if oldest.left == Left::Whole && self.core.phase == Phase::Closing {
                oldest.answer = true;
            }
            self.core.wakes.send |= oldest.answer;
        }
        *channel = const { Channel::new() };
        channel.generation = generation;
        channel.wake = wake;
        self.drop_incoming(slot);
        self.core.wakes.session = true;
        self.core.wakes.send = true;
    }

    /// Nobody will use the channel any more: what was written goes out, then it ends.
    pub(super) fn give_up(&mut self, now: u64, slot: usize) {
        let channel = &mut self.channels[slot];
        channel.owned = false;
        let tell = match channel.state {
            State::Aborting if channel.is_dead() => return self.settle(now, slot),
            State::Free | State::Aborting => return,
            State::Ended => return self.reap(now, slot),
            State::Connecting => false,
            State::Accepting => true,
            State::Established if M::LISTENS && channel.claim != 0 && !channel.accepted => true,
            State::Established => {
                channel.tx.fin = true;
                channel.rx.discard();
                channel.rx.urgent = true;
                // For a dropped channel linger runs from the drop.
                channel.give_up_at = now + u64::from(channel.linger_ms);
                self.watch(now, slot);
                self.core.wakes.send = true;
                return self.finish_if_done(now, slot);
            }
        };
        self.end(now, slot, End::Here, Status::Aborted, tell);
    }

    /// Ends a channel in order if both directions are done and nobody holds it.
    pub(super) fn finish_if_done(&mut self, now: u64, slot: usize) {
        let channel = &self.channels[slot];
        if channel.state != State::Established || channel.owned {
            return;
        }
        match M::kind(channel.kind) {
            Kind::Stream if channel.tx.una < channel.tx.goal() => {}
            Kind::Stream if channel.rx.fin => self.settle(now, slot),
            // The peer may still write: it is not to wait for acknowledgements that nobody sends.
            Kind::Stream => self.end(now, slot, End::Here, Status::Closed, true),
            Kind::Datagram if channel.tx.una == channel.tx.end => {
                self.end(now, slot, End::Here, Status::Closed, true);
            }
            _ => {}
        }
    }

    pub(super) fn wake_channel(&mut self, slot: usize) {
        if M::SINGLE {
            return;
        }
        self.channels[slot].wake = true;
        self.core.wakes.channels[slot / 32] |= 1 << (slot % 32);
    }

    pub(super) fn channel_id(&self, slot: usize) -> ChannelId {
        ChannelId(super::id(slot, self.channels[slot].generation))
    }

    /// The slot of a channel that the application holds.
    pub(super) fn held(&self, id: ChannelId) -> Result<usize, Error> {
        let (slot, generation) = super::slot(id.0);
        match self.channels.get(slot) {
            Some(c) if c.generation == generation && c.state != State::Free && c.owned => Ok(slot),
            _ => Err(Error::Closed),
        }
    }
}
