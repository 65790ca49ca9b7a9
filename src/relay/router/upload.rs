//! A request's body being read, message by message.

use bytes::{Bytes, BytesMut};
use rustc_hash::FxHashMap;

use super::ExchangeId;
use super::accounts::AccountId;
use super::body_input::BodyInput;
use super::config::RouterConfig;
use super::demand::{Context, Demand, EXCESS_CLAIMS, Read, Start, is_sound};
use super::exchange::RequestKind;
use super::exchange::is_spoken;
use super::key::SessionKey;
use super::message::{Content, InHand, Slice};
use super::patience::Patience;
use super::proofs::UploadProof;
use super::rejection::{Limit, MALFORMED, Rejection};
use super::response::data_len;
use super::sessions::Sessions;
use crate::wire::{
    ChannelRef, Data, DataFlags, Decoder, Hello, ListenReq, MAX_SINGLE_BODY, Message, Piece, Status,
};

/// A request's body, as far as it was read.
#[derive(Debug)]
pub(super) struct Upload {
    pub id: ExchangeId,
    /// For whom it counts.
    pub account: AccountId,
    stage: UploadStage,
    body: BodyInput,
    /// Messages begun.
    messages: u32,
    route: Option<(SessionKey, ChannelRef)>,
    in_hand: Option<InHand>,
    /// Peers that get no more of this upload, and why.
    refused: FxHashMap<SessionKey, Status>,
    /// The peer for whose answer the upload counts as under way.
    target: Option<SessionKey>,
    patience: Patience,
    listens: Vec<ListenReq>,
    pub proof: UploadProof,
    /// Whether a message was read whose verdict ends a park with SINGLE.
    speaks: bool,
    /// Whether it was counted that `max_held` holds the upload back.
    is_counted_held: bool,
    /// When the upload is to be looked at.
    pub deadline: Option<u64>,
}

/// How far a body is.
///
/// ```text
///        HELLO of a send or a park
///  Start ─────────────────────────▶ Messages
///    │ HELLO with SINGLE                             the park takes its place
///    └───────────────────▶ Gathering ── body whole ─────────────────────────▶ Carried
/// ```
#[derive(Debug)]
enum UploadStage {
    /// HELLO is awaited.
    Start(Start),
    /// Each message is dealt with as soon as it is there.
    Messages(Hello),
    /// What stands behind HELLO is gathered, until the body is whole. MAX_SINGLE_BODY are held for it.
    Gathering(Hello, BytesMut),
    /// The messages of a park with SINGLE that stands: all are there, and held until they were read.
    Carried(Hello),
}

/// What was read for the message in hand.
pub(super) enum Pulled {
    /// Bytes that the message needs are missing.
    Missing,
    /// The message can go to its peer.
    Ready,
    /// The message was dropped, and all of it is read: its verdict.
    Dropped(Status, u32),
}

impl Upload {
    /// Of the exchange `id`, which begins. Its messages may wait for `patience` milliseconds.
    pub fn new(id: ExchangeId, account: AccountId, now: u64, patience: u64) -> Self {
        Self {
            id,
            account,
            stage: UploadStage::Start(Start::default()),
            body: BodyInput::new(now),
            messages: 0,
            route: None,
            in_hand: None,
            refused: FxHashMap::default(),
            target: None,
            patience: Patience::new(patience),
            listens: Vec::new(),
            proof: UploadProof::Absent,
            speaks: false,
            is_counted_held: false,
            deadline: None,
        }
    }

    /// The HELLO, once it was read.
    pub fn hello(&self) -> Option<&Hello> {
        match &self.stage {
            UploadStage::Start(_) => None,
            UploadStage::Messages(hello)
            | UploadStage::Gathering(hello, _)
            | UploadStage::Carried(hello) => Some(hello),
        }
    }

    pub fn kind(&self) -> Option<RequestKind> {
        self.hello().map(RequestKind::of)
    }

    /// Whether its messages wait for their peers.
    fn is_send(&self) -> bool {
        self.kind().is_some_and(RequestKind::is_send)
    }

