//! TCP connections, each over a channel of its own.

use std::cell::Cell;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, Stream};
use byway::error::{PeerError, ResourceError};
use byway::{Endpoint, Error};
use rustix::io::Errno;
use tracing::{debug, warn};

use super::failure::Failure;
use super::meet;
use super::places::{Place, Places};
use super::shortage::Shortage;
use super::sockets::{self, Acceptor};
use super::{LAST_WORD, announce, link, say};

/// Pause before the system is asked again for a file descriptor that it did not have.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a TCP connection to one address may take: a SYN and three repeats of it.
const DIAL: Duration = Duration::from_secs(8);

/// What may be wanting.
struct Wants {
    places: Arc<Shortage>,
    descriptors: Arc<Shortage>,
    peer: Arc<Shortage>,
}

impl Wants {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            places: Shortage::new("too many connections"),
            descriptors: Shortage::new("no file descriptors"),
            peer: Shortage::new("the peer takes no connections"),
        })
    }

    /// A place, waited for if there is none.
    fn place(&self, places: &Arc<Places>) -> Place {
        places.try_take().unwrap_or_else(|| {
            let most = places.most();
            let _waiting = self
                .places
                .wait(format_args!("all {most} places are taken, others wait until one is free"));
            places.take()
        })
    }

    /// Does what takes a file descriptor, again and again while the system has none, at most until
    /// `deadline`.
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
}

/// Accepts what connects to `endpoint` and dials `to` for each, until the endpoint is lost.
pub fn listen(
    client: &Client,
    endpoint: Endpoint,
    to: &str,
    places: &Arc<Places>,
    patience: Duration,
) -> Result<(), Failure> {
    let listener = meet::listen(client, endpoint, patience)?;
    say(format_args!("listening on {endpoint}"));
    let wants = Wants::new();
    let lost = loop {
        let mut place = wants.place(places);
        let stream = match listener.accept() {
            Ok(stream) => stream,
            Err(error) => break error,
        };
        place.hold(&stream);
        let (served, to, wants) = (stream.clone(), to.to_owned(), Arc::clone(&wants));
        let started = start(move || {
            answer(&served, &to, &wants);
            drop((served, place));
        });
        if let Err(error) = started {
            warn!("cannot serve a connection: {error}");
            stream.abort();
        }
    };
    // A newer process may have taken over; what this one has accepted it brings to an end.
    places.wait_empty();
    let _ = client.close(LAST_WORD);
    Err(lost.into())
}

/// Listens on the TCP addresses `from` and connects to `endpoint` for each connection. Those for
/// which there is no channel wait.
pub fn connect(
    client: &Client,
    endpoint: Endpoint,
    from: &str,
    places: &Arc<Places>,
    patience: Duration,
) -> Result<(), Failure> {
    let bind = || {
        let acceptor = Acceptor::new(sockets::bind(from)?)?;
        Ok((acceptor.addresses()?, acceptor))
    };
    let (addresses, mut acceptor) =
        bind().map_err(|error| Failure::bind(&error, from, "--from"))?;
    addresses.iter().for_each(announce);
    let wants = Wants::new();
    // For what the connection before has waited, and those behind it that are there already.
    let mut queued: Option<&Arc<Shortage>> = None;
    loop {
        let mut waited = false;
        let accept = || {
            let accepted = acceptor.accept();
            waited |= accepted.as_ref().is_err_and(is_shortage);
            accepted
        };
        let (tcp, was_there) = match wants.with_descriptors(None, accept) {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!("cannot accept on {from}: {error}");
                thread::sleep(PAUSE);
                continue;
            }
        };
        link::reset_at_end(&tcp);
        if waited {
            queued = Some(&wants.descriptors);
        } else if !was_there {
            queued = None;
        }
        let mut place = match places.try_take() {
            Some(place) => {
                if let Some(wanting) = queued.filter(|_| !waited) {
                    wanting.note_one();
                }
                place
            }
            None => {
                queued = Some(&wants.places);
                wants.place(places)
            }
        };
        let (client, wants) = (client.clone(), Arc::clone(&wants));
        let started = start(move || {
            match dial_peer(&client, &tcp, endpoint, patience, &wants) {
                Ok(Some(stream)) => {
                    place.hold(&stream);
                    carry(&tcp, &stream);
                }
                Ok(None) | Err(Error::Closed) => {}
                Err(error) => warn!("{endpoint}: {error}"),
            }
            drop((tcp, place));
        });
        if let Err(error) = started {
            warn!("cannot serve a connection: {error}");
        }
    }
}

/// Whether the process or the system has no file descriptor or memory left for a socket.
fn is_shortage(error: &io::Error) -> bool {
    let wanting = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| wanting.contains(&errno))
}

fn start(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(link::STACK).spawn(work).map(drop)
}

/// Connects to the endpoint for `tcp`; a listener that is full or not there now may be in a moment.
/// `None` if `tcp` was reset meanwhile, or if the listener stays away, which is counted.
fn dial_peer(
    client: &Client,
    tcp: &TcpStream,
    endpoint: Endpoint,
    patience: Duration,
    wants: &Wants,
) -> Result<Option<Stream>, Error> {
    let (mut waiting, is_gone) = (None, Cell::new(false));
    let dialled = meet::patiently(
        patience,
        |pause| is_gone.set(link::wait_gone(tcp, pause)),
        |left| {
            if is_gone.get() {
                return Ok(None);
            }
            meet::connect_once(client, endpoint, left).map(Some)
        },
        |error| match error {
            // The place was free, so the channel will be.
            Error::Resource(ResourceError::Channels) => true,
            Error::Peer(PeerError::BacklogFull | PeerError::NoListener) => {
                waiting.get_or_insert_with(|| {
                    let seconds = patience.as_secs();
                    wants
                        .peer
                        .wait(format_args!("{error}; each connection waits up to {seconds} s"))
                });
                true
            }
            _ => false,
        },
    );
    match (dialled, waiting) {
        (
            Err(error @ Error::Peer(PeerError::BacklogFull | PeerError::NoListener)),
            Some(waiting),
        ) => {
            debug!("{endpoint}: {error}");
            waiting.refuse();
            Ok(None)
        }
        (dialled, _) => dialled,
    }
}

/// Dials the server for a stream.
fn answer(stream: &Stream, to: &str, wants: &Wants) {
    let deadline = Instant::now() + DIAL;
    match wants.with_descriptors(Some(deadline), || dial(to)) {
        Ok(tcp) => {
            link::reset_at_end(&tcp);
            carry(&tcp, stream);
        }
        Err(error) => {
            warn!("cannot connect to {to}: {error}");
            stream.abort();
        }
    }
}

fn dial(to: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    for address in to.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, DIAL) {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn carry(tcp: &TcpStream, stream: &Stream) {
    match link::join(tcp, stream) {
        Ok(()) => debug!("connection ended"),
        Err(error) => debug!("connection broke off: {error}"),
    }
}
