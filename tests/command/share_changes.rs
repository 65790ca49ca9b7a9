//! Files that change between `byway send` and the receiver, and what does not come.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::process::{Byway, Relay};
use crate::share::{folders, receive, send};

/// A folder with two files of it, which is sent.
fn tree(from: &Path) -> PathBuf {
    let tree = from.join("tree");
    fs::create_dir(&tree).expect("made");
    fs::write(tree.join("a"), "a").expect("written");
    fs::write(tree.join("b"), "b").expect("written");
    tree
}

/// A file, which is sent.
fn log(from: &Path) -> PathBuf {
    let file = from.join("log");
    fs::write(&file, "first").expect("written");
    file
}

fn overwrite(relay: &Relay, code: &str, into: &Path) -> Byway {
    let into = into.to_str().expect("UTF-8");
    let args = ["receive", code, "--overwrite", "-y", "--output", into, "--relay", &relay.url];
    Byway::start(args)
}

#[test]
fn file_that_grew_before_the_receiver_comes_is_sent_as_it_is_then() {
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let file = log(&from);
    fs::write(into.join("log"), "good").expect("written");
    let (sender, code) = send(&relay, &file);
    fs::write(&file, "first and more").expect("written");
    overwrite(&relay, &code, &into).end().expect_code(0);
    sender.end().expect_code(0);
    assert_eq!(fs::read(into.join("log")).expect("read"), b"first and more");
}

#[test]
fn file_that_is_gone_before_the_receiver_comes_is_told_and_replaces_nothing() {
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let file = log(&from);
    fs::write(into.join("log"), "good").expect("written");
    let (sender, code) = send(&relay, &file);
    fs::remove_file(&file).expect("removed");
    let receiver = overwrite(&relay, &code, &into).end();
    receiver.expect_code(1).expect_lines(&[
        &["log did not come", "cannot read it"],
        &["received 0 files"],
        &["1 file did not come"],
    ]);
    sender.end().expect_code(1).expect_lines(&[
        &["1 file or folder cannot be read or found"],
        &["log cannot be read"],
        &["sent 0 files"],
        &["not sent: 1 file"],
    ]);
    assert_eq!(fs::read(into.join("log")).expect("read"), b"good");
    assert_eq!(fs::read_dir(&into).expect("read").count(), 1);
}

#[test]
fn item_that_became_a_folder_before_the_receiver_comes_is_told() {
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let file = log(&from);
    let (sender, code) = send(&relay, &file);
    fs::remove_file(&file).expect("removed");
    fs::create_dir(&file).expect("made");
    receive(&relay, &code, &into).end().expect_code(1).expect_lines(&[
        &["log did not come", "changed"],
        &["received 0 files"],
        &["1 file did not come"],
    ]);
    sender.end().expect_code(1).expect_lines(&[
        &["1 file or folder cannot be read or found"],
        &["log changed"],
        &["sent 0 files"],
        &["not sent: 1 file"],
    ]);
    assert_eq!(fs::read_dir(&into).expect("read").count(), 0);
}

#[test]
fn folder_that_changed_before_the_receiver_comes_is_sent_as_it_is_then() {
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let tree = tree(&from);
    let (sender, code) = send(&relay, &tree);
    fs::remove_file(tree.join("a")).expect("removed");
    fs::write(tree.join("c"), "c").expect("written");
    fs::write(tree.join("d"), "d").expect("written");
    receive(&relay, &code, &into).end().expect_code(0);
    sender.end().expect_code(0);
    let entries = fs::read_dir(into.join("tree")).expect("read");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["b", "c", "d"]);
}

/// What is no file is told at both ends, and is no fault.
#[test]
fn links_that_are_left_out_are_told_at_both_ends() {
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let tree = tree(&from);
    std::os::unix::fs::symlink("a", tree.join("link")).expect("linked");
    let (sender, code) = send(&relay, &tree);
    let told: &[&str] = &["1 link, device"];
    receive(&relay, &code, &into).end().expect_code(0).expect_lines(&[told, &["received 2"]]);
    sender.end().expect_code(0).expect_lines(&[told, &["sent 2"]]);
}

