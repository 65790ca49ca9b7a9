//! What comes in an answer.

use core::num::NonZeroU32;

use crate::error::Blocked;
use crate::session::ids::{self, ListenerId};
use crate::session::listener::Claimed;
use crate::session::mode::Mode;
use crate::session::state::{Fatal, Phase};
use crate::session::terms::{Event, Lane};
use crate::session::view::Session;
use crate::trace::debug;
use crate::wire::{End, ListenRsp, Message, Piece, Place, Status, VERSION, Welcome};

impl<M: Mode> Session<'_, M> {
    /// Takes a piece of the answer's body apart. Fails if this is no relay's answer, or not to this
    /// request.
    // Inlined, it makes firmware larger.
    #[inline(never)]
    pub(in crate::session) fn decode(
        &mut self,
        now: u64,
        lane: Lane,
        bytes: &[u8],
    ) -> Result<(), Blocked> {
        let mut input = bytes;
        let (transfer, mut session) = self.apart(lane);
        let Some(decoder) = transfer.decoder() else { return Ok(()) };
        let result = loop {
            if !session.core.flight(lane).is_unanswered() {
                break Ok(());
            }
            match decoder.next_as(M::ROLE, &mut input) {
                Ok(Some(Piece::Message(ref message))) => {
                    let result = session.on_message(now, lane, message);
                    if result.is_err() {
                        break result;
                    }
                }
                Ok(Some(Piece::Bytes(bytes, left))) => session.on_bytes(now, lane, bytes, left),
                Ok(None) => break Ok(()),
                Err(_) => break Err(Blocked::Foreign),
            }
        };
        if !M::SINGLE && lane == Lane::Park && self.core.park.is_streaming() {
            self.core.stream_lives(now);
            self.owe_acks(now);
        }
        result
    }

    /// LISTEN_RSP came; whether it was news.
    fn on_listen_rsp(&mut self, rsp: &ListenRsp) -> bool {
        if !M::LISTENS {
            return false;
        }
        let (slot, generation) = ids::slot(rsp.claim);
        let claimed = match self.claims.get_mut(slot) {
            Some(claim) if claim.is_held(generation) => claim.on_listen_rsp(rsp, M::SINGLE),
            _ => return false,
        };
        let is_news = match claimed {
            Claimed::Nothing => return false,
            Claimed::Heard { is_news } => is_news,
            Claimed::Lost { is_news } => {
                debug!("listener {:#x}: the claim is lost: {}", rsp.claim, rsp.status.name());
                self.core.debts.owe_wake();
                self.core.event(Event::ListenerLost(ListenerId(rsp.claim)));
                is_news
            }
        };
        self.wake_claim(slot);
        is_news
    }

    /// The answer begins.
    fn on_welcome(&mut self, lane: Lane, welcome: &Welcome) -> Result<(), Blocked> {
        if welcome.version != VERSION {
            debug!("the session ends: the relay speaks version {}", welcome.version);
            self.core.relay_version = welcome.version;
            self.core.end_hope(Fatal::Version);
            return Err(Blocked::Relay(Status::Version));
        }
        let flight = self.core.flight(lane);
        // A cache's answer belongs to another request.
        if welcome.seq != flight.seq() {
            return Err(Blocked::Foreign);
        }
        flight.welcome();
        self.core.relay_max_body = NonZeroU32::new(welcome.max_body);
        Ok(())
    }

    /// The answer ends.
    fn on_end(&mut self, lane: Lane, end: &End) {
        self.core.flight(lane).end(end.status);
        // Sends are numbered with the parks, and say nothing of another session's parks. The relay
        // counts BYE as a park.
        let closes = matches!(self.core.phase, Phase::Closing | Phase::Closed);
        let is_any = M::SINGLE || closes;
        let newest = if is_any { self.core.seq } else { self.core.park.seq() };
        if end.highest > newest {
            debug!("the session ends: another client uses its secret");
            self.core.end_hope(Fatal::SecretShared);
        }
    }

    fn on_message(&mut self, now: u64, lane: Lane, message: &Message<'_>) -> Result<(), Blocked> {
        let junk = self.core.junk();
        let flight = self.core.flight(lane);
        let from = flight.from();
        match message {
            Message::Welcome(welcome) if !flight.is_welcomed() => {
                return self.on_welcome(lane, welcome);
            }
            _ if !flight.is_welcomed() || !M::SINGLE && !is_sound(message) => {
                return Err(Blocked::Foreign);
            }
            Message::End(end) => {
                self.on_end(lane, end);
                return Ok(());
            }
            Message::From(route) => {
                flight.comes_from(*route);
                return Ok(());
            }
            // Data comes in answers to parks alone, so that one reader fills the rings.
            Message::ReceiveRsp(_) if !M::SINGLE && lane == Lane::Send => {
                return Err(Blocked::Foreign);
            }
            Message::ReceiveRsp(data) => self.on_data(now, lane, &from, data),
            Message::SendRsp(window) => {
                if window.done {
                    self.settle_tombstones(&from.peer, from.channel);
                }
                if let Some(slot) = self.addressed(now, &from, window.ask) {
                    self.on_window(now, slot, window);
                }
            }
            Message::AcceptReq(connect) => self.on_accept_req(now, &from, connect),
            Message::ConnectRsp(accept) => self.on_connect_rsp(now, &from, accept),
            #[cfg(feature = "secure")]
            Message::Confirm(confirm) => self.on_confirm(now, &from, confirm),
            #[cfg(not(feature = "secure"))]
            Message::Confirm(_) => {}
            Message::CloseReq(close) => self.on_close_req(now, &from, close),
            Message::CloseRsp(closed) => self.on_close_rsp(now, &from, closed),
            Message::ListenRsp(rsp) => {
                if !self.on_listen_rsp(rsp) {
                    return Ok(());
                }
            }
            Message::Verdict(verdict) => self.on_verdict(now, lane, verdict)?,
            Message::Ready(peer) => {
                self.core.send_mut().ready();
                self.on_ready(now, peer);
            }
            // By a send it would overtake what comes by the park.
            Message::Gone(_) if !M::SINGLE && lane == Lane::Send && self.core.park.is_active() => {}
            Message::Gone(peer) => self.on_gone(now, peer),
            Message::Tick(tick) => {
                if !M::SINGLE && lane == Lane::Park {
                    self.core.on_tick(now, tick.age_ms, tick.next_ms);
                }
                return Ok(());
            }
            Message::Pad(_) => return Ok(()),
            // Only clients say these.
            Message::Welcome(_)
            | Message::Hello(_)
            | Message::Route(_)
            | Message::Proof(_)
            | Message::ListenReq(_)
            | Message::ConnectReq(_)
            | Message::AcceptRsp(_)
            | Message::SendReq(_)
            | Message::ReceiveReq(_) => return Err(Blocked::Foreign),
        }
        // Strangers could else keep a session awake.
        if M::SINGLE || self.core.junk() == junk {
            self.core.flight(lane).bring();
        }
        Ok(())
    }
}

/// Whether the relay says of itself only what it may.
fn is_sound(message: &Message<'_>) -> bool {
    match message {
        Message::End(end) => end.status.fits(Place::End),
        Message::ListenRsp(rsp) => rsp.status.fits(Place::ListenRsp),
        _ => true,
    }
}
