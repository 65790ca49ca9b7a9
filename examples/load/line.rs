//! A connection to the relay, on which requests of HTTP/1.1 follow each other.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use byway::error::Blocked;
use byway::session::Exchange;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::world::World;

/// Longest time a connection may take, as in byway's client.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection that ends within this time of a request's last octet was closed while the request was on its way,
/// as in byway's client.
const CROSSING: Duration = Duration::from_secs(1);

/// Header lines of an answer that are read: a relay writes half a dozen.
const MAX_LINES: usize = 32;

/// When a full relay is asked again if it does not say when, in seconds, as byway's client does.
const RETRY_AFTER: u8 = 5;

/// Why there is no answer, as the session is told it.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    pub cause: Blocked,
    /// Whether octets of the request may have reached the relay.
    pub sent: bool,
    /// The relay had closed the connection behind the exchange before.
    pub stale: bool,
}

impl Failure {
    pub fn before(cause: Blocked) -> Self {
        Self { cause, sent: false, stale: false }
    }

    pub fn after(cause: Blocked) -> Self {
        Self { cause, sent: true, stale: false }
    }
}

/// Where in an answer the connection is.
///
/// ```text
///  Head ──▶ Counted ─────────────────────────▶ Over
///    └────▶ Size ──▶ Chunk ──▶ ChunkEnd          ▲
///            ▲ └── 0 ──▶ LastEnd ────────────────┘
///            └───────────────────┘ (from ChunkEnd)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Head,
    /// So many octets of the body are to come.
    Counted(u64),
    Size,
    /// So many octets of the chunk are to come.
    Chunk(u64),
    ChunkEnd,
    LastEnd,
    Over,
}

/// An open connection.
#[derive(Debug)]
pub struct Line {
    stream: TcpStream,
    answer: Answer,
    /// Whether the relay keeps the connection open behind this answer.
    keeps: bool,
    /// Whether an octet of this answer has come.
    heard: bool,
    /// Whether an exchange before this one was answered.
    has_served: bool,
    /// Octets of a head, or of framing, that is not whole yet.
    rest: Vec<u8>,
    /// When the last request was begun.
    asked: Instant,
    /// When the last answer was whole.
    pub used: Instant,
}

