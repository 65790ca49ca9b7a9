//! Probes: requests by which a client finds out what is on its way to the relay. They pass the same gates
//! as exchanges and then reach neither the router nor a session: a probe says back what arrived, waits, or
//! says its time again and again. Nothing of it is stored.
//!
//! A probe's connection counts as waiting, as if nothing were under way on it, so that the relay closes it
//! when a client needs its place.

use std::fmt::Write;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Incoming};
use hyper::header::TRANSFER_ENCODING;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use super::admission::{BodyHold, Grant};
use super::cluster::ClusterStats;
use super::service::Service;
use crate::wire::VERSION;

/// The path behind that of exchanges, before the kind of probe.
pub(super) const PATH: &str = "/v1/probe/";

/// Most probes at once. Each has a timer and some hundred octets beside its connection, and a diagnosis
/// makes six at once: ten people in trouble at the same time find room.
const AT_ONCE: usize = 64;

/// Longest time that the body of a probe may take: the largest body over a line of 0.6 Mbit/s.
const BODY_TIME: Duration = Duration::from_secs(60);

/// Most pieces of a stream, and the shortest and the longest time between two: with pieces of
/// [`PIECE`] octets 3 KiB a second at most, for a minute at most.
const MAX_PIECES: u32 = 60;
const GAPS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Octets of a piece of a stream: a line with a time.
const PIECE: usize = 64;

/// Most arrivals that an echo tells; all later ones count for the last.
const MAX_ARRIVALS: usize = 32;

/// Octets that came within so short a time are one arrival: below what pieces of a test are apart.
const TOGETHER: Duration = Duration::from_millis(10);

/// Octets of the body that an echo says back, so that each value of an octet is among them.
const SAID_BACK: usize = 256;

/// Most header fields that an echo tells, and most octets of a value.
const MAX_FIELDS: usize = 64;
const MAX_VALUE: usize = 120;

/// The header fields whose values an echo tells: what proxies change and add. Of others, among which are
/// secrets of clients and of fronts, it tells the name and the length.
const TOLD: [&str; 16] = [
    "accept",
    "accept-encoding",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "forwarded",
    "host",
    "max-forwards",
    "te",
    "transfer-encoding",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
];

/// What a probe asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeKind {
    /// To say what arrived, and when.
    Echo,
    /// To answer after so long.
    Hold(Duration),
    /// To answer with so many pieces, so far apart.
    Stream { pieces: u32, gap: Duration },
}

impl ProbeKind {
    /// Reads the path behind [`PATH`], and the query; `None`: there is no such probe. What is beyond the
    /// limits is cut to them.
    pub fn read(name: &str, query: &str, longest_hold: Duration) -> Option<Self> {
        let number = |name: &str| {
            let mut fields = query.split('&').filter_map(|field| field.split_once('='));
            fields.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse::<u32>().ok())
        };
        let ms = Duration::from_millis(number("ms").unwrap_or(0).into());
        match name {
            "echo" => Some(Self::Echo),
            "hold" => Some(Self::Hold(ms.min(longest_hold))),
            "stream" => Some(Self::Stream {
                pieces: number("pieces").unwrap_or(1).clamp(1, MAX_PIECES),
                gap: ms.clamp(GAPS.0, GAPS.1),
            }),
            _ => None,
        }
    }
}

/// The places for probes.
#[derive(Debug, Clone)]
pub(super) struct Probes(Arc<Semaphore>);

/// The place of a probe, until this is dropped.
pub(super) type ProbePlace = OwnedSemaphorePermit;

impl Probes {
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }

    /// A place, unless all are taken.
    pub fn take(&self) -> Option<ProbePlace> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// Why the body of a probe was not read whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is longer than the relay takes.
    TooLong,
    /// It broke off, or took too long.
    Broken,
}

/// What arrived of a probe.
pub(super) struct Arrival {
    since: Instant,
    length: u64,
    digest: Sha256,
    /// The beginning of the body.
    start: Vec<u8>,
    /// When octets came, and how many.
    pieces: Vec<(Duration, u64)>,
}

impl Arrival {
    /// Reads a body, as fast as its sender may send.
    pub async fn read(
        service: &Service,
        grant: Option<&Grant>,
        body: Incoming,
    ) -> Result<Self, Unread> {
        let mut this = Self {
            since: Instant::now(),
            length: 0,
            digest: Sha256::new(),
            start: Vec::new(),
            pieces: Vec::new(),
        };
        let mut body = pin!(body);
        let mut hold = BodyHold::new(&service.admission, grant);
        let whole = async {
            loop {
                let frame = poll_fn(|cx| {
                    ready!(hold.poll(cx));
                    body.as_mut().poll_frame(cx)
                });
                let piece = match frame.await {
                    None => return Ok(()),
                    Some(Err(_)) => return Err(Unread::Broken),
                    Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                };
                hold.took(piece.len());
                this.take(&piece);
                if this.length > service.max_body {
                    return Err(Unread::TooLong);
                }
            }
        };
        match tokio::time::timeout(BODY_TIME, whole).await {
            Ok(read) => read.map(|()| this),
            Err(_) => Err(Unread::Broken),
        }
    }

