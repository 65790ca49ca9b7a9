//! The receiver's part of a transfer, on one channel after another.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use byway::client::Stream;
use indicatif::HumanBytes;

use super::amount::Amount;
use super::ear::Ear;
use super::folder::Folder;
use super::kept;
use super::line::Line;
use super::message::{Lost, Message, Reader, Secret, Stop};
use super::names::{self, Shown};
use super::placing::Place;
use super::plan::Wishes;
use super::progress::{Audience, Count, Progress};
use super::taking::Taking;
use super::tree::MOST_ITEMS;
use crate::cli::failure::CommandError;
use crate::cli::say;

/// Names that the question tells; of more it tells the count.
const TOLD: usize = 5;

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

/// What comes, and where it goes.
pub struct Incoming {
    path: PathBuf,
    wishes: Wishes,
    audience: Audience,
    folder: Folder,
    stage: Stage,
}

enum Stage {
    /// Nothing was offered yet.
    New,
    /// So much was agreed to, and comes.
    Agreed(Amount),
    /// All of an offer is in its place, but for so many files that the sender could not send.
    Complete { faults: u64, mark: [u8; 32] },
}

/// What a sender offers.
struct Offer {
    items: Vec<(Vec<u8>, bool)>,
    amount: Amount,
    mark: [u8; 32],
}

/// The other end breaks the rules.
pub fn protocol<T>(cause: &'static str) -> Result<T, Stopped> {
    Err(Stopped::Lost(Lost::Protocol(cause)))
}

impl Incoming {
    pub fn new(path: &Path, wishes: Wishes, audience: Audience) -> Result<Self, CommandError> {
        let folder = Folder::open(path, kept::directory("receive")).map_err(|error| {
            CommandError::usage(format_args!(
                "{}: {error}; name a folder of yours (--output)",
                path.display()
            ))
        })?;
        Ok(Self { path: path.to_owned(), wishes, audience, folder, stage: Stage::New })
    }

    /// Takes everything that is not there yet; gives how many files the sender could not send.
    pub fn carry(
        &mut self,
        line: &Line,
        stream: &Stream,
        reader: &mut Reader<Ear>,
        secret: &Secret,
    ) -> Result<u64, Stopped> {
        let offer = read_offer(reader)?;
        let write = |message: &Message| line.say(stream, message).map_err(Lost::from);
        if let Stage::Complete { mark, .. } = self.stage
            && mark != offer.mark
        {
            self.end();
            self.stage = Stage::New;
        }
        if let Stage::New = self.stage {
            self.recall(&offer, secret)?;
        }
        if let Stage::Complete { faults, .. } = self.stage {
            write(&Message::Complete { faults })?;
            return Ok(faults);
        }
        self.agree(&offer, secret)?;
        write(&Message::Accept)?;
        let Offer { amount, mark, .. } = offer;
        let progress = Progress::new(self.audience, amount.octets);
        let taking = Taking::new(&mut self.folder, &self.path, amount, progress)?;
        let (faults, progress) = taking.all(line, stream, reader)?;
        let committed = self.folder.commit(faults, mark, secret);
        committed.map_err(|(name, error)| failure(&self.path, &name, &error))?;
        progress.end("received");
        self.stage = Stage::Complete { faults, mark };
        write(&Message::Complete { faults })?;
        Ok(faults)
    }

    /// The sender knows that all is here: what is kept for a process that has to tell it is removed.
    pub fn end(&mut self) {
        if let Err(error) = self.folder.forget() {
            tracing::info!("the note of a transfer that has ended stays: {error}");
        }
    }

    /// Ends the last step of a process that was killed in it, or before the sender knew that all of this is here. What has
    /// no place yet gets one as this process's user wants.
    fn recall(&mut self, offer: &Offer, secret: &Secret) -> Result<(), Stopped> {
        let recalled = self.folder.recall(&offer.mark, secret);
        let Some(last) = recalled.map_err(|error| failure(&self.path, b"", &error))? else {
            return Ok(());
        };
        let places = last.places.into_iter();
        let items: Vec<_> = places.map(|place| (place.offered, place.is_folder)).collect();
        let places = self.wishes.plan(&self.folder, &self.path, &items, secret)?;
        let finished = self.folder.finish(&places);
        finished.map_err(|(name, error)| failure(&self.path, &name, &error))?;
        say(format_args!("byway: all of it is here from before"));
        self.stage = Stage::Complete { faults: last.faults, mark: last.mark };
        Ok(())
    }

