//! Whom the command is connected with: pinned and admitted keys.

use byway::client::{Client, Listener, Stream};
use byway::secure::PublicKey;
use byway::{Endpoint, Error};
use clap::Args;
use tracing::info;

use super::parse;

/// Where the command connects to.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub endpoint: Endpoint,
    /// The key that the listener is to have, if the name does not say it.
    pub key: Option<PublicKey>,
}

impl Target {
    /// Asks for a stream to the listener, and does not wait for the answer.
    pub fn start_connect(&self, client: &Client) -> Result<Stream, Error> {
        self.start_connect_with(client, &[])
    }

    /// Asks with a greeting; else as [`start_connect`](Self::start_connect).
    pub fn start_connect_with(&self, client: &Client, greeting: &[u8]) -> Result<Stream, Error> {
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

impl Admission {
    /// Makes the listener let in these peers alone, or all but these, if the user named any.
    pub fn apply(&self, listener: &Listener<Stream>) {
        if !self.keys.is_empty() {
            listener.admit(self.keys.iter().copied());
        }
        listener.refuse(self.refused.iter().copied());
    }
}

/// Tells the key of a stream's peer.
pub fn tell_key(stream: &Stream, endpoint: Endpoint) {
    match stream.peer_key() {
        Ok(Some(key)) => info!("{endpoint}: the peer has the key {key}"),
        Ok(None) => info!("{endpoint}: the peer has no key, since nothing is encrypted (--plain)"),
        // Of a channel that has ended meanwhile its reader hears.
        Err(_) => {}
    }
}
