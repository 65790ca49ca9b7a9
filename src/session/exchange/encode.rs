//! A request's octets, made as the transport asks for them.

use super::transfer::MAX_STAGED;
use super::{Item, ItemKind, Next, Transfer};
use crate::Kind;
use crate::session::channel::{State, ring};
use crate::session::mode::Mode;
use crate::session::rings::Direction;
use crate::session::state::Phase;
use crate::session::terms::Lane;
use crate::session::view::Session;
use crate::wire::{
    Accept, ChannelKind, Close, Confirm, Connect, Data, DataFlags, HEADER_LEN, Hello, Message,
    Route, Status, VERSION,
};

impl<M: Mode> Session<'_, M> {
    /// Gives the next octets of the request under way on `lane`: as many as fit `out`; 0 at its end.
    pub(in crate::session) fn encode(&mut self, now: u64, lane: Lane, out: &mut [u8]) -> usize {
        let (transfer, mut session) = self.apart(lane);
        let Transfer::Up(stage) = transfer else { return 0 };
        let mut done = 0;
        while done < out.len() {
            let flight = session.core.flight(lane);
            if !flight.is_active() {
                break;
            }
            if stage.at < stage.len {
                let staged = &stage.octets[stage.at.into()..stage.len.into()];
                let n = staged.len().min(out.len() - done);
                out[done..done + n].copy_from_slice(&staged[..n]);
                stage.at += n as u8;
                done += n;
            } else if let Some((slot, at, n)) = flight.take_bytes(out.len() - done) {
                ring::copy_out(session.rings.transmit(slot), at, &mut out[done..done + n]);
                done += n;
            } else if let Some(next) = flight.write_next() {
                stage.len = session.stage_next(lane, next, &mut stage.octets) as u8;
                stage.at = 0;
            } else {
                break;
            }
        }
        let is_sent = stage.at >= stage.len && session.core.flight(lane).is_staged();
        if !M::SINGLE && done > 0 && is_sent {
            self.core.request_sent(now, lane);
            self.acks_went();
        }
        done
    }

    /// Writes what stands before the data bytes of the next item, and gives how much.
    // Inlined, it makes firmware larger.
    #[inline(never)]
    fn stage_next(&mut self, lane: Lane, next: Next, out: &mut [u8; MAX_STAGED]) -> usize {
        let core = &mut *self.core;
        let (secret, max_response) = (core.settings.secret, core.settings.max_response);
        let flight = core.flight(lane);
        let Next::Item(item) = next else {
            let hello = Message::Hello(Hello {
                version: VERSION,
                flags: flight.hello(),
                secret,
                seq: flight.seq(),
                hold_ms: flight.hold_ms(),
                max_response,
            });
            return hello.encode_as(M::ROLE, out).unwrap_or(0);
        };
        let head = item.head();
        if self.stage(lane, &item, out) != Some(head) {
            // What was planned is no longer there: as many messages that say nothing.
            let route = if item.is_routed() { Route::LEN } else { 0 };
            *out = [0; MAX_STAGED];
            if route > 0 {
                let _ = Message::Pad((route - HEADER_LEN) as u32).encode_as(M::ROLE, out);
            }
            let rest = (head - route - HEADER_LEN) as u32;
            let _ = Message::Pad(rest).encode_as(M::ROLE, &mut out[route..]);
        }
        head
    }

    /// Writes an item's ROUTE and message; `None` if there is nothing to say any more.
    fn stage(&mut self, lane: Lane, item: &Item, out: &mut [u8]) -> Option<usize> {
        let slot = usize::from(item.slot);
        let (route, message) = match item.kind {
            #[cfg(feature = "secure")]
            ItemKind::Proof => (None, self.owed_proof()?),
            ItemKind::Listen => {
                let claim = self.claims().get(slot)?;
                let req = claim.listen_req(slot, self.core.settings.owner, self.encrypts())?;
                (None, Message::ListenReq(req))
            }
            ItemKind::Connect => (None, self.connect_req(slot)?),
            ItemKind::Final => {
                let t = &self.tombstones[slot];
                let asks = self.core.phase == Phase::Closing && t.is_owed(self.core.clock);
                let (route, message) = t.message(asks, M::SINGLE);
                (Some(route), message)
            }
            ItemKind::Reply => {
                let (route, message) = self.core.replies.message::<M>(slot)?;
                (Some(route), message)
            }
            ItemKind::Accept => (Some(self.channels[slot].route()), self.accept_rsp(slot)?),
            ItemKind::Confirm => {
                let route = self.channels[slot].route();
                (Some(route), self.confirm(slot)?)
            }
            ItemKind::Window
            | ItemKind::Probe
            | ItemKind::Data
            | ItemKind::Datagram
            | ItemKind::Close => {
                let route = self.channels[slot].route();
                (Some(route), self.message(lane, slot, item)?)
            }
        };
        let at = match route {
            Some(route) => Message::Route(route).encode_as(M::ROLE, out)?,
            None => 0,
        };
        Some(at + message.encode_as(M::ROLE, out.get_mut(at..)?)?)
    }

    /// CONNECT_REQ of a channel.
    fn connect_req(&self, slot: usize) -> Option<Message<'_>> {
        let channel = &self.channels[slot];
        if !M::CONNECTS || !channel.is_connecting() {
            return None;
        }
        Some(Message::ConnectReq(Connect {
            channel: self.local(slot),
            kind: ChannelKind { kind: channel.kind::<M>(), encrypted: channel.is_encrypted() },
            port: channel.endpoint().port,
            limit: self.rings.len(slot, Direction::Receive) as u64,
            linger_ms: channel.linger_ms(),
            name: channel.endpoint().name,
            greeting: self.asks_with(slot),
        }))
    }

    /// CONFIRM of a channel.
    fn confirm(&self, slot: usize) -> Option<Message<'_>> {
        let len = self.channels[slot].confirmation_len()?;
        Some(Message::Confirm(Confirm { handshake: &self.rings.receive(slot)[..len] }))
    }

    /// What goes with CONNECT_REQ: the greeting, or the message of the handshake.
    pub(in crate::session) fn asks_with(&self, slot: usize) -> &[u8] {
        match self.channels[slot].handshake_len() {
            Some(len) => &self.rings.receive(slot)[..len],
            None if M::GREETS => self.channels[slot].greeting(),
            None => &[],
        }
    }

    /// What goes with ACCEPT_RSP: the listener's greeting, or the message of the handshake.
    pub(in crate::session) fn answers_with(&self, slot: usize) -> &[u8] {
        match self.channels[slot].handshake_len() {
            Some(len) => &self.rings.receive(slot)[..len],
            None => self.answer(slot),
        }
    }

    /// ACCEPT_RSP of a channel, which its listener's answer goes with; `None` if the channel has ended.
    fn accept_rsp(&self, slot: usize) -> Option<Message<'_>> {
        let channel = &self.channels[slot];
        if !M::LISTENS || !matches!(channel.state(), State::Accepting | State::Established) {
            return None;
        }
        Some(Message::AcceptRsp(Accept {
            status: Status::Ok,
            channel: self.local(slot),
            limit: self.rings.len(slot, Direction::Receive) as u64,
            linger_ms: channel.linger_ms(),
            greeting: self.answers_with(slot),
        }))
    }

    /// What an item says to a channel's peer; `None` if there is nothing to say any more.
    fn message(&mut self, lane: Lane, slot: usize, item: &Item) -> Option<Message<'static>> {
        let ring = self.rings.len(slot, Direction::Receive);
        let channel = &mut self.channels[slot];
        let kind = channel.kind::<M>();
        Some(match (item.kind, channel.state()) {
            (ItemKind::Window, State::Established) => {
                let is_done = channel.is_done();
                Message::ReceiveReq(channel.rx.window(ring, kind, is_done))
            }
            (ItemKind::Probe, State::Established) => {
                let flags = if kind == Kind::Stream { item.flags() } else { DataFlags::PROBE };
                Message::SendReq(Data { offset: channel.tx.probed(kind), flags, len: 0 })
            }
            (ItemKind::Data, _) => {
                let offset = channel.tx.staged();
                self.core.flight(lane).owe_bytes(offset, item.bytes());
                Message::SendReq(Data { offset, flags: item.flags(), len: item.bytes() })
            }
            (ItemKind::Datagram, _) if M::DATAGRAMS => {
                let (number, at) = channel.tx.stage_datagram(item.bytes());
                self.core.flight(lane).owe_bytes(at, item.bytes());
                Message::SendReq(Data { offset: number, flags: item.flags(), len: item.bytes() })
            }
            (ItemKind::Close, State::Aborting(end)) => {
                let offset = channel.end_offset();
                Message::CloseReq(Close { status: end.status(), offset })
            }
            _ => return None,
        })
    }
}
