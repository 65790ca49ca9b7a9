//! The session's public methods. They check what the application gives, delegate, and note what is to be
//! woken.
//!
//! ```text
//!  connections.rs  connect, connected, peer, greeting, release, abort
//!  channels.rs     write, read, shutdown, send_datagram, recv_datagram, acked
//!  listeners.rs    listen, accept, unlisten
//!  exchanges.rs    poll_exchange, poll_body, handle_response, handle_finished, handle_failure,
//!                  poll_timeout, handle_timeout: for the owner of the transport
//!  life.rs         open, close, network_changed, stats, poll_event, poll_wake
//! ```

mod channels;
mod connections;
mod exchanges;
mod life;
mod listeners;

/// What a session says that was made for something else.
const NOT_MADE_FOR: &str = "this session was not made for that: see session::Purpose";
