//! The receiver's part of a transfer, on one channel after another.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use byway::client::Stream;
use indicatif::HumanBytes;

use super::AHEAD;
use super::agree::Secret;
use super::folder::{self, Folder};
use super::line::Line;
use super::message::{Attributes, Fault, Frame, Lost, Message, Reader, Stop};
use super::names::{self, Shown};
use super::progress::{Audience, Progress};
use super::tree::MOST_ITEMS;
use crate::cli::failure::{Code as Exit, CommandError};
use crate::cli::tell;

/// Names that the question tells; of more it tells the count.
const TOLD: usize = 5;

/// What happens where something has the name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    Fail,
    Overwrite,
    Rename,
}

/// Why a transfer stops.
#[derive(Debug)]
pub enum Stopped {
    /// This end cannot go on, or its user does not want to.
    Here(CommandError, Stop),
    /// The other end said so.
    There(Stop),
    Lost(Lost),
}

impl From<Lost> for Stopped {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

type Ask = fn(&str) -> io::Result<bool>;

/// What comes, and where it goes.
pub struct Incoming {
    path: PathBuf,
    conflict: Conflict,
    ask: Option<Ask>,
    audience: Audience,
    folder: Folder,
    stage: Stage,
}

enum Stage {
    /// Nothing was offered yet.
    New,
    /// It was agreed to, and comes.
    Agreed,
    /// All is in its place, but for so many files that the sender could not send.
    Complete(u64),
}

/// What a sender offers.
struct Offer {
    items: Vec<(Vec<u8>, bool)>,
    files: u64,
    octets: u64,
}

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

fn protocol<T>(cause: &'static str) -> Result<T, Stopped> {
    Err(Stopped::Lost(Lost::Protocol(cause)))
}

impl Incoming {
    pub fn new(
        path: &Path,
        conflict: Conflict,
        ask: Option<Ask>,
        audience: Audience,
    ) -> Result<Self, CommandError> {
        let folder = Folder::open(path).map_err(|error| {
            CommandError::usage(format_args!(
                "{}: {error}; name a folder of yours (--output)",
                path.display()
            ))
        })?;
        Ok(Self { path: path.to_owned(), conflict, ask, audience, folder, stage: Stage::New })
    }

    /// Takes everything that is not there yet; gives how many files the sender could not send.
    pub fn carry(
        &mut self,
        line: &Line,
        stream: &Stream,
        reader: &mut Reader<Stream>,
        secret: &Secret,
    ) -> Result<u64, Stopped> {
        let offer = read_offer(reader)?;
        let say = |message: &Message| line.say(stream, message).map_err(Lost::from);
        if let Stage::Complete(faults) = self.stage {
            say(&Message::Complete)?;
            return Ok(faults);
        }
        self.agree(&offer, secret)?;
        say(&Message::Accept)?;
        let mut taking = Taking {
            folder: &mut self.folder,
            shown: &self.path,
            announced: VecDeque::new(),
            current: None,
            files: offer.files,
            octets: offer.octets,
            faults: 0,
            progress: Progress::new(self.audience, offer.octets),
        };
        taking.all(line, stream, reader)?;
        taking.folder.commit().map_err(|error| failure(&self.path, b"", &error))?;
        taking.progress.end("received");
        let faults = taking.faults;
        self.stage = Stage::Complete(faults);
        say(&Message::Complete)?;
        Ok(faults)
    }

