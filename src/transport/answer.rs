//! What a response is, going by its head, if it is no relay's answer.

use std::time::SystemTime;

use ureq::Body;
use ureq::http::header::{self, HeaderMap};
use ureq::http::{HeaderName, Response};

use super::describe;
use crate::error::{AuthScheme, Blocked, HeadFault};

/// When a full relay is asked again if it does not say when, in seconds.
const RETRY_AFTER: u8 = 5;

/// Longest time after which it, or what else is on the way, is asked again, whatever it says, in
/// seconds: a client that waits longer looks dead, and loses its channels after 66 s.
const MAX_RETRY_AFTER: u64 = 30;

/// Header lines that the HTTP client takes.
const MAX_LINES: usize = 128;

/// Why a response is no relay's answer, going by its head.
pub(super) fn refusal(response: &Response<Body>, by_proxy: bool) -> Option<Blocked> {
    let headers = response.headers();
    match response.status().as_u16() {
        200 => {}
        407 if by_proxy => {
            let offers = headers.get_all(header::PROXY_AUTHENTICATE).iter();
            return Some(refused_by_proxy(offers.filter_map(|value| value.to_str().ok())));
        }
        // What it says to a wrong password.
        401 if by_proxy && is_tinyproxy(response) => return Some(Blocked::ProxyAuth),
        status => return Some(limit(status, headers).unwrap_or(Blocked::Http(status))),
    }
    let field = |name| headers.get(name).and_then(|v| v.to_str().ok());
    let kind = field(header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let encoding = field(header::CONTENT_ENCODING).unwrap_or("identity").trim();
    if !kind.eq_ignore_ascii_case("application/octet-stream") {
        Some(Blocked::Foreign)
    } else if !encoding.eq_ignore_ascii_case("identity") {
        Some(Blocked::Compressed)
    } else {
        None
    }
}

/// The head of a response that is no relay's answer, for people.
pub(super) fn head(response: &Response<Body>) -> String {
    let field = |name: HeaderName| {
        let values = response.headers().get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(", ")
    };
    let mut words = vec![field(header::CONTENT_TYPE)];
    for (before, value) in [
        ("in ", field(header::CONTENT_ENCODING)),
        ("to ", field(header::LOCATION)),
        ("wants ", field(header::PROXY_AUTHENTICATE)),
    ] {
        if !value.is_empty() {
            words.push(format!("{before}{value}"));
        }
    }
    words.retain(|word| !word.is_empty());
    describe(response.status().as_u16(), &words.join(" "), "")
}

/// A status that says when to ask again: of a relay that is full, or of anything on the way.
/// Byway-Status is the relay's.
fn limit(status: u16, headers: &HeaderMap) -> Option<Blocked> {
    if status == 503 && headers.get("byway-status").is_some_and(|status| *status == "full") {
        return Some(Blocked::Full(seconds(headers).unwrap_or(RETRY_AFTER)));
    }
    later(status, headers)
}

/// When to ask again what lets nobody ask as often (429) or is out of order (503), and is no relay.
pub(super) fn later(status: u16, headers: &HeaderMap) -> Option<Blocked> {
    if !matches!(status, 429 | 503) {
        return None;
    }
    seconds(headers).map(|seconds| Blocked::Later(status, seconds))
}

/// Retry-After in seconds, as far as it is heeded.
fn seconds(headers: &HeaderMap) -> Option<u8> {
    retry_after(headers).map(|seconds| seconds.clamp(1, MAX_RETRY_AFTER) as u8)
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
pub(super) fn is_tinyproxy(response: &Response<Body>) -> bool {
    let headers = response.headers();
    let mut names = headers.get_all(header::VIA).iter().chain(headers.get(header::SERVER));
    names.any(|name| name.to_str().is_ok_and(|name| name.contains("tinyproxy")))
}

/// What a proxy wants that asks for a password, by the challenges it offers (RFC 9110 section 11.3).
pub(super) fn refused_by_proxy<'a>(offers: impl Iterator<Item = &'a str>) -> Blocked {
    let mut other = None;
    for scheme in offers.flat_map(schemes) {
        let known = match scheme.to_ascii_lowercase().as_str() {
            "basic" => return Blocked::ProxyAuth,
            "digest" => AuthScheme::Digest,
            "ntlm" => AuthScheme::Ntlm,
            "negotiate" => AuthScheme::Negotiate,
            _ => AuthScheme::Other,
        };
        if matches!(other, None | Some(AuthScheme::Other)) {
            other = Some(known);
        }
    }
    other.map_or(Blocked::ProxyAuth, Blocked::ProxyScheme)
}

/// The schemes in a list of challenges, where parameters are apart by commas, too.
fn schemes(offer: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let pieces = offer.split(move |c| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    });
    let words = pieces.filter_map(|piece| piece.split_whitespace().next());
    words.filter(|word| !word.contains('='))
}

