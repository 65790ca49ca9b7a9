//! Answers, proper and foreign.

use super::*;
use crate::error::Blocked;
use crate::http::body::BodyReader;
use crate::http::head::ResponseHead;

/// Answers to exchange 1, and whether the connection is used again.
fn answers() -> Vec<(&'static str, Vec<u8>, bool)> {
    let body = nothing(1);
    let with = |fields: &str| {
        let fields = format!("{OURS}{fields}");
        response("200 OK", &fields, &body)
    };
    let length = format!("Content-Length: {}\r\n", body.len());
    let mut old = counted(&body);
    old[7] = b'0';
    vec![
        ("counted", counted(&body), true),
        ("chunked", chunked(&body, 1_000, "", ""), true),
        ("in small chunks", chunked(&body, 1, "", ""), true),
        ("with extensions", chunked(&body, 17, " ; a=\"b\"", ""), true),
        ("with trailers", chunked(&body, 17, "", "A: b\r\nC: d\r\n"), true),
        ("until the end", with(""), false),
        ("closed", with(&format!("{length}Connection: close\r\n")), false),
        ("closed among others", with(&format!("{length}connection: te, Close\r\n")), false),
        ("HTTP/1.0", old, false),
        (
            "chunked over counted",
            {
                let mut answer = chunked(&body, 20, "", "");
                let at = answer.windows(2).position(|w| w == b"\r\n").expect("a line") + 2;
                answer.splice(at..at, b"Content-Length: 3\r\n".iter().copied());
                answer
            },
            true,
        ),
        (
            "interim ones before",
            {
                let interim =
                    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n";
                [&interim[..], &counted(&body)].concat()
            },
            true,
        ),
        (
            "of another case",
            {
                let fields = format!(
                    "CONTENT-TYPE:application/OCTET-stream; x=y\r\nCONTENT-ENCODING: Identity\r\n{length}"
                );
                response("200 Fine", &fields, &body)
            },
            true,
        ),
        ("more behind it", [&counted(&body)[..], b"HTTP/1.1"].concat(), false),
    ]
}

#[test]
fn answers_are_understood_in_any_framing_and_pieces() {
    for (what, answer, _) in answers() {
        for most in (0..=64).chain([200]) {
            with_device(DIRECT, |device, line| {
                line.borrow_mut().most = most;
                device.poll(1);
                line.borrow_mut().hello();
                line.borrow_mut().down.extend(&answer);
                line.borrow_mut().closed = what == "until the end";
                device.poll(10);
                assert_eq!(device.session().is_open(), Ok(true), "{what} by {most}");
                assert_eq!(device.session().blocked(), None, "{what} by {most}");
                // The next one is asked for, on this connection or another.
                connect(device, 20);
                device.poll(20);
                assert_eq!(line.borrow_mut().hello().seq, 2, "{what} by {most}");
            });
        }
    }
}

#[test]
fn connection_is_used_again_only_if_the_answer_allows_it() {
    for (what, answer, keeps) in answers() {
        with_device(DIRECT, |device, line| {
            device.poll(1);
            line.borrow_mut().hello();
            line.borrow_mut().down.extend(&answer);
            line.borrow_mut().closed = what == "until the end";
            device.poll(10);
            connect(device, 20);
            device.poll(20);
            assert_eq!(line.borrow().dialled, if keeps { 1 } else { 2 }, "{what}");
        });
    }
}

#[test]
fn answer_may_come_octet_by_octet() {
    with_device(DIRECT, |device, line| {
        device.poll(1);
        line.borrow_mut().hello();
        let answer = chunked(&nothing(1), 5, "", "");
        for (i, octet) in answer.iter().enumerate() {
            assert_eq!(device.session().is_open(), Ok(false));
            line.borrow_mut().down.push_back(*octet);
            device.poll(2 + i as u64);
        }
        assert_eq!(device.session().is_open(), Ok(true));
    });
}

