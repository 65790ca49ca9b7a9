//! The last step of a transfer: the parts take their places.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, RenameFlags, linkat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::folder::{FailedAt, FileId, entries, identity, part_name, sync};
use super::message::Secret;
use super::own::Unlocked;

/// A file or folder of the offer, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its name as the sender has it.
    pub offered: Vec<u8>,
    pub is_folder: bool,
    /// The name that it will have.
    pub name: Vec<u8>,
    /// Whether it may replace what has that name.
    pub replaces: bool,
    /// The name of its hidden part.
    pub part: Vec<u8>,
    /// What the part is for the system, once all of it came.
    pub id: Option<FileId>,
}

impl Place {
    pub fn new(
        offered: &[u8],
        is_folder: bool,
        name: Vec<u8>,
        replaces: bool,
        secret: &Secret,
    ) -> Self {
        let part = part_name(offered, secret);
        Self { offered: offered.to_vec(), is_folder, name, replaces, part, id: None }
    }
}

/// Puts all parts in their places.
pub fn place(root: &OwnedFd, places: &[Place]) -> Result<(), FailedAt> {
    let (mut placing, at) = (Placing { placed: HashSet::new() }, root.as_fd());
    for place in places {
        let put = placing.put(at, &place.part, at, &place.name, place.replaces);
        put.map_err(|error| (place.name.clone(), error))?;
    }
    sync(root).map_err(|error| (Vec::new(), error))
}

/// How it stands with an item whose last step was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// Its part has to take its place yet.
    Due,
    /// It is in its place.
    Placed,
    /// It is neither here nor there: somebody removed it.
    Gone,
}

/// How it stands with an item.
pub fn stand(root: BorrowedFd<'_>, place: &Place) -> io::Result<Stand> {
    let there = identity(root, &place.name)?;
    let Some(part) = identity(root, &place.part)? else {
        return Ok(match there {
            // What was there before has the files of a folder that came.
            Some(_) if place.is_folder && place.replaces => Stand::Placed,
            Some(id) if place.id == Some(id) => Stand::Placed,
            Some(_) | None => Stand::Gone,
        });
    };
    if there != Some(part) {
        return Ok(Stand::Due);
    }
    unlinkat(root, &place.part, AtFlags::empty())?;
    Ok(Stand::Placed)
}

struct Placing {
    /// What took its place.
    placed: HashSet<FileId>,
}

impl Placing {
    fn put(
        &mut self,
        from: BorrowedFd<'_>,
        name: &[u8],
        to: BorrowedFd<'_>,
        new: &[u8],
        replaces: bool,
    ) -> io::Result<()> {
        let source = identity(from, name)?.ok_or(ErrorKind::NotFound)?;
        match put_new(from, name, to, new) {
            Err(Errno::EXIST) if replaces => self.merge(from, name, to, new)?,
            Err(Errno::ACCESS) => put_unlocked(from, name, to, new)?,
            result => result?,
        }
        self.placed.insert(source);
        Ok(())
    }

    /// Puts a part in a place that something has: a file replaces a file, and a folder's files go into the folder.
    fn merge(
        &mut self,
        from: BorrowedFd<'_>,
        name: &[u8],
        to: BorrowedFd<'_>,
        new: &[u8],
    ) -> io::Result<()> {
        if identity(to, new)?.is_some_and(|there| self.placed.contains(&there)) {
            return Err(io::Error::other("another file of this transfer has this name there"));
        }
        let source = match Unlocked::open(from, name) {
            Ok(source) => source,
            // The system lets no file replace a folder.
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(renameat(from, name, to, new)?),
            Err(error) => return Err(error.into()),
        };
        let target = Unlocked::open(to, new)?;
        for name in entries(&source)? {
            self.put(source.as_fd(), &name, target.as_fd(), &name, true)?;
        }
        sync(&target)?;
        Ok(unlinkat(from, name, AtFlags::REMOVEDIR)?)
    }
}

/// Gives a name that nothing has to a folder that goes into another one. It has to be writable for that, since its `..`
/// changes, and is not where the sender's is not.
fn put_unlocked(
    from: BorrowedFd<'_>,
    name: &[u8],
    to: BorrowedFd<'_>,
    new: &[u8],
) -> rustix::io::Result<()> {
    let denied = |error| if error == Errno::NOTDIR { Errno::ACCESS } else { error };
    let _folder = Unlocked::open(from, name).map_err(denied)?;
    put_new(from, name, to, new)
}

