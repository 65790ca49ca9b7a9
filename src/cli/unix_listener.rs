//! A listening Unix socket: its file is replaced when it is a dead process's, and removed at the end.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{self, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::signals;

/// A listening Unix socket, which does not block. Who may connect is for the umask to say, and for the
/// directory.
#[derive(Debug)]
pub struct UnixListener {
    listener: net::UnixListener,
    path: PathBuf,
}

impl UnixListener {
    /// Listens at `path`. The file of a socket at which nobody listens is replaced.
    ///
    /// # Errors
    /// A process listens there, or the file is no socket; or the system refuses.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        // Of two processes that find a dead one's socket, the second finds the socket of the first. The lock
        // ends with this function.
        let lock = File::open(directory)?;
        flock(&lock, FlockOperation::LockExclusive)?;
        remove_dead(path)?;
        let listener = net::UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        let (own, path) = (Inode::of(path)?, path.to_owned());
        let absolute = std::path::absolute(&path)?;
        signals::at_end(move || {
            // A socket that another process has made there since then is not ours.
            if Inode::of(&absolute).is_ok_and(|now| now == own) {
                let _ = fs::remove_file(&absolute);
            }
        });
        Ok(Self { listener, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().map(|(unix, _)| unix)
    }
}

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// What a path names: the device and the number of the file.
#[derive(Debug, PartialEq, Eq)]
struct Inode(u64, u64);

impl Inode {
    fn of(path: &Path) -> io::Result<Self> {
        fs::symlink_metadata(path).map(|file| Self(file.dev(), file.ino()))
    }
}

/// Removes the socket of a process that has ended.
fn remove_dead(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(io::Error::new(
                ErrorKind::AlreadyExists,
                "a file that is no socket is there",
            ));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        // A process that accepts, or that has too much to do for that.
        Ok(_) | Err(_) => Err(ErrorKind::AddrInUse.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("a directory")
    }

    #[test]
    fn socket_of_a_dead_process_is_replaced() {
        let directory = directory();
        let path = directory.path().join("socket");
        drop(net::UnixListener::bind(&path).expect("bound"));
        let listener = UnixListener::bind(&path).expect("replaced");
        let _client = UnixStream::connect(&path).expect("connects");
        listener.accept().expect("accepts");
    }

    #[test]
    fn live_socket_and_other_files_are_never_replaced() {
        let directory = directory();
        let path = directory.path().join("socket");
        let _live = net::UnixListener::bind(&path).expect("bound");
        let error = UnixListener::bind(&path).expect_err("in use");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let file = directory.path().join("file");
        fs::write(&file, "kept").expect("written");
        let error = UnixListener::bind(&file).expect_err("no socket");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&file).expect("there"), b"kept");
    }
}
