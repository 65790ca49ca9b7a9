//! Forwarding: every connection of a program goes over a channel of its own.
//!
//! ```text
//!  connect.rs  a program's connections, each to one endpoint, or to those of SOCKS requests
//!  listen.rs   channels, each to a server, a command, or the target of a SOCKS request
//!  socks.rs    SOCKS5 at both ends          allow.rs  which targets --to-any dials
//!  exec.rs     commands for channels        udp.rs    datagrams, at both ends
//!  again.rs    how what was lost is tried again, and how a lost relay is told
//! ```

mod again;
pub mod allow;
pub mod connect;
mod exec;
pub mod listen;
mod socks;
pub mod udp;

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, Stream};
use byway::error::{PeerError, ResourceError};
use byway::{Endpoint, Error};
use rustix::io::Errno;
use tracing::debug;

use super::local::LocalSocket;
use super::metrics::Claim;
use super::open::Opened;
use super::permits::{Permit, Permits};
use super::shortage::{Shortage, Waiting};
use super::{notify, splice};

/// Pause before the system is asked again for a file descriptor that it did not have.
const PAUSE: Duration = Duration::from_millis(100);

/// How many different causes are remembered as told: more are told again, and memory stays bounded.
const MOST_TOLD: usize = 64;

/// How long a forward lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It serves one connection, and ends with its result, or at the first loss.
    Once,
    /// It serves all, and goes on after a loss.
    ForEver,
}

/// What the connections of a forward share.
#[derive(Clone)]
pub struct Means {
    client: Client,
    permits: Arc<Permits>,
    /// How long a connection waits for its listener.
    patience: Duration,
    claim: Claim,
    wants: Arc<Wants>,
}

impl Means {
    pub fn new<E>(opened: &Opened<E>) -> Self {
        Self {
            client: opened.client.clone(),
            permits: Arc::clone(&opened.permits),
            patience: opened.patience,
            claim: opened.claim.clone(),
            wants: Wants::new(),
        }
    }
}

/// The resources that connections may have to wait for.
struct Wants {
    permits: Arc<Shortage>,
    descriptors: Arc<Shortage>,
    /// Listeners that are waited for, by their endpoints. The last of these that wait, and the line that tells of the end,
    /// keep the value.
    peers: Mutex<HashMap<Endpoint, Weak<Shortage>>>,
}

impl Wants {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            permits: Shortage::new("too many connections"),
            descriptors: Shortage::new("no file descriptors"),
            peers: Mutex::default(),
        })
    }

    /// Takes a permit, and waits for one if none is free.
    fn permit(&self, permits: &Arc<Permits>) -> Permit {
        permits.try_take().unwrap_or_else(|| {
            let most = permits.most();
            let _waiting = self
                .permits
                .wait(format_args!("all {most} places are taken, others wait until one is free"));
            notify::alive_until(|turn| permits.take_within(turn))
        })
    }

    /// Does `work`, which takes a file descriptor, again and again while the system has none, at most
    /// until `deadline`.
    fn with_descriptors<T>(
        &self,
        deadline: Option<Instant>,
        mut work: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        let mut waiting = None;
        loop {
            match work() {
                Err(error)
                    if is_shortage(&error) && deadline.is_none_or(|at| Instant::now() < at) =>
                {
                    waiting.get_or_insert_with(|| {
                        self.descriptors.wait(format_args!(
                            "{error}; connections wait until there are some; allow more (ulimit -n)"
                        ))
                    });
                    thread::sleep(PAUSE);
                }
                result => return result,
            }
        }
    }

    fn peer(&self, endpoint: Endpoint) -> Arc<Shortage> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|_, peer| peer.strong_count() > 0);
        peers.get(&endpoint).and_then(Weak::upgrade).unwrap_or_else(|| {
            let peer = Shortage::new(format!("{endpoint} takes no connections"));
            peers.insert(endpoint, Arc::downgrade(&peer));
            peer
        })
    }

    /// Whether the error of a connector passes: another channel is free soon, or the listener may come. `waiting`
    /// notes that `what`, as in `each connection`, waits for the listener within `patience`.
    fn passes(
        &self,
        error: Error,
        waiting: &mut Option<Waiting>,
        endpoint: Endpoint,
        what: &str,
        patience: Duration,
    ) -> bool {
        match error {
            // The permit was free, so a channel will soon be free, too.
            Error::Resource(ResourceError::Channels) => true,
            Error::Peer(PeerError::BacklogFull | PeerError::NoListener) => {
                waiting.get_or_insert_with(|| {
                    let seconds = patience.as_secs();
                    let peer = self.peer(endpoint);
                    peer.wait(format_args!("{error}; {what} waits up to {seconds} s"))
                });
                true
            }
            _ => false,
        }
    }
}

/// Whether the process or the system has no file descriptor or memory left for a socket.
fn is_shortage(error: &io::Error) -> bool {
    let wanting = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| wanting.contains(&errno))
}

fn start(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(splice::STACK).spawn(work).map(drop)
}

fn carry(socket: &LocalSocket, stream: &Stream) -> io::Result<()> {
    splice::join(socket, stream)
        .inspect(|()| debug!("connection ended"))
        .inspect_err(|error| debug!("connection broke off: {error}"))
}

/// The causes of failures that were told: each is told once.
#[derive(Debug)]
pub struct Told<T>(Mutex<HashSet<T>>);

impl<T: Eq + Hash> Told<T> {
    pub fn new() -> Self {
        Self(Mutex::new(HashSet::new()))
    }

    /// Whether this cause is new, and to be told.
    pub fn is_new(&self, cause: T) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST_TOLD {
            told.clear();
        }
        told.insert(cause)
    }
}
