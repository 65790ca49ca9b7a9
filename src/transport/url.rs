//! The relay's URL, and hosts within URLs.

use std::net::{IpAddr, Ipv6Addr};

use ureq::http::uri::{Authority, PathAndQuery, Scheme};

use crate::error::ConfigError;

/// Why a URL or a part of it cannot be used.
type Reason = &'static str;

/// A host as it is dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// A name, or an address without brackets. A link-local address has its zone, as in `fe80::1%eth0`.
    text: String,
}

/// The port of the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    Given(u16),
    /// The default port of the scheme.
    Default(u16),
}

impl Port {
    pub fn number(self) -> u16 {
        match self {
            Self::Given(port) | Self::Default(port) => port,
        }
    }
}

impl Host {
    /// Reads `host`, `host:port`, `[address]` or `[address]:port`.
    pub fn with_port(text: &str) -> Result<(Self, Option<u16>), Reason> {
        const PORT: Reason = "no host, or a port out of range";
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or("a bracket without its other")?;
                let port = match rest.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if rest.is_empty() => None,
                    None => return Err(PORT),
                };
                (Self::address(host)?, port)
            }
            None => match text.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    return Err("an IPv6 address is written in brackets, as in [::1]");
                }
                Some((host, port)) => (Self::name(host)?, Some(port)),
                None => (Self::name(text)?, None),
            },
        };
        let is_number = |port: &&str| port.bytes().all(|octet| octet.is_ascii_digit());
        let port = port
            .map(|port| {
                Some(port)
                    .filter(is_number)
                    .and_then(|port| port.parse().ok())
                    .filter(|&port| port != 0)
                    .ok_or(PORT)
            })
            .transpose()?;
        Ok((host, port))
    }

    /// Reads the text in brackets: an IPv6 address, with a zone or without (RFC 6874 writes its `%` as
    /// `%25`).
    fn address(text: &str) -> Result<Self, Reason> {
        let (address, zone) = match text.split_once('%') {
            Some((address, zone)) => (address, Some(zone.strip_prefix("25").unwrap_or(zone))),
            None => (text, None),
        };
        if address.parse::<Ipv6Addr>().is_err() {
            return Err("what is in brackets is no IPv6 address");
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '~');
        match zone {
            None => Ok(Self { text: address.to_owned() }),
            Some(zone) if !zone.is_empty() && zone.chars().all(is_plain) => {
                Ok(Self { text: format!("{address}%{zone}") })
            }
            Some(_) => {
                Err("the zone of the address is no interface's name, as in [fe80::1%25eth0]")
            }
        }
    }

    fn name(text: &str) -> Result<Self, Reason> {
        if text.is_empty() {
            return Err("no host, or a port out of range");
        }
        if !text.is_ascii() {
            return Err(
                "its host name has letters beyond ASCII: write the name's form that begins with xn--",
            );
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '~');
        if !text.chars().all(is_plain) {
            return Err("its host name has a character that no host name has");
        }
        Ok(Self { text: text.to_owned() })
    }

    /// The host without brackets and with its zone.
    pub fn bare(&self) -> &str {
        &self.text
    }

    /// The host without its zone, which means nothing to others (RFC 6874 section 1).
    pub fn without_zone(&self) -> &str {
        self.text.split_once('%').map_or(&self.text, |(address, _)| address)
    }

    /// The host as URLs and Host have it: in brackets if it is an IPv6 address, and without its zone.
    pub fn in_url(&self) -> String {
        let host = self.without_zone();
        if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
    }
}

/// The host of a relay's URL, as it is in the relay's certificate: without brackets and zone, an address in
/// the form of RFC 5952.
pub(crate) fn host(url: &str) -> Result<String, ConfigError> {
    let url = RelayUrl::new(url)?;
    let host = url.host.without_zone();
    Ok(host.parse::<IpAddr>().map_or_else(|_| host.to_owned(), |address| address.to_string()))
}

/// Host, port and path of a relay's URL, by which clients tell relays apart.
pub(crate) fn place(url: &str) -> Result<String, ConfigError> {
    let url = RelayUrl::new(url)?;
    let host = url.host_field().to_ascii_lowercase();
    Ok(format!("{}{}", host, url.base))
}

/// The relay's URL in its parts.
#[derive(Debug, Clone)]
pub(super) struct RelayUrl {
    pub scheme: Scheme,
    pub host: Host,
    pub port: Port,
    /// Host and port as the URL has them, without a zone.
    pub authority: Authority,
    /// The path before `/v1`, without a slash at its end.
    pub base: String,
}

