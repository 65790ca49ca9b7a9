//! Who may read metrics and the status page.
//!
//! Without a token these are for programs of this machine alone: the address is a loopback one, and a request names it
//! as such, so that a page of the web whose name leads to this machine all of a sudden reads nothing. With a token its
//! bearers read them, from wherever they reach the address.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::http::uri::Authority;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::super::failure::CommandError;

/// Octets of the shortest token, so that nobody guesses it: 16 octets of chance have so many characters in base64.
const SHORTEST: usize = 22;

/// Octets of the longest token, as of those of clients.
const LONGEST: usize = 2 * 1024;

/// Who may read.
pub enum Access {
    /// Programs of this machine.
    Loopback,
    /// The bearers of this token.
    Token(Zeroizing<String>),
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// It does not show the token.
    NoToken,
    /// It names this machine otherwise than by a loopback address.
    ForeignHost,
}

impl Access {
    /// The bearers of the token in this file.
    pub fn by_token(path: &Path) -> Result<Self, CommandError> {
        let fault = |cause: &dyn std::fmt::Display| {
            CommandError::usage(format_args!("--metrics-token {}: {cause}", path.display()))
        };
        let mut text = Zeroizing::new(String::new());
        File::open(path)
            .and_then(|file| file.take(2 * LONGEST as u64).read_to_string(&mut text))
            .map_err(|error| fault(&format_args!("{error}; check the path and its permissions")))?;
        let token = text.trim();
        let is_one = (SHORTEST..=LONGEST).contains(&token.len())
            && token.bytes().all(|octet| octet.is_ascii_graphic());
        match is_one {
            true => Ok(Self::Token(Zeroizing::new(token.to_owned()))),
            false => Err(fault(&format_args!(
                "it has no token, which is a line of {SHORTEST} to {LONGEST} printable characters without blanks; write one by openssl rand -base64 32"
            ))),
        }
    }

    /// Refuses addresses at which others would read what is for this machine.
    pub fn check(&self, addresses: &[SocketAddr]) -> Result<(), CommandError> {
        let beyond = |address: &&SocketAddr| !address.ip().to_canonical().is_loopback();
        match (self, addresses.iter().find(beyond)) {
            (Self::Loopback, Some(address)) => Err(CommandError::usage(format_args!(
                "--metrics: {address} is open to everybody that reaches it: say who may read metrics by --metrics-token FILE, or give an address of this machine's own, as 127.0.0.1:9080"
            ))),
            (Self::Loopback | Self::Token(_), _) => Ok(()),
        }
    }

    /// Whether a request may read.
    pub fn admit(&self, headers: &HeaderMap) -> Result<(), Denial> {
        match self {
            Self::Loopback if is_for_loopback(headers) => Ok(()),
            Self::Loopback => Err(Denial::ForeignHost),
            Self::Token(token) if is_shown(headers, token) => Ok(()),
            Self::Token(_) => Err(Denial::NoToken),
        }
    }
}

/// Whether Host is an address of loopback, or `localhost`.
fn is_for_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    host.is_some_and(|host| {
        let host = host.host();
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        host.eq_ignore_ascii_case("localhost")
            || bare.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
    })
}

/// Whether the request shows the token: by Bearer, or by Basic as the password of any user.
fn is_shown(headers: &HeaderMap, token: &str) -> bool {
    let Some(field) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let Some((scheme, shown)) = field.split_once(' ') else { return false };
    let shown = shown.trim();
    let is_token = |octets: &[u8]| bool::from(octets.ct_eq(token.as_bytes()));
    if scheme.eq_ignore_ascii_case("Bearer") {
        return is_token(shown.as_bytes());
    }
    let pair = scheme.eq_ignore_ascii_case("Basic").then(|| STANDARD.decode(shown).ok()).flatten();
    pair.is_some_and(|pair| {
        let mut parts = pair.splitn(2, |octet| *octet == b':');
        parts.nth(1).is_some_and(is_token)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn with(name: hyper::header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).expect("a value"))])
    }

    #[test]
    fn loopback_is_read_by_its_own_names_alone() {
        for host in ["127.0.0.1:9080", "localhost:1", "LOCALHOST", "[::1]:9080", "127.8.8.8"] {
            assert_eq!(Access::Loopback.admit(&with(HOST, host)), Ok(()), "{host}");
        }
        for host in ["evil.example:9080", "10.0.0.1", "localhost.evil.example", "", "[::2]"] {
            let denial = Err(Denial::ForeignHost);
            assert_eq!(Access::Loopback.admit(&with(HOST, host)), denial, "{host}");
        }
        assert_eq!(Access::Loopback.admit(&HeaderMap::new()), Err(Denial::ForeignHost));
    }

    #[test]
    fn token_is_shown_as_bearer_or_as_password() {
        let access = Access::Token(Zeroizing::new("abcdefghijklmnopqrstuvwx".into()));
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for good in [
            "Bearer abcdefghijklmnopqrstuvwx".into(),
            "bearer  abcdefghijklmnopqrstuvwx".into(),
            basic("me:abcdefghijklmnopqrstuvwx"),
            basic(":abcdefghijklmnopqrstuvwx"),
        ] {
            assert_eq!(access.admit(&with(AUTHORIZATION, &good)), Ok(()), "{good}");
        }
        for bad in [
            String::new(),
            "Bearer".into(),
            "Bearer abcdefghijklmnopqrstuvw".into(),
            "abcdefghijklmnopqrstuvwx".into(),
            "Basic !".into(),
            basic("abcdefghijklmnopqrstuvwx"),
            basic("abcdefghijklmnopqrstuvwx:me"),
        ] {
            assert_eq!(access.admit(&with(AUTHORIZATION, &bad)), Err(Denial::NoToken), "{bad}");
        }
        assert_eq!(access.admit(&HeaderMap::new()), Err(Denial::NoToken));
    }

    #[test]
    fn address_of_others_takes_a_token() {
        let [own, any] = ["127.0.0.1:1", "0.0.0.0:1"].map(|text| text.parse().expect("one"));
        let token = Access::Token(Zeroizing::default());
        assert!(Access::Loopback.check(&[own]).is_ok());
        assert!(Access::Loopback.check(&[own, any]).is_err());
        assert!(token.check(&[any]).is_ok());
    }
}
