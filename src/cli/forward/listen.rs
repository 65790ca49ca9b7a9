//! The listening end of a forward: each channel goes to a server, to a command, or to where it says.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use byway::client::{ByteStream, Channel, ChannelKind, Listener, Stream};
use byway::{Endpoint, Error};
use tracing::warn;

use super::allow::Allowed;
use super::{Life, Means, again, carry, exec, socks, start};
use crate::cli::failure::CommandError;
use crate::cli::local::{DIAL, LocalAddress};
use crate::cli::peers::Door;
use crate::cli::permits::{Held, Permit};
use crate::cli::{LAST_WORD, notify, peers, ping, retry, say};

/// What a channel is joined with.
#[derive(Debug, Clone)]
pub enum Service {
    Server(LocalAddress),
    /// The target of the SOCKS request with which the channel begins.
    Any(Arc<Allowed>),
    /// A command for the shell.
    Exec(String),
}

/// Accepts the channels that peers open at the endpoint, and serves each, until the endpoint is lost for good.
pub fn run(
    means: &Means,
    endpoint: Endpoint,
    door: &Door,
    service: Service,
    life: Life,
) -> Result<(), CommandError> {
    let serving = means.clone();
    accept_all::<ByteStream>(means, endpoint, door, life, move |stream| {
        serve(&serving, endpoint, stream, &service)
    })
}

/// Accepts channels, and serves each on a thread of its own; or, once, serves the first.
pub fn accept_all<K: ChannelKind + 'static>(
    means: &Means,
    endpoint: Endpoint,
    door: &Door,
    life: Life,
    serve: impl Fn(&Channel<K>) -> io::Result<()> + Send + Sync + 'static,
) -> Result<(), CommandError>
where
    for<'c> Held: From<&'c Channel<K>>,
    Channel<K>: Send + Sync,
{
    let Means { client, permits, patience, claim, wants } = means;
    let mut listener = retry::listen::<K>(client, endpoint, *patience)?;
    claim.note_granted();
    say(format_args!("listening on {endpoint}"));
    notify::ready(format_args!("listening on {endpoint}"));
    again::watch_path(client)?;
    let serve = Arc::new(serve);
    let lost = loop {
        let mut permit = wants.permit(permits);
        let channel = match door.accept(&listener) {
            Ok(channel) => channel,
            Err(error) if life == Life::ForEver && again::passes(error) => {
                // What is left of it may not be in the way of the next claim.
                drop(listener);
                claim.note_lost();
                let attempt = |wait| claim_once::<K>(means, endpoint, wait);
                match again::claim(endpoint, error, attempt) {
                    Ok(again) => listener = again,
                    Err(error) => break error,
                }
                claim.note_granted();
                continue;
            }
            Err(error) => break error,
        };
        peers::tell_key(&channel, endpoint);
        permit.hold(&channel);
        if life == Life::Once && !ping::is_ping(&channel) {
            drop(listener);
            return serve_last(means, channel, permit, &*serve);
        }
        let (served, serve) = (channel.clone(), Arc::clone(&serve));
        let started = start(move || {
            // It is told by now, and the next one has nothing to do with it.
            let _ = serve(&served);
            drop((served, permit));
        });
        if let Err(error) = started {
            warn!("cannot serve a connection: {error}");
            channel.abort();
        }
    };
    // A newer process may have taken over: this process still brings to an end what it accepted.
    notify::alive_until(|turn| permits.wait_empty(turn));
    let _ = client.close(LAST_WORD);
    Err(lost.into())
}

fn claim_once<K: ChannelKind>(
    means: &Means,
    endpoint: Endpoint,
    wait: std::time::Duration,
) -> Result<Listener<Channel<K>>, Error> {
    means.client.listen_greeting(endpoint, ping::GREETING, wait)
}

fn serve_last<K: ChannelKind>(
    means: &Means,
    channel: Channel<K>,
    permit: Permit,
    serve: &(impl Fn(&Channel<K>) -> io::Result<()> + Sync),
) -> Result<(), CommandError>
where
    Channel<K>: Sync,
{
    let served = notify::alive_during(|| serve(&channel)).map_err(CommandError::stream);
    drop((channel, permit));
    let _ = means.client.close(LAST_WORD);
    served
}

fn serve(means: &Means, endpoint: Endpoint, stream: &Stream, service: &Service) -> io::Result<()> {
    if ping::is_ping(stream) {
        ping::answer(stream);
        return Ok(());
    }
    match service {
        Service::Server(to) => {
            let deadline = Instant::now() + DIAL;
            let socket = means.wants.with_descriptors(Some(deadline), || to.dial());
            let socket = socket.inspect_err(|error| {
                warn!("cannot connect to {to}: {error}");
                stream.abort();
            })?;
            socket.reset_at_end();
            carry(&socket, stream)
        }
        Service::Any(allowed) => socks::answer(stream, allowed, &means.wants),
        Service::Exec(command) => exec::serve(command, endpoint, stream).inspect_err(|error| {
            // What the splice found is told already; else no channel is left open without a program.
            tracing::debug!("{command}: {error}");
            stream.abort();
        }),
    }
}
