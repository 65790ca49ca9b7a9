//! Opening a client by the options of a command.

use std::sync::Arc;
use std::time::{Duration, Instant};

use byway::client::{Client, Config};
use byway::error::TransportError;
use byway::secure::{Identity, PublicKey};
use byway::session::Profile;
use byway::{Endpoint, Error};
use rustix::process::{Resource, getrlimit};
use tracing::warn;

use super::failure::CommandError;
use super::forward::Life;
use super::metrics::{self, Bound, Claim, WatchedClient};
use super::options::{ClientOptions, Role};
use super::permits::Permits;
use super::signals::Signals;
use super::{notify, say};

/// How long an obstacle may last, when a client opens, before a line tells of it.
const SOON: Duration = Duration::from_secs(1);

/// How often a command that waits for its relay says what is missing.
const AGAIN: Duration = Duration::from_secs(60);

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
    /// How it stands with the endpoint, if it listens.
    pub claim: Claim,
}

/// How a command starts.
pub struct Start {
    pub life: Life,
    pub metrics: Option<Bound>,
}

/// Opens the client, whose listeners let at most `backlog` connections wait to be accepted. A signal closes it
/// in order.
pub fn open(
    options: ClientOptions,
    role: Role,
    profile: Profile,
    backlog: u8,
    start: Start,
) -> Result<Opened, CommandError> {
    let opened = open_endpoint(options, role, profile, backlog, start)?;
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
    let start = Start { life: Life::Once, metrics: None };
    open_endpoint(options, role, profile, backlog, start)
}

fn open_endpoint(
    options: ClientOptions,
    role: Role,
    profile: Profile,
    backlog: u8,
    start: Start,
) -> Result<Opened, CommandError> {
    let options = options.complete()?;
    options.check()?;
    let identity = options.identity(&role)?;
    let endpoint = role.place().endpoint(identity.as_ref())?;
    let claim = match role {
        Role::Listens(_) => Claim::wanted(),
        Role::Connects(_) => Claim::needless(),
    };
    let opened = open_as(&options, identity, profile, backlog, start, claim)?;
    let Opened { client, permits, patience, claim, .. } = opened;
    Ok(Opened { client, endpoint, permits, patience, claim })
}

/// Opens a client that connects to the endpoints which programs name, and gives its own key, too.
pub fn open_anywhere(
    options: ClientOptions,
    profile: Profile,
    start: Start,
) -> Result<(Opened<()>, Option<PublicKey>), CommandError> {
    let options = options.complete()?;
    options.check()?;
    let identity = options.identity_to_connect()?;
    let own = identity.as_ref().map(Identity::public_key);
    // It does not listen.
    let opened = open_as(&options, identity, profile, 1, start, Claim::needless())?;
    close_at_signal(&opened)?;
    Ok((opened, own))
}

fn open_as(
    options: &ClientOptions,
    identity: Option<Identity>,
    profile: Profile,
    backlog: u8,
    start: Start,
    claim: Claim,
) -> Result<Opened<()>, CommandError> {
    let mut config = options.config(profile, backlog)?;
    config.identity = identity;
    config.shared_secret = options.shared_secret()?;
    let permits = Arc::new(Permits::new(permits(config.profile.channels)));
    let patience = config.connect_timeout;
    let tries = match start.life {
        Life::ForEver if !options.has_timeout() => Tries::ForEver,
        Life::ForEver | Life::Once => Tries::For(config.open_timeout),
    };
    let url = config.url.clone();
    let client = Client::start(config)?;
    metrics::serve(start.metrics, WatchedClient::new(&client, &claim))?;
    wait_open(&client, &url, tries)?;
    Ok(Opened { client, endpoint: (), permits, patience, claim })
}

/// Opens the client. An obstacle is told after [`SOON`]; the client tries on until its time is over.
pub fn reach(config: Config) -> Result<Client, Error> {
    let (tries, url) = (Tries::For(config.open_timeout), config.url.clone());
    let client = Client::start(config)?;
    wait_open(&client, &url, tries)?;
    Ok(client)
}

/// How long a relay is tried that is not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tries {
    For(Duration),
    ForEver,
}

/// Whether an obstacle on the way may go away by itself.
fn passes(error: Error) -> bool {
    matches!(error, Error::Transport(TransportError::Blocked(cause)) if !cause.is_lasting())
}

/// Waits for the relay, and has the service manager know that this is no hang.
fn wait_in_turns(client: &Client, most: Duration) -> Result<(), Error> {
    let until = Instant::now() + most;
    notify::alive_until(|turn| {
        let left = until.saturating_duration_since(Instant::now());
        let opened = client.wait_open(turn.map_or(left, |turn| turn.min(left)));
        let is_over = Instant::now() >= until || !opened.is_err_and(passes);
        is_over.then_some(opened)
    })
}

fn wait_open(client: &Client, url: &str, tries: Tries) -> Result<(), Error> {
    let soon = match tries {
        Tries::For(patience) => patience.min(SOON),
        Tries::ForEver => SOON,
    };
    let mut opened = client.wait_open(soon);
    match tries {
        Tries::For(patience) => match opened {
            Err(error) if passes(error) && patience > SOON => {
                let seconds = patience.as_secs();
                say(format_args!(
                    "{url}: {error}; byway doctor tells more: trying for {seconds} s (--timeout)"
                ));
                client.wait_open(patience - SOON)
            }
            opened => opened,
        },
        Tries::ForEver => loop {
            match opened {
                Err(error) if passes(error) => {
                    say(format_args!(
                        "{url}: {error}; byway doctor tells more: trying until it is there"
                    ));
                    // It does its work, as when the relay goes away later: nothing that starts behind it waits.
                    notify::ready(format_args!("no relay yet: {error}"));
                    opened = wait_in_turns(client, AGAIN);
                }
                opened => return opened,
            }
        },
    }
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
