//! Senders that know the code, and break the rules.

use std::fs;

use crate::process::Relay;
use crate::protocol::message::{self, Attributes, Fault, Message};
use crate::share_ends::{Sender, end, file, item, names, offer, offering};

#[test]
fn sender_that_breaks_the_rules_writes_nothing_elsewhere() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let into = directory.path().join("into");
    fs::create_dir(&into).expect("made");
    let start = offering(1, 1, 1, 10);
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
    let entered = |path: &[u8]| Message::Folder { path: path.to_vec() };
    cases.push([folder(), vec![entered(b"a"), entered(b"a/b")]].concat());
    cases.push([folder(), vec![file(b"a/b", 5), Message::Begin { offset: 0 }]].concat());
    cases.push([folder(), vec![file(b"a/b", 5), Message::Begin { offset: 3 }]].concat());
    cases.push(vec![offering(u32::MAX, 0, 0, 0)]);
    cases.push(folder());
    // Where another item's hidden part is, or may be.
    cases.push(vec![start.clone(), item(b".a.01234567.byway-part", false)]);
    // A folder that is not left.
    cases.push([folder(), vec![entered(b"a"), Message::Done { gone: 0 }]].concat());
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
    let start = offering(1, 1, 1, 6);
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
    let start = [offering(1, 2, 3, 12), item(b"a", true)];
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

/// What a sender leaves out after the receiver agreed.
#[test]
fn files_that_the_sender_leaves_out_are_told_by_the_receiver() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let into = directory.path();
    let start = [offering(1, 3, 1, 6), item(b"a", true)];
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
        &["left out by the sender: 1 link, device"],
        &["received 0 files"],
        &["4 files did not come"],
    ]);
    sender.client.abort();
}

/// What a sender says is told, and does not fill the disk of somebody that keeps the log.
#[test]
fn files_that_are_left_out_without_end_are_not_told_one_by_one() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let (sender, receiver) = Sender::meet(&relay, directory.path());
    sender.say(&[offering(1, 1, 1, 6), item(b"a", true)]);
    let left = Message::Left { path: b"a/b".to_vec(), fault: Fault::Changed };
    sender.say(&vec![left; 3000]);
    sender.say(&[Message::Done { gone: 0 }]);
    let ended = receiver.end();
    ended.expect_code(1);
    assert!(ended.told.len() < 1010, "{} lines", ended.told.len());
    let told = |text: &str| ended.told.iter().any(|line| line.contains(text));
    assert!(told("more did not come") && told("3000 files did not come"), "{:?}", ended.told);
    sender.client.abort();
}

#[test]
fn offer_that_has_grown_beyond_the_room_is_refused_when_the_sender_comes_back() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let (mut sender, receiver) = Sender::meet(&relay, directory.path());
    sender.say(&[offering(1, 1, 0, 6), item(b"a", false)]);
    assert_eq!(sender.hear(), Message::Accept);
    sender.meet_again();
    sender.say(&[offering(1, 1, 0, u64::MAX / 2), item(b"a", false)]);
    let told: [&[&str]; 2] = [&["the sender is lost"], &["has room for", "free some"]];
    receiver.end().expect_code(1).expect_lines(&told);
    sender.client.abort();
}

/// Of each the receiver keeps a path until it is left.
#[test]
fn folders_that_are_entered_without_end_are_refused() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let entered = (0..1000).map(|n| Message::Folder { path: format!("a/{n}").into_bytes() });
    let start =
        [offering(1, 0, 2000, 0), item(b"a", true), Message::Folder { path: b"a".to_vec() }];
    let messages: Vec<_> = start.into_iter().chain(entered).collect();
    let ended = offer(&relay, directory.path(), &messages);
    ended.expect_code(1).expect_line(&["breaks the protocol", "too many folders entered"]);
}
