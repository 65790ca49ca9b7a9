//! Forwards go on after a loss, and end after one connection where that is asked for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::admission::Files;
use crate::forward::{accept, server};
use crate::process::{Byway, DEADLINE, Relay};

fn dial(from: &str) -> TcpStream {
    let tcp = TcpStream::connect(from.parse::<SocketAddr>().expect("an address")).expect("dialled");
    tcp.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    tcp
}

#[test]
fn forward_goes_on_after_the_relay_was_away_and_tells_it() {
    let (relay, (address, listener)) = (Relay::start(), server());
    let (to, url) = (address.to_string(), relay.url.clone());
    let mut listen = Byway::start(["listen", "web:80", "--to", &to, "--relay", &url]);
    listen.wait_told("listening on web:80");
    let from = "127.0.0.1:0";
    let mut connect = Byway::start(["connect", "web:80", "--from", from, "--relay", &url]);
    let from = connect.announced().0;
    let at = relay.address().to_owned();
    relay.signal("KILL");
    relay.end();
    // The connecting end, which waits for nothing, finds out with its next connection.
    listen.wait_told("path to the relay blocked: no connection");
    let _relay = Relay::start_on(&at);
    listen.wait_told("the relay is back after");
    assert_eq!(listen.times_told("path to the relay blocked"), 1);
    dial(&from).write_all(b"?").expect("written");
    accept(&listener).read_exact(&mut [0]).expect("it came");
}

#[test]
fn forward_claims_a_name_again_that_somebody_else_took_for_a_while() {
    let (relay, (address, _listener)) = (Relay::start(), server());
    let (to, url) = (address.to_string(), relay.url.clone());
    let at = relay.address().to_owned();
    let mut first =
        Byway::start(["listen", "web:80", "--to", &to, "--owner", "a", "--relay", &url]);
    first.wait_told("listening on web:80");
    // The first cannot say that it has the name when the relay comes back.
    first.signal("STOP");
    relay.signal("KILL");
    relay.end();
    let relay = Relay::start_on(&at);
    let mut second =
        Byway::start(["listen", "web:80", "--to", &to, "--owner", "b", "--relay", &url]);
    second.wait_told("listening on web:80");
    first.signal("CONT");
    first.wait_told("web:80: lost: endpoint in use");
    second.signal("TERM");
    second.end();
    first.wait_told("listening on web:80 again after");
    drop(relay);
}

#[test]
fn forward_whose_token_is_revoked_goes_on_once_the_token_is_back() {
    let (files, others) = (Files::new(), Files::new());
    let read = |files: &Files| std::fs::read_to_string(files.path("policy")).expect("the policy");
    let (with, without) = (read(&files), read(&others));
    let args = ["relay", "--listen", "127.0.0.1:0", "--policy", &files.policy()];
    let mut relay = Relay::of(Byway::start(args));
    let (address, _listener) = server();
    let (to, token, url) = (address.to_string(), files.token(), relay.url.clone());
    let mut listen =
        Byway::start(["listen", "web:80", "--to", &to, "--token-file", &token, "--relay", &url]);
    listen.wait_told("listening on web:80");
    files.write_policy(&without);
    relay.signal("HUP");
    relay.wait_told("read again");
    listen.wait_told("the relay refuses this client's token");
    files.write_policy(&with);
    relay.signal("HUP");
    listen.wait_told("the relay is back after");
    let args = ["ping", "web:80", "--count", "1", "--token-file", &token, "--relay", &url];
    Byway::start(args).end().expect_code(0);
}

#[test]
fn forward_of_one_connection_ends_with_its_result() {
    let (relay, (address, listener)) = (Relay::start(), server());
    let (to, url, from) = (address.to_string(), relay.url.as_str(), "127.0.0.1:0");
    for breaks in [false, true] {
        let mut listen = Byway::start(["listen", "web:80", "--once", "--to", &to, "--relay", url]);
        listen.wait_told("listening on web:80");
        let args = ["connect", "web:80", "--once", "--from", from, "--relay", url];
        let mut connect = Byway::start(args);
        let mut client = dial(&connect.announced().0);
        client.write_all(b"?").expect("written");
        let mut served = accept(&listener);
        served.read_exact(&mut [0]).expect("it came");
        if breaks {
            crate::orders::reset(client);
            assert!(served.read(&mut [0]).is_err());
        } else {
            drop((client, served));
        }
        let code = i32::from(breaks);
        connect.end().expect_code(code);
        listen.end().expect_code(code);
    }
}

#[test]
fn forward_that_is_not_admitted_warns_once_at_both_ends() {
    let (relay, (address, _listener)) = (Relay::start(), server());
    let (to, url) = (address.to_string(), relay.url.as_str());
    let directory = tempfile::tempdir().expect("a directory");
    let identity = |name: &str| {
        let file = byway::client::IdentityFile::new(directory.path().join(name));
        let key = file.create().expect("an identity").public_key();
        (file.path().to_str().expect("UTF-8").to_owned(), key.to_string())
    };
    let ((own, own_key), (_, other_key)) = (identity("own"), identity("other"));
    let args = ["listen", "web:80", "--to", &to, "--admit", &other_key, "--relay", url];
    let mut listen = Byway::start(args);
    listen.wait_told("listening on web:80");
    let from = "127.0.0.1:0";
    let args = ["connect", "web:80", "--from", from, "--identity", &own, "--relay", url];
    let mut connect = Byway::start(args);
    let from = connect.announced().0;
    for _ in 0..3 {
        assert!(dial(&from).read(&mut [0]).is_err(), "reset");
    }
    connect.wait_told("does not admit this client's key");
    listen.wait_told(&format!("turned away a peer with the key {own_key}"));
    assert_eq!(connect.times_told("does not admit"), 1);
    assert_eq!(listen.times_told("turned away"), 1);
}

/// As services are started in any order. With a time-out it ends, and tells why.
#[test]
fn forward_that_starts_before_its_relay_waits_for_it() {
    let relay = Relay::start();
    let (url, at) = (relay.url.clone(), relay.address().to_owned());
    relay.signal("KILL");
    relay.end();
    let mut listen = Byway::start(["listen", "web:80", "--exec", "cat", "--relay", &url]);
    listen.wait_told("byway doctor tells more: trying until it is there");
    let args = ["listen", "two:80", "--exec", "cat", "--timeout", "2", "--relay", &url];
    Byway::start(args).end().expect_code(4);
    let once = ["listen", "two:80", "--exec", "cat", "--once", "--relay", &url];
    Byway::start(once).told("trying for 10 s");
    let _relay = Relay::start_on(&at);
    listen.wait_told("listening on web:80");
}