    /// Looks at an offer: whether the user wants it, where it goes, whether there is room.
    fn agree(&mut self, offer: &Offer, secret: &Secret) -> Result<(), Stopped> {
        match self.stage {
            Stage::New => {}
            Stage::Agreed => {
                let places = self.folder.places().iter();
                let are_same = places
                    .map(|place| (&place.offered, place.is_folder))
                    .eq(offer.items.iter().map(|(name, is_folder)| (name, *is_folder)));
                return match are_same {
                    true => Ok(()),
                    false => protocol("something else is offered than before"),
                };
            }
            Stage::Complete(_) => return Ok(()),
        }
        let folder = &mut self.folder;
        let path = &self.path;
        let fail = |name: &[u8], error: &io::Error| failure(path, name, error);
        let mut plan = Vec::with_capacity(offer.items.len());
        let mut is_begun = false;
        for (name, is_folder) in &offer.items {
            is_begun |= folder.is_begun(name, secret).map_err(|error| fail(name, &error))?;
            let is_there = folder.has(name).map_err(|error| fail(name, &error))?;
            let question = format!("{} exists: replace it?", Shown(name));
            let (new, replaces) = match (is_there, self.conflict) {
                (false, _) => (name.clone(), false),
                (true, Conflict::Overwrite) => (name.clone(), true),
                (true, Conflict::Rename) => {
                    (free_name(folder, name).map_err(|error| fail(name, &error))?, false)
                }
                (true, Conflict::Fail) => match self.ask {
                    Some(ask) if ask(&question).is_ok_and(|is_wanted| is_wanted) => {
                        (name.clone(), true)
                    }
                    Some(_) | None => {
                        let line = format!(
                            "{} exists in {}; say --overwrite or --rename, or another --output, with the same code",
                            Shown(name),
                            path.display()
                        );
                        return Err(Stopped::Here(
                            CommandError::new(Exit::Refused, line),
                            Stop::Failed,
                        ));
                    }
                },
            };
            plan.push((name.clone(), *is_folder, new, replaces));
        }
        let free = folder.free().map_err(|error| fail(b"", &error))?;
        if !is_begun && free < offer.octets {
            let line = format!(
                "{} has room for {free} octets, and {} are to come; free some, or name another folder (--output), with the same code",
                path.display(),
                offer.octets
            );
            return Err(Stopped::Here(CommandError::failed(line), Stop::Failed));
        }
        if let Some(ask) = self.ask {
            let question = question(offer, path);
            if !ask(&question).is_ok_and(|is_wanted| is_wanted) {
                let error = CommandError::failed("nothing was received, as you said");
                return Err(Stopped::Here(error, Stop::Declined));
            }
        }
        for (name, is_folder, new, replaces) in plan {
            let placed = folder.place(name.clone(), is_folder, new, replaces, secret);
            placed.map_err(|error| fail(&name, &error))?;
        }
        self.stage = Stage::Agreed;
        Ok(())
    }
}

fn question(offer: &Offer, path: &Path) -> String {
    let names = offer.items.iter().take(TOLD).map(|(name, _)| Shown(name).to_string());
    let names = names.collect::<Vec<_>>().join(", ");
    let more = match offer.items.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let octets = HumanBytes(offer.octets);
    format!("{names}{more}: {} files, {octets}. Receive into {}?", offer.files, path.display())
}

/// A name that nothing has: the offered one and a number.
fn free_name(folder: &Folder, name: &[u8]) -> io::Result<Vec<u8>> {
    for n in 1..u32::MAX {
        let other = [name, format!(".{n}").as_bytes()].concat();
        if !folder.has(&other)? {
            return Ok(other);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn read_offer(reader: &mut Reader<Stream>) -> Result<Offer, Stopped> {
    let (count, files, octets) = match reader.message()? {
        Message::Offer { items, files, octets } => (items as usize, files, octets),
        Message::Stop(why) => return Err(Stopped::There(why)),
        _ => return protocol("a message out of turn"),
    };
    if count == 0 || count > MOST_ITEMS {
        return protocol("an offer of nothing, or of too much");
    }
    let (mut items, mut names) = (Vec::new(), HashSet::new());
    while items.len() < count {
        match reader.message()? {
            Message::Item { name, is_folder }
                if names::is_name(&name) && names.insert(name.clone()) =>
            {
                items.push((name, is_folder));
            }
            Message::Item { .. } => return protocol("a name that leads out of the folder"),
            Message::Stop(why) => return Err(Stopped::There(why)),
            _ => return protocol("a message out of turn"),
        }
    }
    Ok(Offer { items, files, octets })
}

/// The system's failure at this end, and how to go on.
fn failure(folder: &Path, name: &[u8], error: &io::Error) -> Stopped {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some room",
        io::ErrorKind::WouldBlock => "end the other byway receive that writes it",
        _ => "look at the folder and its permissions",
    };
    let line = format!(
        "{}/{}: {error}; {remedy}, and run the same command again: it goes on where this ended",
        folder.display(),
        Shown(name)
    );
    Stopped::Here(CommandError::failed(line), Stop::Failed)
}

struct Taking<'a> {
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

impl Taking<'_> {
    fn all(
        &mut self,
        line: &Line,
        stream: &Stream,
        reader: &mut Reader<Stream>,
    ) -> Result<(), Stopped> {
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
                    return Ok(());
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
