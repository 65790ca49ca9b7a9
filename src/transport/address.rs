//! Where the relay is, and by which way: URL, proxy, headers.

use std::fmt::Write;
use std::time::Duration;

use base64::Engine;
use ureq::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ureq::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use ureq::{Proxy as UreqProxy, ProxyProtocol};

use super::hooks::Hooks;
use crate::error::ConfigError;

/// Settings of [`HttpTransport`](super::HttpTransport).
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// The relay: `http://host:port`, `https://host`, with a path if it has one.
    pub url: String,
    /// Whether to go through a proxy.
    pub proxy: Proxy,
    /// Headers added to every request, as name and value.
    pub headers: Vec<(String, String)>,
    /// The header User-Agent; empty: none is sent.
    pub user_agent: String,
    /// Certificates (PEM) of the authorities to trust for `https://`; empty: those of the public web.
    pub roots_pem: Vec<u8>,
    /// Time to connect by TCP, all addresses of a host together; also the longest silence while TLS
    /// or a proxy's tunnel is set up.
    pub connect_timeout: Duration,
    /// Octets of each of the three buffers: input, output, scratch. Raised to 4 KiB if lower, since
    /// the head of a request or response must fit.
    pub io_buffer: usize,
    /// What the program does itself on the way.
    pub hooks: Hooks,
}

impl HttpConfig {
    /// Time to connect: a SYN and two repeats of it.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

    /// Settings for a relay with no proxy and no headers, and 16 KiB buffers.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            proxy: Proxy::Direct,
            headers: Vec::new(),
            user_agent: concat!("byway/", env!("CARGO_PKG_VERSION")).into(),
            roots_pem: Vec::new(),
            connect_timeout: Self::CONNECT_TIMEOUT,
            io_buffer: 16 * 1024,
            hooks: Hooks::default(),
        }
    }
}

/// Whether to go through an HTTP proxy. `http://` relays are asked for in absolute form (never
/// CONNECT, which most plain proxies refuse for them), `https://` relays through a CONNECT tunnel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Proxy {
    /// No proxy, whatever the environment says.
    #[default]
    Direct,
    /// What `http_proxy`, `https_proxy` (or its capitals), `all_proxy` and `no_proxy` say.
    Environment,
    /// This one: `http://user:password@host:port`, all but the host optional, percent-encoded.
    Url(String),
}

/// Most octets behind the base path: `/v1?n=` and the digits of the largest u64.
const ENDPOINT: usize = 6 + 20;

/// A checked address.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub scheme: Scheme,
    /// Host and port of the relay as the URL has them.
    pub authority: Authority,
    /// Path before `/v1`, without a slash at its end.
    pub base: String,
    /// Header fields of every request, with a place for Content-Length.
    pub headers: HeaderMap,
    pub proxy: Option<UreqProxy>,
}

impl Target {
    pub fn new(config: &HttpConfig) -> Result<Self, ConfigError> {
        let uri: Uri = config.url.parse().map_err(|_| ConfigError::RelayUrl("not a URL"))?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::HTTP,
            Some("https") if cfg!(feature = "tls") => Scheme::HTTPS,
            Some("https") => {
                return Err(ConfigError::RelayUrl(
                    "https needs byway built with its feature `tls`",
                ));
            }
            _ => return Err(ConfigError::RelayUrl("neither http nor https")),
        };
        let authority = uri.authority().ok_or(ConfigError::RelayUrl("no host"))?;
        if authority.as_str().contains('@') {
            return Err(ConfigError::RelayUrl("user and password have no place in it"));
        }
        let bare = authority.as_str() == authority.host();
        if authority.host().is_empty() || !(bare || authority.port_u16().is_some()) {
            return Err(ConfigError::RelayUrl("no host, or a port out of range"));
        }
        if uri.query().is_some() || config.url.contains('#') {
            return Err(ConfigError::RelayUrl("it may have a path, but no query or fragment"));
        }
        let proxy = choose_proxy(&config.proxy, &scheme, &uri)?;
        let mut headers = headers(config, host(&scheme, authority)?)?;
        let forward = proxy.as_ref().filter(|_| scheme == Scheme::HTTP);
        if let Some(value) = forward.map(credentials).transpose()?.flatten() {
            headers.insert(header::PROXY_AUTHORIZATION, value);
        }
        let authority = authority.clone();
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { scheme, authority, base, headers, proxy })
    }

    /// The URI of an exchange.
    pub fn uri(&self, seq: u64) -> Result<Uri, ureq::http::Error> {
        let mut path = String::with_capacity(self.base.len() + ENDPOINT);
        // A string takes whatever is written.
        let _ = write!(path, "{}/v1?n={seq}", self.base);
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(PathAndQuery::try_from(path)?)
            .build()
    }

    /// The proxy that is asked in absolute form, if there is one.
    pub fn forward_proxy(&self) -> Option<&UreqProxy> {
        self.proxy.as_ref().filter(|_| self.scheme == Scheme::HTTP)
    }

    /// The proxy that is asked for a tunnel, if there is one.
    pub fn tunnel_proxy(&self) -> Option<&UreqProxy> {
        self.proxy.as_ref().filter(|_| self.scheme == Scheme::HTTPS)
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

/// The value of Host: with the port, if it is not the scheme's own.
fn host(scheme: &Scheme, authority: &Authority) -> Result<HeaderValue, ConfigError> {
    let default = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    let host = match authority.port_u16().filter(|port| *port != default) {
        Some(port) => format!("{}:{port}", authority.host()),
        None => authority.host().to_owned(),
    };
    HeaderValue::try_from(host).map_err(|_| ConfigError::RelayUrl("no host"))
}

fn headers(config: &HttpConfig, host: HeaderValue) -> Result<HeaderMap, ConfigError> {
    let mut map = HeaderMap::new();
    // Said here, since ureq would put it together for every request.
    map.insert(header::HOST, host);
    map.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    map.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    // The answer is to come as it is, in no other encoding.
    map.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
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
        let value = HeaderValue::from_str(value)
            .map_err(|_| ConfigError::Setting("a header's value is not valid"))?;
        size += name.as_str().len() + value.len() + 4;
        map.append(name, value);
    }
    if size > super::http::MIN_BUFFER / 2 {
        return Err(ConfigError::Setting("the headers are too long: 2 KiB in all at most"));
    }
    Ok(map)
}

