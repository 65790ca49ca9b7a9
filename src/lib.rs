//! byway gives two devices that can only make outbound HTTP requests a socket between them. Both
//! dial a relay: the bytes of the sender go up in an HTTP request, and come down to the receiver in an
//! HTTP response.
//!
//! The modules are the way of a byte, from an application to its peer's:
//!
//! ```text
//!  app ──▶ client ──▶ session ──▶ wire ──▶ transport ──▶ relay ──▶ the other peer's client
//!         blocking    rings,      mes-     http; ureq:   an HTTP server
//!         sockets,    channels,   sages    TCP, TLS,     in front of
//!         2 threads   timers               proxies       a router
//!         (std)       (no_std, no alloc)   (std)         (std)
//!
//!  firmware ────────▶ session ──▶ wire ──▶ device: http over one connection ──▶ relay …
//!                     (no_std, no alloc, no threads, all three)
//!
//!  C program ──▶ capi ──▶ client …         the byway command ──▶ client, relay
//! ```
//!
//! - [`client`]: listen, accept, connect, send, receive, close, as with TCP sockets. Begin here.
//! - `capi`: the client as a C library. Its reference is `src/capi/byway.h`.
//! - [`session`]: the state machine; sans-I/O, in memory of fixed size that its owner gives.
//! - [`wire`]: the messages. Their specification is `src/wire/README.md`.
//! - `http`: what requests say in HTTP, and which responses are a relay's answers; for the two below.
//! - [`device`]: the front for firmware, over any connection that `embedded-io` describes.
//! - `secure`: the keys of peers, and the names that these keys are.
//! - [`transport`]: carries one HTTP exchange after another.
//! - [`relay`]: the server between the peers, to embed or to run by the `byway` command.
//!
//! Features: `client`, `tls`, `relay`, `relay-tls` and `cli`, which brings `cluster`, are on by default, `capi` is not. Without the
//! default features the crate is `session`, `wire` and `device`, and needs neither std nor an allocator; the
//! feature `secure`, which `client` and `relay` bring, adds encryption, keys and key names to it. With
//! the feature `log`, which all that need std bring, these tell what they decide by the crate `log`.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "capi")]
pub mod capi;
#[cfg(feature = "client")]
pub mod client;
pub mod device;
pub mod error;
mod http;
#[cfg(any(feature = "client", feature = "relay-tls"))]
mod pin;
#[cfg(feature = "relay")]
pub mod relay;
#[cfg(feature = "secure")]
pub mod secure;
pub mod session;
mod trace;
#[cfg(feature = "client")]
pub mod transport;
pub mod wire;

pub use error::Error;
#[cfg(any(feature = "client", feature = "relay-tls"))]
pub use pin::KeyPin;
pub use wire::{Address, Endpoint, EndpointError, Name};

/// The kind of data that a channel carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The channel carries a reliable stream of bytes.
    Stream = 0,
    /// The channel carries datagrams, each whole and at most once; a datagram may be lost.
    Datagram = 1,
}

impl Kind {
    /// Gives the kind of a code on the wire; `None` if no kind has it.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Stream),
            1 => Some(Self::Datagram),
            _ => None,
        }
    }
}

/// The README, whose examples the documentation tests compile.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
