//! Forwards to and from Unix sockets.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use tempfile::TempDir;

use crate::process::{Byway, DEADLINE, Relay};

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of UTF-8")
}

fn connect(path: &Path) -> UnixStream {
    let unix = UnixStream::connect(path).expect("connects");
    unix.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    unix
}

#[test]
fn forward_joins_unix_sockets_at_both_ends() {
    let (relay, directory) = (Relay::start(), directory());
    let [there, here] = ["there", "here"].map(|name| directory.path().join(name));
    let server = UnixListener::bind(&there).expect("bound");
    let to = format!("unix:{}", text(&there));
    let mut listen = Byway::start(["listen", "web:80", "--to", &to, "--relay", &relay.url]);
    listen.wait_told("listening on web:80");
    let args = ["connect", "web:80", "--from", text(&here), "--relay", &relay.url];
    let mut forward = Byway::start(args);
    assert_eq!(forward.announced().0, format!("unix:{}", text(&here)));
    let mut clients: Vec<_> = (0..3).map(|_| connect(&here)).collect();
    for (octet, client) in (0..).zip(&mut clients) {
        client.write_all(&[octet; 100_000]).expect("written");
        client.shutdown(Shutdown::Write).expect("shut down");
    }
    // The forward dials for all of them at once, in any order.
    for _ in &clients {
        let (mut served, _) = server.accept().expect("a connection");
        served.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        let mut got = Vec::new();
        served.read_to_end(&mut got).expect("to the end");
        let octet = got[0];
        assert_eq!(got, [octet; 100_000]);
        served.write_all(&[octet + 1; 100]).expect("the other direction is open");
    }
    for (octet, client) in (1..).zip(&mut clients) {
        let mut got = Vec::new();
        client.read_to_end(&mut got).expect("to the end");
        assert_eq!(got, [octet; 100]);
    }
}

#[test]
fn listening_unix_socket_is_removed_at_the_end_and_replaced_when_dead() {
    let (relay, directory) = (Relay::start(), directory());
    let path = directory.path().join("socket");
    let start =
        || Byway::start(["connect", "web:80", "--from", text(&path), "--relay", &relay.url]);
    let mut first = start();
    first.announced();
    let mut second = start();
    drop(second.stdin());
    second.end().expect_code(3).expect_line(&["cannot listen on unix:", "in use", "--from"]);
    first.signal("TERM");
    first.end().expect_code(143);
    assert!(!path.exists(), "removed behind a signal");

    let mut killed = start();
    killed.announced();
    killed.kill();
    assert!(path.exists(), "nothing can remove it");
    let mut next = start();
    next.announced();
    let _client = connect(&path);
    next.signal("INT");
    next.end().expect_code(130);
    assert!(!path.exists());

    fs::write(&path, "kept").expect("written");
    start().end().expect_code(3).expect_line(&["no socket", "--from"]);
    assert_eq!(fs::read(&path).expect("there"), b"kept");
}

#[test]
fn mode_of_a_listening_unix_socket_is_what_the_umask_leaves() {
    let (relay, directory) = (Relay::start(), directory());
    fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).expect("set");
    let path = directory.path().join("socket");
    let args = ["connect", "web:80", "--from", text(&path), "--relay", &relay.url];
    let mut forward = Byway::start_by("umask 027; exec \"$@\"", args);
    forward.announced();
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o750);
}
