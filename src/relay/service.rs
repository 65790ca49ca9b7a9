//! Carries an HTTP request into the router, and the response out again.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN,
    VIA,
};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode, Version};

use super::admission::{Admission, BodyHold, Grant, bearer};
use super::answers::{
    BROKE_OFF, FULL, NO_ROUTER, RETRY_AFTER, TOO_LARGE, TOO_MANY, busy, closing, denied, early,
    refused, text,
};
use super::body::{Answered, BrokenPipe, Driver};
use super::carrier::Carrier;
use super::cluster::Refusal;
use super::connection::{Answering, Connection};
use super::probe::{self, Arrival, Pieces, ProbeKind, Probes, Unread};
use super::proxies::TrustedProxies;
use super::reuse::Reuse;
use super::router::{Answer, Origin, Router};
use super::shared::{ExchangeRef, SharedRouter};
#[cfg(feature = "relay-tls")]
use super::tls::TlsServer;

/// The longest time after which a client with too many requests is asked to come back, in seconds: the longest that a client bears.
const MAX_RETRY_AFTER: u64 = 30;

/// What all connections share to serve requests.
pub(super) struct Service {
    pub shared: Arc<SharedRouter>,
    /// Who may use the relay.
    pub admission: Arc<Admission>,
    /// The path that stands before `/v1`, or empty. GET and HEAD of it tell a load balancer that the
    /// relay is here.
    pub base: String,
    pub proxies: TrustedProxies,
    /// See [`RelayConfig::proxy_protocol`](super::RelayConfig::proxy_protocol).
    pub proxy_protocol: bool,
    /// See [`RelayConfig::head_timeout`](super::RelayConfig::head_timeout).
    pub head_timeout: Duration,
    /// See [`RelayConfig::stall`](super::RelayConfig::stall).
    pub stall: Duration,
    /// See [`RelayConfig::drain_rate`](super::RelayConfig::drain_rate).
    pub drain_rate: u32,
    /// Largest request body, in octets.
    pub max_body: u64,
    pub probes: Probes,
    /// Which proxies use connections again.
    pub reuse: Reuse,
    /// Longest time after which a probe is answered that asks to wait: as that of a park.
    pub longest_hold: Duration,
    /// The relay speaks TLS itself.
    #[cfg(feature = "relay-tls")]
    pub tls: Option<Arc<TlsServer>>,
}

/// What a request asks for.
enum Route {
    Exchange,
    Probe(ProbeKind),
}

/// How far the answer to a request is when its head was dealt with.
enum Begun<'a> {
    /// Without the router.
    Answered(Box<Response<Answered>>),
    /// The router is to have its body.
    Exchange(Driver, Incoming),
    /// The request waits for something first: its turn, or a relay that has the router.
    Later(Pin<Box<dyn Future<Output = Begun<'a>> + Send + 'a>>),
}

impl Begun<'_> {
    fn answered(response: Response<Answered>) -> Self {
        Self::Answered(Box::new(response))
    }
}

