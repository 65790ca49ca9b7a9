//! The HTTP proxy between this device and the relay, and the credentials that the proxy wants.

use std::fmt;

use base64::Engine;
use ureq::http::HeaderValue;

use super::no_proxy;
use super::url::{Host, Port};
use crate::error::ConfigError;

/// The HTTP proxy through which requests go, or none. Requests to `http://` relays have the absolute
/// form (never CONNECT, which most plain proxies refuse for them); those to `https://` relays go through a
/// CONNECT tunnel.
///
/// `Debug` shows a URL without user and password.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Proxy {
    /// Requests go directly, whatever the environment says.
    #[default]
    Direct,
    /// Requests go as `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` say; all but the first also
    /// in capitals.
    Environment,
    /// Requests go through the proxy of this URL: `http://user:password@host:port`, all but the host
    /// optional. In user and password `%` and two hexadecimal digits stand for an octet. The user has no
    /// colon, which Basic could not tell, and the host no `@`; any other character is allowed.
    Url(String),
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("Direct"),
            Self::Environment => f.write_str("Environment"),
            Self::Url(url) => {
                // Without a scheme, what is before :// may be part of a password.
                let shown = match (url.rsplit_once('@'), url.split_once("://")) {
                    (None, _) => url.clone(),
                    (Some((_, place)), Some((scheme, _))) if is_scheme(scheme.trim()) => {
                        format!("{scheme}://{place}")
                    }
                    (Some((_, place)), _) => place.to_owned(),
                };
                f.debug_tuple("Url").field(&shown).finish()
            }
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric())
}

impl Proxy {
    /// The proxy for a relay, if there is one.
    pub(super) fn choose(
        &self,
        is_tls: bool,
        relay: &Host,
        port: Port,
    ) -> Result<Option<ProxyServer>, ConfigError> {
        match self {
            Self::Direct => Ok(None),
            Self::Url(url) => ProxyServer::new(url).map(Some),
            Self::Environment => {
                // An exception counts whatever the others say.
                let exceptions = variable(&["no_proxy", "NO_PROXY"])?.unwrap_or_default();
                if no_proxy::excepts(&exceptions, relay.bare(), port.number()) {
                    return Ok(None);
                }
                // HTTP_PROXY in capitals is a request header to CGI programs, so nobody takes it.
                let names: &[&str] = match is_tls {
                    false => &["http_proxy", "all_proxy", "ALL_PROXY"],
                    true => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
                };
                variable(names)?.map(|url| ProxyServer::new(&url)).transpose()
            }
        }
    }
}

/// The first of these variables that has a value.
fn variable(names: &[&str]) -> Result<Option<String>, ConfigError> {
    let value = names.iter().filter_map(std::env::var_os).find(|value| !value.is_empty());
    let text = value.map(std::ffi::OsString::into_string).transpose();
    text.map_err(|_| {
        ConfigError::Setting(
            "the proxy or no_proxy in the environment is not UTF-8; percent-encode what is not ASCII",
        )
    })
}

/// A proxy whose URL was checked.
#[derive(Debug, Clone)]
pub(super) struct ProxyServer {
    pub host: Host,
    pub port: u16,
    /// The value of Proxy-Authorization.
    pub authorization: Option<HeaderValue>,
}

/// A proxy's port, if its URL has none.
const DEFAULT_PORT: u16 = 80;

impl ProxyServer {
    fn new(url: &str) -> Result<Self, ConfigError> {
        const INVALID: ConfigError = ConfigError::Setting(
            "the proxy, as set (--proxy) or in http_proxy or https_proxy, is not http://user:password@host:port; percent-encode in user and password what is no letter or digit",
        );
        let url = url.trim();
        let rest = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if is_scheme(scheme) => {
                return Err(ConfigError::Setting(
                    "only http:// proxies are supported; look at --proxy, http_proxy and https_proxy",
                ));
            }
            _ => url,
        };
        // The last `@` counts, since a password may have others in it.
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        let (host, port) = Host::with_port(place).map_err(|_| INVALID)?;
        let authorization = user.map(basic).transpose()?;
        Ok(Self { host, port: port.unwrap_or(DEFAULT_PORT), authorization })
    }
}

