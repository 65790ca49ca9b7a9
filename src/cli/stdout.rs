//! Whether there is a stdout.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::io::{Errno, fcntl_getfd};

use super::failure::Failure;

static CLOSED: AtomicBool = AtomicBool::new(false);

ctor::declarative::ctor! {
    /// Before `main` Rust opens `/dev/null` in the place of a closed stdout, which then takes all
    /// that is written: this looks before that. It may run then, since all that it does is to ask
    /// the system of one file descriptor.
    #[ctor(unsafe)]
    fn look() {
        CLOSED.store(fcntl_getfd(rustix::stdio::stdout()) == Err(Errno::BADF), Relaxed);
    }
}

/// # Errors
/// What comes cannot be written, since this process was started with a closed stdout.
pub fn check() -> Result<(), Failure> {
    match CLOSED.load(Relaxed) {
        true => Err(Failure::failed(
            "stdout is closed, so what comes cannot be written; open it, or drop what comes by > /dev/null",
        )),
        false => Ok(()),
    }
}