impl Service {
    /// Answers a request. Its head is dealt with at once, so that what is kept of a request that waits in the
    /// router is little more than its exchange.
    pub fn handle<'a>(
        &'a self,
        request: Request<Incoming>,
        connection: &'a Arc<Connection>,
    ) -> impl Future<Output = Result<Response<Answered>, BrokenPipe>> + Send + 'a {
        let mut begun = self.hear_head(request, connection);
        async move {
            let response = loop {
                begun = match begun {
                    Begun::Answered(response) => break *response,
                    Begun::Exchange(driver, body) => {
                        break exchange(driver, &self.admission, body).await?;
                    }
                    Begun::Later(later) => later.await,
                };
            };
            connection.traffic().answered(response.status().as_u16());
            let mut response =
                if connection.is_last() { closing(connection, response) } else { response };
            if connection.is_unwanted() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        }
    }

    /// Deals with the head of a request.
    fn hear_head<'a>(
        &'a self,
        request: Request<Incoming>,
        connection: &'a Arc<Connection>,
    ) -> Begun<'a> {
        let answering = connection.begin();
        if request.headers().contains_key(VIA) {
            connection.note_proxy(&self.reuse);
        }
        let route = match self.route(&request, connection) {
            Err((status, why)) => {
                return Begun::answered(early(&request, connection, text(answering, status, why)));
            }
            Ok(route) => route,
        };
        let source = self.proxies.origin(connection.source(), request.headers());
        let admitted = self.admission.admit(request.headers(), &source);
        let origin = match &admitted {
            Ok(Some(grant)) => Origin::Subject(Arc::clone(grant.holder())),
            Ok(None) | Err(_) => source.clone(),
        };
        let grant = admitted.as_ref().ok().and_then(Option::as_deref);
        let wait = match self.turn(&origin, grant) {
            Ok(wait) => wait,
            Err(wait) => return Begun::answered(busy(answering, TOO_MANY, wait)),
        };
        let serve = move || match admitted {
            Ok(grant) => self.serve(route, request, answering, [origin, source], grant),
            Err(denial) => Begun::answered(early(&request, connection, denied(answering, denial))),
        };
        if wait.is_zero() {
            return serve();
        }
        Begun::Later(Box::pin(async move {
            tokio::time::sleep(wait).await;
            serve()
        }))
    }

    /// Serves a request that is admitted.
    fn serve(
        &self,
        route: Route,
        request: Request<Incoming>,
        answering: Answering,
        origins: [Origin; 2],
        grant: Option<Arc<Grant>>,
    ) -> Begun<'_> {
        match route {
            Route::Exchange => self.exchange(request, answering, origins, grant),
            Route::Probe(kind) => Begun::Later(Box::pin(async move {
                Begun::answered(self.probe(kind, request, answering, grant.as_deref()).await)
            })),
        }
    }

    /// Has the router open an exchange for a request, which counts for the first origin and came from the second.
    fn exchange(
        &self,
        request: Request<Incoming>,
        answering: Answering,
        origins: [Origin; 2],
        grant: Option<Arc<Grant>>,
    ) -> Begun<'_> {
        let (head, body) = request.into_parts();
        if let Some(at) = self.open(&head.headers, &answering, &origins, grant.as_ref()) {
            return Begun::Exchange(Driver::new(&self.shared, at, answering, grant), body);
        }
        Begun::Later(Box::pin(async move {
            let is_placed = self.shared.is_placed().await;
            let open = || self.open(&head.headers, &answering, &origins, grant.as_ref());
            match is_placed.then(open).flatten() {
                Some(at) => Begun::Exchange(Driver::new(&self.shared, at, answering, grant), body),
                None => Begun::answered(busy(answering, NO_ROUTER, 1)),
            }
        }))
    }

    /// `None`: no relay has the router.
    fn open(
        &self,
        headers: &HeaderMap,
        answering: &Answering,
        [origin, source]: &[Origin; 2],
        grant: Option<&Arc<Grant>>,
    ) -> Option<ExchangeRef> {
        let is_full = !answering.connection().is_open_to_all();
        // A relay without a policy reads no tokens, however long.
        let token = || grant.and_then(|_| bearer(headers)).map(Bytes::copy_from_slice);
        self.shared.open(origin, source, is_full, grant, token)
    }

    /// How long a request of this origin, which has this grant, waits for its turn.
    ///
    /// # Errors
    /// There are too many: after how many seconds to ask again.
    fn turn(&self, origin: &Origin, grant: Option<&Grant>) -> Result<Duration, u32> {
        if *origin == Origin::Exempt {
            return Ok(Duration::ZERO);
        }
        let admit = |router: &mut Router, now| {
            if let Some(grant) = grant {
                router.set_requests(now, origin, grant.requests());
            }
            router.admit_request(now, origin)
        };
        let wait = self.shared.with(admit).map(Duration::from_millis);
        wait.map_err(|wait| wait.div_ceil(1000).clamp(1, MAX_RETRY_AFTER) as u32)
    }

    /// Answers a probe.
    async fn probe(
        &self,
        kind: ProbeKind,
        request: Request<Incoming>,
        answering: Answering,
        grant: Option<&Grant>,
    ) -> Response<Answered> {
        let connection = Arc::clone(answering.connection());
        let Some(place) = self.probes.take().filter(|_| connection.is_open_to_all()) else {
            connection.refused();
            return busy(answering, FULL, RETRY_AFTER);
        };
        let (head, body) = request.into_parts();
        let arrival = match Arrival::read(self, grant, body).await {
            Ok(arrival) => arrival,
            Err(unread) => {
                let (status, why) = match unread {
                    Unread::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE),
                    Unread::Broken => (StatusCode::BAD_REQUEST, BROKE_OFF),
                };
                return closing(&connection, text(answering, status, why));
            }
        };
        if let ProbeKind::Hold(time) = kind {
            tokio::time::sleep(time).await;
        }
        let mut response = match kind {
            ProbeKind::Echo | ProbeKind::Hold(_) => {
                let told = arrival.tell(&head.headers, self.shared.cluster());
                text(answering, StatusCode::OK, told)
            }
            ProbeKind::Stream { pieces, gap } => {
                let pieces = Pieces::new(pieces, gap, place);
                let mut response =
                    Response::new(Answered::Pieces { pieces, _answering: answering });
                let headers = response.headers_mut();
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
                response
            }
        };
        let binary = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(CONTENT_TYPE, binary);
        response
    }

    /// What a request asks for.
    ///
    /// # Errors
    /// The answer to a request that is neither an exchange nor a probe.
    fn route(
        &self,
        request: &Request<Incoming>,
        connection: &Connection,
    ) -> Result<Route, (StatusCode, &'static str)> {
        let headers = request.headers();
        if request.version() >= Version::HTTP_11 && !has_host(headers) {
            let why = "byway relay: a request has one Host, and a valid one\n";
            return Err((StatusCode::BAD_REQUEST, why));
        }
        if connection.is_contradictory() {
            let why = "byway relay: a request has Content-Length or Transfer-Encoding, not both\n";
            return Err((StatusCode::BAD_REQUEST, why));
        }
        let path = request.uri().path();
        let at_base = path.strip_suffix('/').unwrap_or(path) == self.base;
        if at_base && matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err((StatusCode::OK, "byway relay: here\n"));
        }
        let query = request.uri().query().unwrap_or_default();
        let behind = path.strip_prefix(&self.base);
        let route = match behind.and_then(|path| path.strip_prefix(probe::PATH)) {
            Some(name) => ProbeKind::read(name, query, self.longest_hold).map(Route::Probe),
            None => (behind == Some("/v1")).then_some(Route::Exchange),
        };
        let Some(route) = route else {
            return Err((StatusCode::NOT_FOUND, "byway relay: POST to the base path and /v1\n"));
        };
        if request.method() != Method::POST {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "byway relay: only POST\n"));
        }
        // A browser adds this to what a page sends, also of a page whose name leads to this machine all of a sudden.
        if headers.contains_key(ORIGIN) {
            return Err((
                StatusCode::FORBIDDEN,
                "byway relay: web pages are not served (Origin)\n",
            ));
        }
        // A web page that is lured into a POST can send text and forms, but not this.
        let binary = HeaderValue::from_static("application/octet-stream");
        if headers.get(CONTENT_TYPE) != Some(&binary) {
            let why = "byway relay: a request has Content-Type application/octet-stream\n";
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        }
        if request.body().size_hint().lower() > self.max_body {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE));
        }
        Ok(route)
    }
}

