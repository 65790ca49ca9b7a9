//! The front for firmware: a session over **one** connection, without std, without an allocator and
//! without threads.
//!
//! ```text
//!  application ── Sockets: blocking calls ──▶ Device: poll ──▶ Link: the TCP connection of a
//!                 with a time-out             HTTP/1.1         network stack, or of a modem
//! ```
//!
//! [`Device`] makes one HTTP exchange after another, each of which waits at the relay for what
//! comes and carries what goes; [`Device::poll`] does all that can be done without waiting, and says
//! when to call it again. What the application does in between, it does with the session:
//! [`Device::session`]. [`Sockets`] puts calls that block, with a time-out, on top.
//!
//! While an exchange waits and there is something to say, the device writes the first octets of its
//! next request behind the one that waits, which the relay takes for a sign to answer that. Where
//! something on the way holds them back, the device notices, and remembers it until
//! [`Device::network_changed`], as it does behind a proxy that it was told of: then it waits in short
//! exchanges soon after traffic, at whose end it speaks, and dials anew to speak only after quiet.
//!
//! What the link reports is told by [`Device::fault`], with the link's own error.
//!
//! A [`Link`] is what is left to write.
//!
//! A program that says something and reads the answer:
//!
//! ```
//! # use byway::device::Link;
//! use byway::device::{Clock, Device, Relay, Sockets};
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
//!     // In firmware these two are statics.
//!     let mut storage: Storage<1, 1024, 0, Single<Asking>> = Storage::new();
//!     let mut head = [0; 512];
//!     let relay = Relay::new("relay.example:8080");
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
mod link;
mod request;
mod sockets;
#[cfg(all(test, feature = "std"))]
mod tests;

use crate::error::Blocked;
use crate::http::body::BodyReader;
use crate::http::head::Head;
use crate::session::{Lane, Purpose, Session, Single};
use fault::Trouble;
use request::Outgoing;

pub use fault::Fault;
pub use link::{Link, Relay};
pub use sockets::{Clock, Sockets, Stream};

/// How long octets behind a request that waits may bring no answer, in ms, beside the shortest
/// exchange: what a relay takes for it, many times over.
const SPEAK_MS: u64 = 250;

/// What the shortest exchange counts as before there was one, in ms: a slow mobile network's.
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
    relay: Relay<'s>,
    /// A request is written through it, then the answer read.
    buffer: &'s mut [u8],
    /// Where in it an answer's head begins, behind interim ones, and where what came of it ends.
    from: usize,
    have: usize,
    /// The answer's body, once its head was read.
    body: Option<BodyReader>,
    /// An exchange is under way: its request is out.
    active: bool,
    /// Something of its answer came.
    heard: bool,
    /// The connection is up; after this exchange it still is; it had an exchange before.
    connected: bool,
    keep: bool,
    reused: bool,
    /// The next request's first octets are out.
    spoken: bool,
    /// Octets behind a request do not reach the relay.
    hindered: bool,
    /// Times in a row that what was spoken was not answered soon.
    unanswered: u8,
    silence_ms: u32,
    shortest_ms: u32,
    /// The request went out within the last call.
    begun: bool,
    asked_at: u64,
    /// When the last octet went or came,
    moved_at: u64,
    /// and by when what was spoken is to be answered; 0: nothing was.
    answer_by: u64,
    /// A whole answer came within this call.
    answered: bool,
    trouble: Option<Trouble<L::Error>>,
}

impl<'s, L: Link, P: Purpose> Device<'s, L, P> {
    /// A device that makes the exchanges of `session`, which is opened by its owner. The heads of
    /// answers must fit `buffer`: 512 octets do for a relay's, and with most proxies and gateways.
    pub fn new(
        session: Session<'s, Single<P>>,
        link: L,
        relay: Relay<'s>,
        buffer: &'s mut [u8],
    ) -> Self {
        Self {
            session,
            link,
            relay,
            buffer,
            from: 0,
            have: 0,
            body: None,
            active: false,
            heard: false,
            connected: false,
            keep: false,
            reused: false,
            spoken: false,
            hindered: relay.by_proxy,
            unanswered: 0,
            silence_ms: 0,
            shortest_ms: SLOW_MS,
            begun: false,
            asked_at: 0,
            moved_at: 0,
            answer_by: 0,
            answered: false,
            trouble: None,
        }
    }

