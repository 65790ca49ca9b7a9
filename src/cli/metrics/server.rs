//! The server of metrics, on a thread of its own.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::runtime::Builder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::debug;

use super::access::{Access, Denial};
use super::page::Page;
use super::{Readiness, Watched, writer};

/// Connections served at once: those of some collectors, balancers and people. More wait.
const CONNECTIONS: usize = 128;

/// How long a connection may take for its request and for its answer: slow collectors need a second, and connections
/// that do nothing keep no balancer out for long.
const LONGEST: Duration = Duration::from_secs(10);

/// Octets of a connection's buffer: hyper's least, which has room for the head of a request.
const BUFFER: usize = 8 * 1024;

/// How long the listener is left alone when the system has no more file descriptors.
const PAUSE: Duration = Duration::from_millis(500);

/// Stack of the thread, in octets.
const STACK: usize = 512 * 1024;

/// As RFC 7617 has it, so that browsers ask for a password, which is the token.
const CHALLENGE: &str =
    "Basic realm=\"byway: any user, and the token as password\", charset=\"UTF-8\"";

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What answers requests.
pub struct Server {
    access: Access,
    watched: Arc<dyn Watched>,
    page: Page,
}

/// Starts the thread, which serves until the process ends.
pub fn start(listeners: Vec<TcpListener>, server: Server) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let context = runtime.enter();
    let listeners: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            listener.set_nonblocking(true)?;
            tokio::net::TcpListener::from_std(listener)
        })
        .collect::<io::Result<_>>()?;
    drop(context);
    let name = "byway-metrics".into();
    thread::Builder::new()
        .name(name)
        .stack_size(STACK)
        .spawn(move || runtime.block_on(accept(listeners, Arc::new(server))))?;
    Ok(())
}

async fn accept(listeners: Vec<tokio::net::TcpListener>, server: Arc<Server>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = poll_fn(|context| {
            let mut accepted = listeners.iter().map(|listener| listener.poll_accept(context));
            accepted.find(|poll| poll.is_ready()).unwrap_or(std::task::Poll::Pending)
        });
        match accepted.await {
            Ok((stream, _)) => _ = tokio::spawn(serve(stream, Arc::clone(&server), place)),
            Err(error) => {
                debug!(%error, "no connection to the metrics");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: tokio::net::TcpStream, server: Arc<Server>, _place: OwnedSemaphorePermit) {
    let answer = service_fn(|request: Request<Incoming>| {
        let response = server.answer(&request);
        async { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(LONGEST)
        // A connection for each request: those that wait for another would hold its place.
        .keep_alive(false)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), answer);
    match tokio::time::timeout(LONGEST, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a connection to the metrics ended"),
        Err(_) => debug!("a connection to the metrics took too long"),
    }
}

impl Server {
    pub fn new(access: Access, watched: Arc<dyn Watched>) -> Self {
        Self { access, watched, page: Page::new() }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            set(&mut response, ALLOW, "GET, HEAD");
            return response;
        }
        match request.uri().path() {
            "/healthz" => {
                let _ = self.watched.readiness();
                text(StatusCode::OK, "alive\n")
            }
            "/readyz" => match self.watched.readiness() {
                Readiness::Ready => text(StatusCode::OK, "ready\n"),
                Readiness::NotReady(why) => {
                    text(StatusCode::SERVICE_UNAVAILABLE, &format!("{why}\n"))
                }
            },
            path @ ("/" | "/metrics") => match self.access.admit(request.headers()) {
                Ok(()) if path == "/" => self.page(),
                Ok(()) => self.metrics(),
                Err(denial) => denied(denial),
            },
            _ => text(StatusCode::NOT_FOUND, "/, /metrics, /healthz or /readyz\n"),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let Ok(metrics) = writer::text(&self.watched) else {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n");
        };
        let mut response = text(StatusCode::OK, &metrics);
        set(&mut response, CONTENT_TYPE, OPEN_METRICS);
        response
    }

    fn page(&self) -> Response<Full<Bytes>> {
        let mut response = text(StatusCode::OK, Page::TEXT);
        set(&mut response, CONTENT_TYPE, "text/html; charset=utf-8");
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, self.page.policy());
        response
    }
}

fn denied(denial: Denial) -> Response<Full<Bytes>> {
    match denial {
        Denial::NoToken => {
            let mut response = text(
                StatusCode::UNAUTHORIZED,
                "the token of --metrics-token is wanted, as a bearer token or as the password\n",
            );
            set(&mut response, WWW_AUTHENTICATE, CHALLENGE);
            // By itself: browsers do not know it.
            response.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
        Denial::ForeignHost => text(
            StatusCode::FORBIDDEN,
            "without --metrics-token this is for this machine alone: ask for 127.0.0.1 or localhost\n",
        ),
    }
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, "text/plain; charset=utf-8");
    set(&mut response, CACHE_CONTROL, "no-store");
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, REFERRER_POLICY, "no-referrer");
    response
}

fn set(response: &mut Response<Full<Bytes>>, name: HeaderName, value: &'static str) {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}
