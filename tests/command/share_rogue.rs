//! Ends of a transfer that know the code, and break the rules.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use byway::client::{Client, Config, Stream};
use byway::secure::Identity;

use crate::process::{Byway, DEADLINE, Ended, Relay};
use crate::protocol::agree::{self, Credential, Keys};
use crate::protocol::code::Code;
use crate::protocol::message::{self, Attributes, Fault, Message, Reader, Secret};

/// Of all offers.
const MARK: [u8; 32] = [1; 32];

fn client(relay: &Relay) -> (Client, byway::secure::PublicKey) {
    let identity = Identity::from_seed([9; 32]);
    let key = identity.public_key();
    let config = Config { identity: Some(identity), ..Config::new(&relay.url) };
    (Client::open(config).expect("a client"), key)
}

fn peer(stream: &Stream) -> byway::secure::PublicKey {
    stream.peer_key().expect("open").expect("encrypted")
}

/// A sender with the right code.
struct Sender {
    client: Client,
    stream: Stream,
    reader: Reader<Stream>,
}

impl Sender {
    /// A sender whose code a receiver that writes to `into` has shown to know. The secret is always the same.
    fn meet(relay: &Relay, into: &Path) -> (Self, Byway) {
        // A name is free a moment after its holder has ended, and these do not wait.
        static NUMBER: AtomicU32 = AtomicU32::new(10);
        let typed = format!("{}-rogue-words", NUMBER.fetch_add(1, Relaxed));
        Self::meet_with(relay, into, &typed, &[])
    }

    /// The same, with these options of the receiver.
    fn meet_with(relay: &Relay, into: &Path, typed: &str, options: &[&str]) -> (Self, Byway) {
        let (client, sender) = client(relay);
        let code: Code = typed.parse().expect("a code");
        let listener = client.listen(code.endpoint().expect("an endpoint")).expect("a listener");
        let output = into.to_str().expect("UTF-8");
        let args = ["receive", typed, "--output", output, "--relay", &relay.url];
        let receiver = Byway::start_args(&[&args[..], options].concat());
        let stream = listener.accept_timeout(DEADLINE).expect("the receiver");
        let keys = Keys { receiver: peer(&stream), sender };
        let mut reader = Reader::new(stream.clone());
        agree::send(&stream, &mut reader, &keys, Some(&code), &Secret([7; 32]))
            .expect("the same code");
        (Self { client, stream, reader }, receiver)
    }

    /// The receiver may refuse the first of them before the last is said.
    fn say(&self, messages: &[Message]) {
        for message in messages {
            let _ = message::say(&self.stream, message);
        }
    }

    fn say_data(&mut self, octets: &[u8]) {
        let mut frame = [&[0; message::HEADER][..], octets].concat();
        message::frame_data(&mut frame);
        let _ = self.stream.write_all(&frame);
    }

    fn hear(&mut self) -> Message {
        self.reader.message().expect("a message")
    }
}

/// The end of a receiver to which a sender says these messages, and then octets.
fn offer(relay: &Relay, into: &Path, messages: &[Message]) -> Ended {
    let (mut sender, receiver) = Sender::meet(relay, into);
    sender.say(messages);
    sender.say_data(b"octets");
    let ended = receiver.end();
    sender.client.abort();
    ended
}

fn item(name: &[u8], is_folder: bool) -> Message {
    Message::Item { name: name.to_vec(), is_folder }
}

fn file(path: &[u8], size: u64) -> Message {
    Message::File { path: path.to_vec(), size }
}

/// The end of a file with these octets.
fn end(octets: &[u8]) -> Message {
    let attributes = Attributes { mode: 0o644, changed: (1, 0) };
    Message::End { hash: *blake3::hash(octets).as_bytes(), attributes }
}

/// What is in a folder, by name.
fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("read").map(|entry| entry.expect("an entry").path());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names
}

#[test]
fn sender_that_breaks_the_rules_writes_nothing_elsewhere() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let into = directory.path().join("into");
    fs::create_dir(&into).expect("made");
    let start = Message::Offer { items: 1, files: 1, octets: 10, mark: MARK };
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
    cases.push(vec![Message::Offer { items: u32::MAX, files: 0, octets: 0, mark: MARK }]);
    cases.push(folder());
    // Where another item's hidden part is, or may be.
    cases.push(vec![start.clone(), item(b".a.01234567.byway-part", false)]);
    // A folder that is not left.
    let entered = Message::Folder { path: b"a".to_vec() };
    cases.push([folder(), vec![entered, Message::Done { gone: 0 }]].concat());
    cases.push(vec![Message::Done { gone: 0 }]);
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
    let start = Message::Offer { items: 1, files: 1, octets: 6, mark: MARK };
    // The first transfer makes the part, which is named alike the second time.
    offer(&relay, &into, &[start.clone(), item(b"a", true)]).expect_code(1);
    let part = fs::read_dir(&into).expect("read").next().expect("a part").expect("an entry").path();
    fs::remove_dir(&part).expect("removed");
    std::os::unix::fs::symlink(&out, &part).expect("linked");
    let ended = offer(&relay, &into, &[start, item(b"a", true), file(b"a/b", 6)]);
    ended.expect_code(1);
    assert_eq!(fs::read_dir(&out).expect("read").count(), 0);
}

