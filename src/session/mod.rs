//! The session: everything a client knows, and nothing of how it is carried.
//!
//! It is sans-I/O: no clock, thread, allocation, lock or I/O. Four families of methods:
//! getters; mutators, which the application calls (`connect`, `write`, …); `handle_*`, which take
//! input (answers, failures, the time); `poll_*`, which give output (exchanges to make, the octets
//! of their bodies, deadlines, events, whom to wake). `now` is in milliseconds of a clock that
//! never goes back. After any call the owner drains [`Session::poll_wake`].
//!
//! ```text
//!  application ── write ─▶ transmit ring ── poll_exchange, poll_body ─▶ request
//!  application ◀─ read ─── receive ring  ◀─ handle_response ─────────── answer
//! ```
//!
//! The loop of a lane: [`poll_exchange`](Session::poll_exchange) until it gives an exchange; carry
//! its body up; hand the answer down; finish it or tell of its failure; again. The sending lane asks
//! [`handle_timeout`](Session::handle_timeout) first each time: exchanges may leave it no pause. The
//! [`Lane::Park`] exchanges wait at the relay for what comes, the [`Lane::Send`] ones carry what goes.

mod acknowledge;
mod api;
mod channel;
mod cipher;
mod deadline;
mod exchange;
mod greeting;
mod ids;
mod listener;
mod mode;
mod path;
mod replies;
mod settings;
mod state;
mod stats;
mod storage;
mod terms;
#[cfg(all(test, feature = "std"))]
mod tests;
mod timers;
mod view;

pub use ids::{ChannelId, ListenerId};
pub use mode::{Anything, Full, Mode, Purpose, Single};
pub use settings::{Pace, Settings, Timers};
pub use stats::{ChannelStats, Stats};
#[cfg(feature = "std")]
pub use storage::HeapStorage;
pub use storage::{Profile, Storage, StorageBytes};
pub use terms::{Event, Exchange, Half, Lane, Wake};
pub use view::Session;
