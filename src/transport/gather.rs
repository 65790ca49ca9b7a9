//! One write per request.
//!
//! ureq writes a request's head and its body apart: two segments, and a relay woken twice. This
//! layer, the outermost, holds the head back until the first octets of the body are there. The layer
//! also turns the request line into the absolute form that plain proxies want, and keeps what it saw of
//! an exchange that fails.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use super::control::Control;
use crate::http::request::METHOD;

/// Longest time in which an end of the connection that was under way crosses the request: a round trip
/// of most paths. What ends later was ended because of the request.
const CROSSING: Duration = Duration::from_secs(1);

/// What this layer saw of the exchange under way.
#[derive(Debug, Default)]
pub(super) struct Sight {
    stale: AtomicBool,
    head: Mutex<Vec<u8>>,
}

impl Sight {
    pub fn begin(&self) {
        self.stale.store(false, Relaxed);
        *self.head() = Vec::new();
    }

    /// Whether the connection was closed while the request was on its way: see
    /// [`ExchangeFailure::stale`](super::ExchangeFailure::stale).
    pub fn is_stale(&self) -> bool {
        self.stale.load(Relaxed)
    }

    /// The octets of an answer whose head the HTTP client did not take.
    pub fn head(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a [`Gather`] around the connection.
#[derive(Debug)]
pub(super) struct GatherConnector {
    pub control: Arc<Control>,
    pub sight: Arc<Sight>,
    /// `http://host:port` if requests are to be in absolute form, else the empty text.
    pub prefix: Arc<str>,
}

impl<In: Transport> Connector<In> for GatherConnector {
    type Out = Gather<In>;

    fn connect(
        &self,
        _: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| Gather {
            inner,
            control: Arc::clone(&self.control),
            sight: Arc::clone(&self.sight),
            prefix: Arc::clone(&self.prefix),
            held: Vec::new(),
            stage: RequestStage::Unused,
            has_served: false,
        }))
    }
}

/// How far the exchange of a connection is.
///
/// ```text
///          head             reads an answer         first octets
///  Unused ──────▶ Asking ──────────────────▶ Asked ──────────────▶ Answered
///                    ▲ head of the next request                       │
///                    └────────────────────────────────────────────────┘
/// ```
#[derive(Debug, Clone, Copy)]
enum RequestStage {
    /// The connection is new: no request went out.
    Unused,
    /// A request goes out, from its head on.
    Asking,
    /// The request is out since that time, and nothing of its answer came.
    Asked(Instant),
    /// An answer comes or came, and the next request has not begun.
    Answered,
}

pub(super) struct Gather<T: Transport> {
    inner: T,
    control: Arc<Control>,
    sight: Arc<Sight>,
    prefix: Arc<str>,
    /// The head, until the body comes. The memory is kept from request to request.
    held: Vec<u8>,
    stage: RequestStage,
    /// Whether an exchange was answered before the one under way.
    has_served: bool,
}

impl<T: Transport> fmt::Debug for Gather<T> {
    /// Leaves the head out, which may have a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = f.debug_struct("Gather");
        told.field("inner", &self.inner).field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl<T: Transport> Gather<T> {
    /// Writes the held head and the first `amount` octets of the output buffer behind it, in as
    /// few writes as the buffer allows.
    fn release(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.control.mark_sent();
        let output = self.inner.buffers().output();
        let head = self.held.len();
        if head >= output.len() {
            return Err(Error::LargeResponseHeader(head, output.len()));
        }
        let with_head = amount.min(output.len() - head);
        // What the head pushes out of the buffer goes in a second write.
        self.held.extend_from_slice(&output[with_head..amount]);
        output.copy_within(..with_head, head);
        output[..head].copy_from_slice(&self.held[..head]);
        self.inner.transmit_output(head + with_head, timeout)?;
        let rest = self.held.len() - head;
        if rest > 0 {
            self.inner.buffers().output()[..rest].copy_from_slice(&self.held[head..]);
            self.inner.transmit_output(rest, timeout)?;
        }
        self.held.clear();
        Ok(())
    }
}

impl<T: Transport> Transport for Gather<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if !self.held.is_empty() {
            return self.release(amount, timeout);
        }
        let output = &self.inner.buffers().output()[..amount];
        // A tunnel and TLS begin in other ways.
        let is_request = output.starts_with(METHOD.as_bytes());
        if is_request && matches!(self.stage, RequestStage::Unused | RequestStage::Answered) {
            self.has_served = matches!(self.stage, RequestStage::Answered);
            self.stage = RequestStage::Asking;
            let (method, rest) = output.split_at(METHOD.len());
            self.held.extend_from_slice(method);
            self.held.extend_from_slice(self.prefix.as_bytes());
            self.held.extend_from_slice(rest);
            return Ok(());
        }
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        if let RequestStage::Asking = self.stage {
            self.stage = RequestStage::Asked(Instant::now());
        }
        let came = self.inner.await_input(timeout);
        if let RequestStage::Asked(at) = self.stage {
            let is_over = match &came {
                Ok(is_there) => !is_there,
                Err(Error::Io(error)) => is_end(error),
                Err(_) => false,
            };
            if is_over && self.has_served && at.elapsed() < CROSSING {
                self.sight.stale.store(true, Relaxed);
            }
            if let Ok(true) = came {
                self.stage = RequestStage::Answered;
            }
        }
        came
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

impl<T: Transport> Drop for Gather<T> {
    /// Keeps the octets of an answer that the HTTP client could not read: it drops the connection then.
    fn drop(&mut self) {
        if let RequestStage::Answered = self.stage {
            let input = self.inner.buffers().input();
            let mut head = self.sight.head();
            *head = input.to_vec();
        }
    }
}

/// Whether the other side ended the connection.
pub(super) fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}
