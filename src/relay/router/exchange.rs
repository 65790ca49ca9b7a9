//! An exchange: a connection's request, and its response.

use std::sync::Arc;

use bytes::BytesMut;

use super::super::admission::Grant;
use super::accounts::AccountId;
use super::control::encoded;
use super::key::SessionKey;
use super::response::Response;
use crate::wire::{Hello, HelloFlags, Message, OLDEST_VERSION, Status, VERSION, Verdict};

/// Whether the relay speaks that version of the protocol.
pub(super) fn is_spoken(version: u8) -> bool {
    (OLDEST_VERSION..=VERSION).contains(&version)
}

/// What a request is, as its HELLO says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestKind {
    /// A send: answered as soon as every message in it was dealt with.
    Send,
    /// A park: waits for data and control; its own messages wait for nothing.
    Park,
    /// A park that is its session's send as well: the client has one socket.
    Single,
}

impl RequestKind {
    pub fn of(hello: &Hello) -> Self {
        match hello.hold_ms {
            0 => Self::Send,
            _ if hello.flags.has(HelloFlags::SINGLE) => Self::Single,
            _ => Self::Park,
        }
    }

    /// Whether the request has the place of a park, once its body is whole.
    pub fn is_park(self) -> bool {
        self != Self::Send
    }

    /// Whether the request counts among its session's sends, and its messages wait for their peers.
    pub fn is_send(self) -> bool {
        self != Self::Park
    }
}

/// Why only sessions that are known are admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Shortage {
    /// There are no places for others.
    Places,
    /// Its origin makes too many others a second.
    Rate,
}

/// The session whose request an exchange is.
///
/// ```text
///  Anyone ────┐ HELLO            there is room for the session
///             ├───────▶ Claimed ───────────────────────────────▶ Session
///  KnownOnly ─┘
///      └─ HELLO of another session ─▶ Refused
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Requester {
    /// HELLO was not read.
    Anyone,
    /// HELLO was not read, and there is room only for sessions that are known.
    KnownOnly(Shortage),
    /// HELLO was read; there was room only for sessions that are known, and its session is not.
    Refused(Shortage),
    /// HELLO was read, and its session does not count the exchange, which is only told why.
    Claimed(SessionKey),
    /// The session counts the exchange.
    Session(SessionKey),
}

/// How far a request is answered.
///
/// ```text
///          a park's body is whole          there is something for it          END is written
///  Reading ──────────────────────▶ Parked ───────────────────────────▶ Open ─────────────────▶ Ended
///     │                               │                                 │                      ▲ ▲ ▲
///     │                               │              the next message does not fit ─▶ Full ────┘ │ │
///     │                               └── another takes its place; the relay shuts down ─────────┘ │
///     └── a send; a park that does not take its place ─────────────────────────────────────────────┘
/// ```
#[derive(Debug)]
pub(super) enum AnswerStage {
    /// The body is being read.
    Reading,
    /// The park waits: nothing was written.
    Parked(Park),
    /// The answer to the park is being written.
    Open(Park),
    /// The same, and nothing more fits: the answer ends before the router is done with this call.
    Full(Park),
    /// END is queued.
    Ended,
}

/// What belongs to a park that took its place.
#[derive(Debug)]
pub(super) struct Park {
    /// When its hold is over.
    pub hold_until: u64,
    /// Of an answer that stays open.
    pub ticks: Option<Ticks>,
    /// Of a park with SINGLE.
    pub single: Option<SingleMessages>,
}

/// The TICKs of an answer that stays open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticks {
    /// When the answer began.
    pub began: u64,
    /// When the next TICK is due.
    pub due: u64,
}

impl Park {
    /// Whether the messages of a park with SINGLE are being dealt with.
    pub fn speaks(&self) -> bool {
        matches!(self.single, Some(SingleMessages::Speaks { .. }))
    }
}

/// How far the messages of a park with SINGLE are.
///
/// ```text
///  Spoke ── the park has its place ─▶ Speaks ── all have verdicts, or the park ends ─▶ Spoke
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SingleMessages {
    /// The messages are being dealt with; behind them the session ends if there was BYE.
    Speaks { bye: bool },
    /// No message is to be dealt with: not yet, or not any longer.
    Spoke,
}

