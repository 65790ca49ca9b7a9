//! How exchanges are carried: one HTTP request and its response at a time, streamed both ways
//! through small buffers. [`HttpTransport`] does it with ureq.

mod address;
mod buffer;
mod control;
mod dial;
mod gather;
mod hooks;
mod http;
mod no_proxy;
mod proxy;
mod race;
mod resolve;
#[cfg(feature = "tls")]
mod roots;
mod tcp;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
#[cfg(all(test, feature = "tls"))]
mod tls_tests;
mod tunnel;
mod url;

use std::fmt;

use crate::error::Blocked;

pub use address::{HttpConfig, Roots};
pub use control::Canceller;
pub use hooks::Hooks;
pub use http::HttpTransport;
pub(crate) use http::RelayPath;
pub use proxy::Proxy;

/// One exchange to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Number of the exchange; makes the query different each time, so that no cache answers.
    pub seq: u64,
    /// Octets of the request's body, exactly; at least one.
    pub len: usize,
    /// Deadline on silence in milliseconds: when no octet moved in either direction for so long,
    /// the exchange has failed. Not a limit on the total.
    pub silence_ms: u32,
    /// Most octets of the answer's body.
    pub max_response: u32,
}

/// An exchange that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeFailure {
    /// What stood in the way.
    pub cause: Blocked,
    /// Whether octets of the request may have reached the network. If not, it did nothing.
    pub sent: bool,
    /// Whether the connection had served an exchange before, and ended at once and without an octet
    /// of this one's answer: the other side had closed it when the request was on its way. That says
    /// nothing of the path, and the next exchange may go at once, by a new connection.
    pub stale: bool,
    /// What was seen, for people: a status, a content type, where a page wanted to send us, its
    /// first characters, an I/O error. At most [`ExchangeFailure::SEEN`] octets, printable.
    pub seen: String,
}

impl ExchangeFailure {
    /// Most octets of `seen`: a line of a log.
    pub const SEEN: usize = 120;

    /// A failure; `seen` is cut to length and cleaned of control characters.
    pub fn new(cause: Blocked, sent: bool, seen: impl fmt::Display) -> Self {
        let mut line = String::new();
        for c in seen.to_string().chars() {
            let c = if c.is_control() { ' ' } else { c };
            if line.len() + c.len_utf8() > Self::SEEN {
                break;
            }
            if !(c == ' ' && line.ends_with(' ')) {
                line.push(c);
            }
        }
        Self { cause, sent, stale: false, seen: line }
    }
}

/// What stands in the way of a connection, as a connector tells it through the HTTP client.
#[derive(Debug)]
struct Obstacle {
    cause: Blocked,
    seen: String,
}

impl Obstacle {
    fn error(cause: Blocked, seen: impl fmt::Display) -> ureq::Error {
        ureq::Error::Other(Box::new(Self { cause, seen: seen.to_string() }))
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.seen)
    }
}

impl std::error::Error for Obstacle {}

/// Carries exchanges, one at a time. Each of the client's two threads has its own.
pub trait Transport: Send {
    /// Makes one exchange and blocks until it is over.
    ///
    /// The request's body is taken from `body`, which fills a slice of any size and tells how much
    /// (0 only at the end); the body of a proper answer is given to `sink` in pieces, which tells
    /// whether it has all that it wants: what HTTP has behind it is then read for a moment, so that
    /// the connection can be kept, and no longer. An `Err` of `sink` ends the exchange with that cause. `Ok` means that the response was a relay's by its
    /// head and that its body ended as HTTP says it should, no more.
    ///
    /// A connection is kept for the next exchange if HTTP allows; found dead before anything was
    /// sent on it, it is replaced without a word.
    fn exchange(
        &mut self,
        request: &Request,
        body: &mut dyn FnMut(&mut [u8]) -> usize,
        sink: &mut dyn FnMut(&[u8]) -> Result<bool, Blocked>,
    ) -> Result<(), ExchangeFailure>;

    /// The handle by which other threads break this transport's exchanges.
    fn canceller(&self) -> Canceller;
}
