//! The messages: their layout, and a codec that neither allocates nor panics.
//!
//! [`README.md`](https://docs.rs/crate/byway/latest/source/src/wire/README.md) beside this file is
//! the protocol's specification; this module is its image in code. Integers are big-endian.
//!
//! A body is a sequence of messages, each `type: u8, length: u24, payload`. [`Decoder`] takes a
//! body in pieces of any size, as they come from a socket: control messages come out whole, the
//! bytes of SEND_REQ and RECEIVE_RSP as they arrive. [`Message::encode`] writes one message.

mod codec;
mod decoder;
mod endpoint;
mod field;
mod layout;
mod message;
mod status;
#[cfg(all(test, feature = "std"))]
mod tests;

pub use codec::{Reader, Writer};
pub use decoder::{Decoder, Piece};
pub use endpoint::{Endpoint, EndpointError, Name};
pub use message::{
    Accept, Address, Channel, Close, Closed, Connect, Data, DataFlags, End, Hello, HelloFlags,
    ListenReq, ListenRsp, Message, Route, Tick, Verdict, Welcome, Window,
};
pub use status::{Fault, Place, Status};

/// Protocol version spoken here: the first byte of HELLO and of WELCOME, for ever.
pub const VERSION: u8 = 1;

/// First bytes of every WELCOME payload after the version: tells a relay's answer from a portal's page.
pub const MAGIC: [u8; 3] = *b"byw";

/// Octets of a message's header: type (1) and length (3).
pub const HEADER_LEN: usize = 4;

/// Octets of a data message before its bytes: header (4), offset (8), flags (1).
pub const DATA_HEADER_LEN: usize = Data::LEN;

/// Largest payload of a message, in octets: what fits the 24-bit length.
pub const MAX_MESSAGE: usize = 0xff_ffff;

/// Longest name of an endpoint, in octets: a host name's label and a bit, and small enough that 16
/// claims fit any park.
pub const MAX_NAME: usize = 48;

/// Most octets an application may send along with CONNECT_REQ or ACCEPT_RSP: room for a handshake
/// message with two keys and two tags.
pub const MAX_GREETING: usize = 96;

/// Largest datagram in octets, whatever the rings: the relay holds a datagram until it is whole.
pub const MAX_DATAGRAM: usize = 64 * 1024 - 1;

/// Largest control message with its header, in octets: CONNECT_REQ with the longest name and greeting.
pub const MAX_CONTROL: usize = Connect::MAX_LEN;

/// Most claims (LISTEN_REQ) in a park.
pub const MAX_CLAIMS: usize = 16;

/// Largest body of a park with SINGLE, in octets: the relay keeps it whole before it deals with it,
/// so that no two clients of one socket each stand writing to the other.
pub const MAX_SINGLE_BODY: usize = 32 * 1024;

/// What is wrong with a body; whose fault it is depends on who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A message's length does not fit its type.
    #[error("message of type {kind:#04x} has an impossible length of {length}")]
    Length {
        /// Type octet of the message.
        kind: u8,
        /// Length it claimed, in octets.
        length: u32,
    },
    /// A field has a value that its type does not allow.
    #[error("message of type {kind:#04x} has a field out of range")]
    Field {
        /// Type octet of the message.
        kind: u8,
    },
    /// A type that this version does not know and may not skip.
    #[error("unknown message type {kind:#04x}")]
    Unknown {
        /// Type octet of the message.
        kind: u8,
    },
    /// A known message where it may not stand.
    #[error("message of type {kind:#04x} may not stand here")]
    Order {
        /// Type octet of the message.
        kind: u8,
    },
}
