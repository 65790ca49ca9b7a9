//! A connection to the relay, and the answers on it.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

#[cfg(feature = "tls")]
use rustls::{ClientConnection, StreamOwned};
use ureq::http::header::{HeaderMap, HeaderName, HeaderValue};

use super::{ExchangeFailure, ProbeSocket};
use crate::error::Blocked;
use crate::http::body::BodyReader;
use crate::http::detail;

/// Most header fields, and most octets of head and of body, that an answer may have here: pages of portals
/// have more, of which the beginning tells enough.
const FIELDS: usize = 128;
const HEAD: usize = 64 * 1024;
const BODY: usize = 64 * 1024;

/// Octets read at once.
const INPUT: usize = 16 * 1024;

/// A connection to the relay, by proxy and TLS if there are.
pub struct ProbeLine {
    stream: Wire,
    /// What came and was not taken yet.
    input: Vec<u8>,
}

enum Wire {
    Plain(ProbeSocket),
    #[cfg(feature = "tls")]
    Tls(Box<StreamOwned<ClientConnection, ProbeSocket>>),
}

/// Octets of a body that came together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// When they came, from the request's first octet on.
    pub at: Duration,
    /// The octets.
    pub octets: Vec<u8>,
}

/// Header fields: names in small letters, and values.
pub type HeaderFields = Vec<(String, String)>;

/// An answer, of the relay or of what stands before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub fields: HeaderFields,
    /// When the head was there, from the request's first octet on.
    pub head_at: Duration,
    /// The body, in the pieces in which it came.
    pub pieces: Vec<Piece>,
    /// When the answer ended or broke off, from the request's first octet on.
    pub end_at: Duration,
    /// Whether the body ended as its head says.
    pub is_whole: bool,
    /// Why the answer is no relay's, going by its head; `None`: it may be one.
    pub refusal: Option<Blocked>,
}

impl ProbeAnswer {
    /// The value of a header field, whose name is in small letters.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body.
    pub fn body(&self) -> Vec<u8> {
        self.pieces.iter().flat_map(|piece| piece.octets.iter().copied()).collect()
    }

    /// The first line of the body, as text for people.
    pub fn first_line(&self) -> String {
        let body = self.body();
        let text = String::from_utf8_lossy(&body);
        text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect()
    }

    /// Status and header fields that tell what an answer is that is no relay's, for people.
    pub fn describe(&self) -> String {
        detail::line(self.status, &header_map(&self.fields))
    }

    /// Whether a proxy wrote its name into the answer that serves one request a connection, and does not
    /// say so.
    pub fn serves_one(&self) -> bool {
        detail::is_tinyproxy(&header_map(&self.fields))
    }
}

impl ProbeLine {
    pub(super) fn plain(socket: ProbeSocket) -> Self {
        Self { stream: Wire::Plain(socket), input: Vec::new() }
    }

    #[cfg(feature = "tls")]
    pub(super) fn over_tls(stream: StreamOwned<ClientConnection, ProbeSocket>) -> Self {
        Self { stream: Wire::Tls(Box::new(stream)), input: Vec::new() }
    }

    fn set_end(&mut self, end: Instant) {
        match &mut self.stream {
            Wire::Plain(socket) => socket.set_end(end),
            #[cfg(feature = "tls")]
            Wire::Tls(stream) => stream.sock.set_end(end),
        }
    }

    /// Sends a head and a body, in pieces of which each but the first waits for `gap` first, and waits for the
    /// answer. Sending and the answer may take `patience` each. `by_proxy`: the request named the relay in full, for a proxy.
    ///
    /// # Errors
    /// There is no answer, or not even a head of one.
    pub fn ask(
        &mut self,
        head: &[u8],
        body: &[&[u8]],
        gap: Duration,
        patience: Duration,
        by_proxy: bool,
    ) -> Result<ProbeAnswer, ExchangeFailure> {
        let began = Instant::now();
        self.set_end(began + patience);
        // What refuses a body answers before its end, and may hang up on the rest.
        let sent = self.send(head, body, gap);
        self.set_end(Instant::now() + patience);
        match self.read_answer(began, by_proxy) {
            Err(failure) if failure.cause == Blocked::Cut => Err(match sent {
                Err(error) => ExchangeFailure::new(Blocked::Cut, true, error),
                Ok(()) => failure,
            }),
            answer => answer,
        }
    }

