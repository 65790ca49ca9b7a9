//! The places for connections: which connections the relay serves, and which give way.
//!
//! A connection *waits* until the HELLO of a request is there, and again once the request is answered;
//! between the two it is *served*. For a new connection the relay closes the connection that waits
//! longest, if need be, so that neither idle connections nor half requests keep a client out. The last
//! eighth of the places is for sessions that the router knows: these go on, new sessions are refused.
//! The same holds for the connections of an address beyond its share.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tracing::{info, warn};

use super::connection::Connection;
use super::proxies::TrustedProxies;
use super::router::network;
use super::traffic::Traffic;

/// The share of places that only sessions known to the router take: this is its denominator. Beside its
/// park a session has a send now and then, for tens of milliseconds.
const RESERVE: usize = 8;

/// Connections that are being refused at once: each has a file descriptor for at most a second.
pub(super) const REFUSING: usize = 64;

/// Connections that gave way and are not closed yet, beyond which none is accepted for a while: each has a file
/// descriptor until its task had its turn, which takes long where many connections come at once.
pub(super) const LEAVING: usize = 32;

/// A refusal so long after the last refusal begins a new episode, of which the log tells.
pub(super) const EPISODE: Duration = Duration::from_secs(60);

/// Counters of a relay's connections, from its start unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionStats {
    /// Connections open now.
    pub open: usize,
    /// Connections among them with a request under way whose HELLO was read.
    pub served: usize,
    /// Requests and connections refused because the relay was full.
    pub refused: u64,
    /// Connections without a request under way that were closed to make room for others.
    pub evicted: u64,
    /// Connections of trusted proxies that did not begin with the header that they were to send.
    pub headless: u64,
}

/// The most of everything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections.
    pub connections: usize,
    /// Connections of an address, this machine's own excepted.
    pub per_address: usize,
}

/// Names a connection; never used again.
pub(super) type ConnectionId = u64;

/// All connections.
pub(super) struct ConnectionPlaces {
    limits: Limits,
    /// Their connections are those of many clients.
    proxies: TrustedProxies,
    table: Mutex<PlaceTable>,
    /// What the connections carry.
    pub traffic: Traffic,
    /// Whether connections are closed behind their next answer.
    closing: AtomicBool,
    refusing: Arc<Semaphore>,
    /// A connection that gave way is closed.
    left: Notify,
    /// The last connection ended: for tasks, and for threads.
    empty: Notify,
    emptied: Condvar,
}

#[derive(Default)]
struct PlaceTable {
    next: u64,
    entries: FxHashMap<ConnectionId, TakenPlace>,
    served: usize,
    /// Connections that gave way and are not closed yet. They are not among the entries.
    leaving: usize,
    /// The connections that wait, the longest first.
    waiting: BTreeMap<u64, ConnectionId>,
    sources: FxHashMap<IpAddr, AddressShare>,
    refused: u64,
    evicted: u64,
    refused_last: Option<Instant>,
    headless: u64,
    headless_last: Option<Instant>,
}

struct TakenPlace {
    source: IpAddr,
    /// Whether its address has no share.
    is_exempt: bool,
    standing: Standing,
    leave: Arc<Notify>,
}

enum Standing {
    /// Nothing is under way, since this number.
    Waiting(u64),
    Served,
}

/// The connections of an address.
#[derive(Default)]
struct AddressShare {
    open: usize,
    /// The numbers since when connections wait.
    waiting: BTreeSet<u64>,
}

impl ConnectionPlaces {
    #[cfg(test)]
    pub fn new(limits: Limits) -> Self {
        Self::behind(limits, TrustedProxies::default())
    }

