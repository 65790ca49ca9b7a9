//! Permissions that this user lacks for what is the user's own: the sender's modes may lack them, and a folder that is there
//! may be read-only. They are given for as long as a transfer needs them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, chmodat, fchmod, openat, statat};
use rustix::io::{Errno, Result};

use super::folder::FOLDER;

/// Opens or makes what has this name in a folder, which no link is followed to. Where its permissions do not let this user
/// do that it has `mode` then.
pub fn open(within: BorrowedFd<'_>, name: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let open = || openat(within, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode);
    match open() {
        // Where it is another's, that this user may not open it is what is to be told.
        Err(Errno::ACCESS) if permit(within, name, mode).is_ok() => open(),
        opened => opened,
    }
}

/// Linux changes permissions by name through links, which somebody may put there, and not by a handle that needs no
/// permissions; but by the path that stands for such a handle.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn permit(within: BorrowedFd<'_>, name: &[u8], mode: Mode) -> Result<()> {
    use std::os::fd::AsRawFd;

    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let there = openat(within, name, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}", there.as_raw_fd());
    chmodat(rustix::fs::CWD, path, mode, AtFlags::empty())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn permit(within: BorrowedFd<'_>, name: &[u8], mode: Mode) -> Result<()> {
    chmodat(within, name, mode, AtFlags::SYMLINK_NOFOLLOW)
}

/// A folder in which this user may do everything as long as this value lives. A process that is killed meanwhile
/// leaves it so.
pub struct Unlocked {
    folder: OwnedFd,
    /// The permissions that it gets back.
    mode: Option<Mode>,
}

impl Unlocked {
    pub fn open(within: BorrowedFd<'_>, name: &[u8]) -> Result<Self> {
        let stat = statat(within, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        let more = mode | Mode::RWXU;
        let folder = open(within, name, FOLDER, more)?;
        // Another's folder may let this user write, too.
        let is_changed = mode != more && fchmod(&folder, more).is_ok();
        Ok(Self { folder, mode: is_changed.then_some(mode) })
    }
}

impl AsFd for Unlocked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

impl Drop for Unlocked {
    fn drop(&mut self) {
        if let Some(mode) = self.mode
            && let Err(error) = fchmod(&self.folder, mode)
        {
            tracing::info!("a folder does not get its permissions back: {error}");
        }
    }
}
