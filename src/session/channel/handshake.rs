//! The handshake of an encrypted channel, which goes with the messages of its set-up.

use super::records::Records;
use super::seal::{Confirmation, Handshake, Seal};
use super::{EndCause, State};
use crate::secure::noise::{self, Common, FIRST, KEY, Side, State as Noise};
use crate::secure::{Secret, x25519};
use crate::session::ids;
use crate::session::mode::Mode;
use crate::session::rings::Direction;
use crate::session::security::{Payload, Security};
use crate::session::view::Session;
use crate::trace::debug;
use crate::wire::{
    Accept, Address, ChannelKind, ChannelRef, Confirm, Connect, Endpoint, MAX_NAME, Route, Status,
    Writer,
};

/// What both ends know of a channel before they have keys, in the order of CONNECT_REQ's fields.
struct Prologue {
    octets: [u8; PROLOGUE],
    len: usize,
}

/// What the handshake is for.
const LABEL: &[u8; 7] = b"byway 2";

/// Octets of the longest prologue.
const PROLOGUE: usize = LABEL.len() + 1 + 2 + 4 + 8 + 8 + MAX_NAME;

/// Octets of a context: two addresses, an end, a limit and a time.
const CONTEXT: usize = 2 * 16 + 12 + 8 + 4;

impl Prologue {
    fn new(kind: ChannelKind, endpoint: &Endpoint, end: ChannelRef, limit: u64) -> Self {
        let mut octets = [0; PROLOGUE];
        let mut w = Writer::new(&mut octets);
        w.bytes(LABEL).u8(kind.code()).u16(endpoint.port).u32(end.id).u64(end.token).u64(limit);
        w.bytes(endpoint.name.as_bytes());
        let len = w.finish().unwrap_or(0);
        Self { octets, len }
    }

