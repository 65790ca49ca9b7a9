//! ssh by way of the relay, with a program that stands for ssh.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use crate::process::{Byway, Relay};

/// A directory with a program `ssh` that runs `script`.
fn with_ssh(script: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let ssh = directory.path().join("ssh");
    fs::write(&ssh, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(&ssh, Permissions::from_mode(0o755)).expect("changed");
    directory
}

/// Runs the command with that directory before all others of PATH.
fn start<const N: usize>(ssh: &TempDir, args: [&str; N]) -> Byway {
    let script = format!("export PATH='{}':\"$PATH\"; exec \"$@\"", ssh.path().display());
    Byway::start_by(&script, args)
}

fn printed(mut process: Byway) -> String {
    drop(process.stdin());
    let mut text = String::new();
    process.stdout().read_to_string(&mut text).expect("stdout");
    process.end().expect_code(0).expect_nothing_told();
    text
}

#[test]
fn ssh_gets_its_arguments_unchanged_and_no_secret_by_arguments() {
    let ssh =
        with_ssh("printf '%s\\n' \"$@\"; echo \"$BYWAY_TOKEN $BYWAY_TOKEN_FILE $BYWAY_HEADERS\"");
    let args = [
        "ssh",
        "--relay",
        "http://127.0.0.1:9",
        "--user-agent",
        "it's 5%h $HOME",
        "--header",
        "X-Key: hushed",
        "--token",
        "hush-hush",
        "me@board",
        "-v",
        "-p",
        "2222",
        "--",
        "echo  a",
        "--token",
    ];
    let text = printed(start(&ssh, args));
    let lines: Vec<&str> = text.lines().collect();
    let [option, proxy, rest @ .., environment] = &lines[..] else { panic!("{text}") };
    assert_eq!(*option, "-o");
    assert!(proxy.starts_with("ProxyCommand="), "{proxy}");
    assert!(proxy.ends_with(" board:%p"), "{proxy}");
    assert!(proxy.contains("connect --relay http://127.0.0.1:9 --user-agent "), "{proxy}");
    assert!(proxy.contains("5%%h") && !proxy.contains("hush"), "{proxy}");
    assert_eq!(rest, ["me@board", "-v", "-p", "2222", "--", "echo  a", "--token"]);
    assert_eq!(*environment, "hush-hush  X-Key: hushed");
}

#[test]
fn proxy_command_of_ssh_carries_to_the_port_of_the_name() {
    let relay = Relay::start();
    let mut listen = Byway::start(["listen", "Board:22", "--relay", &relay.url]);
    listen.wait_told("listening on Board:22");
    // As ssh does: by a shell, with the port in the place of %p, and % in that of %%.
    let ssh = with_ssh(
        "command=$(printf %s \"${2#ProxyCommand=}\" | sed 's/%p/22/; s/%%/%/g'); exec sh -c \"exec $command\"",
    );
    let header = "X-Odd: it's 5%h \"$HOME\" `id`";
    let agent = "it's 5%h \"$HOME\" `id`";
    let args =
        ["ssh", "--header", header, "--user-agent", agent, "--relay", &relay.url, "me@Board"];
    let mut connect = start(&ssh, args);
    connect.stdin().write_all(b"hello").expect("taken");
    drop(listen.stdin());
    let mut got = String::new();
    listen.stdout().read_to_string(&mut got).expect("stdout");
    assert_eq!(got, "hello");
    listen.end().expect_code(0);
    connect.end().expect_code(0);
}

#[test]
fn missing_ssh_and_wrong_destinations_are_told_with_the_remedy() {
    let nothing = tempfile::tempdir().expect("a directory");
    let script = format!("export PATH='{}'; exec \"$@\"", nothing.path().display());
    let args = ["ssh", "--relay", "http://127.0.0.1:9", "board"];
    let ended = Byway::start_by(&script, args).end();
    ended.expect_code(2).expect_line(&["no program ssh", "install"]);
    let relay = ["--relay", "http://127.0.0.1:9"];
    for wrong in ["board:22", "me@", "a b"] {
        let ended = Byway::start(["ssh", relay[0], relay[1], wrong]).end();
        ended.expect_code(2).expect_line(&["USER@NAME", "-p PORT"]);
    }
    Byway::start(["ssh", "board"]).end().expect_code(2).expect_line(&["no relay"]);
}
