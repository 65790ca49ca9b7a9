//! The folder that is written to. Everything comes into hidden parts beside its place, and takes its place when all is
//! there. Each part of a path is opened in the folder before it, and no symbolic link is followed: nothing
//! is written elsewhere, whatever the sender says and whatever another program puts there meanwhile.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, Timespec, Timestamps, fchmod, flock,
    fstat, futimens, mkdirat, open, openat, statat, unlinkat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::message::{Attributes, PIECE, Secret};
use super::names;
use super::note::{Last, Note};
use super::own;
use super::placing::{self, Place, Stand};

/// Most octets of a name that a part's name begins with, so that the rest fits into 255.
const BEGINNING: usize = 200;

/// Hexadecimal digits of the hash in a part's name: 64 bits, so that of all names that an offer can have no two
/// have the same part.
const DIGITS: usize = 16;

/// What a file or folder is for the system, whatever its names: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileId(u64, u64);

/// Folders that are kept open: files are written in one while those of another are announced, and each may be the
/// folder of the other or have just been left.
const NEAR: usize = 4;

/// A path, and why the system fails there.
pub type FailedAt = (Vec<u8>, io::Error);

/// The folder, with what comes into it.
pub struct Folder {
    root: OwnedFd,
    /// Its path without links, which stands for it in a note's name.
    path: PathBuf,
    /// Where notes are.
    notes: Option<PathBuf>,
    /// Permissions that this user's files do not have.
    umask: Mode,
    places: Vec<Place>,
    /// Which of the places is for an offered name.
    by_name: HashMap<Vec<u8>, usize>,
    /// Which of them came whole, on the channel that there is.
    came: HashSet<usize>,
    /// The first part, locked, so that no other process writes those of this transfer.
    lock: Option<OwnedFd>,
    /// The folders that were used last, the very last at the end.
    near: Vec<(Vec<u8>, OwnedFd)>,
    /// Of the last step, from its beginning until the sender knows.
    note: Option<Note>,
}

/// What has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
    /// A link, or something that is no file.
    Other,
}

/// A folder that is there for the files that follow.
pub struct Made {
    pub id: FileId,
    /// What was in it before.
    pub before: HashSet<Vec<u8>>,
}

/// The name of a hidden part, which belongs to one transfer.
pub fn part_name(name: &[u8], secret: &Secret) -> Vec<u8> {
    let hash = blake3::keyed_hash(&secret.0, name).to_hex();
    [b".", names::beginning(name, BEGINNING), b".", &hash.as_bytes()[..DIGITS], names::PART]
        .concat()
}

pub const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const WRITTEN: OFlags =
    OFlags::WRONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
const PRIVATE_FOLDER: Mode = Mode::RWXU;
/// Leaves nothing to others.
const PRIVATE_MASK: Mode = Mode::RWXG.union(Mode::RWXO);
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

