//! The room in which an exchange's messages are written, and then read.

use core::fmt;

use crate::wire::{Decoder, MAX_CONTROL, Route};

/// Octets of the longest message that is staged, its ROUTE with it. Without the messages of handshakes that
/// is CONNECT_REQ, which has none.
pub const MAX_STAGED: usize =
    if cfg!(feature = "secure") { Route::LEN + MAX_CONTROL } else { MAX_CONTROL };
const _: () = assert!(MAX_STAGED <= u8::MAX as usize);

/// Which way an exchange goes: its request up, then its answer down. Both want room for one control
/// message, and a request is over when its answer begins: it is the same room. All zeros: the
/// beginning.
///
/// ```text
///  Up ── the first octets of the answer ──▶ Down ── the next exchange begins ──▶ Up
/// ```
#[derive(Debug)]
pub enum Transfer {
    Up(Staged),
    Down(Decoder),
}

/// What stands before the data bytes of an item, while it goes up.
pub struct Staged {
    pub octets: [u8; MAX_STAGED],
    pub len: u8,
    /// So many have gone.
    pub at: u8,
}

/// Without the octets, among which is the session's secret.
impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} octets", self.at, self.len)
    }
}

impl Transfer {
    pub const fn new() -> Self {
        Self::Up(Staged { octets: [0; MAX_STAGED], len: 0, at: 0 })
    }

    /// What takes the answer apart. The request is over.
    pub fn decoder(&mut self) -> Option<&mut Decoder> {
        if let Self::Up(_) = self {
            *self = Self::Down(const { Decoder::new() });
        }
        match self {
            Self::Down(decoder) => Some(decoder),
            Self::Up(_) => None,
        }
    }
}
