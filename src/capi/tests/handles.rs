//! Handles that are none, are not any more, or are of another kind.

use super::*;

/// Calls that take a handle of some kind, with valid arguments otherwise: name, kinds that it takes
/// (as in the handle's topmost octet), call.
type Call = fn(byway_handle) -> i32;
const CALLS: &[(&str, &[u64], Call)] = &[
    // SAFETY (of all): the pointers are to places of the size that is told, alive during the call.
    ("byway_network_changed", &[1], |h| byway_network_changed(h)),
    ("byway_listen", &[1], |h| unsafe { byway_listen(h, c"a:1".as_ptr(), 0, &mut 0) }),
    ("byway_listen_datagram", &[1], |h| unsafe {
        byway_listen_datagram(h, c"a:2".as_ptr(), 0, &mut 0)
    }),
    ("byway_connect", &[1], |h| unsafe { byway_connect(h, c"a:3".as_ptr(), 0, &mut 0) }),
    ("byway_connect_datagram", &[1], |h| unsafe {
        byway_connect_datagram(h, c"a:4".as_ptr(), 0, &mut 0)
    }),
    ("byway_listen_greeting", &[1], |h| unsafe {
        byway_listen_greeting(h, c"a:7".as_ptr(), [7].as_ptr(), 1, 0, &mut 0)
    }),
    ("byway_listen_datagram_greeting", &[1], |h| unsafe {
        byway_listen_datagram_greeting(h, c"a:8".as_ptr(), [7].as_ptr(), 1, 0, &mut 0)
    }),
    ("byway_connect_greeting", &[1], |h| unsafe {
        byway_connect_greeting(h, c"a:5".as_ptr(), [7].as_ptr(), 1, 0, &mut 0)
    }),
    ("byway_connect_datagram_greeting", &[1], |h| unsafe {
        byway_connect_datagram_greeting(h, c"a:6".as_ptr(), [7].as_ptr(), 1, 0, &mut 0)
    }),
    ("byway_next_event", &[1], |h| {
        let mut event = MaybeUninit::uninit();
        unsafe { byway_next_event(h, event.as_mut_ptr(), size_of::<byway_event>(), 0) }
    }),
    ("byway_client_get_stats", &[1], |h| {
        let mut stats = MaybeUninit::uninit();
        unsafe { byway_client_get_stats(h, stats.as_mut_ptr(), size_of::<byway_client_stats>()) }
    }),
    ("byway_accept", &[2], |h| unsafe { byway_accept(h, 0, &mut 0) }),
    ("byway_send", &[3], |h| unsafe { byway_send(h, [1].as_ptr(), 1, 0, &mut 0) }),
    ("byway_recv", &[3], |h| unsafe { byway_recv(h, [0].as_mut_ptr(), 1, 0, &mut 0) }),
    ("byway_flush", &[3], |h| byway_flush(h, 0)),
    ("byway_wait_acked", &[3], |h| byway_wait_acked(h, 0)),
    ("byway_shutdown", &[3], |h| byway_shutdown(h, 0)),
    ("byway_datagram_send", &[4], |h| unsafe { byway_datagram_send(h, [1].as_ptr(), 1, 0) }),
    ("byway_datagram_recv", &[4], |h| unsafe {
        byway_datagram_recv(h, [0].as_mut_ptr(), 1, 0, &mut 0)
    }),
    ("byway_datagram_max", &[4], |h| unsafe { byway_datagram_max(h, &mut 0) }),
    ("byway_channel_get_stats", &[3, 4], |h| {
        let mut stats = MaybeUninit::uninit();
        unsafe { byway_channel_get_stats(h, stats.as_mut_ptr(), size_of::<byway_channel_stats>()) }
    }),
    ("byway_peer", &[3, 4], |h| unsafe { byway_peer(h, [0; BYWAY_ADDRESS_SIZE].as_mut_ptr()) }),
    ("byway_greeting", &[3, 4], |h| unsafe {
        byway_greeting(h, [0; BYWAY_GREETING_SIZE].as_mut_ptr(), BYWAY_GREETING_SIZE, &mut 0)
    }),
    ("byway_endpoint", &[2, 3, 4], |h| unsafe {
        byway_endpoint(h, [0; BYWAY_ENDPOINT_SIZE].as_mut_ptr(), BYWAY_ENDPOINT_SIZE)
    }),
    ("byway_id", &[2, 3, 4], |h| unsafe { byway_id(h, &mut 0) }),
    ("byway_readiness", &[1, 2, 3, 4], |h| unsafe { byway_readiness(h, &mut 0) }),
    ("byway_poll_fd", &[1, 2, 3, 4], |h| unsafe { byway_poll_fd(h, BYWAY_ENDED, &mut 0) }),
    ("byway_second_poll_fd", &[1, 2, 3, 4], |h| unsafe {
        byway_second_poll_fd(h, BYWAY_ENDED, &mut 0)
    }),
    ("byway_wait_open", &[1, 2, 3, 4], |h| byway_wait_open(h, 0)),
    ("byway_cancel", &[1, 2, 3, 4], |h| byway_cancel(h)),
    ("byway_close", &[1, 2, 3, 4], |h| byway_close(h, LONG)),
    ("byway_abort", &[1, 2, 3, 4], |h| byway_abort(h)),
];

