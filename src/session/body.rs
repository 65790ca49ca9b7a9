//! A request's octets, made as the transport asks for them.

use super::channel::State;
use super::exchange::{Item, ItemKind, Next, Transfer};
use super::state::{Phase, ReplyKind};
use super::tombstone::Left;
use super::{Lane, Mode, Session, datagram, ring};
use crate::wire::{
    self, Accept, Close, Closed, Connect, Data, DataFlags, HEADER_LEN, Hello, Message, Route,
    Status, VERSION, Window,
};

/// Octets of HELLO.
pub(super) const HELLO_LEN: usize = HEADER_LEN + 34;

impl<M: Mode> Session<'_, M> {
    /// Gives the next octets of the request under way on `lane`: as many as fit `out`; 0 at its end.
    pub fn poll_body(&mut self, now: u64, lane: Lane, out: &mut [u8]) -> usize {
        self.core.clock = self.core.clock.max(now);
        let lane = M::lane(lane);
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
                let (tx_ring, _) = session.rings_of(slot);
                ring::copy_out(&session.rings[tx_ring], at, &mut out[done..done + n]);
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
        }
        done
    }

    /// Writes what stands before the data bytes of the next item, and gives how much.
    fn stage_next(&mut self, lane: Lane, next: Next, out: &mut [u8; wire::MAX_CONTROL]) -> usize {
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
            return hello.encode(out).unwrap_or(0);
        };
        let head = item.head();
        if self.stage(lane, &item, out) != Some(head) {
            // What was planned is no longer there: as many messages that say nothing.
            let route = if item.is_routed() { HEADER_LEN + 28 } else { 0 };
            *out = [0; wire::MAX_CONTROL];
            if route > 0 {
                let _ = Message::Pad((route - HEADER_LEN) as u32).encode(out);
            }
            let rest = (head - route - HEADER_LEN) as u32;
            let _ = Message::Pad(rest).encode(&mut out[route..]);
        }
        head
    }

    /// Writes an item's ROUTE and message; `None` if there is nothing to say any more.
    fn stage(&mut self, lane: Lane, item: &Item, out: &mut [u8]) -> Option<usize> {
        let slot = usize::from(item.slot);
        let mut greeting = [0; wire::MAX_GREETING];
        let state = self.channels.get(slot).map_or(State::Free, |channel| channel.state);
        let of_channel = matches!(
            item.kind,
            ItemKind::Accept
                | ItemKind::Window
                | ItemKind::Probe
                | ItemKind::Data
                | ItemKind::Datagram
                | ItemKind::Close
        );
        let mut route = if of_channel { self.route(slot) } else { Route::default() };
        let message = match item.kind {
            ItemKind::Listen => Message::ListenReq(self.listen_req(slot)?),
            ItemKind::Connect if !M::CONNECTS || state != State::Connecting => return None,
            ItemKind::Connect => {
                let limit = self.ring_len() as u64;
                let channel = &self.channels[slot];
                let n = if M::GREETS { channel.greeting().len() } else { 0 };
                greeting[..n].copy_from_slice(&channel.greeting()[..n]);
                Message::ConnectReq(Connect {
                    channel: self.local(slot),
                    kind: channel.kind,
                    port: channel.endpoint.port,
                    limit,
                    linger_ms: channel.linger_ms,
                    name: channel.endpoint.name,
                    greeting: &greeting[..n],
                })
            }
            ItemKind::Accept
                if !M::LISTENS || !matches!(state, State::Accepting | State::Established) =>
            {
                return None;
            }
            ItemKind::Accept => Message::AcceptRsp(Accept {
                status: Status::Ok,
                channel: self.local(slot),
                limit: self.ring_len() as u64,
                linger_ms: self.channels[slot].linger_ms,
                greeting: &[],
            }),
            ItemKind::Window | ItemKind::Probe if state != State::Established => return None,
            ItemKind::Window => Message::ReceiveReq(self.window(slot)),
            ItemKind::Final => {
                let t = &self.tombstones[slot];
                route = Route { peer: t.peer, channel: t.remote };
                if !M::SINGLE && t.left == Left::Dead {
                    Message::CloseReq(Close { status: Status::Linger, offset: t.ack })
                } else {
                    Message::ReceiveReq(Window {
                        ack: t.ack,
                        // Nothing stands behind the end of a stream.
                        limit: t.ack,
                        losses: t.losses,
                        overflow: 0,
                        now: true,
                        done: t.left == Left::Whole,
                        ask: self.core.phase == Phase::Closing && t.is_owed(self.core.clock),
                    })
                }
            }
            ItemKind::Probe => {
                let channel = &self.channels[slot];
                let is_stream = M::kind(channel.kind) == crate::Kind::Stream;
                // What was sent before this PROBE is there now or was lost: the peer sees which.
                let offset = match is_stream {
                    true if channel.tx.flying => channel.tx.pin,
                    true => channel.tx.next,
                    false => channel.tx.number,
                };
                let flags = if is_stream { item.flags() } else { DataFlags::PROBE };
                Message::SendReq(Data { offset, flags, len: 0 })
            }
            ItemKind::Data => {
                let offset = self.channels[slot].tx.pin;
                self.core.flight(lane).owe_bytes(offset, item.bytes());
                Message::SendReq(Data { offset, flags: item.flags(), len: item.bytes() })
            }
            ItemKind::Datagram if !M::DATAGRAMS => return None,
            ItemKind::Datagram => Message::SendReq(self.stage_datagram(lane, item)),
            ItemKind::Close if state != State::Aborting => return None,
            ItemKind::Close => {
                let channel = &self.channels[slot];
                let status = Status::from_code(channel.status).unwrap_or(Status::Aborted);
                Message::CloseReq(Close { status, offset: channel.end_offset })
            }
            ItemKind::Reply => {
                let reply = &self.core.replies[slot];
                let status = Status::from_code(reply.status).unwrap_or(Status::Unknown);
                route = Route { peer: reply.peer, channel: wire::Channel::NONE };
                match reply.kind {
                    ReplyKind::Refuse if M::LISTENS => {
                        route.channel = reply.channel;
                        Message::AcceptRsp(Accept {
                            status,
                            channel: wire::Channel::NONE,
                            limit: 0,
                            linger_ms: 0,
                            greeting: &[],
                        })
                    }
                    ReplyKind::Close => {
                        Message::CloseRsp(Closed { status, channel: reply.channel })
                    }
                    ReplyKind::Stray if M::CONNECTS => {
                        route.channel = reply.channel;
                        Message::CloseReq(Close { status, offset: 0 })
                    }
                    ReplyKind::Free | ReplyKind::Refuse | ReplyKind::Stray => return None,
                }
            }
        };
        let at = if item.is_routed() { Message::Route(route).encode(out)? } else { 0 };
        Some(at + message.encode(out.get_mut(at..)?)?)
    }

    fn stage_datagram(&mut self, lane: Lane, item: &Item) -> Data {
        let slot = usize::from(item.slot);
        // Datagrams go out in the order of the ring.
        let tx = &mut self.channels[slot].tx;
        let number = tx.staged_number;
        tx.staged_number += 1;
        let at = tx.next + datagram::HEADER as u64;
        tx.next = at + u64::from(item.bytes());
        self.core.flight(lane).owe_bytes(at, item.bytes());
        Data { offset: number, flags: item.flags(), len: item.bytes() }
    }
}
