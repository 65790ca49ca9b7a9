//! Commands for connections: `listen --exec`.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Byway, DEADLINE, Relay};

fn listen(relay: &Relay, command: &str) -> Byway {
    let mut listen = Byway::start(["listen", "run:1", "--exec", command, "--relay", &relay.url]);
    listen.wait_told("listening on run:1");
    listen
}

fn connect(relay: &Relay) -> Byway {
    Byway::start(["connect", "run:1", "--relay", &relay.url])
}

fn all(process: &mut Byway) -> String {
    let mut text = String::new();
    process.stdout().read_to_string(&mut text).expect("stdout");
    text
}

/// Waits until a file has a line, and gives the number in it.
fn number(path: &Path) -> u32 {
    let until = Instant::now() + DEADLINE;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if let Some(line) = text.strip_suffix('\n') {
            return line.parse().expect("a number");
        }
        assert!(Instant::now() < until, "nothing in {path:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a process is gone; a zombie is not.
fn wait_gone(pid: u32) {
    let until = Instant::now() + DEADLINE;
    while Path::new(&format!("/proc/{pid}")).exists() {
        assert!(Instant::now() < until, "{pid} is still there");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn command_has_the_connection_as_stdin_and_stdout() {
    let relay = Relay::start();
    let _listen = listen(&relay, "tr a-z A-Z; echo done");
    for word in ["one", "two"] {
        let mut client = connect(&relay);
        client.stdin().write_all(word.as_bytes()).expect("taken");
        assert_eq!(all(&mut client), format!("{}done\n", word.to_uppercase()));
        client.end().expect_code(0).expect_nothing_told();
    }
}

#[test]
fn command_is_told_the_endpoint_and_the_key_of_the_peer_and_no_token_or_proxy() {
    let relay = Relay::start();
    let script = "export BYWAY_TOKEN=0123456789012345 BYWAY_PROXY=none; exec \"$@\"";
    let command = "echo $BYWAY_ENDPOINT $BYWAY_PEER_KEY $BYWAY_TOKEN $BYWAY_PROXY";
    let args = ["listen", "run:1", "--exec", command, "--relay", &relay.url];
    let mut listen = Byway::start_by(script, args);
    listen.wait_told("listening on run:1");
    let mut client = connect(&relay);
    drop(client.stdin());
    let told = all(&mut client);
    let words: Vec<_> = told.split_whitespace().collect();
    assert!(matches!(words[..], ["run:1", key] if key.starts_with("k.")), "{told:?}");
    client.end().expect_code(0);
}

#[test]
fn exit_of_the_command_ends_the_connection_whatever_is_unread_or_left_behind() {
    let relay = Relay::start();
    let _listen = listen(&relay, "sleep 1000 & echo $!; head -c 1");
    let mut client = connect(&relay);
    let mut stdin = client.stdin();
    stdin.write_all(&[b'x'; 10_000]).expect("taken");
    let told = all(&mut client);
    let pid = told.strip_suffix("\nx").expect("a line and an octet");
    // What the command left behind runs on.
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    drop(stdin);
    client.end().expect_code(0);
    let killed = std::process::Command::new("kill").arg(pid).status();
    assert!(killed.is_ok_and(|status| status.success()));
}

#[test]
fn command_whose_connection_broke_off_gets_a_hangup_and_is_reaped() {
    let (relay, directory) = (Relay::start(), tempfile::tempdir().expect("a directory"));
    let path = directory.path().join("pid");
    let script = format!("echo $$ >{}; exec sleep 1000", path.display());
    let _listen = listen(&relay, &script);
    let client = connect(&relay);
    let pid = number(&path);
    client.signal("TERM");
    client.end();
    wait_gone(pid);
}

#[test]
fn command_that_ignores_the_hangup_is_killed() {
    let (relay, directory) = (Relay::start(), tempfile::tempdir().expect("a directory"));
    let path = directory.path().join("pid");
    let script = format!("trap '' HUP; echo $$ >{}; exec sleep 1000", path.display());
    let listen = listen(&relay, &script);
    let client = connect(&relay);
    let pid = number(&path);
    client.signal("TERM");
    client.end();
    wait_gone(pid);
    fs::remove_file(&path).expect("removed");
    // The same at the end of the listening process.
    let _client = connect(&relay);
    let pid = number(&path);
    listen.signal("TERM");
    listen.end().expect_code(143);
    wait_gone(pid);
}
