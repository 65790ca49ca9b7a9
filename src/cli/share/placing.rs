//! The last step of a transfer: the parts take their places. What is to be done is written down beside them first, so
//! that a process that is killed meanwhile, or before the sender has heard of the end, is followed by one that goes on.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, RenameFlags, fchmod, flock, openat, renameat,
    renameat_with, unlinkat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::folder::{
    FOLDER, FailedAt, FileId, PRIVATE_FILE, PRIVATE_FOLDER, entries, identity, part_name, sync,
};
use super::message::Secret;
use super::names;

/// A file or folder of the offer, and where it goes.
#[derive(Debug, Serialize, Deserialize)]
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
}

impl Place {
    /// Whether all its names are such as this command writes down.
    fn is_sound(&self, secret: &Secret) -> bool {
        names::is_name(&self.offered)
            && names::is_name(&self.name)
            && self.part == part_name(&self.offered, secret)
    }
}

/// The last step, as it is written down.
pub struct Placing {
    places: Vec<Place>,
    /// How many files the sender could not send.
    pub faults: u64,
    /// The file in which it is, locked.
    name: Vec<u8>,
    _lock: File,
    /// Whether a process before this one was in it.
    is_resumed: bool,
    /// What took its place.
    placed: HashSet<FileId>,
}

/// The name of the file in which the last step of a transfer is written down.
fn name(secret: &Secret) -> Vec<u8> {
    // No item has an empty name.
    let hash = blake3::keyed_hash(&secret.0, b"").to_hex();
    [b".", &hash.as_bytes()[..8], b".byway-done"].concat()
}

impl Placing {
    /// Writes the step down.
    pub fn begin(
        root: BorrowedFd<'_>,
        places: Vec<Place>,
        faults: u64,
        secret: &Secret,
    ) -> io::Result<Self> {
        let text = postcard::to_allocvec(&(&places, faults)).map_err(io::Error::other)?;
        let name = name(secret);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(root, &name, flags, PRIVATE_FILE)?);
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.set_len(0)?;
        file.write_all(&text)?;
        file.sync_all()?;
        let placed = HashSet::new();
        Ok(Self { places, faults, name, _lock: file, is_resumed: false, placed })
    }

    /// The step of a process that ended in it; `None` if there was none.
    pub fn resume(root: BorrowedFd<'_>, secret: &Secret) -> io::Result<Option<Self>> {
        let name = name(secret);
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = match openat(root, &name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        // A process that ended while it wrote this had placed nothing yet.
        let Ok((places, faults)) = postcard::from_bytes::<(Vec<Place>, u64)>(&text) else {
            return Ok(None);
        };
        if !places.iter().all(|place| place.is_sound(secret)) {
            return Ok(None);
        }
        let placed = HashSet::new();
        Ok(Some(Self { places, faults, name, _lock: file, is_resumed: true, placed }))
    }

    /// Puts all parts in their places that are not there.
    pub fn place(&mut self, root: &OwnedFd) -> Result<(), FailedAt> {
        let (places, at) = (std::mem::take(&mut self.places), root.as_fd());
        for place in &places {
            match self.put(at, &place.part, at, &place.name, place.replaces) {
                // It was skipped, so that its part was removed, or it is in its place.
                Err(error)
                    if error.kind() == ErrorKind::NotFound
                        && (self.is_resumed || !place.is_folder) => {}
                result => result.map_err(|error| (place.name.clone(), error))?,
            }
        }
        sync(root).map_err(|error| (Vec::new(), error))
    }

    /// The sender knows: what was written down is removed.
    pub fn forget(self, root: &OwnedFd) -> io::Result<()> {
        Ok(unlinkat(root, &self.name, AtFlags::empty())?)
    }

    fn put(
        &mut self,
        from: BorrowedFd<'_>,
        name: &[u8],
        to: BorrowedFd<'_>,
        new: &[u8],
        replaces: bool,
    ) -> io::Result<()> {
        let source = identity(from, name)?.ok_or(ErrorKind::NotFound)?;
        match renameat_with(from, name, to, new, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) if replaces => self.merge(from, name, to, new)?,
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
        let source = match openat(from, name, FOLDER, Mode::empty()) {
            Ok(source) => source,
            // The system lets no file replace a folder.
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(renameat(from, name, to, new)?),
            Err(error) => return Err(error.into()),
        };
        let target = openat(to, new, FOLDER, Mode::empty())?;
        fchmod(&source, PRIVATE_FOLDER)?;
        for name in entries(&source)? {
            self.put(source.as_fd(), &name, target.as_fd(), &name, true)?;
        }
        sync(&target)?;
        Ok(unlinkat(from, name, AtFlags::REMOVEDIR)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::folder::Folder;
    use super::*;
    use std::fs;

    const SECRET: Secret = Secret([7; 32]);

    /// A folder in which the parts of these files are, which go to these names.
    fn begun(directory: &std::path::Path, files: &[(&str, &str)]) -> Folder {
        let mut folder = Folder::open(directory).unwrap();
        for (offered, name) in files {
            folder
                .place(offered.as_bytes().into(), false, name.as_bytes().into(), true, &SECRET)
                .unwrap();
            let (mut file, _) = folder.write(offered.as_bytes(), 0).unwrap();
            file.write_all(offered.as_bytes()).unwrap();
        }
        folder
    }

    #[test]
    fn receiver_that_ended_before_the_sender_knew_finds_all_in_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let mut folder = begun(directory.path(), &[("a", "a"), ("b", "c")]);
        folder.commit(2, &SECRET).unwrap();
        drop(folder);
        let mut folder = Folder::open(directory.path()).unwrap();
        assert_eq!(folder.resume_commit(&Secret([8; 32])).unwrap(), None, "another transfer");
        assert_eq!(folder.resume_commit(&SECRET).unwrap(), Some(2));
        assert_eq!(fs::read(directory.path().join("c")).unwrap(), b"b");
        folder.forget().unwrap();
        assert_eq!(folder.resume_commit(&SECRET).unwrap(), None);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn file_that_was_not_written_down_whole_counts_for_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut folder = begun(directory.path(), &[("a", "a")]);
        folder.commit(0, &SECRET).unwrap();
        drop(folder);
        let path = directory.path().join(std::str::from_utf8(&name(&SECRET)).unwrap());
        let whole = fs::read(&path).unwrap();
        for text in [&whole[..whole.len() / 2], b"", b"junk", &[255; 100]] {
            fs::write(&path, text).unwrap();
            let mut folder = Folder::open(directory.path()).unwrap();
            assert_eq!(folder.resume_commit(&SECRET).unwrap(), None);
        }
    }

    /// As where capitals and small letters are one: both may replace what was there, and not each other.
    #[test]
    fn file_does_not_replace_another_of_the_same_transfer() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("c"), "old").unwrap();
        let mut folder = begun(directory.path(), &[("a", "c"), ("b", "c")]);
        assert!(folder.commit(0, &SECRET).is_err());
        assert_eq!(fs::read(directory.path().join("c")).unwrap(), b"a");
    }
}