/// Whether there is exactly one Host, and a valid one, as RFC 9112, 3.2 demands.
fn has_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    // The field is empty where a URL has no host.
    host.is_empty()
        || Authority::try_from(host.as_bytes()).is_ok_and(|host| !host.as_str().contains('@'))
}

/// How the reading of a body ended.
enum BodyEnd {
    /// The router has all of it, and was asked for the answer in the same call.
    Whole(Poll<Beginning>),
    /// The request is answered already, by an error that ends it.
    Early,
    Broken,
}

/// Gives the body to the router.
async fn upload(driver: &Driver, admission: &Admission, body: Incoming) -> BodyEnd {
    let mut body = pin!(body);
    let mut hold = BodyHold::new(admission, driver.grant());
    let mut chunk = Bytes::new();
    let (mut ended, mut is_whole) = (false, false);
    let (id, at) = (driver.id(), driver.at());
    poll_fn(|cx| {
        loop {
            if chunk.is_empty() && !ended {
                let frame = match hold.poll(cx) {
                    Poll::Ready(()) => body.as_mut().poll_frame(cx),
                    Poll::Pending => Poll::Pending,
                };
                match frame {
                    Poll::Ready(Some(Ok(frame))) => {
                        chunk = frame.into_data().unwrap_or_default();
                        hold.took(chunk.len());
                    }
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(BodyEnd::Broken),
                    Poll::Ready(None) => ended = true,
                    Poll::Pending => {
                        return driver.shared().poll(at, cx, |carrier, _| {
                            match carrier.complete_len(id) {
                                Some(_) => Poll::Ready(BodyEnd::Early),
                                None => Poll::Pending,
                            }
                        });
                    }
                }
                ended |= body.is_end_stream();
            }
            let taken = driver.shared().poll(at, cx, |carrier, now| {
                carrier.handle_body(now, id, &mut chunk);
                driver.note_admitted(carrier);
                if !chunk.is_empty() {
                    return Poll::Pending;
                }
                if !ended {
                    let is_answered = carrier.complete_len(id).is_some();
                    return Poll::Ready(is_answered.then_some(BodyEnd::Early));
                }
                carrier.handle_body_end(now, id);
                match begin(driver, carrier, now) {
                    Poll::Pending => {
                        is_whole = true;
                        Poll::Pending
                    }
                    beginning => Poll::Ready(Some(BodyEnd::Whole(beginning))),
                }
            });
            match taken {
                Poll::Pending if is_whole => {
                    return Poll::Ready(BodyEnd::Whole(Poll::Pending));
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(end)) => return Poll::Ready(end),
                Poll::Ready(None) => {}
            }
        }
    })
    .await
}

