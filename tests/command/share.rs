//! Files from `byway send` to `byway receive`.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, Config};
use byway::secure::Identity;
use tempfile::TempDir;

use crate::bytes::Noise;
use crate::process::{Byway, DEADLINE, Ended, Relay};
use crate::terminal::Terminal;

/// A sender that has told its code.
pub fn send(relay: &Relay, path: &Path) -> (Byway, String) {
    let path = path.to_str().expect("UTF-8");
    let mut sender = Byway::start(["send", path, "--relay", &relay.url]);
    let (line, _) = sender.announced();
    let words: Vec<_> = line.split(' ').collect();
    assert_eq!(words[..2], ["byway", "receive"], "{line}");
    assert_eq!(words[3..], ["--relay", &relay.url], "{line}");
    (sender, words[2].to_owned())
}

pub fn receive(relay: &Relay, code: &str, into: &Path) -> Byway {
    let into = into.to_str().expect("UTF-8");
    Byway::start(["receive", code, "--output", into, "--relay", &relay.url])
}

/// Two folders: one to send from, one to receive into.
pub fn folders() -> (TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let (from, into) = (directory.path().join("from"), directory.path().join("into"));
    fs::create_dir(&from).expect("made");
    fs::create_dir(&into).expect("made");
    (directory, from, into)
}

fn write_noise(path: &Path, len: usize) {
    let file = fs::File::create(path).expect("made");
    Noise::new(5).write(file, len).expect("written");
}

/// The octets that a process says it carried.
fn carried(told: &[String]) -> u64 {
    let line =
        told.iter().find(|line| line.contains("octets were carried")).expect("the last line");
    let words: Vec<_> = line.split(' ').collect();
    let at = words.iter().position(|word| *word == "octets").expect("a count");
    words[at - 1].parse().expect("a number")
}

/// Octets of hidden parts in a folder.
fn parts(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let hidden =
        entries.filter(|entry| entry.file_name().to_string_lossy().ends_with("byway-part"));
    hidden.map(|entry| entry.metadata().map_or(0, |metadata| metadata.len())).sum()
}