    /// Whether these are the messages of a park with SINGLE that stands.
    pub fn is_carried(&self) -> bool {
        matches!(self.stage, UploadStage::Carried(_))
    }

    /// Whether a message was read whose verdict ends a park with SINGLE.
    pub fn speaks(&self) -> bool {
        self.speaks
    }

    /// The limit `max_held` holds the upload back; whether for the first time.
    pub fn hold_back(&mut self) -> bool {
        !std::mem::replace(&mut self.is_counted_held, true)
    }

    /// Whether the body comes too slowly, or for too long. Waits for peers are short, and do not count much.
    pub fn is_too_slow(&self, now: u64, config: &RouterConfig) -> bool {
        self.body.is_too_slow(now, config)
    }

    pub fn last_byte(&self) -> u64 {
        self.body.last_byte()
    }

    /// HELLO is dealt with.
    pub fn greet(&mut self, hello: Hello) {
        self.stage = UploadStage::Messages(hello);
    }

    /// Room for the whole body is held: it is gathered before it is dealt with.
    pub fn gather(&mut self) {
        if let UploadStage::Messages(hello) = self.stage {
            self.stage = UploadStage::Gathering(hello, BytesMut::new());
        }
    }

    /// The body that was gathered. `None`: this is no such upload.
    pub fn gathered(&self) -> Option<&[u8]> {
        match &self.stage {
            UploadStage::Gathering(_, body) => Some(body),
            UploadStage::Start(_) | UploadStage::Messages(_) | UploadStage::Carried(_) => None,
        }
    }

    /// The park stands: what was gathered is read as its messages. Octets held for it from now on.
    pub fn carry(&mut self) -> usize {
        if let UploadStage::Gathering(hello, body) = &mut self.stage {
            self.body.give(std::mem::take(body).freeze());
            self.stage = UploadStage::Carried(*hello);
        }
        self.input_held()
    }

    /// Octets held for the body, besides those of the message in hand.
    pub fn body_held(&self) -> usize {
        match self.stage {
            UploadStage::Start(_) | UploadStage::Messages(_) => 0,
            UploadStage::Gathering(..) => MAX_SINGLE_BODY,
            UploadStage::Carried(_) => self.input_held(),
        }
    }

    /// Octets held of messages that are carried and not read.
    pub fn input_held(&self) -> usize {
        if self.is_carried() { self.body.unread().len() } else { 0 }
    }

    /// More of the body is there.
    pub fn give(&mut self, chunk: Bytes) {
        self.body.give(chunk);
    }

    /// Takes back what was given and not read.
    pub fn take_back(&mut self) -> Bytes {
        match self.is_carried() {
            true => Bytes::new(),
            false => self.body.take_back(),
        }
    }

    /// The whole body was given.
    pub fn end(&mut self) {
        self.body.end();
    }

    /// Octets that can be read. The first octets of the body are noted on the way.
    pub fn look(&mut self) -> usize {
        if let UploadStage::Start(start) = &mut self.stage {
            start.see(self.body.unread());
        }
        self.body.unread().len()
    }

    /// `before` octets could be read before some were.
    pub fn note_read(&mut self, now: u64, before: usize) {
        // What is carried was counted as it came.
        let counts = !self.is_carried();
        self.body.note_read(now, before, counts);
    }

    /// Another version than this relay's, if the body begins like the HELLO of one.
    pub fn other_version(&self) -> Option<u8> {
        match &self.stage {
            UploadStage::Start(start) => start.version().filter(|version| !is_spoken(*version)),
            _ => None,
        }
    }

