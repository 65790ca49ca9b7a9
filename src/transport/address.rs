//! Where the relay is, and by which way: URL, proxy, headers.

use std::fmt::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use ureq::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ureq::http::uri::{PathAndQuery, Scheme, Uri};

use super::hooks::Hooks;
use super::proxy::{Proxy, ProxyServer};
use super::token::Token;
use super::url::RelayUrl;
use crate::error::ConfigError;
use crate::http::request;
use crate::pin::KeyPin;

/// Settings of [`HttpTransport`](super::HttpTransport). `Debug` shows no values of header fields, among which
/// passwords are.
#[derive(Clone)]
pub struct HttpConfig {
    /// The relay's URL: `http://host:port` or `https://host`, with a path if the relay has one.
    pub url: String,
    /// The proxy through which requests go, or none.
    pub proxy: Proxy,
    /// Header fields that are added to every request, as name and value, 2 KiB in all at most.
    pub headers: Vec<(String, String)>,
    /// The value of the header field User-Agent. If it is empty, there is no such field.
    pub user_agent: String,
    /// The token that is shown to the relay, or none.
    pub token: Option<Token>,
    /// The certificates that are trusted for `https://`.
    pub roots: Roots,
    /// Longest time to connect by TCP, for all addresses of a host together. The same is the longest
    /// silence while TLS or a proxy's tunnel is set up.
    pub connect_timeout: Duration,
    /// Octets of each of the three buffers: input, output, scratch. Raised to 4 KiB if lower, since
    /// the head of a request or response must fit.
    pub io_buffer: usize,
    /// Functions of the program that are called on the way.
    pub hooks: Hooks,
}

impl HttpConfig {
    /// Default of [`connect_timeout`](Self::connect_timeout), 3 s: time for a SYN and two repeats of it.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

    /// Makes the settings for a relay without a proxy or header fields, with buffers of 16 KiB.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            proxy: Proxy::Direct,
            headers: Vec::new(),
            user_agent: concat!("byway/", env!("CARGO_PKG_VERSION")).into(),
            token: None,
            roots: Roots::default(),
            connect_timeout: Self::CONNECT_TIMEOUT,
            io_buffer: 16 * 1024,
            hooks: Hooks::default(),
        }
    }
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("HttpConfig")
            .field("url", &self.url)
            .field("headers", &names)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// The certificates that are trusted for `https://`. A trusted certificate is also taken from a server
/// itself, whether it is self-signed or issued, for its names and within its dates. A certificate that
/// basicConstraints (RFC 5280 section 4.2.1.9) does not mark as an authority's issues no others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Roots {
    /// The operating system's certificates, as curl and git have it, so that those of its administrator
    /// count. Where the system has none and the environment names none, as in small containers, those of
    /// the public web are trusted.
    #[default]
    SystemOrWeb,
    /// The operating system's certificates. Where these are files, `SSL_CERT_FILE` and `SSL_CERT_DIR`
    /// name others.
    System,
    /// The certificates of the public web, which are built in: Mozilla's.
    Web,
    /// The certificates of this text in PEM.
    Pem(Vec<u8>),
    /// The relay's own key: one of these. Several let the relay change to a key that its clients know
    /// already. The key alone is checked: that the server's certificate has it, and that the server
    /// signed the handshake by it. The certificate's names, dates, issuer and purpose do not count, so
    /// that a self-signed certificate will do, and a clock that is wrong.
    Pins(Vec<KeyPin>),
}

impl Roots {
    /// Reads pins, `pin:sha256/…`, behind which more may follow, each after a comma; or certificates in
    /// PEM, which are checked when a client opens.
    ///
    /// # Errors
    /// [`ConfigError::Setting`]: the text begins with `pin:`, and what follows are no pins.
    pub fn from_octets(octets: &[u8]) -> Result<Self, ConfigError> {
        let Some(pins) = octets.strip_prefix(b"pin:") else { return Ok(Self::Pem(octets.into())) };
        let pins = String::from_utf8_lossy(pins);
        Ok(Self::Pins(pins.trim().split(',').map(str::parse).collect::<Result<_, _>>()?))
    }
}

/// Most octets behind the base path: those before the number, and the digits of the largest u64.
const ENDPOINT: usize = request::PATH.len() + 20;

/// The relay as checked settings name it.
#[derive(Debug, Clone)]
pub(super) struct RelayTarget {
    pub url: RelayUrl,
    /// Header fields of every request, with a place for Content-Length.
    pub headers: HeaderMap,
    pub proxy: Option<ProxyServer>,
}

impl RelayTarget {
    /// Checks all settings.
    pub fn new(config: &HttpConfig) -> Result<Self, ConfigError> {
        let this = Self::without_token(config)?;
        this.check_token(config.token.as_ref())?;
        Ok(this)
    }

    /// Checks all settings but the token.
    pub fn without_token(config: &HttpConfig) -> Result<Self, ConfigError> {
        let url = RelayUrl::new(&config.url)?;
        let proxy = config.proxy.choose(url.scheme == Scheme::HTTPS, &url.host, url.port)?;
        let host = HeaderValue::try_from(url.host_field())
            .map_err(|_| ConfigError::RelayUrl("its host cannot be used"))?;
        let mut this = Self { url, headers: headers(config, host)?, proxy };
        let authorization = this.forward_proxy().and_then(|proxy| proxy.authorization.clone());
        if let Some(value) = authorization {
            this.headers.insert(header::PROXY_AUTHORIZATION, value);
        }
        Ok(this)
    }

