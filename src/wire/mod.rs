//! The messages, their layout, and a codec that neither allocates nor panics.
//!
//! [`README.md`](https://docs.rs/crate/byway/latest/source/src/wire/README.md) beside this file is
//! the protocol's specification; this module is its image in code. Integers are big-endian.
//!
//! A body is a sequence of messages, each `type: u8, length: u24, payload`. [`Decoder`] takes a
//! body in pieces of any size, as they come from a socket: control messages come out whole, the
//! bytes of SEND_REQ and RECEIVE_RSP as they arrive. [`Message::encode`] writes one message.
//!
//! | file | what it decides |
//! |---|---|
//! | `layout.rs` | the table of the messages: type octets, the order of their fields, how long each is |
//! | `field.rs` | how a field is written and read |
//! | `message.rs` | the messages as types |
//! | `status.rs` | the status codes, and in which messages each may stand |
//! | `decoder.rs` | how a body is taken apart as it arrives |
//! | `codec.rs` | bounds-checked reading and writing of numbers |
//! | `endpoint.rs` | names and endpoints |

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
pub(crate) use layout::Role;
#[cfg(all(test, feature = "std"))]
pub(crate) use layout::kind;
pub use message::{
    Accept, Address, ChannelKind, ChannelRef, Close, Closed, Confirm, Connect, Data, DataFlags,
    End, Hello, HelloFlags, ListenReq, ListenRsp, Message, Proof, Route, Tick, Verdict, Welcome,
    Window,
};
pub use status::{Fault, Place, Status};

/// The protocol's version: the first octet of HELLO's and of WELCOME's payload, for ever.
pub const VERSION: u8 = 2;

/// The oldest version whose sessions a relay serves; they know neither encrypted channels nor the statuses
/// that came with these.
pub const OLDEST_VERSION: u8 = 1;

/// The octets behind the version in WELCOME's payload, which tell a relay's answer from a portal's
/// page.
pub const MAGIC: [u8; 3] = *b"byw";

/// Length of a message's header in octets: type (1) and length (3).
pub const HEADER_LEN: usize = 4;

/// Length of a data message before its bytes, in octets: header (4), offset (8), flags (1).
pub const DATA_HEADER_LEN: usize = Data::LEN;

/// Largest payload of a message in octets: the most that a length of 24 bits can say.
pub const MAX_MESSAGE: usize = 0xff_ffff;

/// Longest name of an endpoint in octets: long enough for most labels of host names, and short enough
/// that 16 claims fit any park.
pub const MAX_NAME: usize = 48;

/// What a key name begins with; its key follows, in 43 characters of base64url.
pub const KEY_NAME_PREFIX: &[u8; 2] = b"k.";

/// Longest greeting, which an application sends along with CONNECT_REQ or ACCEPT_RSP, in octets: room
/// for a handshake message with two keys and two tags.
pub const MAX_GREETING: usize = 96;

/// Longest message of a handshake in octets: two keys, two tags and a greeting. An end without encryption
/// hears none.
pub const MAX_HANDSHAKE: usize =
    if cfg!(feature = "secure") { 2 * 32 + 2 * 16 + 1 + MAX_GREETING } else { MAX_GREETING };

/// Largest datagram in octets, whatever the size of the rings: the relay holds a datagram until it is
/// whole.
pub const MAX_DATAGRAM: usize = 64 * 1024 - 1;

/// Largest control message with its header in octets: CONNECT_REQ with the longest name and greeting, or
/// ACCEPT_RSP with the longest message of a handshake.
pub const MAX_CONTROL: usize =
    if Connect::MAX_LEN > Accept::MAX_LEN { Connect::MAX_LEN } else { Accept::MAX_LEN };

/// Most claims (LISTEN_REQ) in one park: as many listeners as the largest profile has.
pub const MAX_CLAIMS: usize = 16;

/// Largest body of a park with SINGLE in octets. The relay keeps such a body whole before it acts on
/// it, so that two clients of one socket each never both wait for the other to read.
pub const MAX_SINGLE_BODY: usize = 32 * 1024;

/// How a body breaks the protocol. The sender of the body is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A message's length does not fit its type.
    #[error("message of type {kind:#04x} has an impossible length of {length}")]
    Length {
        /// The message's type octet.
        kind: u8,
        /// The length that the header gives, in octets.
        length: u32,
    },
    /// A field has a value that the protocol does not allow.
    #[error("message of type {kind:#04x} has a field out of range")]
    Field {
        /// The message's type octet.
        kind: u8,
    },
    /// This version does not know the message's type, and may not skip it.
    #[error("unknown message type {kind:#04x}")]
    Unknown {
        /// The message's type octet.
        kind: u8,
    },
    /// The message is known, but may not stand where it does.
    #[error("message of type {kind:#04x} may not stand here")]
    Order {
        /// The message's type octet.
        kind: u8,
    },
}
