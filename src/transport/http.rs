//! The ureq transport.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use ureq::http::header::{self, HeaderValue};
use ureq::http::{Error as HttpError, Method, Request as HttpRequest, Response};
use ureq::unversioned::transport::Connector;
use ureq::{Agent, Body, Error, SendBody, config::Config};

use super::address::{HttpConfig, RelayTarget};
use super::control::{Canceller, Control};
use super::dial::{Dialler, NoResolver};
use super::gather::{GatherConnector, Sight};
use super::race::HookFailed;
use super::resolve::ResolveFailed;
#[cfg(feature = "tls")]
use super::tls::TlsConnector;
use super::token::{Shown, Token};
use super::tunnel::Tunnel;
use super::{ExchangeFailure, Obstacle, Proxy, Request, Transport};
use crate::error::{Blocked, ConfigError, TokenFault};
use crate::http::detail;

/// Smallest buffer in octets: the head of a request or response must fit, to which proxies add.
pub(super) const MIN_BUFFER: usize = 4 * 1024;

/// Longest time an idle connection is kept, in seconds: below what proxies and address translators
/// keep it at least, a minute or more.
const IDLE_SECONDS: u64 = 50;

/// Deadline on silence while the first characters of a foreign page are read, in milliseconds.
const PAGE_SILENCE_MS: u32 = 500;

/// Most octets of a foreign page that are looked at: more than a line of a log has.
const PAGE_OCTETS: usize = 256;

/// Carries exchanges by HTTP/1.1 with ureq, over one connection at a time.
///
/// Memory: three buffers of [`HttpConfig::io_buffer`], of which two live with the connection; with TLS
/// two more live with the connection, and rustls adds its own. The transport follows no redirect, keeps no
/// cookie, decompresses nothing, and reads the environment only for [`Proxy::Environment`].
#[derive(Debug)]
pub struct HttpTransport {
    agent: Agent,
    way: Arc<RelayPath>,
    control: Arc<Control>,
    sight: Arc<Sight>,
    scratch: Box<[u8]>,
    /// The token of the request under way.
    shown: Option<Shown>,
}

/// The way to the relay, by a proxy or without, which the transports of a client have in common.
#[derive(Debug)]
pub(crate) struct RelayPath {
    config: HttpConfig,
    target: RelayTarget,
    #[cfg(feature = "tls")]
    tls: TlsConnector,
}

impl RelayPath {
    fn new(config: &HttpConfig) -> Result<Self, ConfigError> {
        let target = RelayTarget::new(config)?;
        #[cfg(feature = "tls")]
        let tls = match target.is_tls() {
            true => TlsConnector::new(&target.url.host, &config.roots, buffer(config))?,
            false => TlsConnector::default(),
        };
        Ok(Self {
            // The roots themselves were read into `tls` and are not kept a second time.
            config: HttpConfig { roots: super::Roots::Web, ..config.clone() },
            target,
            #[cfg(feature = "tls")]
            tls,
        })
    }

    /// Makes the way to the same relay by `proxy`, or by none.
    pub fn by(&self, proxy: Proxy) -> Result<Self, ConfigError> {
        let config = HttpConfig { proxy, ..self.config.clone() };
        Ok(Self {
            target: RelayTarget::new(&config)?,
            config,
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
        })
    }

    fn agent(&self, control: &Arc<Control>, sight: &Arc<Sight>) -> Agent {
        let Self { config, target, .. } = self;
        let buffer = buffer(config);
        let builder = Config::builder()
            .http_status_as_error(false)
            // The connectors below go through the proxy themselves.
            .proxy(None)
            .max_redirects(0)
            .user_agent("")
            .accept("")
            .accept_encoding("")
            .input_buffer_size(buffer)
            .output_buffer_size(buffer)
            .max_response_header_size(buffer - 1)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(Duration::from_secs(IDLE_SECONDS));
        let dialler = Dialler {
            control: Arc::clone(control),
            next_hop: target.next_hop(),
            timeout: config.connect_timeout,
            buffer,
            hooks: config.hooks.clone(),
        };
        let prefix = match target.forward_proxy() {
            Some(_) => format!("http://{}", target.url.authority),
            None => String::new(),
        };
        let gather = GatherConnector {
            control: Arc::clone(control),
            sight: Arc::clone(sight),
            prefix: prefix.into(),
        };
        let chain = ().chain(dialler).chain(Tunnel::new(target, &config.user_agent));
        #[cfg(feature = "tls")]
        let chain = chain.chain(self.tls.clone());
        Agent::with_parts(builder.build(), chain.chain(gather), NoResolver)
    }
}

