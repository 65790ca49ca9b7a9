//! Whom the command is connected with: pinned and admitted keys.

use byway::client::{Channel, ChannelKind, Client, Listener};
use byway::secure::PublicKey;
use byway::{Endpoint, Error};
use clap::Args;
use tracing::{info, warn};

use super::forward::Told;
use super::{notify, parse};

/// Where the command connects to.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub endpoint: Endpoint,
    /// The key that the listener is to have, if the name does not say it.
    pub key: Option<PublicKey>,
}

impl Target {
    /// Asks for a channel to the listener, and does not wait for the answer.
    pub fn start_connect<K: ChannelKind>(&self, client: &Client) -> Result<Channel<K>, Error> {
        self.start_connect_with(client, &[])
    }

    /// Asks with a greeting; else as [`start_connect`](Self::start_connect).
    pub fn start_connect_with<K: ChannelKind>(
        &self,
        client: &Client,
        greeting: &[u8],
    ) -> Result<Channel<K>, Error> {
        match &self.key {
            Some(key) => client.start_connect_to_key(self.endpoint, key, greeting),
            None => client.start_connect_greeting(self.endpoint, greeting),
        }
    }
}

/// Whom a listener lets in.
#[derive(Debug, Args)]
pub struct Admission {
    /// Let in only peers that have this key, and refuse others; may be repeated. It is what byway id show
    /// prints there
    #[arg(long = "admit", value_name = "KEYNAME", value_parser = parse::key_name, conflicts_with = "plain")]
    keys: Vec<PublicKey>,
    /// Refuse peers that have this key; may be repeated. -v tells the keys of peers
    #[arg(long = "refuse", value_name = "KEYNAME", value_parser = parse::key_name, conflicts_with_all = ["plain", "keys"])]
    refused: Vec<PublicKey>,
}

/// Lets peers in as [`Admission`] says.
#[derive(Debug)]
pub struct Door {
    admission: Admission,
    told: Told<PublicKey>,
}

impl Door {
    pub fn new(admission: Admission) -> Self {
        Self { admission, told: Told::new() }
    }

    /// Waits for a peer that is let in. Others are refused, and told once for each key.
    pub fn accept<K: ChannelKind>(
        &self,
        listener: &Listener<Channel<K>>,
    ) -> Result<Channel<K>, Error> {
        let Admission { keys, refused } = &self.admission;
        loop {
            let channel = notify::alive_until(|turn| match listener.accept_timeout(turn) {
                Err(Error::TimedOut) if turn.is_some() => None,
                accepted => Some(accepted),
            })?;
            // A channel that is not encrypted proves no key; with keys to admit none is made (--plain). Of a
            // channel that has ended meanwhile the key is not known.
            let key = match channel.peer_key() {
                Ok(Some(key)) => key,
                Ok(None) | Err(_) if keys.is_empty() => return Ok(channel),
                Ok(None) | Err(_) => continue,
            };
            let remedy = if refused.contains(&key) {
                "which --refuse names; leave that out to let it in"
            } else if !keys.is_empty() && !keys.contains(&key) {
                "which no --admit names; add it there to let it in"
            } else {
                return Ok(channel);
            };
            if self.told.is_new(key) {
                warn!("{}: turned away a peer with the key {key}, {remedy}", listener.endpoint());
            }
            channel.refuse();
        }
    }
}

/// Tells the key of a channel's peer.
pub fn tell_key<K: ChannelKind>(channel: &Channel<K>, endpoint: Endpoint) {
    match channel.peer_key() {
        Ok(Some(key)) => info!("{endpoint}: the peer has the key {key}"),
        Ok(None) => info!("{endpoint}: the peer has no key, since nothing is encrypted (--plain)"),
        // Of a channel that has ended meanwhile its reader hears.
        Err(_) => {}
    }
}
