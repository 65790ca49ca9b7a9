//! The two threads that carry exchanges.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::shared::Shared;
use crate::error::{Error, ResourceError};
use crate::session::{Exchange, Lane};
use crate::transport::{ExchangeFailure, Hooks, Request, Transport};

/// Stack of each of the client's two threads, in octets. Measured on x86-64: without optimization
/// an exchange takes up to 96 KiB of it, and with, up to 32 KiB, or 64 KiB for a TLS handshake.
pub const LANE_STACK: usize = 128 * 1024;

/// Starts the thread of a lane.
pub(super) fn start(
    shared: &Arc<Shared>,
    lane: Lane,
    transport: Box<dyn Transport>,
    hooks: &Hooks,
) -> Result<JoinHandle<()>, Error> {
    let name = match lane {
        Lane::Park => "byway-poll",
        Lane::Send => "byway-send",
    };
    shared.lock().running += 1;
    let runner = Runner { shared: Arc::clone(shared), lane };
    let thread = thread::Builder::new().name(name.into()).stack_size(LANE_STACK);
    hooks.spawn(thread, move || runner.run(transport)).map_err(|_| ResourceError::System.into())
}

struct Runner {
    shared: Arc<Shared>,
    lane: Lane,
}

impl Runner {
    fn run(&self, mut transport: Box<dyn Transport>) {
        let mut used = Instant::now();
        while let Some(exchange) = self.next() {
            if used.elapsed() > Duration::from_millis(exchange.idle_ms.into()) {
                self.shared.canceller(self.lane).disconnect();
            }
            let result = self.carry(&mut *transport, &exchange);
            self.finish(result);
            used = Instant::now();
        }
    }

    /// Waits for the next exchange; `None` when the session is over.
    fn next(&self) -> Option<Exchange> {
        let mut core = self.shared.lock();
        loop {
            if core.is_over() || core.stop {
                return None;
            }
            let (mut session, now) = core.session();
            if self.lane == Lane::Send {
                session.handle_timeout(now);
            }
            let next = session.poll_exchange(now, self.lane);
            let at = session.poll_timeout(self.lane);
            if next.is_some() {
                self.shared.canceller(self.lane).reset();
            }
            if self.lane == Lane::Send {
                core.send_looks_at = at;
            }
            let wakes = self.shared.drain(&mut core);
            if next.is_some() {
                drop(core);
                self.shared.notify(&wakes);
                return next;
            }
            self.shared.notify(&wakes);
            let left = at.map(|at| Duration::from_millis(at.saturating_sub(now).max(1)));
            core = self.shared.on_lane(self.lane).wait(core, left);
        }
    }

    /// Makes the exchange, with the lock held only to copy.
    fn carry(
        &self,
        transport: &mut dyn Transport,
        exchange: &Exchange,
    ) -> Result<(), ExchangeFailure> {
        let Exchange { seq, len, silence_ms, .. } = *exchange;
        let max_response = self.shared.call(|session, _| session.max_response());
        transport.exchange(
            &Request { seq, len, silence_ms, max_response },
            &mut |out| self.shared.call(|session, now| session.poll_body(now, self.lane, out)),
            &mut |bytes| {
                self.shared.call(|session, now| {
                    session.handle_response(now, self.lane, bytes)?;
                    Ok(session.is_answered(self.lane))
                })
            },
        )
    }

    fn finish(&self, result: Result<(), ExchangeFailure>) {
        self.shared.with(|core| match result {
            Ok(()) => {
                core.seen.clear();
                let (mut session, now) = core.session();
                if let Err(cause) = session.handle_finished(now, self.lane) {
                    log::debug!("{:?}: {cause}", self.lane);
                    self.shared.canceller(self.lane).disconnect();
                }
            }
            Err(failure) if failure.stale => {
                log::debug!("{:?}: the connection was closed as it was used again", self.lane);
                let (mut session, now) = core.session();
                session.break_exchange(now, self.lane);
            }
            Err(failure) => {
                log::debug!("{:?}: {}: {}", self.lane, failure.cause, failure.seen);
                core.seen = failure.seen;
                let (mut session, now) = core.session();
                session.handle_failure(now, self.lane, failure.cause, failure.sent);
            }
        });
    }
}

impl Drop for Runner {
    /// However the thread ends, nobody may wait for it.
    fn drop(&mut self) {
        self.shared.with(|core| {
            core.running -= 1;
            core.closed = true;
            core.stop = true;
            // Nothing more is wanted of the other lane.
            core.cancel();
        });
        self.shared.wake_all();
    }
}
