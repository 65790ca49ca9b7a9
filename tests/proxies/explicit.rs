//! A plain relay behind the proxies that users configure, asked in absolute form and never by
//! CONNECT.

use std::net::TcpListener;

use byway::client::{Client, Config};
use byway::error::{AuthScheme, Blocked, Error, TransportError};
use byway::transport::Proxy;

use crate::daemon::{Daemon, wait_for};
use crate::origin::Tap;
use crate::{PACES, carry, client, http, join, relay, scanner};

const LEN: usize = 2 << 20;

/// A password with characters that a URL must escape, and its form in a URL.
const WORD: (&str, &str) = ("s:e/c@t", "s%3Ae%2Fc%40t");

fn behind(proxy: String, port: u16) -> Config {
    Config {
        proxy: Proxy::Url(proxy),
        headers: vec![("X-Site".into(), "seven".into())],
        user_agent: "Gateway-Friendly/1.0".into(),
        ..Config::new(http(port))
    }
}

/// Carries data through the proxy at both paces; gives the proxy's log, and the heads at the
/// origin.
fn works(proxy: &Daemon, url: &str, mark: &str) -> (String, String) {
    let relay = relay();
    let tap = Tap::before(relay.local_addr());
    for pace in PACES {
        let one = client(pace, behind(url.to_owned(), tap.port));
        let other = client(pace, Config::new(relay.url()));
        let (a, b) = join(&one, &other);
        carry(&a, &b, LEN);
    }
    let seen = tap.seen();
    for line in ["\r\nx-site: seven\r\n", "\r\nuser-agent: gateway-friendly/1.0\r\n"] {
        assert!(seen.contains(line), "no {line:?} in {seen}");
    }
    // The proxy may log a request only when the request is over.
    let access = wait_for("note of both a send and a park", || {
        let access = proxy.access();
        (access.matches(mark).count() >= 4).then_some(access)
    });
    assert!(access.contains(&format!("http://127.0.0.1:{}/v1?n=", tap.port)), "{access}");
    assert!(!access.contains("CONNECT 127."), "{access}");
    (access, seen)
}

fn refused(proxy: String, cause: Blocked) {
    let relay = relay();
    let config = Config {
        open_timeout: std::time::Duration::from_secs(2),
        ..behind(proxy, relay.local_addr().port())
    };
    let error = Client::open(config).expect_err("no rights");
    assert_eq!(error, Error::Transport(TransportError::Blocked(cause)));
    let named = error.to_string().contains("the proxy wants authentication");
    assert_eq!(named, cause == Blocked::ProxyAuth, "{error}");
    assert_eq!(relay.stats().sends + relay.stats().parks, 0);
}

#[test]
fn streams_cross_squid() {
    let squid = Daemon::squid(443, &[]);
    works(&squid, &squid.url(), "TCP_MISS/200");
}

/// squid sends a scanned body in chunks, since its length is not known.
#[test]
fn streams_cross_squid_with_a_content_scanner() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let squid = Daemon::squid_that_scans(&scanner::squid_rules(port));
    scanner::scan(listener);
    let (_, seen) = works(&squid, &squid.url(), "TCP_MISS/200");
    let by_squid: Vec<_> =
        seen.split("post /v1?n=").filter(|head| head.contains("squid")).collect();
    assert!(by_squid.len() >= 4, "{seen}");
    for head in by_squid {
        let (head, _) = head.split_once("\r\n\r\n").unwrap_or((head, ""));
        assert!(head.contains("\r\ntransfer-encoding: chunked"), "{head}");
        assert!(!head.contains("\r\ncontent-length:"), "{head}");
    }
}

#[test]
fn streams_cross_squid_with_a_password() {
    let squid = Daemon::squid(443, &[("ann", WORD.0)]);
    let (access, seen) = works(&squid, &squid.url_for("ann", WORD.1), "TCP_MISS/200");
    assert!(!seen.contains("proxy-authorization"), "not the origin's to see: {seen}");
    assert!(!access.contains("/407"), "the first request has the password: {access}");
    refused(squid.url_for("ann", "wrong"), Blocked::ProxyAuth);
    refused(squid.url_for("bob", WORD.1), Blocked::ProxyAuth);
    refused(squid.url(), Blocked::ProxyAuth);
    assert!(squid.access().contains("TCP_DENIED/407"));
}

/// The client asks the proxy once, and not for the whole time-out: the proxy might lock the
/// password.
#[test]
fn squid_without_basic_is_named_by_what_it_wants() {
    let digest = "auth_param digest program /usr/lib/squid/digest_file_auth -c";
    let ntlm = "auth_param ntlm program /usr/lib/squid/ntlm_fake_auth\n";
    let negotiate = "auth_param negotiate program /usr/lib/squid/negotiate_kerberos_auth\n";
    let users = |at: &std::path::Path| {
        let users = crate::daemon::write(at, "users", "ann:squid:0\n");
        format!("{digest} {}\nauth_param digest realm squid\n", users.display())
    };
    let squid = Daemon::squid_that_asks(443, users);
    refused(squid.url_for("ann", "secret"), Blocked::ProxyScheme(AuthScheme::Digest));
    let squid = Daemon::squid_that_asks(443, |_| ntlm.to_owned());
    refused(squid.url_for(r"DOM\ann", "secret"), Blocked::ProxyScheme(AuthScheme::Ntlm));
    // Two tries are certain, which squid notes after it has answered; a third may have begun meanwhile.
    let asked = wait_for("second try", || {
        let asked = squid.access().matches("TCP_DENIED/407").count();
        (asked >= 2).then_some(asked)
    });
    assert!(asked <= 3, "{}", squid.access());
    let squid = Daemon::squid_that_asks(443, |_| negotiate.to_owned());
    refused(squid.url_for("ann", "secret"), Blocked::ProxyScheme(AuthScheme::Negotiate));
}

/// squid takes user names in small letters.
#[test]
fn password_needs_no_encoding_in_the_url() {
    for (user, word) in
        [("ann", "p/ss"), ("ann", "p@s#s?"), (r"dom\ann", "50%"), ("jürgen", "schlüssel")]
    {
        let squid = Daemon::squid(443, &[(user, word)]);
        let relay = relay();
        let config = behind(squid.url_for(user, word), relay.local_addr().port());
        Client::open(config).unwrap_or_else(|error| panic!("{user}:{word}: {error}"));
        assert!(!squid.access().contains("/407"), "{user}:{word}: {}", squid.access());
    }
}

#[test]
fn streams_cross_tinyproxy() {
    let tinyproxy = Daemon::tinyproxy(None);
    works(&tinyproxy, &tinyproxy.url(), "POST http://");
}

/// tinyproxy serves one request a connection without saying so, and passes octets behind it, in the
/// moment before it closes, to the origin as they are.
#[test]
fn streams_cross_tinyproxy_with_a_password() {
    let tinyproxy = Daemon::tinyproxy(Some(("ann", "secret")));
    let (_, seen) = works(&tinyproxy, &tinyproxy.url_for("ann", "secret"), "POST http://");
    assert!(!seen.contains("proxy-authorization"), "not the origin's to see: {seen}");
    // tinyproxy answers a wrong password with 401, as an origin would.
    refused(tinyproxy.url_for("ann", "wrong"), Blocked::ProxyAuth);
    refused(tinyproxy.url(), Blocked::ProxyAuth);
}
