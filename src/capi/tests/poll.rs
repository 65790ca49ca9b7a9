//! Readiness and descriptors.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;
use crate::wire::{Address, MAX_CONTROL, Message, VERSION, Welcome};

/// A stream on which nothing is under way.
const IDLE: u32 = BYWAY_WRITABLE | BYWAY_OPENED | BYWAY_ACKED;

fn ready(handle: byway_handle) -> u32 {
    let mut bits = u32::MAX;
    // SAFETY: a place for a number.
    check(unsafe { byway_readiness(handle, &mut bits) });
    bits
}

fn poll_fd(handle: byway_handle, events: u32) -> i32 {
    let mut fd = -1;
    // SAFETY: a place for a number.
    check(unsafe { byway_poll_fd(handle, events, &mut fd) });
    fd
}

/// Whether the descriptor is or becomes readable within a time in ms.
fn readable(fd: i32, ms: i32) -> bool {
    // SAFETY: the descriptor is open: its handle is.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let time = Timespec { tv_sec: (ms / 1000).into(), tv_nsec: (ms % 1000 * 1_000_000).into() };
    poll(&mut fds, Some(&time)).expect("poll");
    fds[0].revents().contains(PollFlags::IN)
}

#[test]
fn a_stream_is_readable_exactly_while_there_is_something() {
    let pair = Pair::new();
    let [stream, other] = pair.streams;
    assert_eq!(ready(stream), IDLE);
    let fd = poll_fd(stream, BYWAY_READABLE);
    assert_eq!(poll_fd(stream, BYWAY_READABLE), fd, "one for each handle");
    assert!(!readable(fd, 0));
    for _ in 0..20 {
        assert_eq!(send(other, b"ping", LONG), Ok(4));
        assert!(readable(fd, LONG), "no wake-up is lost");
        assert_eq!(ready(stream), BYWAY_READABLE | IDLE);
        assert!(readable(fd, 0), "level-triggered");
        assert_eq!(recv(stream, &mut [0; 3], 0), Ok(3));
        assert!(readable(fd, 0), "one octet is left");
        assert_eq!(recv(stream, &mut [0; 3], 0), Ok(1));
        assert!(!readable(fd, 0), "it was received");
        assert_eq!(ready(stream), IDLE);
    }
    check(byway_shutdown(other, byway_how::Write as u32));
    assert!(readable(fd, LONG), "the end is something");
    assert_eq!(recv(stream, &mut [0; 3], 0), Ok(0));
    assert!(readable(fd, 0), "and stays");
}

#[test]
fn a_stream_is_writable_exactly_while_there_is_room() {
    let pair = Pair::new();
    let [stream, other] = pair.streams;
    let fd = poll_fd(other, BYWAY_WRITABLE);
    assert!(readable(fd, 0));
    fill(other);
    assert!(!readable(fd, 0));
    assert_eq!(ready(other), BYWAY_OPENED);
    let mut buffer = [0; 4096];
    while !readable(fd, 0) {
        assert!(recv(stream, &mut buffer, LONG).is_ok());
        readable(fd, 10);
    }
    assert_eq!(ready(other) & BYWAY_WRITABLE, BYWAY_WRITABLE);
    assert!(send(other, &[1], 0).is_ok());
}

#[test]
fn a_descriptor_follows_what_it_is_asked_for() {
    let pair = Pair::new();
    let fd = poll_fd(pair.streams[0], BYWAY_WRITABLE);
    assert!(readable(fd, 0));
    assert_eq!(poll_fd(pair.streams[0], BYWAY_READABLE), fd);
    assert!(!readable(fd, 0));
    assert_eq!(poll_fd(pair.streams[0], BYWAY_READABLE | BYWAY_WRITABLE), fd);
    assert!(readable(fd, 0));
    assert_eq!(poll_fd(pair.streams[0], 0), fd);
    assert!(!readable(fd, 0));
    byway_abort(pair.streams[1]);
    assert!(readable(fd, LONG), "an end need not be asked for");
    assert_eq!(ready(pair.streams[0]), BYWAY_READABLE | IDLE | BYWAY_ENDED);
}

#[test]
fn listener_is_readable_while_a_peer_waits() {
    let pair = Pair::new();
    let fd = poll_fd(pair.listener, BYWAY_ACCEPTABLE);
    assert!(!readable(fd, 0));
    assert_eq!(ready(pair.listener), BYWAY_OPENED);
    let streams = [(); 2].map(|()| {
        let endpoint = c"camera:1".as_ptr();
        // SAFETY: a string and a place for a handle.
        given(|place| unsafe { byway_connect(pair.clients[1], endpoint, LONG, place) })
    });
    for _ in 0..2 {
        assert!(readable(fd, LONG));
        assert_eq!(ready(pair.listener), BYWAY_ACCEPTABLE | BYWAY_OPENED);
        check(byway_abort(accept(pair.listener)));
    }
    assert!(!readable(fd, 0));
    for stream in streams {
        check(byway_abort(stream));
    }
    check(byway_close(pair.clients[0], LONG));
    assert!(readable(fd, 0), "its client was closed");
    assert_eq!(ready(pair.listener), BYWAY_ACCEPTABLE | BYWAY_OPENED | BYWAY_ENDED);
}