    /// The session, for everything that an application does. [`poll`](Self::poll) is to be called
    /// soon after.
    pub fn session(&mut self) -> &mut Session<'s, Single<P>> {
        &mut self.session
    }

    /// The link, to look at.
    pub fn link(&mut self) -> &mut L {
        &mut self.link
    }

    /// The link's last error, and what it did then; `None` once a whole answer has come since. While
    /// [`Session::blocked`] says that there is no connection, it tells why.
    pub fn fault(&self) -> Option<&Fault<L::Error>> {
        self.trouble.as_ref().map(|trouble| &trouble.fault)
    }

    /// Whether the link is given up, as its [`pause_ms`](Link::pause_ms) said of its
    /// [`fault`](Self::fault): nothing is dialled before [`network_changed`](Self::network_changed).
    pub fn is_given_up(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.again_at.is_none())
    }

    /// Does all that can be done without waiting for the relay, and says when to call it again at the
    /// latest, in ms; `None`: nothing is due before the application does something. It is to be
    /// called whenever the link has something to read, too. `now` is in ms, not 0, and never goes
    /// back.
    ///
    /// It blocks while the link dials, and while it takes no more octets.
    pub fn poll(&mut self, now: u64) -> Option<u64> {
        self.session.handle_timeout(now);
        if core::mem::take(&mut self.begun) {
            // Dialling and writing may have taken long; nobody could answer before.
            self.moved_at = now;
        }
        if self.active {
            self.receive(now);
        }
        if self.active {
            self.attend(now);
        }
        if core::mem::take(&mut self.answered) {
            // The application has its turn first: what it says goes with the next request.
            return Some(now);
        }
        if !self.active {
            let pauses = self.trouble.as_ref().and_then(|trouble| trouble.pauses(now));
            if pauses.is_some() {
                return pauses;
            }
            self.begin(now);
        }
        let mut due = self.session.poll_timeout(Lane::Park).unwrap_or(u64::MAX);
        if self.active {
            due = due.min(self.silent_at());
            if self.answer_by != 0 {
                due = due.min(self.answer_by);
            }
        }
        (due != u64::MAX).then_some(due)
    }

    /// Sends what there is to say. Where words are held back nothing begins to wait before the
    /// application asks for something that has to: it may be about to say something.
    fn settle(&mut self, now: u64) {
        if !self.hindered || self.session.has_to_say() {
            self.poll(now);
        }
    }

    /// The device has another address or network: what is under way is broken off, dialled anew, and
    /// what was found out of the path is forgotten.
    pub fn network_changed(&mut self, now: u64) {
        self.session.network_changed(now);
        self.hindered = self.relay.by_proxy;
        self.unanswered = 0;
        self.shortest_ms = SLOW_MS;
        self.trouble = None;
        if self.active {
            self.break_off(now);
        }
        self.connected = false;
    }

    /// When the exchange under way has failed by silence.
    fn silent_at(&self) -> u64 {
        self.moved_at + u64::from(self.silence_ms)
    }

    /// Sends the session's next request, if there is one.
    #[inline(never)]
    fn begin(&mut self, now: u64) {
        // Where each exchange has a connection of its own, hanging up to speak costs nothing.
        self.session.set_held_back(self.hindered && self.connected);
        let Some(exchange) = self.session.poll_exchange(now, Lane::Park) else { return };
        let idle = now.saturating_sub(self.moved_at) > exchange.idle_ms.min(IDLE_MS).into();
        if self.connected {
            // What is there to be read now can only be its end.
            let ends = self.link.read_ready().unwrap_or_else(|error| {
                self.note(now, Fault::Read(error));
                true
            });
            self.connected = !(idle || ends);
        }
        self.reused = self.connected;
        if !self.connected {
            if let Err(error) = self.link.dial() {
                self.note(now, Fault::Dial(error));
                self.session.handle_failure(now, Lane::Park, Blocked::Connect, false);
                return;
            }
            self.connected = true;
            self.spoken &= !L::HANGS_UP;
        }
        let mut out = Outgoing::new(&mut self.link, self.buffer);
        out.head(&self.relay, exchange.seq, exchange.len, self.spoken);
        loop {
            let n = self.session.poll_body(now, Lane::Park, out.room());
            if n == 0 {
                break;
            }
            out.wrote(n);
        }
        let sent = out.finish();
        self.active = true;
        self.heard = false;
        self.spoken = false;
        self.from = 0;
        self.have = 0;
        self.body = None;
        self.silence_ms = exchange.silence_ms;
        self.begun = true;
        self.asked_at = now;
        self.moved_at = now;
        self.answer_by = 0;
        if let Err(error) = sent {
            self.lose(now, error.map(Fault::Write));
        }
    }

    /// Takes what is there of the answer.
    fn receive(&mut self, now: u64) {
        while self.active {
            let came = match self.link.read_ready() {
                Ok(false) => return,
                Ok(true) => self.link.read(self.buffer.get_mut(self.have..).unwrap_or_default()),
                Err(error) => Err(error),
            };
            let n = match came {
                Ok(0) => return self.lose(now, None),
                Ok(n) => n,
                Err(error) => return self.lose(now, Some(Fault::Read(error))),
            };
            if !self.heard {
                self.heard = true;
                if self.answer_by != 0 {
                    self.unanswered = 0;
                }
                let took = now.saturating_sub(self.asked_at);
                self.shortest_ms = self.shortest_ms.min(took.min(SLOW_MS.into()) as u32);
            }
            self.moved_at = now;
            self.answer_by = 0;
            if let Err(cause) = self.take(now, n) {
                self.fail(now, cause);
            }
        }
    }

    /// Takes `n` octets more of the answer, which stand in the buffer.
    fn take(&mut self, now: u64, n: usize) -> Result<(), Blocked> {
        let end = self.have + n;
        // A line at least, or a head cannot be whole.
        let line = self.buffer.get(self.have..end).unwrap_or_default().contains(&b'\n');
        while self.body.is_none() {
            let octets = self.buffer.get(self.from..end).unwrap_or_default();
            let head = if line { Head::read(octets, self.relay.by_proxy)? } else { None };
            let Some(head) = head else {
                self.have = end;
                // A head that does not fit is somebody else's.
                return if end < self.buffer.len() { Ok(()) } else { Err(Blocked::Foreign) };
            };
            self.from += head.len;
            self.body = head.body;
            self.keep = head.keep;
        }
        let from = core::mem::take(&mut self.from);
        self.have = 0;
        self.hand_over(now, from, end)
    }

    /// Gives what stands in the buffer of the answer's body to the session.
    // What the session needs of the stack is not to be added to what other steps need.
    #[inline(never)]
    fn hand_over(&mut self, now: u64, from: usize, end: usize) -> Result<(), Blocked> {
        let mut input = self.buffer.get(from..end).unwrap_or_default();
        let Some(body) = &mut self.body else { return Ok(()) };
        loop {
            let piece = body.next(&mut input)?;
            if piece.is_empty() {
                break;
            }
            self.session.handle_response(now, Lane::Park, piece)?;
        }
        if body.is_over(false) {
            self.keep &= input.is_empty();
            self.finish(now);
        }
        Ok(())
    }

    /// The answer is whole as HTTP says.
    fn finish(&mut self, now: u64) {
        self.active = false;
        self.answered = true;
        let whole = self.session.handle_finished(now, Lane::Park).is_ok();
        self.connected = whole && self.keep;
        if whole {
            self.trouble = None;
        }
    }

    /// Does what the session wants and the clock says while the answer is awaited.
    fn attend(&mut self, now: u64) {
        let speaks = self.session.poll_wake().is_some();
        if speaks && !self.heard && !self.spoken {
            if self.hindered {
                return self.break_off(now);
            }
            if let Err(error) = request::speak(&mut self.link) {
                return self.lose(now, error.map(Fault::Write));
            }
            self.spoken = true;
            self.answer_by = now + SPEAK_MS + u64::from(self.shortest_ms);
        }
        if L::HANGS_UP && self.answer_by != 0 && self.answer_by <= now {
            // Once may be a busy moment.
            self.unanswered += 1;
            self.hindered = self.unanswered >= 2;
            self.break_off(now);
        } else if self.silent_at() <= now {
            self.fail(now, Blocked::Silence);
        }
    }

    /// The link reported something.
    fn note(&mut self, now: u64, fault: Fault<L::Error>) {
        let times = self.trouble.as_ref().map_or(0, |trouble| trouble.times).saturating_add(1);
        let pause = self.link.pause_ms(&fault, times);
        let again_at = pause.map(|ms| now + u64::from(ms));
        self.trouble = Some(Trouble { fault, times, again_at });
    }

    /// The connection ended, by itself or by a fault of the link.
    fn lose(&mut self, now: u64, fault: Option<Fault<L::Error>>) {
        if let Some(fault) = fault {
            self.note(now, fault);
        }
        if self.body.as_ref().is_some_and(|body| body.is_over(true)) {
            self.keep = false;
            self.finish(now);
        } else if self.reused && !self.heard {
            // It was dead before, which says nothing of the path.
            self.break_off(now);
        } else {
            self.fail(now, Blocked::Cut);
        }
    }

    fn fail(&mut self, now: u64, cause: Blocked) {
        self.active = false;
        self.connected = false;
        self.session.handle_failure(now, Lane::Park, cause, true);
    }

    fn break_off(&mut self, now: u64) {
        self.active = false;
        self.connected = false;
        self.session.break_exchange(now, Lane::Park);
    }
}
