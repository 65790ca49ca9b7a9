//! The folder that is written to. Everything comes into hidden parts beside its place, and takes its place when all is
//! there. Each part of a path is opened in the folder before it, and no symbolic link is followed: nothing
//! is written elsewhere, whatever the sender says and whatever another program puts there meanwhile.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, RenameFlags, Timespec, Timestamps, fchmod, flock,
    futimens, mkdirat, open, openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::message::{Attributes, PIECE, Secret};
use super::names;

/// Most octets of a name that a part's name begins with, so that the rest fits into 255.
const BEGINNING: usize = 200;

/// A file or folder of the offer, and where it goes.
#[derive(Debug)]
pub struct Place {
    /// Its name as the sender has it.
    pub offered: Vec<u8>,
    pub is_folder: bool,
    /// The name that it will have.
    pub name: Vec<u8>,
    /// Whether it may replace what has that name.
    pub replaces: bool,
    /// The name of its hidden part.
    part: Vec<u8>,
}

/// The folder, with what comes into it.
pub struct Folder {
    root: OwnedFd,
    places: Vec<Place>,
    /// Which of the places is for an offered name.
    by_name: HashMap<Vec<u8>, usize>,
    /// The first part, locked, so that no other process writes those of this transfer.
    lock: Option<OwnedFd>,
    /// The folder that was opened last: files of a folder follow each other.
    near: Option<(Vec<u8>, OwnedFd)>,
}

/// The name of a hidden part, which belongs to one transfer.
fn part(name: &[u8], secret: &Secret) -> Vec<u8> {
    let hash = blake3::keyed_hash(&secret.0, name).to_hex();
    let beginning = &name[..name.len().min(BEGINNING)];
    [b".", beginning, b".", &hash.as_bytes()[..8], b".byway-part"].concat()
}

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const PRIVATE_FOLDER: Mode = Mode::RWXU;
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

