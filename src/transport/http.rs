//! The ureq transport.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::SystemTime;

use ureq::http::header::{self, HeaderMap, HeaderValue};
use ureq::http::{Error as HttpError, Method, Request as HttpRequest, Response};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector};
use ureq::{Agent, Body, Error, SendBody, config::Config};

use super::address::{HttpConfig, Target};
use super::dial::{Canceller, Dialler, Line, NoResolver};
use super::gather::GatherConnector;
use super::{Failure, Request, Transport};
use crate::error::{Blocked, ConfigError};

/// Smallest buffer in octets: the head of a request or response must fit, proxies add to it.
pub(super) const MIN_BUFFER: usize = 4 * 1024;

/// Longest time an idle connection is kept, in seconds: below what proxies and address translators
/// keep it at least, a minute or more.
const IDLE_SECONDS: u64 = 50;

/// Deadline on silence while the first characters of a foreign page are read, in milliseconds.
const PAGE_SILENCE_MS: u32 = 500;

/// Octets of a foreign page that are looked at.
const PAGE_OCTETS: usize = 256;

/// When a full relay is asked again if it does not say when, in seconds.
const RETRY_AFTER: u8 = 5;

/// Longest time after which it is asked again, whatever it says, in seconds: a client that waits
/// longer looks dead.
const MAX_RETRY_AFTER: u64 = 30;

/// The same for what is no relay, in seconds: channels ride out more.
const LONGEST_RETRY_AFTER: u64 = 120;

/// Carries exchanges by HTTP/1.1 with ureq, over one connection at a time.
///
/// Memory: three buffers of [`HttpConfig::io_buffer`], of which two live with the connection; with
/// TLS ureq and rustls add their own. It follows no redirect, keeps no cookie, decompresses nothing
/// and looks at no environment unless told to.
#[derive(Debug)]
pub struct HttpTransport {
    agent: Agent,
    target: Target,
    line: Arc<Line>,
    scratch: Box<[u8]>,
}

impl HttpTransport {
    /// Checks the settings. Nothing is dialled before the first exchange.
    pub fn new(config: &HttpConfig) -> Result<Self, ConfigError> {
        let target = Target::new(config)?;
        let buffer = config.io_buffer.max(MIN_BUFFER);
        let line = Arc::new(Line::default());
        let builder = Config::builder()
            .http_status_as_error(false)
            .proxy(target.tunnel_proxy().cloned())
            .max_redirects(0)
            .user_agent("")
            .accept("")
            .accept_encoding("")
            .input_buffer_size(buffer)
            .output_buffer_size(buffer)
            .max_response_header_size(buffer - 1)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(std::time::Duration::from_secs(IDLE_SECONDS));
        #[cfg(feature = "tls")]
        let builder = builder.tls_config(tls_config(&config.roots_pem)?);
        let forward = target.forward_proxy();
        let dialler = Dialler {
            line: Arc::clone(&line),
            instead: forward.map(|proxy| (proxy.host().to_owned(), proxy.port())),
            timeout: config.connect_timeout,
            buffer,
        };
        let prefix = forward.map(|_| format!("http://{}", target.authority)).unwrap_or_default();
        let gather = GatherConnector { line: Arc::clone(&line), prefix: prefix.into() };
        let chain = ().chain(ConnectProxyConnector::default()).chain(dialler);
        #[cfg(feature = "tls")]
        let chain = chain.chain(ureq::unversioned::transport::RustlsConnector::default());
        let agent = Agent::with_parts(builder.build(), chain.chain(gather), NoResolver);
        Ok(Self { agent, target, line, scratch: vec![0; buffer].into_boxed_slice() })
    }

