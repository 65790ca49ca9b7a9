//! Ends of a transfer that know the code, and say what a test wants.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use byway::client::{Client, Config, Listener, Stream};
use byway::secure::{Identity, PublicKey};

use crate::process::{Byway, DEADLINE, Ended, Relay};
use crate::protocol::agree::{self, Keys};
use crate::protocol::amount::Amount;
use crate::protocol::code::Code;
use crate::protocol::message::{self, Attributes, Message, Reader, Secret};

/// Of all offers.
pub const MARK: [u8; 32] = [1; 32];

pub fn client(relay: &Relay) -> (Client, PublicKey) {
    let identity = Identity::from_seed([9; 32]);
    let key = identity.public_key();
    let config = Config { identity: Some(identity), ..Config::new(&relay.url) };
    (Client::open(config).expect("a client"), key)
}

pub fn peer(stream: &Stream) -> PublicKey {
    stream.peer_key().expect("open").expect("encrypted")
}

/// A sender with the right code.
pub struct Sender {
    pub client: Client,
    listener: Listener<Stream>,
    key: PublicKey,
    code: Code,
    pub stream: Stream,
    pub reader: Reader<Stream>,
}

/// A receiver that knows the code, or the secret.
fn greet(listener: &Listener<Stream>, sender: PublicKey, code: &Code) -> (Stream, Reader<Stream>) {
    let stream = listener.accept_timeout(DEADLINE).expect("the receiver");
    let keys = Keys { receiver: peer(&stream), sender };
    let mut reader = Reader::new(stream.clone());
    agree::send(&stream, &mut reader, &keys, Some(code), &Secret([7; 32])).expect("the same code");
    (stream, reader)
}

impl Sender {
    /// A sender whose code a receiver that writes to `into` has shown to know. The secret is always the same.
    pub fn meet(relay: &Relay, into: &Path) -> (Self, Byway) {
        // A name is free a moment after its holder has ended, and these do not wait.
        static NUMBER: AtomicU32 = AtomicU32::new(10);
        let typed = format!("{}-rogue-words", NUMBER.fetch_add(1, Relaxed));
        Self::meet_with(relay, into, &typed, &[])
    }

    /// The same, with these options of the receiver.
    pub fn meet_with(relay: &Relay, into: &Path, typed: &str, options: &[&str]) -> (Self, Byway) {
        let (client, sender) = client(relay);
        let code: Code = typed.parse().expect("a code");
        let listener = client.listen(code.endpoint().expect("an endpoint")).expect("a listener");
        let output = into.to_str().expect("UTF-8");
        let args = ["receive", typed, "--output", output, "--relay", &relay.url];
        let receiver = Byway::start_without_privilege(&[&args[..], options].concat());
        let (stream, reader) = greet(&listener, sender, &code);
        (Self { client, listener, key: sender, code, stream, reader }, receiver)
    }

    /// Loses the receiver, which comes back by itself.
    pub fn meet_again(&mut self) {
        self.stream.abort();
        (self.stream, self.reader) = greet(&self.listener, self.key, &self.code);
    }

    /// The receiver may refuse the first of them before the last is said.
    pub fn say(&self, messages: &[Message]) {
        for message in messages {
            let _ = message::say(&self.stream, message);
        }
    }

    pub fn say_data(&mut self, octets: &[u8]) {
        let mut frame = [&[0; message::HEADER][..], octets].concat();
        message::frame_data(&mut frame);
        let _ = self.stream.write_all(&frame);
    }

    pub fn hear(&mut self) -> Message {
        self.reader.message().expect("a message")
    }
}

/// The end of a receiver to which a sender says these messages, and then octets.
pub fn offer(relay: &Relay, into: &Path, messages: &[Message]) -> Ended {
    let (mut sender, receiver) = Sender::meet(relay, into);
    sender.say(messages);
    sender.say_data(b"octets");
    let ended = receiver.end();
    sender.client.abort();
    ended
}

/// The beginning of an offer of so many items, files, folders and octets.
pub fn offering(items: u32, files: u64, folders: u64, octets: u64) -> Message {
    Message::Offer { items, amount: Amount { files, folders, octets }, mark: MARK }
}

pub fn item(name: &[u8], is_folder: bool) -> Message {
    Message::Item { name: name.to_vec(), is_folder }
}

pub fn file(path: &[u8], size: u64) -> Message {
    Message::File { path: path.to_vec(), size }
}

/// The end of a file with these octets.
pub fn end(octets: &[u8]) -> Message {
    let attributes = Attributes { mode: 0o644, changed: (1, 0) };
    Message::End { hash: *blake3::hash(octets).as_bytes(), attributes }
}

/// What is in a folder, by name.
pub fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("read").map(|entry| entry.expect("an entry").path());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names
}
