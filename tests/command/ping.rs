//! Round trips to a listener.

use std::io::Read;

use byway::client::Client;
use serde_json::Value;

use crate::bytes::read_all;
use crate::process::{Byway, Relay};

/// The whole of a command's stdout.
fn output(process: &mut Byway) -> String {
    let mut text = String::new();
    process.stdout().read_to_string(&mut text).expect("stdout");
    text
}

#[test]
fn ping_is_answered_by_a_pipe_that_goes_on_to_serve() {
    let relay = Relay::start();
    let mut listen = Byway::start(["listen", "camera:1", "--relay", &relay.url]);
    listen.wait_told("listening");
    let mut ping =
        Byway::start(["ping", "camera:1", "-c", "3", "-i", "0.05", "--relay", &relay.url]);
    let told = output(&mut ping);
    ping.end().expect_code(0).expect_nothing_told();
    for part in
        ["64 octets from camera:1: seq=2 time=", "3 sent, 3 answered, 0 % lost", "min/avg/max/mdev"]
    {
        assert!(told.contains(part), "{part:?} in {told}");
    }
    // The pipe's one connection is still to come.
    let mut connect = Byway::start(["connect", "camera:1", "--relay", &relay.url]);
    drop((connect.stdin(), listen.stdin()));
    assert_eq!(read_all(connect.stdout(), |_| {}).expect("stdout").0, 0);
    connect.end().expect_code(0);
    listen.end().expect_code(0);
}

#[test]
fn ping_does_not_reach_the_server_behind_a_forward() {
    let relay = Relay::start();
    // Nothing listens at that port: a connection there would be told.
    let mut listen =
        Byway::start(["listen", "web:80", "--to", "127.0.0.1:1", "--relay", &relay.url]);
    listen.wait_told("listening");
    let mut ping =
        Byway::start(["ping", "web:80", "-c", "2", "-i", "0.05", "--json", "--relay", &relay.url]);
    let told: Value = serde_json::from_str(&output(&mut ping)).expect("one document");
    ping.end().expect_code(0).expect_nothing_told();
    assert_eq!((&told["way"], &told["answered"]), (&"echo".into(), &2.into()), "{told}");
    assert_eq!(listen.times_told("cannot connect"), 0);
}

#[test]
fn listener_of_a_program_is_pinged_by_handshakes() {
    let relay = Relay::start();
    let client = Client::open(relay.url.as_str()).expect("a client");
    let listener = client.listen("app:1").expect("listens");
    let mut ping = Byway::start(["ping", "app:1", "-c", "2", "-i", "0.05", "--relay", &relay.url]);
    let told = output(&mut ping);
    ping.end().expect_code(0);
    assert!(told.contains("each ping is a connection"), "{told}");
    assert!(told.contains("2 sent, 2 answered"), "{told}");
    drop(listener);
}

#[test]
fn interrupt_ends_pings_with_their_summary() {
    let relay = Relay::start();
    let mut listen = Byway::start(["listen", "camera:1", "--relay", &relay.url]);
    listen.wait_told("listening");
    let mut ping = Byway::start(["ping", "camera:1", "-i", "30", "--relay", &relay.url]);
    let (_, lines) = ping.announced();
    assert!(lines.recv().expect("a line").contains("seq=0"));
    ping.signal("INT");
    ping.end().expect_code(0);
    let rest: Vec<_> = lines.iter().collect();
    assert!(rest.iter().any(|line| line.contains("1 sent, 1 answered")), "{rest:?}");
}

#[test]
fn ping_of_nobody_is_refused() {
    let relay = Relay::start();
    let ping = Byway::start(["ping", "nobody:1", "--timeout", "1", "--relay", &relay.url]);
    ping.end().expect_code(3).expect_lines(&[&["no listener yet"], &["nobody listens"]]);
}

#[test]
fn document_has_the_error_that_ends_the_command() {
    let relay = Relay::start();
    for (url, code, error) in [(&relay.url[..], 3, "nobody listens"), ("ftp://relay", 2, "http://")]
    {
        let mut ping =
            Byway::start(["ping", "nobody:1", "--json", "--timeout", "1", "--relay", url]);
        let told: Value = serde_json::from_str(&output(&mut ping)).expect("one document");
        ping.end().expect_code(code);
        assert_eq!((&told["endpoint"], &told["sent"]), (&"nobody:1".into(), &0.into()), "{told}");
        assert!(told["way"].is_null(), "{told}");
        assert!(told["error"].as_str().is_some_and(|told| told.contains(error)), "{told}");
    }
}