/// Gives a part a name that nothing has.
fn put_new(
    from: BorrowedFd<'_>,
    name: &[u8],
    to: BorrowedFd<'_>,
    new: &[u8],
) -> rustix::io::Result<()> {
    match renameat_with(from, name, to, new, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => put_new_in_steps(from, name, to, new),
        result => result,
    }
}

/// The same where the file system has no renaming that replaces nothing, as NFS, 9p and sshfs: a link fails where
/// something has the name. For a folder, which replaces an empty folder at most, and where there are no links, it is looked
/// for the name a moment before: a file that another program makes in this moment is replaced, which nothing prevents there.
fn put_new_in_steps(
    from: BorrowedFd<'_>,
    name: &[u8],
    to: BorrowedFd<'_>,
    new: &[u8],
) -> rustix::io::Result<()> {
    match linkat(from, name, to, new, AtFlags::empty()) {
        Ok(()) => return unlinkat(from, name, AtFlags::empty()),
        Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL | Errno::MLINK) => {}
        Err(error) => return Err(error),
    }
    match statat(to, new, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => renameat(from, name, to, new),
        Ok(_) => Err(Errno::EXIST),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::folder::{FOLDER, Folder};
    use super::*;
    use rustix::fs::Mode;
    use std::fs;
    use std::io::Write;
    use std::path::Path;

    const SECRET: Secret = Secret([7; 32]);
    const MARK: [u8; 32] = [1; 32];

    /// Folders to write to, and for notes.
    fn folders() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let (into, notes) = (directory.path().join("into"), directory.path().join("notes"));
        fs::create_dir(&into).unwrap();
        (directory, into, notes)
    }

    /// A folder in which the parts of these files are, which go to these names.
    fn begun(into: &Path, notes: &Path, files: &[(&str, &str)]) -> Folder {
        let mut folder = Folder::open(into, Some(notes.to_owned())).unwrap();
        for (offered, name) in files {
            let offered = offered.as_bytes();
            folder
                .place(Place::new(offered, false, name.as_bytes().into(), true, &SECRET))
                .unwrap();
            let (mut file, _) = folder.write(offered, 0).unwrap();
            file.write_all(offered).unwrap();
            folder.came(offered);
        }
        folder
    }

    #[test]
    fn receiver_that_ended_before_the_sender_knew_finds_all_in_its_place() {
        let (_directory, into, notes) = folders();
        let mut folder = begun(&into, &notes, &[("a", "a"), ("b", "c")]);
        folder.commit(2, MARK, &SECRET).unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(&into).unwrap().count(), 2);
        let mut folder = Folder::open(&into, Some(notes.clone())).unwrap();
        assert_eq!(folder.recall(&MARK, &Secret([8; 32])).unwrap(), None, "another transfer");
        let last = folder.recall(&MARK, &SECRET).unwrap().unwrap();
        assert_eq!((last.places, last.faults), (Vec::new(), 2));
        assert_eq!(fs::read(into.join("c")).unwrap(), b"b");
        folder.forget().unwrap();
        assert_eq!(folder.recall(&MARK, &SECRET).unwrap(), None);
        assert_eq!(fs::read_dir(&notes).unwrap().count(), 0);
    }

    #[test]
    fn end_of_an_offer_is_forgotten_where_a_file_of_it_was_removed_or_replaced_since() {
        for replaces in [false, true] {
            let (_directory, into, notes) = folders();
            begun(&into, &notes, &[("a", "a")]).commit(0, MARK, &SECRET).unwrap();
            fs::rename(into.join("a"), into.join("elsewhere")).unwrap();
            if replaces {
                fs::write(into.join("a"), "other").unwrap();
            }
            let mut folder = Folder::open(&into, Some(notes.clone())).unwrap();
            assert_eq!(folder.recall(&MARK, &SECRET).unwrap(), None);
            assert_eq!(fs::read_dir(&notes).unwrap().count(), 0);
        }
    }

    /// Each channel brings everything again, and the last may have brought but a half.
    #[test]
    fn item_that_came_whole_on_a_channel_before_replaces_nothing() {
        let (_directory, into, notes) = folders();
        fs::write(into.join("a"), "good").unwrap();
        let mut folder = begun(&into, &notes, &[("a", "a")]);
        folder.anew();
        assert_eq!(folder.missing(), 1);
        folder.commit(1, MARK, &SECRET).unwrap();
        assert_eq!(fs::read(into.join("a")).unwrap(), b"good");
        assert_eq!(fs::read_dir(&into).unwrap().count(), 1);
    }

    #[test]
    fn end_of_an_offer_is_forgotten_where_the_sender_offers_something_else() {
        let (_directory, into, notes) = folders();
        begun(&into, &notes, &[("a", "a")]).commit(0, MARK, &SECRET).unwrap();
        let mut folder = Folder::open(&into, Some(notes.clone())).unwrap();
        assert_eq!(folder.recall(&[2; 32], &SECRET).unwrap(), None);
        assert_eq!(fs::read_dir(&notes).unwrap().count(), 0);
    }

    #[test]
    fn note_that_was_not_written_whole_counts_for_nothing() {
        let (_directory, into, notes) = folders();
        begun(&into, &notes, &[("a", "a")]).commit(0, MARK, &SECRET).unwrap();
        let path = fs::read_dir(&notes).unwrap().next().unwrap().unwrap().path();
        let whole = fs::read(&path).unwrap();
        for text in [&whole[..whole.len() / 2], b"", b"junk", &[255; 100]] {
            fs::write(&path, text).unwrap();
            let mut folder = Folder::open(&into, Some(notes.clone())).unwrap();
            assert_eq!(folder.recall(&MARK, &SECRET).unwrap(), None);
        }
    }

    /// As where a user's home belongs to another.
    #[test]
    fn parts_take_their_places_where_no_note_can_be_kept() {
        let (_directory, into, notes) = folders();
        fs::write(&notes, "a file").unwrap();
        let mut folder = begun(&into, &notes, &[("a", "a")]);
        assert_eq!(folder.recall(&MARK, &SECRET).unwrap(), None);
        folder.commit(0, MARK, &SECRET).unwrap();
        folder.forget().unwrap();
        assert_eq!(fs::read(into.join("a")).unwrap(), b"a");
    }

    #[test]
    fn item_that_did_not_come_whole_replaces_nothing() {
        let (_directory, into, notes) = folders();
        fs::write(into.join("b"), "good").unwrap();
        let mut folder = begun(&into, &notes, &[("a", "a")]);
        folder.place(Place::new(b"b", false, b"b".into(), true, &SECRET)).unwrap();
        folder.place(Place::new(b"c", true, b"c".into(), false, &SECRET)).unwrap();
        folder.commit(2, MARK, &SECRET).unwrap();
        assert_eq!(fs::read(into.join("b")).unwrap(), b"good");
        assert_eq!(fs::read_dir(&into).unwrap().count(), 2);
    }

    /// As where capitals and small letters are one: both may replace what was there, and not each other.
    #[test]
    fn file_does_not_replace_another_of_the_same_transfer() {
        let (_directory, into, notes) = folders();
        fs::write(into.join("c"), "old").unwrap();
        let mut folder = begun(&into, &notes, &[("a", "c"), ("b", "c")]);
        assert!(folder.commit(0, MARK, &SECRET).is_err());
        assert_eq!(fs::read(into.join("c")).unwrap(), b"a");
    }

    #[test]
    fn part_replaces_nothing_where_renaming_always_replaces() {
        let (_directory, into, _) = folders();
        let root = rustix::fs::open(&into, FOLDER, Mode::empty()).unwrap();
        let put = |name: &[u8], new: &[u8]| put_new_in_steps(root.as_fd(), name, root.as_fd(), new);
        for name in ["file", "there", "empty/file", "folder/file"] {
            let path = into.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        fs::remove_file(into.join("empty/file")).unwrap();
        for there in [&b"there"[..], b"empty"] {
            assert_eq!(put(b"file", there), Err(Errno::EXIST));
            assert_eq!(put(b"folder", there), Err(Errno::EXIST));
        }
        put(b"file", b"new").unwrap();
        put(b"folder", b"other").unwrap();
        assert_eq!(fs::read(into.join("new")).unwrap(), b"file");
        assert_eq!(fs::read(into.join("other/file")).unwrap(), b"folder/file");
        assert_eq!(fs::read(into.join("there")).unwrap(), b"there");
        assert_eq!(fs::read_dir(&into).unwrap().count(), 4);
    }

    /// A process may be killed between the link and the removal of the part.
    #[test]
    fn part_that_was_linked_to_its_place_is_not_due() {
        let (_directory, into, _) = folders();
        let root = rustix::fs::open(&into, FOLDER, Mode::empty()).unwrap();
        let place = Place::new(b"a", false, b"a".into(), false, &SECRET);
        let part = into.join(std::str::from_utf8(&place.part).unwrap());
        fs::write(&part, "a").unwrap();
        assert_eq!(stand(root.as_fd(), &place).unwrap(), Stand::Due);
        fs::hard_link(&part, into.join("a")).unwrap();
        assert_eq!(stand(root.as_fd(), &place).unwrap(), Stand::Placed);
        assert_eq!(fs::read_dir(&into).unwrap().count(), 1);
    }
}