impl HttpTransport {
    /// Checks the settings, and reads the trusted roots for `https://`. The transport dials with its first
    /// exchange.
    ///
    /// # Errors
    /// What is wrong with the settings, and what to do about it.
    pub fn new(config: &HttpConfig) -> Result<Self, ConfigError> {
        Ok(Self::by(Arc::new(RelayPath::new(config)?)))
    }

    /// Makes another transport of the same settings, with the same roots and TLS sessions, and with
    /// connections of its own.
    pub fn twin(&self) -> Self {
        Self::by(Arc::clone(&self.way))
    }

    /// The way to the relay.
    pub(crate) fn way(&self) -> &Arc<RelayPath> {
        &self.way
    }

    fn by(way: Arc<RelayPath>) -> Self {
        let control = Arc::new(Control::default());
        let sight = Arc::new(Sight::default());
        let agent = way.agent(&control, &sight);
        let scratch = vec![0; buffer(&way.config)].into_boxed_slice();
        Self { agent, way, control, sight, scratch, shown: None }
    }

    pub(super) fn request<'a>(
        &self,
        request: &Request,
        body: SendBody<'a>,
    ) -> Result<HttpRequest<SendBody<'a>>, Error> {
        let mut http = HttpRequest::new(body);
        *http.method_mut() = Method::POST;
        *http.uri_mut() = self.way.target.uri(request.seq)?;
        *http.headers_mut() = self.way.target.headers.clone();
        let len = HeaderValue::try_from(request.len.to_string()).map_err(HttpError::from)?;
        http.headers_mut().insert(header::CONTENT_LENGTH, len);
        let (name, scheme) = self.way.target.token_field();
        if let Some(value) = self.shown.as_ref().and_then(|shown| shown.field(scheme)) {
            http.headers_mut().insert(name, value);
        }
        Ok(http)
    }

    /// Reads a response until its body ends, if its head is that of a relay's answer.
    fn respond(
        &mut self,
        response: Response<Body>,
        sink: &mut dyn FnMut(&[u8]) -> Result<bool, Blocked>,
    ) -> Result<(), ExchangeFailure> {
        let by_proxy = self.way.target.forward_proxy().is_some();
        let (status, headers) = (response.status().as_u16(), response.headers());
        if let Some(cause) = detail::refused(status, headers, by_proxy) {
            return Err(self.describe(cause, response));
        }
        let serves_one = by_proxy && detail::is_tinyproxy(headers);
        let mut reader = response.into_body().into_reader();
        loop {
            match reader.read(&mut self.scratch) {
                Ok(0) => {
                    if serves_one {
                        self.control.disconnect();
                    }
                    return Ok(());
                }
                Ok(n) => {
                    let is_answered = sink(&self.scratch[..n]).map_err(|cause| {
                        ExchangeFailure::new(
                            cause,
                            true,
                            String::from_utf8_lossy(&self.scratch[..n.min(PAGE_OCTETS)]),
                        )
                    })?;
                    if is_answered {
                        self.control.answered();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.classify(error.into())),
            }
        }
    }

    /// Makes a failure of a response that is no relay's answer, with the beginning of its page.
    fn describe(&mut self, cause: Blocked, response: Response<Body>) -> ExchangeFailure {
        let mut seen = detail::line(response.status().as_u16(), response.headers());
        self.control.hurry(PAGE_SILENCE_MS);
        let mut reader = response.into_body().into_reader().take(PAGE_OCTETS as u64);
        // A page that breaks off is described as far as it goes.
        let n = reader.read(&mut self.scratch).unwrap_or(0);
        let cause = match cause {
            Blocked::Http(status) if detail::speaks_tls(status, &self.scratch[..n]) => {
                Blocked::WantsTls
            }
            cause => cause,
        };
        if n > 0 {
            seen = format!("{seen}: {}", String::from_utf8_lossy(&self.scratch[..n]));
        }
        ExchangeFailure::new(cause, true, seen)
    }

    fn classify(&self, error: Error) -> ExchangeFailure {
        let (sent, dialled) = (self.control.sent(), self.control.dialled());
        let cause = match &error {
            _ if self.control.cancelled() => Blocked::Cut,
            _ if self.control.is_used_up() => Blocked::Foreign,
            Error::HostNotFound | Error::Timeout(ureq::Timeout::Resolve) => Blocked::Dns,
            Error::Timeout(_) => Blocked::Silence,
            Error::Other(other) if other.is::<ResolveFailed>() => Blocked::Dns,
            Error::Other(other) if other.is::<HookFailed>() => Blocked::Hook,
            Error::Other(other) => match other.downcast_ref::<Obstacle>() {
                Some(obstacle) => {
                    return ExchangeFailure::new(obstacle.cause, sent, &obstacle.seen);
                }
                None => Blocked::Cut,
            },
            Error::Protocol(_) | Error::LargeResponseHeader(..) if sent => {
                let head = std::mem::take(&mut *self.sight.head());
                let (cause, seen) = match detail::is_alert(&head) && !self.way.target.is_tls() {
                    true => (Blocked::WantsTls, "an alert of TLS".into()),
                    false => detail::unreadable(&head),
                };
                return ExchangeFailure::new(cause, sent, seen);
            }
            _ if sent => Blocked::Cut,
            _ if !dialled => Blocked::Connect,
            // Connected, but the request did not get as far as going out.
            _ => Blocked::Cut,
        };
        let stale = cause == Blocked::Cut && !dialled && self.sight.is_stale();
        ExchangeFailure { stale, ..ExchangeFailure::new(cause, sent, error) }
    }

    /// Has the next exchange make a new connection, and ask for the host's addresses anew, after an answer
    /// that is no relay's: the relay may have moved, and something else stand where it stood. A front that
    /// says that it does not reach the relay has not moved: after its answer only the connection is new.
    fn look_anew(&self, failure: ExchangeFailure) -> ExchangeFailure {
        match failure.cause {
            Blocked::Http(502..=504) => self.control.disconnect(),
            Blocked::Foreign
            | Blocked::Http(300..=399 | 404 | 421 | 500..=599)
            | Blocked::Head(_)
            | Blocked::Compressed
            | Blocked::Tls(_) => {
                log::debug!(
                    "no relay answers there: the next exchange looks where the relay is now"
                );
                self.control.lock().names.ask_again();
                self.control.disconnect();
            }
            Blocked::Http(_)
            | Blocked::Dns
            | Blocked::Connect
            | Blocked::Hook
            | Blocked::Silence
            | Blocked::Cut
            | Blocked::FromBeyond
            | Blocked::WantsTls
            | Blocked::ProxyAuth
            | Blocked::ProxyScheme(_)
            | Blocked::Token(_)
            | Blocked::Full(_)
            | Blocked::Later(..)
            | Blocked::Relay(_) => {}
        }
        failure
    }
}

