//! A device that has something to say while a request waits at the relay.

use super::super::SPEAK_MS;
use super::*;
use crate::error::Blocked;

/// The time of the shortest exchange of a device that is parked, in ms.
const SHORTEST_MS: u64 = 30;

/// Has a device park, whose application waits for a connection.
fn parked<const HANGS_UP: bool>(device: &mut Front<'_, HANGS_UP>, line: &RefCell<RelayEnd>) {
    connect(device, 1);
    work(device, 1);
    line.borrow_mut().answer();
    work(device, 1 + SHORTEST_MS);
    line.borrow_mut().hello();
}

/// The application gives its channels up and closes: the session has something to say.
fn say<const HANGS_UP: bool>(device: &mut Front<'_, HANGS_UP>, now: u64) {
    device.session().abort_all(now);
}

#[test]
fn the_next_request_begins_behind_the_one_that_waits() {
    with_device(DIRECT, |device, line| {
        parked(device, line);
        say(device, 1_000);
        let due = work(device, 1_000).expect("a deadline");
        assert_eq!(line.borrow().up, b"POST ");
        assert_eq!(due, 1_000 + SPEAK_MS + SHORTEST_MS);
        // Once.
        work(device, 1_010);
        assert_eq!(line.borrow().up, b"POST ");
        line.borrow_mut().down.extend(counted(&nothing(2)));
        work(device, 1_020);
        let (head, _) = line.borrow_mut().request().expect("a request");
        assert!(head.starts_with("POST /v1?n=3 HTTP/1.1\r\n"), "{head}");
        assert_eq!(line.borrow().dialled, 1);
        assert_eq!(device.session().blocked(), None);
    });
}

#[test]
fn line_that_is_always_up_speaks_and_is_never_hung_up() {
    with_link::<false>(DIRECT, |device, line| {
        parked(device, line);
        say(device, 1_000);
        let mut now = 1_000;
        for _ in 0..100 {
            let due = work(device, now).expect("a deadline");
            if device.session().blocked() == Some(Blocked::Silence) {
                return;
            }
            assert_eq!((line.borrow().up.as_slice(), line.borrow().dialled), (&b"POST "[..], 1));
            assert!(due > now, "{due} at {now}");
            now = due;
        }
        panic!("no silence by {now}");
    });
}

#[test]
fn an_answer_that_ends_its_connection_takes_what_was_spoken_with_it() {
    with_device(DIRECT, |device, line| {
        parked(device, line);
        say(device, 1_000);
        work(device, 1_000);
        let body = nothing(2);
        let fields = format!("{OURS}Connection: close\r\nContent-Length: {}\r\n", body.len());
        line.borrow_mut().down.extend(response("200 OK", &fields, &body));
        work(device, 1_020);
        let (head, _) = line.borrow_mut().request().expect("a request");
        assert!(head.starts_with("POST /v1?n=3 "), "{head}");
        assert_eq!(line.borrow().dialled, 2);
    });
}

#[test]
fn an_answer_under_way_is_waited_for() {
    with_device(DIRECT, |device, line| {
        parked(device, line);
        let answer = counted(&nothing(2));
        line.borrow_mut().down.extend(&answer[..20]);
        work(device, 900);
        say(device, 1_000);
        work(device, 1_000);
        assert!(line.borrow().up.is_empty());
        line.borrow_mut().down.extend(&answer[20..]);
        work(device, 1_010);
        assert_eq!(line.borrow_mut().hello().seq, 3);
        assert_eq!(line.borrow().dialled, 1);
    });
}

/// Has a device find out that octets behind its request bring no answer; when it hangs up.
fn hindered(device: &mut Front<'_>, line: &RefCell<RelayEnd>) -> u64 {
    parked(device, line);
    say(device, 1_000);
    let due = work(device, 1_000).expect("a deadline");
    device.poll(due - 1);
    assert_eq!(line.borrow().dialled, 1);
    work(device, due);
    assert_eq!(line.borrow().dialled, 2, "hung up, and dialled at once");
    assert_eq!(device.session().blocked(), None, "no failure of the path");
    due
}

#[test]
fn device_hangs_up_when_octets_behind_a_request_bring_no_answer() {
    with_device(DIRECT, |device, line| {
        hindered(device, line);
        let (head, _) = line.borrow_mut().request().expect("a request");
        assert!(head.starts_with("POST /v1?n=3 "), "{head}");
    });
}

#[test]
fn device_behind_a_proxy_dials_anew_to_speak() {
    with_device(PROXIED, |device, line| {
        connect(device, 1);
        work(device, 1);
        line.borrow_mut().answer();
        work(device, 31);
        line.borrow_mut().hello();
        let dialled = line.borrow().dialled;
        say(device, 1_000);
        work(device, 1_000);
        assert_eq!(line.borrow().dialled, dialled + 1);
        assert_eq!(line.borrow_mut().hello().seq, 3);
        assert_eq!(device.session().blocked(), None);
    });
}

#[test]
fn words_about_an_answer_go_with_the_next_request() {
    with_device(DIRECT, |device, line| {
        parked(device, line);
        line.borrow_mut().down.extend(counted(&nothing(2)));
        assert_eq!(device.poll(1_000), Some(1_000), "the application has its turn");
        assert!(line.borrow().up.is_empty(), "before the next request");
        say(device, 1_000);
        device.poll(1_000);
        assert_eq!(line.borrow_mut().hello().seq, 3);
        assert!(line.borrow().up.is_empty());
    });
}

/// Answers the request that waits, by a proxy that keeps its connection; how long the request was to wait.
fn answer_kept(line: &RefCell<RelayEnd>) -> u64 {
    let hello = line.borrow_mut().hello();
    let body = nothing(hello.seq);
    let fields = format!("{OURS}Connection: keep-alive\r\nContent-Length: {}\r\n", body.len());
    line.borrow_mut().down.extend(response("200 OK", &fields, &body));
    hello.hold_ms.into()
}

/// Where a proxy holds octets back and keeps the connection, the device waits by short requests soon after
/// traffic, and says what there is to say with the next request.
#[test]
fn words_held_back_wait_for_the_end_of_a_short_request() {
    with_device(PROXIED, |device, line| {
        connect(device, 1_000);
        work(device, 1_000);
        answer_kept(line);
        work(device, 1_010);
        let hold = answer_kept(line);
        assert!((200..=250).contains(&hold), "{hold}");
        // It comes at the end of the hold.
        let answer = core::mem::take(&mut line.borrow_mut().down);
        say(device, 1_020);
        work(device, 1_020);
        assert_eq!(line.borrow().dialled, 1);
        assert!(line.borrow().up.is_empty(), "nothing behind the request");
        line.borrow_mut().down = answer;
        work(device, 1_010 + hold);
        assert_eq!(line.borrow_mut().hello().seq, 3);
        assert_eq!(line.borrow().dialled, 1);
        assert_eq!(device.session().blocked(), None);
    });
}