    fn take(&mut self, piece: &[u8]) {
        if piece.is_empty() {
            return;
        }
        let (at, octets) = (self.since.elapsed(), piece.len() as u64);
        self.length += octets;
        self.digest.update(piece);
        let room = SAID_BACK - self.start.len();
        self.start.extend_from_slice(&piece[..room.min(piece.len())]);
        let is_full = self.pieces.len() == MAX_ARRIVALS;
        match self.pieces.last_mut() {
            Some((last, so_far)) if is_full || at < *last + TOGETHER => *so_far += octets,
            _ => self.pieces.push((at, octets)),
        }
    }

    /// What arrived, for the client; and where the router is, if the relay is in a cluster.
    pub fn tell(self, headers: &HeaderMap, cluster: Option<ClusterStats>) -> Bytes {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let framing = if headers.contains_key(TRANSFER_ENCODING) { "chunked" } else { "counted" };
        let mut text = format!(
            "byway probe 1\nprotocol {VERSION}\ntime {}\nlength {}\nframing {framing}\nsha256 ",
            now.as_millis(),
            self.length
        );
        // A string takes whatever is written.
        let mut line = |arguments: std::fmt::Arguments<'_>| text.write_fmt(arguments).unwrap_or(());
        self.digest.finalize().iter().for_each(|octet| line(format_args!("{octet:02x}")));
        line(format_args!("\n"));
        if let Some(cluster) = cluster {
            let router = match cluster.holder {
                Some(_) if cluster.holds() => "here",
                Some(_) => "elsewhere",
                None if cluster.is_placed => "moving",
                None => "nowhere",
            };
            line(format_args!("router {router}\n"));
        }
        for (at, octets) in &self.pieces {
            line(format_args!("piece {} {octets}\n", at.as_millis()));
        }
        for (name, value) in headers.iter().take(MAX_FIELDS) {
            match value.to_str() {
                Ok(value) if TOLD.contains(&name.as_str()) => {
                    let value = &value[..value.len().min(MAX_VALUE)];
                    line(format_args!("field {name}: {value}\n"));
                }
                _ => line(format_args!("hidden {name}: {} octets\n", value.len())),
            }
        }
        line(format_args!("\n"));
        [text.as_bytes(), &self.start].concat().into()
    }
}

/// The answer to a probe that asks for a stream: a line in each piece tells the time since the first.
pub(super) struct Pieces {
    left: u32,
    gap: Duration,
    since: Instant,
    next: Pin<Box<Sleep>>,
    _place: ProbePlace,
}

impl Pieces {
    pub fn new(pieces: u32, gap: Duration, place: ProbePlace) -> Self {
        let since = Instant::now();
        let next = Box::pin(tokio::time::sleep_until(since));
        Self { left: pieces, gap, since, next, _place: place }
    }

    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        ready!(self.next.as_mut().poll(cx));
        self.left -= 1;
        let due = self.next.deadline() + self.gap;
        self.next.as_mut().reset(due);
        let line = format!("piece {}", self.since.elapsed().as_millis());
        Poll::Ready(Some(format!("{line:<width$}\n", width = PIECE - 1).into()))
    }

    pub fn is_over(&self) -> bool {
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_cut_to_their_limits() {
        let longest = Duration::from_secs(300);
        let read = |name, query| ProbeKind::read(name, query, longest);
        assert_eq!(read("echo", "n=1"), Some(ProbeKind::Echo));
        assert_eq!(read("hold", "n=1&ms=250"), Some(ProbeKind::Hold(Duration::from_millis(250))));
        assert_eq!(read("hold", "ms=4000000000"), Some(ProbeKind::Hold(longest)));
        assert_eq!(read("hold", "ms=-1"), Some(ProbeKind::Hold(Duration::ZERO)));
        let most = ProbeKind::Stream { pieces: MAX_PIECES, gap: GAPS.1 };
        assert_eq!(read("stream", "pieces=4000000000&ms=4000000000"), Some(most));
        let least = ProbeKind::Stream { pieces: 1, gap: GAPS.0 };
        assert_eq!(read("stream", ""), Some(least));
        assert_eq!(read("", ""), None);
        assert_eq!(read("swallow", ""), None);
    }
}