/// The server's side of an exchange.
#[derive(Debug)]
pub(super) struct ServerExchange {
    account: AccountId,
    client: Requester,
    /// What the exchange may do; `None`: everything.
    grant: Option<Arc<Grant>>,
    seq: u64,
    /// Of the protocol, as its HELLO has it.
    version: u8,
    /// Verdicts that were not written yet.
    verdicts: BytesMut,
    stage: AnswerStage,
    pub response: Response,
    /// When the response was last written or taken from.
    active: u64,
    /// When the exchange is to be looked at.
    deadline: Option<u64>,
    /// Whether the exchange stands in the queue of wakes.
    is_queued: bool,
}

impl ServerExchange {
    /// A request, which arrived.
    pub fn new(now: u64, account: AccountId) -> Self {
        Self {
            account,
            client: Requester::Anyone,
            grant: None,
            seq: 0,
            version: VERSION,
            verdicts: BytesMut::new(),
            stage: AnswerStage::Reading,
            response: Response::new(),
            active: now,
            deadline: None,
            is_queued: false,
        }
    }

    /// When the exchange is to be looked at, for the table of these times.
    pub fn deadline_mut(&mut self) -> &mut Option<u64> {
        &mut self.deadline
    }

    /// The exchange gets a place in the queue of wakes; false if it has one.
    pub fn queue(&mut self) -> bool {
        !std::mem::replace(&mut self.is_queued, true)
    }

    /// The exchange left the queue of wakes.
    pub fn unqueue(&mut self) {
        self.is_queued = false;
    }

    /// HELLO was read: notes its number and the length that the answer may have.
    pub fn greet(&mut self, hello: &Hello) {
        self.seq = hello.seq;
        if is_spoken(hello.version) {
            self.version = hello.version;
        }
        self.response.limit(hello.max_response);
    }

