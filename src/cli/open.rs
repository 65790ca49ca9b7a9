//! Opening a client by the options of a command.

use std::sync::Arc;
use std::time::Duration;

use byway::client::{Client, Config};
use byway::error::TransportError;
use byway::secure::{Identity, PublicKey};
use byway::session::Profile;
use byway::{Endpoint, Error};
use rustix::process::{Resource, getrlimit};
use tracing::warn;

use super::failure::CommandError;
use super::options::{ClientOptions, Role};
use super::permits::Permits;
use super::signals::Signals;
use super::{notify, say};

/// How long an obstacle may last, when a client opens, before a line tells of it.
const SOON: Duration = Duration::from_secs(1);

/// How long this process, ended by a signal or by a listener that it refuses, takes at most to tell its peers.
pub const PARTING: Duration = Duration::from_secs(1);

/// File descriptors beside those of forwarded connections: two connections to the relay and two that
/// replace them, the standard streams, listeners, those of the signals.
const DESCRIPTORS: usize = 32;

/// File descriptors of a forwarded connection: its socket, and two by which the process waits for its
/// channel while one direction has ended.
const OF_EACH: usize = 3;

/// An open client. `E` is the endpoint, unless programs name it.
pub struct Opened<E = Endpoint> {
    pub client: Client,
    pub endpoint: E,
    pub permits: Arc<Permits>,
    /// How long the command waits for the endpoint or the peer.
    pub patience: Duration,
}

/// Opens the client, whose listeners let at most `backlog` connections wait to be accepted. A signal closes it
/// in order.
pub fn open(
    options: ClientOptions,
    role: Role,
    profile: Profile,
    backlog: u8,
) -> Result<Opened, CommandError> {
    let opened = reach_endpoint(options, role, profile, backlog)?;
    close_at_signal(&opened)?;
    Ok(opened)
}

fn close_at_signal<E>(opened: &Opened<E>) -> Result<(), CommandError> {
    let (parting, streams) = (opened.client.clone(), Arc::clone(&opened.permits));
    Signals::catch()?.then_exit(move || {
        notify::stopping(PARTING);
        // An abort, not a close: the peer must not take a part of the bytes for the whole.
        streams.abort_all();
        // The signal asked for an end with bytes unacknowledged: that is no error.
        let _ = parting.close(PARTING);
    })?;
    Ok(())
}

/// Opens the client; what signals do is left to the caller.
pub fn reach_endpoint(
    options: ClientOptions,
    role: Role,
    profile: Profile,
    backlog: u8,
) -> Result<Opened, CommandError> {
    let options = options.complete()?;
    options.check()?;
    let identity = options.identity(&role)?;
    let endpoint = role.place().endpoint(identity.as_ref())?;
    let Opened { client, permits, patience, .. } = open_as(&options, identity, profile, backlog)?;
    Ok(Opened { client, endpoint, permits, patience })
}

/// Opens a client that connects to the endpoints which programs name, and gives its own key, too.
pub fn open_anywhere(
    options: ClientOptions,
    profile: Profile,
) -> Result<(Opened<()>, Option<PublicKey>), CommandError> {
    let options = options.complete()?;
    options.check()?;
    let identity = options.identity_to_connect()?;
    let own = identity.as_ref().map(Identity::public_key);
    // It does not listen.
    let opened = open_as(&options, identity, profile, 1)?;
    close_at_signal(&opened)?;
    Ok((opened, own))
}

fn open_as(
    options: &ClientOptions,
    identity: Option<Identity>,
    profile: Profile,
    backlog: u8,
) -> Result<Opened<()>, CommandError> {
    let mut config = options.config(profile, backlog)?;
    config.identity = identity;
    config.shared_secret = options.shared_secret()?;
    let permits = Arc::new(Permits::new(permits(config.profile.channels)));
    let patience = config.connect_timeout;
    let client = reach(config)?;
    Ok(Opened { client, endpoint: (), permits, patience })
}

/// Opens the client. An obstacle is told after [`SOON`]; the client tries on until its time is over.
pub fn reach(config: Config) -> Result<Client, Error> {
    let (patience, url) = (config.open_timeout, config.url.clone());
    let client = Client::start(config)?;
    match client.wait_open(patience.min(SOON)) {
        Err(error @ Error::Transport(TransportError::Blocked(cause)))
            if !cause.is_lasting() && patience > SOON =>
        {
            let seconds = patience.as_secs();
            say(format_args!(
                "{url}: {error}; byway doctor tells more: trying for {seconds} s (--timeout)"
            ));
            client.wait_open(patience - SOON)?;
        }
        opened => opened?,
    }
    Ok(client)
}

/// How many connections there may be at once: one for each channel, as far as there are file
/// descriptors. Connections that took the last ones would keep the client from dialling the relay.
fn permits(channels: usize) -> usize {
    let may = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| most as usize);
    let permits = channels.min(may.saturating_sub(DESCRIPTORS) / OF_EACH).max(1);
    if permits < channels {
        warn!(
            "at most {permits} connections at once, not {channels}: this process may have {may} file descriptors; allow more (ulimit -n)"
        );
    }
    permits
}
