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
pub mod probe;
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
mod token;
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
pub use token::Token;
pub(crate) use url::{host, place};

/// An exchange that a transport is to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Number of the exchange. The query has it, and so differs each time: no cache answers.
    pub seq: u64,
    /// Octets of the request's body: exactly so many, at least 1.
    pub len: usize,
    /// Deadline on silence in milliseconds: the exchange has failed when no octet moved in either
    /// direction for so long. The exchange as a whole may take longer.
    pub silence_ms: u32,
    /// Most octets that the answer's body may have.
    pub max_response: u32,
}

/// An exchange that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeFailure {
    /// What stood in the way of the exchange.
    pub cause: Blocked,
    /// Whether octets of the request may have reached the network. If not, the request had no effect.
    pub sent: bool,
    /// Whether the connection had served an exchange before, and ended at once and without an octet
    /// of this answer: the other side had closed the connection while the request was on its way. That
    /// says nothing of the path, and the next exchange may go at once, by a new connection. Or the relay refused
    /// a token whose file has another by now.
    pub stale: bool,
    /// What the transport saw, for people: a status, a content type, the target of a redirect, the
    /// first characters of a page, an I/O error. At most [`ExchangeFailure::SEEN`] octets, printable.
    pub seen: String,
}

impl ExchangeFailure {
    /// Most octets of `seen`: as many as fit a line of a log.
    pub const SEEN: usize = 120;

    /// Makes a failure, whose `seen` is cut to length and cleaned of control characters.
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
    /// The transport takes the request's body from `body`, which fills a slice of any size and tells how
    /// many octets it wrote (0 only at the end). The transport gives the body of a proper answer to `sink`
    /// in pieces; `sink` tells whether it has all that it wants. The rest of the response is then read
    /// for a moment and no longer, so that the connection can be kept. An `Err` of `sink` ends the
    /// exchange with that cause. `Ok` means that the response was a relay's by its head and that its
    /// body ended as HTTP says it should, no more.
    ///
    /// A connection is kept for the next exchange if HTTP allows. A connection that is found dead before
    /// anything was sent on it is replaced without a word.
    ///
    /// # Errors
    /// Why there is no answer.
    fn exchange(
        &mut self,
        request: &Request,
        body: &mut dyn FnMut(&mut [u8]) -> usize,
        sink: &mut dyn FnMut(&[u8]) -> Result<bool, Blocked>,
    ) -> Result<(), ExchangeFailure>;

    /// Gives the handle by which other threads break this transport's exchanges.
    fn canceller(&self) -> Canceller;
}