    fn request<'a>(
        &self,
        request: &Request,
        body: SendBody<'a>,
    ) -> Result<HttpRequest<SendBody<'a>>, Error> {
        let mut http = HttpRequest::new(body);
        *http.method_mut() = Method::POST;
        *http.uri_mut() = self.target.uri(request.seq)?;
        *http.headers_mut() = self.target.headers.clone();
        let len = HeaderValue::try_from(request.len.to_string()).map_err(HttpError::from)?;
        http.headers_mut().insert(header::CONTENT_LENGTH, len);
        Ok(http)
    }

    /// Reads on until the body ends, as far as it is a relay's.
    fn respond(
        &mut self,
        response: Response<Body>,
        sink: &mut dyn FnMut(&[u8]) -> Result<bool, Blocked>,
    ) -> Result<(), Failure> {
        let by_proxy = self.target.forward_proxy().is_some();
        if let Some(cause) = refusal(&response, by_proxy) {
            return Err(self.describe(cause, response));
        }
        let serves_one = by_proxy && is_tinyproxy(&response);
        let mut reader = response.into_body().into_reader();
        loop {
            match reader.read(&mut self.scratch) {
                Ok(0) => {
                    if serves_one {
                        self.line.disconnect();
                    }
                    return Ok(());
                }
                Ok(n) => {
                    let is_answered = sink(&self.scratch[..n]).map_err(|cause| {
                        Failure::new(
                            cause,
                            true,
                            String::from_utf8_lossy(&self.scratch[..n.min(PAGE_OCTETS)]),
                        )
                    })?;
                    if is_answered {
                        self.line.answered();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.classify(error.into())),
            }
        }
    }

    /// Says what came instead of an answer.
    fn describe(&mut self, cause: Blocked, response: Response<Body>) -> Failure {
        let status = response.status();
        let field = |map: &HeaderMap, name: header::HeaderName| {
            map.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
        };
        let mut seen = format!("{}", status.as_u16());
        if let Some(kind) = field(response.headers(), header::CONTENT_TYPE) {
            seen = format!("{seen} {kind}");
        }
        if let Some(place) = field(response.headers(), header::LOCATION) {
            seen = format!("{seen} to {place}");
        }
        self.line.hurry(PAGE_SILENCE_MS);
        let mut reader = response.into_body().into_reader().take(PAGE_OCTETS as u64);
        // A page that breaks off is described as far as it goes.
        let n = reader.read(&mut self.scratch).unwrap_or(0);
        if n > 0 {
            seen = format!("{seen}: {}", String::from_utf8_lossy(&self.scratch[..n]));
        }
        Failure::new(cause, true, seen)
    }

    fn classify(&self, error: Error) -> Failure {
        let (sent, dialled) = (self.line.sent(), self.line.dialled());
        let cause = match &error {
            _ if self.line.cancelled() => Blocked::Cut,
            _ if self.line.is_used_up() => Blocked::Foreign,
            Error::HostNotFound | Error::Timeout(ureq::Timeout::Resolve) => Blocked::Dns,
            Error::ConnectProxyFailed(text) => tunnel_refusal(text),
            Error::Timeout(_) => Blocked::Silence,
            Error::Protocol(_) | Error::LargeResponseHeader(..) if sent => Blocked::Foreign,
            _ if sent => Blocked::Cut,
            _ if !dialled => Blocked::Connect,
            // Connected, but the request did not get as far as going out.
            _ if self.target.scheme.as_str() == "https" => Blocked::Tls,
            _ => Blocked::Cut,
        };
        Failure::new(cause, sent, error)
    }
}

impl Transport for HttpTransport {
    fn exchange(
        &mut self,
        request: &Request,
        body: &mut dyn FnMut(&mut [u8]) -> usize,
        sink: &mut dyn FnMut(&[u8]) -> Result<bool, Blocked>,
    ) -> Result<(), Failure> {
        self.line.begin(request.silence_ms, request.max_response);
        if self.line.cancelled() {
            return Err(Failure::new(Blocked::Cut, false, "interrupted by this program"));
        }
        let mut source = Source { body, left: request.len };
        let response = self
            .request(request, SendBody::from_reader(&mut source))
            .and_then(|http| self.agent.run(http))
            .map_err(|error| self.classify(error))?;
        self.respond(response, sink)
    }

