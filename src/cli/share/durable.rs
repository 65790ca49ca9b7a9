//! Brings what was written to disk, much of it while more comes: a file takes its place only once it would be whole
//! there after a power failure.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use super::folder::FailedAt;

/// Octets from which a file is brought to disk by itself. Of smaller ones the waiting for the disk would take most
/// of the time, one after the other.
const LARGE: u64 = 1 << 20;

/// Octets of a file after which they begin to be written to disk: little is left when the last have come.
pub const EARLY: u64 = 16 << 20;

/// Small files that are brought to disk one after the other. Of more all go at once with the rest of the file
/// system, in which others may have much to be written.
const FEW: usize = 16;

/// Files that may wait for their turn, each with a descriptor.
const WAITING: usize = 8;

/// A file that was written to, and its path.
#[derive(Debug)]
pub struct Written {
    pub path: Vec<u8>,
    pub file: File,
}

/// Small files that are whole, and not on disk yet.
enum Small {
    Few(Vec<Arc<Written>>),
    Many,
}

/// What is to be brought to disk.
pub struct Durable {
    /// A folder of the file system.
    root: OwnedFd,
    turns: SyncSender<Arc<Written>>,
    thread: JoinHandle<Result<(), FailedAt>>,
    small: Small,
}

impl Durable {
    pub fn new(root: OwnedFd) -> io::Result<Self> {
        let (turns, taken) = mpsc::sync_channel(WAITING);
        let thread = thread::Builder::new().spawn(move || bring(&taken))?;
        Ok(Self { root, turns, thread, small: Small::Few(Vec::new()) })
    }

    /// A file has grown by [`EARLY`] octets, and is not whole.
    pub fn grown(&self, written: &Arc<Written>) {
        // A disk that is behind needs no second order.
        let _ = self.turns.try_send(Arc::clone(written));
    }

    /// A file is whole, and has so many octets.
    pub fn whole(&mut self, written: Arc<Written>, size: u64) {
        if size >= LARGE || !cfg!(target_os = "linux") {
            // The thread has ended if it failed, which is told at the end.
            let _ = self.turns.send(written);
            return;
        }
        match &mut self.small {
            Small::Few(files) if files.len() < FEW => files.push(written),
            Small::Few(_) => self.small = Small::Many,
            Small::Many => {}
        }
    }

    /// Waits until all is on disk.
    pub fn end(self) -> Result<(), FailedAt> {
        drop(self.turns);
        let panicked = |_| Err((Vec::new(), io::Error::other("a thread has ended")));
        self.thread.join().unwrap_or_else(panicked)?;
        match self.small {
            Small::Few(files) => files.iter().try_for_each(|file| sync(file)),
            Small::Many => sync_all(&self.root).map_err(|error| (Vec::new(), error)),
        }
    }
}

fn bring(taken: &Receiver<Arc<Written>>) -> Result<(), FailedAt> {
    taken.iter().try_for_each(|written| sync(&written))
}

fn sync(written: &Written) -> Result<(), FailedAt> {
    written.file.sync_all().map_err(|error| (written.path.clone(), error))
}

#[cfg(target_os = "linux")]
fn sync_all(root: &OwnedFd) -> io::Result<()> {
    Ok(rustix::fs::syncfs(root)?)
}

/// Each file went by itself.
#[cfg(not(target_os = "linux"))]
fn sync_all(_root: &OwnedFd) -> io::Result<()> {
    Ok(())
}
