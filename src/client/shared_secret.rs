//! Where a secret that peers share is kept: a file that its owner alone reads.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::private_file::{self, Kept, PrivateFileError};
use crate::secure::Secret;

/// Octets of a shared secret.
const OCTETS: usize = 32;

/// A file that keeps a shared secret: a line of 64 hexadecimal digits, as `openssl rand -hex 32` writes it.
///
/// ```no_run
/// use byway::client::{Config, SharedSecretFile};
///
/// let mut config = Config::new("https://relay.example");
/// config.shared_secret = Some(SharedSecretFile::new("/etc/byway/secret").load()?);
/// # Ok::<(), byway::client::PrivateFileError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedSecretFile {
    path: PathBuf,
}

impl SharedSecretFile {
    /// The file at a path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// `Missing`; `Exposed` if others than the file's owner may read or change it; `Damaged`, `System`.
    pub fn load(&self) -> Result<Secret, PrivateFileError> {
        private_file::load(Kept::SharedSecret, &self.path, parse)
    }
}

/// The secret in a file's text.
fn parse(text: &[u8]) -> Option<Secret> {
    let digits = text.trim_ascii();
    if digits.len() != 2 * OCTETS {
        return None;
    }
    let mut octets = Zeroizing::new([0; OCTETS]);
    for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
        *octet = 16 * digit(pair[0])? + digit(pair[1])?;
    }
    let is_secret = octets.iter().fold(0, |all, octet| all | octet) != 0;
    is_secret.then(|| Secret::new(*octets))
}

/// The value of a hexadecimal digit.
fn digit(octet: u8) -> Option<u8> {
    char::from(octet).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eFf\n";

    fn file(directory: &tempfile::TempDir, text: &str) -> SharedSecretFile {
        let file = SharedSecretFile::new(directory.path().join("secret"));
        std::fs::write(file.path(), text).unwrap();
        mode(&file, 0o600);
        file
    }

    fn mode(file: &SharedSecretFile, mode: u32) {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(file.path(), permissions).unwrap();
        }
        #[cfg(not(unix))]
        let _ = (file, mode);
    }

    #[test]
    fn secret_is_the_octets_of_the_digits() {
        let directory = tempfile::tempdir().unwrap();
        let mut octets: [u8; 32] = std::array::from_fn(|i| i as u8);
        octets[31] = 0xff;
        assert_eq!(file(&directory, TEXT).load().unwrap(), Secret::new(octets));
        let without_end = TEXT.trim_end();
        assert_eq!(file(&directory, without_end).load().unwrap(), Secret::new(octets));
    }

    #[test]
    fn damaged_secret_is_refused_and_not_told() {
        let directory = tempfile::tempdir().unwrap();
        for text in [
            "",
            "\n",
            &TEXT[..62],
            &format!("{}0", TEXT.trim_end()),
            &format!("{TEXT}{TEXT}"),
            &TEXT.replace("0a", "0g"),
            &TEXT.replace("0a", "+a"),
            &"0".repeat(64),
            &"é".repeat(32),
            &"7".repeat(5000),
        ] {
            let error = file(&directory, text).load().unwrap_err();
            assert!(matches!(error, PrivateFileError::Damaged { .. }), "{text:?}: {error}");
            assert!(!format!("{error} {error:?}").contains("0405060708"));
        }
    }

    #[cfg(unix)]
    #[test]
    fn secret_that_others_may_read_or_change_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(&directory, TEXT);
        for bits in [0o640, 0o620, 0o604, 0o602, 0o644, 0o777] {
            mode(&file, bits);
            let error = file.load().unwrap_err();
            assert!(matches!(error, PrivateFileError::Exposed { .. }), "{bits:o}: {error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        mode(&file, 0o400);
        file.load().unwrap();
        std::fs::remove_file(file.path()).unwrap();
        assert!(matches!(file.load(), Err(PrivateFileError::Missing { .. })));
    }
}
