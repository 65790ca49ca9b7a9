//! The C interface. Its functions are documented where C programmers read, in `byway.h`, which
//! cbindgen writes from here; README.md beside it tells how the libraries are built.
//!
//! Every function is a thin layer: it checks pointers, lengths and handles, calls [`client`], and
//! turns the result into a code, all within `guard::entry`.
//!
//! [`client`]: crate::client
// The names are C's. What a caller owes is in the comment of each function and in the header's first
// comment, without a heading that C programmers do not know.
#![allow(unsafe_code, non_camel_case_types, clippy::missing_safety_doc)]

mod args;
mod callback;
mod channel;
mod client;
mod config;
mod datagram;
mod error;
mod event;
mod guard;
mod handle;
mod hooks;
mod identity;
mod key;
mod last;
mod library;
mod listener;
mod log;
mod object;
mod ready;
mod settings;
mod stats;
mod stream;
#[cfg(all(test, feature = "relay"))]
mod tests;

pub use channel::*;
pub use client::*;
pub use config::*;
pub use datagram::*;
pub use error::*;
pub use event::*;
pub use handle::byway_handle;
pub use hooks::*;
pub use identity::*;
pub use key::*;
pub use library::*;
pub use listener::*;
pub use log::*;
pub use ready::*;
pub use stats::*;
pub use stream::*;
