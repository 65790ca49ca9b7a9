//! The exchanges between a session and the router.

use bytes::Bytes;
use byway::relay::router::ExchangeId;
use byway::wire::{Decoder, Route};

/// An exchange under way.
pub struct Trip {
    pub id: ExchangeId,
    pub len: usize,
    pub silence: u64,
    pub last: u64,
    /// The octets taken from the session.
    pub body: Vec<u8>,
    /// The octets that the router did not take yet.
    pub offered: Bytes,
    pub told: bool,
    pub answered: bool,
    pub seen: Decoder,
    pub route: Route,
}

/// A request whose client does not get the answer.
pub struct Orphan {
    pub id: ExchangeId,
    pub offered: Bytes,
    pub whole: bool,
}