    /// Checks that there is a token to send, if there is to be one, and that it may go this way.
    pub fn check_token(&self, token: Option<&Token>) -> Result<(), ConfigError> {
        let Some(token) = token else { return Ok(()) };
        if !self.is_tls() && !self.is_at_home() && !token.may_go_plain() {
            return Err(ConfigError::Setting(
                "the token would go over http://, where everybody on the way can read it; use https://, or say that it may (--token-over-http, token_over_http, Token::over_plain_http)",
            ));
        }
        token.load()
    }

    /// The URI of an exchange.
    pub fn uri(&self, seq: u64) -> Result<Uri, ureq::http::Error> {
        let RelayUrl { scheme, authority, base, .. } = &self.url;
        let mut path = String::with_capacity(base.len() + ENDPOINT);
        // A string takes whatever is written.
        let _ = write!(path, "{base}{}{seq}", request::PATH);
        Uri::builder()
            .scheme(scheme.clone())
            .authority(authority.clone())
            .path_and_query(PathAndQuery::try_from(path)?)
            .build()
    }

    pub fn is_tls(&self) -> bool {
        self.url.scheme == Scheme::HTTPS
    }

    /// Whether requests do not leave this machine.
    fn is_at_home(&self) -> bool {
        let host = self.url.host.bare();
        let address = host.parse::<IpAddr>().map(|address| address.to_canonical().is_loopback());
        self.proxy.is_none() && address.unwrap_or_else(|_| host.eq_ignore_ascii_case("localhost"))
    }

    /// The field by which the token is shown, and what stands before it: `Authorization`, unless that is
    /// another's.
    pub fn token_field(&self) -> (HeaderName, &'static str) {
        match self.headers.contains_key(header::AUTHORIZATION) {
            false => (header::AUTHORIZATION, "Bearer "),
            true => (HeaderName::from_static("byway-token"), ""),
        }
    }

    /// The proxy that is asked in absolute form, if there is one.
    pub fn forward_proxy(&self) -> Option<&ProxyServer> {
        self.proxy.as_ref().filter(|_| !self.is_tls())
    }

    /// The proxy that is asked for a tunnel, if there is one.
    pub fn tunnel_proxy(&self) -> Option<&ProxyServer> {
        self.proxy.as_ref().filter(|_| self.is_tls())
    }

    /// Host and port to dial.
    pub fn next_hop(&self) -> (String, u16) {
        match &self.proxy {
            Some(proxy) => (proxy.host.bare().to_owned(), proxy.port),
            None => (self.url.host.bare().to_owned(), self.url.port.number()),
        }
    }
}

/// Header fields that are the transport's own business.
const RESERVED: [HeaderName; 7] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::EXPECT,
    header::UPGRADE,
];

fn headers(config: &HttpConfig, host: HeaderValue) -> Result<HeaderMap, ConfigError> {
    let mut map = HeaderMap::new();
    // Set here, since ureq would put the field together for every request.
    map.insert(header::HOST, host);
    map.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    for (name, value) in request::FIELDS {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a constant is valid");
        map.insert(name, HeaderValue::from_static(value));
    }
    if !config.user_agent.is_empty() {
        let value = HeaderValue::from_str(&config.user_agent)
            .map_err(|_| ConfigError::Setting("the user agent is no valid header value"))?;
        map.insert(header::USER_AGENT, value);
    }
    let mut size = 0;
    for (name, value) in &config.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| ConfigError::Setting("a header's name is not valid"))?;
        if RESERVED.contains(&name) {
            return Err(ConfigError::Setting("a header is set that byway sets itself"));
        }
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| ConfigError::Setting("a header's value is not valid"))?;
        // Not to be shown: it may be a password.
        value.set_sensitive(true);
        size += name.as_str().len() + value.len() + 4;
        map.append(name, value);
    }
    if size > super::http::MIN_BUFFER / 2 {
        return Err(ConfigError::Setting("the headers are too long: 2 KiB in all at most"));
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uri_has_the_base_path_and_the_number() {
        let uri = |url: &str| {
            let target = RelayTarget::new(&HttpConfig::new(url)).expect("an address");
            target.uri(7).expect("a URI").to_string()
        };
        assert_eq!(uri("http://host:1"), "http://host:1/v1?n=7");
        assert_eq!(uri("http://host/a/b/"), "http://host/a/b/v1?n=7");
        assert_eq!(uri("http://[::1]:80"), "http://[::1]:80/v1?n=7");
        assert_eq!(uri("http://[fe80::1%25eth0]:81"), "http://[fe80::1]:81/v1?n=7");
    }

    #[test]
    fn reserved_and_invalid_headers_are_refused() {
        for (name, value) in [("Host", "x"), ("expect", "100-continue"), ("a b", "x"), ("a", "\n")]
        {
            let mut config = HttpConfig::new("http://host");
            config.headers.push((name.into(), value.into()));
            assert!(matches!(RelayTarget::new(&config), Err(ConfigError::Setting(_))), "{name}");
        }
    }

    #[test]
    fn plain_relays_are_asked_for_in_absolute_form_and_others_by_a_tunnel() {
        let asked = |url: &str| {
            let mut config = HttpConfig::new(url);
            config.proxy = Proxy::Url("http://user:word@proxy:3128".into());
            let target = RelayTarget::new(&config).expect("an address");
            assert_eq!(target.next_hop(), ("proxy".into(), 3128));
            let told = target.headers.contains_key(header::PROXY_AUTHORIZATION);
            (target.forward_proxy().is_some(), target.tunnel_proxy().is_some(), told)
        };
        assert_eq!(asked("http://host"), (true, false, true));
        if cfg!(feature = "tls") {
            assert_eq!(asked("https://host"), (false, true, false), "no password for the relay");
        }
    }
}
