//! What byway's requests say in HTTP/1.1, and which responses are a relay's answers. Both are decided here
//! and nowhere else: for the client's transport over ureq, and for the device, which reads HTTP itself.
//!
//! ```text
//!  session ──▶ wire ──▶ http ──▶ transport: ureq, TLS, proxies  ──▶ relay
//!                           └──▶ device: a connection of any kind
//! ```
//!
//! - [`request`]: method, path and header fields of every request.
//! - [`refusal`]: whether a response is a relay's answer, going by its status and its header fields.
//! - [`detail`]: what a client with std finds out beyond that: when to ask again, what a proxy wants.
//! - [`head`] and [`body`]: the heads and bodies of responses, as the device reads them. ureq has its own.

pub(crate) mod body;
#[cfg(feature = "client")]
pub(crate) mod detail;
pub(crate) mod head;
pub(crate) mod refusal;
pub(crate) mod request;

/// Whether both are the same word: in any case of its letters, with blanks around it or without.
fn same(value: &[u8], word: &[u8]) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(word)
}
