//! Keys of peers: pinned, told, admitted; shared secrets.

use std::ffi::c_char;
use std::ptr::{null, null_mut};

use super::*;
use crate::secure::Identity;

const CAMERA: [u8; BYWAY_IDENTITY_SIZE] = [7; BYWAY_IDENTITY_SIZE];
const VIEWER: [u8; BYWAY_IDENTITY_SIZE] = [8; BYWAY_IDENTITY_SIZE];

fn key_name(identity: [u8; BYWAY_IDENTITY_SIZE]) -> CString {
    CString::new(Identity::from_seed(identity).public_key().to_string()).expect("a name")
}

/// The key name of a channel's peer.
fn peer_key(channel: byway_handle) -> String {
    let mut name: [c_char; BYWAY_KEY_NAME_SIZE] = [1; BYWAY_KEY_NAME_SIZE];
    // SAFETY: as large as it says; a text with a NUL after success.
    unsafe {
        check(byway_peer_key(channel, name.as_mut_ptr(), name.len()));
        CStr::from_ptr(name.as_ptr()).to_str().expect("ASCII").to_owned()
    }
}

#[test]
fn peer_key_is_told_and_is_empty_where_nothing_is_encrypted() {
    let relay = relay();
    let camera = client_with(&relay, |config| config.identity = CAMERA);
    let viewer = client_with(&relay, |config| config.identity = VIEWER);
    let listener = listen(camera, c"camera:1");
    // SAFETY: the pointers are to a string and to a place for a handle.
    let near = given(|at| unsafe { byway_connect(viewer, c"camera:1".as_ptr(), LONG, at) });
    let far = accept(listener);
    assert_eq!(peer_key(near).as_bytes(), key_name(CAMERA).as_bytes());
    assert_eq!(peer_key(far).as_bytes(), key_name(VIEWER).as_bytes());
    // SAFETY: nothing is written into a buffer of no octets.
    let code = unsafe { byway_peer_key(near, null_mut(), 0) };
    expect(code, byway_error::BufferTooSmall);
    assert_eq!(byway_last_detail(), BYWAY_KEY_NAME_SIZE as u64);
    // SAFETY: as above.
    expect(unsafe { byway_peer_key(listener, null_mut(), 0) }, byway_error::Kind);

    let [plain, other] = [(); 2].map(|()| client_with(&relay, |config| config.plain = 1));
    let _listener = listen(plain, c"plain:1");
    // SAFETY: the pointers are to a string and to a place for a handle.
    let near = given(|at| unsafe { byway_connect(other, c"plain:1".as_ptr(), LONG, at) });
    assert_eq!(peer_key(near), "");
    let mut none = NOTHING;
    let (name, key) = (c"plain:1".as_ptr(), key_name(CAMERA));
    // SAFETY: as above.
    unsafe {
        expect(byway_connect(viewer, name, LONG, &mut none), byway_error::PeerPlain);
        expect(
            byway_connect(other, c"camera:1".as_ptr(), LONG, &mut none),
            byway_error::PeerEncrypts,
        );
        let code = byway_connect_to_key(other, name, key.as_ptr(), null(), 0, LONG, &mut none);
        expect(code, byway_error::Unsupported);
    }
    assert_eq!(none, NOTHING);
    for client in [camera, viewer, plain, other] {
        check(byway_abort(client));
    }
}

#[test]
fn listener_met_before_is_refused_with_another_key() {
    let (relay, directory) = (relay(), tempfile::tempdir().expect("a directory"));
    let path = directory.path().join("known");
    let file = CString::new(path.to_str().expect("UTF-8")).expect("a path");
    let viewer = client_with(&relay, |config| config.known_peers = file.as_ptr());
    // SAFETY: the pointers are to a string and to a place for a handle.
    let connect = |at| unsafe { byway_connect(viewer, c"camera:1".as_ptr(), LONG, at) };
    for (identity, is_met) in [(CAMERA, true), (VIEWER, false), (CAMERA, true)] {
        let camera = client_with(&relay, |config| config.identity = identity);
        let listener = listen(camera, c"camera:1");
        if is_met {
            assert_eq!(peer_key(given(connect)).as_bytes(), key_name(CAMERA).as_bytes());
        } else {
            expect(connect(&mut NOTHING.clone()), byway_error::WrongKey);
        }
        check(byway_close(listener, LONG));
        check(byway_abort(camera));
    }
    std::fs::write(&path, "camera:1").expect("written");
    expect(connect(&mut NOTHING.clone()), byway_error::Setting);
    check(byway_abort(viewer));
}

