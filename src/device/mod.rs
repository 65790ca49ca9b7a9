//! The front for firmware: a session over **one** connection, without std, without an allocator and
//! without threads.
//!
//! ```text
//!  application ── Sockets: blocking calls ──▶ Device: poll ──▶ Link: the TCP connection of a
//!                 with a time-out             HTTP/1.1         network stack, or of a modem
//! ```
//!
//! [`Device`] makes one HTTP exchange after another. Each carries the octets that go, and waits at the
//! relay for those that come. [`Device::poll`] does all that can be done without waiting, and says when to
//! call it again. In between the application uses the session: [`Device::session`]. [`Sockets`] puts
//! calls that block, with a time-out, on top.
//!
//! When there is something to say while an exchange waits, the device speaks: it writes the first octets
//! of its next request behind the one that waits, which the relay takes for a sign to answer that one.
//! Where a proxy holds these octets back, the device finds that out, and remembers it until
//! [`Device::network_changed`]; of a proxy that [`RelayAddress::by_proxy`] names it is assumed from the
//! start. The device then waits in short exchanges soon after traffic, and says what there is to say when
//! they end; after more quiet it dials anew to speak.
//!
//! [`Device::fault`] tells what the link reported last, with the link's own error.
//!
//! A port to other hardware is a [`Link`].
//!
//! A program that says something and reads the answer:
//!
//! ```
//! # use byway::device::Link;
//! use byway::device::{Clock, Device, RelayAddress, Sockets};
//! use byway::session::{Purpose, Settings, Single, Storage};
//! use byway::{Endpoint, Error};
//! use embedded_io::{Read, Write};
//!
//! #[derive(Debug)]
//! struct Asking;
//!
//! impl Purpose for Asking {
//!     const LISTENS: bool = false;
//!     const DATAGRAMS: bool = false;
//! }
//!
//! fn ask<L: Link>(link: L, clock: impl Clock, secret: [u8; 16]) -> Result<u8, Error> {
//!     // In firmware storage and head are statics.
//!     let mut storage: Storage<1, 1024, 0, Single<Asking>> = Storage::new();
//!     let mut head = [0; 512];
//!     let relay = RelayAddress::new("relay.example:8080");
//!     let device = Device::new(storage.session(), link, relay, &mut head);
//!     let mut sockets = Sockets::new(device, clock);
//!     sockets.open(&Settings::new(secret, 1));
//!     let id = sockets.connect(Endpoint::try_from("camera:1")?, byway::Kind::Stream, b"")?;
//!     let mut stream = sockets.stream(id);
//!     stream.write_all(b"?")?;
//!     let mut answer = [0; 1];
//!     let n = stream.read(&mut answer)?;
//!     sockets.release(id);
//!     sockets.close(5_000)?;
//!     Ok(if n == 1 { answer[0] } else { b'-' })
//! }
//! ```

mod fault;
mod line;
mod link;
mod request;
mod sockets;
#[cfg(all(test, feature = "std"))]
mod tests;

use core::ops::Range;

use crate::error::Blocked;
use crate::http::head::ResponseHead;
use crate::http::refusal::UNREADABLE;
use crate::session::{Lane, Purpose, Session, Single};
use crate::trace::{debug, trace};
use fault::Trouble;
use line::{Line, NextRequest, Pipelining};
use request::Outgoing;

pub use fault::LinkFault;
pub use link::{Link, RelayAddress};
pub use sockets::{Clock, Sockets, StreamSocket};

/// How long octets behind a request that waits may bring no answer, in ms, beside the time of the
/// shortest exchange: many times as long as a relay takes to answer.
const SPEAK_MS: u64 = 250;

/// The time of the shortest exchange before there was one, in ms: that of a slow mobile network.
const SLOW_MS: u32 = 4_000;

/// How long a connection may be idle and be used again, in ms: below what proxies and address
/// translators keep it at least, a minute or more.
const IDLE_MS: u32 = 50_000;

/// A session and its only connection. See the [module](self).
///
/// `P` is the session's [`Purpose`].
#[derive(Debug)]
pub struct Device<'s, L: Link, P: Purpose> {
    session: Session<'s, Single<P>>,
    link: L,
    relay: RelayAddress<'s>,
    /// A request is gathered in the buffer, then the answer is read to it.
    buffer: &'s mut [u8],
    line: Line,
    next: NextRequest,
    pipelining: Pipelining,
    /// How long the exchange under way may be silent, in ms.
    silence_ms: u32,
    /// The shortest time from a request to its answer, in ms.
    shortest_ms: u32,
    /// When the last octet went or came, in ms.
    moved_at: u64,
    trouble: Option<Trouble<L::Error>>,
}