    fn canceller(&self) -> Canceller {
        Canceller(Arc::clone(&self.line))
    }
}

/// The request's body as ureq reads it.
struct Source<'a> {
    body: &'a mut dyn FnMut(&mut [u8]) -> usize,
    left: usize,
}

impl Read for Source<'_> {
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

/// Why a response is no relay's answer, going by its head.
fn refusal(response: &Response<Body>, by_proxy: bool) -> Option<Blocked> {
    match response.status().as_u16() {
        200 => {}
        407 if by_proxy => return Some(Blocked::ProxyAuth),
        // What it says to a wrong password.
        401 if by_proxy && is_tinyproxy(response) => return Some(Blocked::ProxyAuth),
        status => {
            return Some(limit(status, response.headers()).unwrap_or(Blocked::Http(status)));
        }
    }
    let field = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
    let kind = field(header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let encoding = field(header::CONTENT_ENCODING).unwrap_or("identity");
    let ours = kind.eq_ignore_ascii_case("application/octet-stream")
        && encoding.eq_ignore_ascii_case("identity");
    (!ours).then_some(Blocked::Foreign)
}

/// A status that says when to ask again: of a relay that is full, or of anything on the way that lets
/// nobody ask as often (429) or is out of order (503). Byway-Status is the relay's.
fn limit(status: u16, headers: &HeaderMap) -> Option<Blocked> {
    if !matches!(status, 429 | 503) {
        return None;
    }
    let seconds = |least, most| retry_after(headers).map(|s| s.clamp(least, most) as u8);
    if status == 503 && headers.get("byway-status").is_some_and(|status| *status == "full") {
        return Some(Blocked::Full(seconds(1, MAX_RETRY_AFTER).unwrap_or(RETRY_AFTER)));
    }
    seconds(1, LONGEST_RETRY_AFTER).map(|seconds| Blocked::Later(status, seconds))
}

/// Retry-After in seconds (RFC 9110, section 10.2.3). A date counts from that of the answer, by the same
/// clock, or else from now; one that is over says nothing.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|octet| octet.is_ascii_digit()) {
        // More than any number is long enough.
        return Some(value.parse().unwrap_or(u64::MAX));
    }
    let date = |text: &str| httpdate::parse_http_date(text.trim()).ok();
    let sent = headers.get(header::DATE).and_then(|value| date(value.to_str().ok()?));
    let left = date(value)?.duration_since(sent.unwrap_or_else(SystemTime::now)).ok()?;
    Some(left.as_secs()).filter(|&seconds| seconds > 0)
}

/// Whether this came by a proxy that serves one request a connection without saying so: what follows
/// before it closes would reach the origin as it is, the proxy's password too.
fn is_tinyproxy(response: &Response<Body>) -> bool {
    let headers = response.headers();
    let mut names = headers.get_all(header::VIA).iter().chain(headers.get(header::SERVER));
    names.any(|name| name.to_str().is_ok_and(|name| name.contains("tinyproxy")))
}

/// The status in ureq's "proxy server responded 407/407".
fn tunnel_refusal(text: &str) -> Blocked {
    let status = text.rsplit([' ', '/']).next().and_then(|status| status.parse().ok());
    match status {
        Some(401 | 407) => Blocked::ProxyAuth,
        Some(status) => Blocked::Http(status),
        None => Blocked::Connect,
    }
}

#[cfg(feature = "tls")]
fn tls_config(pem: &[u8]) -> Result<ureq::tls::TlsConfig, ConfigError> {
    use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

    const INVALID: ConfigError = ConfigError::Setting("the trusted roots are no PEM certificates");
    if pem.is_empty() {
        return Ok(TlsConfig::default());
    }
    let mut roots = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|_| INVALID)? {
            roots.push(certificate);
        }
    }
    if roots.is_empty() {
        return Err(INVALID);
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).build())
}
