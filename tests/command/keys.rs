//! Keys of peers: the user's own, pinned ones, admitted ones, and secrets that peers share.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use byway::client::IdentityFile;
use tempfile::TempDir;

use crate::process::{Byway, DEADLINE, Relay};

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of UTF-8")
}

/// A new identity: its file and its key name.
fn identity(directory: &TempDir, name: &str) -> (PathBuf, String) {
    let file = IdentityFile::new(directory.path().join(name));
    let key = file.create().expect("an identity").public_key();
    (file.path().to_owned(), key.to_string())
}

/// A home directory whose variables a shell sets.
fn at_home<const N: usize>(variables: &str, args: [&str; N]) -> Byway {
    let script = format!("unset XDG_CONFIG_HOME HOME; export {variables}; exec \"$@\"");
    Byway::start_by(&script, args)
}

/// The word behind `text` in what was told.
fn word_behind(told: &[String], text: &str) -> String {
    let line = told.iter().find(|line| line.contains(text)).unwrap_or_else(|| panic!("{told:?}"));
    let rest = line.split_once(text).expect("contained").1;
    rest.split_whitespace().next().expect("a word").to_owned()
}

/// Joins a listener and a connector, carries a few octets, and gives what both told.
fn exchange(mut listen: Byway, connect: impl FnOnce() -> Byway) -> [Vec<String>; 2] {
    listen.wait_told("listening on");
    let mut connect = connect();
    connect.stdin().write_all(b"hello").expect("taken");
    drop(listen.stdin());
    let mut got = String::new();
    listen.stdout().read_to_string(&mut got).expect("stdout");
    assert_eq!(got, "hello");
    let (listen, connect) = (listen.end(), connect.end());
    listen.expect_code(0);
    connect.expect_code(0);
    [listen.told, connect.told]
}

/// Runs a command that connects and is refused.
fn refused<const N: usize>(args: [&str; N], code: i32, parts: &[&str]) {
    let mut connect = Byway::start(args);
    let _open = connect.stdin();
    connect.end().expect_code(code).expect_line(parts);
}