/// Gives the body to the router and waits for the beginning of the answer.
async fn exchange(
    driver: Driver,
    admission: &Admission,
    body: Incoming,
) -> Result<Response<Answered>, BrokenPipe> {
    // Nothing of the upload stays: an empty chunk would keep hyper's read buffer alive for the hold.
    let connection = Arc::clone(driver.connection());
    match upload(&driver, admission, body).await {
        BodyEnd::Whole(beginning) => answer(driver, Some(beginning)).await,
        BodyEnd::Early => Ok(closing(&connection, answer(driver, None).await?)),
        BodyEnd::Broken => {
            Ok(closing(&connection, text(driver.leave(), StatusCode::BAD_REQUEST, BROKE_OFF)))
        }
    }
}

/// How the router's answer begins.
enum Beginning {
    /// All of it is there: the router has forgotten the exchange.
    Whole(Bytes),
    /// A piece, and the octets in all if nothing more will be written.
    Piece(Bytes, Option<usize>),
    Refused(Refusal),
}

/// Asks the router for the beginning of the answer.
fn begin(driver: &Driver, carrier: &mut dyn Carrier, now: u64) -> Poll<Beginning> {
    let id = driver.id();
    driver.note_admitted(carrier);
    if driver.is_talked_over() {
        carrier.handle_behind(now, id);
    }
    let len = carrier.complete_len(id);
    let refused = carrier.refusal(id);
    match carrier.poll_response(now, id) {
        Answer::Pending => Poll::Pending,
        Answer::Bytes(piece) if len == Some(piece.len()) => {
            let end = carrier.poll_response(now, id);
            debug_assert_eq!(end, Answer::End, "the piece was all there is");
            Poll::Ready(Beginning::Whole(piece))
        }
        Answer::Bytes(piece) => Poll::Ready(Beginning::Piece(piece, len)),
        Answer::End => Poll::Ready(Beginning::Refused(refused.unwrap_or(Refusal::NoHello))),
    }
}

/// Waits for the beginning of the answer. `asked` is what the router said when it was asked last: if there was
/// nothing, it wakes the task.
async fn answer(
    driver: Driver,
    mut asked: Option<Poll<Beginning>>,
) -> Result<Response<Answered>, BrokenPipe> {
    let at = driver.at();
    let beginning = poll_fn(|cx| match asked.take() {
        Some(beginning) => beginning,
        None => driver.shared().poll(at, cx, |carrier, now| begin(&driver, carrier, now)),
    });
    let (body, len) = match beginning.await {
        Beginning::Whole(body) => {
            let len = Some(body.len() as u64);
            (Answered::Whole { body: Some(body), _answering: driver.finish() }, len)
        }
        Beginning::Piece(first, len) => {
            let len = len.map(|len| len as u64);
            (Answered::Router { driver, first: Some(first), len }, len)
        }
        Beginning::Refused(Refusal::Broken) => return Err(BrokenPipe),
        Beginning::Refused(why) => return Ok(refused(driver, why)),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match len {
        Some(len) => headers.insert(CONTENT_LENGTH, HeaderValue::from(len)),
        // A proxy is not to hold an answer back that may still grow.
        None => headers.insert("x-accel-buffering", HeaderValue::from_static("no")),
    };
    Ok(response)
}
