//! The router and its clock, shared by all connections; with the relay's part in a cluster.

use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::admission::Grant;
use super::carrier::Carrier;
use super::cluster::{ClusterStats, Node, PipeId, Place, RelayId};
use super::router::{ExchangeId, Origin, ProofCheck, Router, RouterConfig};

/// How long a request waits for a relay to have the router: most moves of it take less. Its client waits for 4 s.
const WAIT_FOR_PLACE: Duration = Duration::from_millis(3_500);

/// The router and the tasks that wait for it. The lock is never held across an await.
pub(super) struct SharedRouter {
    state: Mutex<Guarded>,
    start: Instant,
    /// The router wants to be called earlier than the timer was set.
    earlier: Notify,
    /// The bus of the cluster has something to do.
    orders: Notify,
    /// Another relay has the router.
    placed: Notify,
    /// No exchange of another relay is left.
    idle: Condvar,
}

struct Guarded {
    router: Router,
    /// The part in a cluster.
    node: Option<Node>,
    wakers: FxHashMap<ExchangeRef, Waker>,
    /// When the timer will fire.
    armed: Option<u64>,
}

/// An exchange of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ExchangeRef {
    /// At this relay's router.
    Here(ExchangeId),
    /// At the router of another relay.
    There(PipeId),
}

impl ExchangeRef {
    pub fn number(self) -> u64 {
        match self {
            Self::Here(id) | Self::There(id) => id,
        }
    }
}

impl Guarded {
    fn carrier(&mut self, at: ExchangeRef) -> &mut dyn Carrier {
        match (at, &mut self.node) {
            (ExchangeRef::There(_), Some(node)) => node,
            (ExchangeRef::Here(_) | ExchangeRef::There(_), _) => &mut self.router,
        }
    }

    /// Where exchanges go that begin.
    fn place(&self, now: u64) -> Place {
        self.node.as_ref().map_or(Place::Here, |node| node.place(now))
    }

    fn poll_timeout(&self) -> Option<u64> {
        let node = self.node.as_ref().and_then(Node::poll_timeout);
        self.router.poll_timeout().into_iter().chain(node).min()
    }

    fn handle_timeout(&mut self, now: u64) {
        self.router.handle_timeout(now);
        if let Some(node) = &mut self.node {
            node.handle_timeout(now, &mut self.router);
        }
    }

    /// The tasks of exchanges that the router names; those of other relays' connections are served.
    fn woken(&mut self, now: u64) -> Vec<Waker> {
        let mut woken = Vec::new();
        while let Some(id) = self.router.poll_wake() {
            let node = self.node.as_mut();
            if !node.is_some_and(|node| node.serve(now, &mut self.router, id)) {
                woken.extend(self.wakers.remove(&ExchangeRef::Here(id)));
            }
        }
        if self.node.as_mut().is_some_and(Node::take_anew) {
            let here: Vec<_> = self
                .wakers
                .keys()
                .filter(|at| matches!(at, ExchangeRef::Here(_)))
                .copied()
                .collect();
            woken.extend(here.into_iter().filter_map(|at| self.wakers.remove(&at)));
        }
        while let Some(id) = self.node.as_mut().and_then(Node::poll_wake) {
            woken.extend(self.wakers.remove(&ExchangeRef::There(id)));
        }
        woken
    }
}

