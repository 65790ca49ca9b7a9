//! The thread that hashes and writes what comes, while the channel is read on.

use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use super::durable::{Durable, EARLY, Written};
use super::folder;
use super::incoming::{Stopped, failure, protocol};
use super::message::{Attributes, PIECE, Stop};
use crate::cli::failure::CommandError;

/// Octets, and jobs, that are handed over together: each time wakes a thread.
const TOGETHER: usize = PIECE / 2;
const MOST_JOBS: usize = 256;

/// Batches of jobs that may wait: with the longest pieces 2 MiB, which bridges a short pause of the disk.
const WAITING: usize = 16;

/// What is to be done with the files, in the order in which they come.
pub enum Job {
    Begin(Box<Begun>),
    Piece(Vec<u8>),
    End {
        hash: [u8; 32],
        attributes: Attributes,
    },
    /// All files came: they are brought to disk.
    Settle,
}

/// A file that is written on, behind so many octets with this hash.
pub struct Begun {
    pub path: Vec<u8>,
    pub file: File,
    pub offset: u64,
    pub hasher: blake3::Hasher,
}

/// The jobs of a channel's files.
pub struct Writing {
    /// Jobs that are not handed over, with so many octets.
    gathered: Vec<Job>,
    octets: usize,
    jobs: SyncSender<Vec<Job>>,
    /// Buffers of pieces that were written.
    used: Receiver<Vec<u8>>,
    /// How the thread ended.
    ended: Receiver<Result<(), Stopped>>,
}

impl Writing {
    /// Begins, for files in `root`, which people know as `shown`.
    pub fn begin(root: OwnedFd, shown: &Path) -> Result<Self, Stopped> {
        let (jobs, waiting) = mpsc::sync_channel(WAITING);
        let (give_back, used) = mpsc::sync_channel(WAITING);
        let (tell, ended) = mpsc::sync_channel(1);
        let fail = |error: io::Error| failure(shown, b"", &error);
        let durable = Durable::new(root).map_err(fail)?;
        let writer = Writer { shown: shown.to_owned(), durable, current: None, give_back };
        let spawned = thread::Builder::new().spawn(move || tell.send(writer.all(&waiting)));
        spawned.map_err(fail)?;
        Ok(Self { gathered: Vec::new(), octets: 0, jobs, used, ended })
    }

    /// A buffer for a piece.
    pub fn buffer(&self) -> Vec<u8> {
        self.used.try_recv().unwrap_or_default()
    }

    /// Has a job done behind those before it, at the latest once [`flush`](Self::flush) is called. The failure of an
    /// earlier one is told by one of the next calls.
    pub fn give(&mut self, job: Job) -> Result<(), Stopped> {
        if let Job::Piece(octets) = &job {
            self.octets += octets.len();
        }
        self.gathered.push(job);
        match self.octets >= TOGETHER || self.gathered.len() >= MOST_JOBS {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Has all jobs done soon.
    pub fn flush(&mut self) -> Result<(), Stopped> {
        self.octets = 0;
        let jobs = mem::take(&mut self.gathered);
        if jobs.is_empty() {
            return Ok(());
        }
        self.jobs.send(jobs).map_err(|_| match self.ended.recv() {
            Ok(Err(why)) => why,
            Ok(Ok(())) | Err(_) => panicked(),
        })
    }

    /// Waits until all jobs are done, of which one may fail.
    pub fn end(mut self) -> Result<(), Stopped> {
        self.flush()?;
        drop(self.jobs);
        self.ended.recv().unwrap_or_else(|_| Err(panicked()))
    }
}

fn panicked() -> Stopped {
    Stopped::Here(CommandError::failed("a thread has ended; try again"), Stop::Failed)
}

struct Writer {
    shown: PathBuf,
    durable: Durable,
    current: Option<Current>,
    give_back: SyncSender<Vec<u8>>,
}

struct Current {
    written: Arc<Written>,
    hasher: blake3::Hasher,
    size: u64,
    /// Octets since the disk was last asked to take them.
    fresh: u64,
}

impl Writer {
    fn all(mut self, waiting: &Receiver<Vec<Job>>) -> Result<(), Stopped> {
        for job in waiting.iter().flatten() {
            match job {
                Job::Begin(begun) => {
                    let Begun { path, file, offset, hasher } = *begun;
                    let written = Arc::new(Written { path, file });
                    self.current = Some(Current { written, hasher, size: offset, fresh: 0 });
                }
                Job::Piece(octets) => self.piece(octets)?,
                Job::End { hash, attributes } => self.end(&hash, &attributes)?,
                Job::Settle => {
                    let Self { durable, shown, .. } = self;
                    return durable.end().map_err(|(path, error)| failure(&shown, &path, &error));
                }
            }
        }
        Ok(())
    }

    fn piece(&mut self, octets: Vec<u8>) -> Result<(), Stopped> {
        let Some(current) = &mut self.current else { return protocol("octets of no file") };
        let Written { path, file } = &*current.written;
        let mut file = file;
        file.write_all(&octets).map_err(|error| failure(&self.shown, path, &error))?;
        current.hasher.update(&octets);
        current.size += octets.len() as u64;
        current.fresh += octets.len() as u64;
        // Where enough buffers wait already, this one is freed.
        let _ = self.give_back.try_send(octets);
        if current.fresh >= EARLY {
            current.fresh = 0;
            self.durable.grown(&current.written);
        }
        Ok(())
    }

    fn end(&mut self, hash: &[u8; 32], attributes: &Attributes) -> Result<(), Stopped> {
        let Some(Current { written, hasher, size, .. }) = self.current.take() else {
            return protocol("the end of a file that was not begun");
        };
        if hasher.finalize() != *hash {
            return protocol("a file is not what its hash says");
        }
        let set = folder::set(&written.file, attributes);
        set.map_err(|error| failure(&self.shown, &written.path, &error))?;
        self.durable.whole(written, size);
        Ok(())
    }
}