/// As `a` and `A` do where capitals and small letters are one.
#[test]
fn names_that_lead_to_the_same_file_are_refused_and_the_first_stays() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let into = directory.path();
    let start = [Message::Offer { items: 1, files: 2, octets: 12, mark: MARK }, item(b"a", true)];
    let begin = Message::Begin { offset: 0 };
    let stop = Message::Stop(message::Stop::Failed);
    let (mut sender, receiver) = Sender::meet(&relay, into);
    sender.say(&start);
    sender.say(&[file(b"a/b", 6), begin]);
    sender.say_data(b"octets");
    sender.say(&[stop]);
    receiver.end().expect_code(1);
    sender.client.abort();
    let part = names(into).remove(0);
    fs::hard_link(part.join("b"), part.join("c")).expect("linked");
    let rest = Message::Begin { offset: 6 };
    let same = [file(b"a/b", 6), file(b"a/c", 6), rest.clone(), end(b"octets"), rest];
    let ended = offer(&relay, into, &[&start[..], &same[..]].concat());
    ended.expect_code(3).expect_line(&["a/c: another name", "leads to the same file", "--output"]);
    assert_eq!(fs::read(part.join("b")).expect("read"), b"octets");
    // Folders may not be one either.
    fs::remove_file(part.join("c")).expect("removed");
    fs::create_dir(part.join("d")).expect("made");
    let folder = |path: &[u8]| Message::Folder { path: path.to_vec() };
    let twice = [folder(b"a"), folder(b"a/d"), folder(b"a/d")];
    offer(&relay, into, &[&start[..], &twice[..]].concat()).expect_code(3);
}

#[test]
fn receiver_that_ended_between_two_places_goes_on_with_the_others() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let into = directory.path();
    let start = [
        Message::Offer { items: 2, files: 2, octets: 12, mark: MARK },
        item(b"first", false),
        item(b"second", false),
    ];
    let begin = Message::Begin { offset: 0 };
    let (mut sender, receiver) = Sender::meet(&relay, into);
    sender.say(&start);
    assert_eq!(sender.hear(), Message::Accept);
    for name in [&b"first"[..], b"second"] {
        sender.say(&[file(name, 6), begin.clone()]);
        sender.say_data(b"octets");
        sender.say(&[end(b"octets")]);
    }
    // Somebody else takes the second place meanwhile.
    fs::write(into.join("second"), "another").expect("written");
    sender.say(&[Message::Done { gone: 0 }]);
    receiver.end().expect_code(1).expect_line(&["second: ", "exists"]);
    sender.client.abort();
    assert_eq!(fs::read(into.join("first")).expect("read"), b"octets");
    assert_eq!(fs::read(into.join("second")).expect("read"), b"another");

    fs::remove_file(into.join("second")).expect("removed");
    let (mut sender, receiver) = Sender::meet(&relay, into);
    sender.say(&start);
    assert_eq!(sender.hear(), Message::Complete { faults: 0 });
    receiver.end().expect_code(0);
    sender.client.abort();
    assert_eq!(names(into), [into.join("first"), into.join("second")]);
    assert_eq!(fs::read(into.join("second")).expect("read"), b"octets");
}

#[test]
fn parts_of_a_file_that_the_sender_has_no_more_are_removed() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let into = directory.path();
    let start = [Message::Offer { items: 1, files: 3, octets: 18, mark: MARK }, item(b"a", true)];
    let folder = |path: &[u8]| Message::Folder { path: path.to_vec() };
    let begin = Message::Begin { offset: 0 };
    let (mut sender, receiver) = Sender::meet(&relay, into);
    sender.say(&start);
    sender.say(&[folder(b"a"), file(b"a/kept", 6), folder(b"a/lost"), file(b"a/lost/file", 6)]);
    sender.say(std::slice::from_ref(&begin));
    sender.say_data(b"octets");
    sender.say(&[end(b"octets"), begin]);
    sender.say_data(b"oct");
    sender.say(&[Message::Stop(message::Stop::Cancelled)]);
    receiver.end().expect_code(1).expect_line(&["the sender was ended by its user"]);
    sender.client.abort();

    let attributes = Attributes { mode: 0o755, changed: (1, 0) };
    let (mut sender, receiver) = Sender::meet(&relay, into);
    sender.say(&start);
    sender.say(&[folder(b"a"), file(b"a/kept", 6), Message::Begin { offset: 6 }, end(b"octets")]);
    sender.say(&[Message::Leave { path: b"a".to_vec(), attributes }, Message::Done { gone: 0 }]);
    assert_eq!(sender.hear(), Message::Accept);
    let has = Message::Have { size: 6, hash: *blake3::hash(b"octets").as_bytes() };
    assert_eq!(sender.hear(), has);
    assert_eq!(sender.hear(), Message::Complete { faults: 0 });
    receiver.end().expect_code(0);
    sender.client.abort();
    assert_eq!(names(&into.join("a")), [into.join("a/kept")]);
}

