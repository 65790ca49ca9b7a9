//! What is sent: files and folders, one after the other, as they lie within each other.

use std::collections::HashSet;
use std::fs::{self, File, Metadata, ReadDir};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::message::{Attributes, Fault};
use super::names::{self, Shown};
use crate::cli::failure::CommandError;
use crate::cli::tell;

/// Most files and folders on a command line: the receiver keeps their names.
pub const MOST_ITEMS: usize = 65_536;

/// Something that was named on the command line.
#[derive(Debug, Clone)]
pub struct Item {
    pub path: PathBuf,
    pub name: Vec<u8>,
    pub is_folder: bool,
}

/// A step through what is sent.
#[derive(Debug)]
pub enum Step {
    Enter {
        path: Vec<u8>,
    },
    File {
        at: PathBuf,
        path: Vec<u8>,
        size: u64,
        attributes: Attributes,
    },
    Leave {
        path: Vec<u8>,
        attributes: Attributes,
    },
    /// It is left out.
    Left {
        path: Vec<u8>,
        fault: Fault,
    },
}

/// The files and folders named on the command line; symbolic links named there are followed.
pub fn items(paths: &[PathBuf]) -> Result<Vec<Item>, CommandError> {
    let mut names = HashSet::new();
    if paths.len() > MOST_ITEMS {
        return Err(CommandError::usage(format_args!(
            "{} paths are too many; send the folder that they are in",
            paths.len()
        )));
    }
    let item = |path: &PathBuf| {
        let fault = |error: io::Error| {
            CommandError::usage(format_args!(
                "{}: {error}; check the path and its permissions",
                path.display()
            ))
        };
        let metadata = fs::metadata(path).map_err(fault)?;
        let name = match path.file_name() {
            Some(name) => name.to_owned(),
            None => {
                let whole = path.canonicalize().map_err(fault)?;
                let name = whole.file_name().map(ToOwned::to_owned);
                name.ok_or_else(|| CommandError::usage("/ has no name; send a folder in it"))?
            }
        };
        let name = name.into_vec();
        if !metadata.is_dir() && !metadata.is_file() {
            return Err(CommandError::usage(format_args!(
                "{} is neither a file nor a folder; leave it out",
                path.display()
            )));
        }
        if names::is_reserved(&name) {
            return Err(CommandError::usage(format_args!(
                "{} has the name of a part of another transfer; rename it, or leave it out",
                path.display()
            )));
        }
        if !names.insert(name.clone()) {
            return Err(CommandError::usage(format_args!(
                "two paths end with {}; send one of them after the other",
                Shown(&name)
            )));
        }
        let path = std::path::absolute(path).map_err(fault)?;
        Ok(Item { path, name, is_folder: metadata.is_dir() })
    };
    paths.iter().map(item).collect()
}

/// Goes through the items, with a directory open for each folder that it is in.
pub struct Walk<'a> {
    items: std::slice::Iter<'a, Item>,
    within: Vec<Level>,
}

struct Level {
    entries: ReadDir,
    at: PathBuf,
    path: Vec<u8>,
    attributes: Attributes,
}

impl<'a> Walk<'a> {
    pub fn new(items: &'a [Item]) -> Self {
        Self { items: items.iter(), within: Vec::new() }
    }

    /// Goes on behind the folder that was entered last, of which nothing was gone through.
    pub fn pass_over(&mut self) {
        self.within.pop();
    }

    fn step(&mut self, at: PathBuf, path: Vec<u8>, metadata: io::Result<Metadata>) -> Step {
        let left = |path: Vec<u8>, fault| {
            let why = match fault {
                Fault::Special => "neither a file nor a folder",
                Fault::Unreadable => "cannot be read, or lies too deep",
                Fault::Changed => "other than on the command line",
            };
            tracing::info!("{} is left out: {why}", Shown(&path));
            Step::Left { path, fault }
        };
        let metadata = match metadata {
            Ok(metadata) if names::parts(&path).is_some() => metadata,
            Ok(_) | Err(_) => return left(path, Fault::Unreadable),
        };
        if metadata.is_file() {
            let (size, attributes) = (metadata.len(), attributes(&metadata));
            return Step::File { at, path, size, attributes };
        }
        if !metadata.is_dir() {
            return left(path, Fault::Special);
        }
        match fs::read_dir(&at) {
            Ok(entries) => {
                let attributes = attributes(&metadata);
                self.within.push(Level { entries, at, path: path.clone(), attributes });
                Step::Enter { path }
            }
            Err(_) => left(path, Fault::Unreadable),
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let Some(level) = self.within.last_mut() else {
            let item = self.items.next()?;
            let (path, metadata) = (item.name.clone(), fs::metadata(&item.path));
            // The receiver knows it as a file or as a folder.
            if metadata.as_ref().is_ok_and(|metadata| metadata.is_dir() != item.is_folder) {
                return Some(Step::Left { path, fault: Fault::Changed });
            }
            return Some(self.step(item.path.clone(), path, metadata));
        };
        match level.entries.next() {
            Some(Ok(entry)) => {
                let path = [&level.path[..], b"/", entry.file_name().as_bytes()].concat();
                let metadata = entry.metadata();
                Some(self.step(entry.path(), path, metadata))
            }
            Some(Err(error)) => {
                tell(format_args!("{}: {error}: some of it is left out", level.at.display()));
                Some(Step::Left { path: level.path.clone(), fault: Fault::Unreadable })
            }
            None => self
                .within
                .pop()
                .map(|level| Step::Leave { path: level.path, attributes: level.attributes }),
        }
    }
}

/// Permissions without setuid, setgid and sticky, and the time of the last change.
pub fn attributes(metadata: &Metadata) -> Attributes {
    let changed = (metadata.mtime(), metadata.mtime_nsec().try_into().unwrap_or(0));
    Attributes { mode: metadata.mode() & 0o777, changed }
}

/// Opens a file that may have been replaced by something else meanwhile; a link is followed if the user named it.
pub fn open(at: &Path, follows: bool) -> io::Result<File> {
    let mut flags = OFlags::NONBLOCK;
    if !follows {
        flags |= OFlags::NOFOLLOW;
    }
    let file = File::options().read(true).custom_flags(flags.bits() as i32).open(at)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}
