//! Deadlines on silence.

use super::*;

#[test]
fn silence_is_counted_between_octets() {
    let (url, _) = serve([|peer| {
        peer.request();
        peer.answer(&format!("{OK}Content-Length: 8\r\n\r\n"));
        for _ in 0..8 {
            thread::sleep(Duration::from_millis(100));
            peer.answer("x");
        }
        None
    }]);
    assert_eq!(exchange_within(&mut transport(&url), 1, b"x", 400).unwrap(), b"xxxxxxxx");
}

/// A connection that takes a part of what is written, and then nothing.
#[test]
fn request_that_is_taken_in_part_is_silent_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (_open, until) = channel::<()>();
    thread::spawn(move || {
        let _peer = listener.accept().unwrap();
        let _ = until.recv();
    });
    let body = vec![7; 20 << 20];
    let before = Instant::now();
    let failure = exchange_within(&mut transport(&url), 1, &body, 3_000).unwrap_err();
    assert_eq!((failure.cause, failure.sent), (Blocked::Silence, true), "{failure:?}");
    let took = before.elapsed();
    assert!((Duration::from_secs(3)..Duration::from_secs(6)).contains(&took), "{took:?}");
}
