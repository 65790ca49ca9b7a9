//! Where the items of an offer go: what happens where something has the name already.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::folder::{Folder, Kind};
use super::incoming::{Stopped, failure};
use super::message::{Secret, Stop};
use super::names::Shown;
use super::placing::Place;
use crate::cli::failure::{Code as Exit, CommandError};

/// What happens where something has the name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    Fail,
    Overwrite,
    Rename,
}

/// A question to the user.
pub type Ask = fn(&str) -> io::Result<bool>;

/// What the user wants.
#[derive(Debug, Clone, Copy)]
pub struct Wishes {
    pub conflict: Conflict,
    /// Where somebody can be asked.
    pub ask: Option<Ask>,
}

impl Wishes {
    /// Whether the user says yes.
    fn agrees(&self, question: &str) -> bool {
        self.ask.is_some_and(|ask| ask(question).is_ok_and(|is_wanted| is_wanted))
    }

    /// The places of items, which are names, and whether they are folders.
    pub fn plan(
        &self,
        folder: &Folder,
        shown: &Path,
        items: &[(Vec<u8>, bool)],
        secret: &Secret,
    ) -> Result<Vec<Place>, Stopped> {
        let mut taken: HashSet<_> = items.iter().map(|(name, _)| name.clone()).collect();
        let mut plan = Vec::with_capacity(items.len());
        for (name, is_folder) in items {
            let fail = |error: io::Error| failure(shown, name, &error);
            let (new, replaces) = match (folder.kind(name).map_err(fail)?, self.conflict) {
                (None, _) => (name.clone(), false),
                (Some(_), Conflict::Rename) => {
                    (free_name(folder, name, &taken).map_err(fail)?, false)
                }
                (Some(kind), _) if *is_folder != (kind == Kind::Folder) => {
                    let (here, theirs) = match is_folder {
                        true => ("no folder", "a folder"),
                        false => ("a folder", "a file"),
                    };
                    return refuse(format_args!(
                        "{} is {here} in {}, and {theirs} at the sender; say --rename, or another --output, with the same code",
                        Shown(name),
                        shown.display()
                    ));
                }
                (Some(_), Conflict::Overwrite) => (name.clone(), true),
                (Some(_), Conflict::Fail)
                    if self.agrees(&format!("{} exists: replace it?", Shown(name))) =>
                {
                    (name.clone(), true)
                }
                (Some(_), Conflict::Fail) => {
                    return refuse(format_args!(
                        "{} exists in {}; say --overwrite or --rename, or another --output, with the same code",
                        Shown(name),
                        shown.display()
                    ));
                }
            };
            taken.insert(new.clone());
            plan.push(Place::new(name, *is_folder, new, replaces, secret));
        }
        Ok(plan)
    }

    /// Asks where somebody can be asked.
    pub fn consent(&self, question: &str) -> Result<(), Stopped> {
        if self.ask.is_none() || self.agrees(question) {
            return Ok(());
        }
        let error = CommandError::failed("nothing was received, as you said");
        Err(Stopped::Here(error, Stop::Declined))
    }
}

fn refuse<T>(line: std::fmt::Arguments<'_>) -> Result<T, Stopped> {
    Err(Stopped::Here(CommandError::new(Exit::Refused, line), Stop::Failed))
}

/// A name that nothing has or gets: the offered one and a number.
fn free_name(folder: &Folder, name: &[u8], taken: &HashSet<Vec<u8>>) -> io::Result<Vec<u8>> {
    for n in 1..u32::MAX {
        let other = [name, format!(".{n}").as_bytes()].concat();
        if !taken.contains(&other) && folder.kind(&other)?.is_none() {
            return Ok(other);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn plan(
        into: &Path,
        conflict: Conflict,
        items: &[(&str, bool)],
    ) -> Result<Vec<String>, Stopped> {
        let folder = Folder::open(into, None).unwrap();
        let items: Vec<_> = items.iter().map(|(name, is)| (name.as_bytes().into(), *is)).collect();
        let wishes = Wishes { conflict, ask: None };
        let plan = wishes.plan(&folder, into, &items, &Secret([7; 32]))?;
        Ok(plan.into_iter().map(|place| String::from_utf8(place.name).unwrap()).collect())
    }

    #[test]
    fn items_that_are_renamed_get_names_that_no_other_item_has() {
        let directory = tempfile::tempdir().unwrap();
        let into = directory.path();
        fs::write(into.join("a"), "").unwrap();
        fs::write(into.join("a.2"), "").unwrap();
        let items = [("a", false), ("a.1", false), ("a.2", true)];
        let names = plan(into, Conflict::Rename, &items).unwrap();
        assert_eq!(names, ["a.3", "a.1", "a.2.1"]);
    }

    #[test]
    fn folder_and_file_do_not_replace_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let into = directory.path();
        fs::write(into.join("file"), "").unwrap();
        fs::create_dir(into.join("folder")).unwrap();
        for item in [("file", true), ("folder", false)] {
            assert!(plan(into, Conflict::Overwrite, &[item]).is_err());
            assert!(plan(into, Conflict::Rename, &[item]).is_ok());
        }
        let same = [("file", false), ("folder", true)];
        assert_eq!(plan(into, Conflict::Overwrite, &same).unwrap(), ["file", "folder"]);
    }
}
