//! What a client with std finds out of a response that is no relay's answer, beyond the [`refusal`]: when
//! to ask again, what a proxy wants, what is wrong with a head, and a line for people.

use std::time::SystemTime;

use ureq::http::HeaderName;
use ureq::http::header::{self, HeaderMap};

use super::refusal::{BEYOND, CHALLENGE, refusal};
use crate::error::{AuthScheme, Blocked, HeadFault, TokenFault};

/// When a full relay is asked again if it does not say when, in seconds: what relays of this version say.
const RETRY_AFTER: u8 = 5;

/// Longest time after which a relay or a gateway is asked again, whatever it says, in seconds: a client
/// that waits longer looks dead, and loses its channels after 66 s.
const MAX_RETRY_AFTER: u64 = 30;

/// Header lines that ureq takes.
const MAX_LINES: usize = 128;

/// Why a response is no relay's answer, going by its status and its header fields; `None`: it may be one.
/// `by_proxy`: the request named the relay in full, for a proxy.
pub(crate) fn refused(status: u16, headers: &HeaderMap, by_proxy: bool) -> Option<Blocked> {
    let fields = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let cause = refusal(status, fields, by_proxy)?;
    Some(match cause {
        Blocked::ProxyAuth => wants_password(headers),
        // tinyproxy's answer to a wrong password.
        Blocked::Http(401) if by_proxy && is_tinyproxy(headers) => Blocked::ProxyAuth,
        Blocked::Http(401) => match challenges(headers).find_map(token_fault) {
            Some(fault) => Blocked::Token(fault),
            None => Blocked::Http(401),
        },
        Blocked::Http(403) if has_status(headers, BEYOND) => Blocked::FromBeyond,
        Blocked::Http(503) if has_status(headers, "full") => {
            Blocked::Full(retry_after(headers).unwrap_or(RETRY_AFTER))
        }
        Blocked::Http(status) => later(status, headers),
        cause => cause,
    })
}

/// The values of WWW-Authenticate.
fn challenges(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(header::WWW_AUTHENTICATE).iter().map(|value| value.as_bytes())
}

/// What a relay says by its challenge: that a token is wanted, or with more behind it, that the token is not
/// valid. Any other challenge is of a portal or a front.
fn token_fault(challenge: &[u8]) -> Option<TokenFault> {
    let more = challenge.strip_prefix(CHALLENGE.as_bytes())?;
    Some(if more.is_empty() { TokenFault::Wanted } else { TokenFault::Refused })
}

/// Why a proxy gives no tunnel, going by its answer to CONNECT, whose status is not 2xx.
pub(crate) fn tunnel_refused(status: u16, headers: &HeaderMap) -> Blocked {
    match status {
        // tinyproxy answers 401 to a wrong password.
        401 | 407 => wants_password(headers),
        status => later(status, headers),
    }
}

/// Whether the relay itself says why it refuses.
fn has_status(headers: &HeaderMap, word: &str) -> bool {
    headers.get("byway-status").is_some_and(|status| *status == word)
}

/// Whether the answer to a plain request is that of a server which speaks TLS at that port: as nginx, Apache,
/// Go's server, and a relay with TLS say it.
pub(crate) fn speaks_tls(status: u16, page: &[u8]) -> bool {
    const WORDS: [&str; 4] = [
        "plain HTTP request was sent to HTTPS port",
        "speaking plain HTTP to an SSL-enabled server port",
        "Client sent an HTTP request to an HTTPS server",
        "byway relay: this port speaks TLS",
    ];
    let page = String::from_utf8_lossy(page);
    status == 400 && WORDS.iter().any(|words| page.contains(words))
}

/// Whether these octets are an alert of TLS (RFC 8446, 5.1), by which a server that speaks nothing else answers.
pub(crate) fn is_alert(octets: &[u8]) -> bool {
    octets.starts_with(&[21, 3])
}

/// A status other than 200, with the time to ask again if the status lets nobody ask as often (429) or is
/// that of a gateway out of order (503), and it says so.
fn later(status: u16, headers: &HeaderMap) -> Blocked {
    match (status, retry_after(headers)) {
        (429 | 503, Some(seconds)) => Blocked::Later(status, seconds),
        _ => Blocked::Http(status),
    }
}

/// Retry-After in seconds, as far as it is heeded.
fn retry_after(headers: &HeaderMap) -> Option<u8> {
    seconds(headers).map(|seconds| seconds.clamp(1, MAX_RETRY_AFTER) as u8)
}