impl SharedRouter {
    /// The router of a relay; with a number, that of a relay in a cluster.
    pub fn new(config: RouterConfig, id: Option<RelayId>) -> Self {
        let state = Guarded {
            router: Router::new(config, 0),
            node: id.map(|id| Node::new(id, 0)),
            wakers: FxHashMap::default(),
            armed: None,
        };
        Self {
            state: Mutex::new(state),
            start: Instant::now(),
            earlier: Notify::new(),
            orders: Notify::new(),
            placed: Notify::new(),
            idle: Condvar::new(),
        }
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

    /// Waits until a relay has the router, for a request that was not opened; false if none has for long. At once, if there
    /// has been none for longer than a move takes.
    pub async fn is_placed(&self) -> bool {
        if !self.may_be_placed() {
            return false;
        }
        let placed = async {
            loop {
                let mut change = pin!(self.placed.notified());
                change.as_mut().enable();
                if self.place() != Place::Nowhere {
                    return;
                }
                change.await;
            }
        };
        tokio::time::timeout(WAIT_FOR_PLACE, placed).await.is_ok()
    }

    fn may_be_placed(&self) -> bool {
        let state = self.lock();
        state.node.as_ref().is_none_or(|node| node.is_placed(self.now()))
    }

    fn place(&self) -> Place {
        self.lock().place(self.now())
    }

    /// Opens an exchange for a request, where the router is. `None`: no relay has the router.
    pub fn open(
        &self,
        origin: &Origin,
        source: &Origin,
        is_full: bool,
        grant: Option<&Arc<Grant>>,
        token: impl FnOnce() -> Option<Bytes>,
    ) -> Option<ExchangeRef> {
        self.locked(|state, now| match (state.place(now), &mut state.node) {
            (Place::There(relay, term), Some(node)) => {
                let pipe = node.open_for(now, (relay, term), source, token(), is_full);
                Some(ExchangeRef::There(pipe))
            }
            (Place::Nowhere, _) => None,
            (Place::Here | Place::There(..), _) => {
                let id = state.router.handle_open_for(now, origin);
                if is_full {
                    state.router.refuse_strangers(id);
                }
                if let Some(grant) = grant {
                    state.router.confine(id, Arc::clone(grant));
                }
                Some(ExchangeRef::Here(id))
            }
        })
    }

    /// Calls what carries an exchange, for a task; unless the call is ready, the task is woken when there is news of
    /// the exchange.
    pub fn poll<T>(
        &self,
        at: ExchangeRef,
        cx: &mut Context<'_>,
        call: impl FnOnce(&mut dyn Carrier, u64) -> Poll<T>,
    ) -> Poll<T> {
        self.locked(|state, now| {
            let poll = call(state.carrier(at), now);
            if poll.is_pending() {
                let waker = state.wakers.entry(at).or_insert_with(|| cx.waker().clone());
                waker.clone_from(cx.waker());
            } else {
                state.wakers.remove(&at);
            }
            poll
        })
    }

    /// An exchange's connection is gone, or its response complete.
    pub fn gone(&self, at: ExchangeRef) {
        self.locked(|state, now| {
            match (at, &mut state.node) {
                (ExchangeRef::Here(id), _) => state.router.handle_gone(now, id),
                (ExchangeRef::There(id), Some(node)) => node.handle_gone(now, id),
                (ExchangeRef::There(_), None) => {}
            }
            state.wakers.remove(&at);
        });
    }

    /// The part in a cluster, for its bus.
    pub fn with_node<T>(&self, call: impl FnOnce(&mut Node, &mut Router, u64) -> T) -> Option<T> {
        let (result, moved) = self.locked(|state, now| {
            let before = state.place(now);
            let Guarded { node, router, .. } = state;
            let result = node.as_mut().map(|node| call(node, router, now));
            (result, state.place(now) != before)
        });
        if moved {
            self.placed.notify_waiters();
        }
        result
    }

    /// The counters of the part in a cluster; `None`: the relay is in none.
    pub fn cluster(&self) -> Option<ClusterStats> {
        let state = self.lock();
        state.node.as_ref().map(|node| node.stats(self.now()))
    }

    /// Waits until the bus of the cluster has something to do.
    #[cfg(feature = "cluster")]
    pub async fn ordered(&self) {
        self.orders.notified().await;
    }

    /// Blocks until no exchange of another relay is left, and what was said is with the bus; for this time at most.
    pub fn wait_idle(&self, most: Duration) {
        let state = self.lock();
        let is_busy = |state: &mut Guarded| state.node.as_ref().is_some_and(|node| !node.is_idle());
        // What the mutex holds does not matter here.
        drop(self.idle.wait_timeout_while(state, most, is_busy));
    }

    fn locked<T>(&self, call: impl FnOnce(&mut Guarded, u64) -> T) -> T {
        let mut state = self.lock();
        let now = self.now();
        let result = call(&mut state, now);
        let woken = state.woken(now);
        let proofs: Vec<_> = std::iter::from_fn(|| state.router.poll_proof()).collect();
        let due = state.poll_timeout();
        let earlier = due.is_some_and(|due| state.armed.is_none_or(|armed| due < armed));
        if earlier {
            state.armed = due;
        }
        let (has_orders, is_idle) =
            state.node.as_ref().map_or((false, false), |node| (node.has_orders(), node.is_idle()));
        drop(state);
        if earlier {
            self.earlier.notify_one();
        }
        if has_orders {
            self.orders.notify_one();
        }
        if is_idle {
            self.idle.notify_all();
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

    /// Does what is due; a holder's call may have been too long ago.
    fn time_is_up(&self) {
        self.locked(Guarded::handle_timeout);
        self.placed.notify_waiters();
    }

    /// Calls the router when it is due, unless the bus of the cluster does, whose thread outlives the workers; never
    /// ends.
    pub async fn keep_time(&self) {
        if self.lock().node.is_some() {
            std::future::pending::<()>().await;
        }
        self.run_timer().await;
    }

    /// Calls the router when it is due; never ends.
    pub async fn run_timer(&self) {
        loop {
            let (due, now) = {
                let mut state = self.lock();
                state.armed = state.poll_timeout();
                (state.armed, self.now())
            };
            match due {
                Some(due) if due <= now => self.time_is_up(),
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
