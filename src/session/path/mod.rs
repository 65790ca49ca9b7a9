//! What is known of the path to the relay, and of what stands on it. Each type learns from exchanges that
//! passed and failed, knows nothing of sessions, and answers one question:
//!
//! ```text
//!  health.rs        is the path there, and what stands in the way?
//!  backoff.rs       when may a lane ask again after exchanges that got it nowhere?
//!  rate.rs          how fast may exchanges follow each other?
//!  body_size.rs     how large may the body of a request be?
//!  hold.rs          how long may a park wait?
//!  stream_watch.rs  may an answer stay open, and does it come promptly?
//!  gateway.rs       may two exchanges be under way at once?
//!  doubt.rs         does the park under way wait on a path that is gone?
//!
//!  learn.rs         tells them of exchanges, and does what follows
//!  watch.rs         tells them of what comes of the park under way, and does what follows
//! ```

mod backoff;
mod body_size;
mod doubt;
mod gateway;
mod health;
mod hold;
mod learn;
mod rate;
mod stream_watch;
mod watch;

pub(super) use backoff::Backoff;
pub(super) use body_size::{BodySize, Company};
pub(super) use doubt::ParkDoubt;
pub(super) use gateway::Gateway;
pub(super) use health::Health;
pub(super) use hold::Hold;
pub(super) use rate::Rate;
pub(super) use stream_watch::StreamWatch;
