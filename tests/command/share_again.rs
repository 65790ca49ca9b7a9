//! Receivers that are started again, by senders that say what they are told.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::process::Relay;
use crate::protocol::amount::Amount;
use crate::protocol::message::{self, Attributes, Message};
use crate::share_ends::{MARK, Sender, end, file, item, names, offering};

#[test]
fn receiver_that_ended_between_two_places_goes_on_with_the_others() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let into = directory.path();
    let start = [offering(2, 2, 0, 12), item(b"first", false), item(b"second", false)];
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
    let start = [offering(1, 3, 2, 18), item(b"a", true)];
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
    let start = [offering(1, 1, 0, 6), item(b"a", false)];
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
    let amount = Amount { files: 1, folders: 0, octets: 6 };
    let offer = |mark| [Message::Offer { items: 1, amount, mark }, item(b"a", false)];
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

/// As those of a sender that is root may be.
#[test]
fn part_without_permissions_for_its_owner_is_gone_on_with() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let into = directory.path();
    let start = [offering(2, 3, 2, 18), item(b"a", true), item(b"c", false)];
    let folder = |path: &[u8]| Message::Folder { path: path.to_vec() };
    let begin = |offset| Message::Begin { offset };
    let nothing = Attributes { mode: 0, changed: (1, 0) };
    let end = Message::End { hash: *blake3::hash(b"octets").as_bytes(), attributes: nothing };
    let leave = |path: &[u8]| Message::Leave { path: path.to_vec(), attributes: nothing };
    let (mut sender, receiver) = Sender::meet(&relay, into);
    sender.say(&start);
    sender.say(&[folder(b"a"), folder(b"a/in")]);
    for path in [&b"a/in/b"[..], b"c"] {
        sender.say(&[file(path, 6), begin(0)]);
        sender.say_data(b"octets");
        sender.say(std::slice::from_ref(&end));
    }
    sender.say(&[leave(b"a/in"), leave(b"a"), Message::Stop(message::Stop::Cancelled)]);
    receiver.end().expect_code(1).expect_line(&["the sender was ended by its user"]);
    sender.client.abort();

    let (mut sender, receiver) = Sender::meet(&relay, into);
    sender.say(&start);
    assert_eq!(sender.hear(), Message::Accept);
    sender.say(&[folder(b"a"), folder(b"a/in")]);
    let has = Message::Have { size: 6, hash: *blake3::hash(b"octets").as_bytes() };
    for path in [&b"a/in/b"[..], b"c"] {
        sender.say(&[file(path, 6)]);
        assert_eq!(sender.hear(), has);
        sender.say(&[begin(6), end.clone()]);
    }
    sender.say(&[leave(b"a/in"), leave(b"a"), Message::Done { gone: 0 }]);
    assert_eq!(sender.hear(), Message::Complete { faults: 0 });
    receiver.end().expect_code(0);
    sender.client.abort();
    assert_eq!(names(into), [into.join("a"), into.join("c")]);
    let mode = |path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    assert_eq!((mode(into.join("a")), mode(into.join("c"))), (0, 0));
    // The directory is removed at the end, by whom these permissions may bind.
    fs::set_permissions(into.join("a"), PermissionsExt::from_mode(0o700)).expect("set");
    fs::set_permissions(into.join("a/in"), PermissionsExt::from_mode(0o700)).expect("set");
}
