//! What a sender keeps of a transfer that has not ended, so that the same command goes on with it: code and secret.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use super::code::Code;
use super::message::Secret;
use super::tree::Item;

/// How long a code may be used again: a user who goes on later has forgotten who knows it.
pub const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Most octets of the file.
const LONGEST: u64 = 4096;

/// The file of a transfer, locked by the process that sends.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    file: File,
}

impl Kept {
    /// The file for these items at that relay. `None` where there is no home, or another process sends the same.
    pub fn open(items: &[Item], relay: &str) -> Option<Self> {
        let directory = directory("send")?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(relay.as_bytes());
        for item in items {
            hasher.update(b"\0").update(item.path.as_os_str().as_encoded_bytes());
        }
        let path = directory.join(hasher.finalize().to_hex().as_str());
        match lock(&directory, &path) {
            Ok(file) => Some(Self { path, file }),
            Err(error) => {
                tracing::info!("this transfer cannot go on in another process: {error}");
                None
            }
        }
    }

    /// The code and the secret of a transfer that was begun within a day.
    pub fn load(&mut self) -> Option<(Code, Secret)> {
        let metadata = self.file.metadata().ok().filter(is_private)?;
        let age = SystemTime::now().duration_since(metadata.modified().ok()?).ok()?;
        let mut text = String::new();
        (&self.file).take(LONGEST).read_to_string(&mut text).ok()?;
        let (code, secret) = text.trim_end().split_once(' ')?;
        let secret = Secret(*blake3::Hash::from_hex(secret).ok()?.as_bytes());
        (age < LIFE).then_some(())?;
        Some((code.parse().ok()?, secret))
    }

    /// Keeps them.
    pub fn save(&mut self, code: &Code, secret: &Secret) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        let secret = blake3::Hash::from_bytes(secret.0).to_hex();
        self.file.write_all(format!("{code} {secret}\n").as_bytes())
    }

    /// The transfer has ended.
    pub fn forget(self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Opens a file in that directory, which this user alone may read, and locks it.
pub fn lock(directory: &Path, path: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut options = File::options();
    let file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

fn is_private(metadata: &Metadata) -> bool {
    metadata.mode() & 0o077 == 0
}

/// The directory for what a command keeps, by the XDG Base Directory Specification.
pub fn directory(command: &str) -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).map(PathBuf::from).filter(|at| at.is_absolute());
    let base = named("XDG_STATE_HOME").or_else(|| Some(named("HOME")?.join(".local/state")))?;
    Some(base.join("byway").join(command))
}
