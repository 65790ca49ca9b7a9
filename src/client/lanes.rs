//! The two threads that carry exchanges.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::monitor::{ClientLife, Monitor};
use crate::error::{Error, ResourceError};
use crate::session::{Exchange, Lane};
use crate::transport::{ExchangeFailure, Hooks, Request, Transport};

/// Stack of each of the client's two threads, in octets. On x86-64 an exchange was measured to take up
/// to 96 KiB of it without optimization; with optimization 32 KiB, or 64 KiB for a TLS handshake.
pub const LANE_STACK: usize = 128 * 1024;

/// Starts the thread of a lane.
pub(super) fn start(
    monitor: &Arc<Monitor>,
    lane: Lane,
    transport: Box<dyn Transport>,
    hooks: &Hooks,
) -> Result<JoinHandle<()>, Error> {
    let name = match lane {
        Lane::Park => "byway-poll",
        Lane::Send => "byway-send",
    };
    monitor.lock().running += 1;
    let runner = Runner { monitor: Arc::clone(monitor), lane };
    let thread = thread::Builder::new().name(name.into()).stack_size(LANE_STACK);
    hooks.spawn(thread, move || runner.run(transport)).map_err(|_| ResourceError::System.into())
}

/// The thread of one lane: makes the session's exchanges, one after the other.
struct Runner {
    monitor: Arc<Monitor>,
    lane: Lane,
}

impl Runner {
    fn run(&self, mut transport: Box<dyn Transport>) {
        let mut used = Instant::now();
        while let Some(exchange) = self.next() {
            if used.elapsed() > Duration::from_millis(exchange.idle_ms.into()) {
                self.monitor.canceller(self.lane).disconnect();
            }
            let began = Instant::now();
            let result = self.carry(&mut *transport, &exchange);
            used = Instant::now();
            self.finish(exchange.seq, used - began, result);
        }
    }

    /// Waits until the session has an exchange to make; `None` when there will be none any more.
    fn next(&self) -> Option<Exchange> {
        let mut state = self.monitor.lock();
        loop {
            if state.is_over() || state.is_stopping() {
                return None;
            }
            let (mut session, now) = state.session();
            if self.lane == Lane::Send {
                session.handle_timeout(now);
            }
            let next = session.poll_exchange(now, self.lane);
            let at = session.poll_timeout(self.lane);
            if next.is_some() {
                self.monitor.canceller(self.lane).reset();
            }
            if self.lane == Lane::Send {
                state.send_looks_at = at;
            }
            let notices = self.monitor.drain(&mut state);
            if next.is_some() {
                drop(state);
                self.monitor.notify(&notices);
                return next;
            }
            self.monitor.notify(&notices);
            let left = at.map(|at| Duration::from_millis(at.saturating_sub(now).max(1)));
            state = self.monitor.on_lane(self.lane).wait(state, left);
        }
    }

    /// Makes an exchange. The lock is held only to copy octets.
    fn carry(
        &self,
        transport: &mut dyn Transport,
        exchange: &Exchange,
    ) -> Result<(), ExchangeFailure> {
        let Exchange { seq, len, silence_ms, .. } = *exchange;
        let max_response = self.monitor.call(|session, _| session.max_response());
        transport.exchange(
            &Request { seq, len, silence_ms, max_response },
            &mut |out| self.monitor.call(|session, now| session.poll_body(now, self.lane, out)),
            &mut |bytes| {
                self.monitor.call(|session, now| {
                    session.handle_response(now, self.lane, bytes)?;
                    Ok(session.is_answered(self.lane))
                })
            },
        )
    }

    /// Tells the session and the log how exchange `seq` ended, after `took`.
    fn finish(&self, seq: u64, took: Duration, result: Result<(), ExchangeFailure>) {
        let lane = self.lane;
        self.monitor.with(|state| match result {
            Ok(()) => {
                state.seen.clear();
                let (mut session, now) = state.session();
                match session.handle_finished(now, lane) {
                    Ok(_) => log::trace!("{lane:?} {seq}: answered after {took:.1?}"),
                    Err(cause) => {
                        log::debug!("{lane:?} {seq}: ended after {took:.1?}: {cause}");
                        self.monitor.canceller(lane).disconnect();
                    }
                }
            }
            Err(failure) if failure.stale => {
                log::debug!("{lane:?} {seq}: to be made anew at once: {}", failure.cause);
                let (mut session, now) = state.session();
                session.break_exchange(now, lane);
            }
            Err(failure) => {
                let ExchangeFailure { cause, seen, .. } = &failure;
                log::debug!("{lane:?} {seq}: failed after {took:.1?}: {cause}: {seen}");
                state.seen = failure.seen;
                let (mut session, now) = state.session();
                session.handle_failure(now, lane, failure.cause, failure.sent);
            }
        });
    }
}

impl Drop for Runner {
    /// However the thread ends, the threads of the program must not wait for it.
    fn drop(&mut self) {
        self.monitor.with(|state| {
            state.running -= 1;
            state.end(ClientLife::Stopping);
            // A client with one lane carries nothing: the other is to end, too.
            state.cancel();
        });
        self.monitor.wake_all();
    }
}