impl HttpTransport {
    /// Looks for another token after the relay has refused this one: with it, the next exchange may go at once.
    fn renew_token(&self, failure: ExchangeFailure) -> ExchangeFailure {
        let (Blocked::Token(TokenFault::Refused), Some(token), Some(sent)) =
            (failure.cause, &self.way.config.token, &self.shown)
        else {
            return failure;
        };
        if !token.renew(sent) {
            return failure;
        }
        log::info!(
            "the relay refuses the token, whose file has another by now: going on with that"
        );
        ExchangeFailure { stale: true, ..failure }
    }
}

/// Octets of each of the transport's buffers.
fn buffer(config: &HttpConfig) -> usize {
    config.io_buffer.max(MIN_BUFFER)
}

impl Transport for HttpTransport {
    fn exchange(
        &mut self,
        request: &Request,
        body: &mut dyn FnMut(&mut [u8]) -> usize,
        sink: &mut dyn FnMut(&[u8]) -> Result<bool, Blocked>,
    ) -> Result<(), ExchangeFailure> {
        self.control.begin(request.silence_ms, request.max_response);
        self.sight.begin();
        if let Some(way) = self.control.take_redirect() {
            self.agent = way.agent(&self.control, &self.sight);
            self.way = way;
        }
        if self.control.cancelled() {
            return Err(ExchangeFailure::new(Blocked::Cut, false, "interrupted by this program"));
        }
        self.shown = self.way.config.token.as_ref().and_then(Token::shown);
        let mut source = RequestBody { body, left: request.len };
        let response = self
            .request(request, SendBody::from_reader(&mut source))
            .and_then(|http| self.agent.run(http))
            .map_err(|error| self.classify(error));
        let exchanged = response.and_then(|response| self.respond(response, sink));
        exchanged.map_err(|failure| self.renew_token(self.look_anew(failure)))
    }

    fn canceller(&self) -> Canceller {
        Canceller(Arc::clone(&self.control))
    }
}

/// The request's body as ureq reads it.
struct RequestBody<'a> {
    body: &'a mut dyn FnMut(&mut [u8]) -> usize,
    left: usize,
}

impl Read for RequestBody<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(self.left);
        let n = (self.body)(&mut out[..most]).min(most);
        if n == 0 && self.left > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= n;
        Ok(n)
    }
}