    fn octets(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

/// What both ends know besides when the listener answers: their sessions, and the fields of ACCEPT_RSP.
fn context(connector: Address, listener: Address, accept: &Accept<'_>) -> [u8; CONTEXT] {
    let mut octets = [0; CONTEXT];
    let mut w = Writer::new(&mut octets);
    w.bytes(&connector.0).bytes(&listener.0).u32(accept.channel.id).u64(accept.channel.token);
    w.u64(accept.limit).u32(accept.linger_ms);
    octets
}

impl<M: Mode> Session<'_, M> {
    /// A channel that connects here begins its handshake, or begins it anew with another end.
    #[inline(never)]
    pub(in crate::session) fn begin_handshake(&mut self, slot: usize, expected: Option<[u8; KEY]>) {
        let Some(security) = &mut self.core.security else { return };
        let ephemeral = security.ephemeral();
        let prologue = self.prologue(slot);
        let Some(security) = &self.core.security else { return };
        let side = security.side(&ephemeral, &prologue);
        let Some(len) = side.ask(self.rings.receive_mut(slot)) else { return };
        let len = len as u8;
        self.channels[slot].seal = Seal::Handshake(Handshake { ephemeral, expected, len });
    }

    /// The same for another end of the channel here, if it is encrypted.
    pub(super) fn begin_handshake_anew(&mut self, slot: usize) {
        if M::CONNECTS
            && let Seal::Handshake(handshake) = &self.channels[slot].seal
        {
            self.begin_handshake(slot, handshake.expected);
        }
    }

    /// The prologue of a channel that connects here.
    fn prologue(&self, slot: usize) -> Prologue {
        let channel = &self.channels[slot];
        let kind = ChannelKind { kind: channel.kind::<M>(), encrypted: true };
        let limit = self.rings.len(slot, Direction::Receive) as u64;
        Prologue::new(kind, &channel.endpoint(), self.local(slot), limit)
    }

    /// The prologue of a channel that a peer asked for.
    fn prologue_of_peer(&self, slot: usize) -> Prologue {
        let channel = &self.channels[slot];
        let kind = ChannelKind { kind: channel.kind::<M>(), encrypted: true };
        Prologue::new(kind, &channel.endpoint(), channel.remote, channel.tx.limit())
    }

    /// A peer's first message came with its CONNECT_REQ: the answer is made; false if it cannot be.
    #[inline(never)] // what it needs is not to stay on the stack of all that is read
    pub(super) fn answer_handshake(&mut self, slot: usize, connect: &Connect<'_>) -> bool {
        let Some(security) = &mut self.core.security else { return false };
        let ephemeral = security.ephemeral();
        let (prologue, context) = (self.prologue_of_peer(slot), self.context_here(slot));
        let Some(security) = &self.core.security else { return false };
        let (side, common) = (security.side(&ephemeral, &prologue), security.common(&context));
        let payload = security.payload(Self::answer_of(self.claims, &self.channels[slot]));
        let messages = [connect.greeting, payload.octets()];
        let Some(len) = side.answer(messages, &common, self.rings.receive_mut(slot)) else {
            debug!("channel {:#x}: the handshake fails", self.channel_id(slot).0);
            return false;
        };
        self.rings.transmit_mut(slot)[..FIRST].copy_from_slice(connect.greeting);
        let len = len as u8;
        self.channels[slot].seal = Seal::Handshake(Handshake { ephemeral, expected: None, len });
        true
    }

    /// What both ends know of a channel that a peer asked for, when it is answered.
    fn context_here(&self, slot: usize) -> [u8; CONTEXT] {
        let channel = &self.channels[slot];
        let accept = Accept {
            status: Status::Ok,
            channel: self.local(slot),
            limit: self.rings.len(slot, Direction::Receive) as u64,
            linger_ms: channel.linger_ms(),
            greeting: &[],
        };
        context(channel.peer, Address::of(&self.core.settings.secret), &accept)
    }

    /// The listener's message came with its ACCEPT_RSP: the last one is made.
    ///
    /// # Errors
    /// The status with which the channel ends.
    #[inline(never)] // what it needs is not to stay on the stack of all that is read
    pub(super) fn hear_handshake(
        &mut self,
        slot: usize,
        from: &Route,
        accept: &Accept<'_>,
    ) -> Result<(), Status> {
        let mut state = Noise::new();
        let payload = Payload::read(|octets| self.hear(slot, from, accept, &mut state, octets));
        let payload = payload.ok_or(Status::Handshake)?;
        let expected = match &self.channels[slot].seal {
            Seal::Handshake(handshake) => handshake.expected,
            Seal::Plain | Seal::Sealed(..) => None,
        };
        match expected {
            Some(expected) if expected != *state.peer() => return Err(Status::WrongKey),
            Some(_) => {}
            None if x25519::is_key(state.peer()) => {}
            None => return Err(Status::Handshake),
        }
        let len = self.answer_last(slot, &mut state).ok_or(Status::Handshake)?;
        let confirmation = Confirmation::Due(len as u8);
        self.agreed(slot, &state, confirmation, accept.limit, &payload);
        Ok(())
    }

    #[inline(never)]
    fn hear(
        &self,
        slot: usize,
        from: &Route,
        accept: &Accept<'_>,
        state: &mut Noise,
        payload: &mut [u8],
    ) -> Option<usize> {
        let prologue = self.prologue(slot);
        let security = self.core.security.as_ref()?;
        let Seal::Handshake(handshake) = &self.channels[slot].seal else { return None };
        let context = context(Address::of(&self.core.settings.secret), from.peer, accept);
        let side = security.side(&handshake.ephemeral, &prologue);
        side.hear(state, accept.greeting, &security.common(&context), payload)
    }

    #[inline(never)]
    fn answer_last(&mut self, slot: usize, state: &mut Noise) -> Option<usize> {
        let security = self.core.security.as_ref()?;
        let payload = security.payload(self.channels[slot].greeting());
        let out = self.rings.receive_mut(slot);
        noise::confirm(state, &security.identity, payload.octets(), out)
    }

    /// The keys are agreed on: records are in the rings from now on.
    #[inline(never)]
    fn agreed(
        &mut self,
        slot: usize,
        state: &Noise,
        confirmation: Confirmation,
        theirs: u64,
        payload: &Payload,
    ) {
        let ours = self.rings.guaranteed() as u64;
        let is_connector = !matches!(confirmation, Confirmation::None);
        let records = Records::new(state.keys(), payload.is_kept(), is_connector, ours, theirs);
        let channel = &mut self.channels[slot];
        channel.sealed(self.rings.transmit_mut(slot), records, confirmation);
        channel.greeting.set(payload.greeting());
    }

    /// The connector's last message came.
    #[inline(never)]
    pub(in crate::session) fn on_confirm(&mut self, now: u64, from: &Route, confirm: &Confirm<'_>) {
        let (slot, _) = ids::slot(from.channel.id);
        if slot >= self.channels.len() || self.local(slot) != from.channel {
            return self.core.unknown(from);
        }
        let channel = &mut self.channels[slot];
        // A listener is told.
        if !M::LISTENS || channel.peer != from.peer {
            return;
        }
        match (channel.state, &channel.seal) {
            (State::Accepting, Seal::Handshake(_)) => match self.conclude(slot, confirm) {
                Some(()) => self.establish(now, slot),
                None => {
                    debug!("channel {:#x}: the handshake fails", self.channel_id(slot).0);
                    self.end(now, slot, EndCause::Here(Status::Handshake), true);
                }
            },
            (State::Established, Seal::Sealed(..)) => {
                self.heard(now, slot);
                self.channels[slot].rx.owe_at_once();
                self.core.wakes.send = true;
            }
            _ => {}
        }
    }

    #[inline(never)]
    fn conclude(&mut self, slot: usize, confirm: &Confirm<'_>) -> Option<()> {
        let mut state = Noise::new();
        let payload = Payload::read(|octets| self.hear_last(slot, confirm, &mut state, octets))?;
        if !x25519::is_key(state.peer()) {
            return None;
        }
        let theirs = self.channels[slot].tx.limit();
        self.agreed(slot, &state, Confirmation::None, theirs, &payload);
        Some(())
    }

    #[inline(never)]
    fn hear_last(
        &mut self,
        slot: usize,
        confirm: &Confirm<'_>,
        state: &mut Noise,
        payload: &mut [u8],
    ) -> Option<usize> {
        let (prologue, context) = (self.prologue_of_peer(slot), self.context_here(slot));
        let channel = &self.channels[slot];
        let security = self.core.security.as_ref()?;
        let Seal::Handshake(handshake) = &channel.seal else { return None };
        let answer = security.payload(Self::answer_of(self.claims, channel));
        let first: [u8; FIRST] = *self.rings.transmit(slot).first_chunk()?;
        let messages = [&first, answer.octets(), confirm.handshake];
        let (side, common) =
            (security.side(&handshake.ephemeral, &prologue), security.common(&context));
        // There the same second message is, made before.
        let second = self.rings.receive_mut(slot);
        side.conclude(state, messages, second, &common, payload)
    }
}

impl Security {
    /// What this end has in every handshake.
    fn side<'a>(&'a self, ephemeral: &'a Secret, prologue: &'a Prologue) -> Side<'a> {
        Side { identity: &self.identity, ephemeral, prologue: prologue.octets() }
    }

    /// What both ends have in common.
    fn common<'a>(&'a self, context: &'a [u8; CONTEXT]) -> Common<'a> {
        Common { secret: &self.shared, context }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::Kind;

    /// Changes one thing that both ends are to know.
    type Change = fn(&mut (ChannelKind, Endpoint, Connect<'static>, [Address; 2], Accept<'static>));

    const CHANGES: [Change; 13] = [
        |(kind, ..)| kind.kind = Kind::Datagram,
        |(kind, ..)| kind.encrypted = false,
        |(_, endpoint, ..)| endpoint.port += 1,
        |(_, endpoint, ..)| *endpoint = "camerb:1".parse().expect("an endpoint"),
        |(_, _, connect, ..)| connect.channel.id += 1,
        |(_, _, connect, ..)| connect.channel.token += 1,
        |(_, _, connect, ..)| connect.limit += 1,
        |(.., addresses, _)| addresses[0].0[15] += 1,
        |(.., addresses, _)| addresses[1].0[0] += 1,
        |(.., accept)| accept.channel.id += 1,
        |(.., accept)| accept.channel.token += 1,
        |(.., accept)| accept.limit += 1,
        |(.., accept)| accept.linger_ms += 1,
    ];

    fn octets(change: Option<&Change>) -> (Vec<u8>, [u8; CONTEXT]) {
        let channel = ChannelRef { id: 7, token: 8 };
        let kind = ChannelKind { kind: Kind::Stream, encrypted: true };
        let endpoint: Endpoint = "camera:1".parse().expect("an endpoint");
        let name = endpoint.name;
        let (limit, linger_ms, greeting) = (1024, 9, &[][..]);
        let mut said = (
            kind,
            endpoint,
            Connect { kind, channel, port: 1, limit, linger_ms, greeting, name },
            [Address([1; 16]), Address([2; 16])],
            Accept { status: Status::Ok, channel, limit, linger_ms, greeting },
        );
        if let Some(change) = change {
            change(&mut said);
        }
        let (kind, endpoint, connect, [connector, listener], accept) = said;
        let prologue = Prologue::new(kind, &endpoint, connect.channel, connect.limit);
        (prologue.octets().to_vec(), context(connector, listener, &accept))
    }

    #[test]
    fn handshake_covers_all_that_both_ends_have_to_know_the_same() {
        for (n, change) in CHANGES.iter().enumerate() {
            assert_ne!(octets(Some(change)), octets(None), "change {n}");
        }
    }
}