impl Folder {
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(path, flags, Mode::empty())?;
        Ok(Self { root, places: Vec::new(), by_name: HashMap::new(), lock: None, near: None })
    }

    /// Whether something has this name.
    pub fn has(&self, name: &[u8]) -> io::Result<bool> {
        match statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Octets that are free for this user.
    pub fn free(&self) -> io::Result<u64> {
        let system = rustix::fs::fstatvfs(&self.root)?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    }

    /// Whether a part of this transfer is there from before.
    pub fn is_begun(&self, name: &[u8], secret: &Secret) -> io::Result<bool> {
        self.has(&part(name, secret))
    }

    /// Takes the place of an item. Its part is locked: another process that writes it is an error.
    pub fn place(
        &mut self,
        offered: Vec<u8>,
        is_folder: bool,
        name: Vec<u8>,
        replaces: bool,
        secret: &Secret,
    ) -> io::Result<()> {
        let part = part(&offered, secret);
        let fd = match is_folder {
            true => make_folder(self.root.as_fd(), &part)?,
            false => {
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                openat(&self.root, &part, flags, PRIVATE_FILE)?
            }
        };
        if self.lock.is_none() {
            flock(&fd, FlockOperation::NonBlockingLockExclusive)?;
            self.lock = Some(fd);
        }
        self.by_name.insert(offered.clone(), self.places.len());
        self.places.push(Place { offered, is_folder, name, replaces, part });
        Ok(())
    }

    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether an item of this name was offered, and is a folder.
    pub fn is_offered(&self, name: &[u8]) -> Option<bool> {
        self.by_name.get(name).map(|place| self.places[*place].is_folder)
    }

    /// Removes what came of a file.
    pub fn remove(&mut self, path: &[u8]) -> io::Result<()> {
        let (folder, name) = self.locate(path)?;
        match unlinkat(folder, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a folder.
    pub fn make(&mut self, path: &[u8]) -> io::Result<()> {
        let (folder, name) = self.locate(path)?;
        make_folder(folder, &name).map(drop)
    }

    /// Sets what a folder has besides its files.
    pub fn leave(&mut self, path: &[u8], attributes: &Attributes) -> io::Result<()> {
        let (folder, name) = self.locate(path)?;
        let fd = openat(folder, &name, FOLDER, Mode::empty())?;
        set(fd.as_fd(), attributes)
    }

    /// The file at a path, to read what it has; `None` if there is none.
    pub fn begun(&mut self, path: &[u8]) -> io::Result<Option<File>> {
        let (folder, name) = self.locate(path)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match openat(folder, &name, flags, Mode::empty()) {
            Ok(fd) => {
                let file = File::from(fd);
                match file.metadata()?.is_file() {
                    true => Ok(Some(file)),
                    false => Err(ErrorKind::AlreadyExists.into()),
                }
            }
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The file at a path, to be written behind its first `offset` octets. It belongs to this user alone until it
    /// is whole.
    pub fn write(&mut self, path: &[u8], offset: u64) -> io::Result<File> {
        let is_item = !path.contains(&b'/');
        let (folder, name) = self.locate(path)?;
        // An item's part is locked, and stays the file that it is.
        if offset == 0 && !is_item {
            match unlinkat(folder, &name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        if offset == 0 && !is_item {
            flags |= OFlags::CREATE | OFlags::EXCL;
        }
        let open = || openat(folder, &name, flags, PRIVATE_FILE);
        let fd = match open() {
            // It was whole, and read-only, and the sender's is longer now.
            Err(Errno::ACCESS) => {
                let read = openat(folder, &name, OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty())?;
                fchmod(read, PRIVATE_FILE)?;
                open()?
            }
            fd => fd?,
        };
        let mut file = File::from(fd);
        file.set_len(offset)?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(offset))?;
        Ok(file)
    }

    /// Ends a file: it has all its octets. On Linux [`commit`](Self::commit) has the system write all files to disk
    /// at once, which is quicker where they are many.
    pub fn finish(&self, file: &File, attributes: &Attributes) -> io::Result<()> {
        set(file.as_fd(), attributes)?;
        if cfg!(not(target_os = "linux")) {
            file.sync_all()?;
        }
        Ok(())
    }

    /// Puts the items in their places, once all is on disk.
    pub fn commit(&mut self) -> io::Result<()> {
        self.near = None;
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(&self.root)?;
        for place in &self.places {
            let root = self.root.as_fd();
            match rename_new(root, &place.part, root, &place.name) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && place.replaces => {
                    merge(root, &place.part, root, &place.name)?;
                }
                // It was skipped, so that its part was removed.
                Err(error) if error.kind() == ErrorKind::NotFound && !place.is_folder => {}
                result => result?,
            }
        }
        sync(&self.root)
    }

    /// The folder in which a path's last part is, and its name there.
    fn locate(&mut self, path: &[u8]) -> io::Result<(BorrowedFd<'_>, Vec<u8>)> {
        let invalid = || io::Error::from(ErrorKind::InvalidInput);
        let parts = names::parts(path).ok_or_else(invalid)?;
        let place = self.by_name.get(parts[0]).ok_or_else(invalid)?;
        let part = &self.places[*place].part;
        let [_, between @ .., last] = &parts[..] else {
            return Ok((self.root.as_fd(), part.clone()));
        };
        let above = path[..path.len() - last.len()].to_vec();
        if self.near.as_ref().is_none_or(|(path, _)| *path != above) {
            let mut folder = openat(&self.root, part, FOLDER, Mode::empty())?;
            for name in between {
                folder = openat(&folder, *name, FOLDER, Mode::empty())?;
            }
            self.near = Some((above, folder));
        }
        let (_, folder) = self.near.as_ref().ok_or_else(invalid)?;
        Ok((folder.as_fd(), last.to_vec()))
    }
}

/// Makes a folder, or opens the one that is there from before.
fn make_folder(within: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    match mkdirat(within, name, PRIVATE_FOLDER) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let fd = openat(within, name, FOLDER, Mode::empty())?;
    // It may have been left before, with the sender's permissions.
    fchmod(&fd, PRIVATE_FOLDER)?;
    Ok(fd)
}

fn set(fd: BorrowedFd<'_>, attributes: &Attributes) -> io::Result<()> {
    fchmod(fd, Mode::from_raw_mode((attributes.mode & 0o777) as _))?;
    let (tv_sec, tv_nsec) = attributes.changed;
    let time = Timespec { tv_sec, tv_nsec: i64::from(tv_nsec.min(999_999_999)) as _ };
    futimens(fd, &Timestamps { last_access: time, last_modification: time })?;
    Ok(())
}

fn sync(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::fsync(fd)?)
}

/// Renames, and replaces nothing.
fn rename_new(from: BorrowedFd<'_>, name: &[u8], to: BorrowedFd<'_>, new: &[u8]) -> io::Result<()> {
    Ok(renameat_with(from, name, to, new, RenameFlags::NOREPLACE)?)
}

/// Puts a part in a place that something has: a file replaces a file, and a folder's files go into the folder.
fn merge(from: BorrowedFd<'_>, name: &[u8], to: BorrowedFd<'_>, new: &[u8]) -> io::Result<()> {
    let source = match openat(from, name, FOLDER, Mode::empty()) {
        Ok(source) => source,
        // The system lets no file replace a folder.
        Err(Errno::NOTDIR | Errno::LOOP) => return Ok(renameat(from, name, to, new)?),
        Err(error) => return Err(error.into()),
    };
    let target = openat(to, new, FOLDER, Mode::empty())?;
    fchmod(&source, PRIVATE_FOLDER)?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&source)? {
        names.push(entry?.file_name().to_bytes().to_vec());
    }
    for name in names.iter().filter(|name| names::is_name(name)) {
        match rename_new(source.as_fd(), name, target.as_fd(), name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                merge(source.as_fd(), name, target.as_fd(), name)?;
            }
            result => result?,
        }
    }
    sync(&target)?;
    Ok(unlinkat(from, name, AtFlags::REMOVEDIR)?)
}

/// Hashes what a file has, at most `most` octets, and says how many these are.
pub fn hash(file: &mut File, most: u64) -> io::Result<(u64, blake3::Hasher)> {
    let (mut hasher, mut buffer, mut size) = (blake3::Hasher::new(), vec![0; PIECE], 0);
    let mut file = file.take(most);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((size, hasher)),
            n => {
                hasher.update(&buffer[..n]);
                size += n as u64;
            }
        }
    }
}
