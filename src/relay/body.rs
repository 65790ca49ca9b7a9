//! The body of a response, as hyper takes it from the router.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::admission::Grant;
use super::connection::{Answering, Connection};
use super::probe::Pieces;
use super::router::{Answer, ExchangeId, Origin};
use super::shared::SharedRouter;

/// Carries an exchange between its connection and the router. Dropping it ends both.
pub(super) struct Driver {
    exchange: OpenExchange,
    answering: Answering,
    /// What the bearer of the request's token may do; `None`: everything.
    grant: Option<Arc<Grant>>,
}

/// An exchange of the router, which forgets it when this is dropped.
struct OpenExchange {
    shared: Arc<SharedRouter>,
    id: ExchangeId,
    /// Whether the router forgot it before, as its answer is complete.
    is_over: bool,
}

impl Drop for OpenExchange {
    fn drop(&mut self) {
        if !self.is_over {
            self.shared.gone(self.id);
        }
    }
}

impl Driver {
    /// Opens an exchange, which counts for `origin`. While there is no place for other sessions the router
    /// takes it only if it is of a session that the router knows.
    pub fn open(
        shared: &Arc<SharedRouter>,
        answering: Answering,
        origin: &Origin,
        grant: Option<Arc<Grant>>,
    ) -> Self {
        let full = !answering.connection().is_open_to_all();
        let id = shared.with(|router, now| {
            let id = router.handle_open_for(now, origin);
            if full {
                router.refuse_strangers(id);
            }
            if let Some(grant) = &grant {
                router.confine(id, Arc::clone(grant));
            }
            id
        });
        let exchange = OpenExchange { shared: Arc::clone(shared), id, is_over: false };
        Self { exchange, answering, grant }
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

    /// The next piece of the response.
    fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Answer> {
        let id = self.id();
        self.shared().poll(id, cx, |router, now| {
            if self.is_talked_over() {
                router.handle_behind(now, id);
            }
            match router.poll_response(now, id) {
                Answer::Pending => Poll::Pending,
                answer => Poll::Ready(answer),
            }
        })
    }

    pub fn id(&self) -> ExchangeId {
        self.exchange.id
    }

    pub fn shared(&self) -> &SharedRouter {
        &self.exchange.shared
    }
}

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
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = match self.get_mut() {
            Self::Whole { body, .. } => body.take(),
            Self::Pieces { pieces, .. } => std::task::ready!(pieces.poll_piece(cx)),
            Self::Router { driver, first, len } => {
                let piece = match first.take() {
                    Some(first) => Some(first),
                    None => match std::task::ready!(driver.poll_answer(cx)) {
                        Answer::Bytes(piece) => Some(piece),
                        Answer::End | Answer::Pending => None,
                    },
                };
                if let (Some(piece), Some(len)) = (&piece, len) {
                    *len = len.saturating_sub(piece.len() as u64);
                }
                piece
            }
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
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
