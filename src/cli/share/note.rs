//! What a receiver writes down of its last step, so that a process that is killed in it, or before the sender has heard of
//! the end, is followed by one that goes on. It is kept where nothing that is received can be, with what else this user's
//! programs keep.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::kept;
use super::message::Secret;
use super::placing::Place;

/// The last step.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    pub places: Vec<Place>,
    /// How many files the sender could not send.
    pub faults: u64,
    /// Of the offer.
    pub mark: [u8; 32],
}

/// The file with it, locked.
#[derive(Debug)]
pub struct Note {
    path: PathBuf,
    _lock: File,
}

/// The note of a transfer into that folder.
fn path(notes: &Path, folder: &Path, secret: &Secret) -> PathBuf {
    let hash = blake3::keyed_hash(&secret.0, folder.as_os_str().as_encoded_bytes());
    notes.join(hash.to_hex().as_str())
}

impl Note {
    /// Writes the step down, if that can be done: without, the user has to say what replaces what was placed.
    ///
    /// # Errors
    /// Another process is in this step.
    pub fn write(
        notes: Option<&Path>,
        folder: &Path,
        secret: &Secret,
        last: &Last,
    ) -> io::Result<Option<Self>> {
        let Some(notes) = notes else { return Ok(None) };
        let write = || -> io::Result<Self> {
            let path = path(notes, folder, secret);
            let mut file = kept::lock(notes, &path)?;
            let text = postcard::to_allocvec(last).map_err(io::Error::other)?;
            file.set_len(0)?;
            file.write_all(&text)?;
            file.sync_all()?;
            if let Err(error) = sweep(notes) {
                tracing::info!("old notes stay: {error}");
            }
            Ok(Self { path, _lock: file })
        };
        match write() {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(error),
            Err(error) => {
                tracing::info!("this transfer's end is not written down: {error}");
                Ok(None)
            }
        }
    }

    /// What was written down, if anything was and can be read.
    ///
    /// # Errors
    /// Another process is in this step.
    pub fn read(
        notes: Option<&Path>,
        folder: &Path,
        secret: &Secret,
    ) -> io::Result<Option<(Self, Last)>> {
        let Some(notes) = notes else { return Ok(None) };
        let path = path(notes, folder, secret);
        let read = || -> io::Result<_> {
            let mut file = File::options().read(true).write(true).open(&path)?;
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            let mut text = Vec::new();
            file.read_to_end(&mut text)?;
            Ok((file, text))
        };
        match read() {
            Ok((file, text)) => {
                // A process that ended while it wrote this had placed nothing yet.
                let last = postcard::from_bytes(&text).ok();
                Ok(last.map(|last| (Self { path, _lock: file }, last)))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(error),
            Err(error) => {
                tracing::info!("no note of an earlier process: {error}");
                Ok(None)
            }
        }
    }

    /// The sender knows.
    pub fn forget(self) -> io::Result<()> {
        fs::remove_file(self.path)
    }
}

/// Removes notes of transfers whose codes are too old to be used again.
fn sweep(notes: &Path) -> io::Result<()> {
    for entry in fs::read_dir(notes)? {
        let entry = entry?;
        let age = SystemTime::now().duration_since(entry.metadata()?.modified()?);
        if age.is_ok_and(|age| age > 2 * kept::LIFE) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
