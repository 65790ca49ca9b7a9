//! Greetings: what the programs at both ends say with a connection, before any byte of it.

use core::fmt;

use crate::wire::MAX_GREETING;

/// A greeting. All zeros is the empty one.
#[repr(C)]
pub struct Greeting {
    len: u8,
    octets: [u8; MAX_GREETING],
}

/// Without what it says.
impl fmt::Debug for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets", self.len)
    }
}

impl Greeting {
    pub const fn new() -> Self {
        Self { len: 0, octets: [0; MAX_GREETING] }
    }

    pub fn octets(&self) -> &[u8] {
        self.octets.get(..self.len.into()).unwrap_or_default()
    }

    /// Keeps at most [`MAX_GREETING`] octets of `greeting`.
    pub fn set(&mut self, greeting: &[u8]) {
        let n = greeting.len().min(MAX_GREETING);
        self.octets[..n].copy_from_slice(&greeting[..n]);
        self.len = n as u8;
    }
}
