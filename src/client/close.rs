//! How a client is closed, and what was left then.

use std::time::Duration;

use super::Client;
use super::channel::deadline;
use super::shared::Core;
use crate::session::ChannelId;

/// How long [`Client::close`] waits beyond its time-out for its last word to reach the relay.
const LAST_WORD: Duration = Duration::from_millis(500);

/// What was not acknowledged when a client had to close.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", left(.unacked, *.unconfirmed))]
#[non_exhaustive]
pub struct CloseError {
    /// The channels, each with the first offset that its peer has not acknowledged.
    pub unacked: Vec<(ChannelId, u64)>,
    /// Streams that came and went whole, whose peers may not have heard that. They find out that
    /// this client is gone, and may call that a failure.
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
    /// [`Error::Closed`](crate::Error::Closed), and what was written is delivered. Blocks until peers have acknowledged
    /// that, and until those whose streams ended lately have the acknowledgements of this side, for
    /// which they get 5 s at most; in all at most for `timeout` and half a second. What is left then
    /// is aborted. A second close waits as well.
    ///
    /// # Errors
    /// Which channels had bytes unacknowledged, and how many peers may lack an acknowledgement.
    pub fn close(&self, timeout: impl Into<Option<Duration>>) -> Result<(), CloseError> {
        let shared = &self.handle.shared;
        shared.with(|core| {
            core.closed = true;
            let (mut session, now) = core.session();
            session.close(now);
        });
        shared.wake_all();
        let closed = self.wait_closed(timeout.into());
        let (unacked, unconfirmed) = shared.with(|core| {
            let (mut session, now) = core.session();
            // Those of channels that failed are known for good, those of others as far as they are.
            let unacked: Vec<_> = session.unacked().collect();
            let unconfirmed = if closed { 0 } else { session.unconfirmed() };
            session.abort_all(now);
            (unacked, unconfirmed)
        });
        if !closed {
            self.wait_closed(Some(LAST_WORD));
        }
        shared.with(|core| {
            core.stop = true;
            core.cancel();
        });
        shared.wake_all();
        self.join_lanes();
        if unacked.is_empty() && unconfirmed == 0 {
            return Ok(());
        }
        Err(CloseError { unacked, unconfirmed })
    }

    /// Whether the session ended within `timeout`, or else its threads.
    fn wait_closed(&self, timeout: Option<Duration>) -> bool {
        self.wait_for(timeout, |core| core.running == 0 || core.is_over())
    }

    /// Waits for the end of the two threads, unless a hook of the program holds one up.
    fn join_lanes(&self) {
        if self.wait_for(Some(LAST_WORD), |core| core.running == 0) {
            for lane in std::mem::take(&mut *self.handle.lanes()) {
                // How a thread ended, its runner has told.
                let _ = lane.join();
            }
        }
    }

    fn wait_for(&self, timeout: Option<Duration>, over: impl Fn(&mut Core) -> bool) -> bool {
        let shared = &self.handle.shared;
        let signal = shared.on_session();
        let waited = shared
            .wait_with(signal, signal, deadline(timeout), |core| Ok(over(core).then_some(())));
        matches!(waited, Ok(Some(())))
    }
}
