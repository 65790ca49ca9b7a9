//! Set-up of channels, as messages in an answer tell it.

use core::num::NonZeroU32;

use super::places::Places;
use super::{ChannelRecord, EndCause, State};
use crate::session::deadline::Deadline;
use crate::session::ids;
use crate::session::mode::Mode;
use crate::session::replies::ReplyKind;
use crate::session::settings::{Pace, Settings};
use crate::session::view::Session;
use crate::trace::debug;
use crate::wire::{self, Accept, Connect, Endpoint, Place, Route, Status};

impl ChannelRecord {
    /// The channel is to an endpoint that the application names.
    pub fn dial<M: Mode>(&mut self, endpoint: Endpoint, greeting: &[u8]) {
        self.endpoint = endpoint;
        if M::GREETS {
            self.greeting.set(greeting);
        }
    }

    /// The listener gave its end of the channel.
    fn bind<M: Mode>(&mut self, peer: wire::Address, accept: &Accept<'_>, linger_ms: u32) {
        self.peer = peer;
        self.remote = accept.channel;
        self.tx.bind(accept.limit);
        self.linger_ms = linger_ms;
        if M::GREETS && !self.is_encrypted() {
            self.greeting.set(accept.greeting);
        }
    }

    /// Whether its other end is that one.
    pub(super) fn is_with(&self, peer: wire::Address, remote: wire::ChannelRef) -> bool {
        !self.is_free() && self.peer == peer && self.remote == remote
    }
}

