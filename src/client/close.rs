//! How a client is closed, and what is left then.

use std::time::Duration;

use super::Client;
use super::channel::deadline;
use super::monitor::{ClientLife, ClientState};
use crate::session::ChannelId;

/// How long [`Client::close`] waits beyond its time-out, once for the client's last exchange and once
/// for its threads.
const LAST_WORD: Duration = Duration::from_millis(500);

/// What was not acknowledged when a client had to close.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", left(.unacked, *.unconfirmed))]
#[non_exhaustive]
pub struct CloseError {
    /// The channels, each with the first offset that its peer has not acknowledged.
    pub unacked: Vec<(ChannelId, u64)>,
    /// Number of streams that came and went whole, whose peers may not have the last acknowledgement.
    /// Those peers find this client gone, and may call that a failure.
    pub unconfirmed: usize,
}

/// The line of a [`CloseError`].
fn left(unacked: &[(ChannelId, u64)], unconfirmed: usize) -> String {
    match unacked.first() {
        Some((_, offset)) => format!(
            "closed with bytes unacknowledged on {} channels, the first at offset {offset}; allow more time",
            unacked.len(),
        ),
        None => format!(
            "closed before the peers of {unconfirmed} streams were known to have the last acknowledgement; allow more time",
        ),
    }
}

impl Client {
    /// Closes in order: listeners end, every thread that waits in a call is woken with
    /// [`Error::Closed`](crate::Error::Closed), and what was written is delivered. Blocks until the
    /// peers have acknowledged that, and until the peers of streams that ended lately have this side's
    /// acknowledgements, which takes 5 s at most; in all at most for `timeout` (`None`: for ever) and
    /// half a second. What is left then is aborted. A second close waits as well.
    ///
    /// # Errors
    /// Which channels had bytes unacknowledged, and how many peers may lack an acknowledgement.
    pub fn close(&self, timeout: impl Into<Option<Duration>>) -> Result<(), CloseError> {
        let monitor = &self.handle.monitor;
        monitor.with(|state| {
            state.end(ClientLife::Closing);
            let (mut session, now) = state.session();
            session.close(now);
        });
        monitor.wake_all();
        let closed = self.wait_closed(timeout.into());
        let (unacked, unconfirmed) = monitor.with(|state| {
            let (mut session, now) = state.session();
            let unacked: Vec<_> = session.unacked().collect();
            let unconfirmed = if closed { 0 } else { session.unconfirmed() };
            session.abort_all(now);
            (unacked, unconfirmed)
        });
        if !closed {
            self.wait_closed(Some(LAST_WORD));
        }
        monitor.with(|state| {
            state.end(ClientLife::Stopping);
            state.cancel();
        });
        monitor.wake_all();
        self.join_lanes();
        if unacked.is_empty() && unconfirmed == 0 {
            return Ok(());
        }
        let error = CloseError { unacked, unconfirmed };
        log::info!("{error}");
        Err(error)
    }

    /// Waits until the session has ended or its threads have; whether that was within `timeout`.
    fn wait_closed(&self, timeout: Option<Duration>) -> bool {
        self.wait_for(timeout, |state| state.running == 0 || state.is_over())
    }

    /// Waits for the end of the two threads, unless a hook of the program holds a thread up.
    fn join_lanes(&self) {
        if self.wait_for(Some(LAST_WORD), |state| state.running == 0) {
            for lane in std::mem::take(&mut *self.handle.lanes()) {
                // A thread that panicked has logged that.
                let _ = lane.join();
            }
        }
    }

    fn wait_for(&self, timeout: Option<Duration>, over: impl Fn(&mut ClientState) -> bool) -> bool {
        let monitor = &self.handle.monitor;
        let signal = monitor.on_session();
        let waited = monitor
            .wait_with(signal, signal, deadline(timeout), |state| Ok(over(state).then_some(())));
        matches!(waited, Ok(Some(())))
    }
}
