//! No panic leaves a call, and none is printed.

use std::process::Command;
use std::ptr::{null, null_mut};

use super::super::guard::{entry, inject};
use super::*;

/// All functions that return a code. Each panics before it looks at what it was given.
type Call = fn() -> i32;
const CALLS: &[(&str, Call)] = &[
    // SAFETY (of all): the guard panics before any pointer is looked at, and NULL is allowed anyway.
    ("byway_config_default", || unsafe { byway_config_default(null_mut(), 0) }),
    ("byway_config_profile", || unsafe { byway_config_profile(null_mut(), 0) }),
    ("byway_identity_name", || unsafe { byway_identity_name(null(), null_mut(), 0) }),
    ("byway_client_open", || unsafe { byway_client_open(null(), 0, null_mut()) }),
    ("byway_client_start", || unsafe { byway_client_start(null(), null_mut()) }),
    ("byway_wait_open", || byway_wait_open(0, 0)),
    ("byway_network_changed", || byway_network_changed(0)),
    ("byway_network_changed_with", || unsafe { byway_network_changed_with(0, 0, null()) }),
    ("byway_listen", || unsafe { byway_listen(0, null(), 0, null_mut()) }),
    ("byway_listen_datagram", || unsafe { byway_listen_datagram(0, null(), 0, null_mut()) }),
    ("byway_listen_greeting", || unsafe {
        byway_listen_greeting(0, null(), null(), 0, 0, null_mut())
    }),
    ("byway_listen_datagram_greeting", || unsafe {
        byway_listen_datagram_greeting(0, null(), null(), 0, 0, null_mut())
    }),
    ("byway_connect", || unsafe { byway_connect(0, null(), 0, null_mut()) }),
    ("byway_connect_datagram", || unsafe { byway_connect_datagram(0, null(), 0, null_mut()) }),
    ("byway_connect_greeting", || unsafe {
        byway_connect_greeting(0, null(), null(), 0, 0, null_mut())
    }),
    ("byway_connect_datagram_greeting", || unsafe {
        byway_connect_datagram_greeting(0, null(), null(), 0, 0, null_mut())
    }),
    ("byway_connect_to_key", || unsafe {
        byway_connect_to_key(0, null(), null(), null(), 0, 0, null_mut())
    }),
    ("byway_connect_datagram_to_key", || unsafe {
        byway_connect_datagram_to_key(0, null(), null(), null(), 0, 0, null_mut())
    }),
    ("byway_peer_key", || unsafe { byway_peer_key(0, null_mut(), 0) }),
    ("byway_admit", || unsafe { byway_admit(0, null(), 0) }),
    ("byway_refuse", || unsafe { byway_refuse(0, null(), 0) }),
    ("byway_refuse_peer", || byway_refuse_peer(0)),
    ("byway_accept", || unsafe { byway_accept(0, 0, null_mut()) }),
    ("byway_close", || byway_close(0, 0)),
    ("byway_abort", || byway_abort(0)),
    ("byway_cancel", || byway_cancel(0)),
    ("byway_endpoint", || unsafe { byway_endpoint(0, null_mut(), 0) }),
    ("byway_peer", || unsafe { byway_peer(0, null_mut()) }),
    ("byway_greeting", || unsafe { byway_greeting(0, null_mut(), 0, null_mut()) }),
    ("byway_id", || unsafe { byway_id(0, null_mut()) }),
    ("byway_send", || unsafe { byway_send(0, null(), 0, 0, null_mut()) }),
    ("byway_recv", || unsafe { byway_recv(0, null_mut(), 0, 0, null_mut()) }),
    ("byway_flush", || byway_flush(0, 0)),
    ("byway_wait_acked", || byway_wait_acked(0, 0)),
    ("byway_shutdown", || byway_shutdown(0, 0)),
    ("byway_datagram_send", || unsafe { byway_datagram_send(0, null(), 0, 0) }),
    ("byway_datagram_recv", || unsafe { byway_datagram_recv(0, null_mut(), 0, 0, null_mut()) }),
    ("byway_datagram_max", || unsafe { byway_datagram_max(0, null_mut()) }),
    ("byway_readiness", || unsafe { byway_readiness(0, null_mut()) }),
    ("byway_poll_fd", || unsafe { byway_poll_fd(0, 0, null_mut()) }),
    ("byway_second_poll_fd", || unsafe { byway_second_poll_fd(0, 0, null_mut()) }),
    ("byway_next_event", || unsafe { byway_next_event(0, null_mut(), 0, 0) }),
    ("byway_client_get_stats", || unsafe { byway_client_get_stats(0, null_mut(), 0) }),
    ("byway_channel_get_stats", || unsafe { byway_channel_get_stats(0, null_mut(), 0) }),
    ("byway_set_log", || unsafe { byway_set_log(None, null_mut(), 99) }),
];

