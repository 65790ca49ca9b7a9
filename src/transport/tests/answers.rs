//! Answers of relays that are full, and of servers that do not come to an end.

use super::*;

#[test]
fn a_full_relay_is_known_by_its_header_and_asked_again_when_it_says() {
    let full = "503 Service Unavailable\r\nByway-Status: full";
    for (head, cause) in [
        (format!("{full}\r\nRetry-After: 7"), Blocked::Full(7)),
        (format!("{full}\r\nRetry-After: 3600"), Blocked::Full(30)),
        (format!("{full}\r\nRetry-After: 0"), Blocked::Full(1)),
        (format!("{full}\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT"), Blocked::Full(5)),
        (full.into(), Blocked::Full(5)),
        // A proxy's.
        ("503 Service Unavailable\r\nRetry-After: 7".into(), Blocked::Http(503)),
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
