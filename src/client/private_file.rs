//! Files that their owner alone reads, and that keep a secret.

use std::fmt::{self, Display, Formatter};
use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Most octets of such a file that are read.
pub(super) const LONGEST: u64 = 1024;

/// What a private file keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The file keeps an identity.
    Identity,
    /// The file keeps a secret that peers share.
    SharedSecret,
}

/// Why a private file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateFileError {
    /// There is no such file.
    #[error("{path}: there is no {kept} yet; make one: {}", kept.recipe(path), path = .path.display())]
    Missing {
        /// What the file is to keep.
        kept: Kept,
        /// The file's path.
        path: PathBuf,
    },
    /// There is such a file, which is never overwritten.
    #[error("{path}: there is an identity, which stays; give another file, or move that one away", path = .path.display())]
    Exists {
        /// The file's path.
        path: PathBuf,
    },
    /// Others than its owner may read or change the file.
    #[error("{path}: others may read it (mode {mode:o}); if nobody has, chmod 600 {path}, else make another {kept}", path = .path.display())]
    Exposed {
        /// What the file keeps.
        kept: Kept,
        /// The file's path.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file keeps something else, or was damaged.
    #[error("{path}: no {kept}, or a damaged one; {}", kept.remedy(path), path = .path.display())]
    Damaged {
        /// What the file is to keep.
        kept: Kept,
        /// The file's path.
        path: PathBuf,
    },
    /// The system refuses to read or write the file.
    #[error("{path}: {error}; check the path and its permissions", path = .path.display())]
    System {
        /// The file's path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The environment names no home directory.
    #[error("no home directory (HOME) to keep an identity in; name a file (--identity, or --file)")]
    NoHome,
    /// The system gives no random numbers.
    #[error(
        "no random numbers from the system: make the identity on another one, and copy its file"
    )]
    Entropy,
}

impl Kept {
    /// The command that makes such a file.
    fn recipe(self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Identity => format!("byway id new --file {path}"),
            Self::SharedSecret => format!("(umask 077; openssl rand -hex 32 > {path})"),
        }
    }

    /// What to do about a file that is damaged.
    fn remedy(self, path: &Path) -> String {
        match self {
            Self::Identity => "give the file that byway id new has made".into(),
            Self::SharedSecret => {
                format!("make one, a line of 64 hexadecimal digits: {}", self.recipe(path))
            }
        }
    }
}

impl Display for Kept {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity",
            Self::SharedSecret => "shared secret",
        })
    }
}

/// What the file at `path` keeps, as `parse` reads it in the first [`LONGEST`] octets.
///
/// # Errors
/// `Missing`, `Exposed`, `Damaged` if `parse` gives nothing, `System`.
pub(super) fn load<T>(
    kept: Kept,
    path: &Path,
    parse: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<T, PrivateFileError> {
    let at = || path.to_owned();
    let system = |error| PrivateFileError::System { path: at(), error };
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => PrivateFileError::Missing { kept, path: at() },
        _ => system(error),
    })?;
    if let Some(mode) = exposed(&file).map_err(system)? {
        return Err(PrivateFileError::Exposed { kept, path: at(), mode });
    }
    // Room for all, so that no copy is left behind when the text grows.
    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST as usize));
    file.take(LONGEST).read_to_end(&mut text).map_err(system)?;
    parse(&text).ok_or_else(|| PrivateFileError::Damaged { kept, path: at() })
}

/// Makes a directory that is missing, and those above it.
pub(super) fn make_directory(directory: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// The file of this user with that name: in `byway` in `$XDG_CONFIG_HOME`, or else in `$HOME/.config` (XDG Base
/// Directory Specification); on Windows in `%APPDATA%`. `None` if the environment names neither.
///
/// The command has there `identity`, `known_peers` and `config.toml`.
pub fn at_home(name: &str) -> Option<PathBuf> {
    // As the specification has it, relative paths are ignored.
    let named = |name| std::env::var_os(name).map(PathBuf::from).filter(|at| at.is_absolute());
    let base = match cfg!(windows) {
        true => named("APPDATA"),
        false => named("XDG_CONFIG_HOME").or_else(|| named("HOME").map(|at| at.join(".config"))),
    };
    base.map(|base| base.join("byway").join(name))
}

/// The permissions of a file that others than its owner may read or change; `None` if none of them may.
#[cfg(unix)]
fn exposed(file: &File) -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata()?;
    let mode = metadata.permissions().mode() & 0o777;
    // Pipes and the like are the caller's own.
    Ok((mode & 0o077 != 0 && metadata.is_file()).then_some(mode))
}

/// Whether others than its owner may write the file.
pub(super) fn is_writable_by_others(file: &File) -> io::Result<bool> {
    Ok(exposed(file)?.is_some_and(|mode| mode & 0o022 != 0))
}

/// The permissions of a file that others than its owner may read or change, where the system has such.
#[cfg(not(unix))]
fn exposed(_: &File) -> io::Result<Option<u32>> {
    Ok(None)
}
