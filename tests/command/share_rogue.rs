//! Ends of a transfer that know the code, and break the rules.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use byway::client::{Client, Config, Stream};
use byway::secure::Identity;

use crate::process::{Byway, DEADLINE, Relay};
use crate::protocol::agree::{self, Credential, Keys};
use crate::protocol::code::Code;
use crate::protocol::message::{self, Attributes, Message, Reader, Secret};

fn client(relay: &Relay) -> (Client, byway::secure::PublicKey) {
    let identity = Identity::from_seed([9; 32]);
    let key = identity.public_key();
    let config = Config { identity: Some(identity), ..Config::new(&relay.url) };
    (Client::open(config).expect("a client"), key)
}

fn peer(stream: &Stream) -> byway::secure::PublicKey {
    stream.peer_key().expect("open").expect("encrypted")
}

/// A sender with the right code, which says these messages; the end of the receiver.
fn offer(relay: &Relay, into: &Path, messages: &[Message]) -> crate::process::Ended {
    let (client, sender) = client(relay);
    // A name is free a moment after its holder has ended, and these do not wait.
    static NUMBER: AtomicU32 = AtomicU32::new(10);
    let typed = format!("{}-rogue-words", NUMBER.fetch_add(1, Relaxed));
    let code: Code = typed.parse().expect("a code");
    let listener = client.listen(code.endpoint().expect("an endpoint")).expect("a listener");
    let output = into.to_str().expect("UTF-8");
    let args = ["receive", &typed, "--output", output, "--relay", &relay.url];
    let receiver = Byway::start(args);
    let stream = listener.accept_timeout(DEADLINE).expect("the receiver");
    let keys = Keys { receiver: peer(&stream), sender };
    let mut reader = Reader::new(stream.clone());
    agree::send(&stream, &mut reader, &keys, &code, &Secret([7; 32])).expect("the same code");
    // The receiver may refuse the first of them before the last is said.
    for message in messages {
        let _ = message::say(&stream, message);
    }
    let _ = message::say_data(&stream, b"octets");
    let ended = receiver.end();
    client.abort();
    ended
}

fn item(name: &[u8], is_folder: bool) -> Message {
    Message::Item { name: name.to_vec(), is_folder }
}

fn file(path: &[u8], size: u64) -> Message {
    Message::File { path: path.to_vec(), size }
}

#[test]
fn sender_that_breaks_the_rules_writes_nothing_elsewhere() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let into = directory.path().join("into");
    fs::create_dir(&into).expect("made");
    let start = Message::Offer { items: 1, files: 1, octets: 10 };
    let folder = || vec![start.clone(), item(b"a", true)];
    let attributes = Attributes { mode: 0o6777, changed: (i64::MIN, u32::MAX) };
    let mut cases: Vec<Vec<Message>> = Vec::new();
    for name in [&b"../out"[..], b"..", b"/out", b"", b"a/b", b"\0"] {
        cases.push(vec![start.clone(), item(name, false)]);
    }
    for path in [&b"../out"[..], b"a/../../out", b"/out", b"b", b"a/", b"a//b"] {
        cases.push([folder(), vec![file(path, 6), Message::Begin { offset: 0 }]].concat());
        cases.push([folder(), vec![Message::Folder { path: path.to_vec() }]].concat());
        cases.push([folder(), vec![Message::Leave { path: path.to_vec(), attributes }]].concat());
    }
    // More than was agreed to, or than was announced.
    cases.push([folder(), vec![file(b"a/b", 11)]].concat());
    cases.push([folder(), vec![file(b"a/b", 1), file(b"a/c", 1)]].concat());
    cases.push([folder(), vec![file(b"a/b", 5), Message::Begin { offset: 0 }]].concat());
    cases.push([folder(), vec![file(b"a/b", 5), Message::Begin { offset: 3 }]].concat());
    cases.push(vec![Message::Offer { items: u32::MAX, files: 0, octets: 0 }]);
    cases.push(folder());
    cases.push(vec![Message::Done]);
    for messages in cases {
        let ended = offer(&relay, &into, &messages);
        ended.expect_code(1).expect_line(&["byway: the sender breaks the protocol"]);
        let entries = fs::read_dir(&into).expect("read").map(|entry| entry.expect("an entry"));
        let names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        let is_part = |name: &std::ffi::OsString| name.to_string_lossy().ends_with(".byway-part");
        assert!(names.iter().all(is_part), "{messages:?}: {names:?}");
        assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 1, "{messages:?}");
    }
}

/// Somebody at the receiver's machine puts a link where a part's folder is to be.
#[test]
fn link_in_the_folder_is_not_followed() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let (into, out) = (directory.path().join("into"), directory.path().join("out"));
    fs::create_dir(&into).expect("made");
    fs::create_dir(&out).expect("made");
    let start = Message::Offer { items: 1, files: 1, octets: 6 };
    // The first transfer makes the part, which is named alike the second time.
    offer(&relay, &into, &[start.clone(), item(b"a", true)]).expect_code(1);
    let part = fs::read_dir(&into).expect("read").next().expect("a part").expect("an entry").path();
    fs::remove_dir(&part).expect("removed");
    std::os::unix::fs::symlink(&out, &part).expect("linked");
    let ended = offer(&relay, &into, &[start, item(b"a", true), file(b"a/b", 6)]);
    ended.expect_code(1);
    assert_eq!(fs::read_dir(&out).expect("read").count(), 0);
}

/// A receiver that answers what it was not asked, or says that it has more than there is.
#[test]
fn receiver_that_breaks_the_rules_leaves_the_sender_waiting_for_another() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("file");
    fs::write(&path, "data").expect("written");
    let mut sender = Byway::start([
        "send",
        path.to_str().expect("UTF-8"),
        "--code",
        "5-another-rogue",
        "--relay",
        &relay.url,
    ]);
    sender.announced();
    let code: Code = "5-another-rogue".parse().expect("a code");
    let (client, receiver) = client(&relay);
    let endpoint = code.endpoint().expect("an endpoint");
    for (n, messages) in [
        vec![Message::Done],
        vec![Message::Accept, Message::Accept],
        vec![Message::Accept, Message::Words { version: 1, element: vec![1] }],
    ]
    .iter()
    .enumerate()
    {
        let stream = client.connect(endpoint).expect("a stream");
        let keys = Keys { receiver, sender: peer(&stream) };
        let mut reader = Reader::new(stream.clone());
        agree::receive(&stream, &mut reader, &keys, &Credential::Words(&code)).expect("the code");
        for message in messages {
            message::say(&stream, message).expect("said");
        }
        while sender.times_told("waiting for it to come again") <= n {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        stream.abort();
    }
    let into = tempfile::tempdir().expect("a directory");
    let output = into.path().to_str().expect("UTF-8");
    let honest = ["receive", "5-another-rogue", "--output", output, "--relay", &relay.url];
    Byway::start(honest).end().expect_code(0);
    sender.end().expect_code(0);
    assert_eq!(fs::read(into.path().join("file")).expect("read"), b"data");
}