#[test]
fn key_of_a_user_is_made_at_first_use_and_stays() {
    let relay = Relay::start();
    let homes = [directory(), directory()];
    let variables = homes.each_ref().map(|home| format!("HOME={}", text(home.path())));
    let mut keys = Vec::new();
    for is_first in [true, false] {
        let start = |i: usize, action| {
            at_home(&variables[i], [action, "home:1", "-v", "--relay", &relay.url])
        };
        let told = exchange(start(0, "listen"), || start(1, "connect"));
        let made = if is_first { "a new identity, with the key " } else { "this end has the key " };
        let own = told.each_ref().map(|told| word_behind(told, made));
        let peers = told.each_ref().map(|told| word_behind(told, "the peer has the key "));
        assert_eq!([&own[0], &own[1]], [&peers[1], &peers[0]], "each end tells the other's");
        keys.push(own);
    }
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0][0], keys[0][1]);
    for home in &homes {
        let path = home.path().join(".config/byway/identity");
        assert_eq!(fs::metadata(path).expect("there").permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn listener_met_before_is_refused_when_its_key_changed_and_the_remedy_told() {
    let relay = Relay::start();
    let (user, cameras) = (directory(), directory());
    let [(first, key), (second, _)] = ["first", "second"].map(|name| identity(&cameras, name));
    let variables = format!("HOME={}", text(user.path()));
    let listen = |file: &Path| {
        Byway::start(["listen", "camera:1", "--relay", &relay.url, "--identity", text(file)])
    };
    let connect = || at_home(&variables, ["connect", "camera:1", "--relay", &relay.url]);
    let [_, told] = exchange(listen(&first), connect);
    assert!(told.is_empty(), "{told:?}");
    let file = user.path().join(".config/byway/known_peers");
    let line = fs::read_to_string(&file).expect("known");
    assert!(line.contains("camera:1") && line.contains(&key), "{line}");

    let mut other = listen(&second);
    other.wait_told("listening on");
    let mut refused = connect();
    let _open = refused.stdin();
    let refused = refused.end();
    refused.expect_code(3);
    let [warning, error] = &refused.told[..] else { panic!("{:?}", refused.told) };
    for part in ["camera:1", "its key changed", &key, "remove its line", text(&file)] {
        assert!(warning.contains(part), "{part:?} in {warning:?}");
    }
    assert!(error.contains("the listener has another key than expected"), "{error}");
    // Nothing is kept, or known, of those that want none of it.
    let none = ["connect", "camera:1", "--relay", &relay.url, "--known-peers", "none"];
    exchange(other, || at_home(&variables, none));
    fs::remove_file(&file).expect("removed");
    exchange(listen(&second), connect);
    assert_ne!(fs::read_to_string(&file).expect("known"), line);
}

#[test]
fn user_without_a_home_that_can_be_written_has_a_key_for_each_run() {
    let relay = Relay::start();
    let mut keys = Vec::new();
    for variables in ["NO=HOME", "HOME=/proc/nothing", "HOME=/dev/null", "HOME=/proc/nothing"] {
        let start = |action| at_home(variables, [action, "home:1", "-v", "--relay", &relay.url]);
        for told in exchange(start("listen"), || start("connect")) {
            assert!(
                told.iter().any(|line| line.contains("this run has a key of its own")),
                "{told:?}"
            );
            keys.push(word_behind(&told, "the peer has the key "));
        }
        // Without -v nobody has to know.
        let start = |action| at_home(variables, [action, "home:1", "--relay", &relay.url]);
        let [listen, connect] = exchange(start("listen"), || start("connect"));
        assert_eq!((listen.len(), connect.len()), (1, 0), "{listen:?} {connect:?}");
    }
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all, "no key is used twice");
    // Where the own key name is asked for, there has to be one that is kept.
    at_home("NO=HOME", ["listen", "@:1", "--relay", &relay.url])
        .end()
        .expect_code(2)
        .expect_line(&["no home directory", "--identity"]);
}

#[test]
fn identity_at_home_that_others_may_read_is_no_silent_other_key() {
    let home = directory();
    let (path, _) = identity(&home, ".config/byway/identity");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("changed");
    let variables = format!("HOME={}", text(home.path()));
    for action in ["listen", "connect"] {
        at_home(&variables, [action, "home:1", "--relay", "http://127.0.0.1:1"])
            .end()
            .expect_code(2)
            .expect_line(&[text(&path), "others may read it (mode 644)", "chmod 600"]);
    }
}

#[test]
fn own_key_name_is_there_at_first_use() {
    let relay = Relay::start();
    let home = directory();
    let variables = format!("HOME={}", text(home.path()));
    let start = |action| at_home(&variables, [action, "@:7", "-v", "--relay", &relay.url]);
    let [listen, _] = exchange(start("listen"), || start("connect"));
    let key = word_behind(&listen, "a new identity, with the key ");
    assert_eq!(word_behind(&listen, "listening on "), format!("{key}:7"));
}

#[test]
fn listener_with_another_key_than_the_pinned_is_refused() {
    let directory = directory();
    let (camera, key) = identity(&directory, "camera");
    let (_, other) = identity(&directory, "other");
    let relay = Relay::start();
    let listen =
        Byway::start(["listen", "camera:1", "--identity", text(&camera), "--relay", &relay.url]);
    let connect =
        |key: &str| Byway::start(["connect", "camera:1", "--peer-key", key, "--relay", &relay.url]);
    let told = exchange(listen, || {
        let mut wrong = connect(&other);
        let _open = wrong.stdin();
        wrong.end().expect_code(3).expect_line(&["another key than expected", "ask its owner"]);
        connect(&key)
    });
    assert_eq!(told.each_ref().map(Vec::len), [1, 0], "{told:?}");
    for (args, parts) in [
        (["--peer-key", "camera", "-v"], ["no key name", "byway id show"]),
        (["--peer-key", &key[..44], "-v"], ["holds no key", "copy the whole"]),
        (["--peer-key", &key, "--plain"], ["--plain", "cannot be used with"]),
    ] {
        let [a, b, c] = args;
        refused(["connect", "camera:1", a, b, c, "--relay", &relay.url], 2, &parts);
    }
}

#[test]
fn pinned_key_counts_for_each_forwarded_connection() {
    let directory = directory();
    let (camera, key) = identity(&directory, "camera");
    let (_, other) = identity(&directory, "other");
    let relay = Relay::start();
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = server.local_addr().expect("bound").to_string();
    let identity = text(&camera);
    let mut listen = Byway::start([
        "listen",
        "camera:1",
        "--to",
        &to,
        "--identity",
        identity,
        "--relay",
        &relay.url,
    ]);
    listen.wait_told("listening on");
    let connect = |key: &str| {
        let args = [
            "connect",
            "camera:1",
            "--from",
            "127.0.0.1:0",
            "--peer-key",
            key,
            "--relay",
            &relay.url,
        ];
        let mut connect = Byway::start(args);
        let (address, _) = connect.announced();
        (connect, TcpStream::connect(address).expect("accepted"))
    };
    let (mut wrong, mut tcp) = connect(&other);
    tcp.set_read_timeout(Some(DEADLINE)).expect("set");
    assert!(!matches!(tcp.read(&mut [0]), Ok(1..)), "ended without an octet");
    wrong.wait_told("another key than expected");
    let (_right, mut tcp) = connect(&key);
    tcp.write_all(b"hello").expect("taken");
    let mut got = [0; 5];
    server.accept().expect("dialled").0.read_exact(&mut got).expect("carried");
    assert_eq!(&got, b"hello");
}

#[test]
fn listener_lets_in_the_keys_that_it_was_told_alone() {
    let directory = directory();
    let (first, first_key) = identity(&directory, "first");
    let (second, second_key) = identity(&directory, "second");
    let (third, third_key) = identity(&directory, "third");
    let relay = Relay::start();
    let connect = |identity: &Path| {
        Byway::start(["connect", "camera:1", "--identity", text(identity), "--relay", &relay.url])
    };
    let listen = || {
        let args = [
            "listen",
            "camera:1",
            "--admit",
            &first_key,
            "--admit",
            &second_key,
            "--relay",
            &relay.url,
        ];
        Byway::start(args)
    };
    for admitted in [&first, &second] {
        let told = exchange(listen(), || {
            let mut stranger = connect(&third);
            let _open = stranger.stdin();
            let parts = ["does not admit this client's key", "ask its owner"];
            stranger.end().expect_code(3).expect_line(&parts);
            connect(admitted)
        });
        assert_eq!(told.each_ref().map(Vec::len), [2, 0], "{told:?}");
        for part in ["turned away", &third_key, "--admit"] {
            assert!(told[0][1].contains(part), "{part:?} in {told:?}");
        }
    }
    // Forwarding, too: the server hears of nobody else.
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = server.local_addr().expect("bound").to_string();
    let args = ["listen", "camera:2", "--to", &to, "--admit", &first_key, "--relay", &relay.url];
    let mut forward = Byway::start(args);
    forward.wait_told("listening on");
    let connect = |identity: &Path| {
        Byway::start(["connect", "camera:2", "--identity", text(identity), "--relay", &relay.url])
    };
    let mut stranger = connect(&third);
    stranger.stdin().write_all(b"let me in").expect("taken");
    stranger.end().expect_code(3).expect_line(&["does not admit this client's key"]);
    let mut friend = connect(&first);
    friend.stdin().write_all(b"it is me").expect("taken");
    let accepted = thread::spawn(move || {
        let (mut tcp, _) = server.accept().expect("dialled");
        let mut got = String::new();
        tcp.read_to_string(&mut got).expect("read");
        got
    });
    friend.end().expect_code(0);
    assert_eq!(accepted.join().expect("served"), "it is me");
    refused(
        ["listen", "camera:1", "--admit", &first_key, "--plain", "--relay", &relay.url],
        2,
        &["--plain", "cannot be used with"],
    );
}

#[test]
fn peers_without_the_shared_secret_get_no_channel() {
    let directory = directory();
    let secret = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("changed");
        path
    };
    let (right, wrong) = (secret("right", &"5a".repeat(32)), secret("wrong", &"5b".repeat(32)));
    let relay = Relay::start();
    let start = |action, secret: &Path| {
        let file = text(secret);
        Byway::start([
            action,
            "camera:1",
            "--shared-secret-file",
            file,
            "-vvv",
            "--relay",
            &relay.url,
        ])
    };
    let [listen, connect] = exchange(start("listen", &right), || {
        let mut stranger = start("connect", &wrong);
        let _open = stranger.stdin();
        let stranger = stranger.end();
        assert!(!stranger.status.success());
        let last = stranger.told.last().expect("a line");
        assert!(last.contains("give both ends the same shared secret"), "{last}");
        refused(
            ["connect", "camera:1", "--relay", &relay.url],
            3,
            &["give both ends the same shared secret"],
        );
        start("connect", &right)
    });
    for line in listen.iter().chain(&connect) {
        assert!(!line.contains("5a5a5a5a") && !line.contains("90, 90, 90"), "{line}");
    }
    let path = text(&right);
    let use_it = ["connect", "camera:1", "--shared-secret-file", path, "--relay", &relay.url];
    fs::set_permissions(&right, Permissions::from_mode(0o640)).expect("changed");
    refused(use_it, 2, &[path, "others may read it (mode 640)", "chmod 600"]);
    fs::set_permissions(&right, Permissions::from_mode(0o600)).expect("changed");
    fs::write(&right, "5a5a").expect("written");
    refused(use_it, 2, &[path, "64 hexadecimal digits", "openssl rand -hex 32"]);
    fs::remove_file(&right).expect("removed");
    refused(use_it, 2, &[path, "there is no shared secret yet"]);
}
