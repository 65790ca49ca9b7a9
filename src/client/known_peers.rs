//! Known peers: the keys of listeners at ordinary names, as this user has met them before.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::private_file;
use crate::Endpoint;
use crate::error::{ConfigError, Error, PeerError};
use crate::secure::PublicKey;
use crate::transport;

/// Most octets of the file: 50,000 listeners.
const LONGEST: u64 = 8 << 20;

/// The file of [`Config::known_peers`](super::Config::known_peers): a line for each listener, with the relay as
/// host, port and path, then the endpoint, then the listener's key name. Lines that are empty or begin with `#`
/// are ignored; of several for an endpoint the first counts.
#[derive(Debug)]
pub(super) struct KnownPeers {
    path: PathBuf,
    relay: String,
}

/// What is other than before at a listener that was met.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    OtherKey,
    /// It does not encrypt, or this client does not.
    Plain,
}

impl KnownPeers {
    /// The file at `path`, for a client of the relay at that URL.
    pub fn new(path: PathBuf, url: &str) -> Result<Self, Error> {
        Ok(Self { path, relay: transport::place(url)? })
    }

    /// The key that the listener at an endpoint had before, if it was met before.
    ///
    /// # Errors
    /// The file cannot be read, or has a line that is none: then no listener is known, and none is to be
    /// taken for a new one.
    pub fn key(&self, endpoint: Endpoint) -> Result<Option<PublicKey>, Error> {
        let text = self.text().map_err(|error| {
            log::error!("{}: {error}; check the file and its permissions", self.path.display());
            unusable()
        })?;
        self.find(&text, endpoint)
    }

    /// Keeps the key of a listener that was not met before. Where the file cannot be written the log tells.
    ///
    /// # Errors
    /// Another process has met a listener with another key there meanwhile.
    pub fn learn(&self, endpoint: Endpoint, key: &PublicKey) -> Result<(), PeerError> {
        match self.append(endpoint, key) {
            Ok(Some(known)) if known != *key => return Err(PeerError::WrongKey),
            Ok(Some(_)) => {}
            Ok(None) => log::info!(
                "{endpoint}: the key {key} is kept in {} from now on",
                self.path.display()
            ),
            Err(error) => log::info!(
                "{endpoint}: the key {key} is not kept: {}: {error}; check the path and its permissions",
                self.path.display()
            ),
        }
        Ok(())
    }

    /// Tells that the listener had another key before, or one at all, if so: whether that is so.
    pub fn tell_changed(&self, endpoint: Endpoint, is: Change) -> bool {
        let Ok(Some(key)) = self.key(endpoint) else { return false };
        let path = self.path.display();
        match is {
            Change::OtherKey => log::warn!(
                "{endpoint}: its key changed from {key}: ask its owner; if that is right, remove its line from {path}"
            ),
            Change::Plain => log::warn!(
                "{endpoint}: it had the key {key}, and nothing is encrypted there now: it was set up otherwise, or is somebody else; ask its owner, and if that is right remove its line from {path}"
            ),
        }
        true
    }

