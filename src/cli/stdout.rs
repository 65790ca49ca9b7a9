//! Finds out whether the process was started with a stdout.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::io::{Errno, fcntl_getfd};

use super::failure::CommandError;

static CLOSED: AtomicBool = AtomicBool::new(false);

ctor::declarative::ctor! {
    /// Looks at stdout before `main`, where Rust opens `/dev/null` in the place of a closed stdout.
    /// The function is safe to run so early: it only asks the system about a file descriptor.
    #[ctor(unsafe)]
    fn look() {
        CLOSED.store(fcntl_getfd(rustix::stdio::stdout()) == Err(Errno::BADF), Relaxed);
    }
}

/// Refuses a command that writes to a stdout that is closed.
///
/// # Errors
/// The peer's bytes cannot be written, since this process was started with a closed stdout.
pub fn check() -> Result<(), CommandError> {
    match CLOSED.load(Relaxed) {
        true => Err(CommandError::failed(
            "stdout is closed, so what comes cannot be written; open it, or drop what comes by > /dev/null",
        )),
        false => Ok(()),
    }
}
