//! Probes of the relay, and what its answers say.

use std::thread;
use std::time::{Duration, Instant};

use byway::error::{Blocked, TlsFault};
use byway::transport::ExchangeFailure;
use byway::transport::probe::{Framing, ProbeAnswer, ProbeLine, ProbeWay};
use sha2::{Digest, Sha256};

/// How long a probe may take that the relay answers at once, sending and answering each: ten times a very
/// slow round trip.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long after a connection that ended at once without an answer another is tried, and how often: a front that
/// allows one connection has seen the end of the one before by then, also on a busy machine.
const AGAIN: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// A connection that ended so soon was refused: what is cut because of its time is cut later.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Octets of a write of a large body.
const WRITE: usize = 64 * 1024;

/// The path of the probe that says what arrived.
pub const ECHO: &str = "/v1/probe/echo?n=1";

/// What the relay said of a probe that arrived.
#[derive(Debug, Default)]
pub struct Echo {
    pub protocol: String,
    /// The relay's clock, in milliseconds since 1970.
    pub time: u64,
    pub length: u64,
    pub framing: String,
    pub digest: String,
    /// Where the router is, at a relay of a cluster.
    pub router: Option<String>,
    /// When octets of the body came, and how many.
    pub pieces: Vec<(Duration, u64)>,
    /// Names and values of the header fields.
    pub fields: Vec<(String, String)>,
    /// The beginning of the body.
    pub start: Vec<u8>,
}

impl Echo {
    /// Reads the answer to a probe; `None`: it is none, or none that a client would take.
    pub fn read(answer: &ProbeAnswer) -> Option<Self> {
        let body = answer.body();
        let end = body.windows(2).position(|two| two == b"\n\n")?;
        let text = std::str::from_utf8(&body[..end]).ok()?;
        let mut lines = text.lines();
        if answer.refusal.is_some() || lines.next() != Some("byway probe 1") {
            return None;
        }
        let mut echo = Self { start: body[end + 2..].to_vec(), ..Self::default() };
        for line in lines {
            let (key, value) = line.split_once(' ')?;
            match key {
                "protocol" => echo.protocol = value.into(),
                "time" => echo.time = value.parse().ok()?,
                "length" => echo.length = value.parse().ok()?,
                "framing" => echo.framing = value.into(),
                "sha256" => echo.digest = value.into(),
                "router" => echo.router = Some(value.into()),
                "piece" => {
                    let (at, octets) = value.split_once(' ')?;
                    let at = Duration::from_millis(at.parse().ok()?);
                    echo.pieces.push((at, octets.parse().ok()?));
                }
                "field" | "hidden" => {
                    let (name, value) = value.split_once(": ").unwrap_or((value, ""));
                    echo.fields.push((name.into(), value.into()));
                }
                // Of a later relay.
                _ => {}
            }
        }
        Some(echo)
    }

    /// Whether all octets of `body` arrived, and its beginning came back.
    pub fn has(&self, body: &[u8]) -> bool {
        let digest: String =
            Sha256::digest(body).iter().map(|octet| format!("{octet:02x}")).collect();
        self.length == body.len() as u64
            && self.digest == digest
            && self.start == body[..body.len().min(self.start.len().max(256))]
    }
}

/// Octets of all values, whose order does not repeat soon.
pub fn octets(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8).wrapping_mul(31) ^ (at >> 16)) as u8).collect()
}

/// Uses a new connection, and another where the one before ended at once without an answer: one connection too
/// many for a front that counts the last one still. What ends each is an obstacle.
pub fn on_new<T>(
    way: &ProbeWay,
    mut use_line: impl FnMut(ProbeLine) -> Result<T, ExchangeFailure>,
) -> Result<T, ExchangeFailure> {
    let mut pauses = AGAIN.iter();
    loop {
        let began = Instant::now();
        let failure = match way.open().and_then(&mut use_line) {
            Ok(used) => return Ok(used),
            Err(failure) => failure,
        };
        let was_refused = matches!(
            failure.cause,
            Blocked::Cut | Blocked::Connect | Blocked::Tls(TlsFault::Broken)
        ) && began.elapsed() < AT_ONCE;
        match pauses.next().filter(|_| was_refused) {
            Some(pause) => thread::sleep(*pause),
            None => return Err(failure),
        }
    }
}

/// Sends a probe on a new connection.
pub fn ask(
    way: &ProbeWay,
    path: &str,
    body: &[u8],
    patience: Duration,
) -> Result<ProbeAnswer, ExchangeFailure> {
    on_new(way, |mut line| ask_on(way, &mut line, path, body, patience))
}

/// Sends a probe on a connection that is there.
pub fn ask_on(
    way: &ProbeWay,
    line: &mut ProbeLine,
    path: &str,
    body: &[u8],
    patience: Duration,
) -> Result<ProbeAnswer, ExchangeFailure> {
    let head = way.head(path, Framing::Counted(body.len()), true);
    let pieces: Vec<_> = body.chunks(WRITE).collect();
    line.ask(&head, &pieces, Duration::ZERO, patience, way.is_forwarded())
}