impl Folder {
    /// Opens it, while no other thread makes files. Notes are kept in that other folder.
    pub fn open(path: &Path, notes: Option<PathBuf>) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(path, flags, Mode::empty())?;
        // The system tells it only who sets it.
        let umask = rustix::process::umask(PRIVATE_MASK);
        rustix::process::umask(umask);
        Ok(Self {
            root,
            path: path.canonicalize()?,
            notes,
            umask,
            places: Vec::new(),
            by_name: HashMap::new(),
            came: HashSet::new(),
            lock: None,
            near: Vec::new(),
            note: None,
        })
    }

    /// What has this name, if anything has.
    pub fn kind(&self, name: &[u8]) -> io::Result<Option<Kind>> {
        match statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Kind::File,
                FileType::Directory => Kind::Folder,
                _ => Kind::Other,
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Octets that are free for this user.
    pub fn free(&self) -> io::Result<u64> {
        let system = rustix::fs::fstatvfs(&self.root)?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    }

    /// Takes the place of an item. Its part is locked: another process that writes it is an error.
    pub fn place(&mut self, place: Place) -> io::Result<()> {
        let fd = match place.is_folder {
            true => make_folder(self.root.as_fd(), &place.part)?,
            false => {
                // Not to be written: it may be whole already, and read-only as the sender's.
                let flags = OFlags::RDONLY | OFlags::CREATE;
                own::open(self.root.as_fd(), &place.part, flags, PRIVATE_FILE)?
            }
        };
        if self.lock.is_none() {
            flock(&fd, FlockOperation::NonBlockingLockExclusive)?;
            self.lock = Some(fd);
        }
        self.by_name.insert(place.offered.clone(), self.places.len());
        self.places.push(place);
        Ok(())
    }

    /// A new channel begins, on which the sender names everything again.
    pub fn anew(&mut self) {
        self.came.clear();
    }

    /// How many items did not come whole.
    pub fn missing(&self) -> usize {
        self.places.len() - self.came.len()
    }

    /// All of this came; of an item, that it may take its place.
    pub fn came(&mut self, path: &[u8]) {
        self.came.extend(self.by_name.get(path));
    }

    /// What the user's umask leaves of a file's or folder's permissions.
    pub fn allowed(&self, attributes: Attributes) -> Attributes {
        let mode = Mode::from_raw_mode(attributes.mode as _).difference(self.umask);
        Attributes { mode: mode.as_raw_mode() as _, ..attributes }
    }

    /// A handle of the folder itself.
    pub fn root(&self) -> io::Result<OwnedFd> {
        self.root.try_clone()
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
        if let Some(place) = self.by_name.get(path) {
            self.came.remove(place);
        }
        let (folder, name) = self.locate(path)?;
        match unlinkat(folder, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a folder, or takes the one that is there from before.
    pub fn make(&mut self, path: &[u8]) -> io::Result<Made> {
        let (folder, name) = self.locate(path)?;
        let fd = make_folder(folder, &name)?;
        Ok(Made { id: FileId::of(&fstat(&fd)?), before: entries(&fd)? })
    }

    /// Removes from a folder what has these names and is none of `taken`.
    pub fn clear(
        &mut self,
        path: &[u8],
        names: &HashSet<Vec<u8>>,
        taken: &HashSet<FileId>,
    ) -> io::Result<()> {
        if !names.is_empty() {
            // One of them may be kept open.
            self.near.clear();
        }
        let (folder, name) = self.locate(path)?;
        let fd = openat(folder, &name, FOLDER, Mode::empty())?;
        for name in names {
            if identity(fd.as_fd(), name)?.is_some_and(|there| !taken.contains(&there)) {
                remove_all(fd.as_fd(), name)?;
            }
        }
        Ok(())
    }

    /// What is at a path, if anything is.
    pub fn identity(&mut self, path: &[u8]) -> io::Result<Option<FileId>> {
        let (folder, name) = self.locate(path)?;
        identity(folder, &name)
    }

    /// Sets what a folder has besides its files.
    pub fn leave(&mut self, path: &[u8], attributes: &Attributes) -> io::Result<()> {
        let attributes = self.allowed(*attributes);
        let (folder, name) = self.locate(path)?;
        let fd = openat(folder, &name, FOLDER, Mode::empty())?;
        set(fd, &attributes)
    }

    /// The file at a path, to read what it has; `None` if there is none.
    pub fn begun(&mut self, path: &[u8]) -> io::Result<Option<File>> {
        let (folder, name) = self.locate(path)?;
        match own::open(folder, &name, OFlags::RDONLY | OFlags::NONBLOCK, PRIVATE_FILE) {
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

    /// A new file at a path; `None` if something is there. It belongs to this user alone until it is whole.
    pub fn create(&mut self, path: &[u8]) -> io::Result<Option<(File, FileId)>> {
        let (folder, name) = self.locate(path)?;
        match openat(folder, &name, WRITTEN | OFlags::CREATE | OFlags::EXCL, PRIVATE_FILE) {
            Ok(fd) => {
                let id = FileId::of(&fstat(&fd)?);
                Ok(Some((fd.into(), id)))
            }
            Err(Errno::EXIST) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The file that is at a path, to be written behind its first `offset` octets.
    pub fn write(&mut self, path: &[u8], offset: u64) -> io::Result<(File, FileId)> {
        // An item's part is locked, and stays the file that it is.
        if offset == 0 && path.contains(&b'/') {
            self.remove(path)?;
            return self.create(path)?.ok_or(ErrorKind::AlreadyExists.into());
        }
        let (folder, name) = self.locate(path)?;
        // It may have been whole, and read-only, and the sender's is longer now.
        let mut file = File::from(own::open(folder, &name, WRITTEN, PRIVATE_FILE)?);
        file.set_len(offset)?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(offset))?;
        let id = FileId::of(&fstat(&file)?);
        Ok((file, id))
    }

    /// Puts the items that came in their places, of which all is on disk. Of the others nothing stays.
    pub fn commit(&mut self, faults: u64, mark: [u8; 32], secret: &Secret) -> Result<(), FailedAt> {
        self.near.clear();
        self.by_name.clear();
        let mut places = Vec::new();
        for (n, mut place) in std::mem::take(&mut self.places).into_iter().enumerate() {
            match self.came.remove(&n) {
                true => {
                    let id = identity(self.root.as_fd(), &place.part);
                    place.id = id.map_err(|error| (place.offered.clone(), error))?;
                    places.push(place);
                }
                false => remove_all(self.root.as_fd(), &place.part)
                    .map_err(|error| (place.offered, error))?,
            }
        }
        let last = Last { places, faults, mark };
        let written = Note::write(self.notes.as_deref(), &self.path, secret, &last);
        self.note = written.map_err(|error| (Vec::new(), error))?;
        placing::place(&self.root, &last.places)?;
        self.lock = None;
        Ok(())
    }

    /// The last step of a process that did not hear that its sender knows of the end, with the places that are not
    /// taken yet. If the sender has something else by this time, or something is neither in its place nor in its part, it is forgotten.
    pub fn recall(&mut self, mark: &[u8; 32], secret: &Secret) -> io::Result<Option<Last>> {
        let read = Note::read(self.notes.as_deref(), &self.path, secret)?;
        let Some((note, mut last)) = read else { return Ok(None) };
        if last.mark != *mark {
            note.forget()?;
            return Ok(None);
        }
        let mut unplaced = Vec::new();
        for place in last.places {
            match placing::stand(self.root.as_fd(), &place)? {
                Stand::Due => unplaced.push(place),
                Stand::Placed => {}
                Stand::Gone => {
                    note.forget()?;
                    return Ok(None);
                }
            }
        }
        last.places = unplaced;
        self.note = Some(note);
        Ok(Some(last))
    }

    /// Takes the places that a process before this one did not take.
    pub fn finish(&self, places: &[Place]) -> Result<(), FailedAt> {
        placing::place(&self.root, places)
    }

    /// The sender knows that all is in its place.
    pub fn forget(&mut self) -> io::Result<()> {
        self.note.take().map_or(Ok(()), Note::forget)
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
        match self.near.iter().position(|(path, _)| *path == above) {
            Some(at) => self.near[at..].rotate_left(1),
            None => {
                let mut folder = openat(&self.root, part, FOLDER, Mode::empty())?;
                for name in between {
                    folder = openat(&folder, *name, FOLDER, Mode::empty())?;
                }
                if self.near.len() >= NEAR {
                    self.near.remove(0);
                }
                self.near.push((above, folder));
            }
        }
        let (_, folder) = self.near.last().ok_or_else(invalid)?;
        Ok((folder.as_fd(), last.to_vec()))
    }
}

/// Makes a folder, or opens the one that is there from before.
fn make_folder(within: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    match mkdirat(within, name, PRIVATE_FOLDER) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let fd = own::open(within, name, FOLDER, PRIVATE_FOLDER)?;
    // It may have been left before, with the sender's permissions.
    fchmod(&fd, PRIVATE_FOLDER)?;
    Ok(fd)
}

/// Sets permissions and times.
pub fn set(fd: impl AsFd, attributes: &Attributes) -> io::Result<()> {
    let fd = fd.as_fd();
    fchmod(fd, Mode::from_raw_mode((attributes.mode & 0o777) as _))?;
    let (tv_sec, tv_nsec) = attributes.changed;
    let time = Timespec { tv_sec, tv_nsec: i64::from(tv_nsec.min(999_999_999)) as _ };
    futimens(fd, &Timestamps { last_access: time, last_modification: time })?;
    Ok(())
}

pub fn sync(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::fsync(fd)?)
}

impl FileId {
    fn of(stat: &Stat) -> Self {
        Self(stat.st_dev as _, stat.st_ino as _)
    }
}

/// What has this name, if anything has.
pub fn identity(within: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<FileId>> {
    match statat(within, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileId::of(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The names of what is in a folder.
pub fn entries(folder: impl AsFd) -> io::Result<HashSet<Vec<u8>>> {
    let mut names = HashSet::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if names::is_name(&name) {
            names.insert(name);
        }
    }
    Ok(names)
}

/// Removes a file, or a folder with all that is in it.
fn remove_all(within: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match unlinkat(within, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Linux says the one of a folder, other systems the other.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let folder = own::open(within, name, FOLDER, PRIVATE_FOLDER)?;
    fchmod(&folder, PRIVATE_FOLDER)?;
    for name in entries(&folder)? {
        remove_all(folder.as_fd(), &name)?;
    }
    Ok(unlinkat(within, name, AtFlags::REMOVEDIR)?)
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
