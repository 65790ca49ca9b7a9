//! Forwarding: every TCP connection goes over a channel of its own.

use std::cell::Cell;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use byway::Error;
use byway::client::{Client, Listener, Stream};
use byway::error::{PeerError, ResourceError};
use rustix::io::Errno;
use tracing::{debug, warn};

use super::failure::CommandError;
use super::peers::{self, Target};
use super::permits::{Permit, Permits};
use super::retry;
use super::shortage::Shortage;
use super::sockets::{self, Acceptor};
use super::{LAST_WORD, announce, ping, say, splice};

/// Pause before the system is asked again for a file descriptor that it did not have.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a TCP connection to one address may take to be made: a SYN and three repeats of it.
const DIAL: Duration = Duration::from_secs(8);

/// The resources that connections may have to wait for.
struct Wants {
    permits: Arc<Shortage>,
    descriptors: Arc<Shortage>,
    peer: Arc<Shortage>,
}

impl Wants {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            permits: Shortage::new("too many connections"),
            descriptors: Shortage::new("no file descriptors"),
            peer: Shortage::new("the peer takes no connections"),
        })
    }

    /// Takes a permit, and waits for one if none is free.
    fn permit(&self, permits: &Arc<Permits>) -> Permit {
        permits.try_take().unwrap_or_else(|| {
            let most = permits.most();
            let _waiting = self
                .permits
                .wait(format_args!("all {most} places are taken, others wait until one is free"));
            permits.take()
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
}

/// Accepts the channels that peers open to the listener and dials `to` for each, until the endpoint is
/// lost.
pub fn listen(
    client: &Client,
    listener: &Listener<Stream>,
    to: &str,
    permits: &Arc<Permits>,
) -> Result<(), CommandError> {
    let endpoint = listener.endpoint();
    say(format_args!("listening on {endpoint}"));
    let wants = Wants::new();
    let lost = loop {
        let mut permit = wants.permit(permits);
        let stream = match listener.accept() {
            Ok(stream) => stream,
            Err(error) => break error,
        };
        peers::tell_key(&stream, endpoint);
        permit.hold(&stream);
        let (served, to, wants) = (stream.clone(), to.to_owned(), Arc::clone(&wants));
        let started = start(move || {
            match ping::is_ping(&served) {
                true => ping::answer(&served),
                false => answer(&served, &to, &wants),
            }
            drop((served, permit));
        });
        if let Err(error) = started {
            warn!("cannot serve a connection: {error}");
            stream.abort();
        }
    };
    // A newer process may have taken over: this process still brings to an end what it accepted.
    permits.wait_empty();
    let _ = client.close(LAST_WORD);
    Err(lost.into())
}

/// Listens on the TCP addresses `from` and connects to the target for each connection. Connections
/// without a free channel wait.
pub fn connect(
    client: &Client,
    target: Target,
    from: &str,
    permits: &Arc<Permits>,
    patience: Duration,
) -> Result<(), CommandError> {
    let mut acceptor = bind(from).map_err(|error| CommandError::bind(&error, from, "--from"))?;
    let wants = Wants::new();
    // The resource that the connection before waited for: those that queued behind it waited for
    // it, too.
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
        splice::reset_at_end(&tcp);
        if waited {
            queued = Some(&wants.descriptors);
        } else if !was_there {
            queued = None;
        }
        let permit = match permits.try_take() {
            Some(permit) => {
                if let Some(wanting) = queued.filter(|_| !waited) {
                    wanting.note_one();
                }
                permit
            }
            None => {
                queued = Some(&wants.permits);
                wants.permit(permits)
            }
        };
        serve(client.clone(), tcp, target, patience, permit, Arc::clone(&wants));
    }
}

/// Carries a connection that was accepted, on a thread of its own.
fn serve(
    client: Client,
    tcp: TcpStream,
    target: Target,
    patience: Duration,
    mut permit: Permit,
    wants: Arc<Wants>,
) {
    let started = start(move || {
        match dial_peer(&client, &tcp, target, patience, &wants) {
            Ok(Some(stream)) => {
                permit.hold(&stream);
                carry(&tcp, &stream);
            }
            Ok(None) | Err(Error::Closed) => {}
            Err(error) => warn!("{}: {error}", target.endpoint),
        }
        drop((tcp, permit));
    });
    if let Err(error) = started {
        warn!("cannot serve a connection: {error}");
    }
}

/// Listens on the TCP addresses `from`, and announces them.
fn bind(from: &str) -> io::Result<Acceptor> {
    let acceptor = Acceptor::new(sockets::bind(from)?)?;
    acceptor.addresses()?.iter().for_each(announce);
    Ok(acceptor)
}

/// Whether the process or the system has no file descriptor or memory left for a socket.
fn is_shortage(error: &io::Error) -> bool {
    let wanting = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| wanting.contains(&errno))
}

fn start(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(splice::STACK).spawn(work).map(drop)
}

/// Connects to the endpoint for `tcp`, and tries again while the listener is full or not there.
/// `None` if `tcp` was reset meanwhile, or if the listener stays away; [`Shortage`] counts that.
fn dial_peer(
    client: &Client,
    tcp: &TcpStream,
    target: Target,
    patience: Duration,
    wants: &Wants,
) -> Result<Option<Stream>, Error> {
    let (mut waiting, is_gone) = (None, Cell::new(false));
    let dialled = retry::patiently(
        patience,
        |pause| is_gone.set(splice::wait_gone(tcp, pause)),
        |left| {
            if is_gone.get() {
                return Ok(None);
            }
            retry::connect_once(client, target, left).map(Some)
        },
        |error| match error {
            // The permit was free, so a channel will soon be free, too.
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
            debug!("{}: {error}", target.endpoint);
            waiting.refuse();
            Ok(None)
        }
        (dialled, _) => dialled,
    }
}

/// Dials the server for a stream, and carries bytes between the two.
fn answer(stream: &Stream, to: &str, wants: &Wants) {
    let deadline = Instant::now() + DIAL;
    match wants.with_descriptors(Some(deadline), || dial(to)) {
        Ok(tcp) => {
            splice::reset_at_end(&tcp);
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
    match splice::join(tcp, stream) {
        Ok(()) => debug!("connection ended"),
        Err(error) => debug!("connection broke off: {error}"),
    }
}
