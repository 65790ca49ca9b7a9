//! Identities: their files, their key names, and who may listen there.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::bytes::read_all;
use crate::process::{Byway, Relay};

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of UTF-8")
}

/// Runs `byway id` to its end; its only line on stdout.
fn id<const N: usize>(args: [&str; N]) -> String {
    let mut process = Byway::start(args);
    let mut line = String::new();
    process.stdout().read_to_string(&mut line).expect("stdout");
    process.end().expect_code(0).expect_nothing_told();
    let name = line.strip_suffix('\n').expect("a line");
    assert!(name.len() == 45 && name.starts_with("k."), "{name}");
    name.to_owned()
}

fn fails<const N: usize>(args: [&str; N], code: i32, parts: &[&str]) {
    let mut process = Byway::start(args);
    drop(process.stdin());
    assert_eq!(read_all(process.stdout(), |_| {}).expect("stdout").0, 0);
    process.end().expect_code(code).expect_line(parts);
}

/// A new identity: its file and its key name.
fn identity(directory: &TempDir, name: &str) -> (PathBuf, String) {
    let path = directory.path().join(name);
    let name = id(["id", "new", "--file", text(&path)]);
    (path, name)
}

#[test]
fn identity_is_made_once_and_kept_for_its_owner() {
    let directory = directory();
    let (path, name) = identity(&directory, "deep/er/identity");
    let file = text(&path);
    assert_eq!(id(["id", "show", "--file", file]), name);
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let before = fs::read(&path).expect("readable");
    fails(["id", "new", "--file", file], 2, &[file, "there is an identity, which stays"]);
    assert_eq!(fs::read(&path).expect("readable"), before);
    // Whatever umask: no identity is for others to read.
    let other = directory.path().join("other");
    let mut loose =
        Byway::start_by("umask 000; exec \"$@\"", ["id", "new", "--file", text(&other)]);
    drop(loose.stdout());
    let _ = loose.end();
    assert_eq!(fs::metadata(&other).expect("there").permissions().mode() & 0o777, 0o600);
}

#[test]
fn document_has_the_key_name() {
    let directory = directory();
    let (path, name) = identity(&directory, "identity");
    let other = directory.path().join("other");
    for (args, known) in [
        (["id", "show", "--json", "--file", text(&path)], Some(&name)),
        (["id", "new", "--json", "--file", text(&other)], None),
    ] {
        let mut process = Byway::start(args);
        let mut document = String::new();
        process.stdout().read_to_string(&mut document).expect("stdout");
        process.end().expect_code(0).expect_nothing_told();
        let document: serde_json::Value = serde_json::from_str(&document).expect("one document");
        let kept = id(["id", "show", "--file", args[4]]);
        assert_eq!(document["key_name"], kept.as_str());
        assert!(known.is_none_or(|known| *known == kept));
    }
}

#[test]
fn identity_that_others_may_read_is_refused_with_the_remedy() {
    let directory = directory();
    let (path, _) = identity(&directory, "identity");
    let file = text(&path);
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("changed");
    let parts = [file, "others may read it (mode 640)", "chmod 600"];
    fails(["id", "show", "--file", file], 2, &parts);
    let args = ["listen", "@:1", "--identity", file, "--relay", "http://127.0.0.1:1"];
    fails(args, 2, &parts);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("changed");
    fs::write(&path, "something else\n").expect("written");
    fails(["id", "show", "--file", file], 2, &[file, "no identity, or a damaged one"]);
    fs::remove_file(&path).expect("removed");
    fails(["id", "show", "--file", file], 2, &[file, "byway id new"]);
    let readonly = "/proc/nothing/identity";
    fails(["id", "new", "--file", readonly], 1, &[readonly]);
}

#[test]
fn identity_at_home_is_where_the_specification_has_it() {
    let directory = directory();
    let home = text(directory.path());
    let at_home = |variable: &str, args| {
        let script = format!("unset XDG_CONFIG_HOME HOME; export {variable}; exec \"$@\"");
        let mut process = Byway::start_by::<2>(&script, args);
        let mut line = String::new();
        process.stdout().read_to_string(&mut line).expect("stdout");
        process.end().expect_code(0);
        line
    };
    let made = at_home(&format!("HOME={home}"), ["id", "new"]);
    assert!(directory.path().join(".config/byway/identity").is_file());
    assert_eq!(at_home(&format!("XDG_CONFIG_HOME={home}/.config"), ["id", "show"]), made);
    let mut homeless = Byway::start_by("unset XDG_CONFIG_HOME HOME; exec \"$@\"", ["id", "show"]);
    drop(homeless.stdin());
    homeless.end().expect_code(2).expect_line(&["no home directory", "--file"]);
}

#[test]
fn processes_that_make_an_identity_at_once_agree_on_one() {
    let directory = directory();
    let path = directory.path().join("identity");
    let all: Vec<_> = (0..8).map(|_| Byway::start(["id", "new", "--file", text(&path)])).collect();
    let mut made = 0;
    for mut process in all {
        let mut line = String::new();
        process.stdout().read_to_string(&mut line).expect("stdout");
        let ended = process.end();
        if ended.status.success() {
            made += 1;
            assert_eq!(line.trim_end(), id(["id", "show", "--file", text(&path)]));
        } else {
            ended.expect_code(2).expect_line(&["there is an identity"]);
        }
    }
    assert_eq!(made, 1);
    assert_eq!(directory.path().read_dir().expect("readable").count(), 1);
}

