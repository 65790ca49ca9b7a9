//! Names and endpoints, as text and as octets.

use core::fmt;
use core::str::FromStr;

use super::{KEY_NAME_PREFIX, MAX_NAME};

/// A name under which a session listens: 1 to [`MAX_NAME`] octets of `A–Z a–z 0–9 . _ -`.
/// Upper and lower case differ. All zeros is the empty name, which no endpoint has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    len: u8,
    bytes: [u8; MAX_NAME],
}

impl Name {
    /// The empty name, for storage not yet in use.
    pub const EMPTY: Self = Self { len: 0, bytes: [0; MAX_NAME] };

    /// Makes a name of its octets.
    ///
    /// # Errors
    /// The octets are no valid name.
    pub fn from_bytes(name: &[u8]) -> Result<Self, EndpointError> {
        if name.is_empty() {
            return Err(EndpointError::Empty);
        }
        if name.len() > MAX_NAME {
            return Err(EndpointError::TooLong);
        }
        if !name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
            return Err(EndpointError::Alphabet);
        }
        let mut bytes = [0; MAX_NAME];
        bytes[..name.len()].copy_from_slice(name);
        let name = Self { len: name.len() as u8, bytes };
        // What is reached there is always encrypted: a name that cannot be used so is none.
        if !cfg!(feature = "secure") && name.is_key_name() {
            return Err(EndpointError::KeyName);
        }
        Ok(name)
    }

    /// Makes a name that is known when the program is compiled. In a constant a text that is no valid
    /// name does not compile.
    ///
    /// # Panics
    /// The text is no valid name.
    pub const fn constant(name: &str) -> Self {
        let name = name.as_bytes();
        assert!(!name.is_empty() && name.len() <= MAX_NAME, "a name has 1 to 48 characters");
        let mut bytes = [0; MAX_NAME];
        let mut i = 0;
        while i < name.len() {
            let b = name[i];
            assert!(
                b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'),
                "a name has letters, digits, '.', '_' and '-'"
            );
            bytes[i] = b;
            i += 1;
        }
        let is_key_name = bytes[0] == KEY_NAME_PREFIX[0] && bytes[1] == KEY_NAME_PREFIX[1];
        assert!(cfg!(feature = "secure") || !is_key_name, "a key name takes the feature `secure`");
        Self { len: name.len() as u8, bytes }
    }

    /// The name's length in octets.
    #[allow(clippy::len_without_is_empty)] // a valid name is never empty
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// The name's octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether the name is a key name: every name that begins with [`KEY_NAME_PREFIX`] is, so that a part
    /// of a key name is never taken for an ordinary name.
    pub fn is_key_name(&self) -> bool {
        self.bytes[..2] == *KEY_NAME_PREFIX
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        debug_assert!(self.as_bytes().is_ascii(), "a name is checked when it is made");
        core::str::from_utf8(self.as_bytes()).unwrap_or("")
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// Where a peer listens: `name:port`, as in `camera:1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The name before the colon.
    pub name: Name,
    /// The port behind the colon, 0 to 65535; no port is special.
    pub port: u16,
}

impl Endpoint {
    /// An endpoint with no name, for storage not yet in use.
    pub const EMPTY: Self = Self { name: Name::EMPTY, port: 0 };
}

/// Why a text is no valid endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The text has no colon.
    #[error("an endpoint is written name:port, as in camera:1")]
    NoPort,
    /// The port is no number from 0 to 65535.
    #[error("the port after the colon must be a number from 0 to 65535")]
    Port,
    /// No name stands before the colon.
    #[error("the name before the colon is empty: give 1 to 48 characters")]
    Empty,
    /// The name has more than 48 characters.
    #[error("the name before the colon is too long: at most 48 characters")]
    TooLong,
    /// The name is a key name, and byway was built without the feature `secure`.
    #[error("a name that begins with k. is a key: build this program with the feature `secure`")]
    KeyName,
    /// The name has a character outside the alphabet.
    #[error("the name may hold only letters, digits, '.', '_' and '-'")]
    Alphabet,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (name, port) = text.rsplit_once(':').ok_or(EndpointError::NoPort)?;
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(EndpointError::Port);
        }
        let port = port.parse().map_err(|_| EndpointError::Port)?;
        Ok(Self { name: Name::from_bytes(name.as_bytes())?, port })
    }
}

impl TryFrom<&str> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: &str) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl TryFrom<(&str, u16)> for Endpoint {
    type Error = EndpointError;

    fn try_from((name, port): (&str, u16)) -> Result<Self, EndpointError> {
        Ok(Self { name: Name::from_bytes(name.as_bytes())?, port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name.as_str(), self.port)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