#[test]
fn a_client_is_readable_while_there_are_events() {
    let pair = Pair::new();
    let client = pair.clients[0];
    let fd = poll_fd(client, BYWAY_EVENT);
    let take = || {
        let mut event = MaybeUninit::<byway_event>::uninit();
        let size = size_of::<byway_event>();
        // SAFETY: a place of this size; initialized on success.
        unsafe {
            match byway_next_event(client, event.as_mut_ptr(), size, 0) {
                BYWAY_OK => Some(event.assume_init()),
                code => {
                    expect(code, byway_error::TimedOut);
                    None
                }
            }
        }
    };
    while take().is_some() {}
    assert!(!readable(fd, 0));
    check(byway_network_changed(client));
    assert!(readable(fd, 0));
    assert_eq!(ready(client), BYWAY_EVENT | BYWAY_OPENED);
    let event = take().expect("an event");
    assert_eq!((event.kind, event.cause), (byway_event_kind::Connecting as u32, 0));
    while take().is_some() {}
    assert!(!readable(fd, 0));
}

/// A relay of another version: its URL.
fn newer_relay() -> CString {
    let welcome =
        Welcome { version: VERSION + 1, seq: 1, address: Address([1; 16]), max_body: 1 << 20 };
    let mut body = [0; MAX_CONTROL];
    let len = Message::Welcome(welcome).encode(&mut body).expect("it fits");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {len}\r\n\r\n"
    );
    let answer = [head.as_bytes(), &body[..len]].concat();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // One read brings a whole request, which is small and made in one write.
            while stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {
                if stream.write_all(&answer).is_err() {
                    break;
                }
            }
        }
    });
    CString::new(url).expect("a URL")
}

/// A loop that polls would be woken for ever if the call behind the descriptor gave nothing.
#[test]
fn client_that_cannot_go_on_is_readable_and_says_why() {
    let url = newer_relay();
    let mut config = default_config();
    config.relay_url = url.as_ptr();
    // SAFETY: the pointers are to places of this function.
    let client = given(|place| unsafe { byway_client_start(&config, place) });
    let fd = poll_fd(client, 0);
    let last = |timeout| {
        let mut event = MaybeUninit::<byway_event>::uninit();
        let size = size_of::<byway_event>();
        loop {
            // SAFETY: a place of this size.
            let code = unsafe { byway_next_event(client, event.as_mut_ptr(), size, timeout) };
            if code != BYWAY_OK {
                return code;
            }
        }
    };
    expect(last(LONG), byway_error::Version);
    assert_eq!(byway_last_detail(), u64::from(VERSION) + 1);
    assert!(readable(fd, 0));
    assert_ne!(ready(client) & BYWAY_ENDED, 0);
    expect(last(0), byway_error::Version);
    check(byway_close(client, 0));
}

#[test]
fn a_descriptor_is_closed_with_its_handle() {
    let pair = Pair::new();
    let fd = poll_fd(pair.streams[0], BYWAY_READABLE);
    let link = format!("/proc/self/fd/{fd}");
    let socket = std::fs::read_link(&link).expect("it is open");
    check(byway_close(pair.streams[0], 0));
    // Another test may have got the number by now.
    assert_ne!(std::fs::read_link(&link).ok(), Some(socket));
}

#[test]
fn a_datagram_channel_is_writable_when_a_datagram_fits() {
    let relay = relay();
    let [a, b] = [client(&relay), client(&relay)];
    // SAFETY: strings and places for handles.
    let (listener, sender) = unsafe {
        (
            given(|place| byway_listen_datagram(a, c"d:1".as_ptr(), LONG, place)),
            given(|place| byway_connect_datagram(b, c"d:1".as_ptr(), LONG, place)),
        )
    };
    let receiver = accept(listener);
    let (writable, readable_fd) =
        (poll_fd(sender, BYWAY_WRITABLE), poll_fd(receiver, BYWAY_READABLE));
    for n in 0..10 {
        assert!(readable(writable, LONG), "{n}");
        let datagram = [n; 100];
        // SAFETY: so many octets.
        check(unsafe { byway_datagram_send(sender, datagram.as_ptr(), 100, 0) });
        assert!(readable(readable_fd, LONG), "{n}");
        let (mut buffer, mut len) = ([0; 200], 0);
        // SAFETY: so many octets, and a place for a size.
        unsafe {
            let code = byway_datagram_recv(receiver, buffer.as_mut_ptr(), 99, 0, &mut len);
            expect(code, byway_error::BufferTooSmall);
            assert_eq!((byway_last_detail(), len), (100, 0));
            check(byway_datagram_recv(receiver, buffer.as_mut_ptr(), 200, 0, &mut len));
        }
        assert_eq!((len, buffer[99], buffer[100]), (100, n, 0));
        assert!(!readable(readable_fd, 0), "{n}");
    }
    for handle in [sender, receiver, listener, a, b] {
        check(byway_close(handle, LONG));
    }
}
