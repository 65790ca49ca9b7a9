//! The link below TLS.

use embedded_io::{Error, ErrorKind, Read, ReadReady, Write};

/// Octets of a record's head (RFC 8446 section 5.1); the last two are the length of the rest.
const HEAD: usize = 5;

/// A link that follows the records which come, so that it can tell when there is none.
pub struct Lower<L> {
    pub(crate) link: L,
    head: [u8; HEAD],
    have: usize,
    /// Octets of the record under way that did not come yet.
    left: usize,
    /// Whether to wait for a record that has not begun.
    pub(crate) waits: bool,
}

/// Why the link below TLS gave nothing.
#[derive(Debug)]
pub enum LowerError<E> {
    Link(E),
    /// No record has begun.
    Quiet,
}

/// The kind of [`LowerError::Quiet`], for which links have other names: it is nobody else's.
pub const QUIET: ErrorKind = ErrorKind::Interrupted;

impl<E: Error> Error for LowerError<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Link(error) => error.kind(),
            Self::Quiet => QUIET,
        }
    }
}

impl<E: Error> core::fmt::Display for LowerError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self, f)
    }
}

impl<E: Error> core::error::Error for LowerError<E> {}

impl<L> Lower<L> {
    /// Puts it around a link.
    pub fn new(link: L) -> Self {
        Self { link, head: [0; HEAD], have: 0, left: 0, waits: true }
    }

    /// A new connection begins.
    pub(crate) fn restart(&mut self) {
        (self.have, self.left, self.waits) = (0, 0, true);
    }

    fn note(&mut self, octets: &[u8]) {
        for octet in octets {
            if self.left > 0 {
                self.left -= 1;
                continue;
            }
            self.head[self.have] = *octet;
            self.have += 1;
            if self.have == HEAD {
                self.have = 0;
                self.left = usize::from(u16::from_be_bytes([self.head[3], self.head[4]]));
            }
        }
    }
}

impl<L: Read + ReadReady> Lower<L> {
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize, LowerError<L::Error>> {
        let is_between = self.have == 0 && self.left == 0;
        if is_between && !self.waits && !self.link.read_ready().map_err(LowerError::Link)? {
            return Err(LowerError::Quiet);
        }
        let n = self.link.read(out).map_err(LowerError::Link)?;
        self.note(&out[..n]);
        Ok(n)
    }
}

impl<L: Write> Lower<L> {
    pub(crate) fn write(&mut self, octets: &[u8]) -> Result<usize, LowerError<L::Error>> {
        self.link.write(octets).map_err(LowerError::Link)
    }

    pub(crate) fn flush(&mut self) -> Result<(), LowerError<L::Error>> {
        self.link.flush().map_err(LowerError::Link)
    }
}
