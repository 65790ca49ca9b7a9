//! Where an identity is kept: a file that its owner alone reads.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tempfile::NamedTempFile;
use zeroize::{Zeroize, Zeroizing};

use super::config::random;
use super::private_file::{self, Kept, LONGEST, PrivateFileError};
use crate::secure::Identity;

/// The first line of the file, by which it is known.
const HEAD: &str = "byway-identity-1";

/// A file that keeps an identity: three lines of text, the second of which is the secret.
///
/// ```no_run
/// use byway::client::{Config, IdentityFile};
///
/// let file = IdentityFile::at_home()?;
/// let mut config = Config::new("https://relay.example");
/// config.identity = Some(file.load_or_create()?);
/// # Ok::<(), byway::client::PrivateFileError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFile {
    path: PathBuf,
}

impl IdentityFile {
    /// The file at a path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file of this user: `byway/identity` in `$XDG_CONFIG_HOME`, or else in `$HOME/.config` (XDG Base
    /// Directory Specification); on Windows in `%APPDATA%`.
    ///
    /// # Errors
    /// `NoHome`.
    pub fn at_home() -> Result<Self, PrivateFileError> {
        Ok(Self::new(private_file::at_home("identity").ok_or(PrivateFileError::NoHome)?))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the identity.
    ///
    /// # Errors
    /// `Missing`; `Exposed` if others than the file's owner may read or change it; `Damaged`, `System`.
    pub fn load(&self) -> Result<Identity, PrivateFileError> {
        private_file::load(Kept::Identity, &self.path, parse)
    }

    /// Makes an identity of the system's random numbers, and keeps it in the file with mode 0600: whole, or
    /// not at all. Directories that are missing are made for their owner alone.
    ///
    /// # Errors
    /// `Exists`, `Entropy`, `System`.
    pub fn create(&self) -> Result<Identity, PrivateFileError> {
        let mut seed = random::<32>().map_err(|_| PrivateFileError::Entropy)?;
        let identity = Identity::from_seed(seed);
        seed.zeroize();
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        private_file::make_directory(directory).map_err(|error| self.system(error))?;
        // Of mode 0600, and removed if anything fails.
        let mut file = NamedTempFile::new_in(directory).map_err(|error| self.system(error))?;
        file.write_all(&text(&identity))
            .and_then(|()| file.as_file().sync_all())
            .map_err(|error| self.system(error))?;
        match file.persist_noclobber(&self.path) {
            Ok(_) => Ok(identity),
            Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(PrivateFileError::Exists { path: self.path.clone() })
            }
            Err(failed) => Err(self.system(failed.error)),
        }
    }

    /// Reads the identity, or makes one where there is no file. Of processes that do so at the same time
    /// one makes it, and all have the same.
    ///
    /// # Errors
    /// The errors of [`load`](Self::load) but `Missing`, and of [`create`](Self::create) but `Exists`.
    pub fn load_or_create(&self) -> Result<Identity, PrivateFileError> {
        match self.load() {
            Err(PrivateFileError::Missing { .. }) => match self.create() {
                Err(PrivateFileError::Exists { .. }) => self.load(),
                made => made,
            },
            loaded => loaded,
        }
    }

    fn system(&self, error: io::Error) -> PrivateFileError {
        PrivateFileError::System { path: self.path.clone(), error }
    }
}

/// The text of a file that keeps the identity.
fn text(identity: &Identity) -> Zeroizing<Vec<u8>> {
    let mut seed = Zeroizing::new([0; 43]);
    let written = URL_SAFE_NO_PAD.encode_slice(identity.seed(), &mut *seed);
    debug_assert_eq!(written, Ok(43));
    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST as usize));
    let name = identity.public_key().name();
    for line in [HEAD.as_bytes(), &*seed, name.as_bytes()] {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text
}

