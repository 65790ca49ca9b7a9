//! Pointers, lengths, texts, and the codes' own texts.

use std::ptr::{null, null_mut};

use super::super::error::LINES;
use super::*;

fn strerror(code: i32) -> &'static str {
    // SAFETY: the string is static.
    unsafe { CStr::from_ptr(byway_strerror(code)) }.to_str().expect("UTF-8")
}

#[test]
fn pointers_and_lengths_are_checked() {
    let pair = Pair::new();
    let [stream, client] = [pair.streams[0], pair.clients[0]];
    let too_long = isize::MAX as usize + 1;
    let mut buffer = [0_u8; 8];
    let (at, mut n) = (buffer.as_mut_ptr(), usize::MAX);
    let odd = at.wrapping_add(1 - at.addr() % 2);
    // SAFETY: the pointers are valid, or refused before they are used.
    unsafe {
        for code in [
            byway_send(stream, null(), 1, 0, &mut n),
            byway_send(stream, at, too_long, 0, &mut n),
            byway_send(stream, at, usize::MAX, 0, &mut n),
            byway_send(stream, at, 1, 0, null_mut()),
            byway_send(stream, at, 1, 0, odd.cast()),
            byway_recv(stream, null_mut(), 1, 0, &mut n),
            byway_recv(stream, at, too_long, 0, &mut n),
            byway_recv(stream, at, 1, 0, null_mut()),
            byway_shutdown(stream, 3),
            byway_accept(pair.listener, 0, null_mut()),
            byway_peer(stream, null_mut()),
            byway_id(stream, null_mut()),
            byway_endpoint(stream, null_mut(), 1),
            byway_readiness(stream, null_mut()),
            byway_poll_fd(stream, BYWAY_READABLE, null_mut()),
            byway_poll_fd(stream, 128, (&raw mut n).cast()),
            byway_poll_fd(stream, 256, (&raw mut n).cast()),
            byway_listen(client, null(), 0, &mut 0),
            byway_listen(client, c"\xff:1".as_ptr(), 0, &mut 0),
            byway_listen(client, c"a:1".as_ptr(), 0, null_mut()),
            byway_connect(client, null(), 0, &mut 0),
            byway_connect(client, c"a:1".as_ptr(), 0, null_mut()),
            byway_connect_greeting(client, c"a:1".as_ptr(), null(), 1, 0, &mut 0),
            byway_connect_greeting(client, c"a:1".as_ptr(), at, too_long, 0, &mut 0),
            byway_connect_greeting(client, c"a:1".as_ptr(), at, 1, 0, null_mut()),
            byway_connect_datagram_greeting(client, c"a:1".as_ptr(), null(), 1, 0, &mut 0),
            byway_listen_greeting(client, c"a:1".as_ptr(), null(), 1, 0, &mut 0),
            byway_listen_greeting(client, c"a:1".as_ptr(), at, 1, 0, null_mut()),
            byway_listen_datagram_greeting(client, c"a:1".as_ptr(), at, too_long, 0, &mut 0),
            byway_greeting(stream, null_mut(), 1, &mut n),
            byway_greeting(stream, at, too_long, &mut n),
            byway_greeting(stream, at, 1, null_mut()),
            byway_client_get_stats(client, null_mut(), size_of::<byway_client_stats>()),
            byway_channel_get_stats(stream, null_mut(), size_of::<byway_channel_stats>()),
            byway_next_event(client, null_mut(), size_of::<byway_event>(), 0),
            byway_client_open(null(), 0, &mut 0),
            byway_client_start(null(), &mut 0),
            byway_config_default(null_mut(), size_of::<byway_config>()),
            byway_config_profile(null_mut(), 0),
            byway_identity_name(null(), null_mut(), 0),
            byway_identity_name([0; BYWAY_IDENTITY_SIZE].as_ptr(), null_mut(), 0),
            byway_set_log(None, null_mut(), 6),
        ] {
            expect(code, byway_error::Argument);
        }
        assert_eq!(n, usize::MAX, "written though it failed");
        // Nothing at all is a length, too.
        check(byway_send(stream, null(), 0, 0, &mut n));
        assert_eq!(n, 0);
        check(byway_recv(stream, null_mut(), 0, 0, &mut n));
        expect(byway_listen(client, c"a".as_ptr(), 0, &mut 0), byway_error::Endpoint);
        expect(byway_connect(client, c"a b:1".as_ptr(), 0, &mut 0), byway_error::Endpoint);
    }
}

