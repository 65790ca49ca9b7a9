//! The channel that a transfer is on, if there is one, which a signal ends in order.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use byway::client::{Client, Stream};
use byway::secure::Identity;

use super::agree::Keys;
use super::message::{self, Message, Stop};
use crate::cli::failure::CommandError;
use crate::cli::open::{PARTING, reach};
use crate::cli::options::ClientOptions;
use crate::cli::signals::Signals;
use byway::client::Security;
use byway::secure::PublicKey;
use byway::session::Profile;
use std::time::Duration;

/// Channels that may wait for the one that is greeted.
const BACKLOG: u8 = 4;

/// The client of a transfer, and its channel.
#[derive(Debug, Clone)]
pub struct Line {
    pub client: Client,
    /// How long this end waits for the other.
    pub patience: Duration,
    key: PublicKey,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    current: Mutex<Option<Stream>>,
    /// Held while a frame is written, so that a signal's farewell goes between two.
    turn: Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    /// Opens a client with a key for its life alone: the code says whom it is with, and no file of known peers.
    pub fn open(options: &ClientOptions, owner: Option<[u8; 16]>) -> Result<Self, CommandError> {
        options.check()?;
        let mut config = options.config(Profile::PC, BACKLOG)?;
        if config.security == Security::Plain {
            return Err(CommandError::usage("a transfer is always encrypted; leave out --plain"));
        }
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(no_entropy)?;
        let identity = Identity::from_seed(seed);
        let key = identity.public_key();
        config.identity = Some(identity);
        config.known_peers = None;
        config.owner = config.owner.or(owner);
        config.shared_secret = options.shared_secret()?;
        let patience = config.connect_timeout;
        let client = reach(config)?;
        let shared = Arc::new(Shared::default());
        let line = Self { client, patience, key, shared };
        let ending = line.clone();
        Signals::catch()?.then_exit(move || ending.cancel())?;
        Ok(line)
    }

    /// The channel's keys, where this end receives.
    pub fn keys_of_receiver(&self, stream: &Stream) -> Result<Keys, byway::Error> {
        Ok(Keys { receiver: self.key, sender: peer(stream)? })
    }

    /// The channel's keys, where this end sends.
    pub fn keys_of_sender(&self, stream: &Stream) -> Result<Keys, byway::Error> {
        Ok(Keys { receiver: peer(stream)?, sender: self.key })
    }

    /// This channel is the transfer's from now on; the one before is given up.
    pub fn take(&self, stream: &Stream) {
        if let Some(before) = lock(&self.shared.current).replace(stream.clone()) {
            before.abort();
        }
    }

    pub fn say(&self, stream: &Stream, message: &Message) -> io::Result<()> {
        self.write(stream, &message::frame(message)?)
    }

    /// Writes whole frames.
    pub fn write(&self, mut stream: &Stream, frames: &[u8]) -> io::Result<()> {
        let _turn = lock(&self.shared.turn);
        stream.write_all(frames)
    }

    /// Tells the other end, if that can be done soon, that this end's user wants no more.
    fn cancel(&self) {
        let (told, hears) = mpsc::channel();
        let line = self.clone();
        let teller = thread::Builder::new().spawn(move || {
            // The turn is not given back: nothing is written behind the farewell.
            let _turn = lock(&line.shared.turn);
            let stream = lock(&line.shared.current).clone();
            if let Some(stream) = stream {
                message::stop(&stream, Stop::Cancelled);
            }
            let _ = told.send(());
            loop {
                thread::park();
            }
        });
        if teller.is_ok() {
            let _ = hears.recv_timeout(PARTING);
        }
        if let Some(stream) = lock(&self.shared.current).take() {
            stream.abort();
        }
        // The signal asked for an end: that a peer does not hear of it is no error.
        let _ = self.client.close(PARTING);
    }
}

fn peer(stream: &Stream) -> Result<PublicKey, byway::Error> {
    stream.peer_key()?.ok_or(byway::Error::Peer(byway::error::PeerError::Handshake))
}

/// The system gives no random numbers.
pub fn no_entropy(error: getrandom::Error) -> CommandError {
    CommandError::failed(format_args!("the system gives no random numbers: {error}; try again"))
}
