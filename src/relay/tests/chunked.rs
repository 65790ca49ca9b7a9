//! Requests whose body comes in chunks, as a proxy makes them that looks into bodies.

use super::*;

/// A head without an end.
const HEAD: &str = "POST /v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n\
                    Transfer-Encoding: chunked\r\n";

/// The body in chunks of so many octets, with `extension` behind each size and `trailers` at the end.
fn framed(body: &[u8], size: usize, extension: &str, trailers: &str) -> Vec<u8> {
    let mut octets = format!("{HEAD}\r\n").into_bytes();
    for chunk in body.chunks(size) {
        octets.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
        octets.extend([chunk, b"\r\n"].concat());
    }
    octets.extend(format!("0{extension}\r\n{trailers}\r\n").bytes());
    octets
}

/// The answer to this, at the end of which the relay closes the connection.
fn last_word(relay: &Relay, octets: &[u8]) -> Reply {
    let mut stream = dial(relay);
    // The relay may have read enough of it.
    let _ = stream.write_all(octets);
    let reply = reply(&mut stream);
    assert!(reply.head.contains("connection: close"), "{}", reply.head);
    let ended = stream.read(&mut [0]);
    assert!(matches!(ended, Ok(0)), "{ended:?}");
    reply
}

/// Serves on, and holds nothing.
fn assert_serves(relay: &Relay) {
    assert_eq!(send(relay, Body::send(9)).end(), Status::Ok);
    while relay.stats().exchanges > 0 {
        std::thread::yield_now();
    }
    assert_eq!(relay.stats().held, 0);
}

#[test]
fn a_body_in_chunks_is_as_good_as_one_with_a_length() {
    let relay = bound();
    let mut stream = dial(&relay);
    let mut parked = park(&relay, Body::park(2, 1, 20_000));
    let body = Body::send(1).to(2, 7).stream(0, b"hello").done();
    // All on one connection, and one request behind the other.
    let ways = [
        framed(&body, body.len(), "", ""),
        framed(&body, 1, "", ""),
        framed(&body, 7, ";name=\"value\"", ""),
        framed(&body, 50, "", "A: b\r\nContent-Length: 5\r\n"),
        request(Body::send(1).to(2, 7).stream(0, b"hello")),
        framed(&Body::single(1, 9).to(2, 7).stream(0, b"hello").done(), 3, "", ""),
    ];
    for (seq, octets) in (2..).zip(&ways) {
        stream.write_all(octets).unwrap();
        assert_eq!(parse(&reply(&mut stream).body).verdicts(), [(2, Status::Delivered, 5)]);
        assert_eq!(parse(&reply(&mut parked).body).stream(), b"hello");
        parked = park(&relay, Body::park(2, seq, 20_000));
    }
    // And behind each other in one piece.
    let sends = framed(&Body::send(1).done(), 9, "", "A: b\r\n");
    stream.write_all(&[&sends[..], &request(Body::send(1)), &sends].concat()).unwrap();
    for _ in 0..3 {
        assert_eq!(parse(&reply(&mut stream).body).end(), Status::Ok);
    }
}

#[test]
fn a_large_body_in_chunks_crosses_in_one_pass() {
    let relay = unhurried();
    let data: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let mut parked = park(&relay, Body::park(2, 1, 20_000));
    let octets = framed(&Body::send(1).to(2, 7).stream(0, &data).done(), 5_001, "", "");
    let mut sender = dial(&relay);
    let sending = std::thread::spawn(move || {
        sender.write_all(&octets).unwrap();
        parse(&reply(&mut sender).body)
    });
    assert!(parse(&reply(&mut parked).body).stream() == data);
    assert_eq!(sending.join().unwrap().verdicts(), [(2, Status::Delivered, 3_000_000)]);
    assert_eq!(relay.stats().held, 0);
}

