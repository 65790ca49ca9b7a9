//! Which messages a request may have, and what the router is to do with each.

use super::config::RouterConfig;
use super::control::Control;
use super::exchange::RequestKind;
use super::rejection::{Limit, MALFORMED, Rejection};
use crate::secure::KeyProof;
use crate::wire::{
    Address, ChannelKind, ChannelRef, Data, DataFlags, Endpoint, Hello, HelloFlags, ListenReq,
    Message, Place, Status, Window,
};

/// Claims that a park may list beyond the limit, to be told LIMITED.
pub(super) const EXCESS_CLAIMS: usize = 64;

/// What the router is to do with a message.
#[derive(Debug)]
pub(super) enum Demand {
    Hello(Hello),
    /// CONNECT_REQ for an endpoint; as the listener will have it.
    Connect {
        channel: ChannelRef,
        endpoint: Endpoint,
        kind: ChannelKind,
        message: Control,
    },
    /// ACCEPT_RSP, and whether it is OK; as the connector will have it.
    Accept(Control, bool),
    /// CONFIRM, CLOSE_REQ or CLOSE_RSP.
    Pass(Control),
    /// CLOSE_RSP(UNKNOWN), or a CLOSE_REQ that says the same: its source wants nothing of what came.
    Unwelcome(Control),
    /// RECEIVE_REQ.
    Receive(Window),
    /// SEND_REQ, whose bytes follow.
    Data(Data),
}

/// What a message was read as.
pub(super) enum Read {
    /// A message that does nothing here.
    Skip,
    Route(Address, ChannelRef),
    Proof(KeyProof),
    Listen(ListenReq),
    Demand(Demand),
}

/// What decides which messages may come.
pub(super) struct Context<'a> {
    pub config: &'a RouterConfig,
    /// Messages before this one.
    pub messages: u32,
    /// `None` before HELLO.
    pub kind: Option<RequestKind>,
    /// Claims before this message.
    pub listed: usize,
}

impl Context<'_> {
    pub fn read(&self, message: &Message<'_>) -> Result<Read, Rejection> {
        let Some(kind) = self.kind else {
            let Message::Hello(hello) = message else { return Err(Rejection::NoHello) };
            return Ok(Read::Demand(Demand::Hello(*hello)));
        };
        if self.messages > u32::from(self.config.max_messages) {
            return Err(Rejection::Limited(Limit::MaxMessages));
        }
        if !is_sound(message) {
            return Err(MALFORMED);
        }
        let demand = match *message {
            Message::Route(route) => return Ok(Read::Route(route.peer, route.channel)),
            Message::Pad(_) => return Ok(Read::Skip),
            Message::Proof(proof) => match kind {
                RequestKind::Send => return Err(MALFORMED),
                // The park has it already.
                RequestKind::Single => return Ok(Read::Skip),
                RequestKind::Park => return Ok(Read::Proof(proof.into())),
            },
            Message::ListenReq(claim) => return self.listen(kind, claim),
            Message::ConnectReq(connect) => Demand::Connect {
                channel: connect.channel,
                endpoint: Endpoint { name: connect.name, port: connect.port },
                kind: connect.kind,
                message: Control::new(&Message::AcceptReq(connect)),
            },
            Message::AcceptRsp(accept) => {
                let is_ok = accept.status == Status::Ok;
                Demand::Accept(Control::new(&Message::ConnectRsp(accept)), is_ok)
            }
            Message::CloseRsp(closed) if closed.status == Status::Unknown => {
                Demand::Unwelcome(Control::new(message))
            }
            Message::CloseReq(closed) if is_turned_away(closed.status) => {
                Demand::Unwelcome(Control::new(message))
            }
            Message::Confirm(_) | Message::CloseReq(_) | Message::CloseRsp(_) => {
                Demand::Pass(Control::new(message))
            }
            Message::ReceiveReq(window) => Demand::Receive(window),
            Message::SendReq(data) if kind != RequestKind::Park || is_bare_probe(&data) => {
                Demand::Data(data)
            }
            // Only a PROBE carries nothing that would have to be said again if the park's answer is lost.
            Message::SendReq(_) => return Err(MALFORMED),
            _ => return Err(MALFORMED),
        };
        Ok(Read::Demand(demand))
    }

    fn listen(&self, kind: RequestKind, claim: ListenReq) -> Result<Read, Rejection> {
        match kind {
            RequestKind::Send => Err(MALFORMED),
            // The park has them already.
            RequestKind::Single => Ok(Read::Skip),
            RequestKind::Park if self.listed >= self.config.claims + EXCESS_CLAIMS => {
                Err(MALFORMED)
            }
            RequestKind::Park => Ok(Read::Listen(claim)),
        }
    }
}

/// The first octets of a body: type, length, and the version of HELLO, which stands there for ever.
#[derive(Debug, Default)]
pub(super) struct Start {
    octets: [u8; 5],
    have: usize,
}

impl Start {
    pub fn see(&mut self, chunk: &[u8]) {
        for (to, from) in self.octets.iter_mut().skip(self.have).zip(chunk) {
            *to = *from;
            self.have += 1;
        }
    }

    /// The version, if the body begins like a HELLO.
    pub fn version(&self) -> Option<u8> {
        let [kind, .., version] = self.octets;
        (self.have == self.octets.len() && kind == HELLO).then_some(version)
    }
}

/// Type octet of HELLO, the same in every version.
const HELLO: u8 = 0x01;

/// Whether HELLO's flags are those of a send or of a park, as it is one or both.
pub(super) fn flags_fit(hello: &Hello) -> bool {
    let (kind, flags) = (RequestKind::of(hello), hello.flags);
    let (wakes, leaves) = (flags.has(HelloFlags::WAKE), flags.has(HelloFlags::BYE));
    (kind.is_park() || !flags.has(HelloFlags::STREAM)) && (kind.is_send() || !wakes && !leaves)
}

/// Whether a message of a client has only what it may have there.
pub(super) fn is_sound(message: &Message<'_>) -> bool {
    match message {
        Message::ListenReq(m) => {
            let heard = m.heard.is_none_or(|status| status.fits(Place::ListenRsp));
            m.claim != 0 && m.backlog > 0 && heard
        }
        Message::ConnectReq(m) => m.channel.id != 0,
        Message::AcceptRsp(m) => {
            let has_end = m.channel.id != 0;
            m.status.fits(Place::AcceptRsp) && (m.status == Status::Ok) == has_end
        }
        Message::CloseReq(m) => m.status.fits(Place::CloseReq),
        Message::CloseRsp(m) => m.status.fits(Place::CloseRsp),
        _ => true,
    }
}

/// Whether a side that ends a channel with this status wants nothing of what comes from the other.
fn is_turned_away(status: Status) -> bool {
    matches!(status, Status::Handshake | Status::WrongKey | Status::Aborted)
}

fn is_bare_probe(data: &Data) -> bool {
    data.flags.has(DataFlags::PROBE) && !data.flags.has(DataFlags::FIN)
}
