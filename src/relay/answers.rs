//! The answers that are no exchange's: refusals, and texts for people.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER as RETRY_AFTER_HEADER,
    WWW_AUTHENTICATE,
};
use hyper::{Request, Response, StatusCode};

use super::admission::Denial;
use super::body::{Answered, Driver};
use super::cluster::Refusal;
use super::connection::{Answering, Connection};
use crate::http::refusal::{BEYOND, CHALLENGE, REFUSAL};

/// After how many seconds a client may ask again for which there was no place: long enough that
/// thousands of them cost little, short enough that a place is not free for long.
pub(super) const RETRY_AFTER: u32 = 5;

/// The text for the people of a client that is refused.
pub(super) const FULL: &str = "byway relay: full; come back later, or ask its operator\n";

/// The same for a client whose address makes too many requests.
pub(super) const TOO_MANY: &str = "byway relay: too many clients or requests from this address, or with this token; come back later, or ask its operator\n";

/// The same for a request whose body is longer than the relay takes, and for one whose body has no end.
pub(super) const TOO_LARGE: &str = "byway relay: body too large\n";
pub(super) const BROKE_OFF: &str = "byway relay: the body broke off\n";

/// The same while no relay of the cluster has the router.
pub(super) const NO_ROUTER: &str = "byway relay: no relay of the cluster is in charge now; come back in a moment, or ask its operator whether its bus is there\n";

/// The answer to a request of which the router makes nothing.
pub(super) fn refused(driver: Driver, why: Refusal) -> Response<Answered> {
    match why {
        Refusal::Full => full(driver),
        Refusal::TooMany => busy(driver.leave(), TOO_MANY, RETRY_AFTER),
        Refusal::BadToken => denied(driver.leave(), Denial::BadToken),
        Refusal::NoHello | Refusal::Broken => {
            let why = "byway relay: the body is no HELLO\n";
            text(driver.leave(), StatusCode::BAD_REQUEST, why)
        }
    }
}

/// The answer 503, as a connection gets it for which there is no place at all.
pub(super) fn full(driver: Driver) -> Response<Answered> {
    driver.connection().refused();
    busy(driver.leave(), FULL, RETRY_AFTER)
}

/// The answer 503 to a client that may come back after so many seconds.
pub(super) fn busy(
    answering: Answering,
    why: &'static str,
    retry_after: u32,
) -> Response<Answered> {
    let connection = Arc::clone(answering.connection());
    let mut response = text(answering, StatusCode::SERVICE_UNAVAILABLE, why);
    let headers = response.headers_mut();
    headers.insert("byway-status", HeaderValue::from_static("full"));
    headers.insert(RETRY_AFTER_HEADER, HeaderValue::from(retry_after));
    closing(&connection, response)
}

/// The answer to a request that is not admitted.
pub(super) fn denied(answering: Answering, denial: Denial) -> Response<Answered> {
    let (status, why) = match denial {
        Denial::NoToken => (
            StatusCode::UNAUTHORIZED,
            "byway relay: a token is wanted, in Authorization: Bearer or in Byway-Token; ask the operator for one\n",
        ),
        Denial::BadToken => (
            StatusCode::UNAUTHORIZED,
            "byway relay: the token is not known or not valid now; ask the operator for another\n",
        ),
        Denial::FromBeyond => (
            StatusCode::FORBIDDEN,
            "byway relay: this relay is for its own machine, and a front passed the request on; its operator may name the front by --trusted-proxy, and say who may use the relay by --policy or --open\n",
        ),
        Denial::TooMany => (
            StatusCode::SERVICE_UNAVAILABLE,
            "byway relay: too many wrong tokens came from this address; come back later\n",
        ),
    };
    let mut response = text(answering, status, why);
    let headers = response.headers_mut();
    match denial {
        Denial::NoToken => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        Denial::BadToken => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(REFUSAL));
        }
        Denial::FromBeyond => {
            headers.insert("byway-status", HeaderValue::from_static(BEYOND));
        }
        Denial::TooMany => {
            headers.insert(RETRY_AFTER_HEADER, HeaderValue::from(RETRY_AFTER));
        }
    }
    response
}

/// The answer to a request whose body may still be on its way.
pub(super) fn early(
    request: &Request<Incoming>,
    connection: &Connection,
    response: Response<Answered>,
) -> Response<Answered> {
    if request.body().is_end_stream() { response } else { closing(connection, response) }
}

/// Behind this response the connection is closed.
pub(super) fn closing(
    connection: &Connection,
    mut response: Response<Answered>,
) -> Response<Answered> {
    connection.set_early();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

pub(super) fn text(
    answering: Answering,
    status: StatusCode,
    why: impl Into<Bytes>,
) -> Response<Answered> {
    let body = Some(why.into());
    let mut response = Response::new(Answered::Whole { body, _answering: answering });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}
