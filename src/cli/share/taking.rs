//! The files of an offer, as they come: each is checked against what was agreed to, written, and hashed.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use byway::client::Stream;

use super::AHEAD;
use super::folder::{self, Folder};
use super::incoming::{Stopped, failure, protocol};
use super::line::Line;
use super::message::{Attributes, Fault, Frame, Lost, Message, Reader};
use super::names::{self, Shown};
use super::progress::Progress;
use crate::cli::tell;

/// A file that was announced, and what is there of it.
struct Announced {
    path: Vec<u8>,
    size: u64,
    has: u64,
    hasher: blake3::Hasher,
}

/// A file that comes.
struct Current {
    announced: Announced,
    file: File,
}

/// The files of an offer, as they come.
pub struct Taking<'a> {
    folder: &'a mut Folder,
    shown: &'a Path,
    announced: VecDeque<Announced>,
    current: Option<Current>,
    /// Files and octets that may still be announced: the user agreed to no more.
    files: u64,
    octets: u64,
    faults: u64,
    progress: Progress,
}

impl<'a> Taking<'a> {
    pub fn new(
        folder: &'a mut Folder,
        shown: &'a Path,
        files: u64,
        octets: u64,
        progress: Progress,
    ) -> Self {
        let (announced, current, faults) = (VecDeque::new(), None, 0);
        Self { folder, shown, announced, current, files, octets, faults, progress }
    }

    /// Takes all; gives how many files did not come.
    pub fn all(
        mut self,
        line: &Line,
        stream: &Stream,
        reader: &mut Reader<Stream>,
    ) -> Result<(u64, Progress), Stopped> {
        loop {
            let message = match reader.next()? {
                Frame::Data(octets) => {
                    self.data(octets)?;
                    continue;
                }
                Frame::Message(message) => message,
            };
            match message {
                Message::Folder { path } => {
                    self.named(&path)?;
                    self.folder.make(&path).map_err(|e| failure(self.shown, &path, &e))?;
                }
                Message::File { path, size } => {
                    let (size, hash) = self.announce(path, size)?;
                    line.say(stream, &Message::Have { size, hash }).map_err(Lost::from)?;
                }
                Message::Begin { offset } => self.begin(offset)?,
                Message::End { hash, attributes } => self.end(&hash, &attributes)?,
                Message::Skip(fault) => self.skip(fault)?,
                Message::Leave { path, attributes } => {
                    self.named(&path)?;
                    let left = self.folder.leave(&path, &attributes);
                    left.map_err(|e| failure(self.shown, &path, &e))?;
                }
                Message::Done if self.current.is_none() && self.announced.is_empty() => {
                    return Ok((self.faults, self.progress));
                }
                Message::Stop(why) => return Err(Stopped::There(why)),
                _ => return protocol("a message out of turn"),
            }
        }
    }

    /// Refuses a path that leads out of the folder, or to what was not offered.
    fn named(&self, path: &[u8]) -> Result<(), Stopped> {
        let parts = names::parts(path);
        let item = parts.and_then(|parts| self.folder.is_offered(parts[0]));
        match item {
            Some(is_folder) if is_folder || !path.contains(&b'/') => Ok(()),
            Some(_) | None => protocol("a name that leads out of the folder"),
        }
    }

    fn announce(&mut self, path: Vec<u8>, size: u64) -> Result<(u64, [u8; 32]), Stopped> {
        self.named(&path)?;
        let left = (self.files.checked_sub(1), self.octets.checked_sub(size));
        let (Some(files), Some(octets)) = left else { return protocol("more than was offered") };
        if self.announced.len() >= AHEAD {
            return protocol("too many files announced");
        }
        (self.files, self.octets) = (files, octets);
        let fail = |error: &io::Error| failure(self.shown, &path, error);
        let begun = self.folder.begun(&path).map_err(|error| fail(&error))?;
        let (has, hasher) = match begun {
            Some(mut file) => folder::hash(&mut file, size).map_err(|error| fail(&error))?,
            None => (0, blake3::Hasher::new()),
        };
        let hash = *hasher.finalize().as_bytes();
        self.announced.push_back(Announced { path, size, has, hasher });
        Ok((has, hash))
    }

    fn begin(&mut self, offset: u64) -> Result<(), Stopped> {
        if self.current.is_some() {
            return protocol("a file within another");
        }
        let Some(mut announced) = self.announced.pop_front() else {
            return protocol("a file that was not announced");
        };
        match offset {
            0 => announced.hasher = blake3::Hasher::new(),
            offset if offset == announced.has => self.progress.had(offset),
            _ => return protocol("an offset that was not answered"),
        }
        let file = self.folder.write(&announced.path, offset);
        let file = file.map_err(|error| failure(self.shown, &announced.path, &error))?;
        announced.has = offset;
        self.progress.file(&announced.path);
        self.current = Some(Current { announced, file });
        Ok(())
    }

    fn data(&mut self, octets: &[u8]) -> Result<(), Stopped> {
        let Some(Current { announced, file }) = &mut self.current else {
            return protocol("octets of a file that was not begun");
        };
        let has = announced.has.saturating_add(octets.len() as u64);
        if has > announced.size {
            return protocol("a file longer than announced");
        }
        announced.hasher.update(octets);
        let written = file.write_all(octets);
        written.map_err(|error| failure(self.shown, &announced.path, &error))?;
        announced.has = has;
        self.progress.carried(octets.len() as u64);
        Ok(())
    }

    fn end(&mut self, hash: &[u8; 32], attributes: &Attributes) -> Result<(), Stopped> {
        let Some(Current { announced, file }) = self.current.take() else {
            return protocol("the end of a file that was not begun");
        };
        if announced.has != announced.size || announced.hasher.finalize() != *hash {
            return protocol("a file is not what its hash says");
        }
        let ended = self.folder.finish(&file, attributes);
        ended.map_err(|error| failure(self.shown, &announced.path, &error))?;
        self.progress.ended_file();
        Ok(())
    }

    fn skip(&mut self, fault: Fault) -> Result<(), Stopped> {
        let current = self.current.take().map(|current| current.announced);
        let Some(skipped) = current.or_else(|| self.announced.pop_front()) else {
            return protocol("a file that was not announced");
        };
        self.faults += 1;
        let why = match fault {
            Fault::Unreadable => "the sender cannot read it",
            Fault::Changed => "it changed while it was sent",
        };
        tell(format_args!("byway: {} did not come: {why}", Shown(&skipped.path)));
        let removed = self.folder.remove(&skipped.path);
        removed.map_err(|error| failure(self.shown, &skipped.path, &error))
    }
}
