//! The receiver's part of a transfer, on one channel after another.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use byway::client::Stream;
use indicatif::HumanBytes;

use super::folder::Folder;
use super::line::Line;
use super::message::{Lost, Message, Reader, Secret, Stop};
use super::names::{self, Shown};
use super::progress::{Audience, Count, Progress};
use super::taking::Taking;
use super::tree::MOST_ITEMS;
use crate::cli::failure::{Code as Exit, CommandError};

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

/// The other end breaks the rules.
pub fn protocol<T>(cause: &'static str) -> Result<T, Stopped> {
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
        if let Stage::New = self.stage {
            // A process before this one may have been killed before the sender knew that all is here.
            let resumed = self.folder.resume_commit(secret);
            if let Some(faults) =
                resumed.map_err(|(name, error)| failure(&self.path, &name, &error))?
            {
                self.stage = Stage::Complete(faults);
                say(&Message::Complete)?;
                return Ok(faults);
            }
        }
        self.agree(&offer, secret)?;
        say(&Message::Accept)?;
        let progress = Progress::new(self.audience, offer.octets);
        let (files, octets) = (offer.files, offer.octets);
        let taking = Taking::new(&mut self.folder, &self.path, files, octets, progress)?;
        let (faults, progress) = taking.all(line, stream, reader)?;
        let committed = self.folder.commit(faults, secret);
        committed.map_err(|(name, error)| failure(&self.path, &name, &error))?;
        progress.end("received");
        self.stage = Stage::Complete(faults);
        say(&Message::Complete)?;
        Ok(faults)
    }

    /// The sender knows that all is here: what is kept for a process that has to tell it is removed.
    pub fn end(&mut self) {
        if let Err(error) = self.folder.forget() {
            tracing::info!("a hidden file stays in {}: {error}", self.path.display());
        }
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
    let files = Count(offer.files, "file");
    format!("{names}{more}: {files}, {octets}. Receive into {}?", path.display())
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
pub fn failure(folder: &Path, name: &[u8], error: &io::Error) -> Stopped {
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