    /// The key that is known; if none is, this one from now on.
    fn append(&self, endpoint: Endpoint, key: &PublicKey) -> io::Result<Option<PublicKey>> {
        let text = self.text()?;
        match self.find(&text, endpoint) {
            Ok(None) => {}
            Ok(known) => return Ok(known),
            Err(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
        if let Some(directory) = self.path.parent().filter(|parent| !parent.as_os_str().is_empty())
        {
            private_file::make_directory(directory)?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // A line is written at once, so that those of other processes do not get into it.
        let start = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let line = format!("{start}{} {endpoint} {key}\n", self.relay);
        options.open(&self.path)?.write_all(line.as_bytes())?;
        Ok(None)
    }

    fn text(&self) -> io::Result<String> {
        let mut text = String::new();
        match File::open(&self.path) {
            Ok(file) if private_file::is_writable_by_others(&file)? => Err(io::Error::other(
                "others may write it; look whether its lines are right, then chmod 600 it",
            )),
            Ok(file) => match file.take(LONGEST).read_to_string(&mut text)? as u64 {
                LONGEST => Err(io::ErrorKind::FileTooLarge.into()),
                _ => Ok(text),
            },
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(text),
                _ => Err(error),
            },
        }
    }

    fn find(&self, text: &str, endpoint: Endpoint) -> Result<Option<PublicKey>, Error> {
        let endpoint = endpoint.to_string();
        for (n, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            let read = match words[..] {
                [relay, at, key] => key.parse().ok().map(|key: PublicKey| (relay, at, key)),
                _ => None,
            };
            match read {
                Some((relay, at, key)) if relay == self.relay && at == endpoint => {
                    return Ok(Some(key));
                }
                Some(_) => {}
                None => {
                    log::error!(
                        "{}: line {} is not RELAY NAME:PORT KEYNAME; mend or remove it",
                        self.path.display(),
                        n + 1
                    );
                    return Err(unusable());
                }
            }
        }
        Ok(None)
    }
}

fn unusable() -> Error {
    let line = "the file of known peers cannot be used; mend it as the log says";
    ConfigError::Setting(line).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure::Identity;

    fn peers(directory: &tempfile::TempDir, url: &str) -> KnownPeers {
        KnownPeers::new(directory.path().join("a").join("known_peers"), url).unwrap()
    }

    fn endpoint(text: &str) -> Endpoint {
        text.parse().unwrap()
    }

    fn key(n: u8) -> PublicKey {
        Identity::from_seed([n; 32]).public_key()
    }

    #[test]
    fn key_of_a_listener_is_kept_by_relay_and_endpoint_and_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let here = peers(&directory, "http://relay.example:8080/x");
        let camera = endpoint("camera:1");
        assert_eq!(here.key(camera), Ok(None));
        here.learn(camera, &key(1)).unwrap();
        here.learn(camera, &key(1)).unwrap();
        assert_eq!(here.learn(camera, &key(2)), Err(PeerError::WrongKey));
        assert_eq!(here.key(camera), Ok(Some(key(1))));
        assert_eq!(here.key(endpoint("camera:2")), Ok(None));
        assert_eq!(peers(&directory, "http://relay.example:8081/x").key(camera), Ok(None));
        assert_eq!(peers(&directory, "https://relay.example:8080/x").key(camera), Ok(Some(key(1))));
        here.learn(endpoint("camera:2"), &key(2)).unwrap();
        let text = std::fs::read_to_string(&here.path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(here.path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn file_may_have_comments_and_lack_the_end_of_its_last_line() {
        let directory = tempfile::tempdir().unwrap();
        let here = peers(&directory, "https://relay.example");
        here.learn(endpoint("a:1"), &key(1)).unwrap();
        let line = std::fs::read_to_string(&here.path).unwrap();
        std::fs::write(&here.path, format!("# by hand\n\n{}", line.trim_end())).unwrap();
        here.learn(endpoint("b:1"), &key(2)).unwrap();
        assert_eq!(here.key(endpoint("a:1")), Ok(Some(key(1))));
        assert_eq!(here.key(endpoint("b:1")), Ok(Some(key(2))));
    }

    #[test]
    fn listener_is_never_new_where_the_file_is_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let here = peers(&directory, "https://relay.example");
        here.learn(endpoint("a:1"), &key(1)).unwrap();
        let line = std::fs::read_to_string(&here.path).unwrap();
        for damaged in [line.replace("k.", "k,"), line.replace(" a:1", ""), "\u{0}".into()] {
            std::fs::write(&here.path, &damaged).unwrap();
            assert!(here.key(endpoint("b:1")).is_err(), "{damaged:?}");
            here.learn(endpoint("b:1"), &key(2)).unwrap();
            assert_eq!(std::fs::read_to_string(&here.path).unwrap(), damaged);
        }
        std::fs::remove_file(&here.path).unwrap();
        std::fs::create_dir(&here.path).unwrap();
        assert!(here.key(endpoint("b:1")).is_err());
    }
}