/// What the first run was told about names binds no later one.
#[test]
fn items_without_a_place_get_one_as_the_later_run_is_told() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let into = directory.path();
    let start = [Message::Offer { items: 1, files: 1, octets: 6, mark: MARK }, item(b"a", false)];
    let (mut sender, receiver) = Sender::meet(&relay, into);
    sender.say(&start);
    assert_eq!(sender.hear(), Message::Accept);
    sender.say(&[file(b"a", 6), Message::Begin { offset: 0 }]);
    sender.say_data(b"octets");
    fs::write(into.join("a"), "another").expect("written");
    sender.say(&[end(b"octets"), Message::Done { gone: 0 }]);
    receiver.end().expect_code(1).expect_line(&["a: ", "--overwrite or --rename"]);
    sender.client.abort();

    let (sender, receiver) = Sender::meet(&relay, into);
    sender.say(&start);
    receiver.end().expect_code(3).expect_line(&["a exists in", "--rename"]);
    sender.client.abort();
    let (mut sender, receiver) = Sender::meet_with(&relay, into, "8-rogue-words", &["--rename"]);
    sender.say(&start);
    assert_eq!(sender.hear(), Message::Complete { faults: 0 });
    receiver.end().expect_code(0);
    sender.client.abort();
    assert_eq!(names(into), [into.join("a"), into.join("a.1")]);
    assert_eq!(fs::read(into.join("a")).expect("read"), b"another");
}

/// The last message of the first transfer is lost, and the file is another by the second.
#[test]
fn end_of_an_earlier_offer_does_not_stand_for_another() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let into = directory.path();
    let offer = |mark| [Message::Offer { items: 1, files: 1, octets: 6, mark }, item(b"a", false)];
    let (mut sender, receiver) = Sender::meet(&relay, into);
    sender.say(&offer(MARK));
    assert_eq!(sender.hear(), Message::Accept);
    sender.say(&[file(b"a", 6), Message::Begin { offset: 0 }]);
    sender.say_data(b"octets");
    sender.say(&[end(b"octets"), Message::Done { gone: 0 }]);
    let have = Message::Have { size: 0, hash: *blake3::hash(b"").as_bytes() };
    assert_eq!(sender.hear(), have);
    assert_eq!(sender.hear(), Message::Complete { faults: 0 });
    // It does not hear that the sender knows.
    receiver.kill();
    sender.client.abort();
    let (sender, receiver) = Sender::meet(&relay, into);
    sender.say(&offer([2; 32]));
    receiver.end().expect_code(3).expect_line(&["a exists in", "--overwrite"]);
    sender.client.abort();
}

/// What a sender leaves out after the receiver agreed.
#[test]
fn files_that_the_sender_leaves_out_are_told_by_the_receiver() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let into = directory.path();
    let start = [Message::Offer { items: 1, files: 3, octets: 6, mark: MARK }, item(b"a", true)];
    let left = |name: &[u8], fault| Message::Left { path: name.to_vec(), fault };
    let attributes = Attributes { mode: 0o755, changed: (1, 0) };
    let (sender, receiver) = Sender::meet(&relay, into);
    sender.say(&start);
    sender.say(&[
        Message::Folder { path: b"a".to_vec() },
        left(b"a/more", Fault::Changed),
        left(b"a/../\x1b", Fault::Unreadable),
        left(b"a/link", Fault::Special),
        Message::Leave { path: b"a".to_vec(), attributes },
        Message::Done { gone: 2 },
    ]);
    receiver.end().expect_code(1).expect_lines(&[
        &["a/more did not come: it changed"],
        &["a/../\\u{1b} did not come: the sender cannot read it"],
        &["2 files went away"],
        &["1 links, devices"],
        &["received 0 files"],
        &["4 files did not come"],
    ]);
    sender.client.abort();
}

