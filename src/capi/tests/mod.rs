//! The interface as C sees it: extern functions, raw pointers, codes.

mod arguments;
mod guard;
mod handles;
mod identity;
mod keys;
mod log;
mod poll;
mod structs;
mod traffic;
mod waits;

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;

use super::*;
use crate::relay::{Relay, RelayConfig};

/// Far beyond what anything takes here, in ms; a test that waits so long has failed.
const LONG: i32 = 20_000;

fn relay() -> Relay {
    Relay::bind(RelayConfig::default()).expect("a relay on a free port")
}

fn default_config() -> byway_config {
    let mut config = MaybeUninit::uninit();
    // SAFETY: a place of this size; initialized if the call succeeds.
    unsafe {
        check(byway_config_default(config.as_mut_ptr(), size_of::<byway_config>()));
        config.assume_init()
    }
}

/// Panics with the text of the last failure unless `code` is success.
#[track_caller]
fn check(code: i32) {
    assert_eq!(code, BYWAY_OK, "{}", last_error());
}

#[track_caller]
fn expect(code: i32, error: byway_error) {
    assert_eq!(code, error as i32, "{}", last_error());
}

fn last_error() -> String {
    // SAFETY: the string stays until this thread's next call.
    unsafe { CStr::from_ptr(byway_last_error()) }.to_str().expect("UTF-8").to_owned()
}

/// A handle that was not written.
const NOTHING: byway_handle = 0x5a5a;

/// The result of a call that gives a handle.
#[track_caller]
fn given(call: impl FnOnce(*mut byway_handle) -> i32) -> byway_handle {
    let mut handle = NOTHING;
    check(call(&mut handle));
    assert_ne!(handle, NOTHING);
    assert!(handle as i64 > 0, "positive in languages without unsigned numbers");
    handle
}

fn client(relay: &Relay) -> byway_handle {
    client_with(relay, |_| {})
}

/// A client whose configuration is another one in some settings.
fn client_with(relay: &Relay, change: impl FnOnce(&mut byway_config)) -> byway_handle {
    let url = CString::new(relay.url()).expect("a URL");
    let mut config = default_config();
    // SAFETY: the pointers are to places of this function.
    unsafe {
        check(byway_config_profile(&mut config, byway_profile::Phone as u32));
        config.relay_url = url.as_ptr();
        change(&mut config);
        given(|place| byway_client_open(&config, LONG, place))
    }
}

fn listen(client: byway_handle, endpoint: &CStr) -> byway_handle {
    // SAFETY: the pointers are to a string and to a place for a handle.
    given(|place| unsafe { byway_listen(client, endpoint.as_ptr(), LONG, place) })
}

fn accept(listener: byway_handle) -> byway_handle {
    // SAFETY: the pointer is to a place for a handle.
    given(|place| unsafe { byway_accept(listener, LONG, place) })
}

fn send(stream: byway_handle, data: &[u8], timeout: i32) -> Result<usize, i32> {
    let mut sent = usize::MAX;
    // SAFETY: the pointers are to so many octets and to a place for a size.
    match unsafe { byway_send(stream, data.as_ptr(), data.len(), timeout, &mut sent) } {
        BYWAY_OK => Ok(sent),
        code => {
            assert_eq!(sent, usize::MAX, "written though it failed");
            Err(code)
        }
    }
}

fn recv(stream: byway_handle, buffer: &mut [u8], timeout: i32) -> Result<usize, i32> {
    let mut received = usize::MAX;
    // SAFETY: the pointers are to so many octets and to a place for a size.
    let code =
        unsafe { byway_recv(stream, buffer.as_mut_ptr(), buffer.len(), timeout, &mut received) };
    match code {
        BYWAY_OK => Ok(received),
        code => {
            assert_eq!(received, usize::MAX, "written though it failed");
            Err(code)
        }
    }
}

/// Two clients, a listener of the one, and a stream between them: the listener's end first.
struct Pair {
    _relay: Relay,
    clients: [byway_handle; 2],
    listener: byway_handle,
    streams: [byway_handle; 2],
}

impl Pair {
    fn new() -> Self {
        let relay = relay();
        let clients = [client(&relay), client(&relay)];
        let listener = listen(clients[0], c"camera:1");
        // SAFETY: the pointers are to a string and to a place for a handle.
        let connected =
            given(|place| unsafe { byway_connect(clients[1], c"camera:1".as_ptr(), LONG, place) });
        let accepted = accept(listener);
        Self { _relay: relay, clients, listener, streams: [accepted, connected] }
    }
}

impl Drop for Pair {
    /// A test may have closed some of them.
    fn drop(&mut self) {
        for handle in self.streams.into_iter().chain([self.listener]).chain(self.clients) {
            byway_abort(handle);
        }
    }
}

/// Sends until both rings are full, which they stay as nobody receives.
fn fill(stream: byway_handle) {
    let mut sent = 0;
    // Nothing takes more than an exchange but a peer that does not read.
    while let Ok(n) = send(stream, &[7; 4096], 1_000) {
        sent += n;
    }
    assert!(sent > crate::session::Profile::PHONE.ring, "{sent}");
    expect(send(stream, &[7], 0).unwrap_err(), byway_error::TimedOut);
}

/// Waits until what another thread is about to do has begun: no call tells when a wait has.
fn until(what: &str, mut over: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !over() {
        assert!(begun.elapsed().as_millis() < LONG as u128, "{what} takes too long");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