/// Retry-After in seconds (RFC 9110 section 10.2.3). A date counts from the response's Date, which is of
/// the same clock, or else from now; a date that is over says nothing.
fn seconds(headers: &HeaderMap) -> Option<u64> {
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

/// Whether a response came by tinyproxy, which serves one request a connection without saying so: what
/// follows before it closes would reach the origin as it is, the proxy's password too.
pub(crate) fn is_tinyproxy(headers: &HeaderMap) -> bool {
    let mut names = headers.get_all(header::VIA).iter().chain(headers.get(header::SERVER));
    names.any(|name| name.to_str().is_ok_and(|name| name.contains("tinyproxy")))
}

/// What a proxy wants that asks for a password, by the challenges that it offers (RFC 9110 section 11.3).
fn wants_password(headers: &HeaderMap) -> Blocked {
    let offers = headers.get_all(header::PROXY_AUTHENTICATE).iter();
    refused_by_proxy(offers.filter_map(|value| value.to_str().ok()))
}

fn refused_by_proxy<'a>(offers: impl Iterator<Item = &'a str>) -> Blocked {
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

/// Why the head of a response cannot be read, and a line on it for people.
pub(crate) fn unreadable(head: &[u8]) -> (Blocked, String) {
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

/// A line on a response that is no relay's answer, for people: its status, and what its header fields tell
/// of the reason.
pub(crate) fn line(status: u16, headers: &HeaderMap) -> String {
    let mut words = vec![joined(headers, header::CONTENT_TYPE)];
    for (before, name) in [("in ", header::CONTENT_ENCODING), ("to ", header::LOCATION)] {
        let value = joined(headers, name);
        if !value.is_empty() {
            words.push(format!("{before}{value}"));
        }
    }
    words.push(wishes(headers));
    words.retain(|word| !word.is_empty());
    describe(status, &words.join(" "), "")
}

/// A line on a proxy's answer to CONNECT, for people: its status, what it wants, and how its page begins.
pub(crate) fn tunnel_line(status: u16, headers: &HeaderMap, page: &str) -> String {
    describe(status, &wishes(headers), page)
}

/// The challenges of a proxy, for people.
fn wishes(headers: &HeaderMap) -> String {
    match &*joined(headers, header::PROXY_AUTHENTICATE) {
        "" => String::new(),
        offers => format!("wants {offers}"),
    }
}

/// All values of a header field.
fn joined(headers: &HeaderMap, name: HeaderName) -> String {
    let values = headers.get_all(name).iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(", ")
}

/// A line on a response, for people: its status, what its head says, and how its page begins.
fn describe(status: u16, head: &str, page: &str) -> String {
    let head = if head.is_empty() { status.to_string() } else { format!("{status} {head}") };
    if page.is_empty() { head } else { format!("{head}: {page}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_that_take_basic_are_told_from_others() {
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
    fn ports_of_tls_are_known_by_their_answer_to_plain_requests() {
        let nginx = b"<center>The plain HTTP request was sent to HTTPS port</center>";
        assert!(speaks_tls(400, nginx));
        assert!(!speaks_tls(200, nginx));
        assert!(!speaks_tls(400, b"<h1>Bad Request</h1>"));
        assert!(is_alert(&[21, 3, 1, 0, 2, 2, 70]));
        assert!(!is_alert(b"HTTP/1.1 400"));
    }

    #[test]
    fn only_the_challenge_of_a_relay_is_of_its_token() {
        use TokenFault::{Refused, Wanted};
        for (status, challenges, cause) in [
            (401, &[][..], Blocked::Http(401)),
            (401, &["Basic realm=\"byway\""], Blocked::Http(401)),
            (401, &["Bearer realm=\"other\""], Blocked::Http(401)),
            (401, &[CHALLENGE], Blocked::Token(Wanted)),
            (401, &["Basic realm=\"x\"", CHALLENGE], Blocked::Token(Wanted)),
            (401, &["Bearer realm=\"byway\", error=\"invalid_token\""], Blocked::Token(Refused)),
            (403, &[CHALLENGE], Blocked::Http(403)),
        ] {
            let mut headers = HeaderMap::new();
            for challenge in challenges {
                headers.append(header::WWW_AUTHENTICATE, challenge.parse().unwrap());
            }
            for by_proxy in [false, true] {
                assert_eq!(refused(status, &headers, by_proxy), Some(cause), "{challenges:?}");
            }
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
