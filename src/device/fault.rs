//! What a link reports, and how long it is left alone then.

use embedded_io::{Error, ErrorKind};

/// An error of a link, and what the device had it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkFault<E> {
    /// It dialled.
    Dial(E),
    /// It wrote, or flushed.
    Write(E),
    /// It read, or looked whether there is something to read.
    Read(E),
}

impl<E: Error> LinkFault<E> {
    /// The link's error.
    pub fn error(&self) -> &E {
        match self {
            Self::Dial(error) | Self::Write(error) | Self::Read(error) => error,
        }
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.error().kind()
    }
}

/// The first pause, in ms: as long as the longest of a session's own.
const FIRST_MS: u32 = 2_000;

/// How often it is doubled: up to 32 s. A TLS handshake in that time is little work and few octets, and a
/// certificate that is good again is soon found so.
const DOUBLINGS: u8 = 4;

/// See [`Link::pause_ms`](super::Link::pause_ms). `Other` passes: a network that is down or unreachable and
/// a name that is not found are that in embedded-io.
pub(super) fn pause_ms(kind: ErrorKind, times: u8) -> u32 {
    let stays = matches!(
        kind,
        ErrorKind::InvalidData
            | ErrorKind::InvalidInput
            | ErrorKind::PermissionDenied
            | ErrorKind::Unsupported
    );
    if !stays || times < 2 { 0 } else { FIRST_MS << (times - 2).min(DOUBLINGS) }
}

/// How long [`Device::poll`](super::Device::poll) may stay away while nothing is dialled, in ms: the
/// session has other deadlines.
const TICK_MS: u64 = 1_000;

/// A link that reported something, and brought no whole answer since. Of a link that cannot fail there is
/// none, and no code for it.
#[derive(Debug)]
pub(super) struct Trouble<E> {
    pub fault: LinkFault<E>,
    /// Faults in a row.
    pub times: u8,
    /// When the next may be dialled; `None`: not before the network changes.
    pub again_at: Option<u64>,
}

impl<E> Trouble<E> {
    /// By when to look again, while nothing is to be dialled.
    pub fn pauses(&self, now: u64) -> Option<u64> {
        let tick = now + TICK_MS;
        match self.again_at {
            Some(again_at) if again_at <= now => None,
            Some(again_at) => Some(tick.min(again_at)),
            None => Some(tick),
        }
    }
}
