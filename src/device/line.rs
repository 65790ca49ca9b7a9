//! The states of a device's connection, and what is known of it.

use crate::http::body::BodyReader;

/// The connection of a device, and how far the exchange on it is.
///
/// ```text
///        begin              next poll         first octets        head whole
///  Down ──┬────▶ Requested ──────────▶ Waiting ───────────▶ Head ───────────▶ Body
///   ▲     │                                                                    │
///   │   Idle ◀── the answer is whole, and the connection serves another ───────┤
///   │                                                                          │
///   └─── the answer is whole, and was the connection's last ◀──────────────────┘
///   └─── from every other state: a failure, silence, another network, or the device hangs up to speak
/// ```
#[derive(Debug)]
pub(super) enum Line {
    /// There is no connection.
    Down,
    /// The connection waits for an exchange.
    Idle,
    /// A request went out within the last call of `poll`. `reused`: the connection had served before.
    Requested { reused: bool },
    /// Nothing of the answer came. `since`: when the request began to go out, in ms.
    Waiting { reused: bool, since: u64 },
    /// A head comes: octets of the buffer up to `end`, from `start` on, where interim ones end.
    Head { start: usize, end: usize },
    /// The body comes. `keep`: the connection serves another exchange then.
    Body { body: BodyReader, keep: bool },
}

impl Line {
    /// Whether an exchange is under way.
    pub fn is_busy(&self) -> bool {
        !matches!(self, Self::Down | Self::Idle)
    }
}

/// How much of the next request is out while one waits. Its first octets behind that one are the sign by
/// which the relay answers (pipelining, RFC 9112 section 9.3.2).
///
/// ```text
///            has to say               first octets of the answer
///  Unsent ──────────────▶ Unanswered ──────────────────────────▶ Begun
///    ▲                        │ late: hangs up                     │
///    └── the next request goes out, or the connection is dialled ◀─┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextRequest {
    /// None of it is out.
    Unsent,
    /// Its first octets are out, and the answer that they ask for is due at `by`, in ms.
    Unanswered { by: u64 },
    /// Its first octets are out, and no answer is late.
    Begun,
}

/// Whether octets behind a request that waits reach the relay.
///
/// ```text
///            no answer in time           no answer in time
///  Passes ────────────────────▶ Doubted ──────────────────▶ HeldBack
///    ▲                            │
///    └──── an answer in time ─────┘        another network: as at first
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pipelining {
    /// They do, for all that is known.
    Passes,
    /// They brought no answer in time, once: this may have been a busy moment.
    Doubted,
    /// They do not: a proxy holds them back.
    HeldBack,
}

impl Pipelining {
    /// What is assumed at first of a way by a proxy or without.
    pub const fn assumed(by_proxy: bool) -> Self {
        if by_proxy { Self::HeldBack } else { Self::Passes }
    }
}
