//! The files of an offer, as they come: each is checked against what was agreed to, and handed on to be written.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::mem;
use std::path::Path;

use byway::client::Stream;

use super::AHEAD;
use super::amount::Amount;
use super::ear::Ear;
use super::folder::{self, FileId, Folder};
use super::incoming::{Stopped, failure, protocol};
use super::line::Line;
use super::message::{self, Attributes, Fault, Frame, Lost, Message, Reader, Stop};
use super::names::{self, Shown};
use super::progress::{Count, Progress};
use super::writing::{Begun, Job, Writing};
use crate::cli::failure::{Code as Exit, CommandError};
use crate::cli::{say, tell};

/// Octets of answers that are written whether more messages are there or not.
const ANSWERS: usize = 32 * 1024;

/// Most folders that were entered and not left: those that lie within each other, and those that a sender announces
/// before it leaves the first. Of each a path is kept, and the names of what is in it from before.
const MOST_ENTERED: usize = names::DEEPEST + AHEAD;

/// So many faults are told one by one: a sender can say more, for ever, and somebody keeps the log.
const MOST_TOLD: u64 = 1000;

/// A file that was announced, and what is there of it.
struct Announced {
    path: Vec<u8>,
    size: u64,
    has: u64,
    hasher: blake3::Hasher,
}

/// A file that comes.
struct Current {
    path: Vec<u8>,
    size: u64,
    has: u64,
    id: FileId,
}

/// The files of an offer, as they come.
pub struct Taking<'a> {
    folder: &'a mut Folder,
    shown: &'a Path,
    announced: VecDeque<Announced>,
    current: Option<Current>,
    /// Answers that are not written: many go together while more messages are there.
    answers: Vec<u8>,
    writing: Writing,
    /// The files and folders that came. One that comes again has two names which are one on this file system.
    taken: HashSet<FileId>,
    /// What was in a folder before, and was not named since, until the folder is left: the sender has it no more.
    unnamed: HashMap<Vec<u8>, HashSet<Vec<u8>>>,
    /// What may still be announced: the user agreed to no more.
    left: Amount,
    faults: u64,
    /// Links and the like, which are no files.
    special: u64,
    progress: Progress,
}

impl<'a> Taking<'a> {
    pub fn new(
        folder: &'a mut Folder,
        shown: &'a Path,
        left: Amount,
        progress: Progress,
    ) -> Result<Self, Stopped> {
        let root = folder.root().map_err(|error| failure(shown, b"", &error))?;
        folder.anew();
        Ok(Self {
            folder,
            shown,
            announced: VecDeque::new(),
            current: None,
            answers: Vec::new(),
            writing: Writing::begin(root, shown)?,
            taken: HashSet::new(),
            unnamed: HashMap::new(),
            left,
            faults: 0,
            special: 0,
            progress,
        })
    }

    /// Takes all; gives how many files did not come. What came is written when this returns.
    pub fn all(
        mut self,
        line: &Line,
        stream: &Stream,
        reader: &mut Reader<Ear>,
    ) -> Result<(u64, Progress), Stopped> {
        let taken = self.take(line, stream, reader);
        match (taken, self.writing.end()) {
            // That the channel was lost as well changes nothing.
            (Err(Stopped::Lost(_)), Err(why)) => Err(why),
            (taken, written) => taken.and(written),
        }?;
        if self.special > 0 {
            say(format_args!(
                "byway: left out by the sender: {} (-v names them)",
                Count::special(self.special)
            ));
        }
        Ok((self.faults, self.progress))
    }

    fn take(
        &mut self,
        line: &Line,
        stream: &Stream,
        reader: &mut Reader<Ear>,
    ) -> Result<(), Stopped> {
        loop {
            if !reader.has_more() || self.answers.len() >= ANSWERS {
                self.flush(line, stream)?;
            }
            let message = match reader.next()? {
                Frame::Data(octets) => {
                    self.data(octets)?;
                    continue;
                }
                Frame::Message(message) => message,
            };
            match message {
                Message::Folder { path } => self.make(path)?,
                Message::File { path, size } => {
                    let (size, hash) = self.announce(path, size)?;
                    let answer = message::frame(&Message::Have { size, hash });
                    self.answers.extend(answer.map_err(Lost::from)?);
                }
                Message::Begin { offset } => self.begin(offset)?,
                Message::End { hash, attributes } => self.end(hash, attributes)?,
                Message::Skip(fault) => self.skip(fault)?,
                Message::Leave { path, attributes } => self.leave(&path, &attributes)?,
                Message::Left { path, fault } => self.left_out(&path, fault),
                Message::Done { gone } if self.is_between_files() && self.unnamed.is_empty() => {
                    if gone > 0 {
                        self.faults = self.faults.saturating_add(gone);
                        let files = Count::files(gone);
                        tell(format_args!("byway: {files} went away at the sender meanwhile"));
                    }
                    self.look_for_missing();
                    self.writing.give(Job::Settle)?;
                    return self.flush(line, stream);
                }
                Message::Stop(why) => return Err(Stopped::There(why)),
                _ => return protocol("a message out of turn"),
            }
        }
    }

    /// Takes for faults what was offered and did not come, whatever the sender says.
    fn look_for_missing(&mut self) {
        let missing = self.folder.missing() as u64;
        if missing > self.faults {
            let items = Count::files_or_folders(missing - self.faults);
            tell(format_args!("byway: {items} of the offer did not come"));
            self.faults = missing;
        }
    }

    fn is_between_files(&self) -> bool {
        self.current.is_none() && self.announced.is_empty()
    }

    /// Hands on what was gathered while more messages were there.
    fn flush(&mut self, line: &Line, stream: &Stream) -> Result<(), Stopped> {
        self.writing.flush()?;
        Ok(line.write(stream, &mem::take(&mut self.answers)).map_err(Lost::from)?)
    }

