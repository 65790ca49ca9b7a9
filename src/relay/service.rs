//! One HTTP request: into the router, and its response out again.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING,
};
use hyper::{Method, Request, Response, StatusCode};

use super::body::{Answered, Driver};
use super::router::Answer;
use super::shared::Shared;
use super::stall::Behind;

/// What every connection serves.
pub(super) struct Service {
    pub shared: Arc<Shared>,
    /// The one path there is: the base path and `/v1`.
    pub path: String,
    /// See [`RelayConfig::stall`](super::RelayConfig::stall).
    pub stall: Duration,
    /// Largest request body, in octets.
    pub max_body: u64,
}

impl Service {
    pub async fn handle(
        &self,
        request: Request<Incoming>,
        behind: &Behind,
    ) -> Result<Response<Answered>, Infallible> {
        Ok(match self.refusal(&request) {
            Some((status, why)) => text(status, why),
            None => exchange(Driver::open(&self.shared, behind), request.into_body()).await,
        })
    }

    fn refusal(&self, request: &Request<Incoming>) -> Option<(StatusCode, &'static str)> {
        let headers = request.headers();
        if request.uri().path() != self.path {
            return Some((StatusCode::NOT_FOUND, "byway relay: POST to the base path and /v1\n"));
        }
        if request.method() != Method::POST {
            return Some((StatusCode::METHOD_NOT_ALLOWED, "byway relay: only POST\n"));
        }
        // hyper drops Content-Length beside Transfer-Encoding without a word, so that a request with
        // both, which proxies read in different ways, looks like this. No client sends it.
        if headers.contains_key(TRANSFER_ENCODING) {
            let why = "byway relay: a request has Content-Length, and no Transfer-Encoding\n";
            return Some((StatusCode::BAD_REQUEST, why));
        }
        // A web page that is lured into a POST can send text and forms, but not this.
        let binary = HeaderValue::from_static("application/octet-stream");
        if headers.get(CONTENT_TYPE) != Some(&binary) {
            let why = "byway relay: a request has Content-Type application/octet-stream\n";
            return Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        }
        if request.body().size_hint().lower() > self.max_body {
            return Some((StatusCode::PAYLOAD_TOO_LARGE, "byway relay: body too large\n"));
        }
        None
    }
}

/// Gives the body to the router; false if it broke off.
async fn upload(driver: &Driver, body: Incoming) -> bool {
    let mut body = pin!(body);
    let mut chunk = Bytes::new();
    let mut ended = false;
    let id = driver.id();
    poll_fn(|cx| {
        loop {
            if chunk.is_empty() && !ended {
                match body.as_mut().poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => chunk = frame.into_data().unwrap_or_default(),
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                    Poll::Ready(None) => ended = true,
                    Poll::Pending => {
                        // An answer before the end of the body is an error that ends it.
                        return driver.shared().poll(id, cx, |router, _| {
                            match router.complete_len(id) {
                                Some(_) => Poll::Ready(true),
                                None => Poll::Pending,
                            }
                        });
                    }
                }
                ended |= body.is_end_stream();
            }
            let taken = driver.shared().poll(id, cx, |router, now| {
                router.handle_body(now, id, &mut chunk);
                if !chunk.is_empty() {
                    return Poll::Pending;
                }
                if ended {
                    router.handle_body_end(now, id);
                }
                Poll::Ready(router.complete_len(id).is_some())
            });
            match taken {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answered) if answered || ended => return Poll::Ready(true),
                Poll::Ready(_) => {}
            }
        }
    })
    .await
}

/// Gives the body to the router and waits for the beginning of the answer.
async fn exchange(driver: Driver, body: Incoming) -> Response<Answered> {
    // Nothing of the upload stays: an empty chunk would keep hyper's read buffer alive for the hold.
    if !upload(&driver, body).await {
        return text(StatusCode::BAD_REQUEST, "byway relay: the body broke off\n");
    }
    let id = driver.id();
    let first = poll_fn(|cx| {
        driver.shared().poll(id, cx, |router, now| {
            if driver.is_talked_over() {
                router.handle_behind(now, id);
            }
            let len = router.complete_len(id);
            match router.poll_response(now, id) {
                Answer::Pending => Poll::Pending,
                Answer::Bytes(piece) => Poll::Ready(Some((piece, len))),
                Answer::End => Poll::Ready(None),
            }
        })
    });
    let Some((first, len)) = first.await else {
        return text(StatusCode::BAD_REQUEST, "byway relay: the body is no HELLO\n");
    };
    let len = len.map(|len| len as u64);
    let mut response = Response::new(Answered::Router { driver, first: Some(first), len });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match len {
        Some(len) => headers.insert(CONTENT_LENGTH, HeaderValue::from(len)),
        // What may still grow is not to wait until it is whole.
        None => headers.insert("x-accel-buffering", HeaderValue::from_static("no")),
    };
    response
}

fn text(status: StatusCode, why: &'static str) -> Response<Answered> {
    let mut response = Response::new(Answered::Text(Some(Bytes::from_static(why.as_bytes()))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}