/// Why the head of a response cannot be read, and what it is, for people.
pub(super) fn unreadable(head: &[u8]) -> (Blocked, String) {
    let text = String::from_utf8_lossy(head);
    let status = text.strip_prefix("HTTP/").and_then(|rest| {
        rest.split_ascii_whitespace().nth(1).and_then(|word| word.parse::<u16>().ok())
    });
    let Some(status) = status else {
        return (Blocked::Head(HeadFault::NotHttp), text.into_owned());
    };
    let end = text.find("\r\n\r\n").or_else(|| text.find("\n\n"));
    let lines = text[..end.unwrap_or(text.len())].lines();
    let folded = lines.clone().skip(2).position(|line| line.starts_with([' ', '\t']));
    let count = lines.clone().skip(1).count();
    let (fault, seen) = if let Some(at) = folded {
        let both = lines.skip(at + 1).take(2).collect::<Vec<_>>();
        (HeadFault::Folded, both.join("\\n"))
    } else if count > MAX_LINES {
        // The rest of them had perhaps not come.
        (HeadFault::TooMany, format!("{count} or more header lines"))
    } else if end.is_none() {
        (HeadFault::TooLong, format!("{} octets and no end of the header", head.len()))
    } else {
        (HeadFault::Malformed, text.into_owned())
    };
    let cause = if status == 200 { Blocked::Head(fault) } else { Blocked::Http(status) };
    (cause, describe(status, "", &seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_takes_basic_is_told_from_others() {
        for (offers, cause) in [
            (&[][..], Blocked::ProxyAuth),
            (&["Basic realm=\"x\""], Blocked::ProxyAuth),
            (&["Negotiate", "NTLM", "basic realm=x"], Blocked::ProxyAuth),
            (
                &["Digest realm=\"a, Basic\", qop=\"auth\", nonce=\"b\", Basic realm=x"],
                Blocked::ProxyAuth,
            ),
            (
                &["Digest realm=\"a, Basic b\", qop=\"auth\""],
                Blocked::ProxyScheme(AuthScheme::Digest),
            ),
            (&["NTLM"], Blocked::ProxyScheme(AuthScheme::Ntlm)),
            (&["Negotiate", "NTLM"], Blocked::ProxyScheme(AuthScheme::Negotiate)),
            (&["Bearer x==", "ntlm"], Blocked::ProxyScheme(AuthScheme::Ntlm)),
            (&["Bearer realm=x"], Blocked::ProxyScheme(AuthScheme::Other)),
        ] {
            assert_eq!(refused_by_proxy(offers.iter().copied()), cause, "{offers:?}");
        }
    }

    #[test]
    fn heads_that_cannot_be_read_say_why() {
        use HeadFault::{Folded, Malformed, NotHttp, TooLong, TooMany};
        let ok = "HTTP/1.1 200 OK\r\n";
        let many = "X: y\r\n".repeat(200);
        for (head, cause, seen) in [
            (format!("{ok}A: b\r\n c\r\nD: e\r\n\r\n"), Blocked::Head(Folded), "200: A: b\\n c"),
            (format!("{ok}A: b\r\n\tc"), Blocked::Head(Folded), "200: A: b\\n\tc"),
            (format!("{ok}{many}\r\n"), Blocked::Head(TooMany), "200: 200 or more"),
            (format!("{ok}A: {}", "b".repeat(200)), Blocked::Head(TooLong), "200: 220 octets"),
            (format!("{ok}A b\r\n\r\n"), Blocked::Head(Malformed), "200: HTTP/1.1 200 OK"),
            ("HTTP/1.1 503 No\r\nA: b\r\n c\r\n\r\n".into(), Blocked::Http(503), "503: A: b"),
            ("SSH-2.0-OpenSSH_9.2p1\r\n".into(), Blocked::Head(NotHttp), "SSH-2.0-OpenSSH"),
            ("220 mail ESMTP\r\n".into(), Blocked::Head(NotHttp), "220 mail"),
            (format!("{ok}A: b\r\n\r\n c\r\n"), Blocked::Head(Malformed), "200: "),
        ] {
            let (found, told) = unreadable(head.as_bytes());
            assert_eq!(found, cause, "{head}");
            assert!(told.starts_with(seen), "{told:?}");
        }
    }
}
