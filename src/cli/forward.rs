//! TCP connections, each over a channel of its own.

use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, Stream};
use byway::error::{PeerError, ResourceError};
use byway::{Endpoint, Error};
use tracing::{debug, warn};

use super::failure::Failure;
use super::places::Places;
use super::{LAST_WORD, announce, link, say};

/// Pause before what failed for want of something is tried again. A channel that both ends have
/// closed is free about a round trip later, and nobody says so.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a connection may wait for a channel here or at the peer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a TCP connection to one address may take: a SYN and three repeats of it.
const DIAL: Duration = Duration::from_secs(8);

/// Accepts what connects to `endpoint` and dials `to` for each, until the endpoint is lost.
pub fn listen(
    client: &Client,
    endpoint: Endpoint,
    to: &str,
    places: &Arc<Places>,
) -> Result<(), Failure> {
    let listener = client.listen(endpoint)?;
    say(format_args!("listening on {endpoint}"));
    let lost = loop {
        let mut place = places.take();
        let stream = match listener.accept() {
            Ok(stream) => stream,
            Err(error) => break error,
        };
        place.hold(&stream);
        let (served, to) = (stream.clone(), to.to_owned());
        let started = start(move || {
            answer(&served, &to);
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

/// Listens on the TCP address `from` and connects to `endpoint` for each connection. Those for
/// which there is no channel wait to be accepted.
pub fn connect(
    client: &Client,
    endpoint: Endpoint,
    from: &str,
    places: &Arc<Places>,
) -> Result<(), Failure> {
    let bind = || {
        let listener = TcpListener::bind(from)?;
        Ok((listener.local_addr()?, listener))
    };
    let (address, listener) = bind().map_err(|error| Failure::bind(&error, from, "--from"))?;
    announce(address);
    loop {
        let mut place = places.take();
        let tcp = match listener.accept() {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                warn!("cannot accept on {address}: {error}");
                thread::sleep(PAUSE);
                continue;
            }
        };
        link::reset_at_end(&tcp);
        let client = client.clone();
        let started = start(move || {
            match dial_peer(&client, endpoint) {
                Ok(stream) => {
                    place.hold(&stream);
                    carry(&tcp, &stream);
                }
                Err(Error::Closed) => {}
                Err(error) => warn!("{endpoint}: {error}"),
            }
            drop((tcp, place));
        });
        if let Err(error) = started {
            warn!("cannot serve a connection: {error}");
        }
    }
}

fn start(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(link::STACK).spawn(work).map(drop)
}

/// Connects to the endpoint; what is full now may be free in a moment.
fn dial_peer(client: &Client, endpoint: Endpoint) -> Result<Stream, Error> {
    let start = Instant::now();
    loop {
        match client.connect(endpoint) {
            Err(Error::Resource(ResourceError::Channels) | Error::Peer(PeerError::BacklogFull))
                if start.elapsed() < PATIENCE =>
            {
                thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
}

/// Dials the server for a stream.
fn answer(stream: &Stream, to: &str) {
    match dial(to) {
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
