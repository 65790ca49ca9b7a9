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
//! something on the way keeps them back, the device notices, and speaks by dialling anew from then
//! on, as it does behind a proxy that it was told of.
//!
//! A [`Link`] is what is left to write. With `std`, for tests and for gateways:
//!
//! ```
//! use byway::device::Link;
//! use embedded_io::{ErrorType, Read, ReadReady, Write};
//! use std::io::{self, Read as _, Write as _};
//! use std::net::{SocketAddr, TcpStream};
//!
//! struct Tcp {
//!     relay: SocketAddr,
//!     stream: Option<TcpStream>,
//! }
//!
//! impl Tcp {
//!     fn stream(&self) -> io::Result<&TcpStream> {
//!         self.stream.as_ref().ok_or(io::ErrorKind::NotConnected.into())
//!     }
//! }
//!
//! impl ErrorType for Tcp {
//!     type Error = io::Error;
//! }
//!
//! impl Read for Tcp {
//!     fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
//!         self.stream()?.read(out)
//!     }
//! }
//!
//! impl Write for Tcp {
//!     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
//!         self.stream()?.write(bytes)
//!     }
//!     fn flush(&mut self) -> io::Result<()> {
//!         self.stream()?.flush()
//!     }
//! }
//!
//! impl ReadReady for Tcp {
//!     fn read_ready(&mut self) -> io::Result<bool> {
//!         let stream = self.stream()?;
//!         stream.set_nonblocking(true)?;
//!         let peeked = stream.peek(&mut [0]);
//!         stream.set_nonblocking(false)?;
//!         match peeked {
//!             Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
//!             peeked => peeked.map(|_| true), // the end, too, is there to be read
//!         }
//!     }
//! }
//!
//! impl Link for Tcp {
//!     fn dial(&mut self) -> io::Result<()> {
//!         self.stream = None;
//!         let stream = TcpStream::connect(self.relay)?;
//!         stream.set_nodelay(true)?;
//!         self.stream = Some(stream);
//!         Ok(())
//!     }
//! }
//! ```
//!
//! And a UART that somebody wired to the relay's port: `read_ready` asks for its "receive buffer
//! full" flag, `read` takes one octet, `write` waits for "transmit buffer not full" and puts one,
//! and `dial` reads away what is left of an answer until it is quiet ([`Link::HANGS_UP`] is false).
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

mod answer;
mod request;
mod sockets;
#[cfg(all(test, feature = "std"))]
mod tests;

use embedded_io::{Read, ReadReady, Write};

use crate::error::Blocked;
use crate::session::{Lane, Purpose, Session, Single};
use answer::{Body, Head};
use request::Outgoing;

pub use sockets::{Clock, Sockets, Stream};

/// The connection to the relay, or to a proxy.
///
/// What [`embedded_io`] asks of its parts holds: `write` blocks only while nothing can be taken,
/// `read` gives 0 at the end of the connection. `read_ready` is what keeps [`Device::poll`] from
/// blocking: it tells whether `read` would give something at once, the end and errors included.
/// Where there is no such thing, answer `true` and let `read` block: then `poll` blocks as well.
pub trait Link: Read + Write + ReadReady {
    /// Hangs up if there is a connection, and dials anew; blocks until it is up, or cannot be. A link
    /// that is always up may do nothing.
    ///
    /// # Errors
    /// There is no connection now. It is tried again after a pause.
    fn dial(&mut self) -> Result<(), Self::Error>;

    /// Whether `dial` makes a new connection. A line that is always up, and of which nobody behind it
    /// makes new connections either, says `false`: then nothing is broken off to speak, and `dial`
    /// should read away what still comes of an answer that was given up, until it is quiet.
    const HANGS_UP: bool = true;
}

/// Where the relay is, and how it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relay<'a> {
    /// Its host, and `:port` if that is not 80.
    pub authority: &'a str,
    /// What stands before `/v1` in its URL's path: nothing, or like `/byway`.
    pub base: &'a str,
    /// Whether the link leads to an HTTP proxy: the relay is then named in full.
    pub by_proxy: bool,
    /// More header fields of each request, each with CR LF behind it, as
    /// `"Proxy-Authorization: Basic ZTpm\r\n"`; or nothing.
    pub fields: &'a str,
}

impl<'a> Relay<'a> {
    /// A relay that is reached without a proxy, at the root of its host.
    pub const fn new(authority: &'a str) -> Self {
        Self { authority, base: "", by_proxy: false, fields: "" }
    }
}

/// How long octets behind a request that waits may bring no answer, in ms, beside the shortest
/// exchange: what a relay takes for it, many times over.
const SPEAK_MS: u64 = 250;

/// What the shortest exchange counts as before there was one, in ms: a slow mobile network's.
const SLOW_MS: u32 = 4_000;

/// How long a connection may be idle and be used again, in ms: below what proxies and address
/// translators keep it at least, a minute or more.
const IDLE_MS: u32 = 50_000;

/// What is said first, behind a request that waits: how the next one begins.
const FIRST: &[u8] = b"POST ";

/// A session and its only connection. See the [module](self).
///
/// `P` is the session's [`Purpose`].
#[derive(Debug)]
pub struct Device<'s, L, P: Purpose> {
    session: Session<'s, Single<P>>,
    link: L,
    relay: Relay<'s>,
    /// A request is written through it, then the answer read.
    buffer: &'s mut [u8],
    /// Where in it an answer's head begins, behind interim ones, and where what came of it ends.
    from: usize,
    have: usize,
    /// The answer's body, once its head was read.
    body: Option<Body>,
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
        if !self.active {
            // Its answer is for the next call: the application has its turn first.
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

    /// The device has another address or network: what is under way is broken off, dialled anew, and
    /// what was found out of the path is forgotten.
    pub fn network_changed(&mut self, now: u64) {
        self.session.network_changed(now);
        self.hindered = self.relay.by_proxy;
        self.unanswered = 0;
        self.shortest_ms = SLOW_MS;
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
        let Some(exchange) = self.session.poll_exchange(now, Lane::Park) else { return };
        let idle = now.saturating_sub(self.moved_at) > exchange.idle_ms.min(IDLE_MS).into();
        // What is there to be read now can only be its end.
        if self.connected && (idle || !matches!(self.link.read_ready(), Ok(false))) {
            self.connected = false;
        }
        self.reused = self.connected;
        if !self.connected {
            if self.link.dial().is_err() {
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
        if !sent {
            self.lose(now);
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
            let n = came.unwrap_or(0);
            if n == 0 {
                return self.lose(now);
            }
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
        let whole = self.session.handle_finished(now, Lane::Park).is_ok();
        self.connected = whole && self.keep;
    }

    /// Does what the session wants and the clock says while the answer is awaited.
    fn attend(&mut self, now: u64) {
        let speaks = self.session.poll_wake().is_some();
        if speaks && !self.heard && !self.spoken {
            if self.hindered {
                return self.break_off(now);
            }
            if !request::put(&mut self.link, FIRST) || self.link.flush().is_err() {
                return self.lose(now);
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

    /// The connection ended.
    fn lose(&mut self, now: u64) {
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