#[test]
fn channel_names_its_endpoint_peer_and_id() {
    let pair = Pair::new();
    let mut text = [1; BYWAY_ENDPOINT_SIZE];
    for handle in [pair.listener, pair.streams[0], pair.streams[1]] {
        // SAFETY: the buffer has this size, and holds a string afterwards.
        let endpoint = unsafe {
            check(byway_endpoint(handle, text.as_mut_ptr(), text.len()));
            CStr::from_ptr(text.as_ptr())
        };
        assert_eq!(endpoint, c"camera:1");
        // SAFETY: the buffer is larger than is told.
        let code = unsafe { byway_endpoint(handle, text.as_mut_ptr(), 8) };
        expect(code, byway_error::BufferTooSmall);
        assert_eq!(byway_last_detail(), 9);
        // SAFETY: the buffer is as large as is told.
        check(unsafe { byway_endpoint(handle, text.as_mut_ptr(), 9) });
    }
    let mut addresses = [[0_u8; BYWAY_ADDRESS_SIZE]; 2];
    let mut ids = [0; 2];
    for i in 0..2 {
        // SAFETY: places of the right sizes.
        unsafe {
            check(byway_peer(pair.streams[i], addresses[i].as_mut_ptr()));
            check(byway_id(pair.streams[i], &mut ids[i]));
        }
    }
    assert_ne!(addresses[0], addresses[1]);
    assert_ne!(addresses[0], [0; BYWAY_ADDRESS_SIZE]);
    assert!(ids.iter().all(|id| *id != 0));
}

#[test]
fn the_longest_endpoint_fits() {
    let longest = format!("{}:65535", "n".repeat(crate::wire::MAX_NAME));
    assert!(longest.len() < BYWAY_ENDPOINT_SIZE);
}

#[test]
fn greeting_too_long_is_an_argument_error_that_names_the_limit() {
    let pair = Pair::new();
    let long = [0; BYWAY_GREETING_SIZE + 1];
    let (at, endpoint) = (long.as_ptr(), c"camera:1".as_ptr());
    let mut handle = NOTHING;
    // SAFETY: the pointers are to a text, so many octets and a place for a handle.
    let code = unsafe {
        byway_connect_greeting(pair.clients[1], endpoint, at, long.len(), LONG, &mut handle)
    };
    expect(code, byway_error::Argument);
    assert!(last_error().contains("at most 96 octets"), "{}", last_error());
    assert_eq!(handle, NOTHING);
}

#[test]
fn every_code_has_a_line_of_its_own() {
    let unknown = strerror(-99);
    assert!(unknown.contains("unknown"));
    assert_eq!(strerror(BYWAY_OK), "success");
    let header = include_str!("../byway.h");
    let codes: Vec<i32> = header
        .lines()
        .filter_map(|line| line.trim().strip_prefix("BYWAY_ERROR_")?.split_once(" = "))
        .map(|(_, code)| code.trim_end_matches(',').parse().expect("a number"))
        .collect();
    assert_eq!(codes.len(), LINES.len());
    let mut lines: Vec<_> = codes.iter().map(|code| strerror(*code)).collect();
    assert!(lines.iter().all(|line| *line != unknown && line.len() > 30));
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), codes.len());
}

#[test]
fn the_last_failure_is_each_threads_own() {
    expect(byway_network_changed(0), byway_error::Handle);
    let first = last_error();
    assert!(first.contains("0"), "{first}");
    std::thread::spawn(|| {
        assert_eq!(last_error(), "");
        assert_eq!(byway_last_detail(), 0);
    })
    .join()
    .expect("nothing there");
    let mut config = MaybeUninit::uninit();
    // SAFETY: a place of this size.
    check(unsafe { byway_config_default(config.as_mut_ptr(), size_of::<byway_config>()) });
    assert_eq!(last_error(), first, "success leaves it");
}

#[test]
fn versions_agree() {
    // SAFETY: the string is static.
    let text = unsafe { CStr::from_ptr(byway_version_string()) }.to_str().expect("UTF-8");
    let version = byway_version();
    let written = format!("{}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff);
    assert_eq!((text, &*written), (env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_VERSION")));
}