impl<'s, L: Link, P: Purpose> Device<'s, L, P> {
    /// Makes a device for the exchanges of `session`, which its owner opens. The heads of answers must
    /// fit `buffer`: 512 octets are enough for a relay's, and with most proxies and gateways.
    pub fn new(
        session: Session<'s, Single<P>>,
        link: L,
        relay: RelayAddress<'s>,
        buffer: &'s mut [u8],
    ) -> Self {
        Self {
            session,
            link,
            relay,
            buffer,
            line: Line::Down,
            next: NextRequest::Unsent,
            pipelining: Pipelining::assumed(relay.by_proxy),
            silence_ms: 0,
            shortest_ms: SLOW_MS,
            moved_at: 0,
            trouble: None,
        }
    }

    /// The session, for all that an application does. [`poll`](Self::poll) is to be called soon after.
    pub fn session(&mut self) -> &mut Session<'s, Single<P>> {
        &mut self.session
    }

    /// The link, for its owner's own calls.
    pub fn link(&mut self) -> &mut L {
        &mut self.link
    }

    /// The link's last error, and what the link was doing; `None` if a whole answer has come since. While
    /// [`Session::blocked`] says that there is no connection, this is the reason.
    pub fn fault(&self) -> Option<&LinkFault<L::Error>> {
        self.trouble.as_ref().map(|trouble| &trouble.fault)
    }

    /// Whether the link is given up, because its [`pause_ms`](Link::pause_ms) said so of its
    /// [`fault`](Self::fault): the device does not dial before [`network_changed`](Self::network_changed).
    pub fn is_given_up(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.again_at.is_none())
    }

    /// Does all that can be done without waiting for the relay, and returns when to call it again at the
    /// latest, in ms; `None`: nothing is due before the application does something. It is also to be
    /// called whenever the link has something to read. `now` is in ms and never goes back.
    ///
    /// The call blocks while the link dials, and while the link takes no more octets.
    pub fn poll(&mut self, now: u64) -> Option<u64> {
        self.session.handle_timeout(now);
        if let Line::Requested { reused } = self.line {
            self.line = Line::Waiting { reused, since: self.moved_at };
            // Dialling and writing may have taken long, and no relay could answer before.
            self.moved_at = now;
        }
        if self.receive(now) {
            // The application has its turn first, so that its words go with the next request.
            return Some(now);
        }
        if self.line.is_busy() {
            self.attend(now);
        }
        if !self.line.is_busy() {
            let pauses = self.trouble.as_ref().and_then(|trouble| trouble.pauses(now));
            if pauses.is_some() {
                return pauses;
            }
            self.begin(now);
        }
        let mut due = self.session.poll_timeout(Lane::Park).unwrap_or(u64::MAX);
        if self.line.is_busy() {
            due = due.min(self.silent_at());
            due = due.min(self.answer_by().unwrap_or(u64::MAX));
        }
        (due != u64::MAX).then_some(due)
    }

    /// Sends what there is to say. Where a proxy holds octets back, no exchange begins to wait before the
    /// application needs one: the application may be about to say something.
    fn settle(&mut self, now: u64) {
        if self.pipelining != Pipelining::HeldBack || self.session.has_to_say() {
            self.poll(now);
        }
    }

    /// Tells the device that it has another address or network: the exchange under way is broken off, the
    /// link is dialled anew, and all that was found out about the path is forgotten.
    pub fn network_changed(&mut self, now: u64) {
        debug!("the network has changed");
        self.session.network_changed(now);
        self.pipelining = Pipelining::assumed(self.relay.by_proxy);
        self.shortest_ms = SLOW_MS;
        self.trouble = None;
        if self.line.is_busy() {
            self.break_off(now);
        }
        self.line = Line::Down;
    }

    /// When the exchange under way will have failed by silence, in ms.
    fn silent_at(&self) -> u64 {
        self.moved_at + u64::from(self.silence_ms)
    }

    /// When the octets behind the request that waits are to be answered, in ms. A line that is always up
    /// is not hung up, hence nothing is due there.
    fn answer_by(&self) -> Option<u64> {
        match self.next {
            NextRequest::Unanswered { by } if L::HANGS_UP => Some(by),
            NextRequest::Unanswered { .. } | NextRequest::Unsent | NextRequest::Begun => None,
        }
    }

    /// Sends the session's next request, if there is one.
    #[inline(never)]
    fn begin(&mut self, now: u64) {
        let connected = matches!(self.line, Line::Idle);
        // Where each exchange has a connection of its own, hanging up to speak costs nothing.
        self.session.set_held_back(connected && self.pipelining == Pipelining::HeldBack);
        let Some(exchange) = self.session.poll_exchange(now, Lane::Park) else { return };
        let idle = now.saturating_sub(self.moved_at) > exchange.idle_ms.min(IDLE_MS).into();
        let reused = connected && !self.has_ended(now) && !idle;
        if !reused {
            if let Err(error) = self.link.dial() {
                self.line = Line::Down;
                self.note(now, LinkFault::Dial(error));
                self.session.handle_failure(now, Lane::Park, Blocked::Connect, false);
                return;
            }
            debug!("dialled");
            if L::HANGS_UP {
                self.next = NextRequest::Unsent;
            }
        }
        let is_begun = !matches!(self.next, NextRequest::Unsent);
        trace!("request {} of {} octets", exchange.seq, exchange.len);
        self.line = Line::Requested { reused };
        self.next = NextRequest::Unsent;
        self.silence_ms = exchange.silence_ms;
        self.moved_at = now;
        let mut out = Outgoing::new(&mut self.link, self.buffer);
        out.head(&self.relay, exchange.seq, exchange.len, is_begun);
        loop {
            let n = self.session.poll_body(now, Lane::Park, out.room());
            if n == 0 {
                break;
            }
            out.wrote(n);
        }
        let sent = out.finish();
        if let Err(error) = sent {
            self.lose(now, error.map(LinkFault::Write));
        }
    }

    /// Whether a connection without an exchange has ended: nothing else can be there to be read.
    fn has_ended(&mut self, now: u64) -> bool {
        self.link.read_ready().unwrap_or_else(|error| {
            self.note(now, LinkFault::Read(error));
            true
        })
    }

    /// Reads what is there of the answer; whether the answer is whole.
    fn receive(&mut self, now: u64) -> bool {
        while self.line.is_busy() {
            let end = if let Line::Head { end, .. } = self.line { end } else { 0 };
            let came = match self.link.read_ready() {
                Ok(false) => return false,
                Ok(true) => self.link.read(self.buffer.get_mut(end..).unwrap_or_default()),
                Err(error) => Err(error),
            };
            let n = match came {
                Ok(0) => return self.lose(now, None),
                Ok(n) => n,
                Err(error) => return self.lose(now, Some(LinkFault::Read(error))),
            };
            if let Line::Waiting { since, .. } = self.line {
                self.line = Line::Head { start: 0, end: 0 };
                self.heard(now.saturating_sub(since));
            }
            self.moved_at = now;
            match self.take(n).and_then(|body| self.hand_over(now, body)) {
                Ok(false) => {}
                Ok(true) => return true,
                Err(cause) => self.fail(now, cause),
            }
        }
        false
    }

    /// Notes that the first octets of an answer came, `took` ms after its request.
    fn heard(&mut self, took: u64) {
        if self.answer_by().is_some() {
            self.next = NextRequest::Begun;
            self.pipelining = Pipelining::Passes;
        }
        self.shortest_ms = self.shortest_ms.min(took.min(SLOW_MS.into()) as u32);
    }

    /// Takes `n` octets more of the answer, which are in the buffer; where in the buffer the body's are.
    #[inline(never)]
    fn take(&mut self, n: usize) -> Result<Range<usize>, Blocked> {
        let Line::Head { start, end } = &mut self.line else { return Ok(0..n) };
        let came = *end..*end + n;
        *end = came.end;
        // Without the end of a line a head cannot be whole.
        #[expect(clippy::manual_contains, reason = "`contains` is fast, in 130 octets more of ROM")]
        let has_line =
            self.buffer.get(came).unwrap_or_default().iter().any(|octet| *octet == b'\n');
        let by_proxy = self.relay.by_proxy;
        loop {
            let octets = self.buffer.get(*start..*end).unwrap_or_default();
            let head = if has_line { ResponseHead::read(octets, by_proxy)? } else { None };
            let Some(head) = head else { break };
            *start += head.len;
            if let Some(body) = head.body {
                let octets = *start..*end;
                self.line = Line::Body { body, keep: head.keep };
                return Ok(octets);
            }
        }
        // A head that does not fit the buffer is no relay's.
        if *end < self.buffer.len() { Ok(0..0) } else { Err(UNREADABLE) }
    }

    /// Gives `octets` of the buffer, which are of the answer's body, to the session; whether the answer is
    /// whole.
    // A frame of its own keeps the session's stack from being added to that of other steps.
    #[inline(never)]
    fn hand_over(&mut self, now: u64, octets: Range<usize>) -> Result<bool, Blocked> {
        let Line::Body { body, keep } = &mut self.line else { return Ok(false) };
        let mut input = self.buffer.get(octets).unwrap_or_default();
        loop {
            let piece = body.next(&mut input)?;
            if piece.is_empty() {
                break;
            }
            self.session.handle_response(now, Lane::Park, piece)?;
        }
        if !body.is_over(false) {
            return Ok(false);
        }
        let keep = *keep && input.is_empty();
        self.finish(now, keep);
        Ok(true)
    }

    /// Ends the exchange under way, whose answer is whole as HTTP says. `keep`: the connection serves
    /// another exchange.
    fn finish(&mut self, now: u64, keep: bool) {
        let is_whole = self.session.handle_finished(now, Lane::Park).is_ok();
        trace!("the answer is over; whole: {is_whole}, another exchange may follow: {keep}");
        self.line = if is_whole && keep { Line::Idle } else { Line::Down };
        if is_whole {
            self.trouble = None;
        }
    }

    /// Speaks if there is something to say while the answer is awaited, and ends an exchange whose time is
    /// over.
    fn attend(&mut self, now: u64) {
        let speaks = self.session.poll_wake().is_some();
        let is_waiting = matches!(self.line, Line::Waiting { .. });
        if speaks && is_waiting && self.next == NextRequest::Unsent {
            if self.pipelining == Pipelining::HeldBack {
                return self.break_off(now);
            }
            if let Err(error) = request::speak(&mut self.link) {
                self.lose(now, error.map(LinkFault::Write));
                return;
            }
            let by = now + SPEAK_MS + u64::from(self.shortest_ms);
            trace!("speaks behind the request that waits");
            self.next = NextRequest::Unanswered { by };
        }
        if self.answer_by().is_some_and(|by| by <= now) {
            self.pipelining = match self.pipelining {
                Pipelining::Passes => Pipelining::Doubted,
                Pipelining::Doubted | Pipelining::HeldBack => Pipelining::HeldBack,
            };
            debug!("no answer to octets behind a request: {:?}", self.pipelining);
            self.break_off(now);
        } else if self.silent_at() <= now {
            self.fail(now, Blocked::Silence);
        }
    }

    /// Keeps a fault that the link reported, and asks the link for how long not to dial.
    fn note(&mut self, now: u64, fault: LinkFault<L::Error>) {
        let times = self.trouble.as_ref().map_or(0, |trouble| trouble.times).saturating_add(1);
        let pause = self.link.pause_ms(&fault, times);
        match pause {
            Some(ms) => debug!("fault {times} of the link in a row: {fault:?}; a pause of {ms} ms"),
            None => debug!("fault {times} of the link in a row: {fault:?}; given up"),
        }
        let again_at = pause.map(|ms| now + u64::from(ms));
        self.trouble = Some(Trouble { fault, times, again_at });
    }

    /// Ends the exchange whose connection ended, by itself or by a fault of the link; whether the answer is
    /// whole nevertheless.
    fn lose(&mut self, now: u64, fault: Option<LinkFault<L::Error>>) -> bool {
        if let Some(fault) = fault {
            self.note(now, fault);
        }
        match &self.line {
            Line::Body { body, .. } if body.is_over(true) => {
                self.finish(now, false);
                return true;
            }
            // The connection was dead before, which says nothing of the path.
            Line::Requested { reused: true } | Line::Waiting { reused: true, .. } => {
                self.break_off(now);
            }
            _ => self.fail(now, Blocked::Cut),
        }
        false
    }

    /// Ends the exchange under way, which failed.
    fn fail(&mut self, now: u64, cause: Blocked) {
        debug!("the exchange failed: {cause}");
        self.line = Line::Down;
        self.session.handle_failure(now, Lane::Park, cause, true);
    }

    /// Ends the exchange under way, which is made again for reasons that say nothing of the path.
    fn break_off(&mut self, now: u64) {
        debug!("the exchange is broken off, to be made again");
        self.line = Line::Down;
        self.session.break_exchange(now, Lane::Park);
    }
}