    /// Refuses a path that leads out of the folder, or to what was not offered.
    fn named(&mut self, path: &[u8]) -> Result<(), Stopped> {
        let parts = names::parts(path);
        let item = parts.and_then(|parts| self.folder.is_offered(parts[0]));
        if !item.is_some_and(|is_folder| is_folder || !path.contains(&b'/')) {
            return protocol("a name that leads out of the folder");
        }
        if let Some(slash) = path.iter().rposition(|octet| *octet == b'/')
            && let Some(unnamed) = self.unnamed.get_mut(&path[..slash])
        {
            unnamed.remove(&path[slash + 1..]);
        }
        Ok(())
    }

    /// Refuses what another name of this transfer has led to.
    fn first(&self, path: &[u8], id: FileId) -> Result<(), Stopped> {
        if !self.taken.contains(&id) {
            return Ok(());
        }
        let line = format!(
            "{}/{}: another name of this transfer leads to the same file there; name a folder whose file system tells small letters from capitals (--output), with the same code",
            self.shown.display(),
            Shown(path)
        );
        Err(Stopped::Here(CommandError::new(Exit::Refused, line), Stop::Failed))
    }

    /// Takes from what was agreed to.
    fn count(&mut self, more: Amount) -> Result<(), Stopped> {
        match self.left.without(more) {
            Some(left) => self.left = left,
            None => return protocol("more than was offered"),
        }
        Ok(())
    }

    fn make(&mut self, path: Vec<u8>) -> Result<(), Stopped> {
        self.named(&path)?;
        self.count(Amount::FOLDER)?;
        if self.unnamed.len() >= MOST_ENTERED {
            return protocol("too many folders entered, and none left");
        }
        let made = self.folder.make(&path).map_err(|error| failure(self.shown, &path, &error))?;
        self.first(&path, made.id)?;
        self.taken.insert(made.id);
        self.unnamed.insert(path, made.before);
        Ok(())
    }

    fn leave(&mut self, path: &[u8], attributes: &Attributes) -> Result<(), Stopped> {
        self.named(path)?;
        let unnamed = self.unnamed.remove(path).unwrap_or_default();
        for name in &unnamed {
            tracing::info!("{}/{} is removed: not sent any more", Shown(path), Shown(name));
        }
        let cleared = self.folder.clear(path, &unnamed, &self.taken);
        let left = cleared.and_then(|()| self.folder.leave(path, attributes));
        left.map_err(|error| failure(self.shown, path, &error))?;
        self.folder.came(path);
        Ok(())
    }

    fn announce(&mut self, path: Vec<u8>, size: u64) -> Result<(u64, [u8; 32]), Stopped> {
        self.named(&path)?;
        self.count(Amount::file(size))?;
        if self.announced.len() >= AHEAD {
            return protocol("too many files announced");
        }
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
        let Announced { path, size, hasher, .. } = announced;
        let fail = |error: io::Error| failure(self.shown, &path, &error);
        let made = if offset == 0 { self.folder.create(&path).map_err(fail)? } else { None };
        let (file, id) = match made {
            Some(made) => made,
            None => {
                if let Some(there) = self.folder.identity(&path).map_err(fail)? {
                    self.first(&path, there)?;
                }
                self.folder.write(&path, offset).map_err(fail)?
            }
        };
        self.progress.file(&path);
        self.current = Some(Current { path: path.clone(), size, has: offset, id });
        self.writing.give(Job::Begin(Box::new(Begun { path, file, offset, hasher })))
    }

    fn data(&mut self, octets: &mut Vec<u8>) -> Result<(), Stopped> {
        let Some(current) = &mut self.current else {
            return protocol("octets of a file that was not begun");
        };
        let has = current.has.saturating_add(octets.len() as u64);
        if has > current.size {
            return protocol("a file longer than announced");
        }
        current.has = has;
        self.progress.carried(octets.len() as u64);
        self.writing.give(Job::Piece(mem::replace(octets, self.writing.buffer())))
    }

    fn end(&mut self, hash: [u8; 32], attributes: Attributes) -> Result<(), Stopped> {
        let Some(current) = self.current.take() else {
            return protocol("the end of a file that was not begun");
        };
        if current.has != current.size {
            return protocol("a file is shorter than announced");
        }
        self.taken.insert(current.id);
        self.folder.came(&current.path);
        self.progress.ended_file();
        let attributes = self.folder.allowed(attributes);
        self.writing.give(Job::End { hash, attributes })
    }

    fn skip(&mut self, fault: Fault) -> Result<(), Stopped> {
        let current = self.current.take().map(|current| current.path);
        let announced = || self.announced.pop_front().map(|announced| announced.path);
        let Some(skipped) = current.or_else(announced) else {
            return protocol("a file that was not announced");
        };
        self.left_out(&skipped, fault);
        let removed = self.folder.remove(&skipped);
        removed.map_err(|error| failure(self.shown, &skipped, &error))
    }

    /// Tells what does not come. Its path leads nowhere: nothing is done with it.
    fn left_out(&mut self, path: &[u8], fault: Fault) {
        let why = match fault {
            Fault::Unreadable => "the sender cannot read it",
            Fault::Changed => "it changed while it was sent",
            Fault::Special => {
                self.special += 1;
                tracing::info!("{} did not come: neither a file nor a folder", Shown(path));
                return;
            }
        };
        self.faults = self.faults.saturating_add(1);
        match self.faults.cmp(&MOST_TOLD) {
            Ordering::Less => tell(format_args!("byway: {} did not come: {why}", Shown(path))),
            Ordering::Equal => tell("byway: more did not come, of which each is not told"),
            Ordering::Greater => {}
        }
    }
}
