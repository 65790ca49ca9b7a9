//! The faults that a link reports, and for how long the device does not dial then.

use embedded_io::{Error, ErrorKind};

/// An error of a link, and what the link was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkFault<E> {
    /// The link dialled.
    Dial(E),
    /// The link wrote, or flushed.
    Write(E),
    /// The link read, or looked whether there is something to read.
    Read(E),
}

impl<E: Error> LinkFault<E> {
    /// The link's error.
    pub fn error(&self) -> &E {
        match self {
            Self::Dial(error) | Self::Write(error) | Self::Read(error) => error,
        }
    }

    /// The kind of the link's error.
    pub fn kind(&self) -> ErrorKind {
        self.error().kind()
    }
}

/// The first pause, in ms: as long as the longest of a session's own.
const FIRST_MS: u32 = 2_000;

/// How often the pause is doubled: up to 32 s. A TLS handshake in that time is little work and few octets,
/// and a certificate that has become good is soon found so.
const DOUBLINGS: u8 = 4;

/// The default of [`Link::pause_ms`](super::Link::pause_ms), in ms. A fault of kind `Other` passes by itself:
/// in embedded-io a network that is down or unreachable is of that kind, and a name that is not found.
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

/// The trouble with a link that reported a fault, and brought no whole answer since. A link that cannot
/// fail has none, and no code for it is built.
#[derive(Debug)]
pub(super) struct Trouble<E> {
    pub fault: LinkFault<E>,
    /// Faults in a row.
    pub times: u8,
    /// When the link may be dialled again, in ms; `None`: not before the network changes.
    pub again_at: Option<u64>,
}

impl<E> Trouble<E> {
    /// When to look again at the latest, in ms, while the link is not to be dialled.
    pub fn pauses(&self, now: u64) -> Option<u64> {
        let tick = now + TICK_MS;
        match self.again_at {
            Some(again_at) if again_at <= now => None,
            Some(again_at) => Some(tick.min(again_at)),
            None => Some(tick),
        }
    }
}
