//! Readiness, and the file descriptor that tells of it.

use std::os::fd::AsRawFd;

use super::args::OutPointer;
use super::byway_error;
use super::guard::entry;
use super::handle::{self, Polls, byway_handle};
use super::last::CallError;
use super::object::Object;
use crate::client::{PollFd, Readiness};

/// byway_recv or byway_datagram_recv gives something: octets, a datagram, the end or an error.
pub const BYWAY_READABLE: u32 = 1;
/// byway_send takes something or fails; not while the channel is being connected. On a datagram
/// channel: nothing waits to be sent, so that a datagram of any length fits.
pub const BYWAY_WRITABLE: u32 = 2;
/// byway_accept gives a channel or an error; or it refuses a peer whose key byway_admit did not name.
pub const BYWAY_ACCEPTABLE: u32 = 4;
/// byway_next_event gives an event.
pub const BYWAY_EVENT: u32 = 8;
/// The handle's object has ended: every call that could wait gives the cause, once the octets that came
/// before were received.
pub const BYWAY_ENDED: u32 = 16;
/// byway_wait_open gives BYWAY_OK or why it is in vain: a client has its relay's first answer, a listener
/// its endpoint, a channel its peer. Stays so, so that it is to be asked for only until then.
pub const BYWAY_OPENED: u32 = 32;
/// The peer's client has everything that was sent, and the end if that was sent, so that byway_wait_acked
/// and byway_close need not wait; or it never will. After the last byway_send call byway_wait_acked
/// with timeout_ms 0, which asks for the acknowledgement at once. Of datagrams: none is to be sent.
pub const BYWAY_ACKED: u32 = 64;

/// What can be done with a handle now without waiting: *ready gets bits of BYWAY_READABLE,
/// BYWAY_WRITABLE and BYWAY_ACKED (streams, datagram channels), BYWAY_ACCEPTABLE (listeners), BYWAY_EVENT (clients),
/// and BYWAY_OPENED and BYWAY_ENDED (all).
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_HANDLE, or what every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_readiness(handle: byway_handle, ready: *mut u32) -> i32 {
    entry(|| {
        let object = handle::get(handle)?;
        let out = OutPointer::new(ready, "ready")?;
        let ready = object.readiness();
        // SAFETY: the caller gave a place for a number.
        unsafe { out.set(ready.bits().into()) };
        Ok(())
    })
}

/// A file descriptor for poll, select, epoll, kqueue and the like: *fd. It is readable (POLLIN) exactly
/// while the handle is ready for one of events, which are bits as byway_readiness gives them, or has
/// ended, which need not be asked for. Level-triggered: it stays readable until the program has
/// received, sent, accepted or taken what there is.
///
/// Each handle has one, which a later call gives again, with the events of that call from then on; for
/// two loops there is byway_second_poll_fd. It belongs to the handle and is closed with it: take it out
/// of every poll set before. Wait for readability only; never read, write or close it. With timeout_ms 0
/// the calls behind it do not wait.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT (fd is NULL, or events has other bits),
/// BYWAY_ERROR_SYSTEM (no file descriptor is free), BYWAY_ERROR_HANDLE, or what every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_poll_fd(handle: byway_handle, events: u32, fd: *mut i32) -> i32 {
    // SAFETY: fd is as its comment says.
    unsafe { poll_fd(handle, events, fd, |polls| &mut polls.first) }
}

/// A second descriptor of the handle, with events of its own; else as byway_poll_fd, with the same
/// results. So one loop may wait to receive by the first while another waits to send by this. It is made
/// when it is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_second_poll_fd(
    handle: byway_handle,
    events: u32,
    fd: *mut i32,
) -> i32 {
    // SAFETY: fd is as its comment says.
    unsafe { poll_fd(handle, events, fd, |polls| &mut polls.second) }
}

/// # Safety
/// `fd` is NULL or valid for writes.
unsafe fn poll_fd(
    handle: byway_handle,
    events: u32,
    fd: *mut i32,
    which: fn(&mut Polls) -> &mut Option<PollFd>,
) -> i32 {
    entry(|| {
        let object = handle::get(handle)?;
        let out = OutPointer::new(fd, "fd")?;
        let interest =
            u8::try_from(events).ok().and_then(Readiness::from_bits).ok_or_else(|| {
                CallError::argument("events has bits that are none of byway_readiness")
            })?;
        let mut polls = object.polls();
        let poll = which(&mut polls);
        let number = match poll {
            Some(fd) => {
                fd.set_interest(interest);
                fd.as_raw_fd()
            }
            None => poll.insert(new_fd(&**object, interest)?).as_raw_fd(),
        };
        drop(polls);
        // SAFETY: as the caller says.
        unsafe { out.set(number) };
        Ok(())
    })
}

fn new_fd(object: &dyn Object, interest: Readiness) -> Result<PollFd, CallError> {
    object.poll_fd(interest).map_err(|error| {
        let line = format!("no file descriptor: {error}; close some, or raise the limit");
        CallError::new(byway_error::System, line)
    })
}