#[test]
fn picture_is_for_terminals_alone() {
    let directory = directory();
    let (path, name) = identity(&directory, "identity");
    // `script` runs the command at a terminal.
    let command = format!("'{}' id show --file '{}'", env!("CARGO_BIN_EXE_byway"), text(&path));
    let output = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .expect("script, of util-linux");
    let shown = String::from_utf8(output.stdout).expect("UTF-8");
    let mut lines = shown.lines();
    assert_eq!(lines.next(), Some(name.as_str()));
    let picture: Vec<_> = lines.collect();
    // Version 3 of the code has 29 modules, and four more on each side; a line has two of them.
    assert_eq!(picture.len(), (29_usize + 8).div_ceil(2), "{shown}");
    let width = |line: &str| line.chars().filter(|c| " ▀▄█".contains(*c)).count();
    assert!(picture.iter().all(|line| width(line) >= 37), "{shown}");
    // To a pipe goes the name alone, as every other test here has it.
    assert_eq!(id(["id", "show", "--file", text(&path)]), name);
}

#[test]
fn own_key_name_is_listened_on_and_nobody_else_can() {
    let directory = directory();
    let (path, name) = identity(&directory, "identity");
    let (other, _) = identity(&directory, "other");
    let relay = Relay::start();
    let endpoint = format!("{name}:7");
    let mut listen =
        Byway::start(["listen", "@:7", "--identity", text(&path), "--relay", &relay.url]);
    listen.wait_told(&format!("listening on {endpoint}"));
    let foreign = ["key name of another identity", "give that one"];
    let args = ["listen", &endpoint, "--identity", text(&other), "--relay", &relay.url];
    fails(args, 2, &foreign);
    let missing = directory.path().join("missing");
    let args = ["listen", "@:7", "--identity", text(&missing), "--relay", &relay.url];
    fails(args, 2, &["byway id new"]);
    let cut = format!("{}:7", &name[..40]);
    fails(["connect", &cut, "--relay", &relay.url], 2, &["no key name", "copy the whole"]);
    // Connecting takes nothing but the name.
    let mut connect = Byway::start(["connect", &endpoint, "--relay", &relay.url]);
    connect.stdin().write_all(b"hello").expect("taken");
    let mut got = String::new();
    drop(listen.stdin());
    listen.stdout().read_to_string(&mut got).expect("stdout");
    assert_eq!(got, "hello");
    connect.end().expect_code(0);
    listen.end().expect_code(0);
}

#[test]
fn newer_process_of_the_identity_takes_over_and_the_older_ends_with_the_cause() {
    let directory = directory();
    let (path, name) = identity(&directory, "identity");
    let relay = Relay::start();
    let listen =
        || Byway::start(["listen", "@:7", "--identity", text(&path), "--relay", &relay.url]);
    let mut older = listen();
    older.wait_told(&name);
    let mut newer = listen();
    newer.wait_told(&name);
    older
        .end()
        .expect_code(3)
        .expect_lines(&[&["listening on"], &["endpoint taken over", "run only one"]]);
    let mut connect = Byway::start(["connect", &format!("{name}:7"), "--relay", &relay.url]);
    connect.stdin().write_all(b"to the newer").expect("taken");
    let mut got = String::new();
    drop(newer.stdin());
    newer.stdout().read_to_string(&mut got).expect("stdout");
    assert_eq!(got, "to the newer");
}

#[test]
fn relay_that_was_told_its_hosts_refuses_proofs_for_others() {
    let directory = directory();
    let (path, name) = identity(&directory, "identity");
    let start =
        |host| Relay::of(Byway::start(["relay", "--listen", "127.0.0.1:0", "--host", host]));
    let wrong = start("relay.example.org");
    let args = ["listen", "@:7", "--identity", text(&path), "--relay", &wrong.url];
    fails(args, 2, &["does not take the proof", "--host"]);
    let right = start("127.0.0.1");
    let mut listen =
        Byway::start(["listen", "@:7", "--identity", text(&path), "--relay", &right.url]);
    listen.wait_told(&name);
    fails(["relay", "--host", "http://relay:80"], 2, &["--host", "no URL, no port"]);
}

#[test]
fn secret_of_the_identity_is_in_no_log() {
    let directory = directory();
    let (path, name) = identity(&directory, "identity");
    let kept = fs::read_to_string(&path).expect("readable");
    let secret = kept.lines().nth(1).expect("the seed");
    let relay = Relay::of(Byway::start(["relay", "-vvv", "--listen", "127.0.0.1:0"]));
    let file = text(&path);
    let mut listen =
        Byway::start(["listen", "-vvv", "@:7", "--identity", file, "--relay", &relay.url]);
    listen.wait_told("listening on");
    let mut connect =
        Byway::start(["connect", "-vvv", &format!("{name}:7"), "--relay", &relay.url]);
    drop(connect.stdin());
    drop(listen.stdin());
    let told = [listen.end().told, connect.end().told].concat();
    assert!(told.iter().any(|line| line.contains("Park")), "the log is there: {told:?}");
    assert!(!told.iter().any(|line| line.contains(secret)));
    relay.signal("TERM");
    let (ended, _) = relay.end();
    assert!(
        ended.told.iter().any(|line| line.contains(&name)),
        "the key is told: {:?}",
        ended.told
    );
    assert!(!ended.told.iter().any(|line| line.contains(secret)));
}
