//! The token that a client shows to a relay with a policy.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ureq::http::HeaderValue;
use zeroize::Zeroizing;

use crate::error::ConfigError;

/// Longest token, in octets: a relay looks at no longer one.
const MAX_TOKEN: usize = 2 * 1024;

/// The bearer token (RFC 6750) by which a relay with a policy lets a client in. Clones share it.
///
/// The token goes as `Authorization: Bearer`, or where the headers of the configuration have an `Authorization` of
/// their own, as for a gateway before the relay, as `Byway-Token`. Over `http://` the token goes to this machine
/// alone, unless [`over_plain_http`](Self::over_plain_http) says otherwise, since everybody on the way can read it
/// there. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Token {
    source: Arc<TokenSource>,
    plain: bool,
}

struct TokenSource {
    /// `None`: the token never changes.
    file: Option<PathBuf>,
    /// What is sent; `None`: the file was not read yet.
    current: Mutex<Option<Shown>>,
}

/// A token as it is shown, and how often the file had another before.
#[derive(Clone)]
pub(super) struct Shown {
    text: Zeroizing<String>,
    number: u64,
}

impl Token {
    /// A token that is known. Blanks around it do not count.
    pub fn value(token: impl Into<String>) -> Self {
        let text = Zeroizing::new(token.into());
        let text = Zeroizing::new(text.trim().to_owned());
        Self::of(None, Some(Shown { text, number: 0 }))
    }

    /// The token in a file, which is read when the client is opened, and again whenever the relay refuses the token: a
    /// file that has another by then needs no restart, and channels ride the change out.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::of(Some(path.into()), None)
    }

    fn of(file: Option<PathBuf>, current: Option<Shown>) -> Self {
        Self { source: Arc::new(TokenSource { file, current: Mutex::new(current) }), plain: false }
    }

    /// Whether the token is sent over `http://` to other machines, too, where everybody on the way can read it. By
    /// default it is not, and a client with such a URL is not opened.
    pub fn over_plain_http(mut self, yes: bool) -> Self {
        self.plain = yes;
        self
    }

    pub(super) fn may_go_plain(&self) -> bool {
        self.plain
    }

    fn lock(&self) -> MutexGuard<'_, Option<Shown>> {
        self.source.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file, unless that was done; the token is fit to be sent then.
    pub(super) fn load(&self) -> Result<(), ConfigError> {
        let mut current = self.lock();
        let shown = match (current.take(), &self.source.file) {
            (Some(shown), _) => shown,
            (None, Some(path)) => Shown { text: read(path)?, number: 0 },
            (None, None) => return Err(INVALID),
        };
        check(&shown.text)?;
        *current = Some(shown);
        Ok(())
    }

    /// What is to be sent now.
    pub(super) fn shown(&self) -> Option<Shown> {
        self.lock().clone()
    }

    /// The relay refused `sent`. Reads the file again; whether there is another token now, by this call or an
    /// earlier one. A file that cannot be read leaves everything as it is.
    pub(super) fn renew(&self, sent: &Shown) -> bool {
        let mut current = self.lock();
        if current.as_ref().is_some_and(|current| current.number != sent.number) {
            return true;
        }
        let Some(path) = &self.source.file else { return false };
        match read(path).and_then(|text| check(&text).map(|()| text)) {
            Ok(text) if *text != *sent.text => {
                *current = Some(Shown { text, number: sent.number + 1 });
                true
            }
            Ok(_) => false,
            Err(error) => {
                log::debug!("the token's file gives no token: {error}");
                false
            }
        }
    }
}

impl Shown {
    /// The token as the value of a header field behind `scheme`, marked as secret.
    pub fn field(&self, scheme: &str) -> Option<HeaderValue> {
        let text = Zeroizing::new(format!("{scheme}{}", *self.text));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shown({})", self.number)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source.file {
            Some(path) => f.debug_tuple("Token").field(path).finish(),
            None => f.write_str("Token(..)"),
        }
    }
}

const INVALID: ConfigError = ConfigError::Setting(
    "the token is none: one line of 1 to 2048 printable characters without blanks",
);

fn check(text: &str) -> Result<(), ConfigError> {
    let fits = (1..=MAX_TOKEN).contains(&text.len());
    if fits && text.bytes().all(|octet| octet.is_ascii_graphic()) { Ok(()) } else { Err(INVALID) }
}

fn read(path: &PathBuf) -> Result<Zeroizing<String>, ConfigError> {
    let cannot = |error: std::io::Error| {
        log::debug!("{}: {error}", path.display());
        ConfigError::Setting("the token's file cannot be read; check its path and its mode")
    };
    // A little more than fits, with the end of its line: what is longer is found too long.
    let mut text = Zeroizing::new(String::with_capacity(MAX_TOKEN + 16));
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(MAX_TOKEN as u64 + 8).read_to_string(&mut text).map_err(cannot)?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}
