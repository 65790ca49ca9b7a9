//! The ureq transport against servers written by hand.

mod answers;
mod dial;
mod silence;
#[cfg(feature = "tls")]
mod tunnels;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
#[cfg(feature = "tls")]
use crate::error::TlsFault;
use crate::error::{AuthScheme, ConfigError, HeadFault};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n";

/// A connection at the server, with what was read beyond the request at hand.
struct Peer {
    stream: TcpStream,
    rest: Vec<u8>,
}

struct Seen {
    head: String,
    body: Vec<u8>,
    /// Octets that the first read brought.
    first: usize,
}

impl Peer {
    fn request(&mut self) -> Seen {
        let mut buf = [0; 65536];
        let mut first = 0;
        loop {
            if let Some(end) = self.rest.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8(self.rest[..end + 4].to_vec()).unwrap();
                let len: usize = field(&head, "content-length").unwrap().parse().unwrap();
                if self.rest.len() >= end + 4 + len {
                    let body = self.rest[end + 4..end + 4 + len].to_vec();
                    self.rest.drain(..end + 4 + len);
                    return Seen { head, body, first };
                }
            }
            let n = self.stream.read(&mut buf).unwrap();
            assert!(n > 0, "no whole request");
            first = if first == 0 { n } else { first };
            self.rest.extend_from_slice(&buf[..n]);
        }
    }

    fn answer(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    fn ok(&mut self, body: &str) {
        self.answer(&format!("{OK}Content-Length: {}\r\n\r\n{body}", body.len()));
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// What the server does with a connection.
type Script = fn(&mut Peer) -> Option<Seen>;

/// Serves each connection in turn with the next of `scripts`.
fn serve<const N: usize>(scripts: [Script; N]) -> (String, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tx, rx) = channel();
    thread::spawn(move || {
        for script in scripts {
            let (stream, _) = listener.accept().unwrap();
            if let Some(seen) = script(&mut Peer { stream, rest: Vec::new() }) {
                let _ = tx.send(seen);
            }
        }
    });
    (url, rx)
}

fn transport(url: &str) -> HttpTransport {
    HttpTransport::new(&HttpConfig::new(url)).unwrap()
}

fn exchange(
    transport: &mut HttpTransport,
    seq: u64,
    body: &[u8],
) -> Result<Vec<u8>, ExchangeFailure> {
    exchange_within(transport, seq, body, 2_000)
}

fn exchange_within(
    transport: &mut HttpTransport,
    seq: u64,
    mut body: &[u8],
    silence_ms: u32,
) -> Result<Vec<u8>, ExchangeFailure> {
    let mut got = Vec::new();
    let request = Request { seq, len: body.len(), silence_ms, max_response: 16 << 20 };
    transport.exchange(&request, &mut |out| body.read(out).unwrap(), &mut |bytes| {
        got.extend_from_slice(bytes);
        Ok(false)
    })?;
    Ok(got)
}

#[test]
fn requests_take_a_write_each_and_share_a_connection() {
    let (url, seen) = serve([|peer| {
        let seen = peer.request();
        peer.ok("one");
        let second = peer.request();
        assert!(second.head.starts_with("POST /base/v1?n=8 HTTP/1.1\r\n"), "{}", second.head);
        peer.ok("two");
        Some(seen)
    }]);
    let mut config = HttpConfig::new(url.clone() + "/base/");
    config.headers.push(("X-Site".into(), "7".into()));
    let mut transport = HttpTransport::new(&config).unwrap();
    assert_eq!(exchange(&mut transport, 7, b"POST body").unwrap(), b"one");
    assert_eq!(exchange(&mut transport, 8, b"second").unwrap(), b"two");
    let seen = seen.recv().unwrap();
    assert_eq!(seen.body, b"POST body");
    assert_eq!(seen.first, seen.head.len() + seen.body.len(), "one write");
    assert!(seen.head.starts_with("POST /base/v1?n=7 HTTP/1.1\r\n"), "{}", seen.head);
    for (name, value) in [
        ("host", &url["http://".len()..]),
        ("content-type", "application/octet-stream"),
        ("cache-control", "no-store, no-transform"),
        ("content-length", "9"),
        ("user-agent", concat!("byway/", env!("CARGO_PKG_VERSION"))),
        ("x-site", "7"),
    ] {
        assert_eq!(field(&seen.head, name), Some(value), "{name}");
    }
    for name in ["expect", "transfer-encoding", "cookie", "proxy-authorization"] {
        assert_eq!(field(&seen.head, name), None, "{name}");
    }
    assert_eq!(seen.head.lines().count(), 8, "nothing else: {}", seen.head);
}

#[test]
fn large_bodies_stream_both_ways() {
    let (url, _) = serve([|peer| {
        for _ in 0..2 {
            let body = peer.request().body;
            peer.answer(&format!("{OK}Transfer-Encoding: chunked\r\n\r\n"));
            for chunk in body.chunks(10_000) {
                peer.answer(&format!("{:x}\r\n", chunk.len()));
                peer.stream.write_all(chunk).unwrap();
                peer.answer("\r\n");
            }
            peer.answer("0\r\n\r\n");
        }
        None
    }]);
    let body: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    let mut transport = transport(&url);
    assert!(exchange(&mut transport, 1, &body).unwrap() == body);
    // Just around the size of the output buffer, where the head pushes octets into a second write.
    for len in [16 * 1024 - 400, 16 * 1024 - 200, 16 * 1024, 16 * 1024 + 1] {
        let (url, _) = serve([|peer| {
            let body = peer.request().body;
            peer.answer(&format!("{OK}\r\n"));
            peer.stream.write_all(&body).unwrap();
            None
        }]);
        let mut transport = self::transport(&url);
        assert!(exchange(&mut transport, 1, &body[..len]).unwrap() == body[..len], "{len}");
    }
}

#[test]
fn foreign_answers_are_named_and_described() {
    type Case = (&'static str, Blocked, &'static str);
    let cases: [(Script, Case); 9] = [
        (
            |p| {
                page(p, "200 OK\r\nContent-Type: text/html", "<html>Welcome to\n Hotel WiFi</html>")
            },
            ("portal", Blocked::Foreign, "200 text/html: <html>Welcome to Hotel WiFi</html>"),
        ),
        (
            |p| page(p, "302 Found\r\nLocation: http://portal/login", ""),
            ("redirect", Blocked::Http(302), "302 to http://portal/login"),
        ),
        (
            |p| page(p, "307 Temporary Redirect\r\nLocation: /elsewhere", ""),
            ("redirect with body", Blocked::Http(307), "307 to /elsewhere"),
        ),
        (
            |p| page(p, "407 Proxy Authentication Required", "no"),
            ("proxy", Blocked::Http(407), "407: no"),
        ),
        (
            |p| page(p, "500 Oops\r\nContent-Type: text/html", "<h1>Oops</h1>"),
            ("server error", Blocked::Http(500), "500 text/html: <h1>Oops</h1>"),
        ),
        (
            |p| page(p, "200 OK\r\nContent-Type: application/octet-streams", "x"),
            ("wrong type", Blocked::Foreign, "200 application/octet-streams: x"),
        ),
        (
            |p| {
                let kind = "application/octet-stream\r\nContent-Encoding: gzip";
                page(p, &format!("200 OK\r\nContent-Type: {kind}"), "x")
            },
            ("compressed", Blocked::Compressed, "200 application/octet-stream in gzip: x"),
        ),
        (
            |p| {
                p.request();
                p.answer("220 mail.example.com ESMTP\r\n\r\n");
                None
            },
            ("no HTTP", Blocked::Head(HeadFault::NotHttp), "220 mail.example.com ESMTP"),
        ),
        (
            |p| page(p, &format!("200 OK\r\nX-Long: {}", "x".repeat(20_000)), ""),
            ("endless head", Blocked::Head(HeadFault::TooLong), "200: 16"),
        ),
    ];
    for (script, (name, cause, seen)) in cases {
        let (url, _) = serve([script]);
        let failure = exchange(&mut transport(&url), 1, b"hello").unwrap_err();
        assert_eq!((failure.cause, failure.sent), (cause, true), "{name}: {failure:?}");
        assert!(failure.seen.starts_with(seen), "{name}: {failure:?}");
        assert!(
            failure.seen.len() <= ExchangeFailure::SEEN && !failure.seen.is_empty(),
            "{failure:?}"
        );
    }
}

fn page(peer: &mut Peer, head: &str, body: &str) -> Option<Seen> {
    peer.request();
    peer.answer(&format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    None
}

#[test]
fn cut_and_silent_answers_fail_by_their_causes() {
    let (url, _) = serve([
        |peer| {
            peer.request();
            peer.answer(&format!("{OK}Content-Length: 10\r\n\r\nhalf"));
            None
        },
        |peer| {
            peer.request();
            None
        },
        |peer| {
            peer.request();
            peer.answer(&format!("{OK}Content-Length: 10\r\n\r\nhalf"));
            // Until the client hangs up.
            let _ = peer.stream.read(&mut [0; 16]);
            None
        },
    ]);
    let mut transport = transport(&url);
    let mut cause = |silence| {
        let failure = exchange_within(&mut transport, 1, b"x", silence).unwrap_err();
        assert!(failure.sent);
        failure.cause
    };
    assert_eq!(cause(2_000), Blocked::Cut);
    assert_eq!(cause(2_000), Blocked::Cut);
    let before = Instant::now();
    assert_eq!(cause(150), Blocked::Silence);
    assert!((100..1_000).contains(&before.elapsed().as_millis()));
}

#[test]
fn an_early_refusal_is_heard_though_the_body_is_not_taken() {
    let (url, _) = serve([|peer| {
        let mut head = [0; 1024];
        let _ = peer.stream.read(&mut head).unwrap();
        peer.answer("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        peer.stream.shutdown(Shutdown::Write).unwrap();
        thread::sleep(Duration::from_millis(300));
        None
    }]);
    let body = vec![7; 20 << 20];
    let failure = exchange_within(&mut transport(&url), 1, &body, 200).unwrap_err();
    assert_eq!(failure.cause, Blocked::Http(413), "{failure:?}");
}

#[test]
fn a_connection_found_dead_is_replaced() {
    let (tx, rx) = channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for _ in 0..3 {
            let mut peer = Peer { stream: listener.accept().unwrap().0, rest: Vec::new() };
            peer.request();
            peer.ok("fine");
            drop(peer);
            tx.send(()).unwrap();
        }
    });
    let mut transport = transport(&url);
    for seq in 0..3 {
        assert_eq!(exchange(&mut transport, seq, b"x").unwrap(), b"fine");
        rx.recv().unwrap();
    }
}

#[test]
fn refused_connections_and_unknown_names_are_told_apart() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let failure = exchange(&mut transport(&format!("http://127.0.0.1:{port}")), 1, b"x");
    let failure = failure.unwrap_err();
    assert_eq!((failure.cause, failure.sent), (Blocked::Connect, false), "{failure:?}");
    let failure = exchange(&mut transport("http://no-such-host.invalid"), 1, b"x").unwrap_err();
    assert_eq!((failure.cause, failure.sent), (Blocked::Dns, false), "{failure:?}");
}