/// The identity in a file's text. Its name must be that of its seed, so that a seed that was damaged does
/// not go for another identity.
fn parse(text: &[u8]) -> Option<Identity> {
    let mut lines = text.split(|octet| *octet == b'\n').map(|line| line.trim_ascii());
    if lines.next()? != HEAD.as_bytes() {
        return None;
    }
    // The decoder asks for room for whole groups of three octets.
    let mut octets = Zeroizing::new([0; 33]);
    let len = URL_SAFE_NO_PAD.decode_slice(lines.next()?, &mut *octets).ok()?;
    let mut seed: [u8; 32] = octets[..len].try_into().ok()?;
    let identity = Identity::from_seed(seed);
    seed.zeroize();
    let is_whole = lines.next()? == identity.public_key().name().as_bytes();
    let is_all = lines.all(<[u8]>::is_empty);
    (is_whole && is_all).then_some(identity)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn file(directory: &tempfile::TempDir) -> IdentityFile {
        IdentityFile::new(directory.path().join("a").join("identity"))
    }

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("a directory")
    }

    #[test]
    fn identity_is_kept_for_its_owner_alone() {
        let directory = directory();
        let file = file(&directory);
        assert!(matches!(file.load(), Err(PrivateFileError::Missing { .. })));
        let made = file.create().unwrap();
        assert_eq!(file.load().unwrap(), made);
        assert_eq!(file.load_or_create().unwrap(), made);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(file.path()), 0o600);
            assert_eq!(mode(file.path().parent().unwrap()), 0o700);
        }
        let entries = file.path().parent().unwrap().read_dir().unwrap().count();
        assert_eq!(entries, 1, "nothing is left beside it");
    }

    #[test]
    fn identity_is_never_overwritten() {
        let directory = directory();
        let file = file(&directory);
        let made = file.create().unwrap();
        assert!(matches!(file.create(), Err(PrivateFileError::Exists { .. })));
        assert_eq!(file.load().unwrap(), made);
        assert_ne!(IdentityFile::new(directory.path().join("b")).create().unwrap(), made);
    }

    #[cfg(unix)]
    #[test]
    fn file_that_others_may_read_or_change_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let directory = directory();
        let file = file(&directory);
        file.create().unwrap();
        for mode in [0o640, 0o620, 0o604, 0o602, 0o644, 0o660, 0o777] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(file.path(), permissions).unwrap();
            for result in [file.load(), file.load_or_create()] {
                let error = result.unwrap_err();
                assert!(matches!(error, PrivateFileError::Exposed { .. }), "{mode:o}: {error}");
                assert!(error.to_string().contains("chmod 600"), "{error}");
            }
        }
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o400)).unwrap();
        file.load().unwrap();
    }

    #[test]
    fn damaged_file_is_refused_and_its_secret_not_told() {
        let directory = directory();
        let file = file(&directory);
        file.create().unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let [head, seed, name] = lines[..] else { panic!("three lines") };
        let mut other = seed.to_owned();
        let first = if other.starts_with('A') { "B" } else { "A" };
        other.replace_range(..1, first);
        for damaged in [
            String::new(),
            format!("{head}\n"),
            format!("{head}\n{seed}\n"),
            format!("{head}\n{other}\n{name}\n"),
            format!("{head}\n{seed}\n{}\n", &name[..44]),
            format!("{head}\n{}\n{name}\n", &seed[..42]),
            format!("{seed}\n{name}\n"),
            format!("{text}more\n"),
            format!("{head}2\n{seed}\n{name}\n"),
            "x".repeat(5000),
        ] {
            std::fs::write(file.path(), &damaged).unwrap();
            let error = file.load().unwrap_err();
            assert!(matches!(error, PrivateFileError::Damaged { .. }), "{damaged:?}: {error}");
            assert!(!format!("{error} {error:?}").contains(seed));
        }
        // An editor may have added a line's end, or those of another system.
        std::fs::write(file.path(), format!("{head}\r\n{seed}\r\n{name}\r\n\n")).unwrap();
        file.load().unwrap();
    }

    #[test]
    fn processes_that_begin_at_once_have_one_identity() {
        let directory = directory();
        let file = file(&directory);
        let begin = Barrier::new(16);
        let keys: Vec<_> = std::thread::scope(|scope| {
            let make = || {
                begin.wait();
                file.load_or_create().unwrap().public_key()
            };
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        assert_eq!(file.path().parent().unwrap().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn path_that_cannot_be_used_is_told_with_its_cause() {
        let directory = directory();
        let error = IdentityFile::new(directory.path()).load_or_create().unwrap_err();
        assert!(error.to_string().contains(&directory.path().display().to_string()), "{error}");
        let plain = directory.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let error = IdentityFile::new(plain.join("identity")).create().unwrap_err();
        assert!(matches!(error, PrivateFileError::System { .. }), "{error}");
    }
}
