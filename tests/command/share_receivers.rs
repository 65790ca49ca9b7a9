//! Senders, and receivers and strangers that say what they like.

use std::fs;

use byway::client::{Client, Stream};
use byway::secure::PublicKey;

use crate::process::{Byway, Relay};
use crate::protocol::agree::{self, Credential, Keys};
use crate::protocol::code::Code;
use crate::protocol::message::{self, Fault, Message, Reader};
use crate::share_ends::{client, file, item, peer};

/// A receiver's channel to a sender that took the words of the code.
fn agreed(client: &Client, receiver: PublicKey, code: &Code) -> (Stream, Reader<Stream>) {
    let stream = client.connect(code.endpoint().expect("an endpoint")).expect("a stream");
    let keys = Keys { receiver, sender: peer(&stream) };
    let mut reader = Reader::new(stream.clone());
    agree::receive(&stream, &mut reader, &keys, &Credential::Words(code)).expect("the code");
    (stream, reader)
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
        let (stream, mut reader) = agreed(&client, receiver, &code);
        assert!(matches!(reader.message().expect("a message"), Message::Offer { .. }));
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

/// A file that has grown does not take the room of the next.
#[test]
fn file_that_grew_after_the_offer_is_left_out_alone() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let [grown, same] = ["grown", "same"].map(|name| directory.path().join(name));
    for path in [&grown, &same] {
        fs::write(path, "octets").expect("written");
    }
    let paths = [&grown, &same].map(|path| path.to_str().expect("UTF-8"));
    let args = ["send", paths[0], paths[1], "--code", "3-another-rogue", "--relay", &relay.url];
    let mut sender = Byway::start(args);
    sender.announced();
    let code: Code = "3-another-rogue".parse().expect("a code");
    let (client, receiver) = client(&relay);
    let (stream, mut reader) = agreed(&client, receiver, &code);
    let offered: Vec<_> = (0..3).map(|_| reader.message().expect("a message")).collect();
    assert_eq!(offered[1..], [item(b"grown", false), item(b"same", false)]);
    fs::write(&grown, "octets and more").expect("written");
    message::say(&stream, &Message::Accept).expect("said");
    let left = Message::Left { path: b"grown".to_vec(), fault: Fault::Changed };
    assert_eq!(reader.message().expect("a message"), left);
    assert_eq!(reader.message().expect("a message"), file(b"same", 6));
    drop(sender);
    client.abort();
}

/// A folder that is new takes no place of one that was offered, and nothing in it is sent.
#[test]
fn folder_that_is_new_after_the_offer_is_left_out_with_its_files() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).expect("made");
    let path = tree.to_str().expect("UTF-8");
    let args = ["send", path, "--code", "2-another-rogue", "--relay", &relay.url];
    let mut sender = Byway::start(args);
    sender.announced();
    let code: Code = "2-another-rogue".parse().expect("a code");
    let (client, receiver) = client(&relay);
    let (stream, mut reader) = agreed(&client, receiver, &code);
    assert!(matches!(reader.message().expect("a message"), Message::Offer { .. }));
    assert_eq!(reader.message().expect("a message"), item(b"tree", true));
    fs::create_dir(tree.join("new")).expect("made");
    fs::write(tree.join("new/file"), "").expect("written");
    message::say(&stream, &Message::Accept).expect("said");
    let mut said = || reader.message().expect("a message");
    assert_eq!(said(), Message::Folder { path: b"tree".to_vec() });
    let left = Message::Left { path: b"tree/new".to_vec(), fault: Fault::Changed };
    assert_eq!(said(), left);
    assert!(matches!(said(), Message::Leave { path, .. } if path == b"tree"));
    assert_eq!(said(), Message::Done { gone: 0 });
    message::say(&stream, &Message::Complete { faults: 1 }).expect("said");
    sender.end().expect_code(1);
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
    for (n, messages) in [
        vec![Message::Done { gone: 0 }],
        vec![Message::Accept, Message::Accept],
        vec![Message::Accept, Message::Words { version: 1, element: vec![1] }],
    ]
    .iter()
    .enumerate()
    {
        let (stream, _reader) = agreed(&client, receiver, &code);
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