    /// No connection, where these proxies stand before the relay.
    pub fn behind(limits: Limits, proxies: TrustedProxies) -> Self {
        Self {
            limits,
            proxies,
            table: Mutex::default(),
            traffic: Traffic::default(),
            closing: AtomicBool::new(false),
            refusing: Arc::new(Semaphore::new(REFUSING)),
            left: Notify::new(),
            empty: Notify::new(),
            emptied: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, PlaceTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from `peer`; `None` if a request is under way on all of them.
    pub fn take(self: &Arc<Self>, peer: SocketAddr) -> Option<Connection> {
        let source = network(peer.ip());
        let is_exempt = source.is_loopback() || self.proxies.contains(peer.ip());
        let mut table = self.lock();
        let open = table.sources.get(&source).map_or(0, |own| own.open);
        if !is_exempt && open >= self.limits.per_address {
            let longest = table.sources.get(&source).and_then(|own| own.waiting.first().copied());
            table.evict(longest);
        }
        if table.entries.len() >= self.limits.connections {
            let longest = table.waiting.first_key_value().map(|(&since, _)| since);
            table.evict(longest);
        }
        // Sessions that are known may go beyond their address's share, but not for ever.
        let open = table.sources.get(&source).map_or(0, |own| own.open);
        let beyond = !is_exempt && open >= 2 * self.limits.per_address;
        if beyond || table.entries.len() >= self.limits.connections {
            self.note_refusal(&mut table);
            return None;
        }
        let id = table.number();
        let leave = Arc::new(Notify::new());
        let entry =
            TakenPlace { source, is_exempt, standing: Standing::Served, leave: Arc::clone(&leave) };
        table.entries.insert(id, entry);
        table.served += 1;
        table.sources.entry(source).or_default().open += 1;
        table.rest(id);
        self.traffic.connected();
        Some(Connection::new(Arc::clone(self), id, peer.ip(), leave))
    }

    /// Closes the connection that waits longest: the system has no more file descriptors.
    pub fn make_room(&self) {
        let mut table = self.lock();
        let longest = table.waiting.first_key_value().map(|(&since, _)| since);
        table.evict(longest);
    }

    /// Whether a session that the router does not know may be served on this connection.
    pub fn is_open_to_all(&self, id: ConnectionId) -> bool {
        let table = self.lock();
        let Some(entry) = table.entries.get(&id) else { return false };
        let own = table.sources.get(&entry.source).map_or(0, |own| own.open);
        let most = self.limits.connections - self.limits.connections / RESERVE;
        table.served < most && (entry.is_exempt || own <= self.limits.per_address)
    }

    /// A proxy tells that the connection comes from another address; false if there are too many from there.
    pub fn recount(&self, id: ConnectionId, address: &IpAddr) -> bool {
        let source = network(*address);
        let mut table = self.lock();
        let open = |table: &PlaceTable| table.sources.get(&source).map_or(0, |own| own.open);
        if open(&table) >= self.limits.per_address {
            let longest = table.sources.get(&source).and_then(|own| own.waiting.first().copied());
            table.evict(longest);
        }
        if open(&table) >= 2 * self.limits.per_address {
            self.note_refusal(&mut table);
            return false;
        }
        table.move_to(id, source);
        true
    }

    /// A trusted proxy did not send its header.
    pub fn note_headless(&self, proxy: IpAddr, error: &io::Error) {
        let mut table = self.lock();
        table.headless += 1;
        let last = table.headless_last.replace(Instant::now());
        if last.is_none_or(|last| last.elapsed() > EPISODE) {
            warn!(%proxy, %error, "connections of a trusted proxy begin without a header of the PROXY protocol, and are refused: have it send one, or leave --proxy-protocol out");
        }
    }

    /// A request is under way.
    pub fn serve(&self, id: ConnectionId) {
        let mut table = self.lock();
        let table = &mut *table;
        let Some(entry) = table.entries.get_mut(&id) else { return };
        if let Standing::Waiting(since) = entry.standing {
            entry.standing = Standing::Served;
            table.served += 1;
            table.waiting.remove(&since);
            if let Some(own) = table.sources.get_mut(&entry.source) {
                own.waiting.remove(&since);
            }
        }
    }

    /// No request is under way.
    pub fn rest(&self, id: ConnectionId) {
        self.lock().rest(id);
    }

    /// The connection is gone.
    pub fn leave(&self, id: ConnectionId) {
        let mut table = self.lock();
        if table.remove(id).is_none() {
            table.leaving -= 1;
            self.left.notify_waiters();
        }
        if table.entries.is_empty() {
            self.empty.notify_waiters();
            self.emptied.notify_all();
        }
    }

    /// A newcomer's request was refused.
    pub fn refused(&self) {
        self.note_refusal(&mut self.lock());
    }

    /// The right to refuse a connection at leisure, while not too many are.
    pub fn refuse(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.refusing).try_acquire_owned().ok()
    }

    fn note_refusal(&self, table: &mut PlaceTable) {
        table.refused += 1;
        let last = table.refused_last.replace(Instant::now());
        if last.is_none_or(|last| last.elapsed() > EPISODE) {
            let Limits { connections, per_address } = self.limits;
            let (open, served) = (table.entries.len(), table.served);
            warn!(
                open,
                served,
                connections,
                per_address,
                "full: new clients are answered 503; raise --max-connections or --max-connections-per-address, or use another relay too"
            );
        } else if table.refused.is_power_of_two() {
            info!(refused = table.refused, "still full");
        }
    }

    /// Until few connections that gave way are left to be closed.
    pub async fn wait_left(&self) {
        loop {
            let left = self.left.notified();
            if self.lock().leaving < LEAVING {
                return;
            }
            left.await;
        }
    }

    /// Until there is no connection.
    pub async fn wait_empty(&self) {
        loop {
            let empty = self.empty.notified();
            if self.lock().entries.is_empty() {
                return;
            }
            empty.await;
        }
    }

    /// Has each connection closed behind its next answer, which says so.
    pub fn close_behind_answers(&self) {
        self.closing.store(true, Relaxed);
    }

    /// Whether connections are closed behind their next answer.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Relaxed)
    }