#[test]
fn names_are_resolved_by_the_system() {
    let (url, _) = serve([|peer| {
        peer.request();
        peer.ok("named");
        None
    }]);
    let mut transport = transport(&url.replace("127.0.0.1", "localhost"));
    assert_eq!(exchange(&mut transport, 1, b"x").unwrap(), b"named");
}

#[test]
fn another_thread_breaks_an_exchange_and_the_next_dials() {
    let (url, _) = serve([
        |peer| {
            peer.request();
            let _ = peer.stream.read(&mut [0; 16]);
            None
        },
        |peer| {
            peer.request();
            peer.ok("again");
            let _ = peer.stream.read(&mut [0; 16]);
            None
        },
        |peer| {
            peer.request();
            peer.ok("and again");
            None
        },
    ]);
    let mut transport = transport(&url);
    let canceller = transport.canceller();
    let breaker = canceller.clone();
    let (tx, rx) = channel();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        tx.send(Instant::now()).unwrap();
        breaker.cancel();
    });
    let failure = exchange_within(&mut transport, 1, b"x", 60_000).unwrap_err();
    assert!(rx.recv().unwrap().elapsed() < Duration::from_millis(100));
    assert_eq!((failure.cause, failure.sent), (Blocked::Cut, true));
    let failure = exchange(&mut transport, 2, b"x").unwrap_err();
    assert_eq!((failure.cause, failure.sent), (Blocked::Cut, false), "not reset");
    canceller.reset();
    assert_eq!(exchange(&mut transport, 3, b"x").unwrap(), b"again");
    canceller.disconnect();
    assert_eq!(exchange(&mut transport, 4, b"x").unwrap(), b"and again");
}