impl Line {
    /// Connects to the relay, from an address of this machine.
    pub async fn connect(from: IpAddr, relay: SocketAddr) -> Result<Self, Failure> {
        let connect = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::new(from, 0))?;
            let stream = socket.connect(relay).await?;
            stream.set_nodelay(true)?;
            io::Result::Ok(stream)
        };
        let stream = timeout(CONNECT_TIMEOUT, connect).await.ok().and_then(Result::ok);
        Ok(Self {
            stream: stream.ok_or(Failure::before(Blocked::Connect))?,
            answer: Answer::Over,
            keeps: true,
            heard: false,
            has_served: false,
            rest: Vec::new(),
            asked: Instant::now(),
            used: Instant::now(),
        })
    }

    /// Waits until the relay closes the connection, on which nothing is under way.
    pub async fn closed(&self) {
        let mut octet = [0];
        // An octet that nobody asked for is as good as an end.
        while self.stream.readable().await.is_ok() {
            match self.stream.try_read(&mut octet) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Writes a request, whose body `body` gives.
    pub async fn ask(
        &mut self,
        world: &World,
        exchange: &Exchange,
        mut body: impl FnMut(&mut [u8]) -> usize,
    ) -> Result<(), Failure> {
        let Exchange { seq, len, silence_ms, .. } = *exchange;
        let silence = Duration::from_millis(silence_ms.into());
        self.answer = Answer::Head;
        self.heard = false;
        self.asked = Instant::now();
        self.rest.clear();
        let mut head = world.head(seq, len);
        let mut left = len;
        while !head.is_empty() || left > 0 {
            self.wait(silence, self.stream.writable()).await?;
            let unsent = {
                let mut scratch = world.scratch.borrow_mut();
                let begin = head.len();
                scratch[..begin].copy_from_slice(head.as_bytes());
                head.clear();
                let most = (scratch.len() - begin).min(left);
                let n = body(&mut scratch[begin..begin + most]);
                left = if n == 0 { 0 } else { left - n };
                let octets = &scratch[..begin + n];
                let sent = self.written(octets)?;
                octets[sent..].to_vec()
            };
            let mut at = 0;
            while at < unsent.len() {
                self.wait(silence, self.stream.writable()).await?;
                at += self.written(&unsent[at..])?;
            }
        }
        Ok(())
    }

    fn written(&self, octets: &[u8]) -> Result<usize, Failure> {
        match self.stream.try_write(octets) {
            Ok(n) => Ok(n),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(_) => Err(self.cut()),
        }
    }

    /// Reads the answer, and gives its body to `sink` as it comes. Whether the connection serves another
    /// request.
    pub async fn hear(
        &mut self,
        world: &World,
        silence_ms: u32,
        mut sink: impl FnMut(&[u8]) -> Result<(), Blocked>,
    ) -> Result<bool, Failure> {
        let silence = Duration::from_millis(silence_ms.into());
        while self.answer != Answer::Over {
            self.wait(silence, self.stream.readable()).await?;
            let mut scratch = world.scratch.borrow_mut();
            match self.stream.try_read(&mut scratch) {
                Ok(0) => return Err(self.cut()),
                Ok(n) => self.take(&scratch[..n], &mut sink)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Err(self.cut()),
            }
        }
        self.used = Instant::now();
        self.has_served = true;
        Ok(self.keeps)
    }

    async fn wait(
        &self,
        silence: Duration,
        ready: impl Future<Output = io::Result<()>>,
    ) -> Result<(), Failure> {
        match timeout(silence, ready).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.cut()),
            Err(_) => Err(Failure::after(Blocked::Silence)),
        }
    }

    fn cut(&self) -> Failure {
        let stale = self.has_served && !self.heard && self.asked.elapsed() < CROSSING;
        Failure { stale, ..Failure::after(Blocked::Cut) }
    }

    /// Takes octets of an answer.
    fn take(
        &mut self,
        octets: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), Blocked>,
    ) -> Result<(), Failure> {
        self.heard = true;
        if self.rest.is_empty() {
            let taken = self.parse(octets, sink)?;
            self.rest.extend_from_slice(&octets[taken..]);
        } else {
            let mut all = std::mem::take(&mut self.rest);
            all.extend_from_slice(octets);
            let taken = self.parse(&all, sink)?;
            all.drain(..taken);
            self.rest = all;
        }
        Ok(())
    }

    /// Takes as much of `octets` as is whole: how many.
    fn parse(
        &mut self,
        octets: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), Blocked>,
    ) -> Result<usize, Failure> {
        let foreign = || Failure::after(Blocked::Foreign);
        let mut at = 0;
        while self.answer != Answer::Over {
            let input = &octets[at..];
            at += match self.answer {
                Answer::Head => match self.head(input)? {
                    Some(n) => n,
                    None => break,
                },
                Answer::Counted(left) | Answer::Chunk(left) => {
                    let n = left.min(input.len() as u64);
                    if n == 0 {
                        break;
                    }
                    sink(&input[..n as usize]).map_err(Failure::after)?;
                    self.answer = match self.answer {
                        Answer::Counted(_) if n == left => Answer::Over,
                        Answer::Counted(_) => Answer::Counted(left - n),
                        _ if n == left => Answer::ChunkEnd,
                        _ => Answer::Chunk(left - n),
                    };
                    n as usize
                }
                Answer::Size => match httparse::parse_chunk_size(input) {
                    Ok(httparse::Status::Complete((n, size))) => {
                        self.answer = if size == 0 { Answer::LastEnd } else { Answer::Chunk(size) };
                        n
                    }
                    Ok(httparse::Status::Partial) => break,
                    Err(_) => return Err(foreign()),
                },
                Answer::ChunkEnd | Answer::LastEnd => match input.get(..2) {
                    Some(b"\r\n") => {
                        let is_last = self.answer == Answer::LastEnd;
                        self.answer = if is_last { Answer::Over } else { Answer::Size };
                        2
                    }
                    Some(_) => return Err(foreign()),
                    None => break,
                },
                Answer::Over => 0,
            };
        }
        Ok(at)
    }

    /// Takes the head of an answer: how many octets, or `None` if it is not whole.
    fn head(&mut self, input: &[u8]) -> Result<Option<usize>, Failure> {
        let foreign = Failure::after(Blocked::Foreign);
        let mut lines = [httparse::EMPTY_HEADER; MAX_LINES];
        let mut head = httparse::Response::new(&mut lines);
        let n = match head.parse(input).map_err(|_| foreign)? {
            httparse::Status::Complete(n) => n,
            httparse::Status::Partial => return Ok(None),
        };
        let field = |name: &str| {
            let line = head.headers.iter().find(|line| line.name.eq_ignore_ascii_case(name));
            line.and_then(|line| std::str::from_utf8(line.value).ok())
        };
        match head.code.unwrap_or(0) {
            200 if field("Content-Type") == Some("application/octet-stream") => {}
            200 => return Err(foreign),
            503 if field("Byway-Status") == Some("full") => {
                let after = field("Retry-After").and_then(|after| after.parse().ok());
                return Err(Failure::after(Blocked::Full(after.unwrap_or(RETRY_AFTER))));
            }
            status => return Err(Failure::after(Blocked::Http(status))),
        }
        self.keeps = !field("Connection").is_some_and(|c| c.eq_ignore_ascii_case("close"));
        let len = field("Content-Length").map(|len| len.parse().map_err(|_| foreign));
        self.answer = match len.transpose()? {
            Some(0) => Answer::Over,
            Some(len) => Answer::Counted(len),
            None if field("Transfer-Encoding").is_some() => Answer::Size,
            None => return Err(foreign),
        };
        Ok(Some(n))
    }
}