#[test]
fn a_request_with_both_lengths_is_refused_wherever_it_stands() {
    let relay = bound();
    let body = Body::send(1).done();
    let fine = [framed(&body, 10, ";a", "A: b\r\n"), request(Body::send(1))].concat();
    let length = format!("Content-Length: {}\r\n", body.len());
    for both in [
        format!("{HEAD}{length}\r\n0\r\n\r\n"),
        HEAD.replace("Content-Type", &format!("{length}Content-Type")) + "\r\n0\r\n\r\n",
        format!("{HEAD}Content-Length: five\r\n\r\n0\r\n\r\n"),
    ] {
        let mut stream = dial(&relay);
        stream.write_all(&[&fine, both.as_bytes(), &fine].concat()).unwrap();
        for _ in 0..2 {
            assert_eq!(parse(&reply(&mut stream).body).end(), Status::Ok);
        }
        let refused = reply(&mut stream);
        assert_eq!(refused.status, 400, "{both}");
        assert!(refused.head.contains("connection: close"), "{}", refused.head);
        assert!(refused.body.ends_with(b"not both\n"), "{both}");
        // What stands behind it is not looked at.
        assert!(matches!(stream.read(&mut [0]), Ok(0)), "{both}");
    }
}

/// Lengths that are right, and as hyper takes them.
#[test]
fn request_with_both_lengths_is_refused_behind_lengths_in_odd_forms() {
    let relay = bound();
    let body = Body::send(1).done();
    let n = body.len();
    let head = HEAD.replace("Transfer-Encoding: chunked\r\n", "");
    let blanks = " ".repeat(300);
    let both = format!("{HEAD}Content-Length: 5\r\n\r\n0\r\n\r\n");
    for length in [
        format!("Content-Length: {n}\r\nContent-Length: {n}\r\n"),
        format!("Content-Length: {n}\r\nContent-Length: 0{n}\r\n"),
        format!("Content-Length:{blanks}{n}{blanks}\r\n"),
    ] {
        let mut stream = dial(&relay);
        stream.write_all(&[format!("{head}{length}\r\n").as_bytes(), &body].concat()).unwrap();
        let served = reply(&mut stream);
        assert_eq!(parse(&served.body).end(), Status::Ok, "{length}");
        assert!(!served.head.contains("connection: close"), "{length}");
        stream.write_all(both.as_bytes()).unwrap();
        assert_eq!(reply(&mut stream).status, 400, "{length}");
        assert!(matches!(stream.read(&mut [0]), Ok(0)), "{length}");
    }
}

/// Each is whole, and hyper takes it; the relay does not rely on seeing where the next one begins.
#[test]
fn the_connection_ends_behind_a_request_whose_end_is_doubtful() {
    let relay = bound();
    let body = Body::send(1).done();
    let n = body.len();
    let head = HEAD.replace("Transfer-Encoding: chunked\r\n", "");
    let zeros = "0".repeat(100);
    let counted = format!("{head}Content-Length: {zeros}{n}\r\n\r\n");
    let size = format!("{HEAD}\r\n{zeros}{n:x}\r\n");
    let usual = format!("{HEAD}\r\n{n:x}\r\n");
    let both = format!("{HEAD}Content-Length: 5\r\n\r\n0\r\n\r\n");
    let last = format!("\r\n{zeros}\r\n\r\n");
    let trailer = format!("\r\n0\r\nA: b\n\n{head}Content-Length: 90000\r\n\r\n");
    for (before, behind) in [
        (&counted, ""),
        (&size, "\r\n0\r\n\r\n"),
        (&usual, &last),
        (&usual, &trailer),
        (&usual, "\r\n0\r\n\nA: b\r\n\r\n"),
    ] {
        let octets = [before.as_bytes(), &body, behind.as_bytes(), both.as_bytes()].concat();
        let shown = String::from_utf8_lossy(&octets).into_owned();
        let answer = last_word(&relay, &octets);
        assert!(answer.status == 200 || answer.status == 400, "{shown}");
        if answer.status == 200 {
            assert_eq!(parse(&answer.body).end(), Status::Ok, "{shown}");
        }
    }
    assert_serves(&relay);
}