const ALL: &[u64] = &[1, 2, 3, 4];

/// A datagram channel, which nobody accepts.
fn datagrams(clients: [byway_handle; 2]) -> byway_handle {
    // SAFETY: the pointers are to strings and places for handles.
    unsafe {
        let listener =
            given(|place| byway_listen_datagram(clients[0], c"d:1".as_ptr(), LONG, place));
        let channel =
            given(|place| byway_connect_datagram(clients[1], c"d:1".as_ptr(), LONG, place));
        check(byway_close(listener, 0));
        channel
    }
}

#[test]
fn every_call_refuses_handles_of_other_kinds() {
    let pair = Pair::new();
    let channel = datagrams(pair.clients);
    let handles = [pair.clients[0], pair.listener, pair.streams[0], channel];
    for (kind, handle) in handles.into_iter().enumerate() {
        let kind = kind as u64 + 1;
        assert_eq!(handle >> 56, kind);
        // Calls that take all kinds would close it.
        for (name, kinds, call) in CALLS.iter().filter(|(_, kinds, _)| *kinds != ALL) {
            let code = call(handle);
            let refused = [byway_error::Kind as i32, byway_error::Handle as i32].contains(&code);
            assert_eq!(refused, !kinds.contains(&kind), "{name} of {kind} gives {code}");
        }
    }
    check(byway_abort(channel));
}

#[test]
fn closed_and_invented_handles_are_errors() {
    let pair = Pair::new();
    let channel = datagrams(pair.clients);
    let handles = [channel, pair.streams[1], pair.listener, pair.clients[1]];
    // None of these can be one that another test has, or gets.
    let mut wrong = vec![0, 1, u64::MAX, 1 << 56, 3 << 56, 5 << 56 | 1 << 24];
    for handle in handles {
        // A handle of another kind, of the generation before, of a slot far away.
        wrong.extend([handle ^ 7 << 56, handle - (1 << 24), handle | 0xff_ffff, handle | 1 << 63]);
        check(byway_abort(handle));
        wrong.push(handle);
    }
    for handle in wrong {
        for (name, _, call) in CALLS {
            assert_eq!(call(handle), byway_error::Handle as i32, "{name} of {handle:#x}");
        }
    }
}

#[test]
fn a_slot_used_again_gives_another_handle() {
    let relay = relay();
    let client = client(&relay);
    let mut before = Vec::new();
    for _ in 0..50 {
        let listener = listen(client, c"again:1");
        assert!(!before.contains(&listener));
        check(byway_close(listener, 0));
        before.push(listener);
        for old in &before {
            expect(byway_abort(*old), byway_error::Handle);
        }
    }
    check(byway_close(client, LONG));
}

#[test]
fn only_one_of_concurrent_closes_succeeds() {
    let relay = relay();
    let client = client(&relay);
    for _ in 0..20 {
        let listener = listen(client, c"many:1");
        let closers: Vec<_> =
            (0..4).map(|_| std::thread::spawn(move || byway_close(listener, 0))).collect();
        let codes: Vec<_> =
            closers.into_iter().map(|closer| closer.join().expect("no panic")).collect();
        assert_eq!(codes.iter().filter(|code| **code == BYWAY_OK).count(), 1, "{codes:?}");
        let lost = codes.iter().filter(|code| **code == byway_error::Handle as i32).count();
        assert_eq!(lost, 3, "{codes:?}");
    }
    check(byway_close(client, LONG));
}

#[test]
fn channels_outlive_the_handle_of_their_client() {
    let pair = Pair::new();
    check(byway_close(pair.clients[1], LONG));
    expect(send(pair.streams[1], b"late", 0).expect_err("closed"), byway_error::Closed);
    expect(byway_close(pair.streams[1], LONG), byway_error::Closed);
    expect(byway_close(pair.streams[1], LONG), byway_error::Handle);
}
