//! Waits, and what ends them.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::*;

/// Calls from a thread of its own.
fn waiting(call: impl FnOnce() -> i32 + Send + 'static) -> JoinHandle<i32> {
    thread::spawn(call)
}

/// Cancels until `wait` is out of its call: the first may come before it waits.
#[track_caller]
fn cancel(handle: byway_handle, wait: JoinHandle<i32>) {
    until("a cancelled wait", || {
        // A close may be over by now, and its handle gone.
        let code = byway_cancel(handle);
        assert!([BYWAY_OK, byway_error::Handle as i32].contains(&code), "{}", last_error());
        wait.is_finished()
    });
    assert_eq!(wait.join().expect("no panic"), byway_error::Cancelled as i32);
}

#[test]
fn a_cancel_ends_every_kind_of_wait() {
    let pair = Pair::new();
    let [stream, other] = pair.streams;
    let [client, _] = pair.clients;
    cancel(stream, waiting(move || recv(stream, &mut [0; 8], BYWAY_FOREVER).unwrap_err()));
    // Nobody reads at the other end.
    fill(other);
    cancel(other, waiting(move || send(other, &[1], BYWAY_FOREVER).unwrap_err()));
    cancel(other, waiting(move || byway_wait_acked(other, BYWAY_FOREVER)));
    cancel(other, waiting(move || byway_flush(other, BYWAY_FOREVER)));
    cancel(other, waiting(move || byway_close(other, BYWAY_FOREVER)));
    expect(byway_close(other, 0), byway_error::Handle);

    let listener = pair.listener;
    // SAFETY (of all): the pointers are to strings and places that live during the call.
    cancel(listener, waiting(move || unsafe { byway_accept(listener, BYWAY_FOREVER, &mut 0) }));
    cancel(
        client,
        waiting(move || unsafe { byway_connect(client, c"no:1".as_ptr(), BYWAY_FOREVER, &mut 0) }),
    );
    cancel(
        client,
        waiting(move || {
            let mut event = MaybeUninit::uninit();
            let size = size_of::<byway_event>();
            loop {
                // Events that are there already are taken first.
                let code =
                    unsafe { byway_next_event(client, event.as_mut_ptr(), size, BYWAY_FOREVER) };
                if code != BYWAY_OK {
                    return code;
                }
            }
        }),
    );
    // And none of them is cancelled for good.
    expect(recv(stream, &mut [0; 0], 0).map_or_else(|code| code, |_| -7), byway_error::TimedOut);
    assert!(recv(stream, &mut [0; 8], LONG).is_ok());
}

#[test]
fn a_client_without_a_relay_can_be_cancelled_and_closed() {
    let mut config = default_config();
    // Nobody listens at port 1 of this host, as a rule; if somebody does, it is no relay.
    config.relay_url = c"http://127.0.0.1:1".as_ptr();
    // SAFETY: the pointers are to places that live during the calls.
    let client = given(|place| unsafe { byway_client_start(&config, place) });
    cancel(client, waiting(move || byway_wait_open(client, BYWAY_FOREVER)));
    cancel(
        client,
        waiting(move || unsafe { byway_listen(client, c"a:1".as_ptr(), BYWAY_FOREVER, &mut 0) }),
    );
    let code = byway_wait_open(client, 200);
    assert!((-410..=-400).contains(&code), "{code}: {}", last_error());
    check(byway_close(client, 0));
    let mut handle = NOTHING;
    // SAFETY: as above.
    let code = unsafe { byway_client_open(&config, 200, &mut handle) };
    assert!((-410..=-400).contains(&code), "{code}: {}", last_error());
    assert_eq!(handle, NOTHING);
}

