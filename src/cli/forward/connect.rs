//! The connecting end of a forward: each connection of a program goes over a channel of its own.

use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;

use byway::client::{Readiness, Stream};
use byway::error::PeerError;
use byway::secure::PublicKey;
use byway::{Endpoint, Error, Kind, Name};
use tracing::{debug, warn};

use super::{Life, Means, PAUSE, Told, again, carry, is_shortage, socks, start};
use crate::cli::failure::{CommandError, cause_of_connecting};
use crate::cli::local::{LocalAddress, LocalSocket};
use crate::cli::peers::Target;
use crate::cli::permits::Permit;
use crate::cli::shortage::Shortage;
use crate::cli::sockets::{Accepted, Acceptor};
use crate::cli::{LAST_WORD, announce, notify, retry, splice};

/// Where the connections of a forward go.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    /// All to one listener.
    To(Target),
    /// Each to the endpoint that its SOCKS request names, where `own` is what `@` stands for.
    SocksHere { own: Option<Name> },
    /// All to one listener, which dials what their SOCKS requests name.
    SocksThere(Target),
}

/// The failures of connections that are told once each, until one succeeds.
type Refusals = Told<(Endpoint, String)>;

/// Listens at `from`, which `option` gave, and joins a channel to each connection. Connections without a free
/// channel wait.
pub fn run(
    means: &Means,
    way: Way,
    from: &LocalAddress,
    option: &str,
    life: Life,
) -> Result<(), CommandError> {
    let mut acceptor =
        Acceptor::bind(from).map_err(|error| CommandError::bind(&error, from, option))?;
    again::watch_path(&means.client)?;
    let ended = means.client.poll_fd(Readiness::NONE)?;
    acceptor.addresses()?.iter().for_each(announce);
    notify::ready(format_args!("accepting at {from}"));
    let refusals = Arc::new(Refusals::new());
    let (wants, permits) = (&means.wants, &means.permits);
    // The resource that the connection before waited for: those that queued behind it waited for
    // it, too.
    let mut queued: Option<&Arc<Shortage>> = None;
    loop {
        let mut waited = false;
        let accept = || {
            // Behind the client's lock.
            let _ = means.client.readiness();
            notify::alive();
            let accepted = acceptor.accept(ended.as_fd(), notify::turn());
            waited |= accepted.as_ref().is_err_and(is_shortage);
            accepted
        };
        let (socket, was_there) = match wants.with_descriptors(None, accept) {
            Ok(Accepted::Connection { socket, was_there }) => (socket, was_there),
            Ok(Accepted::Nothing) => {
                queued = None;
                continue;
            }
            Ok(Accepted::Ended) => {
                let why = means.client.wait_event(None).err().unwrap_or(Error::Closed);
                return Err(why.into());
            }
            Err(error) => {
                warn!("cannot accept on {from}: {error}");
                thread::sleep(PAUSE);
                continue;
            }
        };
        socket.reset_at_end();
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
        if life == Life::Once {
            drop(acceptor);
            let served = notify::alive_during(|| serve(means, &socket, way, permit, &refusals));
            let _ = means.client.close(LAST_WORD);
            return served;
        }
        let (means, refusals) = (means.clone(), Arc::clone(&refusals));
        let started = start(move || {
            // It is told by now, and the next one has nothing to do with it.
            let _ = serve(&means, &socket, way, permit, &refusals);
        });
        if let Err(error) = started {
            warn!("cannot serve a connection: {error}");
        }
    }
}

/// Carries a connection that was accepted.
fn serve(
    means: &Means,
    socket: &LocalSocket,
    way: Way,
    mut permit: Permit,
    refusals: &Refusals,
) -> Result<(), CommandError> {
    let target = match way {
        Way::To(target) => {
            let stream =
                dial_peer(means, socket, target).map_err(|why| why.tell(target, refusals))?;
            permit.hold(&stream);
            return carry_to(target, socket, &stream, refusals);
        }
        Way::SocksHere { own } => socks::ask(socket)
            .and_then(|request| Ok((request.endpoint(own)?, None)))
            .map(|(endpoint, key): (Endpoint, Option<PublicKey>)| (Target { endpoint, key }, None)),
        Way::SocksThere(target) => socks::ask(socket).map(|request| (target, Some(request))),
    };
    let (target, request) = target.map_err(|refused| {
        debug!("SOCKS: {refused}");
        refused.tell(socket);
        CommandError::failed(refused)
    })?;
    let stream = match dial_peer(means, socket, target) {
        Ok(stream) => stream,
        Err(why) => {
            if let NotDialled::Counted(error) | NotDialled::Failed(error) = &why {
                socks::refuse(socket, *error);
            }
            return Err(why.tell(target, refusals));
        }
    };
    permit.hold(&stream);
    match request {
        None => socks::grant(socket),
        Some(request) => request.send(&stream),
    }
    .map_err(|error| {
        stream.abort();
        CommandError::failed(error)
    })?;
    carry_to(target, socket, &stream, refusals)
}

/// Carries a connection, and tells of a listener that does not let this end in.
fn carry_to(
    target: Target,
    socket: &LocalSocket,
    stream: &Stream,
    refusals: &Refusals,
) -> Result<(), CommandError> {
    carry(socket, stream).map_err(|error| {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
        if let Some(error @ Error::Peer(PeerError::KeyRefused)) = cause {
            tell(target, *error, refusals);
        }
        CommandError::stream(error)
    })
}

fn tell(target: Target, error: Error, refusals: &Refusals) {
    let cause = cause_of_connecting(error, Kind::Stream);
    if refusals.is_new((target.endpoint, cause.clone())) {
        warn!("{}: {cause}", target.endpoint);
    }
}

/// Why there is no channel for a connection.
enum NotDialled {
    /// The program has gone.
    Gone,
    /// The listener stayed away, which is counted.
    Counted(Error),
    Failed(Error),
}

impl NotDialled {
    fn tell(self, target: Target, refusals: &Refusals) -> CommandError {
        match self {
            Self::Gone => CommandError::stream(io::Error::from(io::ErrorKind::ConnectionReset)),
            Self::Counted(error) => error.into(),
            Self::Failed(error) => {
                if error != Error::Closed {
                    tell(target, error, refusals);
                }
                CommandError::connecting(error, Kind::Stream)
            }
        }
    }
}

/// Connects to the endpoint for `socket`, and tries again while the listener is full or not there.
fn dial_peer(means: &Means, socket: &LocalSocket, target: Target) -> Result<Stream, NotDialled> {
    let Means { client, patience, wants, .. } = means;
    let (mut waiting, is_gone) = (None, Cell::new(false));
    let dialled = retry::patiently(
        *patience,
        |pause| is_gone.set(splice::wait_gone(socket, pause)),
        |left| {
            if is_gone.get() {
                return Ok(None);
            }
            retry::connect_once(client, target, left).map(Some)
        },
        |error| wants.passes(error, &mut waiting, target.endpoint, "each connection", *patience),
    );
    match (dialled, waiting) {
        (Ok(Some(stream)), _) => Ok(stream),
        (Ok(None), _) => Err(NotDialled::Gone),
        (
            Err(error @ Error::Peer(PeerError::BacklogFull | PeerError::NoListener)),
            Some(waiting),
        ) => {
            debug!("{}: {error}", target.endpoint);
            waiting.refuse();
            Err(NotDialled::Counted(error))
        }
        (Err(error), _) => Err(NotDialled::Failed(error)),
    }
}
