//! `byway send` and `byway receive`: files and folders, from one user to another with a code that is said aloud.
//!
//! ```text
//!  send ──▶ tree ──▶ message ══ channel ══ message ──▶ folder ◀── receive
//!    └▶ code, kept      agree: SPAKE2, before a name is said        └▶ names
//! ```

mod agree;
mod code;
mod durable;
mod folder;
mod incoming;
mod kept;
mod line;
mod message;
mod names;
mod outbox;
mod outgoing;
mod placing;
mod progress;
mod receive;
mod send;
mod taking;
mod tree;
mod writing;

use std::time::Duration;

pub use receive::ReceiveOptions;
pub use send::SendOptions;

/// How long an end that gives up waits until the other end has heard why: a few round trips of a slow path.
const FAREWELL: Duration = Duration::from_secs(1);

/// Files that are announced before their turn, so that many small ones do not take a round trip each. Of each a
/// path and a hash's state are kept, 6 KiB at most.
const AHEAD: usize = 512;

pub fn send(options: SendOptions) -> Result<(), super::failure::CommandError> {
    send::run(options)
}

pub fn receive(options: ReceiveOptions) -> Result<(), super::failure::CommandError> {
    receive::run(options)
}