/// A stranger guesses while a receiver with the right code is there.
#[test]
fn wrong_guess_ends_nothing_once_a_receiver_has_proved_itself() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("file");
    fs::write(&path, "data").expect("written");
    let path = path.to_str().expect("UTF-8");
    let args = ["send", path, "--code", "6-another-rogue", "--relay", &relay.url];
    let mut sender = Byway::start(args);
    sender.announced();
    let code: Code = "6-another-rogue".parse().expect("a code");
    let (client, receiver) = client(&relay);
    let meet = |credential| {
        let stream = client.connect(code.endpoint().expect("an endpoint")).expect("a stream");
        let keys = Keys { receiver, sender: peer(&stream) };
        let mut reader = Reader::new(stream.clone());
        let secret = agree::receive(&stream, &mut reader, &keys, &credential);
        secret.map(|secret| (stream, reader, secret))
    };
    let offered = |reader: &mut Reader<Stream>| {
        assert!(matches!(reader.message().expect("a message"), Message::Offer { .. }));
    };
    let (stream, mut reader, secret) = meet(Credential::Words(&code)).expect("the code");
    offered(&mut reader);
    let wrong: Code = "6-wrong-guess".parse().expect("a code");
    for _ in 0..2 {
        let refused = meet(Credential::Words(&wrong)).map(|_| ());
        assert!(matches!(refused, Err(agree::Refused::WrongCode)), "{refused:?}");
    }
    sender.wait_told("somebody tried a wrong code");
    // The words are used up, and the receiver that had them goes on.
    let refused = meet(Credential::Words(&code)).map(|_| ());
    assert!(matches!(refused, Err(agree::Refused::WrongCode)), "{refused:?}");
    stream.abort();
    let (stream, mut reader, _) = meet(Credential::Secret(secret)).expect("the secret");
    offered(&mut reader);
    assert!(matches!(reader.message().expect("a message"), Message::Item { .. }));
    message::say(&stream, &Message::Complete { faults: 0 }).expect("said");
    sender.end().expect_code(0);
}

#[test]
fn files_that_come_and_go_after_the_offer_are_told_by_the_sender() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).expect("made");
    for name in ["a", "b"] {
        fs::write(tree.join(name), name).expect("written");
    }
    let path = tree.to_str().expect("UTF-8");
    let args = ["send", path, "--code", "4-another-rogue", "--relay", &relay.url];
    let mut sender = Byway::start(args);
    sender.announced();
    let code: Code = "4-another-rogue".parse().expect("a code");
    let (client, receiver) = client(&relay);
    // What the sender says between the offer, behind which its folder changes, and the end.
    let said = |change: &dyn Fn()| {
        let stream = client.connect(code.endpoint().expect("an endpoint")).expect("a stream");
        let keys = Keys { receiver, sender: peer(&stream) };
        let mut reader = Reader::new(stream.clone());
        agree::receive(&stream, &mut reader, &keys, &Credential::Words(&code)).expect("the code");
        assert!(matches!(reader.message().expect("a message"), Message::Offer { files: 2, .. }));
        assert_eq!(reader.message().expect("a message"), item(b"tree", true));
        change();
        message::say(&stream, &Message::Accept).expect("said");
        let mut said = Vec::new();
        while let Ok(message::Frame::Message(message)) = reader.next() {
            if let Message::File { .. } = message {
                let have = Message::Have { size: 0, hash: [0; 32] };
                message::say(&stream, &have).expect("said");
            }
            said.push(message);
            if let Some(Message::Begin { .. } | Message::Done { .. }) = said.last() {
                break;
            }
        }
        (stream, said)
    };
    let (stream, added) = said(&|| fs::write(tree.join("c"), "c").expect("written"));
    let count = |said: &[Message], is: fn(&Message) -> bool| said.iter().filter(|m| is(m)).count();
    assert_eq!(count(&added, |message| matches!(message, Message::File { .. })), 2, "{added:?}");
    assert_eq!(count(&added, |message| matches!(message, Message::Left { .. })), 1, "{added:?}");
    stream.abort();
    sender.wait_told("waiting for it to come again");
    fs::remove_file(tree.join("c")).expect("removed");
    let (stream, removed) = said(&|| {
        for name in ["a", "b"] {
            fs::remove_file(tree.join(name)).expect("removed");
        }
    });
    assert_eq!(removed.last(), Some(&Message::Done { gone: 2 }), "{removed:?}");
    message::say(&stream, &Message::Complete { faults: 2 }).expect("said");
    sender.end().expect_code(1).expect_lines(&[
        &["left out"],
        &["waiting for it to come again"],
        &["2 files went away"],
        &["sent 0 files"],
        &["not sent: 2 files"],
    ]);
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
        vec![Message::Done { gone: 0 }],
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
