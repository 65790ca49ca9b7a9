//! `byway send` and `byway receive`: files and folders, from one user to another with a code that is said aloud.
//!
//! ```text
//!  send ──▶ tree ──▶ outgoing ──▶ outbox ══ channel ══ taking ──▶ writing ──▶ durable ──▶ placing, note
//!    └▶ code, kept                          message              └▶ folder, names   receive ─▶ incoming ─▶ plan
//!                          agree: SPAKE2, before a name is said
//! ```
//!
//! At each end a thread carries what another reads or writes: `outbox` writes to the channel while files are read and
//! hashed, `writing` hashes and writes files while the channel is read, and `durable` waits for the disk.

mod agree;
mod amount;
mod code;
mod durable;
mod ear;
mod folder;
mod incoming;
mod kept;
mod line;
mod message;
mod names;
mod note;
mod outbox;
mod outgoing;
mod own;
mod placing;
mod plan;
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