/// Neither is in the list of processes.
#[test]
fn code_is_read_from_a_line_of_stdin_or_the_environment() {
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let tree = tree(&from);
    let output = into.to_str().expect("UTF-8");
    for script in [
        "program=$1 code=$2; shift 2; echo \"$code\" | \"$program\" \"$@\"",
        "program=$1; export BYWAY_CODE=\"$2\"; shift 2; exec \"$program\" \"$@\" </dev/null",
    ] {
        let (sender, code) = send(&relay, &tree);
        let args = [&*code, "receive", "--overwrite", "--output", output, "--relay", &relay.url];
        Byway::start_by(script, args).end().expect_code(0);
        sender.end().expect_code(0);
    }
    let none = "exec \"$@\" </dev/null";
    let args = ["receive", "--output", output, "--relay", &relay.url];
    Byway::start_by(none, args).end().expect_code(2).expect_line(&["it is empty", "7-crane"]);
}

#[test]
fn permissions_are_those_that_the_umask_of_the_receiver_leaves() {
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let tree = tree(&from);
    fs::set_permissions(tree.join("a"), PermissionsExt::from_mode(0o777)).expect("set");
    fs::set_permissions(tree.join("b"), PermissionsExt::from_mode(0o400)).expect("set");
    fs::set_permissions(&tree, PermissionsExt::from_mode(0o777)).expect("set");
    let (sender, code) = send(&relay, &tree);
    let output = into.to_str().expect("UTF-8");
    let args = ["receive", &code, "--output", output, "--relay", &relay.url];
    Byway::start_by("umask 027; exec \"$@\"", args).end().expect_code(0);
    sender.end().expect_code(0);
    for (name, mode) in [("tree", 0o750), ("tree/a", 0o750), ("tree/b", 0o400)] {
        let metadata = fs::metadata(into.join(name)).expect("there");
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{name}");
    }
}

/// What is there may be read-only, and what comes into it, too; both are so again afterwards.
#[test]
fn folder_that_may_not_be_written_to_takes_what_comes_into_it() {
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let tree = tree(&from);
    fs::create_dir(tree.join("new")).expect("made");
    fs::write(tree.join("new/c"), "c").expect("written");
    let there = into.join("tree");
    fs::create_dir_all(there.join("deep")).expect("made");
    fs::create_dir(tree.join("deep")).expect("made");
    fs::write(tree.join("deep/d"), "d").expect("written");
    fs::write(there.join("a"), "old").expect("written");
    let set = |path: &Path, mode| {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("set");
    };
    set(&tree.join("new"), 0o555);
    set(&there.join("deep"), 0o055);
    set(&there, 0o555);
    let (sender, code) = send(&relay, &tree);
    let output = into.to_str().expect("UTF-8");
    let args = ["receive", &code, "--overwrite", "--output", output, "--relay", &relay.url];
    Byway::start_without_privilege(&args).end().expect_code(0);
    sender.end().expect_code(0);
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    let modes = [mode(&there), mode(&there.join("deep")), mode(&there.join("new"))];
    for path in [&there, &there.join("deep"), &there.join("new"), &tree.join("new")] {
        set(path, 0o755);
    }
    assert_eq!(modes, [0o555, 0o055, 0o555]);
    for (name, text) in [("a", "a"), ("b", "b"), ("new/c", "c"), ("deep/d", "d")] {
        assert_eq!(fs::read_to_string(there.join(name)).expect("read"), text);
    }
}

#[test]
fn code_of_no_sender_is_told_by_its_number() {
    let relay = Relay::start();
    let args = ["receive", "77-no-such-code", "--timeout", "1", "--relay", &relay.url];
    Byway::start(args).end().expect_code(3).expect_lines(&[
        &["no byway send has the number 77 yet", "waiting up to 1 s"],
        &["no byway send has the number 77 at this relay", "check the code"],
    ]);
}

/// They are announced long before they are left.
#[test]
fn folders_beside_each_other_arrive_however_many_they_are() {
    let relay = Relay::start();
    let (_directory, from, into) = folders();
    let tree = from.join("tree");
    for n in 0..3000 {
        fs::create_dir_all(tree.join(n.to_string())).expect("made");
    }
    let (sender, code) = send(&relay, &tree);
    receive(&relay, &code, &into).end().expect_code(0);
    sender.end().expect_code(0);
    assert_eq!(fs::read_dir(into.join("tree")).expect("read").count(), 3000);
}