#[test]
fn sink_ends_the_exchange_with_its_cause() {
    let (url, _) = serve([|peer| {
        peer.request();
        peer.ok("something else");
        None
    }]);
    let request = Request { seq: 1, len: 1, silence_ms: 2_000, max_response: 1 << 20 };
    let failure = transport(&url)
        .exchange(&request, &mut |out| out.len(), &mut |_| Err(Blocked::Foreign))
        .unwrap_err();
    assert_eq!(failure, ExchangeFailure::new(Blocked::Foreign, true, "something else"));
}

#[test]
fn a_plain_proxy_gets_the_absolute_form() {
    let (url, seen) = serve([|peer| {
        let seen = peer.request();
        peer.ok("by proxy");
        Some(seen)
    }]);
    let mut config = HttpConfig::new("http://relay.invalid:8080/at");
    config.proxy = Proxy::Url(url.replace("http://", "http://user:word@"));
    let mut transport = HttpTransport::new(&config).unwrap();
    assert_eq!(exchange(&mut transport, 3, b"x").unwrap(), b"by proxy");
    let seen = seen.recv().unwrap();
    let line = "POST http://relay.invalid:8080/at/v1?n=3 HTTP/1.1\r\n";
    assert!(seen.head.starts_with(line), "{}", seen.head);
    assert_eq!(field(&seen.head, "host"), Some("relay.invalid:8080"));
    assert_eq!(field(&seen.head, "proxy-authorization"), Some("Basic dXNlcjp3b3Jk"));
    assert_eq!(seen.first, seen.head.len() + seen.body.len(), "one write");
}

