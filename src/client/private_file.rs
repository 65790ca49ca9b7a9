//! Files that their owner alone reads.

use std::fs::File;
use std::io::{self, Read};

use zeroize::Zeroizing;

/// Most octets of such a file that are read.
pub(super) const LONGEST: u64 = 1024;

/// The permissions of a file that others than its owner may read or change; `None` if none of them may.
#[cfg(unix)]
pub(super) fn exposed(file: &File) -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata()?;
    let mode = metadata.permissions().mode() & 0o777;
    // Pipes and the like are the caller's own.
    Ok((mode & 0o077 != 0 && metadata.is_file()).then_some(mode))
}

/// The permissions of a file that others than its owner may read or change, where the system has such.
#[cfg(not(unix))]
pub(super) fn exposed(_: &File) -> io::Result<Option<u32>> {
    Ok(None)
}

/// The first [`LONGEST`] octets of a file.
pub(super) fn read(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for all, so that no copy is left behind when the text grows.
    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST as usize));
    file.take(LONGEST).read_to_end(&mut text)?;
    Ok(text)
}
