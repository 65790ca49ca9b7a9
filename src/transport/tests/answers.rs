//! Answers of relays that are full, and of servers that do not come to an end.

use super::*;

#[test]
fn retry_after_of_429_and_503_is_heeded_and_a_full_relay_known_by_its_header() {
    let dated = "429 Too Many Requests\r\nDate: Sun, 06 Nov 1994 08:49:37";
    let full = "503 Service Unavailable\r\nByway-Status: full";
    for (head, cause) in [
        (format!("{full}\r\nRetry-After: 7"), Blocked::Full(7)),
        (format!("{full}\r\nRetry-After: 3600"), Blocked::Full(30)),
        (format!("{full}\r\nRetry-After: 0"), Blocked::Full(1)),
        (format!("{full}\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT"), Blocked::Full(5)),
        (full.into(), Blocked::Full(5)),
        // A proxy's.
        ("503 Service Unavailable\r\nRetry-After: 7".into(), Blocked::Later(503, 7)),
        ("503 Service Unavailable".into(), Blocked::Http(503)),
        ("429 Too Many Requests\r\nRetry-After: 7".into(), Blocked::Later(429, 7)),
        ("429 Too Many Requests\r\nRetry-After: 0".into(), Blocked::Later(429, 1)),
        (
            "429 Too Many Requests\r\nRetry-After: 99999999999999999999".into(),
            Blocked::Later(429, 30),
        ),
        ("429 Too Many Requests\r\nRetry-After: soon".into(), Blocked::Http(429)),
        ("429 Too Many Requests\r\nRetry-After: -1".into(), Blocked::Http(429)),
        ("429 Too Many Requests".into(), Blocked::Http(429)),
        ("502 Bad Gateway\r\nRetry-After: 7".into(), Blocked::Http(502)),
        // By the clock of who sends it.
        (
            format!("{dated} GMT\r\nRetry-After: Sun, 06 Nov 1994 08:50:07 GMT"),
            Blocked::Later(429, 30),
        ),
        (
            format!("{dated} GMT\r\nRetry-After: Sunday, 06-Nov-94 08:50:07 GMT"),
            Blocked::Later(429, 30),
        ),
        (format!("{dated} GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT"), Blocked::Http(429)),
        (
            format!("{dated} GMT\r\nRetry-After: Mon, 07 Nov 1994 08:49:37 GMT"),
            Blocked::Later(429, 30),
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = thread::spawn(move || {
            let mut peer = Peer { stream: listener.accept().unwrap().0, rest: Vec::new() };
            peer.request();
            peer.answer(&format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n"));
            head
        });
        let failure = exchange(&mut transport(&url), 1, b"x").unwrap_err();
        assert_eq!(failure.cause, cause, "{}", serving.join().unwrap());
    }
}

#[test]
fn octets_that_dribble_behind_an_answer_are_dropped_soon() {
    let (url, seen) = serve([|peer| {
        peer.request();
        peer.answer(&format!("{OK}Transfer-Encoding: chunked\r\n\r\n3\r\nall\r\n0\r\n"));
        // Each octet is a sign of life.
        while peer.stream.write_all(b"X: y\r\n").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
        None
    }]);
    let mut transport = transport(&url);
    let request = Request { seq: 1, len: 1, silence_ms: 20_000, max_response: 1 << 20 };
    let begun = Instant::now();
    let mut got = Vec::new();
    let failure = transport
        .exchange(&request, &mut |out| out.len(), &mut |bytes| {
            got.extend_from_slice(bytes);
            Ok(true)
        })
        .unwrap_err();
    assert_eq!((&got[..], failure.sent), (&b"all"[..], true));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    drop(seen);
}

#[test]
fn heads_that_cannot_be_read_are_told_from_foreign_pages() {
    fn with(peer: &mut Peer, lines: &str) -> Option<Seen> {
        peer.request();
        peer.answer(&format!("{OK}{lines}Content-Length: 0\r\n\r\n"));
        // Until the client hangs up.
        let _ = peer.stream.read(&mut [0; 16]);
        None
    }
    let cases: [(Script, HeadFault, &str); 3] = [
        (|p| with(p, "X-Site: a\r\n b\r\n"), HeadFault::Folded, "200: X-Site: a\\n b"),
        (
            |p| with(p, &"X-Site: a longer line of a gateway's\r\n".repeat(200)),
            HeadFault::TooMany,
            "200: 202 or more header lines",
        ),
        (|p| with(p, "X Site: a\r\n"), HeadFault::Malformed, "200: HTTP/1.1 200 OK"),
    ];
    for (script, fault, seen) in cases {
        let (url, _) = serve([script]);
        let failure = exchange(&mut transport(&url), 1, b"x").unwrap_err();
        assert_eq!((failure.cause, failure.sent), (Blocked::Head(fault), true), "{failure:?}");
        assert!(failure.seen.starts_with(seen), "{failure:?}");
    }
}

#[test]
fn a_connection_that_ends_as_it_is_used_again_is_stale_and_a_new_one_is_not() {
    let (url, _) = serve([
        |peer| {
            peer.request();
            peer.ok("fine");
            // The next request is on its way, and is never read.
            let _ = peer.stream.peek(&mut [0]);
            None
        },
        |peer| {
            peer.request();
            None
        },
        |peer| {
            peer.request();
            peer.ok("fine again");
            peer.request();
            peer.answer("HTTP/1.1 ");
            None
        },
        |peer| {
            peer.request();
            peer.ok("and again");
            peer.request();
            thread::sleep(Duration::from_millis(1_200));
            None
        },
    ]);
    let mut transport = transport(&url);
    let mut told = |seq| {
        let failure = exchange(&mut transport, seq, b"x");
        failure.map_err(|failure| (failure.cause, failure.sent, failure.stale))
    };
    assert_eq!(told(1), Ok(b"fine".to_vec()));
    assert_eq!(told(2), Err((Blocked::Cut, true, true)));
    assert_eq!(told(3), Err((Blocked::Cut, true, false)), "it had not served");
    assert_eq!(told(4), Ok(b"fine again".to_vec()));
    assert_eq!(told(5), Err((Blocked::Cut, true, false)), "an answer had begun");
    assert_eq!(told(6), Ok(b"and again".to_vec()));
    assert_eq!(told(7), Err((Blocked::Cut, true, false)), "the request was taken, and waited");
}

#[test]
fn an_answer_of_no_relay_forgets_the_address_and_a_fronts_word_does_not() {
    type Case = (Script, bool);
    let cases: [Case; 10] = [
        (|p| page(p, "200 OK\r\nContent-Type: text/html", "It works"), true),
        (|p| page(p, "404 Not Found", "no"), true),
        (|p| page(p, "500 Internal Server Error", "no"), true),
        (|p| page(p, "501 Not Implemented", "no"), true),
        (|p| page(p, "505 HTTP Version Not Supported", "no"), true),
        (|p| page(p, "502 Bad Gateway", "no"), false),
        (|p| page(p, "503 Service Unavailable", "no"), false),
        (|p| page(p, "504 Gateway Timeout", "no"), false),
        (|p| page(p, "413 Too Large", "no"), false),
        (|p| page(p, "200 OK\r\nContent-Type: application/octet-stream", "x"), false),
    ];
    for (i, (script, forgets)) in cases.into_iter().enumerate() {
        let (url, _) = serve([script]);
        let mut transport = transport(&url.replace("127.0.0.1", "localhost"));
        let _ = exchange(&mut transport, 1, b"x");
        assert_eq!(!transport.canceller().knows_addresses(), forgets, "case {i}");
    }
}

#[test]
fn a_connection_on_which_a_front_did_not_reach_the_relay_is_not_used_again() {
    let (url, _) = serve([
        |peer| {
            page(peer, "502 Bad Gateway", "no");
            // Until the client hangs up.
            let _ = peer.stream.read(&mut [0; 16]);
            None
        },
        |peer| {
            peer.request();
            peer.ok("fine");
            None
        },
    ]);
    let mut transport = transport(&url);
    let failure = exchange(&mut transport, 1, b"x").unwrap_err();
    assert_eq!(failure.cause, Blocked::Http(502), "{failure:?}");
    assert_eq!(exchange(&mut transport, 2, b"x").unwrap(), b"fine");
}

#[test]
fn a_proxy_that_takes_no_basic_is_named_by_what_it_wants() {
    let cases: [(Script, Blocked, &str); 2] = [
        (
            |p| page(p, "407 No\r\nProxy-Authenticate: Digest realm=\"x\", nonce=\"y\"", ""),
            Blocked::ProxyScheme(AuthScheme::Digest),
            "407 wants Digest realm=",
        ),
        (
            |p| {
                let offers = "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM";
                page(p, &format!("407 No\r\n{offers}"), "")
            },
            Blocked::ProxyScheme(AuthScheme::Negotiate),
            "407 wants Negotiate, NTLM",
        ),
    ];
    for (script, cause, seen) in cases {
        let (url, _) = serve([script]);
        let mut config = HttpConfig::new("http://relay.invalid");
        config.proxy = Proxy::Url(url);
        let failure = exchange(&mut HttpTransport::new(&config).unwrap(), 1, b"x").unwrap_err();
        assert_eq!(failure.cause, cause, "{failure:?}");
        assert!(failure.seen.starts_with(seen), "{failure:?}");
    }
}
