//! The log callback. One test, as it is the process's.

use std::ffi::{c_char, c_void};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::*;

struct Log {
    lines: Mutex<Vec<(u32, String)>>,
    /// From now on a call is a fault.
    freed: AtomicBool,
    reentered: Mutex<Vec<i32>>,
}

unsafe extern "C" fn callback(userdata: *mut c_void, level: u32, message: *const c_char) {
    // SAFETY: it is the Log of the test below, which lives until after the callback is unset.
    let log = unsafe { &*userdata.cast::<Log>() };
    assert!(!log.freed.load(SeqCst));
    // SAFETY: the message is a string.
    let line = unsafe { CStr::from_ptr(message) }.to_str().expect("UTF-8").to_owned();
    log.lines.lock().expect("no panic").push((level, line));
    // SAFETY: no pointer is used within the callback.
    let set = unsafe { byway_set_log(None, std::ptr::null_mut(), 0) };
    log.reentered.lock().expect("no panic").extend([set, byway_abort(0)]);
}

#[test]
fn messages_come_until_the_callback_is_unset() {
    let log = Box::new(Log {
        lines: Mutex::default(),
        freed: AtomicBool::new(false),
        reentered: Mutex::default(),
    });
    let userdata = std::ptr::from_ref(&*log).cast_mut().cast();
    // SAFETY: callback and userdata may be used until it is unset below.
    check(unsafe { byway_set_log(Some(callback), userdata, byway_log_level::Info as u32) });
    let mut config = default_config();
    config.relay_url = c"http://127.0.0.1:1".as_ptr();
    // SAFETY: the pointers are valid during the call.
    let blocked = given(|place| unsafe { byway_client_start(&config, place) });
    let has = |level: byway_log_level, text: &str| {
        let level = level as u32;
        let lines = log.lines.lock().expect("no panic");
        lines.iter().any(|(l, line)| *l == level && line.contains(text))
    };
    until("a blocked path", || has(byway_log_level::Info, "path to the relay blocked: "));
    assert!(has(byway_log_level::Info, "connecting to the relay"));
    assert!(!has(byway_log_level::Debug, ""));
    super::super::guard::inject::arm();
    expect(byway_network_changed(0), byway_error::Panic);
    assert!(has(byway_log_level::Error, "injected"));
    // SAFETY: as above.
    check(unsafe { byway_set_log(Some(callback), userdata, byway_log_level::Trace as u32) });
    let relay = relay();
    let open = client(&relay);
    until("an exchange that failed", || has(byway_log_level::Debug, "failed after"));
    until("an exchange that was answered", || has(byway_log_level::Trace, "answered after"));
    check(byway_close(open, LONG));
    // SAFETY: as above.
    check(unsafe { byway_set_log(None, std::ptr::null_mut(), 0) });
    log.freed.store(true, SeqCst);
    let lines = log.lines.lock().expect("no panic").len();
    check(byway_network_changed(blocked));
    check(byway_close(blocked, 0));
    assert_eq!(log.lines.lock().expect("no panic").len(), lines);
    let reentered = log.reentered.lock().expect("no panic");
    assert!(!reentered.is_empty());
    assert!(reentered.iter().all(|code| *code == byway_error::Callback as i32));
}