fn wait_for_parts(folder: &Path, octets: u64) {
    let start = Instant::now();
    while parts(folder) < octets {
        assert!(start.elapsed() < DEADLINE, "{} octets came", parts(folder));
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn folder_arrives_with_its_files_modes_and_times() {
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let tree = from.join("tree");
    fs::create_dir_all(tree.join("a/b")).expect("made");
    fs::create_dir(tree.join("empty")).expect("made");
    for n in 0..2000 {
        fs::write(tree.join(format!("a/b/{n}")), format!("file {n}")).expect("written");
    }
    fs::write(tree.join("nothing"), "").expect("written");
    fs::write(tree.join("odd \u{7} name"), "odd").expect("written");
    write_noise(&tree.join("large"), 3_000_000);
    fs::set_permissions(tree.join("large"), PermissionsExt::from_mode(0o4751)).expect("set");
    fs::set_permissions(tree.join("a"), PermissionsExt::from_mode(0o555)).expect("set");
    std::os::unix::fs::symlink("/etc/passwd", tree.join("link")).expect("linked");

    let (mut sender, code) = send(&relay, &tree);
    receive(&relay, &code, &into).end().expect_code(0);
    sender.wait_told("left out: 1 link, device");
    sender.end().expect_code(0);

    let there = into.join("tree");
    for n in 0..2000 {
        assert_eq!(
            fs::read_to_string(there.join(format!("a/b/{n}"))).expect("read"),
            format!("file {n}")
        );
    }
    for name in ["a", "a/b", "empty", "nothing", "odd \u{7} name", "large"] {
        let [old, new] = [&tree, &there].map(|at| fs::metadata(at.join(name)).expect("there"));
        assert_eq!(old.modified().expect("a time"), new.modified().expect("a time"), "{name}");
        assert_eq!(old.permissions().mode() & 0o777, new.permissions().mode() & 0o7777, "{name}");
    }
    assert_eq!(
        fs::read(tree.join("large")).expect("read"),
        fs::read(there.join("large")).expect("read")
    );
    assert!(!there.join("link").is_symlink());
    assert_eq!(fs::read_dir(&into).expect("read").count(), 1);
}

#[test]
fn wrong_code_is_told_at_both_ends_and_uses_the_code_up() {
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let file = from.join("file");
    fs::write(&file, "secret").expect("written");
    let (sender, code) = send(&relay, &file);
    let number = code.split('-').next().expect("a number");
    let wrong = receive(&relay, &format!("{number}-some-other-words"), &into);
    wrong.end().expect_code(3).expect_line(&["the code is not the sender's", "ask the sender"]);
    sender
        .end()
        .expect_code(3)
        .expect_line(&["somebody tried a wrong code", "run byway send again"]);
    assert_eq!(fs::read_dir(&into).expect("read").count(), 0);
    // The same command has another code then.
    let (_sender, other) = send(&relay, &file);
    assert_ne!(other, code);
}

/// A stranger that only connects has not tried a code.
#[test]
fn connection_that_ends_before_its_proof_leaves_the_code_good() {
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let file = from.join("file");
    fs::write(&file, "data").expect("written");
    let (sender, code) = send(&relay, &file);
    let number = code.split('-').next().expect("a number");
    let client = Client::open(Config::new(&relay.url)).expect("a client");
    for junk in [&b""[..], &[0, 0, 0, 1, 200], &[255; 40], &[0, 0, 0, 2, 10, 0]] {
        let mut stream = client.connect(format!("send-{number}:1").as_str()).expect("a stream");
        stream.write_all(junk).expect("written");
        stream.shutdown(std::net::Shutdown::Write).expect("shut");
        let _ = stream.read_to_end(&mut Vec::new());
    }
    receive(&relay, &code, &into).end().expect_code(0);
    sender.end().expect_code(0);
    assert_eq!(fs::read(into.join("file")).expect("read"), b"data");
}

/// The relay could listen at the name with a key of its own, and pass on what both ends say.
#[test]
fn somebody_between_with_keys_of_his_own_is_found_out_before_any_name() {
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let file = from.join("a-telling-name");
    fs::write(&file, "data").expect("written");
    let (sender, code) = send(&relay, &file);
    let (number, words) = code.split_once('-').expect("a code");
    let other = if number == "1" { "2" } else { "1" };
    let client = |seed| {
        let identity = Some(Identity::from_seed([seed; 32]));
        Client::open(Config { identity, ..Config::new(&relay.url) }).expect("a client")
    };
    let (to_sender, to_receiver) = (client(1), client(2));
    let listener = to_receiver.listen(format!("send-{other}:1").as_str()).expect("a listener");
    let receiver = receive(&relay, &format!("{other}-{words}"), &into);
    let theirs = listener.accept_timeout(DEADLINE).expect("the receiver");
    let ours = to_sender.connect(format!("send-{number}:1").as_str()).expect("the sender");
    let pass = |mut from: byway::client::Stream, mut to: byway::client::Stream| {
        thread::spawn(move || {
            let (mut passed, mut buffer) = (Vec::<u8>::new(), [0; 4096]);
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                passed.extend(&buffer[..n]);
                if to.write_all(&buffer[..n]).is_err() {
                    break;
                }
            }
            passed
        })
    };
    let up = pass(theirs.clone(), ours.clone());
    let down = pass(ours, theirs);
    receiver.end().expect_code(3).expect_line(&["the code is not the sender's", "stands between"]);
    sender.end().expect_code(3).expect_line(&["somebody tried a wrong code"]);
    let passed = [up.join().expect("passed"), down.join().expect("passed")].concat();
    assert!(!passed.windows(14).any(|octets| octets == b"a-telling-name"));
}

#[test]
fn receiver_that_was_killed_goes_on_where_it_ended() {
    const LEN: usize = 150_000_000;
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let file = from.join("large");
    write_noise(&file, LEN);
    let (sender, code) = send(&relay, &file);
    let receiver = receive(&relay, &code, &into);
    wait_for_parts(&into, 20_000_000);
    receiver.kill();
    let before = parts(&into);
    assert!(before < LEN as u64);
    let ended = receive(&relay, &code, &into).end();
    ended.expect_code(0);
    assert_eq!(carried(&ended.told), LEN as u64 - before, "only what was missing");
    sender.end().expect_code(0);
    assert!(fs::read(&file).expect("read") == fs::read(into.join("large")).expect("read"));
}

#[test]
fn sender_that_was_killed_goes_on_with_the_receiver_that_still_runs() {
    const LEN: usize = 150_000_000;
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let file = from.join("large");
    write_noise(&file, LEN);
    let (sender, code) = send(&relay, &file);
    let receiver = receive(&relay, &code, &into);
    wait_for_parts(&into, 20_000_000);
    sender.kill();
    let (sender, again) = send(&relay, &file);
    assert_eq!(again, code);
    let ended = sender.end();
    ended.expect_code(0);
    assert!(carried(&ended.told) <= LEN as u64 - 20_000_000, "{:?}", ended.told);
    receiver.end().expect_code(0);
    assert!(fs::read(&file).expect("read") == fs::read(into.join("large")).expect("read"));
}

#[test]
fn file_that_is_there_is_replaced_or_renamed_only_when_told() {
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let file = from.join("file");
    fs::write(&file, "new").expect("written");
    fs::write(into.join("file"), "old").expect("written");
    let (sender, code) = send(&relay, &file);
    let refused = receive(&relay, &code, &into);
    refused.end().expect_code(3).expect_line(&["file exists", "--overwrite or --rename"]);
    let into_text = into.to_str().expect("UTF-8");
    let with = |option, code: &str| {
        Byway::start(["receive", code, option, "--output", into_text, "--relay", &relay.url])
    };
    with("--rename", &code).end().expect_code(0);
    sender.end().expect_code(0);
    assert_eq!(fs::read(into.join("file")).expect("read"), b"old");
    assert_eq!(fs::read(into.join("file.1")).expect("read"), b"new");
    let (sender, code) = send(&relay, &file);
    with("--overwrite", &code).end().expect_code(0);
    sender.end().expect_code(0);
    assert_eq!(fs::read(into.join("file")).expect("read"), b"new");
}

/// The ends of a sender and its receiver, one of which has a signal in the middle; what came stays.
fn ended_in_the_middle(signal: impl FnOnce(&Byway, &Byway)) -> (Ended, Ended) {
    const LEN: usize = 400_000_000;
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let file = from.join("large");
    write_noise(&file, LEN);
    let (sender, code) = send(&relay, &file);
    let receiver = receive(&relay, &code, &into);
    wait_for_parts(&into, 1_000_000);
    signal(&sender, &receiver);
    let ends = (sender.end(), receiver.end());
    assert!(parts(&into) > 0);
    ends
}

#[test]
fn end_by_ctrl_c_is_told_to_the_other_side() {
    let (sender, receiver) = ended_in_the_middle(|_, receiver| receiver.signal("INT"));
    receiver.expect_code(130);
    sender.expect_code(1).expect_line(&["the receiver was ended by its user", "to go on"]);
}

#[test]
fn sender_that_is_ended_by_its_user_says_so() {
    let (sender, receiver) = ended_in_the_middle(|sender, _| sender.signal("TERM"));
    sender.expect_code(143);
    receiver.expect_code(1).expect_line(&["the sender was ended by its user", "what came stays"]);
}

#[test]
fn user_at_a_terminal_is_asked_before_anything_is_replaced_or_received() {
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let (old, new) = (into.join("file"), from.join("file"));
    fs::write(&old, "old").expect("written");
    fs::write(&new, "new").expect("written");
    let (sender, code) = send(&relay, &new);
    let output = into.to_str().expect("UTF-8");
    let args = ["receive", &code, "--output", output, "--relay", &relay.url];
    let (replace, receive) = ("file exists: replace it? [y/N]", "file: 1 file, 3 B. Receive into");

    let mut receiver = Terminal::start(args);
    receiver.answer(replace, "n");
    receiver.end(3, "file exists in");
    let mut receiver = Terminal::start(args);
    receiver.answer(replace, "y");
    receiver.answer(receive, "yes");
    receiver.end(0, "received 1 file;");
    sender.end().expect_code(0);
    assert_eq!(fs::read(&old).expect("read"), b"new");

    fs::remove_file(&old).expect("removed");
    let (sender, code) = send(&relay, &new);
    let args = ["receive", &code, "--output", output, "--relay", &relay.url];
    let mut receiver = Terminal::start(args);
    receiver.answer(receive, "");
    receiver.end(1, "nothing was received, as you said");
    sender.end().expect_code(3).expect_line(&["the receiver does not want it"]);
    assert_eq!(fs::read_dir(&into).expect("read").count(), 0);
}

/// A folder on a small file system that is full in the middle: root alone can make one.
#[test]
fn disk_that_is_full_is_told_and_the_transfer_goes_on_once_there_is_room() {
    let (_directory, from, into) = folders();
    let mount = |options: &str| {
        let target = into.to_str().expect("UTF-8");
        let args = ["-t", "tmpfs", "-o", options, "tmpfs", target];
        Command::new("mount").args(args).output().is_ok_and(|done| done.status.success())
    };
    if !mount("size=8m") {
        eprintln!("not run: this user cannot mount a file system");
        return;
    }
    let relay = Relay::start();
    let file = from.join("large");
    write_noise(&file, 6_000_000);
    let filler = into.join("filler");
    let (sender, code) = send(&relay, &file);
    // Too little room is told beforehand.
    write_noise(&filler, 5_000_000);
    receive(&relay, &code, &into).end().expect_code(1).expect_line(&["has room for", "free some"]);
    fs::write(&filler, "").expect("emptied");
    // What is begun is not asked for room again, and finds none in the middle.
    let output = into.to_str().expect("UTF-8");
    let args = ["receive", &code, "--output", output, "--relay", &relay.url];
    let script = "ulimit -f 2000; trap '' XFSZ; exec \"$@\"";
    let cut = Byway::start_by(script, args).end();
    cut.expect_code(1).expect_line(&["large", "goes on where this ended"]);
    write_noise(&filler, 5_000_000);
    let full = receive(&relay, &code, &into).end();
    full.expect_code(1).expect_line(&["No space left", "free some room"]);
    fs::remove_file(&filler).expect("removed");
    receive(&relay, &code, &into).end().expect_code(0);
    sender.end().expect_code(0);
    assert!(fs::read(&file).expect("read") == fs::read(into.join("large")).expect("read"));
    let _ = Command::new("umount").arg("-l").arg(&into).status();
}

#[test]
fn json_tells_programs_the_code_and_the_end_and_errors() {
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let file = from.join("file");
    fs::write(&file, "data").expect("written");
    let event = |line: &str| -> serde_json::Value { serde_json::from_str(line).expect("JSON") };
    let path = file.to_str().expect("UTF-8");
    let mut sender = Byway::start(["send", path, "--json", "--relay", &relay.url]);
    let (line, more) = sender.announced();
    let told = event(&line);
    assert_eq!(told["event"], "code");
    let output = into.to_str().expect("UTF-8");
    let code = told["code"].as_str().expect("a code");
    let args = ["receive", code, "--json", "--output", output, "--relay", &relay.url];
    let mut receiver = Byway::start(args);
    let done = event(&receiver.announced().0);
    assert_eq!(
        (&done["event"], &done["files"], &done["carried"]),
        (&"done".into(), &1.into(), &4.into())
    );
    receiver.end().expect_code(0);
    sender.end().expect_code(0);
    assert_eq!(event(&more.recv().expect("a line"))["event"], "done");
    let mut wrong = Byway::start(["receive", "nonsense", "--json", "--relay", &relay.url]);
    assert_eq!(event(&wrong.announced().0)["event"], "error");
    wrong.end().expect_code(2);
}

#[test]
fn file_that_changes_while_it_is_sent_is_told_and_all_others_arrive() {
    const LEN: usize = 100_000_000;
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let tree = from.join("tree");
    fs::create_dir(&tree).expect("made");
    write_noise(&tree.join("large"), LEN);
    fs::write(tree.join("small"), "small").expect("written");
    let (sender, code) = send(&relay, &tree);
    let receiver = receive(&relay, &code, &into);
    let start = Instant::now();
    let is_begun = || {
        let parts = fs::read_dir(&into).expect("read").map(|entry| entry.expect("an entry").path());
        parts.into_iter().any(|part| fs::metadata(part.join("large")).is_ok_and(|m| m.len() > 0))
    };
    while !is_begun() {
        assert!(start.elapsed() < DEADLINE);
        thread::sleep(Duration::from_millis(1));
    }
    fs::write(tree.join("large"), "other").expect("written");
    sender.end().expect_code(1).expect_lines(&[
        &["large changed while it was sent"],
        &["sent 1 file;"],
        &["not sent: 1 file,"],
    ]);
    receiver.end().expect_code(1);
    assert!(!into.join("tree/large").exists());
    assert_eq!(fs::read(into.join("tree/small")).expect("read"), b"small");
}