impl RelayUrl {
    /// Reads a URL. Blanks around it are ignored; blanks within it are an error, and so are all characters
    /// that must be percent-encoded.
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        Self::parse(url.trim()).map_err(ConfigError::RelayUrl)
    }

    fn parse(url: &str) -> Result<Self, Reason> {
        if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("it has a blank in it; write %20 if its path has one");
        }
        let (scheme, rest) = url.split_once("://").ok_or("neither http:// nor https://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::HTTP,
            "https" if cfg!(feature = "tls") => Scheme::HTTPS,
            "https" => return Err("https needs byway built with its feature `tls`"),
            _ => return Err("neither http:// nor https://"),
        };
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (place, path) = rest.split_at(at);
        if place.contains('@') {
            return Err("user and password have no place in it; give a header Authorization");
        }
        if path.contains(['?', '#']) {
            return Err("it may have a path, but no query or fragment");
        }
        if !path.is_ascii() {
            return Err(
                "its path has letters beyond ASCII; percent-encode them, as in %C3%BC for ü",
            );
        }
        let (host, port) = Host::with_port(place)?;
        let port = match port {
            Some(port) => Port::Given(port),
            None => Port::Default(if scheme == Scheme::HTTPS { 443 } else { 80 }),
        };
        let authority = match port {
            Port::Given(port) => format!("{}:{port}", host.in_url()),
            Port::Default(_) => host.in_url(),
        };
        let authority = Authority::try_from(authority).map_err(|_| "its host cannot be used")?;
        let base = path.trim_end_matches('/').to_owned();
        PathAndQuery::try_from(format!("{base}/"))
            .map_err(|_| "its path has a character that is to be percent-encoded")?;
        Ok(Self { scheme, host, port, authority, base })
    }

    /// The value of Host: with the port, unless that is the scheme's default.
    pub fn host_field(&self) -> String {
        let own = if self.scheme == Scheme::HTTPS { 443 } else { 80 };
        match self.port.number() {
            port if port == own => self.host.in_url(),
            port => format!("{}:{port}", self.host.in_url()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usable_urls_are_read_into_their_parts() {
        for (url, host, port, field, base) in [
            ("http://host:1", "host", 1, "host:1", ""),
            ("  http://host/a/b/ \n", "host", 80, "host", "/a/b"),
            ("HTTP://Host:80/", "Host", 80, "Host", ""),
            ("http://a_b-c.example./%20", "a_b-c.example.", 80, "a_b-c.example.", "/%20"),
            ("http://127.0.0.1:8080", "127.0.0.1", 8080, "127.0.0.1:8080", ""),
            ("http://[::1]:80", "::1", 80, "[::1]", ""),
            ("http://[fe80::1%25eth0]:8080/x", "fe80::1%eth0", 8080, "[fe80::1]:8080", "/x"),
            ("http://[fe80::1%eth0.7]", "fe80::1%eth0.7", 80, "[fe80::1]", ""),
            ("http://[fe80::1%253]", "fe80::1%3", 80, "[fe80::1]", ""),
            ("http://xn--bro-hoa.example", "xn--bro-hoa.example", 80, "xn--bro-hoa.example", ""),
        ] {
            let read = RelayUrl::new(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!((read.host.bare(), read.port.number()), (host, port), "{url}");
            assert_eq!((read.host_field().as_str(), read.base.as_str()), (field, base), "{url}");
        }
    }

    #[test]
    fn host_is_bare_and_an_address_canonical() {
        for (url, expected) in [
            ("http://Relay.Example.:80/x", "Relay.Example."),
            ("http://[2001:DB8:0:0::1]:80", "2001:db8::1"),
            ("http://[fe80::1%25eth0]", "fe80::1"),
            ("http://192.0.2.7", "192.0.2.7"),
        ] {
            assert_eq!(super::host(url).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn unusable_urls_are_refused_with_a_reason() {
        for (url, why) in [
            ("", "neither http"),
            ("host", "neither http"),
            ("host:1", "neither http"),
            ("ftp://host", "neither http"),
            ("http://", "no host"),
            ("http:///v1", "no host"),
            ("http://:80", "no host"),
            ("http://u:p@host", "Authorization"),
            ("http://host?x", "query"),
            ("http://host/a#x", "fragment"),
            ("http://host:99999", "out of range"),
            ("http://host:", "out of range"),
            ("http://host:+1", "out of range"),
            ("http://host:x", "out of range"),
            ("http://::1", "in brackets"),
            ("http://[::1", "bracket"),
            ("http://[::1]x", "out of range"),
            ("http://[host]", "no IPv6"),
            ("http://[fe80::1%]", "zone"),
            ("http://[fe80::1%25a/b]", "bracket"),
            ("http://büro.example", "xn--"),
            ("http://host/ü", "percent-encode"),
            ("http://host/a b", "%20"),
            ("http://ho st", "blank"),
            ("http://ho\"st", "no host name has"),
            ("http://host/\"<", "percent-encoded"),
        ] {
            let error = RelayUrl::new(url).expect_err(url).to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
        assert_eq!(RelayUrl::new("https://host").is_ok(), cfg!(feature = "tls"));
    }
}