    /// Blocks until there is no connection, at most for `most`.
    pub fn wait_empty_for(&self, most: Duration) {
        let is_taken = |table: &mut PlaceTable| !table.entries.is_empty();
        // A thread that panicked leaves the table as it was.
        let _ = self.emptied.wait_timeout_while(self.lock(), most, is_taken);
    }

    pub fn stats(&self) -> ConnectionStats {
        let table = self.lock();
        ConnectionStats {
            open: table.entries.len(),
            served: table.served,
            refused: table.refused,
            evicted: table.evicted,
            headless: table.headless,
        }
    }
}

impl PlaceTable {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn rest(&mut self, id: ConnectionId) {
        let since = self.number();
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let Standing::Served = entry.standing {
            entry.standing = Standing::Waiting(since);
            self.served -= 1;
            self.waiting.insert(since, id);
            self.sources.entry(entry.source).or_default().waiting.insert(since);
        }
    }

    /// The connection counts for another address, whose share binds it.
    fn move_to(&mut self, id: ConnectionId, source: IpAddr) {
        let Some(mut place) = self.remove(id) else { return };
        place.source = source;
        place.is_exempt = false;
        let own = self.sources.entry(source).or_default();
        own.open += 1;
        match place.standing {
            Standing::Waiting(since) => {
                self.waiting.insert(since, id);
                own.waiting.insert(since);
            }
            Standing::Served => self.served += 1,
        }
        self.entries.insert(id, place);
    }

    fn evict(&mut self, since: Option<u64>) {
        let id = since.and_then(|since| self.waiting.get(&since).copied());
        if let Some(entry) = id.and_then(|id| self.remove(id)) {
            self.evicted += 1;
            self.leaving += 1;
            entry.leave.notify_one();
        }
    }

    fn remove(&mut self, id: ConnectionId) -> Option<TakenPlace> {
        let entry = self.entries.remove(&id)?;
        let own = self.sources.entry(entry.source).or_default();
        own.open -= 1;
        match entry.standing {
            Standing::Waiting(since) => {
                self.waiting.remove(&since);
                own.waiting.remove(&since);
            }
            Standing::Served => self.served -= 1,
        }
        if own.open == 0 {
            self.sources.remove(&entry.source);
        }
        Some(entry)
    }
}