#[test]
fn a_body_in_chunks_has_the_limits_of_others() {
    let config = RelayConfig::default();
    let most = config.router.max_body as usize;
    let relay = Relay::bind(config).unwrap();
    let data = vec![7; most];
    let long = Body::send(1).to(2, 7).stream(0, &data).done();
    // The router reads on while there is a park for it.
    let parked = park(&relay, Body::park(2, 1, 20_000));
    let mut draining = parked.try_clone().unwrap();
    let drain = std::thread::spawn(move || reply(&mut draining).body.len());
    let answer = last_word(&relay, &framed(&long, 60_000, "", ""));
    assert_eq!(parse(&answer.body).end(), Status::Limited);
    assert!(drain.join().unwrap() <= most);
    let long = Body::single(1, 1).to(2, 7).stream(0, &data[..32 << 10]).done();
    let answer = last_word(&relay, &framed(&long, 1_000, "", ""));
    assert_eq!(parse(&answer.body).end(), Status::Malformed);
    assert_serves(&relay);
}

#[test]
fn malformed_chunks_break_a_request_off() {
    let relay = bound();
    let body = Body::send(1).to(2, 7).stream(0, &[1; 100]).done();
    let head = format!("{HEAD}\r\n");
    let n = body.len();
    let with = |parts: &[&[u8]]| [&[head.as_bytes()], parts].concat().concat();
    let size = format!("{n:x}\r\n");
    for octets in [
        // Its size is less than it is, or no number, or too large for one.
        with(&[format!("{:x}\r\n", n - 1).as_bytes(), &body, b"\r\n0\r\n\r\n"]),
        with(&[b"-1\r\n", &body, b"\r\n0\r\n\r\n"]),
        with(&[b"\r\n", &body]),
        with(&[b"fffffffffffffffff\r\n", &body]),
        // Extensions and trailers without end.
        with(&[b"1;", &[b'x'; 100_000]]),
        with(&[size.as_bytes(), &body, b"\r\n0\r\nA: ", &[b'x'; 100_000]]),
        with(&[size.as_bytes(), &body, b"\r\n0\r\n", &b"A: b\r\n".repeat(20_000)]),
        framed(&body, 1, &format!(";{}", "x".repeat(1_000)), ""),
    ] {
        let answer = last_word(&relay, &octets);
        let shown = String::from_utf8_lossy(&octets[head.len()..head.len() + 20]).into_owned();
        assert_eq!(answer.status, 400, "{shown}");
        assert!(answer.body.ends_with(b"the body broke off\n"), "{shown}");
    }
    // Cut off, at every octet.
    let octets = framed(&body, 60, ";a", "A: b\r\n");
    for at in head.len()..octets.len() {
        let mut stream = dial(&relay);
        stream.write_all(&octets[..at]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 400"), "cut at {at}");
    }
    assert_serves(&relay);
}

#[test]
fn silent_chunked_request_is_given_up() {
    let mut config = RelayConfig::default();
    config.router.upload_idle_ms = 200;
    let relay = Relay::bind(config).unwrap();
    let body = Body::send(1).done();
    let whole = framed(&body, body.len(), "", "");
    // A chunk that is not whole, an extension and a trailer that trickle.
    for (begin, trickle) in [
        (&whole[..whole.len() - 20], None),
        (&[HEAD.as_bytes(), b"\r\n1;"].concat()[..], Some(b"x")),
        (&[&whole[..whole.len() - 2], b"A: "].concat()[..], Some(b"x")),
    ] {
        let mut stream = dial(&relay);
        stream.write_all(begin).unwrap();
        let mut trickling = stream.try_clone().unwrap();
        let feeds = std::thread::spawn(move || {
            let until = std::time::Instant::now() + DEADLINE;
            while trickle.is_some_and(|octet| trickling.write_all(octet).is_ok()) {
                assert!(std::time::Instant::now() < until, "it is still taken");
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let given_up = reply(&mut stream);
        assert!(given_up.head.contains("connection: close"), "{}", given_up.head);
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
        drop(stream);
        feeds.join().unwrap();
    }
    assert_serves(&relay);
}
