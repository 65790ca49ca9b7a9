//! The router and its clock, shared by all connections.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::router::{ExchangeId, ProofCheck, Router, RouterConfig};

/// The router and the tasks that wait for it. The lock is never held across an await.
pub(super) struct SharedRouter {
    state: Mutex<Guarded>,
    start: Instant,
    /// The router wants to be called earlier than the timer was set.
    earlier: Notify,
}

struct Guarded {
    router: Router,
    wakers: FxHashMap<ExchangeId, Waker>,
    /// When the timer will fire.
    armed: Option<u64>,
}

impl SharedRouter {
    pub fn new(config: RouterConfig) -> Self {
        let router = Router::new(config, 0);
        let state = Guarded { router, wakers: FxHashMap::default(), armed: None };
        Self { state: Mutex::new(state), start: Instant::now(), earlier: Notify::new() }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    fn lock(&self) -> MutexGuard<'_, Guarded> {
        // The router does not panic; if it did, its state would still be soft.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the router, then wakes the tasks of the exchanges that it names.
    pub fn with<T>(&self, call: impl FnOnce(&mut Router, u64) -> T) -> T {
        self.locked(|state, now| call(&mut state.router, now))
    }

    /// Calls the router for a task; unless the call is ready, the task is woken when the router names its
    /// exchange.
    pub fn poll<T>(
        &self,
        id: ExchangeId,
        cx: &mut Context<'_>,
        call: impl FnOnce(&mut Router, u64) -> Poll<T>,
    ) -> Poll<T> {
        self.locked(|state, now| {
            let poll = call(&mut state.router, now);
            if poll.is_pending() {
                let waker = state.wakers.entry(id).or_insert_with(|| cx.waker().clone());
                waker.clone_from(cx.waker());
            } else {
                state.wakers.remove(&id);
            }
            poll
        })
    }

    /// An exchange's connection is gone, or its response complete.
    pub fn gone(&self, id: ExchangeId) {
        self.locked(|state, now| {
            state.router.handle_gone(now, id);
            state.wakers.remove(&id);
        });
    }

    fn locked<T>(&self, call: impl FnOnce(&mut Guarded, u64) -> T) -> T {
        let mut woken = Vec::new();
        let mut state = self.lock();
        let now = self.now();
        let result = call(&mut state, now);
        while let Some(id) = state.router.poll_wake() {
            woken.extend(state.wakers.remove(&id));
        }
        let proofs: Vec<_> = std::iter::from_fn(|| state.router.poll_proof()).collect();
        let due = state.router.poll_timeout();
        let earlier = due.is_some_and(|due| state.armed.is_none_or(|armed| due < armed));
        if earlier {
            state.armed = due;
        }
        drop(state);
        if earlier {
            self.earlier.notify_one();
        }
        woken.into_iter().for_each(Waker::wake);
        proofs.into_iter().for_each(|proof| self.check(proof));
        result
    }

    /// Checks a proof, without the lock.
    fn check(&self, proof: ProofCheck) {
        let checked = proof.run();
        self.with(|router, now| router.handle_proof(now, &checked));
    }

    /// Calls the router when it is due; never ends.
    pub async fn run_timer(&self) {
        loop {
            let (due, now) = {
                let mut state = self.lock();
                state.armed = state.router.poll_timeout();
                (state.armed, self.now())
            };
            match due {
                Some(due) if due <= now => self.with(|router, now| router.handle_timeout(now)),
                Some(due) => {
                    let wait = Duration::from_millis(due - now);
                    // Either way, look again.
                    let _ = tokio::time::timeout(wait, self.earlier.notified()).await;
                }
                None => self.earlier.notified().await,
            }
        }
    }
}