#[test]
fn pinned_key_is_had_by_the_listener_or_the_connection_is_refused() {
    let relay = relay();
    let camera = client_with(&relay, |config| config.identity = CAMERA);
    let viewer = client(&relay);
    let listener = listen(camera, c"camera:1");
    // SAFETY: the pointers are to strings and to a place for a handle.
    let datagrams =
        given(|at| unsafe { byway_listen_datagram(camera, c"camera:2".as_ptr(), LONG, at) });
    let connect = |key: &CStr, datagram: bool, timeout: i32, at: *mut byway_handle| {
        let (connect, name): (unsafe extern "C" fn(_, _, _, _, _, _, _) -> _, _) = match datagram {
            false => (byway_connect_to_key, c"camera:1"),
            true => (byway_connect_datagram_to_key, c"camera:2"),
        };
        let greeting = b"it is me";
        // SAFETY: the pointers are to strings, to octets, and to a place for a handle.
        unsafe {
            let (name, key) = (name.as_ptr(), key.as_ptr());
            connect(viewer, name, key, greeting.as_ptr(), greeting.len(), timeout, at)
        }
    };
    let (right, wrong) = (key_name(CAMERA), key_name(VIEWER));
    for (datagram, listener) in [(false, listener), (true, datagrams)] {
        for timeout in [LONG, 0] {
            let near = given(|at| connect(&right, datagram, timeout, at));
            check(byway_wait_open(near, LONG));
            let far = accept(listener);
            assert_eq!(peer_key(near).as_bytes(), right.as_bytes());
            let (mut greeting, mut len) = ([0; BYWAY_GREETING_SIZE], 0);
            // SAFETY: the pointers are to a buffer and to a place for a size.
            check(unsafe { byway_greeting(far, greeting.as_mut_ptr(), greeting.len(), &mut len) });
            assert_eq!(&greeting[..len], b"it is me");
            check(byway_abort(near));
            check(byway_abort(far));
        }
        let mut none = NOTHING;
        expect(connect(&wrong, datagram, LONG, &mut none), byway_error::WrongKey);
        assert_eq!(none, NOTHING);
        let late = given(|at| connect(&wrong, datagram, 0, at));
        expect(byway_wait_open(late, LONG), byway_error::WrongKey);
        check(byway_abort(late));
        // The greeting for the other key reached nobody.
        // SAFETY: the pointer is to a place for a handle.
        expect(unsafe { byway_accept(listener, 0, &mut none) }, byway_error::TimedOut);
        for bad in [c"camera", c"k.", c"k.x", c"k.\xff", c""] {
            let code = connect(bad, datagram, 0, &mut none);
            let wanted = match bad.to_str() {
                Ok(_) => byway_error::KeyName,
                Err(_) => byway_error::Argument,
            };
            expect(code, wanted);
        }
        assert_eq!(none, NOTHING);
    }
    check(byway_abort(viewer));
    check(byway_abort(camera));
}

#[test]
fn listener_admits_the_keys_that_it_is_given() {
    let relay = relay();
    let camera = client(&relay);
    let known = client_with(&relay, |config| config.identity = VIEWER);
    let unknown = client(&relay);
    let listener = listen(camera, c"camera:1");
    let viewer = key_name(VIEWER);
    let admit = |names: &[*const c_char]| {
        // SAFETY: so many pointers, each NULL or to a string.
        unsafe { byway_admit(listener, names.as_ptr(), names.len()) }
    };
    let connect = |client| {
        // SAFETY: the pointers are to a string and to a place for a handle.
        given(|at| unsafe { byway_connect(client, c"camera:1".as_ptr(), LONG, at) })
    };
    // The unknown comes before the keys are given, and is refused all the same.
    let early = connect(unknown);
    expect(admit(&[viewer.as_ptr(), c"camera".as_ptr()]), byway_error::KeyName);
    assert!(last_error().contains("key_names[1]"), "{}", last_error());
    expect(admit(&[null()]), byway_error::Argument);
    // SAFETY: the pointers are NULL, or the count is refused.
    unsafe {
        expect(byway_admit(listener, null(), 1), byway_error::Argument);
        expect(byway_admit(listener, null(), usize::MAX), byway_error::Argument);
        expect(byway_admit(camera, null(), 0), byway_error::Kind);
    }
    check(admit(&[viewer.as_ptr()]));
    let near = connect(known);
    let far = accept(listener);
    assert_eq!(peer_key(far).as_bytes(), viewer.as_bytes());
    expect(recv(early, &mut [0; 1], LONG).unwrap_err(), byway_error::KeyRefused);
    // Nobody is.
    check(admit(&[]));
    let refused = connect(known);
    let mut none = NOTHING;
    // SAFETY: the pointer is to a place for a handle.
    expect(unsafe { byway_accept(listener, 0, &mut none) }, byway_error::TimedOut);
    expect(send_until_refused(listener, refused), byway_error::KeyRefused);
    assert!(send(near, b"stays", LONG).is_ok(), "channels that were accepted stay");
    for client in [camera, known, unknown] {
        check(byway_abort(client));
    }
}

/// The end of a channel that the listener refuses: an accept looks at those that have come.
fn send_until_refused(listener: byway_handle, channel: byway_handle) -> i32 {
    let begun = std::time::Instant::now();
    loop {
        let mut none = NOTHING;
        // SAFETY: the pointer is to a place for a handle.
        expect(unsafe { byway_accept(listener, 10, &mut none) }, byway_error::TimedOut);
        match recv(channel, &mut [0; 1], 10).unwrap_err() {
            code if code == byway_error::TimedOut as i32 => {
                assert!(begun.elapsed().as_millis() < LONG as u128, "never refused");
            }
            code => return code,
        }
    }
}

#[test]
fn peers_without_the_shared_secret_get_no_channel() {
    let relay = relay();
    let with = |secret: Option<[u8; 32]>| {
        client_with(&relay, |config| {
            if let Some(secret) = &secret {
                config.shared_secret = secret.as_ptr();
                config.shared_secret_len = secret.len();
            }
        })
    };
    let camera = with(Some([1; 32]));
    let listener = listen(camera, c"camera:1");
    let friend = with(Some([1; 32]));
    for stranger in [with(Some([2; 32])), with(None)] {
        // SAFETY: the pointers are to a string and to a place for a handle.
        let code =
            unsafe { byway_connect(stranger, c"camera:1".as_ptr(), LONG, &mut NOTHING.clone()) };
        expect(code, byway_error::Handshake);
        check(byway_abort(stranger));
    }
    // SAFETY: as above.
    let near = given(|at| unsafe { byway_connect(friend, c"camera:1".as_ptr(), LONG, at) });
    let far = accept(listener);
    assert_eq!(send(near, b"hello", LONG), Ok(5));
    assert_eq!(recv(far, &mut [0; 5], LONG), Ok(5));
    check(byway_abort(friend));
    check(byway_abort(camera));
}