    /// Whether all of the body is read and dealt with.
    pub fn is_done(&self, config: &RouterConfig) -> Result<bool, Rejection> {
        if self.body.octets() > config.max_body as usize {
            return Err(Rejection::Limited(Limit::MaxBody));
        }
        let is_single = self.kind() == Some(RequestKind::Single);
        if is_single && self.body.octets() > MAX_SINGLE_BODY {
            return Err(MALFORMED);
        }
        // Messages that are carried stand while one of them waits.
        if !self.body.is_over() {
            return Ok(false);
        }
        match &self.in_hand {
            _ if self.hello().is_none() => Err(Rejection::NoHello),
            Some(message) if message.unread() == 0 => Ok(false),
            None if self.body.at_boundary() => Ok(true),
            _ => Err(MALFORMED),
        }
    }

    /// Reads the next message that the router is to deal with; `None` if the message is not there yet.
    pub fn next(
        &mut self,
        config: &RouterConfig,
        sessions: &Sessions,
    ) -> Result<Option<(u16, Demand)>, Rejection> {
        loop {
            if let UploadStage::Gathering(_, body) = &mut self.stage {
                // Of a body that is too long, enough to see that: HELLO counts as well.
                let most = MAX_SINGLE_BODY.saturating_sub(body.len());
                body.extend_from_slice(&self.body.take_raw(most));
                return Ok(None);
            }
            if self.body.unread().is_empty() {
                return Ok(None);
            }
            let listed = self.listens.len();
            let context = Context { config, kind: self.kind(), messages: self.messages, listed };
            let read = self.body.next(|message| context.read(message))?;
            let Some(read) = read else { continue };
            let index = self.messages;
            self.messages += 1;
            match read {
                Read::Skip => {}
                Read::Route(peer, channel) => self.route = Some((sessions.key(peer), channel)),
                Read::Listen(claim) => self.listens.push(claim),
                Read::Proof(proof) => self.proof.note(proof)?,
                Read::Demand(demand) => return Ok(Some((index as u16, demand))),
            }
        }
    }

    /// The claims of a whole body: they are to stand as soon as the park does, whatever waits.
    pub fn list_claims(&mut self, config: &RouterConfig) -> Result<(), Rejection> {
        let mut input = self.gathered().unwrap_or_default();
        let (mut decoder, mut listens, mut proof) = (Decoder::new(), Vec::new(), None);
        while let Some(piece) = decoder.next(&mut input).map_err(|_| MALFORMED)? {
            let Piece::Message(message) = piece else { continue };
            if !is_sound(&message) {
                return Err(MALFORMED);
            }
            match message {
                Message::ListenReq(claim) => listens.push(claim),
                Message::Proof(_) if proof.is_some() => return Err(MALFORMED),
                Message::Proof(found) => proof = Some(found.into()),
                _ => {}
            }
        }
        if !decoder.at_boundary() || listens.len() > config.claims + EXCESS_CLAIMS {
            return Err(MALFORMED);
        }
        self.listens = listens;
        // The body is looked at again when its proof was checked.
        match proof {
            Some(proof) if self.proof.is_absent() => self.proof.note(proof),
            _ => Ok(()),
        }
    }

    /// Takes the claims of a park.
    pub fn take_claims(&mut self) -> Vec<ListenReq> {
        std::mem::take(&mut self.listens)
    }
}

impl Upload {
    /// Where messages for a peer go, as ROUTE said.
    pub fn route(&self) -> Result<(SessionKey, ChannelRef), Rejection> {
        self.route.ok_or(MALFORMED)
    }

    /// Takes a message in hand, to go to a peer; to be dropped if the peer gets no more of this upload.
    pub fn begin(
        &mut self,
        now: u64,
        index: u16,
        (peer, channel): (SessionKey, ChannelRef),
        content: Content,
    ) {
        debug_assert!(self.in_hand.is_none(), "one message after the other");
        let arrived = Some(now);
        let mut message = InHand { arrived, index, peer, channel, content };
        if let Some(&status) = self.refused.get(&peer) {
            message.drop_rest(status);
        }
        self.in_hand = Some(message);
        self.speaks = true;
    }

    /// Something of the message in hand is about to be written: since when the message is there, if nothing of it was
    /// written before.
    pub fn begin_writing(&mut self) -> Option<u64> {
        self.in_hand.as_mut()?.arrived.take()
    }