fn choose_proxy(
    choice: &Proxy,
    scheme: &Scheme,
    relay: &Uri,
) -> Result<Option<UreqProxy>, ConfigError> {
    let invalid = |_| ConfigError::Setting("the proxy is not http://user:password@host:port");
    let proxy = match choice {
        Proxy::Direct => return Ok(None),
        Proxy::Url(url) => UreqProxy::new(url).map_err(invalid)?,
        Proxy::Environment => {
            // HTTP_PROXY in capitals is a request header to CGI programs, so nobody takes it.
            let names: &[&str] = match scheme.as_str() {
                "http" => &["http_proxy", "all_proxy", "ALL_PROXY"],
                _ => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
            };
            let found = names.iter().filter_map(|n| std::env::var(n).ok()).find(|v| !v.is_empty());
            let Some(url) = found else { return Ok(None) };
            let proxy = UreqProxy::new(&url).map_err(invalid)?;
            let exceptions = std::env::var("no_proxy").or_else(|_| std::env::var("NO_PROXY"));
            if excepted(&exceptions.unwrap_or_default(), relay) {
                return Ok(None);
            }
            proxy
        }
    };
    if proxy.protocol() != ProxyProtocol::Http {
        return Err(ConfigError::Setting("only http:// proxies are supported"));
    }
    Ok(Some(proxy))
}

/// Whether `no_proxy` names the relay's host.
fn excepted(exceptions: &str, relay: &Uri) -> bool {
    let builder = UreqProxy::builder(ProxyProtocol::Http).host("proxy.invalid");
    exceptions
        .split(',')
        .fold(builder, |builder, entry| builder.no_proxy(entry.trim()))
        .build()
        .is_ok_and(|proxy| proxy.is_no_proxy(relay))
}

fn credentials(proxy: &UreqProxy) -> Result<Option<HeaderValue>, ConfigError> {
    if proxy.username().is_none() && proxy.password().is_none() {
        return Ok(None);
    }
    let (user, password) =
        (proxy.username().unwrap_or_default(), proxy.password().unwrap_or_default());
    let encoded = base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {encoded}"))
        .map_err(|_| ConfigError::Setting("the proxy's user or password is too long"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target, ConfigError> {
        Target::new(&HttpConfig::new(url))
    }

    #[test]
    fn urls() {
        let uri = |url: &str| target(url).unwrap().uri(7).unwrap().to_string();
        assert_eq!(uri("http://host:1"), "http://host:1/v1?n=7");
        assert_eq!(uri("http://host/a/b/"), "http://host/a/b/v1?n=7");
        assert_eq!(uri("http://[::1]:80"), "http://[::1]:80/v1?n=7");
        for bad in [
            "",
            "host",
            "host:1",
            "ftp://host",
            "http://",
            "http://u:p@host",
            "http://host?x",
            "http://host#x",
            "http://host:99999",
            "http:///v1",
        ] {
            assert!(matches!(target(bad), Err(ConfigError::RelayUrl(_))), "{bad}");
        }
        assert_eq!(target("https://host").is_ok(), cfg!(feature = "tls"));
    }

    #[test]
    fn reserved_and_invalid_headers_are_refused() {
        for (name, value) in [("Host", "x"), ("expect", "100-continue"), ("a b", "x"), ("a", "\n")]
        {
            let mut config = HttpConfig::new("http://host");
            config.headers.push((name.into(), value.into()));
            assert!(matches!(Target::new(&config), Err(ConfigError::Setting(_))), "{name}");
        }
    }

    #[test]
    fn proxies() {
        let mut config = HttpConfig::new("http://host");
        config.proxy = Proxy::Url("http://user:p%40ss@proxy:3128".into());
        let target = Target::new(&config).unwrap();
        assert_eq!(target.headers[header::PROXY_AUTHORIZATION], "Basic dXNlcjpwQHNz");
        assert_eq!(target.forward_proxy().map(|p| (p.host(), p.port())), Some(("proxy", 3128)));
        for bad in ["", "socks5://proxy", "https://proxy"] {
            config.proxy = Proxy::Url(bad.into());
            assert!(matches!(Target::new(&config), Err(ConfigError::Setting(_))), "{bad}");
        }
        let relay = "http://relay.local:8080".parse().unwrap();
        assert!(excepted("example.com,.local", &relay));
        assert!(!excepted("example.com", &relay));
        assert!(!excepted("", &relay));
    }
}