/// Encodes Basic credentials (RFC 7617), in UTF-8 unless other octets are percent-encoded.
fn basic(user: &str) -> Result<HeaderValue, ConfigError> {
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let mut octets = decode(user);
    if octets.contains(&b':') {
        return Err(ConfigError::Setting(
            "the proxy's user has a colon in it, which Basic cannot say; use another user",
        ));
    }
    octets.push(b':');
    octets.extend(decode(password));
    let encoded = base64::prelude::BASE64_STANDARD.encode(octets);
    let mut value = HeaderValue::try_from(format!("Basic {encoded}"))
        .map_err(|_| ConfigError::Setting("the proxy's user or password is too long"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Decodes percent-encoding. A percent sign without two hexadecimal digits behind it stays as it is.
fn decode(text: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|octet| (*octet as char).to_digit(16));
        match (octet, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                octets.push((high << 4 | low) as u8);
                rest = &behind[2..];
            }
            _ => {
                octets.push(octet);
                rest = behind;
            }
        }
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the proxy is told, without its encoding.
    fn told(url: &str) -> (String, u16, Option<Vec<u8>>) {
        let proxy = ProxyServer::new(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let told = proxy.authorization.map(|value| {
            let encoded = value.to_str().expect("ASCII").strip_prefix("Basic ").expect("Basic");
            base64::prelude::BASE64_STANDARD.decode(encoded).expect("base64")
        });
        (proxy.host.bare().to_owned(), proxy.port, told)
    }

    #[test]
    fn debug_shows_a_proxy_without_user_and_password() {
        for (url, shown) in [
            ("http://user:word@proxy:3128", r#"Url("http://proxy:3128")"#),
            (" HTTP://user:word@proxy:3128/ ", r#"Url(" HTTP://proxy:3128/ ")"#),
            ("http://user:p@word@[::1]:3128", r#"Url("http://[::1]:3128")"#),
            ("user:word@proxy:3128", r#"Url("proxy:3128")"#),
            ("user:http://word@proxy", r#"Url("proxy")"#),
            ("http://user:http://word@proxy", r#"Url("http://proxy")"#),
            ("socks5://user:word@proxy", r#"Url("socks5://proxy")"#),
            ("http://proxy:3128", r#"Url("http://proxy:3128")"#),
        ] {
            assert_eq!(format!("{:?}", Proxy::Url(url.into())), shown, "{url}");
        }
    }

    #[test]
    fn passwords_are_taken_as_they_are_typed_or_percent_encoded() {
        for (url, user) in [
            ("http://user:p%40ss@proxy:3128", "user:p@ss"),
            ("user:word@proxy:3128", "user:word"),
            (" HTTP://user:word@proxy:3128/ ", "user:word"),
            ("http://user:p/ss@proxy:3128", "user:p/ss"),
            ("http://user:p@s#s?@proxy:3128", "user:p@s#s?"),
            ("http://user:http://x@proxy:3128", "user:http://x"),
            (r"http://DOM\user:word@proxy:3128", r"DOM\user:word"),
            ("http://DOM%5Cuser:word@proxy:3128", r"DOM\user:word"),
            ("http://jürgen:schlüssel@proxy:3128", "jürgen:schlüssel"),
            ("http://j%C3%BCrgen:schl%c3%bcssel@proxy:3128", "jürgen:schlüssel"),
            ("http://user:50%@proxy:3128", "user:50%"),
            ("http://user:50%25%@proxy:3128", "user:50%%"),
            ("http://user:a:b%3Ac@proxy:3128", "user:a:b:c"),
            ("http://user:a b@proxy:3128", "user:a b"),
            ("http://user@proxy:3128", "user:"),
            ("http://:word@proxy:3128", ":word"),
        ] {
            assert_eq!(told(url), ("proxy".into(), 3128, Some(user.into())), "{url}");
        }
        let latin = told("http://j%FCrgen:x@proxy:3128").2.expect("a user");
        assert_eq!(latin, b"j\xfcrgen:x", "octets that are no UTF-8");
    }

    #[test]
    fn a_proxy_has_a_host_and_perhaps_a_port() {
        assert_eq!(told("proxy"), ("proxy".into(), 80, None));
        assert_eq!(told("http://proxy/"), ("proxy".into(), 80, None));
        assert_eq!(told("[::1]:3128"), ("::1".into(), 3128, None));
        assert_eq!(told("http://[fe80::1%25eth0]:3128"), ("fe80::1%eth0".into(), 3128, None));
        for (bad, why) in [
            ("", "percent-encode"),
            ("http://", "percent-encode"),
            ("http://proxy:x", "percent-encode"),
            ("http://proxy:99999", "percent-encode"),
            ("http://user:p/ss", "percent-encode"),
            ("http://user:word@", "percent-encode"),
            ("http://proxy:3128/proxy.pac", "percent-encode"),
            ("http://us%3Aer:word@proxy", "colon"),
            ("socks5://proxy", "only http://"),
            ("https://proxy", "only http://"),
        ] {
            let error = ProxyServer::new(bad).expect_err(bad);
            let told = error.to_string();
            assert!(
                matches!(error, ConfigError::Setting(_)) && told.contains(why),
                "{bad}: {told}"
            );
        }
    }
}