    /// A message has its verdict already.
    pub fn speak(&mut self) {
        self.speaks = true;
    }

    pub fn in_hand(&self) -> Option<&InHand> {
        self.in_hand.as_ref()
    }

    /// Octets held of the message in hand.
    pub fn in_hand_held(&self) -> usize {
        self.in_hand.as_ref().map_or(0, InHand::held)
    }

    /// The message in hand is dealt with, or given up.
    pub fn take_in_hand(&mut self) -> Option<InHand> {
        self.in_hand.take()
    }

    /// Octets that can be read for the message in hand.
    pub fn there(&self) -> usize {
        self.body.unread().len()
    }

    /// Reads what the message in hand needs before it can go.
    pub fn pull(&mut self) -> Pulled {
        let Some(message) = &mut self.in_hand else { return Pulled::Missing };
        let unread = message.unread() as usize;
        match &mut message.content {
            Content::Control(_) => Pulled::Ready,
            Content::Stream { .. } if unread > 0 && self.body.unread().is_empty() => {
                Pulled::Missing
            }
            Content::Stream { .. } => Pulled::Ready,
            Content::Datagram { have, .. } => {
                let bytes = self.body.take(unread);
                have.extend_from_slice(&bytes);
                if bytes.len() < unread { Pulled::Missing } else { Pulled::Ready }
            }
            Content::Drop { status, left, done } => {
                *left -= self.body.take(unread).len() as u32;
                if *left == 0 { Pulled::Dropped(*status, *done) } else { Pulled::Missing }
            }
        }
    }

    /// Takes what is to be written of the data message in hand into `room` octets.
    pub fn slice(&mut self, room: usize) -> Option<Slice> {
        let message = self.in_hand.as_mut()?;
        let unread = message.unread() as usize;
        match &mut message.content {
            Content::Control(_) | Content::Drop { .. } => None,
            Content::Datagram { data, have } => {
                Some(Slice { data: *data, bytes: have.split().freeze(), is_last: true })
            }
            Content::Stream { data, done } => {
                let bytes = self.body.take(unread.min(room.saturating_sub(data_len(0))));
                let is_last = bytes.len() == unread;
                let flags = match is_last {
                    true => data.flags,
                    false => data.flags.without(DataFlags::FIN.with(DataFlags::ACK_NOW)),
                };
                let len = bytes.len() as u32;
                let data = Data { offset: data.offset + u64::from(*done), flags, len };
                *done += len;
                Some(Slice { data, bytes, is_last })
            }
        }
    }

    /// The peer of the message in hand does not get it, nor what follows for that peer in this upload:
    /// that would leave a gap. But nothing waited for the peer of a PROBE, nor for any peer of a park.
    pub fn refuse(&mut self, status: Status) {
        let is_send = self.is_send();
        let Some(message) = &mut self.in_hand else { return };
        if status != Status::Limited && !message.is_probe() && is_send {
            self.refused.insert(message.peer, status);
        }
        message.drop_rest(status);
    }

    /// Whether the message in hand may wait for its peer at all.
    pub fn may_wait(&self) -> bool {
        self.is_send() && self.in_hand.as_ref().is_some_and(|message| !message.is_probe())
    }

    /// Until when the message in hand waits for its peer.
    pub fn waits_until(&self) -> Option<u64> {
        self.patience.waits_until()
    }

    /// Lets the message in hand wait for its peer, for at most `wait` milliseconds. Until when; `None`
    /// if there is no patience left.
    pub fn begin_wait(&mut self, now: u64, wait: u64) -> Option<u64> {
        self.patience.begin(now, wait)
    }

    /// The message in hand waits no longer; false if the message did not wait.
    pub fn end_wait(&mut self, now: u64) -> bool {
        self.patience.end(now)
    }

    pub fn target(&self) -> Option<SessionKey> {
        self.target
    }

    pub fn set_target(&mut self, target: Option<SessionKey>) {
        self.target = target;
    }
}