    /// For whom it counts.
    pub fn account(&self) -> AccountId {
        self.account
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The version of the protocol in which the exchange is answered.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Notes the session of the HELLO; false if the session is refused, as there is room only for known
    /// ones.
    pub fn claim(&mut self, peer: SessionKey, is_known: bool) -> bool {
        self.client = match self.client {
            Requester::KnownOnly(why) if !is_known => Requester::Refused(why),
            _ => Requester::Claimed(peer),
        };
        self.refusal().is_none()
    }

    /// The session counts the exchange.
    pub fn admit(&mut self, peer: SessionKey) {
        self.client = Requester::Session(peer);
    }

    /// There is room for the exchange only if it is of a session that is known.
    pub fn admit_known_only(&mut self, why: Shortage) {
        if self.client == Requester::Anyone {
            self.client = Requester::KnownOnly(why);
        }
    }

    /// The exchange may do no more than this.
    pub fn confine(&mut self, grant: Arc<Grant>) {
        self.grant = Some(grant);
    }

    /// What the exchange may do; `None`: everything.
    pub fn grant(&self) -> Option<&Arc<Grant>> {
        self.grant.as_ref()
    }

    /// Why the session was refused.
    pub fn refusal(&self) -> Option<Shortage> {
        match self.client {
            Requester::Refused(why) => Some(why),
            Requester::Anyone
            | Requester::KnownOnly(_)
            | Requester::Claimed(_)
            | Requester::Session(_) => None,
        }
    }

    /// The session that counts the exchange.
    pub fn session(&self) -> Option<SessionKey> {
        match self.client {
            Requester::Session(peer) => Some(peer),
            Requester::Anyone
            | Requester::KnownOnly(_)
            | Requester::Refused(_)
            | Requester::Claimed(_) => None,
        }
    }

    /// The session of the HELLO, whether or not it counts the exchange.
    pub fn claimant(&self) -> Option<SessionKey> {
        match self.client {
            Requester::Session(peer) | Requester::Claimed(peer) => Some(peer),
            Requester::Anyone | Requester::KnownOnly(_) | Requester::Refused(_) => None,
        }
    }

    /// Keeps a verdict for the answer.
    pub fn keep_verdict(&mut self, index: u16, status: Status, bytes: u32) {
        let verdict = Message::Verdict(Verdict { index, status, bytes });
        encoded(&verdict, |octets| self.verdicts.extend_from_slice(octets));
    }

    /// Takes the verdicts that were not written yet. Those of a park with SINGLE go together: none
    /// while its messages are being dealt with.
    pub fn take_verdicts(&mut self) -> BytesMut {
        match self.park().is_some_and(Park::speaks) {
            true => BytesMut::new(),
            false => std::mem::take(&mut self.verdicts),
        }
    }

    /// The park, from when it took its place until it ends.
    pub fn park(&self) -> Option<&Park> {
        match &self.stage {
            AnswerStage::Parked(park) | AnswerStage::Open(park) | AnswerStage::Full(park) => {
                Some(park)
            }
            AnswerStage::Reading | AnswerStage::Ended => None,
        }
    }

    fn park_mut(&mut self) -> Option<&mut Park> {
        match &mut self.stage {
            AnswerStage::Parked(park) | AnswerStage::Open(park) | AnswerStage::Full(park) => {
                Some(park)
            }
            AnswerStage::Reading | AnswerStage::Ended => None,
        }
    }

    pub fn stage(&self) -> &AnswerStage {
        &self.stage
    }

    /// When the response was last written or taken from.
    pub fn active(&self) -> u64 {
        self.active
    }

    /// The response was written or taken from, or may be taken from.
    pub fn note_activity(&mut self, now: u64) {
        self.active = now;
    }

    /// The body is whole, and the park takes its place.
    pub fn take_place(&mut self, park: Park) {
        debug_assert!(matches!(self.stage, AnswerStage::Reading), "a park takes its place once");
        self.stage = AnswerStage::Parked(park);
    }

    /// The hold of the park ends at `until`, if not before; false if this is no park that has its place.
    pub fn end_hold_by(&mut self, until: u64) -> bool {
        let Some(park) = self.park_mut() else { return false };
        park.hold_until = park.hold_until.min(until);
        true
    }

    /// The messages of a park with SINGLE are dealt with from now on; behind them comes `bye`.
    pub fn begin_speaking(&mut self, bye: bool) {
        if let Some(park) = self.park_mut() {
            park.single = Some(SingleMessages::Speaks { bye });
        }
    }

    /// Sets when the next TICK is due.
    pub fn set_next_tick(&mut self, at: u64) {
        if let Some(ticks) = self.park_mut().and_then(|park| park.ticks.as_mut()) {
            ticks.due = at;
        }
    }

    /// Whether the park waits, and nothing was written.
    pub fn is_parked(&self) -> bool {
        matches!(self.stage, AnswerStage::Parked(_))
    }

    /// Whether the answer to the park is being written.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, AnswerStage::Open(_) | AnswerStage::Full(_))
    }

    pub fn is_full(&self) -> bool {
        matches!(self.stage, AnswerStage::Full(_))
    }

    pub fn is_ended(&self) -> bool {
        matches!(self.stage, AnswerStage::Ended)
    }

    /// Whether its response is open and stays so.
    pub fn is_streaming(&self) -> bool {
        self.is_open() && self.park().is_some_and(|park| park.ticks.is_some())
    }

    /// The answer to the park begins; false if the exchange is no park that waits.
    pub fn open(&mut self) -> bool {
        match std::mem::replace(&mut self.stage, AnswerStage::Ended) {
            AnswerStage::Parked(park) => {
                self.stage = AnswerStage::Open(park);
                true
            }
            other => {
                self.stage = other;
                false
            }
        }
    }

    /// The next message does not fit into the answer.
    pub fn fill(&mut self) {
        self.stage = match std::mem::replace(&mut self.stage, AnswerStage::Ended) {
            AnswerStage::Open(park) => AnswerStage::Full(park),
            other => other,
        };
    }

    /// END is written, or nothing at all will be.
    pub fn end(&mut self) {
        self.stage = AnswerStage::Ended;
    }

    /// The messages of a park with SINGLE are dealt with, or given up. Whether BYE was with them;
    /// `None` if that was so already.
    pub fn stop_speaking(&mut self) -> Option<bool> {
        let single = self.park_mut()?.single.as_mut()?;
        match std::mem::replace(single, SingleMessages::Spoke) {
            SingleMessages::Speaks { bye } => Some(bye),
            SingleMessages::Spoke => None,
        }
    }
}