#[test]
fn a_proxys_connection_is_used_again_only_if_it_says_so() {
    let body = nothing(1);
    let fields = format!("{OURS}Content-Length: {}\r\n", body.len());
    for (said, dialled) in
        [("", 2), ("Connection: keep-alive\r\n", 1), ("Proxy-Connection: Keep-Alive\r\n", 1)]
    {
        with_device(PROXIED, |device, line| {
            device.poll(1);
            line.borrow_mut().hello();
            line.borrow_mut().down.extend(response("200 OK", &format!("{fields}{said}"), &body));
            device.poll(10);
            connect(device, 20);
            device.poll(20);
            assert_eq!(line.borrow().dialled, dialled, "{said}");
        });
    }
}

/// The cause that the device finds in an answer.
fn cause(relay: RelayAddress<'_>, answer: &[u8]) -> Option<Blocked> {
    let mut cause = None;
    with_device(relay, |device, line| {
        device.poll(1);
        line.borrow_mut().hello();
        line.borrow_mut().down.extend(answer);
        device.poll(10);
        assert_ne!(device.session().is_open(), Ok(true));
        cause = device.session().blocked();
        // It goes on on another connection.
        device.poll(5_000);
        line.borrow_mut().answer();
        device.poll(5_010);
        assert_eq!(device.session().is_open(), Ok(true));
        assert_eq!(line.borrow().dialled, 2);
    });
    cause
}