impl<M: Mode> Session<'_, M> {
    /// A peer connects.
    #[inline(never)]
    pub(in crate::session) fn on_accept_req(
        &mut self,
        now: u64,
        from: &Route,
        connect: &Connect<'_>,
    ) {
        // Without an end there is nobody to be answered.
        if !M::LISTENS || connect.channel.id == 0 {
            return;
        }
        if self.tombstones.iter().any(|t| t.was_with(&from.peer, connect.channel)) {
            return;
        }
        let is_same =
            |c: &ChannelRecord| c.listener.is_some() && c.is_with(from.peer, connect.channel);
        if let Some(slot) = self.channels.iter().position(is_same) {
            // A repeat gets the same answer.
            if matches!(self.channels[slot].state, State::Accepting) {
                self.channels[slot].repeat_now(now);
                self.core.wakes.send = true;
            }
            return;
        }
        if let Err(refusal) = self.admit(now, from, connect) {
            debug!("a connection of {} is refused: {}", from.peer, refusal.name());
            self.core.reply(ReplyKind::Refuse, refusal, from.peer, connect.channel);
        }
    }

    fn admit(&mut self, now: u64, from: &Route, connect: &Connect<'_>) -> Result<(), Status> {
        let endpoint = Endpoint { name: connect.name, port: connect.port };
        let claim =
            self.claims.iter().position(|c| c.is_of(&endpoint)).ok_or(Status::NoListener)?;
        if self.claims[claim].kind() != connect.kind.kind {
            return Err(Status::WrongKind);
        }
        if self.encrypts() != connect.kind.encrypted {
            return Err(Status::WrongSecurity);
        }
        let listener = self.claims[claim].id(claim);
        let backlog = self.claims[claim].backlog();
        let is_full = |s: &Self| {
            s.channels.iter().filter(|c| c.waits_at(listener)).count() >= usize::from(backlog)
        };
        if is_full(self) {
            let takes =
                !M::SINGLE && self.take_place(now, Places::Backlog(listener, backlog), &from.peer);
            if !takes || is_full(self) {
                return Err(Status::BacklogFull);
            }
        }
        if !M::SINGLE && self.is_kept_from(now, &from.peer) {
            return Err(Status::BacklogFull);
        }
        let timers = *self.core.timers();
        let Some(slot) = self.open_accepting(now, connect.kind.kind) else {
            // Its repeat finds room if there are channels that others give up.
            return if self.want_place(now, &from.peer) {
                Ok(())
            } else {
                Err(Status::BacklogFull)
            };
        };
        if !M::SINGLE {
            self.got_place();
        }
        let least = self.core.settings.least_linger_ms(self.core.timers());
        self.core.arrivals = self.core.arrivals.wrapping_add(1);
        let arrival = self.core.arrivals;
        let channel = &mut self.channels[slot];
        channel.arrival = arrival;
        channel.listener = NonZeroU32::new(listener.0);
        channel.peer = from.peer;
        channel.remote = connect.channel;
        channel.endpoint = endpoint;
        channel.linger_ms = connect.linger_ms.min(channel.linger_ms).max(least);
        channel.tx.bind(connect.limit);
        if M::GREETS && !connect.kind.encrypted {
            channel.greeting.set(connect.greeting);
        }
        channel.give_up_at = Deadline::at(now + u64::from(timers.accept_for_ms));
        #[cfg(feature = "secure")]
        if connect.kind.encrypted && !self.answer_handshake(slot, connect) {
            self.give_up_silently(now, slot);
            return Err(Status::Handshake);
        }
        if self.claims[claim].grant() {
            self.wake_claim(claim);
        }
        Ok(())
    }

    /// The listener, or the relay in its place, answered.
    pub(in crate::session) fn on_connect_rsp(
        &mut self,
        now: u64,
        from: &Route,
        accept: &Accept<'_>,
    ) {
        if !M::CONNECTS {
            return;
        }
        let (slot, _) = ids::slot(from.channel.id);
        if slot >= self.channels.len() || self.local(slot) != from.channel {
            if accept.status == Status::Ok {
                // A late repeat: what became of the channel, or that it never was.
                self.addressed(now, from, true);
            }
            return;
        }
        let by_relay = from.peer == wire::Address::RELAY;
        let fits = match accept.status {
            Status::Ok => !by_relay && accept.channel.id != 0,
            // Only the relay has either to say.
            Status::Retry | Status::Limited | Status::Forbidden => by_relay,
            status => status.fits(Place::AcceptRsp),
        };
        let status = if fits { accept.status } else { Status::Protocol };
        let channel = &mut self.channels[slot];
        match (channel.state, status) {
            (State::Connecting { .. }, Status::Ok) => {
                let linger_ms = self.agreed_linger_ms(slot, accept.linger_ms);
                self.channels[slot].bind::<M>(from.peer, accept, linger_ms);
                #[cfg(feature = "secure")]
                if self.channels[slot].is_encrypted()
                    && let Err(status) = self.hear_handshake(slot, from, accept)
                {
                    return self.end(now, slot, EndCause::Here(status), true);
                }
                self.establish(now, slot);
                self.acknowledge_set_up(slot);
            }
            (State::Connecting { .. }, Status::Retry) => channel.hear(status),
            (State::Connecting { .. }, status) => {
                self.end(now, slot, EndCause::Refused(status), false)
            }
            (State::Established, Status::Ok) if channel.is_with(from.peer, accept.channel) => {
                self.heard(now, slot);
                self.channels[slot].confirm_again();
                self.acknowledge_set_up(slot);
            }
            // Bound to another end that was quicker. CLOSE_RSP would name the end here, which may be
            // bound to a live one of the same session: only the stray is to end.
            (State::Established, Status::Ok) => {
                self.core.reply(ReplyKind::Stray, Status::Aborted, from.peer, accept.channel);
            }
            (
                State::Ended(EndCause::Refused(_) | EndCause::Here(_) | EndCause::Peer(_)),
                Status::Ok,
            ) => {
                self.core.unknown(from);
            }
            // Too late to matter.
            (
                State::Free
                | State::Accepting
                | State::Established
                | State::Aborting(_)
                | State::Ended(_),
                _,
            ) => {}
        }
    }

    /// The linger time of a channel whose listener asks for `theirs`, in ms.
    fn agreed_linger_ms(&self, slot: usize, theirs: u32) -> u32 {
        let settings = &self.core.settings;
        let least = settings.least_linger_ms(self.core.timers());
        // What the listener needs at most: more than was asked for is its pace's, or nobody's.
        let most =
            Settings { pace: Pace::Battery, ..*settings }.least_linger_ms(self.core.timers());
        theirs.min(self.channels[slot].linger_ms().max(most)).max(least)
    }

    /// CONNECT_RSP is answered with RECEIVE_REQ at once.
    fn acknowledge_set_up(&mut self, slot: usize) {
        self.channels[slot].rx.owe_at_once();
        self.core.wakes.send = true;
    }
}
