//! The session: everything a client knows, and nothing of how it is carried.
//!
//! The session is sans-I/O: it has no clock, thread, allocation, lock or I/O. Its methods are of four
//! families: getters; mutators, which the application calls (`connect`, `write`, …); `handle_*`, which
//! take input (answers, failures, the time); `poll_*`, which give output (exchanges to make, the octets
//! of their bodies, deadlines, events, wakes). `now` is in milliseconds of a clock that never goes
//! back. After any call the owner drains [`Session::poll_wake`].
//!
//! ```text
//!  application ── write ─▶ transmit ring ── poll_exchange, poll_body ─▶ request
//!  application ◀─ read ─── receive ring  ◀─ handle_response ─────────── answer
//! ```
//!
//! An *exchange* is one HTTP request and its answer, and a *lane* makes one exchange after another: the
//! exchanges of [`Lane::Park`] (*parks*) wait at the relay until something comes for this session, those
//! of [`Lane::Send`] carry what this session says. The loop of a lane:
//! [`poll_exchange`](Session::poll_exchange) until it gives an exchange; carry its body up; hand the
//! answer down; finish the exchange or tell of its failure; again. The sending lane calls
//! [`handle_timeout`](Session::handle_timeout) first each time, since exchanges may leave it no pause.
//!
//! Every public method is in `api/`, and calls what is below it. The methods of [`Session`] go on in
//! files of `channel/`, `exchange/` and `path/`, beside the state that they change:
//!
//! ```text
//!  api/            the public methods: channels, connections, listeners, exchanges, life
//!   │
//!   ├─▶ exchange/  an exchange: planned, encoded, decoded, passed or failed
//!   │      ├─▶ channel/   a channel: its states, its two directions, probing, linger, set-up, end
//!   │      └─▶ path/      the path to the relay: its health, pauses, sizes of bodies, holds, gateways
//!   │
//!   ├─▶ timers.rs        every deadline: which is the soonest, and what happens when it is over
//!   ├─▶ acknowledge.rs   when an acknowledgement is sent while an answer stays open
//!   ├─▶ listener.rs      what a session claims of the relay
//!   └─▶ replies.rs       answers to messages that have no channel here
//!
//!  view.rs      Session: references to the memory that the owner gives, and where what lies in it
//!  state.rs     Core: what a session knows besides its channels and listeners; what is to be woken
//!  rings.rs     where the rings of channels lie, and how long each is; pool.rs: what they are lent
//!  storage.rs   that memory: its sizes (Profile), as one value or on the heap
//!  mode.rs      Full or Single, and Purpose: what is not compiled into a small device
//!  settings.rs  what a session is opened with: Settings, Pace, Timers; security.rs: keys
//!  terms.rs     Lane, Exchange, Wake, Event: the words between a session and its owner
//!  stats.rs     counters
//!  greeting.rs  what a listener answers to those who connect
//!  keys.rs      claims of key names, and what proves them
//!  ids.rs       handles of channels and listeners
//!  debts.rs     what the relay is still to be told of the session itself
//!  deadline.rs  a time that may be unset, all zeros then
//!  cipher.rs    XTEA, of which tokens and jitter are made
//! ```

mod acknowledge;
mod api;
mod channel;
mod cipher;
mod deadline;
mod debts;
mod exchange;
mod greeting;
mod ids;
#[cfg(feature = "secure")]
mod keys;
mod listener;
mod mode;
mod path;
mod pool;
mod replies;
mod rings;
#[cfg(feature = "secure")]
mod security;
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
#[cfg(feature = "secure")]
pub use security::Security;
pub use settings::{Pace, Settings, Timers};
pub use stats::{ChannelStats, Stats};
#[cfg(feature = "std")]
pub use storage::HeapStorage;
pub use storage::{Profile, Storage, StorageBytes};
pub use terms::{Event, Exchange, Half, Lane, Wake};
pub use view::Session;
