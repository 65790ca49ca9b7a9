//! The body of a response, as hyper takes it from the router.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::admission::Grant;
use super::carrier::Carrier;
use super::cluster::Refusal;
use super::connection::{Answering, Connection};
use super::probe::Pieces;
use super::router::Answer;
use super::shared::{ExchangeRef, SharedRouter};

/// Carries an exchange between its connection and the router. Dropping it ends both.
pub(super) struct Driver {
    exchange: OpenExchange,
    answering: Answering,
    /// What the bearer of the request's token may do; `None`: everything.
    grant: Option<Arc<Grant>>,
    /// Whether the connection was told that a session counts the exchange.
    is_served: AtomicBool,
}

/// An exchange of the router, which forgets it when this is dropped.
struct OpenExchange {
    shared: Arc<SharedRouter>,
    at: ExchangeRef,
    /// Whether the router forgot it before, as its answer is complete.
    is_over: bool,
}

impl Drop for OpenExchange {
    fn drop(&mut self) {
        if !self.is_over {
            self.shared.gone(self.at);
        }
    }
}

impl Driver {
    /// Drives the exchange that was opened for a request.
    pub fn new(
        shared: &Arc<SharedRouter>,
        at: ExchangeRef,
        answering: Answering,
        grant: Option<Arc<Grant>>,
    ) -> Self {
        let exchange = OpenExchange { shared: Arc::clone(shared), at, is_over: false };
        Self { exchange, answering, grant, is_served: AtomicBool::new(false) }
    }

    /// What the bearer of the request's token may do; `None`: everything.
    pub fn grant(&self) -> Option<&Grant> {
        self.grant.as_deref()
    }

    /// Leaves the exchange: the request is answered in another way.
    pub fn leave(self) -> Answering {
        self.answering
    }

    /// The router gave the end of the answer: it does not know the exchange any longer.
    pub fn finish(mut self) -> Answering {
        self.exchange.is_over = true;
        self.answering
    }

    pub fn connection(&self) -> &Arc<Connection> {
        self.answering.connection()
    }

    /// Whether the client went on to talk behind the request, which was read whole.
    pub fn is_talked_over(&self) -> bool {
        self.connection().is_behind()
    }

    /// Tells the connection once that a session counts the exchange.
    pub fn note_admitted(&self, carrier: &dyn Carrier) {
        if !self.is_served.load(Relaxed) && carrier.is_admitted(self.id()) {
            self.is_served.store(true, Relaxed);
            self.connection().serve();
        }
    }

    /// The next piece of the response; `None`: it is complete.
    fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenPipe>>> {
        let id = self.id();
        self.shared().poll(self.at(), cx, |carrier, now| {
            if self.is_talked_over() {
                carrier.handle_behind(now, id);
            }
            let is_broken = carrier.refusal(id) == Some(Refusal::Broken);
            match carrier.poll_response(now, id) {
                Answer::Pending => Poll::Pending,
                Answer::Bytes(piece) => Poll::Ready(Some(Ok(piece))),
                Answer::End => Poll::Ready(is_broken.then_some(Err(BrokenPipe))),
            }
        })
    }

    pub fn at(&self) -> ExchangeRef {
        self.exchange.at
    }

    /// The number of the exchange where it is carried.
    pub fn id(&self) -> u64 {
        self.exchange.at.number()
    }

    pub fn shared(&self) -> &SharedRouter {
        &self.exchange.shared
    }
}

/// The way to the relay with the router broke: the connection ends, so that its client repeats what is not answered.
#[derive(Debug, thiserror::Error)]
#[error("the way to the relay with the router broke")]
pub(super) struct BrokenPipe;

/// A response body.
pub(super) enum Answered {
    /// The router's answer, which may still grow.
    Router {
        /// The exchange.
        driver: Driver,
        /// The piece that was taken already, to see whether there is an answer at all.
        first: Option<Bytes>,
        /// Octets to come, if all of the answer was there at the beginning.
        len: Option<u64>,
    },
    /// The answer to a probe that asks for a stream.
    Pieces {
        /// What is to come.
        pieces: Pieces,
        /// The request that the pieces answer.
        _answering: Answering,
    },
    /// A body in one piece: a text, or all of the router's answer.
    Whole {
        /// The body, until it is taken.
        body: Option<Bytes>,
        /// The request that the body answers.
        _answering: Answering,
    },
}

impl Body for Answered {
    type Data = Bytes;
    type Error = BrokenPipe;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = match self.get_mut() {
            Self::Whole { body, .. } => body.take().map(Ok),
            Self::Pieces { pieces, .. } => std::task::ready!(pieces.poll_piece(cx)).map(Ok),
            Self::Router { driver, first, len } => {
                let piece = match first.take() {
                    Some(first) => Some(Ok(first)),
                    None => std::task::ready!(driver.poll_answer(cx)),
                };
                if let (Some(Ok(piece)), Some(len)) = (&piece, len) {
                    *len = len.saturating_sub(piece.len() as u64);
                }
                piece
            }
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole { body, .. } => body.is_none(),
            Self::Pieces { pieces, .. } => pieces.is_over(),
            Self::Router { len, .. } => *len == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole { body, .. } => {
                SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64)
            }
            Self::Router { len: Some(len), .. } => SizeHint::with_exact(*len),
            Self::Router { .. } | Self::Pieces { .. } => SizeHint::default(),
        }
    }
}