#[test]
fn foreign_answers_are_named_by_their_cause() {
    let ours = nothing(1);
    let length = format!("Content-Length: {}\r\n", ours.len());
    let page = |status| response(status, "Content-Type: text/html\r\nContent-Length: 2\r\n", b"hi");
    let field = |field: &str| response("200 OK", &format!("{OURS}{length}{field}"), &ours);
    let foreign = Blocked::Foreign;
    for (what, answer, expected) in [
        ("a portal", page("200 OK"), foreign),
        ("a redirect", page("302 Found"), Blocked::Http(302)),
        ("no gateway", page("502 Bad Gateway"), Blocked::Http(502)),
        ("no proxy to log in to", page("407 No"), Blocked::Http(407)),
        ("no type", response("200 OK", &length, &ours), foreign),
        (
            "another type",
            response(
                "200 OK",
                &format!("Content-Type: application/octet-streams\r\n{length}"),
                &ours,
            ),
            foreign,
        ),
        ("compressed", field("Content-Encoding: gzip\r\n"), Blocked::Compressed),
        ("framed in some way", field("Transfer-Encoding: gzip, chunked\r\n"), foreign),
        (
            "no length",
            response("200 OK", &format!("{OURS}Content-Length: many\r\n"), &ours),
            foreign,
        ),
        (
            "a length beyond all",
            response("200 OK", &format!("{OURS}Content-Length: 4294967296\r\n"), &ours),
            foreign,
        ),
        ("another exchange's", counted(&nothing(9)), foreign),
        ("text of our type", counted(b"<html>"), foreign),
        ("nothing of our type", counted(b""), foreign),
        ("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), foreign),
        ("a long head", field(&format!("X: {}\r\n", "x".repeat(500))), foreign),
        ("endless noise", vec![b'x'; 600], foreign),
        ("many fields", field(&"X: y\r\n".repeat(30)), foreign),
        (
            "no chunk",
            response("200 OK", &format!("{OURS}Transfer-Encoding: chunked\r\n"), b"hello\r\n"),
            foreign,
        ),
        (
            "an empty size",
            response("200 OK", &format!("{OURS}Transfer-Encoding: chunked\r\n"), b"\r\n"),
            foreign,
        ),
        (
            "a large chunk",
            response("200 OK", &format!("{OURS}Transfer-Encoding: chunked\r\n"), b"123456789\r\n"),
            foreign,
        ),
        (
            "a chunk too long",
            response(
                "200 OK",
                &format!("{OURS}Transfer-Encoding: chunked\r\n"),
                b"1\r\n\x02\x00\r\n",
            ),
            foreign,
        ),
    ] {
        assert_eq!(cause(DIRECT, &answer), Some(expected), "{what}");
    }
    assert_eq!(cause(PROXIED, &page("407 No")), Some(Blocked::ProxyAuth));
}

/// Framing that goes on for ever between two chunks is foreign, whatever it is made of.
#[test]
fn framing_without_end_is_foreign() {
    let head = response("200 OK", &format!("{OURS}Transfer-Encoding: chunked\r\n"), b"");
    for (what, before, repeated) in [
        ("a size", "", "0"),
        ("an extension", "1", ";x=y"),
        ("line ends behind a chunk", "1\r\nx", "\r"),
        ("trailers", "0\r\n", "A: b\r\n"),
        ("a trailer", "0\r\n", "A"),
    ] {
        let mut body: BodyReader =
            ResponseHead::read(&head, false).expect("a head").expect("it").body.expect("it");
        let framed = format!("{before}{}", repeated.repeat(2_000));
        let mut input = framed.as_bytes();
        let ended = loop {
            match body.next(&mut input) {
                Ok([]) => break None,
                Ok(_) => {}
                Err(cause) => break Some(cause),
            }
        };
        assert_eq!(ended, Some(Blocked::Foreign), "{what}");
        let taken = framed.len() - input.len();
        assert!((1_000..=1_100).contains(&taken), "{what}: after {taken}");
    }
}

/// A body in many chunks has much framing in all.
#[test]
fn framing_is_limited_between_data_and_not_in_all() {
    let data = vec![7; 3_000];
    let answer = chunked(&data, 1, ";x=y", "");
    let head = ResponseHead::read(&answer, false).expect("a head").expect("all of it");
    let (mut body, mut input) = (head.body.expect("a body"), &answer[head.len..]);
    let mut got = 0;
    while !input.is_empty() {
        got += body.next(&mut input).expect("sound framing").len();
    }
    assert_eq!(got, data.len());
    assert!(body.is_over(false));
}

/// Every split of a chunked body into two pieces gives the same octets.
#[test]
fn chunked_body_is_the_same_however_it_is_split() {
    let data: Vec<u8> = (0..40).collect();
    let answer = chunked(&data, 13, ";x", "T: u\r\n");
    let head = ResponseHead::read(&answer, false).expect("a head").expect("all of it");
    let framed = &answer[head.len..];
    for at in 0..=framed.len() {
        let mut body: BodyReader =
            ResponseHead::read(&answer, false).expect("a head").expect("it").body.expect("it");
        let mut got = Vec::new();
        for mut part in [&framed[..at], &framed[at..]] {
            while !part.is_empty() {
                let piece = body.next(&mut part).expect("sound framing");
                assert!(!piece.is_empty() || part.is_empty(), "{at}");
                got.extend_from_slice(piece);
            }
        }
        assert_eq!(got, data, "{at}");
        assert!(body.is_over(false), "{at}");
    }
}

proptest::proptest! {
    /// Whatever octets come, the device does not panic, and the exchange ends.
    #[test]
    fn noise_does_no_harm(noise: Vec<u8>, tail in 0_usize..200) {
        let answers = answers();
        for (_, answer, _) in &answers {
            let mut answer = answer.clone();
            let keep = answer.len().saturating_sub(tail);
            answer.truncate(keep);
            answer.extend(&noise);
            with_device(DIRECT, |device, line| {
                device.poll(1);
                line.borrow_mut().hello();
                line.borrow_mut().down.extend(&answer);
                device.poll(10);
                line.borrow_mut().closed = true;
                device.poll(11);
                // An answer, no answer, or one that ends every hope.
                let told = device.session().is_open() != Ok(false);
                assert!(told || device.session().blocked().is_some());
            });
        }
    }
}