    fn send(&mut self, head: &[u8], body: &[&[u8]], gap: Duration) -> io::Result<()> {
        let mut pieces = body.iter();
        // Head and first piece in one write, as a client does.
        let first = [head, pieces.next().copied().unwrap_or_default()].concat();
        self.write(&first)?;
        for piece in pieces {
            std::thread::sleep(gap);
            self.write(piece)?;
        }
        Ok(())
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Wire::Plain(stream) => stream.write_all(octets),
            #[cfg(feature = "tls")]
            Wire::Tls(stream) => stream.write_all(octets).and_then(|()| stream.flush()),
        }
    }

    /// Reads more input; false at the end of the connection.
    fn fill(&mut self) -> io::Result<bool> {
        let mut octets = [0; INPUT];
        let read = loop {
            let read = match &mut self.stream {
                Wire::Plain(stream) => stream.read(&mut octets),
                #[cfg(feature = "tls")]
                Wire::Tls(stream) => stream.read(&mut octets),
            };
            match read {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.input.extend_from_slice(&octets[..read]);
        Ok(read > 0)
    }

    fn read_answer(
        &mut self,
        began: Instant,
        by_proxy: bool,
    ) -> Result<ProbeAnswer, ExchangeFailure> {
        let (status, fields) = loop {
            if let Some((len, status, fields)) = read_head(&self.input) {
                self.input.drain(..len);
                if status >= 200 {
                    break (status, fields);
                }
                continue;
            }
            let is_broken = self.input.len() > HEAD || is_no_head(&self.input);
            match self.fill() {
                _ if is_broken => return Err(unreadable(&self.input)),
                Ok(true) => {}
                Ok(false) if self.input.is_empty() => {
                    let seen = "the connection was closed without an answer";
                    return Err(ExchangeFailure::new(Blocked::Cut, true, seen));
                }
                Ok(false) => return Err(unreadable(&self.input)),
                Err(error) if is_timeout(&error) => {
                    let seen = format!("no answer after {:.1} s", began.elapsed().as_secs_f64());
                    return Err(ExchangeFailure::new(Blocked::Silence, true, seen));
                }
                Err(error) => return Err(ExchangeFailure::new(Blocked::Cut, true, error)),
            }
        };
        let map = header_map(&fields);
        let mut answer = ProbeAnswer {
            status,
            refusal: detail::refused(status, &map, by_proxy),
            fields,
            head_at: began.elapsed(),
            pieces: Vec::new(),
            end_at: Duration::ZERO,
            is_whole: false,
        };
        let body = framing(&answer);
        answer.is_whole = body.is_some_and(|body| self.read_body(body, began, &mut answer.pieces));
        answer.end_at = began.elapsed();
        if detail::speaks_tls(status, &answer.body()) {
            answer.refusal = Some(Blocked::WantsTls);
        }
        Ok(answer)
    }

    /// Reads a body; whether it ended as it should.
    fn read_body(&mut self, mut body: BodyReader, began: Instant, pieces: &mut Vec<Piece>) -> bool {
        let mut octets = 0;
        loop {
            let mut input = &self.input[..];
            let mut came = Vec::new();
            loop {
                match body.next(&mut input) {
                    Ok([]) => break,
                    Ok(piece) => came.extend_from_slice(piece),
                    Err(_) => return false,
                }
            }
            let left = input.len();
            self.input.drain(..self.input.len() - left);
            octets += came.len();
            if !came.is_empty() {
                pieces.push(Piece { at: began.elapsed(), octets: came });
            }
            if body.is_over(false) {
                return true;
            }
            if octets > BODY {
                return false;
            }
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return body.is_over(true),
                Err(_) => return false,
            }
        }
    }
}

/// How an answer's body ends; `None`: its head does not say so in a way that can be read.
fn framing(answer: &ProbeAnswer) -> Option<BodyReader> {
    if answer.status == 204 || answer.status == 304 {
        return Some(BodyReader::counted(0));
    }
    match (answer.field("transfer-encoding"), answer.field("content-length")) {
        (Some(coding), _) => coding.eq_ignore_ascii_case("chunked").then_some(BodyReader::CHUNKED),
        (None, Some(length)) => length.trim().parse().ok().map(BodyReader::counted),
        (None, None) => Some(BodyReader::UNTIL_END),
    }
}

/// Reads a head from the front of `octets`: its length, its status, its fields. `None`: it is not whole, or
/// cannot be read.
pub(super) fn read_head(octets: &[u8]) -> Option<(usize, u16, HeaderFields)> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(len)) = response.parse(octets) else { return None };
    let told = response.headers.iter().map(|field| {
        let value = String::from_utf8_lossy(field.value).into_owned();
        (field.name.to_ascii_lowercase(), value)
    });
    Some((len, response.code?, told.collect()))
}

/// Whether these octets can never become a head.
fn is_no_head(octets: &[u8]) -> bool {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    httparse::Response::new(&mut fields).parse(octets).is_err()
}

fn unreadable(octets: &[u8]) -> ExchangeFailure {
    if detail::is_alert(octets) {
        return ExchangeFailure::new(Blocked::WantsTls, true, "an alert of TLS");
    }
    let (cause, seen) = detail::unreadable(octets);
    ExchangeFailure::new(cause, true, seen)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The fields that are valid.
pub(super) fn header_map(fields: &[(String, String)]) -> HeaderMap {
    let fields = fields.iter().filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(value).ok()?))
    });
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(name, value);
    }
    map
}
