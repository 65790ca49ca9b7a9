//! byway gives two devices that can only make outbound HTTP requests a socket between them.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "client")]
pub mod client;
pub mod error;
#[cfg(feature = "relay")]
pub mod relay;
pub mod session;
#[cfg(feature = "client")]
pub mod transport;
pub mod wire;

pub use error::Error;
pub use wire::{Address, Endpoint, EndpointError, Name};

/// What a channel carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A reliable stream of bytes.
    Stream = 0,
    /// Datagrams: each whole and at most once, or lost.
    Datagram = 1,
}

impl Kind {
    /// The kind with this code on the wire.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Stream),
            1 => Some(Self::Datagram),
            _ => None,
        }
    }
}