#[test]
fn no_panic_leaves_any_call() {
    let header = include_str!("../byway.h");
    let declared = header.lines().filter(|line| line.starts_with("int32_t byway_")).count();
    assert_eq!(CALLS.len(), declared, "a function is missing here");
    for (name, call) in CALLS {
        inject::arm();
        assert_eq!(call(), byway_error::Panic as i32, "{name}");
        let line = last_error();
        assert!(line.contains("injected") && line.contains("guard.rs"), "{name}: {line}");
        assert_ne!(call(), byway_error::Panic as i32, "{name} works again");
    }
}

#[test]
fn a_panic_with_any_payload_is_caught() {
    expect(entry(|| std::panic::panic_any(7)), byway_error::Panic);
    expect(entry(|| panic!("{} and more", 1)), byway_error::Panic);
    assert!(last_error().contains("1 and more"), "{}", last_error());
}

/// Runs `name`, a test that is left out by itself, in a process of its own, and gives what it printed.
fn child(name: &str) -> (bool, String) {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "--nocapture", "--test-threads=1"])
        .arg(format!("capi::tests::guard::{name}"))
        .output()
        .expect("this program runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
#[ignore = "run by panics_within_print_nothing"]
fn panics_within() {
    inject::arm();
    expect(byway_network_changed(0), byway_error::Panic);
    let thread = std::thread::Builder::new().name("byway-poll".into());
    let thread = thread.spawn(|| panic!("injected into a thread of its own")).expect("a thread");
    assert!(thread.join().is_err());
}

#[test]
#[ignore = "run by panics_outside_of_calls_reach_the_hook_of_the_program"]
fn panics_elsewhere() {
    expect(byway_network_changed(0), byway_error::Handle);
    let thread = std::thread::Builder::new().name("app".into());
    let thread = thread.spawn(|| panic!("the program's own")).expect("a thread");
    assert!(thread.join().is_err());
}

#[test]
fn panics_within_print_nothing() {
    let (passed, text) = child("panics_within");
    assert!(passed, "{text}");
    assert!(text.contains("1 passed"), "it ran: {text}");
    assert!(!text.contains("injected"), "{text}");
}

#[test]
fn panics_outside_of_calls_reach_the_hook_of_the_program() {
    let (passed, text) = child("panics_elsewhere");
    assert!(passed && text.contains("the program's own"), "{text}");
}

/// Calls as a thread's destructors run, and a panic strikes.
struct Late(std::sync::mpsc::Sender<i32>);

impl Drop for Late {
    fn drop(&mut self) {
        inject::arm();
        // Nobody hears only if the test has failed.
        let _ = self.0.send(byway_network_changed(0));
    }
}

#[test]
fn a_panic_in_a_thread_s_destructor_is_caught() {
    thread_local! {
        static LATE: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) };
    }
    let (sender, codes) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        LATE.set(Some(Late(sender)));
        // What the guard keeps for the thread comes after, and so is destroyed before.
        inject::arm();
        expect(byway_network_changed(0), byway_error::Panic);
    });
    thread.join().expect("no panic");
    assert_eq!(codes.recv(), Ok(byway_error::Panic as i32));
}
