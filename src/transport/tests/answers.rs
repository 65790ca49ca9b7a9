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
            Blocked::Later(429, 120),
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
            Blocked::Later(429, 120),
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
