//! Tunnels through a proxy, up to where TLS would begin.

use super::*;
use crate::error::TlsFault;

/// Reads a request without a body, octet for octet.
fn head(peer: &mut Peer) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        peer.stream.read_exact(&mut octet).unwrap();
        head.extend(octet);
    }
    String::from_utf8(head).unwrap()
}

/// What comes of a proxy that answers CONNECT so, and then speaks no TLS; and what it was asked.
fn tunnel(answer: String) -> (ExchangeFailure, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://DOM%5Cann:word@{}", listener.local_addr().unwrap());
    let proxy = thread::spawn(move || {
        let mut peer = Peer { stream: listener.accept().unwrap().0, rest: Vec::new() };
        let head = head(&mut peer);
        for piece in answer.as_bytes().chunks(7) {
            // A client that has seen enough hangs up.
            let _ = peer.stream.write_all(piece);
        }
        // The client's first message of TLS, if there is a tunnel.
        if peer.stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {
            peer.answer("SSH-2.0-in-the-tunnel\r\n");
        }
        head
    });
    let mut config = HttpConfig::new("https://relay.invalid/base");
    config.proxy = Proxy::Url(url);
    config.user_agent = "Gateway-Friendly/1.0".into();
    let failure = exchange(&mut HttpTransport::new(&config).unwrap(), 3, b"x").unwrap_err();
    (failure, proxy.join().unwrap())
}

#[test]
fn connect_names_the_relay_and_the_user() {
    let (_, head) = tunnel("HTTP/1.1 200 OK\r\n\r\n".into());
    assert!(head.starts_with("CONNECT relay.invalid:443 HTTP/1.1\r\n"), "{head}");
    assert_eq!(field(&head, "host"), Some("relay.invalid:443"));
    assert_eq!(field(&head, "user-agent"), Some("Gateway-Friendly/1.0"));
    assert_eq!(field(&head, "proxy-authorization"), Some("Basic RE9NXGFubjp3b3Jk"));
}

#[test]
fn any_2xx_to_connect_is_a_tunnel() {
    for answer in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 299 Fine\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        let (failure, _) = tunnel(answer.into());
        // What answers within it is no TLS.
        let cause = Blocked::Tls(TlsFault::NotTls);
        assert_eq!((failure.cause, failure.sent), (cause, false), "{answer}: {failure:?}");
    }
}

#[test]
fn a_refused_tunnel_is_told_with_the_proxys_answer() {
    use crate::error::AuthScheme::{Digest, Ntlm};
    let refused = |answer: &str| (tunnel(answer.to_owned()).0, answer.to_owned());
    for ((failure, answer), cause, seen) in [
        (refused("HTTP/1.1 403 No\r\n\r\nnot there"), Blocked::Http(403), "403"),
        (refused("HTTP/1.1 302 No\r\nLocation: x\r\n\r\n"), Blocked::Http(302), "302"),
        (
            refused("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\n\r\n"),
            Blocked::ProxyAuth,
            "407 wants Basic realm=x",
        ),
        (refused("HTTP/1.0 401 No\r\n\r\n"), Blocked::ProxyAuth, "401"),
        (
            refused("HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\n\r\n"),
            Blocked::ProxyScheme(Ntlm),
            "407 wants NTLM",
        ),
        (
            refused("HTTP/1.1 407 No\r\nProxy-Authenticate: Digest realm=\"Basic\"\r\n\r\n"),
            Blocked::ProxyScheme(Digest),
            "407 wants Digest",
        ),
        (refused("HTTP/1.1 429 No\r\nRetry-After: 7\r\n\r\nslower"), Blocked::Later(429, 7), "429"),
        (refused("HTTP/1.1 503 No\r\nRetry-After: 3600\r\n\r\n"), Blocked::Later(503, 30), "503"),
        (
            refused("HTTP/1.1 503 No\r\nByway-Status: full\r\nRetry-After: 60\r\n\r\n"),
            Blocked::Later(503, 30),
            "503",
        ),
        (refused("HTTP/1.1 503 No\r\nByway-Status: full\r\n\r\n"), Blocked::Http(503), "503"),
        (refused("HTTP/1.1 502 No\r\nRetry-After: 7\r\n\r\n"), Blocked::Http(502), "502"),
        (refused("SSH-2.0-x\r\n\r\n"), Blocked::Head(HeadFault::NotHttp), "SSH"),
        (
            refused(&format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(20_000))),
            Blocked::Head(HeadFault::TooLong),
            "200: 16384 octets",
        ),
    ] {
        assert_eq!((failure.cause, failure.sent), (cause, false), "{answer}: {failure:?}");
        assert!(failure.seen.starts_with(seen), "{answer}: {failure:?}");
    }
}