#[test]
fn close_wakes_waiting_threads() {
    let pair = Pair::new();
    let [_, other] = pair.streams;
    fill(other);
    let closed = |wait: JoinHandle<i32>| {
        assert_eq!(wait.join().expect("no panic"), byway_error::Closed as i32);
    };
    // Whether they wait already or come too late, they end; the latter at a handle that is gone.
    let either = |wait: JoinHandle<i32>| {
        let code = wait.join().expect("no panic");
        assert!([byway_error::Closed as i32, byway_error::Handle as i32].contains(&code), "{code}");
    };
    let waits = [
        waiting(move || recv(other, &mut [0; 8], BYWAY_FOREVER).unwrap_err()),
        waiting(move || send(other, &[1], BYWAY_FOREVER).unwrap_err()),
        waiting(move || byway_wait_acked(other, BYWAY_FOREVER)),
    ];
    check(byway_close(other, 0));
    waits.into_iter().for_each(either);

    let listener = pair.listener;
    // SAFETY: a place for a handle.
    let wait = waiting(move || unsafe { byway_accept(listener, BYWAY_FOREVER, &mut 0) });
    check(byway_close(listener, 0));
    either(wait);

    // A client ends the waits of all that is its own, and those handles stay.
    let [client, peer] = pair.clients;
    let listener = listen(client, c"more:1");
    // SAFETY: a string and places for handles.
    let (connected, accepted) = unsafe {
        (given(|place| byway_connect(peer, c"more:1".as_ptr(), LONG, place)), accept(listener))
    };
    let waits = [
        // SAFETY: a place for a handle.
        waiting(move || unsafe { byway_accept(listener, BYWAY_FOREVER, &mut 0) }),
        waiting(move || recv(accepted, &mut [0; 8], BYWAY_FOREVER).unwrap_err()),
    ];
    let code = byway_close(client, 2_000);
    assert!([BYWAY_OK, byway_error::Unacked as i32].contains(&code), "{}", last_error());
    waits.into_iter().for_each(closed);
    for handle in [listener, accepted, connected] {
        check(byway_abort(handle));
    }
}

#[test]
fn timeouts_end_waits_in_time() {
    let pair = Pair::new();
    let begun = Instant::now();
    expect(recv(pair.streams[0], &mut [0; 8], 0).unwrap_err(), byway_error::TimedOut);
    expect(recv(pair.streams[0], &mut [0; 8], 300).unwrap_err(), byway_error::TimedOut);
    // SAFETY: a place for a handle.
    let code = unsafe { byway_accept(pair.listener, 300, &mut 0) };
    expect(code, byway_error::TimedOut);
    let took = begun.elapsed();
    assert!((Duration::from_millis(600)..Duration::from_secs(5)).contains(&took), "{took:?}");
}

#[test]
fn close_of_a_client_counts_unacknowledged_channels() {
    let pair = Pair::new();
    let [_, other] = pair.streams;
    fill(other);
    let begun = Instant::now();
    expect(byway_close(pair.clients[1], 100), byway_error::Unacked);
    assert_eq!(byway_last_detail(), 1);
    assert!(last_error().contains("1 channels"), "{}", last_error());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn close_waits_for_acknowledgement_of_what_was_sent() {
    let pair = Pair::new();
    let [stream, other] = pair.streams;
    assert_eq!(send(other, b"last words", LONG), Ok(10));
    check(byway_close(other, LONG));
    let mut buffer = [0; 32];
    assert_eq!(recv(stream, &mut buffer, LONG), Ok(10));
    assert_eq!(&buffer[..10], b"last words");
    assert_eq!(recv(stream, &mut buffer, LONG), Ok(0));
    // That the other end is gone is no failure of a close behind which nothing is missing.
    check(byway_close(stream, LONG));
}

#[test]
fn close_of_a_channel_tells_what_is_unacknowledged() {
    let pair = Pair::new();
    let [stream, other] = pair.streams;
    fill(other);
    check(byway_abort(stream));
    expect(byway_close(other, LONG), byway_error::PeerAborted);
    // Of what the ring of the peer holds at most, so much had come there; records have octets besides.
    let ring = crate::session::Profile::PHONE.ring as u64;
    let acked = byway_last_detail();
    assert!((1..ring).contains(&acked), "{acked}");
}