    /// Looks at an offer: whether the user wants it, where it goes, whether there is room.
    fn agree(&mut self, offer: &Offer, secret: &Secret) -> Result<(), Stopped> {
        match self.stage {
            Stage::Agreed(agreed) => {
                let places = self.folder.places().iter();
                let are_same = places
                    .map(|place| (&place.offered, place.is_folder))
                    .eq(offer.items.iter().map(|(name, is_folder)| (name, *is_folder)));
                if !are_same {
                    return protocol("something else is offered than before");
                }
                if agreed.without(offer.amount).is_none() {
                    self.check_room(offer.amount.octets.saturating_sub(agreed.octets))?;
                    self.wishes.consent(&question(offer, &self.path))?;
                }
            }
            Stage::New | Stage::Complete { .. } => {
                let plan = self.wishes.plan(&self.folder, &self.path, &offer.items, secret)?;
                if !self.is_begun(&plan)? {
                    self.check_room(offer.amount.octets)?;
                }
                self.wishes.consent(&question(offer, &self.path))?;
                for place in plan {
                    let name = place.offered.clone();
                    let placed = self.folder.place(place);
                    placed.map_err(|error| failure(&self.path, &name, &error))?;
                }
            }
        }
        self.stage = Stage::Agreed(offer.amount);
        Ok(())
    }

    /// Whether some of it is here already.
    fn is_begun(&self, plan: &[Place]) -> Result<bool, Stopped> {
        for place in plan {
            let begun = self.folder.kind(&place.part);
            if begun.map_err(|error| failure(&self.path, &place.offered, &error))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Refuses what has no room.
    fn check_room(&self, octets: u64) -> Result<(), Stopped> {
        let free = self.folder.free().map_err(|error| failure(&self.path, b"", &error))?;
        if free >= octets {
            return Ok(());
        }
        let line = format!(
            "{} has room for {free} octets, and {octets} more are to come; free some, or name another folder (--output), with the same code",
            self.path.display(),
        );
        Err(Stopped::Here(CommandError::failed(line), Stop::Failed))
    }
}

fn question(offer: &Offer, path: &Path) -> String {
    let names = offer.items.iter().take(TOLD).map(|(name, _)| Shown(name).to_string());
    let names = names.collect::<Vec<_>>().join(", ");
    let more = match offer.items.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let octets = HumanBytes(offer.amount.octets);
    let files = Count::files(offer.amount.files);
    let folders = match offer.amount.folders {
        0 => String::new(),
        folders => format!(" in {}", Count::folders(folders)),
    };
    format!("{names}{more}: {files}{folders}, {octets}. Receive into {}?", path.display())
}

fn read_offer(reader: &mut Reader<Ear>) -> Result<Offer, Stopped> {
    let (count, amount, mark) = match reader.message()? {
        Message::Offer { items, amount, mark } => (items as usize, amount, mark),
        Message::Stop(why) => return Err(Stopped::There(why)),
        _ => return protocol("a message out of turn"),
    };
    if count == 0 || count > MOST_ITEMS {
        return protocol("an offer of nothing, or of too much");
    }
    let (mut items, mut names) = (Vec::new(), HashSet::new());
    while items.len() < count {
        match reader.message()? {
            Message::Item { name, .. } if names::is_reserved(&name) => {
                return protocol("an item with the name of another's hidden part");
            }
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
    Ok(Offer { items, amount, mark })
}

/// The system's failure at this end, and how to go on.
pub fn failure(folder: &Path, name: &[u8], error: &io::Error) -> Stopped {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some room",
        io::ErrorKind::WouldBlock => "end the other byway receive that writes it",
        io::ErrorKind::AlreadyExists => {
            "something has this name there: say --overwrite or --rename, or move it away"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            "a file is where a folder has to be, or a folder where a file has to be: move it away, say --rename"
        }
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => {
            "the file system there takes no such name: name a folder on another (--output)"
        }
        _ => "look at the folder and its permissions",
    };
    let line = format!(
        "{}/{}: {error}; {remedy}, and run the command again: it goes on where this ended",
        folder.display(),
        Shown(name)
    );
    Stopped::Here(CommandError::failed(line), Stop::Failed)
}
