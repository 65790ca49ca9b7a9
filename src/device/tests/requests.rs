//! Requests.

use super::*;

#[test]
fn requests_have_the_head_that_the_protocol_page_asks_for() {
    let common = "Content-Type: application/octet-stream\r\n\
                  Cache-Control: no-store, no-transform\r\n";
    for (relay, line, fields) in [
        (DIRECT, "POST /v1?n=1 HTTP/1.1", ""),
        (PROXIED, "POST http://relay:8080/by/way/v1?n=1 HTTP/1.1", PROXIED.fields),
    ] {
        with_device(relay, |device, line_of| {
            work(device, 1);
            let (head, body) = line_of.borrow_mut().request().expect("a request");
            let len = body.len();
            let expected = format!(
                "{line}\r\nHost: relay:8080\r\n{common}{fields}Content-Length: {len}\r\n\r\n"
            );
            assert_eq!(head, expected);
        });
    }
}

#[test]
fn requests_go_out_whole_through_any_buffer_and_in_any_pieces() {
    for len in [1, 2, 3, 7, 64, 511, 512, 4_096] {
        for most in [0, 1, 3, 100] {
            let wire = TestLink::default();
            let line = Rc::clone(&wire.0);
            line.borrow_mut().most = most;
            let mut memory = Memory::new();
            let mut buffer = vec![0; len];
            let mut device: Front<'_> = Device::new(memory.session(), wire, PROXIED, &mut buffer);
            device.session().open(1, &Settings::new([7; 16], 7));
            device.poll(1);
            assert_eq!(line.borrow_mut().hello().seq, 1, "{len} {most}");
        }
    }
}

#[test]
fn request_numbers_are_decimal_and_differ() {
    with_device(DIRECT, |device, line| {
        connect(device, 1);
        let mut now = 1;
        for seq in 1..=1_001 {
            work(device, now);
            let (head, body) = line.borrow_mut().request().expect("a request");
            assert!(head.starts_with(&format!("POST /v1?n={seq} ")), "{head}");
            assert!(body.len() >= 38);
            line.borrow_mut().down.extend(counted(&nothing(seq)));
            now += 5_000;
        }
        assert_eq!(line.borrow().dialled, 1);
    });
}
