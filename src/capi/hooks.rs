//! Functions of the program that a client calls: to prepare sockets, to resolve names.

use std::ffi::{CStr, CString, c_char, c_void};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use super::callback;
use super::config::byway_config;
use crate::transport::Hooks;

/// Gets a TCP socket before it connects to the relay or a proxy, to bind it to a network or to mark
/// it: fd stays byway's. Returns 0, or an error number as of errno.
pub type byway_socket_callback =
    Option<unsafe extern "C" fn(userdata: *mut c_void, fd: i32) -> i32>;

/// Resolves a host: writes numeric addresses, separated by blanks, and a NUL into addresses, which has
/// size octets, BYWAY_ADDRESSES_SIZE. Returns 0, or another number, which the event then has.
pub type byway_resolve_callback = Option<
    unsafe extern "C" fn(
        userdata: *mut c_void,
        host: *const c_char,
        port: u16,
        addresses: *mut c_char,
        size: usize,
    ) -> i32,
>;

/// Is called when the event has happened that the field's comment names.
pub type byway_notice_callback = Option<unsafe extern "C" fn(userdata: *mut c_void)>;

/// Octets that on_resolve of byway_config may fill: some 64 addresses.
pub const BYWAY_ADDRESSES_SIZE: usize = 4096;

/// The functions of one client and their userdata. Dropped with the client's last thread.
struct Callbacks {
    on_socket: byway_socket_callback,
    on_thread_start: byway_notice_callback,
    on_thread_end: byway_notice_callback,
    on_release: byway_notice_callback,
    userdata: *mut c_void,
}

// SAFETY: the program promises that the functions may be called with userdata from any thread, also
// from several at once; byway itself never looks behind the pointer.
unsafe impl Send for Callbacks {}
// SAFETY: as for Send.
unsafe impl Sync for Callbacks {}

impl Callbacks {
    fn notify(&self, callback: byway_notice_callback) {
        if let Some(notice) = callback {
            // SAFETY: the program promised that this may be called so until on_release was.
            callback::call(|| unsafe { notice(self.userdata) });
        }
    }

    fn socket(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let Some(on_socket) = self.on_socket else { return Ok(()) };
        // SAFETY: as in `notify`; the descriptor is open during the call.
        match callback::call(|| unsafe { on_socket(self.userdata, socket.as_raw_fd()) }) {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    fn resolve(
        &self,
        on_resolve: unsafe extern "C" fn(
            *mut c_void,
            *const c_char,
            u16,
            *mut c_char,
            usize,
        ) -> i32,
        host: &str,
        port: u16,
    ) -> io::Result<Vec<SocketAddr>> {
        let host = CString::new(host)?;
        let mut text = vec![0_u8; BYWAY_ADDRESSES_SIZE];
        let (place, size) = (text.as_mut_ptr().cast(), text.len());
        // SAFETY: as in `notify`; the host ends with a NUL, and the place has so many octets, all
        // initialized, which no other code touches.
        let code = callback::call(|| unsafe {
            on_resolve(self.userdata, host.as_ptr(), port, place, size)
        });
        if code != 0 {
            return Err(io::Error::other(format!("it returned {code}")));
        }
        let text = CStr::from_bytes_until_nul(&text)
            .map_err(|_| io::Error::other("it left no NUL behind the addresses"))?;
        let text = text.to_string_lossy();
        text.split_ascii_whitespace().map(|one| address(one, port)).collect()
    }
}

fn address(text: &str, port: u16) -> io::Result<SocketAddr> {
    let whole = match text.contains(':') {
        true => format!("[{text}]:{port}"),
        false => format!("{text}:{port}"),
    };
    whole.parse().map_err(|_| io::Error::other(format!("it gave {text:?}, no numeric address")))
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        self.notify(self.on_release);
    }
}

/// The hooks of a configuration.
pub(super) fn hooks(config: &byway_config) -> Hooks {
    let callbacks = Arc::new(Callbacks {
        on_socket: config.on_socket,
        on_thread_start: config.on_thread_start,
        on_thread_end: config.on_thread_end,
        on_release: config.on_release,
        userdata: config.hooks_userdata,
    });
    let (on_start, on_end) = (Arc::clone(&callbacks), Arc::clone(&callbacks));
    let mut hooks = Hooks::default()
        .on_thread_start(move || on_start.notify(on_start.on_thread_start))
        .on_thread_end(move || on_end.notify(on_end.on_thread_end));
    if let Some(on_resolve) = config.on_resolve {
        let callbacks = Arc::clone(&callbacks);
        hooks = hooks.on_resolve(move |host, port| callbacks.resolve(on_resolve, host, port));
    }
    hooks.on_socket(move |socket| callbacks.socket(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_addresses_are_taken_and_nothing_else() {
        for (text, whole) in [
            ("192.0.2.1", "192.0.2.1:80"),
            ("2001:db8::1", "[2001:db8::1]:80"),
            ("fe80::1%3", "[fe80::1%3]:80"),
        ] {
            assert_eq!(address(text, 80).unwrap().to_string(), whole);
        }
        for text in ["relay.example", "192.0.2.1:80", "[::1]", "fe80::1%wlan0", "1.2.3", "%"] {
            assert!(address(text, 80).is_err(), "{text}");
        }
    }
}