#[test]
fn a_proxys_password_is_in_no_debug_output() {
    let (proxy, _) = serve([|peer| {
        peer.request();
        peer.ok("by proxy");
        let _ = peer.stream.read(&mut [0; 16]);
        None
    }]);
    let proxy = Proxy::Url(proxy.replace("http://", "http://user:Wörd-7@"));
    for url in ["http://relay.invalid", "https://relay.invalid"] {
        if url.starts_with("https") && cfg!(not(feature = "tls")) {
            continue;
        }
        let mut config = HttpConfig { proxy: proxy.clone(), ..HttpConfig::new(url) };
        config.roots = Roots::Web;
        let client =
            crate::client::Config { proxy: proxy.clone(), ..crate::client::Config::new(url) };
        let mut transport = HttpTransport::new(&config).unwrap();
        let before = format!("{transport:?} {transport:#?}");
        if url.starts_with("http:") {
            assert_eq!(exchange(&mut transport, 1, b"x").unwrap(), b"by proxy");
        }
        let request = transport.request(
            &Request { seq: 1, len: 1, silence_ms: 1, max_response: 1 },
            ureq::SendBody::none(),
        );
        for told in [
            format!("{config:?}"),
            format!("{client:?}"),
            before,
            format!("{transport:?}"),
            format!("{:?}", transport.way()),
            format!("{:?}", request.unwrap().headers()),
        ] {
            for secret in ["Wörd-7", "dXNlcjpXw7ZyZC03"] {
                assert!(!told.contains(secret), "{secret} in {told}");
            }
        }
    }
}

#[cfg(feature = "tls")]
#[test]
fn servers_without_tls_are_named() {
    let (url, _) = serve([|peer| {
        let _ = peer.stream.read(&mut [0; 1024]).unwrap();
        peer.answer("HTTP/1.1 400 The plain HTTP request was sent to HTTPS port\r\n\r\n");
        None
    }]);
    let failure = exchange(&mut transport(&url.replace("http", "https")), 3, b"x").unwrap_err();
    assert_eq!(
        (failure.cause, failure.sent),
        (Blocked::Tls(TlsFault::NotTls), false),
        "{failure:?}"
    );
}

#[cfg(not(feature = "tls"))]
#[test]
fn https_needs_the_feature() {
    let refused = HttpTransport::new(&HttpConfig::new("https://relay.invalid"));
    assert!(matches!(refused, Err(ConfigError::RelayUrl(text)) if text.contains("tls")));
}

#[test]
fn bad_roots_are_refused() {
    let mut config = HttpConfig::new("https://relay.invalid");
    config.roots = Roots::Pem(b"no certificate".to_vec());
    let refused = HttpTransport::new(&config);
    if cfg!(feature = "tls") {
        assert!(matches!(refused, Err(ConfigError::Setting(_))));
    }
}
