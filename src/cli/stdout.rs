//! What the command writes to stdout, and whether the process was started with one.

use std::fmt::Display;
use std::io::{self, Write};
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

/// Writes what the command was asked for, as a line.
///
/// # Errors
/// It is not written, since the disk is full or the reader is gone.
pub fn write(line: impl Display) -> Result<(), CommandError> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(|error| unwritten(&error))
}

/// The error of a stdout that is not written.
pub fn unwritten(error: &io::Error) -> CommandError {
    CommandError::failed(format_args!("stdout cannot be written: {error}; look at its reader"))
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
